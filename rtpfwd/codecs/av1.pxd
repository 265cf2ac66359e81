# AV1 aggregation header and first OBU header (AV1 RTP payload format 1.0, section 4.4).

from rtpfwd.types cimport PacketView

# Sets what payload and marker show, of fields that `describe` has cleared. A payload that makes no sense is no
# keyframe and names no layer.
cdef void av1_describe(PacketView* view) noexcept nogil
