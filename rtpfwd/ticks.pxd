# What the plane does by time, and how its work is taken out.

from libc.stdint cimport int64_t

from rtpfwd.state cimport Outgoing, PlaneState

# Ends a batch: stage 2 as far as the output area allows. `out` is what to send now; it stays valid, without the lock,
# until the next call. 0: nothing more.
cdef int plane_collect(PlaneState* s, int64_t now, Outgoing** out) noexcept nogil
cdef int64_t plane_next_timeout(const PlaneState* s) noexcept nogil     # ns; -1: none
cdef void plane_timeout(PlaneState* s, int64_t now) noexcept nogil      # does nothing before its time
