# Stage 2: the pending packets of each producer to each of its consumers.

from libc.stdint cimport int64_t

from rtpfwd.state cimport PlaneState

# Levels what stage 1 left and gives it to the planes that mirror its producers, so that they begin before this one has
# forwarded it. fan_out does it too.
cdef void share(PlaneState* s, int64_t now) noexcept nogil
# Works until everything pending is done or the output area can't hold the next consumer's packets. True: all done.
cdef bint fan_out(PlaneState* s, int64_t now) noexcept nogil
