"""The state of one sent SSRC: what was sent under which number, retransmission (RFC 4588), reports (RFC 3550)."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from rtpfwd.codecs.pictures cimport patch_header, patch_payload
from rtpfwd.header cimport HeaderMarks, HeaderPlan, rtx_write_packet
from rtpfwd.rate cimport rate_add, rtp_ticks
from rtpfwd.recv_stream cimport RecvStream
from rtpfwd.rtcp cimport ReportBlock, Writer, ns_to_ntp, ntp_middle, ntp_to_ns, rtcp_write_sr
from rtpfwd.types cimport PacketView

cdef enum:
    DEFAULT_SPACING_MS = 20     # between two retransmissions of one packet, while the round-trip time is unknown
    MIN_SPACING_MS = 10         # the round-trip time is the viewer's word
    MAX_SPACING_MS = 300
    NS_PER_MS = 1_000_000


cdef int send_stream_init(
    SendStream* s, uint32_t ssrc, uint32_t rtx_ssrc, uint32_t clock_rate, uint32_t capacity, uint16_t rtx_seq,
) noexcept nogil:
    cdef uint32_t rounded = 1
    memset(s, 0, sizeof(SendStream))
    s.ssrc = ssrc
    s.rtx_ssrc = rtx_ssrc
    s.clock_rate = clock_rate
    s.rtx_seq = rtx_seq
    if rtx_ssrc != 0:
        while rounded < capacity and rounded < 0x8000:
            rounded *= 2
        s.capacity = rounded
        s.mask = min(rounded, <uint32_t>FIRST_SENT) - 1
        s.sent = <Sent*>calloc(s.mask + 1, sizeof(Sent))
        if s.sent == NULL:
            return -1
    return 0


cdef void send_stream_grow(SendStream* s) noexcept nogil:
    cdef uint32_t size = s.mask + 1
    cdef uint32_t index
    cdef Sent* larger
    if s.sent == NULL:
        return
    while size < 2 * (s.packets - s.counted_from) and size < s.capacity:
        size *= 2
    larger = <Sent*>calloc(size, sizeof(Sent))
    if larger == NULL:
        return  # it does with what it has
    for index in range(s.mask + 1):
        if s.sent[index].times:
            larger[s.sent[index].seq & (size - 1)] = s.sent[index]
    free(s.sent)
    s.sent = larger
    s.mask = size - 1


cdef void send_stream_free(SendStream* s) noexcept nogil:
    free(s.sent)
    s.sent = NULL


# Retransmission

cdef const Sent* send_stream_nacked(SendStream* s, uint16_t seq, int64_t now) noexcept nogil:
    cdef Sent* entry
    cdef uint32_t now_ms = <uint32_t>(now / NS_PER_MS)
    s.nacked += 1
    if s.sent == NULL:
        return NULL
    entry = &s.sent[seq & s.mask]
    if entry.times == 0 or entry.seq != seq:
        s.not_found += 1
        return NULL
    if entry.times == MAX_TIMES or (entry.times > 1 and now_ms - entry.resent_ms < _spacing_ms(s)):
        s.too_soon += 1
        return NULL
    entry.times += 1
    entry.resent_ms = now_ms
    return entry


cdef inline uint32_t _spacing_ms(const SendStream* s) noexcept nogil:
    # A little under one round-trip time: a viewer that asks again has missed the retransmission too.
    if s.rtt == 0:
        return DEFAULT_SPACING_MS
    return <uint32_t>min(max(s.rtt * 3 / 4 / NS_PER_MS, <int64_t>MIN_SPACING_MS), <int64_t>MAX_SPACING_MS)


cdef int send_stream_write_rtx(
    SendStream* s, const HeaderPlan* plan, const PacketView* view, uint16_t seq, uint8_t rtx_payload_type, int64_t now,
    uint8_t* out, Py_ssize_t capacity, HeaderMarks* marks) noexcept nogil:
    cdef int size
    cdef const Sent* entry = &s.sent[seq & s.mask] if s.sent != NULL else NULL
    if entry == NULL or entry.times == 0 or entry.seq != seq:
        return -1
    size = rtx_write_packet(
        plan, view, rtx_payload_type, s.rtx_seq, entry.timestamp, s.rtx_ssrc, seq, now, out, capacity, marks)
    if size >= 0:
        patch_header(&entry.patch, marks, out)
        patch_payload(&entry.patch, view, out + size - view.payload_size)
        s.rtx_seq += 1
        s.retransmitted += 1
        s.retransmitted_bytes += size
        rate_add(&s.rate, size, now)
    return size


cdef void send_stream_forget(SendStream* s) noexcept nogil:
    cdef uint32_t index
    if s.sent != NULL:
        for index in range(s.mask + 1):
            s.sent[index].times = 0


cdef void send_stream_not_found(SendStream* s) noexcept nogil:
    s.not_found += 1


# Reports

cdef int send_stream_write_sr(
    SendStream* s, const RecvStream* source, uint32_t timestamp_offset, Writer* w, int64_t now) noexcept nogil:
    cdef int64_t elapsed = now - source.sr_arrived
    cdef uint64_t ntp
    cdef uint32_t rtp
    if not source.has_sr or s.packets == 0:
        return 0
    ntp = source.sr_ntp + <uint64_t>ns_to_ntp(elapsed)
    rtp = source.sr_rtp + <uint32_t>rtp_ticks(elapsed, s.clock_rate) + timestamp_offset
    if rtcp_write_sr(w, s.ssrc, ntp, rtp, <uint32_t>s.packets, <uint32_t>s.octets, NULL, 0) < 0:
        return -1
    s.report_ids[s.report_next] = ntp_middle(ntp)
    s.report_times[s.report_next] = now
    s.report_next = (s.report_next + 1) % REPORTS_KEPT
    return 1


cdef void send_stream_receive_report(SendStream* s, const ReportBlock* block, int64_t now) noexcept nogil:
    cdef int64_t sample
    cdef int i
    s.has_report = True
    s.fraction_lost = block.fraction_lost
    s.cumulative_lost = block.cumulative_lost
    s.jitter = block.jitter
    if block.last_sr == 0:
        return
    for i in range(REPORTS_KEPT):
        if s.report_ids[i] == block.last_sr:
            sample = now - s.report_times[i] - ntp_to_ns(<int64_t>block.delay_since_last_sr << 16)
            sample = max(sample, <int64_t>1)
            s.rtt = sample if s.rtt == 0 else (7 * s.rtt + sample) / 8
            return
