"""Bits per second over the last second, in fixed memory."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

cdef enum:
    SPAN = 125_000_000          # ns


cdef void _advance(RateMeter* meter, int64_t span) noexcept nogil:
    cdef int64_t i
    if span - meter.newest >= RATE_SLOTS:
        memset(meter.slots, 0, sizeof(meter.slots))
        meter.newest = span
    while meter.newest < span:
        meter.newest += 1
        meter.slots[meter.newest % RATE_SLOTS] = 0


cdef void rate_add(RateMeter* meter, uint32_t size, int64_t now) noexcept nogil:
    _advance(meter, now / SPAN)
    meter.slots[meter.newest % RATE_SLOTS] += size


cdef int64_t rate_bps(RateMeter* meter, int64_t now) noexcept nogil:
    # The newest span is still filling, so the figure covers the seven whole ones before it.
    cdef uint64_t total = 0
    cdef int i
    _advance(meter, now / SPAN)
    for i in range(RATE_SLOTS):
        if i != meter.newest % RATE_SLOTS:
            total += meter.slots[i]
    return <int64_t>(total * 8 * 8 / (RATE_SLOTS - 1))
