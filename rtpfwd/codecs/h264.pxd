# H.264 NAL units: single, STAP-A and FU-A (RFC 6184 section 5.2).

from rtpfwd.types cimport PacketView

# Sets what payload and marker show, of fields that `describe` has cleared. A payload that makes no sense is no
# keyframe and names no layer.
cdef void h264_describe(PacketView* view) noexcept nogil
