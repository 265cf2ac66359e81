"""One consumer's numbering: sequence numbers and timestamps that stay continuous over drops and switches."""

from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from rtpfwd.rate cimport rtp_ticks
from rtpfwd.types cimport DROP_BEFORE_SWITCH, DROP_DUPLICATE, DROP_NONE, DROP_STALE, PacketView

cdef extern from *:
    int popcount64 "__builtin_popcountll"(unsigned long long value) noexcept nogil


cdef void rewriter_init(Rewriter* r, uint32_t clock_rate, uint16_t first_seq) noexcept nogil:
    memset(r, 0, sizeof(Rewriter))
    r.clock_rate = clock_rate
    r.last_out = <int64_t>0x10000 + first_seq - 1
    r.next_out = r.last_out + 1


# The window: one bit for each of the newest REWRITE_WINDOW input numbers.

cdef inline bint _has(const uint64_t* bits, int64_t seq) noexcept nogil:
    return bits[(seq % REWRITE_WINDOW) >> 6] >> (seq & 63) & 1


cdef inline void _put(uint64_t* bits, int64_t seq) noexcept nogil:
    bits[(seq % REWRITE_WINDOW) >> 6] |= <uint64_t>1 << (seq & 63)


cdef void _move_ahead(Rewriter* r, int64_t seq) noexcept nogil:
    # `seq` becomes the newest; what lies between is not given yet and keeps its numbers.
    cdef int64_t between
    r.next_out += seq - r.newest - 1
    if seq - r.newest >= REWRITE_WINDOW:
        memset(r.used, 0, sizeof(r.used))
        memset(r.dropped, 0, sizeof(r.dropped))
    else:
        for between in range(r.newest + 1, seq + 1):
            r.used[(between % REWRITE_WINDOW) >> 6] &= ~(<uint64_t>1 << (between & 63))
            r.dropped[(between % REWRITE_WINDOW) >> 6] &= ~(<uint64_t>1 << (between & 63))
    r.newest = seq
    _put(r.used, seq)


cdef int _count_dropped(const Rewriter* r, int64_t first) noexcept nogil:
    # Declared drops in first .. newest, at most REWRITE_WINDOW numbers.
    cdef int64_t at = first
    cdef int64_t after
    cdef uint64_t word
    cdef int total = 0
    while at <= r.newest:
        after = min((at | 63) + 1, r.newest + 1)
        word = r.dropped[(at % REWRITE_WINDOW) >> 6] >> (at & 63)
        if after - at < 64:
            word &= (<uint64_t>1 << (after - at)) - 1
        total += popcount64(word)
        at = after
    return total


cdef inline bint _is_ours(const Rewriter* r, const PacketView* view) noexcept nogil:
    return r.started and view.ssrc == r.source and view.ext_seq >= r.base


# The three things that happen to a packet.

cdef int rewriter_forward_other(
    Rewriter* r, const PacketView* view, bint is_switch, int64_t now, Rewritten* out) noexcept nogil:
    cdef int64_t seq = view.ext_seq
    cdef int64_t number
    if is_switch:
        _switch(r, view, now)
        number = r.last_out
    elif not _is_ours(r, view):
        return DROP_BEFORE_SWITCH
    elif seq > r.newest:
        _move_ahead(r, seq)
        number = r.next_out
        r.next_out += 1
        r.last_out = number
    elif seq <= r.newest - REWRITE_WINDOW:
        return DROP_STALE
    elif _has(r.used, seq):
        return DROP_DUPLICATE
    else:
        number = r.next_out - (r.newest - seq + 1) + _count_dropped(r, seq)
        _put(r.used, seq)
        r.last_out = max(r.last_out, number)
    out.seq = <uint16_t>number
    out.timestamp = view.timestamp + r.timestamp_offset
    if <int32_t>(out.timestamp - r.last_timestamp) > 0 or is_switch:
        r.last_timestamp = out.timestamp
        r.last_at = now
    return DROP_NONE


cdef void rewriter_drop(Rewriter* r, const PacketView* view) noexcept nogil:
    if not _is_ours(r, view):
        return
    if view.ext_seq > r.newest:
        _move_ahead(r, view.ext_seq)
        _put(r.dropped, view.ext_seq)
    elif view.ext_seq > r.newest - REWRITE_WINDOW:
        # Packets after it have gone out, so its number can't be closed up any more: it stays a gap.
        _put(r.used, view.ext_seq)


cdef void _switch(Rewriter* r, const PacketView* view, int64_t now) noexcept nogil:
    # Begins a new numbering at `view`, right after the highest number sent. Numbers that were kept free behind that
    # one are taken back: their packets would come before the switch, where nothing is forwarded any more.
    r.timestamp_offset = _offset_at_switch(r, view, now)
    r.started = True
    r.source = view.ssrc
    r.base = view.ext_seq
    r.newest = view.ext_seq
    memset(r.used, 0, sizeof(r.used))
    memset(r.dropped, 0, sizeof(r.dropped))
    _put(r.used, view.ext_seq)
    r.last_out += 1
    r.next_out = r.last_out + 1


cdef uint32_t _offset_at_switch(const Rewriter* r, const PacketView* view, int64_t now) noexcept nogil:
    # The output clock goes on by the time that passed. A source that kept its own clock running meanwhile (a pause)
    # keeps its offset, which is exact where the arrival time is not.
    cdef uint32_t expected, kept
    cdef int64_t elapsed
    if not r.started:
        return 0
    elapsed = max(<int64_t>1, rtp_ticks(now - r.last_at, r.clock_rate))
    expected = r.last_timestamp + <uint32_t>elapsed
    kept = view.timestamp + r.timestamp_offset
    if (view.ssrc == r.source and <int32_t>(kept - r.last_timestamp) >= 0
            and -<int64_t>r.clock_rate <= <int32_t>(kept - expected) <= <int64_t>r.clock_rate):
        return r.timestamp_offset
    return expected - view.timestamp
