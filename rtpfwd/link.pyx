"""Producers over lanes: packets by reference from the plane that receives them to those that mirror them.

The way there: stage 1, `share` (rtpfwd.fanout) puts a reference to each packet into the ring of every plane that mirrors its
producer, that plane's link_receive appends them to its own pending list, and its stage 2 forwards them like its own. What
consumers there ask for (keyframes, packets of the history) comes back through the ring of the other direction.

(A little over 400 lines, because what one plane writes and what the other makes of it belong side by side.)
"""

from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from rtpfwd.atomics cimport exchange, full_fence, load_acquire, store_release
from rtpfwd.header cimport rtp_parse_untrusted
from rtpfwd.keyframes cimport keyframe_received, request_keyframe, request_keyframe_for
from rtpfwd.layer_rates cimport layer_rates_add
from rtpfwd.recv_stream cimport recv_stream_sender_report
from rtpfwd.retransmit cimport resend_linked
from rtpfwd.rings cimport (
    LINK_BEGIN_ANEW,
    LINK_FACTS,
    LINK_KEYFRAME,
    LINK_PACKET,
    LINK_RESEND,
    LINK_RESENT,
    LINK_SLOTS,
    LinkEntry,
    LinkGroup,
    Member,
    PacketPool,
    Ring,
    link_group_free,
    link_group_open,
    packet_let_go,
    packet_pool_close,
    packet_pool_open,
    packet_take,
    ring_commit,
    ring_done,
    ring_front,
    ring_reclaim,
    ring_slot,
)
from rtpfwd.selector cimport Selector
from rtpfwd.slab cimport history_view, history_widen
from rtpfwd.state cimport (
    DATAGRAM_SIZE,
    LANE_SLOTS,
    LINKED_PACKETS,
    Mirror,
    OUT_FLUSH,
    PENDING_SLOTS,
    Pending,
    append_pending,
    drop,
    plane_lock,
    plane_unlock,
)
from rtpfwd.sys_linux cimport pthread_mutex_lock, pthread_mutex_unlock
from rtpfwd.tables cimport pool_get
from rtpfwd.types cimport DROP_LINK_FULL, DROP_NONE, DROP_PRODUCER_PAUSED, PacketView


# Joining and leaving.

cdef int link_join(PlaneState** planes, int count) noexcept nogil:
    cdef LinkGroup* group = link_group_open(count)
    cdef PlaneState* s
    cdef int index
    if group == NULL:
        return -1
    for index in range(count):
        if packet_pool_open(&group.members[index].pool, LINKED_PACKETS, DATAGRAM_SIZE):
            link_group_free(group)
            return -1
    group.open_planes = count
    for index in range(count):
        s = planes[index]
        plane_lock(s)
        group.members[index].state = s
        group.members[index].wake_fd = s.wake_fd
        s.link_index = index
        s.group = group
        # No lane runs and nothing is pending, so nobody holds a buffer of the pool before.
        packet_pool_close(&s.own_packets)
        s.packets = &group.members[index].pool
        plane_unlock(s)
    return 0


cdef void link_leave(PlaneState* s) noexcept nogil:
    cdef LinkGroup* group = s.group
    cdef Member* member
    cdef bint last
    if group == NULL:
        return
    member = &group.members[s.link_index]
    pthread_mutex_lock(&group.mutex)
    member.state = NULL
    store_release(&member.closed, 1)
    group.open_planes -= 1
    last = group.open_planes == 0
    pthread_mutex_unlock(&group.mutex)
    s.group = NULL
    s.packets = &s.own_packets
    if last:
        link_group_free(group)


