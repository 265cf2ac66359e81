# The rate that follows from the detector: down by a factor below what arrives when a queue builds up, up again far from
# the link's capacity by a factor and near it by about a packet for each round trip
# (draft-ietf-rmcat-gcc-02 section 5.5).

from libc.stdint cimport int32_t, int64_t

cdef enum AimdState:
    AIMD_HOLD = 0
    AIMD_INCREASE = 1

cdef struct LinkCapacity:       # all zero when new: what arrived whenever the link was full
    double mean                 # bit/s; 0 = unknown
    double variance             # of it, divided by the mean

cdef struct Aimd:               # aimd_init
    int64_t bps                 # the estimate
    int32_t state               # AimdState
    LinkCapacity capacity
    int64_t changed_at          # ns of the newest increase or decrease; -1 = none
    int64_t decreased_at        # ns; -1 = never

cdef void aimd_init(Aimd* a, int64_t bps) noexcept nogil
# One feedback message. usage: the detector's; acked: bit/s, 0 = unknown; rtt: ns, 0 = unknown; full: what is sent uses
# the estimate up, so a larger one could be tested at all. What changed: 1 up, -1 down, 0 nothing.
cdef int aimd_update(Aimd* a, int32_t usage, int64_t acked, int64_t rtt, bint full, int64_t now) noexcept nogil
# The link broke down to this and its queue is still short: there is nothing to make up for yet, so no share is taken off.
cdef void aimd_fall(Aimd* a, int64_t bps, int64_t now) noexcept nogil
# A probe found this, or someone who knows says it.
cdef void aimd_set(Aimd* a, int64_t bps, bint is_capacity, int64_t now) noexcept nogil
# Bit/s gained in a second near the capacity.
cdef double aimd_additive(int64_t bps, int64_t rtt) noexcept nogil
