"""Timers: NACKs, keyframe requests, transport-wide feedback, and the periodic reports (RFC 3550 section 6).

One deadline for each transport, all of them side by side (PlaneState.dues), and the earliest for the plane. When it is
reached those transports are looked at whose time has come, and each part says when it wants to be looked at again. NACKs
set the pace: at most one such turn every NACK_TICK_MS, and none when nothing is missing.
"""

from libc.stdint cimport INT64_MAX, uint8_t, uint16_t, uint32_t

from rtpfwd.cursor cimport Writer, writer_init, writer_size
from rtpfwd.estimate cimport estimate_tick
from rtpfwd.fanout cimport fan_out
from rtpfwd.keyframes cimport keyframe_tick, request_keyframe
from rtpfwd.link cimport link_receive, link_waiting
from rtpfwd.output cimport can_send, out_commit_rtcp, out_room, out_slot
from rtpfwd.recv_stream cimport (
    recv_stream_nacks,
    recv_stream_next_timeout,
    recv_stream_report,
    recv_stream_take_keyframe_wanted,
)
from rtpfwd.rtcp cimport MAX_REPORT_BLOCKS, ReportBlock, rtcp_write_cname, rtcp_write_nack, rtcp_write_remb, rtcp_write_rr
from rtpfwd.send_stream cimport send_stream_write_sr
from rtpfwd.slab cimport history_clear, slab_grow, slab_wants_growth
from rtpfwd.srtp cimport SRTP_TRAILER
from rtpfwd.state cimport (
    Consumer,
    DATAGRAM_SIZE,
    Encoding,
    HISTORY_AGE_MS,
    MS,
    NACK_TICK_MS,
    OUT_SLOTS,
    Producer,
    REPORT_MS,
    Transport,
    has_viewers,
    next_random,
    on_report_tick,
    schedule,
)
from rtpfwd.twcc cimport twcc_write

cdef enum:
    REPORT_SIZE = 1200          # bytes of one compound packet, so that it fits any path
    REMB_MS = 1000              # between two that say the same
    REMB_STREAMS = 64           # that one names
    NACKS_AT_ONCE = 256         # MAX_MISSING: sequence numbers of one NACK packet


cdef const char* HEX = "0123456789abcdef"


cdef int plane_collect(PlaneState* s, int64_t now, Outgoing** out) noexcept nogil:
    cdef int count
    while not fan_out(s, now) and s.out_count == 0:
        pass  # without a lane every datagram goes to the FIFO at once, so the area never fills
    count = s.out_count
    out[0] = s.areas[s.area]
    s.area = 1 - s.area
    s.out_at = s.area_data + <size_t>s.area * OUT_SLOTS * DATAGRAM_SIZE
    s.out_count = 0
    return count


cdef int64_t plane_next_timeout(const PlaneState* s) noexcept nogil:
    cdef int64_t waiting = link_waiting(s)
    if waiting < 0 or (0 <= s.due < waiting):
        return s.due
    return waiting


cdef void plane_take_links(PlaneState* s, int64_t now) noexcept nogil:
    cdef Outgoing* out
    while link_receive(s, now):
        plane_collect(s, now, &out)


cdef void plane_timeout(PlaneState* s, int64_t now) noexcept nogil:
    cdef uint32_t slot
    cdef Transport* t
    if s.due < 0 or now < s.due:
        return
    s.now = now
    s.due = -1
    s.last_turn = now
    if slab_wants_growth(&s.slab):
        slab_grow(&s.slab)
    if _take_due(s, s.link_transport.slot, now):
        _tick_producers(s, &s.link_transport, now)
    for slot in range(s.transports.top):
        # Nearly all are not: nothing of those transports is touched.
        if _take_due(s, slot, now):
            t = <Transport*>s.transports.items[slot]
            if t != NULL:
                _tick(s, t, now)


cdef inline bint _take_due(PlaneState* s, uint32_t slot, int64_t now) noexcept nogil:
    """Whether this transport is to be looked at; if not, its time counts for the next turn."""
    cdef int64_t due = s.dues[slot]
    if due <= now:
        s.dues[slot] = INT64_MAX
        return True
    if due != INT64_MAX and (s.due < 0 or due < s.due):
        s.due = due
    return False


