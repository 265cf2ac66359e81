"""The queues of a controlled transport, and the budget by which they empty.

The budget is one number: the time at which everything sent so far would have left at the pacing rate. A packet may leave
when that is past, or when with it no more than a burst would be ahead.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from rtpfwd.cursor cimport load_u16
from rtpfwd.output cimport can_send, out_room, out_send, out_slot, wire_size
from rtpfwd.rate cimport RATE_SLOTS, rate_add, rate_bps
from rtpfwd.send_stream cimport Sent, send_stream_forget
from rtpfwd.slab cimport slab_data, slab_release, slab_take
from rtpfwd.state cimport MS, drop, schedule
from rtpfwd.tables cimport pool_get
from rtpfwd.types cimport DROP_NONE, DROP_PACER_FULL, DROP_PACER_SLOT

cdef enum:
    FIRST_ROOM = 32


cdef inline int64_t _span(int64_t size, int64_t bps) noexcept nogil:
    # ns that so many bytes take.
    return 8 * size * 1_000_000_000 / bps


cdef int64_t _burst(const Pacer* p, int64_t now) noexcept nogil:
    # ns of media that may leave together.
    cdef RateMeter sent = p.sent
    if p.estimate > 2 * rate_bps(&sent, now):
        return min(max(_span(RUN_BYTES, p.pacing), <int64_t>BURST_MS * MS), <int64_t>GOOD_BURST_MS * MS)
    return <int64_t>BURST_MS * MS


cdef inline bint _fits(const Pacer* p, int64_t size, int64_t burst, int64_t now) noexcept nogil:
    # One packet may always leave when nothing is ahead of it, however slow the path.
    return p.clear_at <= now or p.clear_at - now + _span(size, p.pacing) <= burst


cdef bint pacer_run_waits(const PlaneState* s, const Transport* t, int32_t first, int64_t now) noexcept nogil:
    cdef const Pacer* p = <const Pacer*>t.pacer
    cdef int64_t size = 0
    if p.probing or p.media.count or p.repairs.count:
        return True
    while first >= 0:
        size += wire_size(t, s.pending[first].packet.view.size)
        first = s.pending[first].next
    return max(p.clear_at - now, <int64_t>0) + _span(size, p.pacing) > _burst(p, now)


cdef bint pacer_is_full(const Transport* t, bint begins_frame) noexcept nogil:
    cdef const Pacer* p = <const Pacer*>t.pacer
    if p.media.count >= QUEUE_PACKETS:
        return True
    return begins_frame and p.media.count and _span(p.media.bytes, p.estimate) > <int64_t>QUEUE_MS * MS


cdef bint pacer_is_behind(const Transport* t) noexcept nogil:
    cdef const Pacer* p = <const Pacer*>t.pacer
    return p != NULL and _span(p.media.bytes, p.pacing) > <int64_t>KEYFRAME_WAITS_MS * MS


cdef void pacer_spend(Transport* t, int64_t size, int64_t now) noexcept nogil:
    cdef Pacer* p = <Pacer*>t.pacer
    # Timers are up to a millisecond late: what that costs is made up for.
    p.clear_at = max(p.clear_at, now - MS) + _span(size, p.pacing)
    rate_add(&p.sent, <uint32_t>size, now)


cdef bint pacer_allows_repair(Transport* t, int64_t size, int64_t now) noexcept nogil:
    cdef Pacer* p = <Pacer*>t.pacer
    cdef int64_t bits = 8 * size
    cdef int index
    rate_add(&p.repaired, 0, now)   # lets go of what is older than a second
    for index in range(RATE_SLOTS):
        bits += 8 * <int64_t>p.repaired.slots[index]
    if bits > max(<int64_t>REPAIR_MIN_BPS, p.estimate / REPAIR_SHARE):
        return False
    rate_add(&p.repaired, <uint32_t>size, now)
    return True


# The queues.

cdef int _more_room(Line* line, uint32_t most) noexcept nogil:
    cdef uint32_t room = min(2 * line.room if line.room else <uint32_t>FIRST_ROOM, most)
    cdef Waiting* items
    cdef uint32_t index
    if room == line.room:
        return -1
    items = <Waiting*>calloc(room, sizeof(Waiting))
    if items == NULL:
        return -1
    for index in range(line.count):
        items[index] = line.items[(line.first + index) & (line.room - 1)]
    free(line.items)
    line.items = items
    line.first = 0
    line.room = room
    return 0


cdef inline Waiting* _front(Line* line) noexcept nogil:
    return &line.items[line.first]


cdef inline void _pop(PlaneState* s, Line* line) noexcept nogil:
    cdef Waiting* item = _front(line)
    if item.slot >= 0:
        slab_release(&s.slab, item.slot)
        line.bytes -= item.size
    line.first = (line.first + 1) & (line.room - 1)
    line.count -= 1


cdef int pacer_hold(
    PlaneState* s, Consumer* c, bint rtx, int header_size, const uint8_t* payload, int payload_size,
    const HeaderMarks* marks, int64_t now
) noexcept nogil:
    cdef Transport* t = c.transport
    cdef Pacer* p = <Pacer*>t.pacer
    cdef Line* line = &p.repairs if rtx else &p.media
    cdef int size = header_size + payload_size
    cdef Waiting* item
    cdef uint8_t* data
    cdef int32_t slot
    # A retransmission waits for its like, a new packet for both.
    if not p.probing and line.count == 0 and p.repairs.count == 0 and _fits(
        p, wire_size(t, size), _burst(p, now), now
    ):
        return PACER_GOES
    if line.count == line.room and _more_room(line, REPAIR_PACKETS if rtx else QUEUE_PACKETS):
        return DROP_PACER_FULL
    slot = slab_take(&s.slab) if size <= s.slab.slot_size else -1
    if slot < 0:
        return DROP_PACER_SLOT
    data = slab_data(&s.slab, slot)
    memcpy(data, s.out_at, header_size)
    if payload_size:
        memcpy(data + header_size, payload, payload_size)
    item = &line.items[(line.first + line.count) & (line.room - 1)]
    item.slot = slot
    item.size = <uint16_t>size
    item.transport_cc = marks.transport_cc
    item.abs_send_time = marks.abs_send_time
    item.rtx = rtx
    item.consumer = c.slot
    item.generation = s.consumers.generations[c.slot]
    line.count += 1
    line.bytes += size
    s.counters.paced_packets += 1
    schedule(s, t, max(now, p.clear_at))
    return DROP_NONE


cdef inline Line* _next_line(PlaneState* s, Pacer* p) noexcept nogil:
    """The queue whose turn it is, with a packet that is still somebody's in front; NULL: nothing waits."""
    while p.repairs.count and _front(&p.repairs).slot < 0:
        _pop(s, &p.repairs)
    while p.media.count and _front(&p.media).slot < 0:
        _pop(s, &p.media)
    if p.repairs.count:
        return &p.repairs
    return &p.media if p.media.count else NULL


