"""The rate at which packets arrive."""

from libc.stdlib cimport calloc, free, llabs

cdef enum:
    SPAN_MS = 3
    WINDOW_MS = 350             # of arrivals
    WINDOW_MAX_MS = 1000        # when little is sent
    LEAST_SPANS = 8
    NEWEST_SPANS = 5
    GAP_MS = 1500               # nothing arrived for so long: what was before says nothing
    MS = 1000000


cdef int acked_open(AckedRate* a) noexcept nogil:
    a.spans = <AckedSpan*>calloc(ACKED_FIRST, sizeof(AckedSpan))
    a.places = ACKED_FIRST
    a.count = a.untold = 0
    return -1 if a.spans == NULL else 0


cdef void acked_close(AckedRate* a) noexcept nogil:
    free(a.spans)
    a.spans = NULL


cdef size_t acked_bytes(const AckedRate* a) noexcept nogil:
    return <size_t>a.places * sizeof(AckedSpan)


cdef inline AckedSpan* _span(const AckedRate* a, int64_t number) noexcept nogil:
    return &a.spans[number & (a.places - 1)]


cdef inline int64_t _last_arrived(const AckedSpan* span) noexcept nogil:
    return span.first_arrived + span.lasted


cdef void _grow(AckedRate* a) noexcept nogil:
    # Without memory the rate is that of the spans there are.
    cdef AckedSpan* spans = <AckedSpan*>calloc(2 * a.places, sizeof(AckedSpan))
    cdef int64_t number
    if spans == NULL:
        return
    for number in range(a.count - a.places, a.count):
        spans[number & (2 * a.places - 1)] = _span(a, number)[0]
    free(a.spans)
    a.spans = spans
    a.places *= 2


cdef void acked_untold(AckedRate* a, int64_t bytes) noexcept nogil:
    a.untold += bytes


cdef void acked_add(AckedRate* a, int64_t sent_at, int64_t arrived_at, uint32_t size) noexcept nogil:
    cdef AckedSpan* span = _span(a, a.count - 1) if a.count else NULL
    if span != NULL:
        if llabs(arrived_at - _last_arrived(span)) > <int64_t>GAP_MS * MS:
            a.count = a.untold = 0
        elif arrived_at < span.first_arrived:
            # Reordered: its bytes count, where they belong does not matter within the window.
            span.bytes += size
            return
        elif arrived_at - span.first_arrived < <int64_t>SPAN_MS * MS:
            span.bytes += size
            span.lasted = max(span.lasted, <uint32_t>(arrived_at - span.first_arrived))
            span.last_sent = max(span.last_sent, sent_at)
            return
    # The oldest gives way. Both rates look back until their window is over, the one of busy links not at the last place.
    if a.places <= a.count and a.places < ACKED_MAX \
            and arrived_at - _last_arrived(_span(a, a.count + 2)) < <int64_t>WINDOW_MS * MS:
        _grow(a)
    span = _span(a, a.count)
    span.first_arrived = arrived_at
    span.lasted = 0
    span.last_sent = sent_at
    span.bytes = <uint32_t>(size + a.untold)
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
    newest = _span(a, index)
    while True:
        span = _span(a, index)
        arrived = _last_arrived(newest) - _last_arrived(span)
        if arrived >= <int64_t>WINDOW_MS * MS and (
            a.count - 1 - index >= LEAST_SPANS or arrived >= <int64_t>WINDOW_MAX_MS * MS
        ):
            break
        if index == 0 or a.count - index >= a.places:
            if arrived < <int64_t>WINDOW_MS * MS // 2:
                return 0
            break
        bytes += span.bytes
        index -= 1
    sent = newest.last_sent - span.last_sent
    took = max(arrived, sent)
    return bytes * 8 * 1000 * MS // took if took > 0 else 0


cdef int64_t acked_newest_bps(const AckedRate* a, int64_t window) noexcept nogil:
    cdef int64_t index = a.count - 1
    cdef int64_t bytes = 0
    cdef int64_t took
    cdef const AckedSpan* newest
    cdef const AckedSpan* span
    if a.count < 2:
        return 0
    newest = _span(a, index)
    while index >= 0 and a.count - index < a.places:
        span = _span(a, index)
        took = _last_arrived(newest) - _last_arrived(span)
        if took >= window and a.count - 1 - index >= NEWEST_SPANS:
            return bytes * 8 * 1000 * MS // took
        bytes += span.bytes
        index -= 1
    return 0
