# VP8 payload descriptor (RFC 7741 section 4.2) and the first byte of the frame header.

from rtpfwd.types cimport PacketView

# Sets layer, is_keyframe, is_frame_start and is_switch_point from payload and marker. A payload that makes no sense
# is no keyframe and names no layer.
cdef void vp8_describe(PacketView* view) noexcept nogil
