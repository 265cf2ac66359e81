# How long packets wait in queues: what their way takes now, over the least that it took lately.

from libc.stdint cimport int64_t

cdef struct QueueDelay:         # all zero when new
    bint started
    int64_t least               # ns, in clocks that differ: the least of this span
    int64_t least_before        # and of the span before
    int64_t span_at             # ns of our clock, begin of this span
    double smoothed             # ns over the least
    int64_t stood               # the same of the message before
    int64_t standing            # ns over the least that every packet of the newest message waited; -1 = no packet

# A feedback message begins.
cdef void queue_begin(QueueDelay* q) noexcept nogil
# One packet. `now`: ns of our clock.
cdef void queue_add(QueueDelay* q, int64_t sent_at, int64_t arrived_at, int64_t now) noexcept nogil
# The least that a packet took lately: its arrival by their clock less its sending by ours.
cdef int64_t queue_least(const QueueDelay* q) noexcept nogil
cdef int64_t queue_ns(const QueueDelay* q) noexcept nogil
