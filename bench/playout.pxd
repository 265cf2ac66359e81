# What a publisher sends: a script of packets, played in a loop. A frame of synthetic video is a script of one frame.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from rtpfwd.srtp cimport SrtpSender

cdef enum:
    LONGEST = 1500              # bytes of one packet in the clear
    STAMP_BYTES = 12            # server/testing/stamps.py: a 32-bit counter and the sender's clock, big-endian
    PAST = 1024                 # packets of one SSRC that can be sent again


cdef struct Past:
    int64_t number              # of the packet; -1: none
    int step
    uint32_t timestamp
    int64_t sent_at             # ns: what its stamp says


cdef struct Sent:               # one SSRC
    uint32_t ssrc
    uint32_t rtx_ssrc           # 0: none
    int rtx_payload_type
    int clock_rate              # Hz
    bint video
    uint16_t first_seq
    uint16_t rtx_seq
    uint32_t first_timestamp
    int64_t per_loop            # packets
    SrtpSender sender
    SrtpSender rtx_sender
    uint64_t packets            # media, without retransmissions
    uint64_t bytes              # of payload
    uint32_t last_timestamp
    int64_t last_at             # ns; 0: nothing was sent
    Past[PAST] past             # by number % PAST


cdef struct Step:               # one packet of a script
    int64_t at                  # ns from the loop's beginning
    uint32_t data               # offset of its first bytes in `bytes`
    uint32_t timestamp          # from the first one of its SSRC
    int rank                    # among the packets of its SSRC
    uint16_t kept               # bytes there: the header and the beginning of the payload
    uint16_t size               # bytes of the whole packet
    uint16_t header             # bytes
    uint16_t stamp              # where the stamp begins; 0: too small for one
    uint16_t transport_seq      # where these header extensions' data begin; 0: it has none
    uint16_t send_time
    uint8_t sent                # which SSRC
    bint new_frame
    int key_header              # synthetic: bytes of VP8 header, of a key frame or not, that the payload begins with


cdef struct Source:
    Sent* sents
    int sent_count
    Step* steps
    int step_count
    uint8_t* bytes
    int64_t duration            # ns of one loop
    int64_t frame               # ns
    int position                # the next step
    int64_t loop                # how often it was played
    int64_t began               # ns: when the loop began; step n is due at began + steps[n].at
    int64_t end                 # ns: nothing is due from here on
    int64_t idle                # ns between plays: the timestamps go on
    bint playing
    bint key_frame_wanted
    uint16_t transport_seq
    uint64_t frames
    uint64_t late_frames
    int64_t latest              # ns, since the last play began
    uint64_t refused
    uint64_t key_frame_requests
    uint64_t nacked             # numbers that the server asked for
    uint64_t resent


# From the calling clock's `start` until `end`, both ns.
cdef void source_play(Source* source, int64_t start, int64_t end) noexcept nogil
# When the next step is due, or -1 when it is not playing.
cdef int64_t source_due(const Source* source) noexcept nogil
# Write the next step's packet in the clear. Answers its size; *sent says whose it is, *header how much of it is header.
cdef int source_next(Source* source, uint8_t* out, int64_t now, Sent** sent, int* header) noexcept nogil
# Write the RTX packet (RFC 4588) for a sequence number; 0: there is none.
cdef int source_again(Source* source, Sent* sent, int seq, uint8_t* out, int* header) noexcept nogil
# Write a sender report for everything that was sent; 28 bytes each.
cdef int source_report(const Source* source, uint8_t* out, int room, int64_t now) noexcept nogil
cdef void source_close(Source* source) noexcept nogil   # and free; NULL does no harm
