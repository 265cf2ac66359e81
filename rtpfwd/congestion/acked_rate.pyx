"""The rate at which packets arrive."""

from libc.stdlib cimport llabs

cdef enum:
    SPAN_MS = 3
    WINDOW_MS = 350             # of arrivals
    WINDOW_MAX_MS = 1000        # when little is sent
    BUSY_MS = 100
    LEAST_SPANS = 8
    GAP_MS = 1500               # nothing arrived for so long: what was before says nothing
    MS = 1000000


cdef void acked_untold(AckedRate* a, int64_t bytes) noexcept nogil:
    a.untold += bytes


cdef void acked_add(AckedRate* a, int64_t sent_at, int64_t arrived_at, uint32_t size) noexcept nogil:
    cdef AckedSpan* span = &a.spans[(a.count - 1) % ACKED_PLACES] if a.count else NULL
    if span != NULL:
        if llabs(arrived_at - span.last_arrived) > <int64_t>GAP_MS * MS:
            a.count = a.untold = 0
        elif arrived_at < span.first_arrived:
            # Reordered: its bytes count, where they belong does not matter within the window.
            span.bytes += size
            return
        elif arrived_at - span.first_arrived < <int64_t>SPAN_MS * MS:
            span.bytes += size
            span.last_arrived = max(span.last_arrived, arrived_at)
            span.last_sent = max(span.last_sent, sent_at)
            return
    span = &a.spans[a.count % ACKED_PLACES]
    span.first_arrived = span.last_arrived = arrived_at
    span.last_sent = sent_at
    span.bytes = size + a.untold
    a.untold = 0
    a.count += 1


cdef int64_t acked_bps(const AckedRate* a) noexcept nogil:
    cdef int64_t index = a.count - 1
    cdef int64_t bytes = 0
    cdef int64_t arrived, sent, took
    cdef const AckedSpan* newest
    cdef const AckedSpan* span
    if a.count < 2:
        return 0
    newest = &a.spans[index % ACKED_PLACES]
    while True:
        span = &a.spans[index % ACKED_PLACES]
        arrived = newest.last_arrived - span.last_arrived
        if arrived >= <int64_t>WINDOW_MS * MS and (
            a.count - 1 - index >= LEAST_SPANS or arrived >= <int64_t>WINDOW_MAX_MS * MS
        ):
            break
        if index == 0 or a.count - index >= ACKED_PLACES:
            if arrived < <int64_t>WINDOW_MS * MS // 2:
                return 0
            break
        bytes += span.bytes
        index -= 1
    sent = newest.last_sent - span.last_sent
    took = max(arrived, sent)
    return bytes * 8 * 1000 * MS // took if took > 0 else 0


cdef int64_t acked_busy_bps(const AckedRate* a) noexcept nogil:
    cdef int64_t index = a.count - 1
    cdef int64_t bytes = 0
    cdef int64_t took
    cdef const AckedSpan* newest
    cdef const AckedSpan* span
    if a.count < 2:
        return 0
    newest = &a.spans[index % ACKED_PLACES]
    while index >= 0 and a.count - index < ACKED_PLACES:
        span = &a.spans[index % ACKED_PLACES]
        took = newest.last_arrived - span.last_arrived
        if took >= <int64_t>BUSY_MS * MS:
            return bytes * 8 * 1000 * MS // took
        bytes += span.bytes
        index -= 1
    return 0
