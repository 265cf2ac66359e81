"""Counting what a viewer receives, and writing what it reports: RFC 3550, RFC 4585, transport-wide feedback.

The functions at the end are for tests, which read the packets with a foreign parser.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

cdef enum:
    MS = 1000000
    RTT = 100 * MS              # until a number is asked for again: what libwebrtc assumes before it knows better
    GIVE_UP = 1000 * MS
    TICK = 250000               # ns: the unit of a delta in transport-wide feedback
    REFERENCE = 64 * MS         # ns: the unit of its reference time

cdef enum Symbol:
    MISSING = 0
    SMALL = 1                   # one byte of delta
    LARGE = 2                   # two


cdef inline void _put16(uint8_t* out, uint32_t value) noexcept nogil:
    out[0] = <uint8_t>(value >> 8)
    out[1] = <uint8_t>value


cdef inline void _put32(uint8_t* out, uint32_t value) noexcept nogil:
    _put16(out, value >> 16)
    _put16(out + 2, value & 0xffff)


cdef inline void _head(uint8_t* out, int subtype, int kind, int size) noexcept nogil:
    out[0] = <uint8_t>(0x80 | subtype)
    out[1] = <uint8_t>kind
    _put16(out + 2, size // 4 - 1)


# ---- counting ----


cdef inline bint _seen(const Stream* stream, int64_t seq) noexcept nogil:
    return stream.seen[(seq & WINDOW - 1) >> 6] >> (seq & 63) & 1


cdef inline void _mark(Stream* stream, int64_t seq) noexcept nogil:
    stream.seen[(seq & WINDOW - 1) >> 6] |= <uint64_t>1 << (seq & 63)


cdef void _advance(Stream* stream, int64_t seq, int64_t now) noexcept nogil:
    """`seq` is the new highest: what lies between is missing."""
    cdef int64_t missing
    cdef Hole* hole
    if seq - stream.highest >= WINDOW:
        memset(stream.seen, 0, sizeof(stream.seen))
    else:
        for missing in range(stream.highest + 1, seq + 1):
            stream.seen[(missing & WINDOW - 1) >> 6] &= ~(<uint64_t>1 << (missing & 63))
    if stream.nack and seq - stream.highest > 1:
        for missing in range(max(stream.highest + 1, seq - HOLES), seq):
            if stream.hole_count == HOLES:
                break
            hole = &stream.holes[stream.hole_count]
            hole.seq, hole.noticed, hole.ask_at, hole.tries, hole.filled = missing, now, now, 0, False
            stream.hole_count += 1
    stream.highest = seq


cdef Arrived stream_count(Stream* stream, int seq, uint32_t timestamp, int64_t now) noexcept nogil:
    cdef int64_t extended, transit
    cdef int index
    cdef Arrived result = ARRIVED_NEW
    if stream.highest < 0:
        # One round up, so that a number before the first one is not negative.
        stream.first = extended = seq + 65536
        stream.highest = extended
        stream.seen[(extended & WINDOW - 1) >> 6] = 0
    else:
        extended = stream.highest + ((seq - stream.highest + 0x8000 & 0xffff) - 0x8000)
        if extended > stream.highest:
            _advance(stream, extended, now)
        else:
            result = ARRIVED_LATE
            for index in range(stream.hole_count):
                if stream.holes[index].seq == extended:
                    if stream.holes[index].tries:
                        result = ARRIVED_AGAIN if stream.holes[index].filled else ARRIVED_REPAIRED
                    stream.holes[index].filled = True
                    break
            if result == ARRIVED_AGAIN:
                return result
            if stream.highest - extended >= WINDOW or _seen(stream, extended):
                return ARRIVED_DUPLICATE
            stream.first = min(stream.first, extended)
    _mark(stream, extended)
    stream.packets += 1
    # Repairs would look like jitter (RFC 3550 section 6.4.1 is about the network).
    if stream.clock_rate and result != ARRIVED_REPAIRED:
        transit = now // 1000 * stream.clock_rate // 1000000 - timestamp
        if stream.transit:
            stream.jitter += (abs(<int>(<uint32_t>(transit - stream.transit))) - stream.jitter) / 16
        stream.transit = transit
    return result


cdef int64_t stream_gaps(const Stream* stream) noexcept nogil:
    return stream.highest - stream.first + 1 - <int64_t>stream.packets if stream.highest >= 0 else 0


cdef void transport_count(Transport* transport, int seq, int64_t now) noexcept nogil:
    cdef int64_t extended, missing
    if transport.next < 0:
        transport.next = extended = seq + 65536
        transport.highest = extended - 1
    else:
        extended = transport.highest + ((seq - transport.highest + 0x8000 & 0xffff) - 0x8000)
    if extended < transport.next:
        return  # it was reported missing already
    if extended > transport.highest:
        if extended - transport.next >= TRANSPORT_WINDOW:
            # Nobody asked for feedback in time, or the numbers jumped: begin anew.
            memset(transport.at, 0, sizeof(transport.at))
            transport.next = extended
        transport.highest = extended
    transport.at[extended & TRANSPORT_WINDOW - 1] = now


# ---- reporting ----


cdef int write_receiver_report(uint8_t* out, uint32_t own_ssrc, Stream** streams, int count, int64_t now) noexcept nogil:
    """At most 31 streams (RFC 3550 section 6.4.2)."""
    cdef int index
    cdef int64_t expected, received, lost, fraction
    cdef Stream* stream
    cdef uint8_t* block
    for index in range(count):
        stream = streams[index]
        block = out + 8 + 24 * index
        expected = stream.highest - stream.first + 1
        received = stream.packets
        lost = expected - stream.prior_expected - (received - stream.prior_received)
        fraction = 0
        if lost > 0 and expected > stream.prior_expected:
            fraction = min(255, 256 * lost // (expected - stream.prior_expected))
        stream.prior_expected, stream.prior_received = expected, received
        _put32(block, stream.ssrc)
        _put32(block + 4, <uint32_t>(fraction << 24 | min(expected - received, 0x7fffff)))
        _put32(block + 8, <uint32_t>(stream.highest - 65536))
        _put32(block + 12, <uint32_t>stream.jitter)
        _put32(block + 16, stream.sr)
        _put32(block + 20, <uint32_t>((now - stream.sr_at) // 1000 * 65536 // MS) if stream.sr_at else 0)
    _head(out, count, 201, 8 + 24 * count)
    _put32(out + 4, own_ssrc)
    return 8 + 24 * count


cdef int write_nack(uint8_t* out, int room, uint32_t own_ssrc, Stream* stream, int64_t now, int64_t* again) noexcept nogil:
    cdef int index
    cdef int kept = 0
    cdef int size = 12
    cdef int64_t step
    cdef Hole* hole
    cdef int64_t first = -1
    cdef uint32_t mask = 0
    again[0] = 0
    for index in range(stream.hole_count):
        hole = &stream.holes[index]
        if now - hole.noticed >= GIVE_UP or hole.filled and not hole.tries:
            continue
        if not hole.filled and hole.ask_at <= now and hole.tries < TRIES and size + 8 <= room:
            hole.tries += 1
            hole.ask_at = now + RTT
            step = hole.seq - first
            if first >= 0 and 0 < step <= 16:
                mask |= <uint32_t>1 << (step - 1)
            else:
                if first >= 0:
                    _put16(out + size, <uint32_t>first & 0xffff)
                    _put16(out + size + 2, mask)
                    size += 4
                first, mask = hole.seq, 0
        if not hole.filled and hole.tries < TRIES and (again[0] == 0 or hole.ask_at < again[0]):
            again[0] = hole.ask_at
        stream.holes[kept] = hole[0]
        kept += 1
    stream.hole_count = kept
    if first < 0:
        return 0
    _put16(out + size, <uint32_t>first & 0xffff)
    _put16(out + size + 2, mask)
    size += 4
    _head(out, 1, 205, size)
    _put32(out + 4, own_ssrc)
    _put32(out + 8, stream.ssrc)
    return size


cdef int write_pli(uint8_t* out, uint32_t own_ssrc, uint32_t ssrc) noexcept nogil:
    _head(out, 1, 206, 12)
    _put32(out + 4, own_ssrc)
    _put32(out + 8, ssrc)
    return 12


cdef int _write_chunks(uint8_t* out, const uint8_t* symbols, int count) noexcept nogil:
    """Packet status chunks: a run where seven or more are alike, else a vector of seven two-bit symbols."""
    cdef int at = 0
    cdef int size = 0
    cdef int run, index
    cdef uint32_t chunk
    while at < count:
        run = 1
        while at + run < count and symbols[at + run] == symbols[at]:
            run += 1
        if run >= 7 or at + run == count:
            _put16(out + size, symbols[at] << 13 | run)
            at += run
        else:
            chunk = 0xc000
            for index in range(min(7, count - at)):
                chunk |= <uint32_t>symbols[at + index] << (12 - 2 * index)
            _put16(out + size, chunk)
            at += 7
        size += 2
    return size


cdef int write_transport_feedback(uint8_t* out, uint32_t own_ssrc, uint32_t ssrc, Transport* transport) noexcept nogil:
    """draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1."""
    cdef uint8_t[FEEDBACK_MOST] symbols
    cdef uint8_t[2 * FEEDBACK_MOST] deltas
    cdef int delta_size = 0
    cdef int count = 0
    cdef int size, padding, index
    cdef int64_t at, delta
    cdef int64_t tick = 0           # set with the reference
    cdef int64_t reference = -1
    cdef int64_t seq = transport.next
    if transport.next < 0 or transport.highest < transport.next:
        return 0
    while seq <= transport.highest and count < FEEDBACK_MOST:
        at = transport.at[seq & TRANSPORT_WINDOW - 1]
        symbols[count] = MISSING
        if at:
            if reference < 0:
                reference = at // REFERENCE
                tick = reference * REFERENCE // TICK
            delta = at // TICK - tick
            if not -32768 <= delta <= 32767:
                break  # too far from the one before: the next feedback begins with it
            tick += delta
            if 0 <= delta <= 255:
                symbols[count] = SMALL
                deltas[delta_size] = <uint8_t>delta
                delta_size += 1
            else:
                symbols[count] = LARGE
                _put16(deltas + delta_size, <uint32_t>delta & 0xffff)
                delta_size += 2
            transport.at[seq & TRANSPORT_WINDOW - 1] = 0
        count += 1
        seq += 1
    _put32(out + 4, own_ssrc)
    _put32(out + 8, ssrc)
    _put16(out + 12, <uint32_t>transport.next & 0xffff)
    _put16(out + 14, count)
    _put32(out + 16, <uint32_t>(max(reference, 0) << 8) | transport.feedbacks)
    size = 20 + _write_chunks(out + 20, symbols, count)
    for index in range(delta_size):
        out[size + index] = deltas[index]
    size += delta_size
    padding = -size & 3
    if padding:
        memset(out + size, 0, padding)
        size += padding
        out[size - 1] = <uint8_t>padding
    _head(out, 15, 205, size)
    if padding:
        out[0] |= 0x20
    transport.feedbacks += 1
    transport.next = seq
    return size
