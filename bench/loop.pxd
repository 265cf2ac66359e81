# The thread that plays all remote ends.

from bench.state cimport Counts, End, Loop

# Until loop.stopping; takes the mutex.
cdef void loop_run(Loop* loop) noexcept nogil
# Totals over all ends, also those that left.
cdef Counts loop_counts(Loop* loop) noexcept nogil
cdef void count_end(Counts* total, const End* end) noexcept nogil
cdef void end_free(End* end) noexcept nogil     # makes it a free place; a free one stays so
