# Everything that leaves the plane: datagrams to the lane or the FIFO, handed-off datagrams and events to Python.

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from rtpfwd.cursor cimport store_u16
from rtpfwd.header cimport HeaderMarks
from rtpfwd.srtp cimport SrtpSender, SrtpSession
from rtpfwd.state cimport OUT_SLOTS, OutKind, PlaneState, Queue, Queued, Transport, drop
from rtpfwd.tables cimport Endpoint
from rtpfwd.types cimport DROP_TRANSMIT_FULL

cdef enum:
    OUT_COUNTED = -1

cdef struct MediaRun:           # packets of one consumer, one after the other
    Transport* transport
    SrtpSender* sender
    OutKind kind
    bint to_area                # not to the FIFO
    int trailer                 # bytes that protection appends
    int reason                  # why none of them can go; 0: they can
    # What is counted at its end.
    uint32_t packets
    uint32_t bytes

cdef inline int out_room(const PlaneState* s) noexcept nogil:   # datagrams that still fit into the output area
    return OUT_SLOTS - s.out_count

# Where to write the next datagram: DATAGRAM_SIZE bytes, or NULL when the area is full (then counted). It stays the same
# until the datagram is committed.
cdef inline uint8_t* out_slot(PlaneState* s) noexcept nogil:
    if s.out_count >= OUT_SLOTS:
        drop(s, DROP_TRANSMIT_FULL)
        return NULL
    return s.out_at

# What was written to out_slot goes to the transport's remote. The remote must be known. True: it will leave.
cdef bint out_commit(PlaneState* s, Transport* t, int size, int kind) noexcept nogil
# Media of one consumer. run_begin, then out_commit_media for each packet whose clear header is in out_slot and whose payload
# (with its padding) is elsewhere: it is protected under `sender` when the transport is SRTP, with others of its kind, at
# out_protect at the latest. 0, a DropReason, or OUT_COUNTED: dropped, and counted already. Then run_end.
cdef void run_begin(PlaneState* s, MediaRun* run, Transport* t, SrtpSender* sender, OutKind kind) noexcept nogil
cdef int out_commit_media(
    PlaneState* s, MediaRun* run, int header_size, const uint8_t* payload, int payload_size) noexcept nogil
cdef void run_end(PlaneState* s, const MediaRun* run) noexcept nogil
# Protects what out_commit_media left. Before the plane is unlocked.
cdef void out_protect(PlaneState* s) noexcept nogil
# The same for clear RTCP: protected under `session` when the transport is SRTP.
cdef bint out_commit_rtcp(PlaneState* s, Transport* t, SrtpSession session, int size) noexcept nogil
# Fills what the header writer left open: the transport-wide sequence number.
cdef inline void finish_header(Transport* t, uint8_t* packet, const HeaderMarks* marks) noexcept nogil:
    if marks.transport_cc:
        store_u16(packet + marks.transport_cc, <uint16_t>t.twcc_seq)
        t.twcc_seq += 1

cdef inline bint can_send(const Transport* t) noexcept nogil:   # it has a remote, and keys if it needs any
    return t.has_remote and (not t.srtp or t.send_keys != NULL)

# STUN or DTLS for Python. Nobody's flood takes the room of the others.
cdef void hand_off(PlaneState* s, int socket, const Endpoint* source, const uint8_t* data, int size) noexcept nogil
cdef Queued* queue_front(Queue* queue) noexcept nogil           # NULL: empty
cdef void fifo_pop(PlaneState* s) noexcept nogil                # and its transport's queued bytes
cdef void handoff_pop(PlaneState* s) noexcept nogil             # and its transport's count

# 0, or -1: no room, to be told again later.
cdef int tell_stream_started(PlaneState* s, uint32_t producer, uint32_t encoding, uint32_t ssrc) noexcept nogil
cdef int tell_remote_learned(PlaneState* s, const Transport* t) noexcept nogil
