# When something is due for a remote end: a binary heap of ends by the soonest of their times.

from bench.state cimport Loop

# One of the end's times has changed.
cdef void schedule(Loop* loop, int number) noexcept nogil
# Nothing is due for it any more.
cdef void heap_remove(Loop* loop, int number) noexcept nogil
