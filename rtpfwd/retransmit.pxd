# NACKed packets to one viewer, on its retransmission stream (RFC 4588), from the history here or of another plane.

from libc.stdint cimport int64_t, uint16_t

from rtpfwd.rings cimport Packet
from rtpfwd.state cimport Consumer, PlaneState

# The viewer asks for `seq` again. `answers` is how many packets this compound RTCP packet may still cost.
cdef void retransmit(PlaneState* s, Consumer* c, uint16_t seq, int64_t now, int* answers) noexcept nogil
# What another plane answered for this consumer; NULL when it went meanwhile, or when the packet is kept no more.
cdef void resend_linked(PlaneState* s, Consumer* c, const Packet* packet, uint16_t seq, int64_t now) noexcept nogil
# A packet that this viewer was sent lately, once more on its RTX stream, as part of a probe. Bytes on the wire; 0: not kept any
# more, or not sent again by this plane.
cdef int resend_for_probe(PlaneState* s, Consumer* c, uint16_t seq, uint16_t probe, int64_t now) noexcept nogil