cdef void link_detach(
    PlaneState* s, uint32_t plane, uint32_t slot, uint32_t generation, uint32_t mirror_slot, uint32_t mirror_generation
) noexcept nogil:
    cdef LinkGroup* group = s.group
    cdef PlaneState* origin
    cdef Producer* p
    cdef Mirror** at
    cdef Mirror* found = NULL
    pthread_mutex_lock(&group.mutex)
    origin = <PlaneState*>group.members[plane].state
    if origin != NULL:
        plane_lock(origin)
        p = <Producer*>pool_get(&origin.producers, slot, generation)
        if p != NULL:
            at = &p.mirrors
            while at[0] != NULL:
                found = at[0]
                if found.plane == s.link_index and found.slot == mirror_slot and found.generation == mirror_generation:
                    at[0] = found.next
                    break
                at = &found.next
                found = NULL
        plane_unlock(origin)
    pthread_mutex_unlock(&group.mutex)
    free(found)


# Writing.

cdef LinkEntry* _slot(PlaneState* s, uint32_t plane, int kind, uint32_t slot, uint32_t generation, int64_t now) noexcept nogil:
    """An entry to fill and commit, or NULL: the ring is full (counted), or that plane is closed."""
    cdef LinkGroup* group = s.group
    cdef LinkEntry* entry
    if load_acquire(&group.members[plane].closed):
        return NULL
    entry = ring_slot(group.rings[s.link_index * group.count + plane], s.packets)
    if entry == NULL:
        s.counters.link_full += 1
        return NULL
    entry.packet = NULL
    entry.at = now
    entry.slot = slot
    entry.generation = generation
    entry.kind = kind
    entry.encoding = 0
    return entry


cdef inline void _commit(PlaneState* s, uint32_t plane) noexcept nogil:
    ring_commit(s.group.rings[s.link_index * s.group.count + plane])
    s.link_wake |= <uint64_t>1 << plane


cdef void link_packet(PlaneState* s, const Encoding* e, Packet* packet, int64_t now) noexcept nogil:
    cdef const Mirror* mirror = e.producer.mirrors
    cdef LinkEntry* entry
    while mirror != NULL:
        entry = _slot(s, mirror.plane, LINK_PACKET, mirror.slot, mirror.generation, now)
        if entry != NULL:
            entry.encoding = e.index
            entry.packet = packet
            s.packets.references[packet.index] += 1
            s.counters.link_packets_sent += 1
            _commit(s, mirror.plane)
        else:
            drop(s, DROP_LINK_FULL)
        mirror = mirror.next


cdef void link_facts(PlaneState* s, const Encoding* e, int64_t now) noexcept nogil:
    cdef const Mirror* mirror = e.producer.mirrors
    cdef LinkEntry* entry
    while mirror != NULL:
        entry = _slot(s, mirror.plane, LINK_FACTS, mirror.slot, mirror.generation, now)
        if entry != NULL:
            entry.encoding = e.index
            entry.ssrc = e.ssrc if e.has_ssrc else 0
            entry.body.facts.has_sr = e.stream.has_sr
            entry.body.facts.ntp = e.stream.sr_ntp
            entry.body.facts.rtp = e.stream.sr_rtp
            entry.body.facts.arrived = e.stream.sr_arrived
            entry.body.facts.packets = e.stream.sr_packets
            entry.body.facts.octets = e.stream.sr_octets
            _commit(s, mirror.plane)
        mirror = mirror.next


cdef void link_begin_anew(PlaneState* s, const Producer* p, int64_t now) noexcept nogil:
    cdef const Mirror* mirror = p.mirrors
    while mirror != NULL:
        if _slot(s, mirror.plane, LINK_BEGIN_ANEW, mirror.slot, mirror.generation, now) != NULL:
            _commit(s, mirror.plane)
        mirror = mirror.next


cdef bint link_keyframe(PlaneState* s, const Encoding* e, int64_t now) noexcept nogil:
    cdef const Producer* p = e.producer
    cdef LinkEntry* entry = _slot(s, p.origin_plane, LINK_KEYFRAME, p.origin_slot, p.origin_generation, now)
    if entry == NULL:
        return False
    entry.encoding = e.index
    _commit(s, p.origin_plane)
    return True


