# RTCP from one transport: reports into the streams, NACKs answered, keyframe requests passed on.

from libc.stdint cimport int64_t, uint8_t

from rtpfwd.state cimport PlaneState, Transport

# One clear compound packet. 0 or a DropReason; then nothing of it was used.
cdef int receive_rtcp_untrusted(PlaneState* s, Transport* t, const uint8_t* data, int size, int64_t now) noexcept nogil
