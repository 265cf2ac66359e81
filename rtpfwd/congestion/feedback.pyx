"""Reading of transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1).

A chunk of 16 bits is a run (13 bits of length), or a vector of fourteen one-bit or seven two-bit statuses. What a last
chunk says beyond the status count is ignored, as are bytes behind the deltas: they are padding.
"""

from libc.stdint cimport int16_t

from rtpfwd.cursor cimport load_u16, load_u24
from rtpfwd.types cimport DROP_NONE, DROP_RTCP_MALFORMED

cdef enum:
    HEAD = 8                    # base, count, reference time, message count
    MISSING = 0
    SMALL = 1                   # one byte of delta
    LARGE = 2                   # two bytes, signed
    RESERVED = 3


cdef inline int _capacity(uint16_t chunk) noexcept nogil:
    if chunk & 0x8000 == 0:
        return chunk & 0x1fff
    return 7 if chunk & 0x4000 else 14


cdef inline int _symbol(uint16_t chunk, int left) noexcept nogil:
    # `left`: statuses of the chunk that are not yet read, this one counted.
    if chunk & 0x8000 == 0:
        return (chunk >> 13) & 3
    if chunk & 0x4000:
        return (chunk >> (2 * (left - 1))) & 3
    return (chunk >> (left - 1)) & 1


cdef int feedback_open_untrusted(FeedbackReader* f, const uint8_t* body, int size) noexcept nogil:
    cdef int at = HEAD
    cdef int64_t deltas = 0
    cdef int told = 0
    cdef int left, symbol
    cdef uint16_t chunk
    if size < HEAD + 2:
        return DROP_RTCP_MALFORMED
    f.base = load_u16(body)
    f.count = load_u16(body + 2)
    f.reference = load_u24(body + 4)
    f.message = body[7]
    if f.count == 0:
        return DROP_RTCP_MALFORMED
    while told < f.count:
        if at + 2 > size:
            return DROP_RTCP_MALFORMED
        chunk = load_u16(body + at)
        at += 2
        left = _capacity(chunk)
        if left == 0:
            return DROP_RTCP_MALFORMED      # a run of nothing
        while left > 0 and told < f.count:
            symbol = _symbol(chunk, left)
            if symbol == RESERVED:
                return DROP_RTCP_MALFORMED
            deltas += symbol                # SMALL and LARGE are their sizes in bytes
            told += 1
            left -= 1
    if at + deltas > size:
        return DROP_RTCP_MALFORMED
    f.chunk = body + HEAD
    f.delta = body + at
    f.left = 0
    f.given = 0
    return DROP_NONE


cdef bint feedback_next(FeedbackReader* f, int64_t* delta) noexcept nogil:
    cdef int symbol
    if f.left == 0:
        f.status = load_u16(f.chunk)
        f.chunk += 2
        f.left = _capacity(f.status)
    symbol = _symbol(f.status, f.left)
    f.left -= 1
    f.given += 1
    if symbol == SMALL:
        delta[0] = <int64_t>f.delta[0] * FEEDBACK_UNIT
        f.delta += 1
    elif symbol == LARGE:
        delta[0] = <int64_t><int16_t>load_u16(f.delta) * FEEDBACK_UNIT
        f.delta += 2
    else:
        delta[0] = 0
    return symbol != MISSING


cdef int64_t feedback_reference(FeedbackClock* clock, uint32_t reference) noexcept nogil:
    cdef int64_t ahead
    if not clock.started:
        clock.started = True
        clock.steps = 0x4000000 + <int64_t>reference    # so that an older message is no negative time
        return clock.steps * FEEDBACK_STEP
    ahead = (<int64_t>reference - clock.steps) & 0xffffff
    if ahead >= 0x800000:
        ahead -= 0x1000000
    if ahead > 0:
        clock.steps += ahead
        return clock.steps * FEEDBACK_STEP
    return (clock.steps + ahead) * FEEDBACK_STEP
