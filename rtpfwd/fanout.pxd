# Stage 2: the pending packets of each producer to each of its consumers.

from libc.stdint cimport int64_t

from rtpfwd.state cimport PlaneState

# Works until everything pending is done or the output area can't hold the next consumer's packets. True: all done.
cdef bint fan_out(PlaneState* s, int64_t now) noexcept nogil
