# What a viewer counts of the streams that it receives, and what it says about them in RTCP.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef enum Arrived:
    ARRIVED_NEW = 0             # in order, or with a gap before it
    ARRIVED_LATE = 1            # after a higher number
    ARRIVED_REPAIRED = 2        # late, because it had been asked for
    ARRIVED_AGAIN = 3           # a second time, and asked for: the first transmission was slow
    ARRIVED_DUPLICATE = 4       # a second time, or so long after that it may be

cdef enum:
    WINDOW = 1024               # sequence numbers of which is known whether they have arrived
    SEEN_WORDS = 16             # of 64 bits
    HOLES = 64                  # numbers that are asked for at a time
    TRIES = 10                  # NACKs for one number, as libwebrtc sends at most
    TRANSPORT_WINDOW = 2048     # transport-wide sequence numbers waiting for feedback
    FEEDBACK_MOST = 400         # of them in one packet, which so stays below 1200 bytes


cdef struct Hole:
    int64_t seq                 # extended
    int64_t noticed             # ns
    int64_t ask_at              # ns
    int tries
    bint filled


cdef struct Stream:             # one SSRC that a viewer was promised
    uint32_t ssrc
    uint32_t rtx_ssrc           # 0: none
    int clock_rate              # Hz
    bint video                  # asks for key frames
    bint nack                   # asks for what is missing
    bint in_place               # the server neither leaves out nor adds: sequence number minus stamp is constant
    int stamped_from            # bytes of payload from which on it ends with a stamp
    uint64_t packets            # distinct ones
    uint64_t bytes              # of them: UDP payload
    uint64_t duplicates
    uint64_t late
    uint64_t repaired
    uint64_t verified           # sampled packets that were authentic and carried what was sent
    uint64_t rejected           # sampled packets that were not
    int64_t offset              # sequence number minus stamp, modulo 65536; -1 before the first sample
    int64_t first               # extended sequence number; -1 before the first packet
    int64_t highest
    uint64_t[SEEN_WORDS] seen   # bit n % WINDOW: n has arrived
    int64_t prior_expected      # RFC 3550 appendix A.3, at the last report
    int64_t prior_received
    int64_t transit             # RTP units; appendix A.8
    double jitter               # RTP units
    uint32_t sr                 # the middle of the last sender report's NTP time
    int64_t sr_at               # ns; 0: none has come
    int hole_count
    Hole[HOLES] holes


cdef struct Transport:          # of one viewer, for transport-wide feedback
    int64_t next                # extended number that the next feedback begins with; -1 before the first packet
    int64_t highest
    uint8_t feedbacks
    int64_t[TRANSPORT_WINDOW] at  # ns by number % TRANSPORT_WINDOW; 0: not received


cdef Arrived stream_count(Stream* stream, int seq, uint32_t timestamp, int64_t now) noexcept nogil
# Missing between first and highest.
cdef int64_t stream_gaps(const Stream* stream) noexcept nogil
cdef void transport_count(Transport* transport, int seq, int64_t now) noexcept nogil

# All write one RTCP packet in the clear and answer its size.
cdef int write_receiver_report(uint8_t* out, uint32_t own_ssrc, Stream** streams, int count, int64_t now) noexcept nogil
# What is due; 0: nothing is. `room` is at least 20 bytes. *again: when to come back, or 0 for never.
cdef int write_nack(uint8_t* out, int room, uint32_t own_ssrc, Stream* stream, int64_t now, int64_t* again) noexcept nogil
cdef int write_pli(uint8_t* out, uint32_t own_ssrc, uint32_t ssrc) noexcept nogil
# 0: nothing new has arrived. At most 1200 bytes.
cdef int write_transport_feedback(uint8_t* out, uint32_t own_ssrc, uint32_t ssrc, Transport* transport) noexcept nogil