cdef bint link_resend(
    PlaneState* s, const Consumer* c, const Encoding* e, uint32_t in_seq, uint16_t seq, int64_t now
) noexcept nogil:
    cdef const Producer* p = e.producer
    cdef LinkEntry* entry = _slot(s, p.origin_plane, LINK_RESEND, p.origin_slot, p.origin_generation, now)
    if entry == NULL:
        return False
    entry.encoding = e.index
    entry.seq = seq
    entry.body.resend.in_seq = in_seq
    entry.body.resend.consumer = c.slot
    entry.body.resend.generation = s.consumers.generations[c.slot]
    _commit(s, p.origin_plane)
    return True


# Reading.

cdef bint link_receive(PlaneState* s, int64_t now) noexcept nogil:
    cdef LinkEntry* entry
    cdef Ring* ring
    cdef uint32_t other
    cdef bint taken = False
    if s.group == NULL:
        return False
    s.now = max(s.now, now)
    for other in range(<uint32_t>s.group.count):
        if other == s.link_index:
            continue
        ring = s.group.rings[other * s.group.count + s.link_index]
        # What is left waits for the next turn.
        while s.pending_count < PENDING_SLOTS - LANE_SLOTS and s.out_count < OUT_FLUSH:
            entry = ring_front(ring)
            if entry == NULL:
                break
            _read(s, other, entry, now)
            ring.taken += 1
            taken = True
        if s.pending_count == 0:
            ring_done(ring)
    link_reclaim(s)
    return taken


cdef void _read(PlaneState* s, uint32_t other, const LinkEntry* entry, int64_t now) noexcept nogil:
    cdef Producer* p = NULL
    cdef Encoding* e
    if entry.kind == LINK_RESENT:
        resend_linked(
            s, <Consumer*>pool_get(&s.consumers, entry.slot, entry.generation), entry.packet, entry.seq, now)
        return
    p = <Producer*>pool_get(&s.producers, entry.slot, entry.generation)
    if p == NULL or entry.encoding >= p.encoding_count:
        return  # it went while this was on its way
    e = &p.encodings[entry.encoding]
    if entry.kind == LINK_PACKET:
        _read_packet(s, e, entry.packet, now)
    elif entry.kind == LINK_FACTS:
        _read_facts(e, entry)
    elif entry.kind == LINK_BEGIN_ANEW:
        _read_begin_anew(s, p, now)
    elif entry.kind == LINK_KEYFRAME:
        request_keyframe(s, e, now)
    elif entry.kind == LINK_RESEND:
        _read_resend(s, other, e, entry, now)


cdef void _read_packet(PlaneState* s, Encoding* e, Packet* packet, int64_t now) noexcept nogil:
    cdef Pending* pending = &s.pending[s.pending_count]
    s.counters.link_packets_received += 1
    if e.producer.paused:
        drop(s, DROP_PRODUCER_PAUSED)
        return
    e.ssrc = e.stream.ssrc = packet.view.ssrc
    e.has_ssrc = True
    e.heard = now
    if packet.view.payload_size:
        layer_rates_add(&e.layers, &packet.view, now)
        if packet.view.is_keyframe:
            keyframe_received(e)
    pending.packet = packet
    pending.encoding = e
    pending.linked = True
    append_pending(s)


cdef void _read_facts(Encoding* e, const LinkEntry* entry) noexcept nogil:
    if entry.ssrc:
        e.ssrc = e.stream.ssrc = entry.ssrc
        e.has_ssrc = True
    if entry.body.facts.has_sr:
        recv_stream_sender_report(
            &e.stream, entry.body.facts.ntp, entry.body.facts.rtp, entry.body.facts.packets, entry.body.facts.octets,
            entry.body.facts.arrived)


cdef void _read_begin_anew(PlaneState* s, Producer* p, int64_t now) noexcept nogil:
    cdef Consumer* c = p.consumers
    while c != NULL:
        (<Selector>c.selector).reset()
        if not c.paused:
            request_keyframe_for(s, c, now)
        c = c.next_of_producer


