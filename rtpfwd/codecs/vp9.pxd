# VP9 payload descriptor (RFC 9628 section 4.2).

from rtpfwd.types cimport PacketView

# Sets what payload and marker show, of fields that `describe` has cleared. A payload that makes no sense is no
# keyframe and names no layer.
cdef void vp9_describe(PacketView* view) noexcept nogil
