"""Queueing delay by a running minimum over two spans of 10 s, so that a longer path is taken for one within 20 s."""

cdef double WEIGHT = 0.1        # of one packet

cdef enum:
    SECOND = 1000000000
    SPAN_S = 10


cdef void queue_begin(QueueDelay* q) noexcept nogil:
    q.stood = q.standing
    q.standing = -1


cdef void queue_add(QueueDelay* q, int64_t sent_at, int64_t arrived_at, int64_t now) noexcept nogil:
    cdef int64_t way = arrived_at - sent_at
    if not q.started:
        q.started = True
        q.least = q.least_before = way
        q.standing = 0
        q.span_at = now
        return
    if now - q.span_at >= <int64_t>SPAN_S * SECOND:
        q.least_before = q.least
        q.least = way
        q.span_at = now
    q.least = min(q.least, way)
    way -= min(q.least, q.least_before)
    q.smoothed += WEIGHT * (way - q.smoothed)
    q.standing = way if q.standing < 0 else min(q.standing, way)


cdef int64_t queue_least(const QueueDelay* q) noexcept nogil:
    return min(q.least, q.least_before)


cdef int64_t queue_ns(const QueueDelay* q) noexcept nogil:
    return <int64_t>q.smoothed
