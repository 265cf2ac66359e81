# Opus (RFC 7587): a packet is a frame and stands alone.

from rtpfwd.types cimport PacketView

# Sets what payload and marker show, of fields that `describe` has cleared. A payload that makes no sense is no
# keyframe and names no layer.
cdef void opus_describe(PacketView* view) noexcept nogil
