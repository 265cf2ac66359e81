# Stage 1: one datagram from the network to a pending packet, an RTCP report taken in, or a counted drop.

from libc.stdint cimport int64_t, uint8_t

from rtpfwd.state cimport PlaneState
from rtpfwd.tables cimport Endpoint

# `size` is the datagram's own size, even when the kernel cut it to DATAGRAM_SIZE. Writes nothing to `data`.
cdef void plane_receive(
    PlaneState* s, int socket, const Endpoint* source, const uint8_t* data, int size, int64_t now) noexcept nogil
