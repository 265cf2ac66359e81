# Keyframe requests to the producers, which are merged, throttled, and repeated while somebody waits.

from libc.stdint cimport int64_t

from rtpfwd.state cimport Consumer, Encoding, PlaneState

# Somebody needs a keyframe: a request leaves now, or as soon as the throttle allows, or one is on its way already.
cdef void request_keyframe(PlaneState* s, Encoding* e, int64_t now) noexcept nogil
# The same for the encoding that this consumer should see.
cdef void request_keyframe_for(PlaneState* s, Consumer* c, int64_t now) noexcept nogil
cdef void keyframe_received(Encoding* e) noexcept nogil
# When due: sends or repeats the request, or finds that nobody waits any more.
cdef void keyframe_tick(PlaneState* s, Encoding* e, int64_t now) noexcept nogil
