# Bits per second over the last second, in fixed memory, and time in RTP clock units. RateMeter is all zero when new.

from libc.stdint cimport int64_t, uint32_t

cdef enum:
    RATE_SLOTS = 8              # of 125 ms

cdef struct RateMeter:
    uint32_t slots[RATE_SLOTS]  # bytes of each span of 125 ms, a ring
    int64_t newest              # number of the newest span: its time in ns / 125 ms

cdef void rate_add(RateMeter* meter, uint32_t size, int64_t now) noexcept nogil     # size in bytes
cdef int64_t rate_bps(RateMeter* meter, int64_t now) noexcept nogil                 # over whole spans, newest left out

cdef inline int64_t rtp_ticks(int64_t ns, uint32_t clock_rate) noexcept nogil:
    # A span in RTP clock units. Seconds and the rest apart, so that years of uptime don't overflow.
    cdef int64_t seconds = ns / 1_000_000_000
    return seconds * clock_rate + (ns - seconds * 1_000_000_000) * clock_rate / 1_000_000_000