cdef void _tick(PlaneState* s, Transport* t, int64_t now) noexcept nogil:
    _tick_producers(s, t, now)
    _tick_feedback(s, t, now)
    if t.congestion != NULL:
        estimate_tick(s, t, now)
    if t.receive_limit >= 0:
        _tick_limit(s, t, now)
    if t.next_report and now >= t.next_report:
        _report(s, t, now)
        t.next_report = on_report_tick(now + <int64_t>(REPORT_MS // 2 + next_random(s) % REPORT_MS) * MS)
    if t.next_report:
        schedule(s, t, t.next_report)


cdef void _tick_producers(PlaneState* s, Transport* t, int64_t now) noexcept nogil:
    cdef Producer* p = t.producers
    cdef Encoding* e
    cdef int index
    while p != NULL:
        for index in range(p.encoding_count):
            e = &p.encodings[index]
            keyframe_tick(s, e, now)
            if e.has_history and e.history.newest >= 0 and now - e.heard > <int64_t>HISTORY_AGE_MS * MS:
                history_clear(&e.history)   # silent: a history lets its packets go by itself only as new ones come
            if e.stream.missing_count and not p.paused:
                _nack(s, t, e, now)
        p = p.next


cdef void _nack(PlaneState* s, Transport* t, Encoding* e, int64_t now) noexcept nogil:
    cdef uint16_t seqs[NACKS_AT_ONCE]
    cdef Writer w
    cdef uint8_t* data
    cdef int count
    cdef int64_t again
    if can_send(t) and out_room(s):
        count = recv_stream_nacks(&e.stream, seqs, NACKS_AT_ONCE, t.rtt, now)
        if count:
            data = out_slot(s)
            writer_init(&w, data, REPORT_SIZE)
            if rtcp_write_nack(&w, t.feedback_ssrc, e.ssrc, seqs, count) == 0:
                if out_commit_rtcp(s, t, t.control, <int>writer_size(&w)):
                    s.counters.nacks_sent += count
        if recv_stream_take_keyframe_wanted(&e.stream) and has_viewers(e.producer):
            request_keyframe(s, e, now)
    again = recv_stream_next_timeout(&e.stream)
    if again >= 0:
        schedule(s, t, max(again, now + <int64_t>NACK_TICK_MS * MS))


cdef void _tick_feedback(PlaneState* s, Transport* t, int64_t now) noexcept nogil:
    cdef Writer w
    cdef uint8_t* data
    if t.twcc.due < 0:
        return
    if now < t.twcc.due:
        schedule(s, t, t.twcc.due)
        return
    if not can_send(t) or not out_room(s):
        t.twcc.due = now + <int64_t>NACK_TICK_MS * MS
        schedule(s, t, t.twcc.due)
        return
    data = out_slot(s)
    writer_init(&w, data, DATAGRAM_SIZE - SRTP_TRAILER)
    if twcc_write(&t.twcc, &w, t.feedback_ssrc, t.producers.encodings[0].ssrc if t.producers != NULL else 0) == 0:
        if out_commit_rtcp(s, t, t.control, <int>writer_size(&w)):
            s.counters.transport_feedback_sent += 1


cdef void _tick_limit(PlaneState* s, Transport* t, int64_t now) noexcept nogil:
    cdef uint32_t ssrcs[REMB_STREAMS]
    cdef Producer* p = t.producers
    cdef Writer w
    cdef int count = 0
    cdef int index
    if now >= t.next_remb:
        while p != NULL:
            for index in range(p.encoding_count):
                if p.encodings[index].has_ssrc and count < REMB_STREAMS:
                    ssrcs[count] = p.encodings[index].ssrc
                    count += 1
            p = p.next
        if count and can_send(t) and out_room(s):
            writer_init(&w, out_slot(s), REPORT_SIZE)
            rtcp_write_remb(&w, t.feedback_ssrc, t.receive_limit, ssrcs, count)
            if out_commit_rtcp(s, t, t.control, <int>writer_size(&w)):
                s.counters.remb_sent += 1
        t.next_remb = now + <int64_t>REMB_MS * MS
    schedule(s, t, t.next_remb)


# The periodic report: an RR and a CNAME of ours first (RFC 3550 section 6.1 wants both in every compound packet), then an
# SR and a CNAME for each stream sent, in as few datagrams as they take.

cdef void _report(PlaneState* s, Transport* t, int64_t now) noexcept nogil:
    cdef ReportBlock blocks[MAX_REPORT_BLOCKS]
    cdef Consumer* c = t.consumers
    cdef Writer w
    cdef Writer before
    cdef int count
    if not can_send(t):
        return
    while c != NULL:
        c.stream.counted_from = c.stream.packets
        c = c.next_of_transport
    c = t.consumers
    count = _blocks(s, t, blocks, now)
    if (count == 0 and c == NULL) or not _begin(s, t, &w, blocks, count):
        return
    while c != NULL:
        before = w
        if _write_sender(c, &w, now) < 0:
            w = before
            out_commit_rtcp(s, t, t.control, <int>writer_size(&w))
            if not _begin(s, t, &w, blocks, 0):
                return
            _write_sender(c, &w, now)   # one alone always fits
        c = c.next_of_transport
    out_commit_rtcp(s, t, t.control, <int>writer_size(&w))


cdef int _blocks(PlaneState* s, Transport* t, ReportBlock* blocks, int64_t now) noexcept nogil:
    """Report blocks for every received stream. What exceeds one RR leaves at once; the rest is the caller's to send."""
    cdef Producer* p = t.producers
    cdef Writer w
    cdef int count = 0
    cdef int index
    while p != NULL:
        for index in range(p.encoding_count):
            if count == MAX_REPORT_BLOCKS:
                if _begin(s, t, &w, blocks, count):
                    out_commit_rtcp(s, t, t.control, <int>writer_size(&w))
                count = 0
            if p.encodings[index].stream.started:
                recv_stream_report(&p.encodings[index].stream, &blocks[count], now)
                count += 1
        p = p.next
    return count


cdef bint _begin(PlaneState* s, Transport* t, Writer* w, const ReportBlock* blocks, int count) noexcept nogil:
    cdef uint8_t cname[8]
    cdef uint8_t* data = out_slot(s)
    cdef int i
    if data == NULL:
        return False
    # Our own name is our SSRC in hexadecimal: unique where the SSRC is, and it tells nothing more.
    for i in range(8):
        cname[i] = HEX[t.feedback_ssrc >> (28 - 4 * i) & 15]
    writer_init(w, data, REPORT_SIZE)
    rtcp_write_rr(w, t.feedback_ssrc, blocks, count)
    rtcp_write_cname(w, t.feedback_ssrc, cname, sizeof(cname))
    return True


cdef int _write_sender(Consumer* c, Writer* w, int64_t now) noexcept nogil:
    """An SR with its CNAME. 0; -1: does not fit, and the writer must be set back."""
    cdef Encoding* source = &c.producer.encodings[c.encoding]
    cdef int written
    if c.paused:
        return 0
    written = send_stream_write_sr(&c.stream, &source.stream, c.rewriter.timestamp_offset, w, now)
    if written <= 0:
        return written
    return rtcp_write_cname(w, c.stream.ssrc, c.cname, c.cname_size)
