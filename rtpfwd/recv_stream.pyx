"""The state of one received SSRC (RFC 3550 section 6, appendices A.1, A.3, A.8) and what to ask again (RFC 4585)."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport malloc, free
from libc.string cimport memmove, memset

from rtpfwd.rate cimport rate_add, rtp_ticks
from rtpfwd.rtcp cimport ReportBlock, ns_to_ntp, ntp_middle
from rtpfwd.types cimport DROP_DUPLICATE, DROP_NONE, DROP_SEQUENCE_JUMP, DROP_STALE, PacketView

cdef enum:
    REORDER_GRACE = 5_000_000       # ns that a missing packet may still be on its way before it is asked for
    GIVE_UP_AFTER = 1_000_000_000   # ns since it was missed: no jitter buffer waits longer
    DEFAULT_RTT = 100_000_000       # ns, while the round-trip time is unknown
    MIN_NACK_SPACING = 20_000_000   # ns
    MAX_NACK_SPACING = 300_000_000  # ns
    MAX_TRANSIT_STEP = 5            # s: a larger step of the transit time is a new timeline, not jitter


cdef int recv_stream_init(RecvStream* s, uint32_t ssrc, uint32_t clock_rate, bint nack) noexcept nogil:
    memset(s, 0, sizeof(RecvStream))
    s.ssrc = ssrc
    s.clock_rate = clock_rate
    s.nack = nack
    s.confirm_seq = -1
    if nack:
        s.missing = <Missing*>malloc(MAX_MISSING * sizeof(Missing))
        if s.missing == NULL:
            return -1
    return 0


cdef void recv_stream_free(RecvStream* s) noexcept nogil:
    free(s.missing)
    s.missing = NULL
    s.missing_count = 0


# Receiving

cdef int recv_stream_receive(RecvStream* s, PacketView* view, int64_t now) noexcept nogil:
    cdef uint16_t ahead
    cdef int reason
    if not s.started:
        if view.is_recovered:
            return DROP_STALE       # repeats a packet from before we listened
        _begin_numbering(s, <int64_t>0x10000 + view.seq)
        s.started = True
        view.ext_seq = s.max_seq
    else:
        ahead = <uint16_t>(view.seq - <uint16_t>s.max_seq)
        if 0 < ahead < MAX_DROPOUT:
            view.ext_seq = s.max_seq + ahead
            _move_ahead(s, view.ext_seq, now)
        elif ahead == 0 or ahead > 0x10000 - SEEN_WINDOW:
            view.ext_seq = s.max_seq - <uint16_t>(-<int>ahead)
            reason = _receive_late(s, view.ext_seq)
            if reason != DROP_NONE:
                return reason
        else:
            reason = _receive_jump(s, view)
            if reason != DROP_NONE:
                return reason
    s.seen[(view.ext_seq % SEEN_WINDOW) >> 6] |= <uint64_t>1 << (view.ext_seq & 63)
    view.arrived = now
    s.packets += 1
    s.bytes += view.size
    rate_add(&s.rate, view.size, now)
    if view.is_recovered:
        s.recovered += 1
    else:
        s.confirm_seq = -1
        s.received += 1
        if view.ext_seq == s.max_seq:
            _measure_jitter(s, view.timestamp, now)
    return DROP_NONE


cdef void _begin_numbering(RecvStream* s, int64_t ext_seq) noexcept nogil:
    s.first_seq = ext_seq
    s.max_seq = ext_seq
    s.confirm_seq = -1
    memset(s.seen, 0, sizeof(s.seen))
    s.received = 0
    s.expected_prior = 0
    s.received_prior = 0
    s.has_transit = False
    s.has_sr = False
    s.missing_count = 0


cdef void _move_ahead(RecvStream* s, int64_t ext_seq, int64_t now) noexcept nogil:
    cdef int64_t seq
    if ext_seq - s.max_seq >= SEEN_WINDOW:
        memset(s.seen, 0, sizeof(s.seen))
    else:
        for seq in range(s.max_seq + 1, ext_seq):
            s.seen[(seq % SEEN_WINDOW) >> 6] &= ~(<uint64_t>1 << (seq & 63))
    if s.nack and ext_seq > s.max_seq + 1:
        _miss(s, s.max_seq + 1, ext_seq, now)
    s.max_seq = ext_seq


cdef int _receive_late(RecvStream* s, int64_t ext_seq) noexcept nogil:
    # A packet behind the newest, or the newest again.
    if ext_seq < s.first_seq:
        if s.restarts:
            return DROP_STALE       # may be of the numbering before
        s.first_seq = ext_seq
    elif s.seen[(ext_seq % SEEN_WINDOW) >> 6] >> (ext_seq & 63) & 1:
        s.duplicates += 1
        return DROP_DUPLICATE
    _found(s, ext_seq)
    return DROP_NONE


cdef int _receive_jump(RecvStream* s, PacketView* view) noexcept nogil:
    # Too far from the newest packet: believed when the next packet follows it (A.1).
    if view.is_recovered:
        return DROP_STALE
    if view.seq != s.confirm_seq:
        s.confirm_seq = <uint16_t>(view.seq + 1)
        return DROP_SEQUENCE_JUMP
    s.earlier_lost += _lost(s)
    s.restarts += 1
    _begin_numbering(s, ((s.max_seq >> 16) + 1) * 0x10000 + view.seq)
    view.ext_seq = s.max_seq
    view.is_restart = True
    return DROP_NONE


cdef void _measure_jitter(RecvStream* s, uint32_t timestamp, int64_t now) noexcept nogil:
    # Only the first packet of a frame: the others share its timestamp and were not sampled when they left.
    cdef int32_t transit = <int32_t>(<uint32_t>rtp_ticks(now, s.clock_rate) - timestamp)
    cdef int64_t step
    if s.has_transit and timestamp == s.jitter_timestamp:
        return
    if s.has_transit:
        step = <int32_t>(<uint32_t>transit - <uint32_t>s.transit)
        if step < 0:
            step = -step
        if step < <int64_t>MAX_TRANSIT_STEP * s.clock_rate:
            s.jitter_q4 += <uint32_t>step - ((s.jitter_q4 + 8) >> 4)
    s.has_transit = True
    s.transit = transit
    s.jitter_timestamp = timestamp


# Reports

cdef void recv_stream_sender_report(
    RecvStream* s, uint64_t ntp, uint32_t rtp, uint32_t packets, uint32_t octets, int64_t now) noexcept nogil:
    s.has_sr = True
    s.sr_ntp = ntp
    s.sr_rtp = rtp
    s.sr_packets = packets
    s.sr_octets = octets
    s.sr_arrived = now


cdef inline int64_t _expected(const RecvStream* s) noexcept nogil:
    return s.max_seq - s.first_seq + 1 if s.started else 0


cdef inline int64_t _lost(const RecvStream* s) noexcept nogil:
    return _expected(s) - <int64_t>s.received


cdef int64_t recv_stream_lost(const RecvStream* s) noexcept nogil:
    return s.earlier_lost + _lost(s)


cdef uint32_t recv_stream_jitter(const RecvStream* s) noexcept nogil:
    return s.jitter_q4 >> 4


cdef void recv_stream_report(RecvStream* s, ReportBlock* block, int64_t now) noexcept nogil:
    cdef int64_t expected = _expected(s)
    cdef int64_t expected_interval = expected - s.expected_prior
    cdef int64_t lost_interval = expected_interval - (<int64_t>s.received - s.received_prior)
    cdef int64_t lost = recv_stream_lost(s)
    s.expected_prior = expected
    s.received_prior = <int64_t>s.received
    block.ssrc = s.ssrc
    block.fraction_lost = 0
    if expected_interval > 0 and lost_interval > 0:
        block.fraction_lost = <uint8_t>min(<int64_t>255, lost_interval * 256 / expected_interval)
    block.cumulative_lost = <int32_t>min(max(lost, <int64_t>-0x800000), <int64_t>0x7FFFFF)
    block.highest_seq = <uint32_t>(s.max_seq - 0x10000) if s.started else 0
    block.jitter = recv_stream_jitter(s)
    block.last_sr = 0
    block.delay_since_last_sr = 0
    if s.has_sr:
        block.last_sr = ntp_middle(s.sr_ntp)
        block.delay_since_last_sr = <uint32_t>(ns_to_ntp(now - s.sr_arrived) >> 16)


# What is missing

cdef void _miss(RecvStream* s, int64_t first, int64_t after, int64_t now) noexcept nogil:
    # Packets first .. after - 1 were not received in order.
    cdef int64_t seq
    cdef Missing* entry
    if s.missing_count + (after - first) > MAX_MISSING:
        s.given_up += <uint64_t>(s.missing_count + (after - first))
        s.missing_count = 0
        s.keyframe_wanted = True
        return
    for seq in range(first, after):
        entry = &s.missing[s.missing_count]
        entry.ext_seq = seq
        entry.since = now
        entry.next_at = now + REORDER_GRACE
        entry.tries = 0
        s.missing_count += 1


cdef void _found(RecvStream* s, int64_t ext_seq) noexcept nogil:
    cdef int low = 0, high = s.missing_count, middle
    while low < high:
        middle = (low + high) // 2
        if s.missing[middle].ext_seq < ext_seq:
            low = middle + 1
        else:
            high = middle
    if low < s.missing_count and s.missing[low].ext_seq == ext_seq:
        s.missing_count -= 1
        memmove(&s.missing[low], &s.missing[low + 1], (s.missing_count - low) * sizeof(Missing))


cdef int recv_stream_nacks(RecvStream* s, uint16_t* out, int room, int64_t rtt, int64_t now) noexcept nogil:
    cdef int64_t spacing = rtt if rtt > 0 else DEFAULT_RTT
    cdef int i, kept = 0, asked = 0
    cdef Missing* entry
    spacing = min(max(spacing + spacing / 4, <int64_t>MIN_NACK_SPACING), <int64_t>MAX_NACK_SPACING)
    for i in range(s.missing_count):
        entry = &s.missing[i]
        if entry.next_at <= now and _is_hopeless(s, entry, now):
            s.given_up += 1
            s.keyframe_wanted = True
            continue
        if entry.next_at <= now and asked < room:
            out[asked] = <uint16_t>entry.ext_seq
            asked += 1
            s.nacked += 1
            entry.tries += 1
            entry.next_at = now + spacing
        s.missing[kept] = entry[0]
        kept += 1
    s.missing_count = kept
    return asked


cdef inline bint _is_hopeless(const RecvStream* s, const Missing* entry, int64_t now) noexcept nogil:
    return (entry.tries >= MAX_NACK_TRIES or now - entry.since >= GIVE_UP_AFTER
            or entry.ext_seq <= s.max_seq - SEEN_WINDOW)


cdef int64_t recv_stream_next_timeout(const RecvStream* s) noexcept nogil:
    cdef int64_t soonest = -1
    cdef int i
    for i in range(s.missing_count):
        if soonest < 0 or s.missing[i].next_at < soonest:
            soonest = s.missing[i].next_at
    return soonest


cdef bint recv_stream_take_keyframe_wanted(RecvStream* s) noexcept nogil:
    cdef bint wanted = s.keyframe_wanted
    s.keyframe_wanted = False
    return wanted
