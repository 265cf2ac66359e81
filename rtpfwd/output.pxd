# Everything that leaves the plane: datagrams to the lane or the FIFO, handed-off datagrams and events to Python.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t

from rtpfwd.header cimport HeaderMarks
from rtpfwd.srtp cimport SrtpSender, SrtpSession
from rtpfwd.state cimport Consumer, Encoding, OUT_SLOTS, OutKind, PlaneState, Queue, Queued, Transport, drop
from rtpfwd.tables cimport Endpoint
from rtpfwd.types cimport DROP_TRANSMIT_FULL, Layer

cdef enum:
    OUT_COUNTED = -1

cdef struct MediaRun:           # packets of one consumer, one after the other
    Transport* transport
    Consumer* consumer
    SrtpSender* sender
    OutKind kind
    bint to_area                # not to the FIFO
    bint paced                  # they may not all leave at once: the pacer is asked for each
    int64_t now                 # ns
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
# Media of one consumer, of the pending packets from `first` on at most. run_begin, then out_commit_media for each packet
# whose clear header is in out_slot and whose payload (with its padding) is elsewhere: what the header writer left open is
# filled, and it is protected when the transport is SRTP, with others of its kind, at out_protect at the latest; or it waits
# in the pacer. 0, a DropReason, or OUT_COUNTED: dropped, and counted already. Then run_end.
cdef void run_begin(PlaneState* s, MediaRun* run, Consumer* c, int32_t first, int64_t now) noexcept nogil
cdef int out_commit_media(
    PlaneState* s, MediaRun* run, int header_size, const uint8_t* payload, int payload_size, const HeaderMarks* marks
) noexcept nogil
cdef void run_end(PlaneState* s, const MediaRun* run) noexcept nogil
# Protects what out_commit_media left. Before the plane is unlocked.
cdef void out_protect(PlaneState* s) noexcept nogil
# The same for clear RTCP: protected under `session` when the transport is SRTP.
cdef bint out_commit_rtcp(PlaneState* s, Transport* t, SrtpSession session, int size) noexcept nogil
# A whole clear packet of the consumer's RTX stream is in out_slot: it leaves, or waits in the pacer. False: dropped, counted.
cdef bint out_commit_rtx(PlaneState* s, Consumer* c, int size, const HeaderMarks* marks, int64_t now) noexcept nogil
# A whole clear packet of the consumer's media or RTX stream is in out_slot and leaves now. probe: ProbePlan.id, or 0.
cdef bint out_send(
    PlaneState* s, Consumer* c, bint rtx, int size, const HeaderMarks* marks, uint16_t probe, int64_t now) noexcept nogil
# Bytes on the wire of a datagram of this many.
cdef inline int wire_size(const Transport* t, int size) noexcept nogil:
    return size + (48 if t.remote.family == 6 else 28)

cdef inline bint can_send(const Transport* t) noexcept nogil:   # it has a remote, and keys if it needs any
    return t.has_remote and (not t.srtp or t.send_keys != NULL)

# STUN or DTLS for Python. Nobody's flood takes the room of the others.
cdef void hand_off(PlaneState* s, int socket, const Endpoint* source, const uint8_t* data, int size) noexcept nogil
cdef Queued* queue_front(Queue* queue) noexcept nogil           # NULL: empty
cdef void fifo_pop(PlaneState* s) noexcept nogil                # and its transport's queued bytes
cdef void handoff_pop(PlaneState* s) noexcept nogil             # and its transport's count

# 0, or -1: no room, to be told again later.
cdef int tell_stream_started(PlaneState* s, uint32_t producer, uint32_t encoding, uint32_t ssrc) noexcept nogil
# Another layer flows to the consumer: remembered as told.
cdef int tell_layers_changed(PlaneState* s, Consumer* c, const Layer* current, int64_t now) noexcept nogil
# A keyframe request went out.
cdef int tell_keyframe_asked(PlaneState* s, const Encoding* e, int64_t now) noexcept nogil
cdef int tell_remote_learned(PlaneState* s, const Transport* t) noexcept nogil
cdef int tell_estimate(PlaneState* s, const Transport* t, int64_t now) noexcept nogil
# `body` is the event's from here on, unless it is refused.
cdef int tell_feedback(PlaneState* s, const Transport* t, void* body, int64_t now) noexcept nogil
