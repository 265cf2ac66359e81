# What the plane does by time, and how its work is taken out.

from libc.stdint cimport int64_t

from rtpfwd.state cimport Outgoing, PlaneState

# Ends a batch: stage 2 as far as the output area allows. `out` is what to send now; it stays valid, without the lock,
# until the next call. 0: nothing more.
cdef int plane_collect(PlaneState* s, int64_t now, Outgoing** out) noexcept nogil
# Without a lane: takes and forwards everything that other planes gave this one.
cdef void plane_take_links(PlaneState* s, int64_t now) noexcept nogil
# ns; -1: none. As long as another plane's packets wait, the time when the oldest of them was given.
cdef int64_t plane_next_timeout(const PlaneState* s) noexcept nogil
cdef void plane_timeout(PlaneState* s, int64_t now) noexcept nogil      # does nothing before its time
