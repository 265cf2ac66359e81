# Opus (RFC 7587): a packet is a frame and stands alone.

from rtpfwd.types cimport PacketView

# Sets layer, is_keyframe, is_frame_start and is_switch_point from payload and marker. A payload that makes no sense
# is no keyframe and names no layer.
cdef void opus_describe(PacketView* view) noexcept nogil