cdef int _leave(PlaneState* s, Transport* t, Line* line, uint16_t probe, int64_t now) noexcept nogil:
    """The front of this queue. Bytes on the wire; 0: it could not be sent, and is gone."""
    cdef Waiting* item = _front(line)
    cdef Consumer* c = <Consumer*>pool_get(&s.consumers, item.consumer, item.generation)
    cdef HeaderMarks marks
    cdef int size = item.size
    cdef bint sent = False
    memset(&marks, 0, sizeof(marks))
    marks.transport_cc = item.transport_cc
    marks.abs_send_time = item.abs_send_time
    if c != NULL and can_send(t) and out_room(s):
        memcpy(out_slot(s), slab_data(&s.slab, item.slot), size)
        sent = out_send(s, c, item.rtx, size, &marks, probe, now)
    _pop(s, line)
    return wire_size(t, size) if sent else 0


cdef int pacer_send_one(PlaneState* s, Transport* t, int64_t most, uint16_t probe, int64_t now) noexcept nogil:
    cdef Line* line = _next_line(s, <Pacer*>t.pacer)
    if line == NULL or wire_size(t, _front(line).size) > most:
        return 0
    return _leave(s, t, line, probe, now)


cdef int64_t pacer_send(PlaneState* s, Transport* t, int64_t now) noexcept nogil:
    cdef Pacer* p = <Pacer*>t.pacer
    cdef Line* line = _next_line(s, p)
    while line != NULL:
        if not _fits(p, wire_size(t, _front(line).size), <int64_t>BURST_MS * MS, now):
            return p.clear_at
        if out_room(s) == 0:
            return now + MS     # the lane sends meanwhile
        _leave(s, t, line, 0, now)
        line = _next_line(s, p)
    return -1


