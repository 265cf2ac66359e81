# The state of one received SSRC (RFC 3550 section 6 and appendices A.1, A.3, A.8) and what to ask again (RFC 4585).

from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t

from rtpfwd.rate cimport RateMeter
from rtpfwd.rtcp cimport ReportBlock
from rtpfwd.types cimport PacketView

cdef enum:
    SEEN_WINDOW = 1024          # packets behind the newest that are told apart from duplicates; older ones are stale
    MAX_DROPOUT = 3000          # packets: a larger jump forward has to be confirmed by the next packet (A.1)
    MAX_MISSING = 256           # packets asked for at once; more missing is hopeless and wants a keyframe
    MAX_NACK_TRIES = 10

cdef struct Missing:
    int64_t ext_seq
    int64_t since               # ns when it was missed
    int64_t next_at             # ns when it is asked for (again)
    int32_t tries               # times asked for

cdef struct RecvStream:
    # Passed by argument.
    uint32_t ssrc
    uint32_t clock_rate         # Hz
    bint nack                   # lost packets are asked for

    # Sequence. Extended numbers begin in [2**16, 2**17), so that one late packet before the first is not negative.
    bint started                # a packet was received
    int64_t first_seq           # of the numbering in force: where expected packets are counted from
    int64_t max_seq             # highest received
    int32_t confirm_seq         # 16 bits that would confirm a restart; -1 = none expected
    uint64_t seen[16]           # SEEN_WINDOW bits: bit ext_seq % SEEN_WINDOW = received

    # Counts since the stream began, restarts included.
    uint64_t packets            # accepted, recovered ones too
    uint64_t bytes              # RTP bytes of those, headers and padding included
    uint64_t duplicates
    uint64_t recovered          # came through RTX
    uint64_t restarts
    uint64_t nacked             # packets asked for, each time counted
    uint64_t given_up           # packets never asked for again

    # Loss, of the numbering in force (A.3).
    uint64_t received           # packets, recovered ones not counted: the report is about the network
    int64_t earlier_lost        # packets lost in numberings before
    int64_t expected_prior      # at the report before
    int64_t received_prior

    # Jitter (A.8).
    bint has_transit
    int32_t transit             # RTP clock units, of the newest packet
    uint32_t jitter_q4          # RTP clock units * 16
    uint32_t jitter_timestamp   # of the newest frame measured

    # The last sender report.
    bint has_sr
    uint64_t sr_ntp             # 32.32 seconds, the producer's own clock
    uint32_t sr_rtp             # RTP clock units
    int64_t sr_arrived          # ns
    uint32_t sr_packets         # as the sender counts
    uint32_t sr_octets

    # What is missing. Allocated by recv_stream_init when nack is set.
    Missing* missing            # MAX_MISSING entries, ascending by ext_seq
    int32_t missing_count
    bint keyframe_wanted        # a lost packet was given up: only a keyframe repairs the picture

    RateMeter rate

cdef int recv_stream_init(RecvStream* s, uint32_t ssrc, uint32_t clock_rate, bint nack) noexcept nogil  # -1: no memory
cdef void recv_stream_free(RecvStream* s) noexcept nogil

# One packet of this SSRC, or one recovered for it (view.is_recovered). Sets arrived, ext_seq and is_restart.
# 0, or DROP_DUPLICATE, DROP_STALE, DROP_SEQUENCE_JUMP: then it goes no further.
cdef int recv_stream_receive(RecvStream* s, PacketView* view, int64_t now) noexcept nogil

cdef void recv_stream_sender_report(
    RecvStream* s, uint64_t ntp, uint32_t rtp, uint32_t packets, uint32_t octets, int64_t now) noexcept nogil
cdef void recv_stream_report(RecvStream* s, ReportBlock* block, int64_t now) noexcept nogil   # begins the next interval
cdef int64_t recv_stream_lost(const RecvStream* s) noexcept nogil       # packets; negative with duplicates on the way
cdef uint32_t recv_stream_jitter(const RecvStream* s) noexcept nogil    # RTP clock units

# The sequence numbers to ask for now, ascending: at most `room` of them. Marks them asked. rtt in ns, 0 = unknown.
cdef int recv_stream_nacks(RecvStream* s, uint16_t* out, int room, int64_t rtt, int64_t now) noexcept nogil
cdef int64_t recv_stream_next_timeout(const RecvStream* s) noexcept nogil       # ns; -1 = nothing to ask for
cdef bint recv_stream_take_keyframe_wanted(RecvStream* s) noexcept nogil        # and clears it