cdef void _read_resend(PlaneState* s, uint32_t other, Encoding* e, const LinkEntry* asked, int64_t now) noexcept nogil:
    """A copy of one kept packet, in a buffer that the other plane may read: the history itself may let go at any time."""
    cdef PacketView kept
    cdef Packet* packet = NULL
    cdef LinkEntry* entry
    if e.has_history and history_view(&e.history, history_widen(&e.history, asked.body.resend.in_seq), &kept):
        packet = link_packet_take(s)
    if packet != NULL:
        memcpy(packet.data, kept.data, kept.size)
        packet.padding = 0
        rtp_parse_untrusted(packet.data, kept.size, &packet.view)   # as well-formed as what was kept
        packet.view.ext_seq = kept.ext_seq
        packet.view.arrived = kept.arrived
    entry = _slot(s, other, LINK_RESENT, asked.body.resend.consumer, asked.body.resend.generation, now)
    if entry == NULL:
        if packet != NULL:
            packet_let_go(s.packets, packet)
        return
    entry.packet = packet
    entry.seq = asked.seq
    entry.body.resend.in_seq = asked.body.resend.in_seq
    _commit(s, other)


cdef int64_t link_waiting(const PlaneState* s) noexcept nogil:
    cdef const LinkEntry* entry
    cdef int64_t oldest = -1
    cdef int other
    if s.group == NULL:
        return -1
    for other in range(s.group.count):
        if <uint32_t>other != s.link_index:
            entry = ring_front(s.group.rings[other * s.group.count + s.link_index])
            if entry != NULL and (oldest < 0 or entry.at < oldest):
                oldest = entry.at
    return oldest


# Buffers.

cdef void link_reclaim(PlaneState* s) noexcept nogil:
    cdef LinkGroup* group = s.group
    cdef Ring* ring
    cdef int other
    if group == NULL:
        return
    for other in range(group.count):
        if <uint32_t>other != s.link_index:
            ring = group.rings[s.link_index * group.count + other]
            if ring.released != ring.written:
                # A plane that closed reads nothing any more, whatever it left.
                ring_reclaim(
                    ring, s.packets,
                    ring.written if load_acquire(&group.members[other].closed) else load_acquire(&ring.read))


cdef Packet* link_packet_take(PlaneState* s) noexcept nogil:
    cdef Packet* packet = packet_take(s.packets)
    if packet == NULL:
        link_reclaim(s)
        packet = packet_take(s.packets)
    return packet


# Waking. A lane that is about to wait says so, then looks once more; a lane that wrote looks whether the other said so. With
# a full fence between the two steps on both sides, at least one of them sees the other.

cdef void link_sleep(PlaneState* s) noexcept nogil:
    if s.group != NULL:
        exchange(&s.group.members[s.link_index].sleeping, 1)
        full_fence()


cdef void link_awake(PlaneState* s) noexcept nogil:
    if s.group != NULL:
        exchange(&s.group.members[s.link_index].sleeping, 0)


cdef uint64_t link_sleepers(PlaneState* s) noexcept nogil:
    cdef uint64_t given = s.link_wake
    cdef uint64_t sleepers = 0
    cdef uint32_t index = 0
    if given == 0:
        return 0
    s.link_wake = 0
    full_fence()
    while given:
        if given & 1 and load_acquire(&s.group.members[index].sleeping) and exchange(&s.group.members[index].sleeping, 0):
            sleepers |= <uint64_t>1 << index
        given >>= 1
        index += 1
    return sleepers


cdef int link_wake_begin(PlaneState* s, uint32_t index) noexcept nogil:
    pthread_mutex_lock(&s.group.members[index].wake)
    return s.group.members[index].wake_fd


cdef void link_wake_end(PlaneState* s, uint32_t index) noexcept nogil:
    pthread_mutex_unlock(&s.group.members[index].wake)


cdef void link_set_wake(PlaneState* s, int fd) noexcept nogil:
    plane_lock(s)
    s.wake_fd = fd
    if s.group != NULL:
        pthread_mutex_lock(&s.group.members[s.link_index].wake)
        s.group.members[s.link_index].wake_fd = fd
        pthread_mutex_unlock(&s.group.members[s.link_index].wake)
    plane_unlock(s)
