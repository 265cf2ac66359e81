# H.264 NAL units: single, STAP-A and FU-A (RFC 6184 section 5.2).

from rtpfwd.types cimport PacketView

# Sets layer, is_keyframe, is_frame_start and is_switch_point from payload and marker. A payload that makes no sense
# is no keyframe and names no layer.
cdef void h264_describe(PacketView* view) noexcept nogil
