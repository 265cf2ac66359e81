# VP8 payload descriptor (RFC 7741 section 4.2) and the first byte of the frame header.

from rtpfwd.types cimport PacketView

# Sets what payload and marker show, of fields that `describe` has cleared. A payload that makes no sense is no
# keyframe and names no layer.
cdef void vp8_describe(PacketView* view) noexcept nogil
