# Probes: packets at a rate above the estimate, to find out what the path carries (congestion_take_probe).
#
# What waits in the pacer goes first. Then packets that the viewer has, once more on its RTX stream (RFC 4588): should one have been
# lost, it is repaired. Where nothing is kept, RTX packets of padding alone, as libwebrtc sends them.

from libc.stdint cimport int64_t

from rtpfwd.state cimport PlaneState, Transport

# Whether some stream of the transport can carry a probe now.
cdef bint padding_possible(const Transport* t) noexcept nogil
# Sends what the running probe wants by now. ns of its next packet; -1: it is over.
cdef int64_t padding_send(PlaneState* s, Transport* t, int64_t now) noexcept nogil
