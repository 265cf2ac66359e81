# RTCP: RFC 3550 section 6, RFC 4585 (NACK, PLI), RFC 5104 (FIR), RFC 5506 (reduced size: no report need come first).
#
# Reading is a loop: rtcp_open_untrusted checks the whole datagram once, then every rtcp_next fills one RtcpItem and
# can't fail. Writing appends to a Writer; a writer that does not fit returns -1 and leaves no trace, so that what was
# written before can be sent and the packet tried again in the next datagram.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from rtpfwd.cursor cimport Reader, Writer

cdef enum:
    MAX_REPORT_BLOCKS = 31      # of one SR or RR (its count has five bits)

cdef enum RtcpKind:
    RTCP_SENDER_INFO = 1        # an SR; its report blocks follow as items of their own
    RTCP_RECEIVER_REPORT = 2    # an RR; its report blocks follow as items of their own
    RTCP_REPORT_BLOCK = 3
    RTCP_CNAME = 4              # the CNAME of one SDES chunk; other SDES items are skipped
    RTCP_BYE = 5                # one SSRC of it
    RTCP_APP = 6
    RTCP_NACK = 7               # one PID and BLP pair
    RTCP_PLI = 8
    RTCP_FIR = 9                # one entry
    RTCP_TRANSPORT_CC = 10      # transport-wide feedback, for who reads it; body is its FCI
    RTCP_REMB = 11              # receiver estimated maximum bitrate; body is its FCI
    RTCP_UNKNOWN = 12           # a packet type or format that we do not read; body is all after its header

cdef struct ReportBlock:        # RFC 3550 section 6.4.1
    uint32_t ssrc               # of the stream it reports on
    uint8_t fraction_lost       # in 1/256, since the report before
    int32_t cumulative_lost     # packets, 24 bits signed
    uint32_t highest_seq        # extended: 16 bits of cycles, 16 bits of sequence number
    uint32_t jitter             # RTP clock units
    uint32_t last_sr            # middle 32 bits of the last SR's NTP time; 0 = none came
    uint32_t delay_since_last_sr  # in 1/65536 s

cdef struct RtcpItem:           # borrowed from the datagram
    int kind                    # an RtcpKind; decides which fields below are set
    uint32_t sender             # SSRC of who sent it; a BYE's or CNAME's own SSRC
    uint32_t media              # SSRC it is about: NACK, PLI, TRANSPORT_CC, REMB (as sent); FIR (the entry's)
    uint64_t ntp                # SENDER_INFO: 32.32 seconds since 1900
    uint32_t rtp                # SENDER_INFO: the same instant in RTP clock units
    uint32_t packets            # SENDER_INFO: sent so far
    uint32_t octets             # SENDER_INFO: payload bytes sent so far
    ReportBlock block           # REPORT_BLOCK
    uint16_t pid                # NACK: the first lost sequence number
    uint16_t blp                # NACK: bit i = pid + i + 1 is lost too
    uint8_t fir_seq             # FIR: command sequence number
    uint8_t packet_type         # UNKNOWN: its packet type
    uint8_t format              # UNKNOWN: its count or format field
    const uint8_t* body         # CNAME: text; APP, TRANSPORT_CC, REMB, UNKNOWN: bytes
    uint16_t body_size          # bytes of body

cdef struct RtcpReader:         # opaque to callers
    Reader rest                 # packets not yet begun
    Reader packet               # what is left of the packet in hand
    uint8_t packet_type
    uint8_t format
    uint8_t count               # blocks, chunks or SSRCs not yet given
    uint32_t sender
    uint32_t media
    bint begun                  # a packet is in hand

# 0 or a DropReason; then nothing of the datagram may be used. `size` may be anything.
cdef int rtcp_open_untrusted(RtcpReader* reader, const uint8_t* data, Py_ssize_t size) noexcept nogil
# True: `item` holds the next one. False: the end.
cdef bint rtcp_next(RtcpReader* reader, RtcpItem* item) noexcept nogil

# All writers: 0, or -1 when it does not fit.
cdef int rtcp_write_sr(
    Writer* w, uint32_t ssrc, uint64_t ntp, uint32_t rtp, uint32_t packets, uint32_t octets,
    const ReportBlock* blocks, int count,
) noexcept nogil
cdef int rtcp_write_rr(Writer* w, uint32_t ssrc, const ReportBlock* blocks, int count) noexcept nogil
# SDES with one CNAME of at most 255 bytes.
cdef int rtcp_write_cname(Writer* w, uint32_t ssrc, const uint8_t* cname, Py_ssize_t size) noexcept nogil
cdef int rtcp_write_bye(Writer* w, const uint32_t* ssrcs, int count) noexcept nogil                        # at most 31
cdef int rtcp_write_pli(Writer* w, uint32_t sender, uint32_t media) noexcept nogil
cdef int rtcp_write_fir(Writer* w, uint32_t sender, uint32_t media, uint8_t command_seq) noexcept nogil
# `seqs` ascending in the sense of RTP; neighbours within 17 share one PID and BLP pair.
cdef int rtcp_write_nack(Writer* w, uint32_t sender, uint32_t media, const uint16_t* seqs, int count) noexcept nogil
# REMB (draft-alvestrand-rmcat-remb-03 section 2.2): what all streams of `ssrcs` together may take; at most 255 of them.
cdef int rtcp_write_remb(Writer* w, uint32_t sender, int64_t bps, const uint32_t* ssrcs, int count) noexcept nogil
# The FCI of one: the rate in bit/s, at most 2**62. 0, or DROP_RTCP_MALFORMED.
cdef int rtcp_read_remb_untrusted(const uint8_t* body, int size, int64_t* bps) noexcept nogil

# Middle 32 bits of an NTP time, as last_sr has them.
cdef inline uint32_t ntp_middle(uint64_t ntp) noexcept nogil:
    return <uint32_t>(ntp >> 16)

# A span in 32.32 seconds and back in ns. Spans, not dates: negative ones are fine.
cdef int64_t ns_to_ntp(int64_t ns) noexcept nogil
cdef int64_t ntp_to_ns(int64_t ntp) noexcept nogil
