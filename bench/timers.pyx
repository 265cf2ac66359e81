"""The heap of timers."""

from libc.stdint cimport int64_t

from bench.playout cimport source_due
from bench.state cimport End, Loop, NEVER


cdef void schedule(Loop* loop, int number) noexcept nogil:
    cdef End* end = &loop.ends[number]
    cdef int64_t due = min(min(end.consent_at, end.report_at), min(end.nack_at, min(end.feedback_at, end.pli_at)))
    if end.source != NULL and end.source.playing:
        due = min(due, source_due(end.source))
    end.due = due
    if due == NEVER:
        heap_remove(loop, number)
        return
    if end.heap_at < 0:
        end.heap_at = loop.heap_size
        loop.heap[loop.heap_size] = number
        loop.heap_size += 1
    sift(loop, end.heap_at)


cdef void heap_remove(Loop* loop, int number) noexcept nogil:
    cdef int at = loop.ends[number].heap_at
    if at < 0:
        return
    loop.ends[number].heap_at = -1
    loop.heap_size -= 1
    if at < loop.heap_size:
        loop.heap[at] = loop.heap[loop.heap_size]
        loop.ends[loop.heap[at]].heap_at = at
        sift(loop, at)


cdef void sift(Loop* loop, int at) noexcept nogil:
    """Up or down, whichever is needed."""
    cdef int number = loop.heap[at]
    cdef int64_t due = loop.ends[number].due
    cdef int other
    while at > 0:
        other = (at - 1) >> 1
        if loop.ends[loop.heap[other]].due <= due:
            break
        loop.heap[at] = loop.heap[other]
        loop.ends[loop.heap[at]].heap_at = at
        at = other
    while True:
        other = 2 * at + 1
        if other >= loop.heap_size:
            break
        if other + 1 < loop.heap_size and loop.ends[loop.heap[other + 1]].due < loop.ends[loop.heap[other]].due:
            other += 1
        if loop.ends[loop.heap[other]].due >= due:
            break
        loop.heap[at] = loop.heap[other]
        loop.ends[loop.heap[at]].heap_at = at
        at = other
    loop.heap[at] = number
    loop.ends[number].heap_at = at
