# Everything that leaves the plane: datagrams to the lane or the FIFO, handed-off datagrams and events to Python.

from libc.stdint cimport uint8_t, uint32_t

from rtpfwd.header cimport HeaderMarks
from rtpfwd.srtp cimport SrtpSender, SrtpSession
from rtpfwd.state cimport PlaneState, Queue, Queued, Transport
from rtpfwd.tables cimport Endpoint

cdef enum:
    OUT_COUNTED = -1

cdef int out_room(PlaneState* s) noexcept nogil                 # datagrams that still fit into the output area
# Where to write the next datagram: DATAGRAM_SIZE bytes, or NULL when the area is full (then counted).
cdef uint8_t* out_slot(PlaneState* s) noexcept nogil
# What was written to out_slot goes to the transport's remote. The remote must be known. True: it will leave.
cdef bint out_commit(PlaneState* s, Transport* t, int size, int kind) noexcept nogil
# The same for one media packet whose clear header is in out_slot and whose payload (with its padding) is elsewhere: it is
# protected under `sender` when the transport is SRTP, with others of its kind, at out_protect at the latest. 0, a DropReason, or
# OUT_COUNTED: dropped, and counted already.
cdef int out_commit_media(
    PlaneState* s, Transport* t, SrtpSender* sender, int kind, int header_size, const uint8_t* payload, int payload_size,
) noexcept nogil
# Protects what out_commit_media left. Before the plane is unlocked.
cdef void out_protect(PlaneState* s) noexcept nogil
# The same for clear RTCP: protected under `session` when the transport is SRTP.
cdef bint out_commit_rtcp(PlaneState* s, Transport* t, SrtpSession session, int size) noexcept nogil
# Fills what the header writer left open: the transport-wide sequence number.
cdef void finish_header(Transport* t, uint8_t* packet, const HeaderMarks* marks) noexcept nogil
cdef bint can_send(const Transport* t) noexcept nogil           # it has a remote, and keys if it needs any

# STUN or DTLS for Python. Nobody's flood takes the room of the others.
cdef void hand_off(PlaneState* s, int socket, const Endpoint* source, const uint8_t* data, int size) noexcept nogil
cdef Queued* queue_front(Queue* queue) noexcept nogil           # NULL: empty
cdef void fifo_pop(PlaneState* s) noexcept nogil                # and its transport's queued bytes
cdef void handoff_pop(PlaneState* s) noexcept nogil             # and its transport's count

# 0, or -1: no room, to be told again later.
cdef int tell_stream_started(PlaneState* s, uint32_t producer, uint32_t encoding, uint32_t ssrc) noexcept nogil
cdef int tell_remote_learned(PlaneState* s, const Transport* t) noexcept nogil