cdef void pacer_overtake(PlaneState* s, Transport* t, Consumer* c, int64_t most_ms) noexcept nogil:
    cdef Pacer* p = <Pacer*>t.pacer
    cdef Waiting* item
    cdef Sent* sent
    cdef uint32_t index
    cdef uint16_t seq
    cdef uint16_t last = <uint16_t>c.rewriter.last_out
    cdef int dropped = 0
    cdef int reach = 0          # back to the first of them, from the last number given
    if _span(p.media.bytes, p.pacing) <= most_ms * MS:
        return
    for index in range(p.media.count):
        item = &p.media.items[(p.media.first + index) & (p.media.room - 1)]
        if item.slot < 0 or item.consumer != c.slot:
            continue
        seq = load_u16(slab_data(&s.slab, item.slot) + 2)
        reach = max(reach, <int>(<uint16_t>(last - seq)) + 1)
        if c.stream.sent != NULL:
            # It was never sent, so it is not sent again either.
            sent = &c.stream.sent[seq & c.stream.mask]
            if sent.seq == seq:
                sent.times = 0
        drop(s, DROP_PACER_FULL)
        c.drops += 1
        dropped += 1
    if dropped:
        _forget(s, &p.media, c)
        if dropped == reach:
            # They are the last ones, as nearly always: their numbers are given again at the switch, so that no gap is
            # left for which the viewer would ask in vain. None of them was ever protected, so no keystream is used
            # twice; a late packet that still leaves with a higher number moves last_out past them again.
            c.rewriter.last_out -= dropped


cdef bint pacer_displace(PlaneState* s, Transport* t, Consumer* c, int64_t now) noexcept nogil:
    cdef Pacer* p = <Pacer*>t.pacer
    if (
        _span(p.media.bytes, p.pacing) <= <int64_t>DISPLACED_MS * MS
        and 100 * rate_bps(&p.sent, now) <= DISPLACED_SHARE * p.pacing
    ):
        return False
    pacer_overtake(s, t, c, 0)
    _forget(s, &p.repairs, c)
    send_stream_forget(&c.stream)
    return True


cdef void _forget(PlaneState* s, Line* line, const Consumer* c) noexcept nogil:
    cdef Waiting* item
    cdef uint32_t index
    for index in range(line.count):
        item = &line.items[(line.first + index) & (line.room - 1)]
        if item.slot >= 0 and item.consumer == c.slot:
            slab_release(&s.slab, item.slot)
            item.slot = -1
            line.bytes -= item.size


cdef void pacer_forget(PlaneState* s, Transport* t, const Consumer* c) noexcept nogil:
    cdef Pacer* p = <Pacer*>t.pacer
    if p != NULL:
        _forget(s, &p.repairs, c)
        _forget(s, &p.media, c)


cdef void pacer_close(PlaneState* s, Transport* t) noexcept nogil:
    cdef Pacer* p = <Pacer*>t.pacer
    if p == NULL:
        return
    while p.repairs.count:
        _pop(s, &p.repairs)
    while p.media.count:
        _pop(s, &p.media)
    free(p.repairs.items)
    free(p.media.items)
    free(p)
    t.pacer = NULL


cdef size_t pacer_bytes(const Transport* t) noexcept nogil:
    cdef const Pacer* p = <const Pacer*>t.pacer
    if p == NULL:
        return 0
    return sizeof(Pacer) + (p.repairs.room + p.media.room) * sizeof(Waiting)
