# The viewer's own limit (draft-alvestrand-rmcat-remb-03): a bound beside transport-wide feedback, the estimate without.

from libc.stdint cimport int64_t

cdef struct Remb:               # all zero when new
    int64_t bps                 # 0 = none was received

cdef void remb_set(Remb* r, int64_t bps) noexcept nogil
# The estimate out of what else is known; 0 = there is nothing else.
cdef int64_t remb_bound(const Remb* r, int64_t bps) noexcept nogil
