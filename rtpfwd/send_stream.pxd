# The state of one sent SSRC: what was sent under which number, retransmission (RFC 4588), reports (RFC 3550).

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from rtpfwd.codecs.pictures cimport Patch
from rtpfwd.header cimport HeaderMarks, HeaderPlan
from rtpfwd.rate cimport RateMeter, rate_add
from rtpfwd.recv_stream cimport RecvStream
from rtpfwd.rtcp cimport ReportBlock, Writer
from rtpfwd.types cimport PacketView

cdef enum:
    MAX_TIMES = 11              # that one packet is sent, so a viewer can't have the same bytes for ever
    FIRST_SENT = 128            # packets that the record of a new stream has room for
    REPORTS_KEPT = 4            # sender reports of which the send time is known, for the round-trip time

cdef struct Sent:               # one packet sent
    uint32_t in_seq             # low 32 bits of the producer's ext_seq
    uint32_t timestamp          # as sent, RTP clock units
    uint32_t resent_ms          # when it was last sent again: ms of the monotonic clock, low 32 bits
    uint16_t seq                # as sent
    uint8_t times               # sent; 0 = nothing here
    uint8_t encoding            # whose ext_seq it is: index into the producer's encodings
    Patch patch                 # what was written instead of what came
    uint16_t in_timestamp       # low 16 bits of it as it came: a sender that began anew uses its numbers again

cdef struct SendStream:
    # Passed by argument.
    uint32_t ssrc
    uint32_t rtx_ssrc           # 0 = no retransmission
    uint32_t clock_rate         # Hz

    # What was sent. Allocated by send_stream_init; NULL without retransmission.
    Sent* sent                  # at seq & mask
    uint32_t mask
    uint32_t capacity           # packets that it may have room for, a power of two
    uint64_t counted_from       # `packets` at the last report
    uint16_t rtx_seq            # of the next retransmission

    # Counts.
    uint64_t packets            # media packets sent
    uint64_t bytes              # RTP bytes of those
    uint64_t octets             # payload bytes of those, as SR counts them
    uint64_t nacked             # packets the viewer asked for
    uint64_t retransmitted      # packets
    uint64_t retransmitted_bytes
    uint64_t not_found          # asked for, and not in the history any more
    uint64_t too_soon           # asked for again within a round-trip time, or too often: not sent

    # What the viewer reports.
    bint has_report
    uint8_t fraction_lost       # in 1/256
    int32_t cumulative_lost     # packets
    uint32_t jitter             # RTP clock units
    int64_t rtt                 # ns; 0 = unknown
    uint32_t report_ids[REPORTS_KEPT]   # middle NTP bits of the last sender reports
    int64_t report_times[REPORTS_KEPT]  # ns when they were sent
    uint8_t report_next

    RateMeter rate

# capacity: packets that can be asked for again at most, rounded up to a power of two. The record begins with
# FIRST_SENT of them, since most streams are slow and there may be thousands. -1: no memory.
cdef int send_stream_init(
    SendStream* s, uint32_t ssrc, uint32_t rtx_ssrc, uint32_t clock_rate, uint32_t capacity, uint16_t rtx_seq,
) noexcept nogil
cdef void send_stream_free(SendStream* s) noexcept nogil
# Doubles the record: when half of it was filled since the last report, so that the next batch finds room.
cdef void send_stream_grow(SendStream* s) noexcept nogil

# One media packet was sent: what is kept of it. send_stream_count counts it, with others.
cdef inline void send_stream_record(
    SendStream* s, const PacketView* view, uint16_t seq, uint32_t timestamp, const Patch* patch
) noexcept nogil:
    cdef Sent* entry
    if s.sent != NULL:
        entry = &s.sent[seq & s.mask]
        entry.in_seq = <uint32_t>view.ext_seq
        entry.timestamp = timestamp
        entry.seq = seq
        entry.times = 1
        entry.encoding = view.encoding
        entry.patch = patch[0]
        entry.in_timestamp = <uint16_t>view.timestamp

# So many media packets were sent: `bytes` of RTP before SRTP, `octets` of them payload.
cdef inline void send_stream_count(
    SendStream* s, uint32_t packets, uint32_t bytes, uint32_t octets, int64_t now
) noexcept nogil:
    s.packets += packets
    s.bytes += bytes
    s.octets += octets
    if 2 * (s.packets - s.counted_from) > s.mask and s.mask + 1 < s.capacity:
        send_stream_grow(s)
    rate_add(&s.rate, bytes, now)

# Both for one packet that was not patched. `size` is its RTP size in bytes, before SRTP.
cdef inline void send_stream_sent(
    SendStream* s, const PacketView* view, uint16_t seq, uint32_t timestamp, int size, int64_t now
) noexcept nogil:
    cdef Patch nothing
    nothing.flags = 0
    send_stream_record(s, view, seq, timestamp, &nothing)
    send_stream_count(s, 1, size, view.payload_size, now)

# The viewer asks for `seq`. What was sent under it: take in_seq from the history of its encoding; then send_stream_write_rtx.
# NULL: never sent, too long ago, sent so lately that it is still on the way, or sent MAX_TIMES.
cdef const Sent* send_stream_nacked(SendStream* s, uint16_t seq, int64_t now) noexcept nogil
# Whether this kept packet of that encoding is what went out as `seq`.
cdef inline bint send_stream_is_original(const SendStream* s, uint16_t seq, const PacketView* view) noexcept nogil:
    cdef const Sent* entry = &s.sent[seq & s.mask]
    return (
        entry.seq == seq and entry.times != 0 and entry.in_seq == <uint32_t>view.ext_seq
        and entry.in_timestamp == <uint16_t>view.timestamp)
# The whole clear RTX packet for `seq`, whose original is `view` (described, when the original was patched): with the same
# patches. Size in bytes, or -1 when it does not fit.
cdef int send_stream_write_rtx(
    SendStream* s, const HeaderPlan* plan, const PacketView* view, uint16_t seq, uint8_t rtx_payload_type, int64_t now,
    uint8_t* out, Py_ssize_t capacity, HeaderMarks* marks) noexcept nogil
# Nothing that was sent so far is sent again: the viewer goes on with something else.
cdef void send_stream_forget(SendStream* s) noexcept nogil
# The history had it no more; only counts.
cdef void send_stream_not_found(SendStream* s) noexcept nogil

# Appends an SR. Its NTP clock is the producer's own, so that all streams of one producing peer keep their lip sync;
# timestamp_offset is the rewriter's. 1 written, 0 nothing to report yet (no SR came, nothing sent), -1 does not fit.
cdef int send_stream_write_sr(
    SendStream* s, const RecvStream* source, uint32_t timestamp_offset, Writer* w, int64_t now) noexcept nogil
cdef void send_stream_receive_report(SendStream* s, const ReportBlock* block, int64_t now) noexcept nogil
