# The one switch over codecs.

from rtpfwd.types cimport Codec, PacketView

# Sets layer, is_keyframe, is_frame_start and is_switch_point of a parsed packet. `codec` is a Codec.
cdef void describe(int codec, PacketView* view) noexcept nogil
