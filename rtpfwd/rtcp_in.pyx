"""What viewers and publishers report (RFC 3550, RFC 4585, RFC 5104)."""

from libc.stdint cimport uint16_t, uint32_t

from rtpfwd.header cimport HeaderMarks
from rtpfwd.keyframes cimport request_keyframe_for
from rtpfwd.objects cimport find_stream
from rtpfwd.output cimport can_send, finish_header, out_commit, out_slot
from rtpfwd.recv_stream cimport recv_stream_sender_report
from rtpfwd.rtcp cimport *
from rtpfwd.send_stream cimport (
    send_stream_nacked,
    send_stream_not_found,
    send_stream_receive_report,
    send_stream_write_rtx,
)
from rtpfwd.slab cimport history_view
from rtpfwd.srtp cimport SRTP_OK, SRTP_TRAILER, srtp_protect
from rtpfwd.state cimport (
    Consumer,
    DATAGRAM_SIZE,
    Encoding,
    MAX_ANSWERS,
    NO_PAYLOAD_TYPE,
    OUT_AUDIO,
    OUT_VIDEO,
    RECEIVED,
    SENT,
    StreamRef,
    drop,
)
from rtpfwd.types cimport DROP_NO_ROOM, DROP_SRTP_PROTECT, PacketView


cdef int receive_rtcp_untrusted(PlaneState* s, Transport* t, const uint8_t* data, int size, int64_t now) noexcept nogil:
    cdef RtcpReader reader
    cdef RtcpItem item
    cdef int answers = MAX_ANSWERS
    cdef int reason = rtcp_open_untrusted(&reader, data, size)
    if reason:
        return reason
    while rtcp_next(&reader, &item):
        if item.kind == RTCP_SENDER_INFO:
            _sender_info(s, t, &item, now)
        elif item.kind == RTCP_REPORT_BLOCK:
            _report_block(s, t, &item.block, now)
        elif item.kind == RTCP_NACK:
            _nack(s, t, &item, now, &answers)
        elif item.kind == RTCP_PLI or item.kind == RTCP_FIR:
            _keyframe_request(s, t, item.media, now)
        elif item.kind == RTCP_BYE:
            _bye(s, t, item.sender)
    return 0


cdef Consumer* _consumer(PlaneState* s, Transport* t, uint32_t ssrc) noexcept nogil:
    """The consumer that sends this SSRC as its media, or NULL."""
    cdef StreamRef* found = find_stream(s, t, SENT, ssrc)
    return found.consumer if found != NULL and not found.rtx else NULL


cdef void _sender_info(PlaneState* s, Transport* t, const RtcpItem* item, int64_t now) noexcept nogil:
    cdef StreamRef* found = find_stream(s, t, RECEIVED, item.sender)
    if found != NULL and not found.rtx:
        recv_stream_sender_report(&found.encoding.stream, item.ntp, item.rtp, item.packets, item.octets, now)


cdef void _report_block(PlaneState* s, Transport* t, const ReportBlock* block, int64_t now) noexcept nogil:
    cdef Consumer* c = _consumer(s, t, block.ssrc)
    if c == NULL:
        return
    send_stream_receive_report(&c.stream, block, now)
    if c.stream.rtt:
        t.rtt = c.stream.rtt


cdef void _keyframe_request(PlaneState* s, Transport* t, uint32_t media, int64_t now) noexcept nogil:
    cdef Consumer* c = _consumer(s, t, media)
    if c == NULL or c.paused:
        return
    c.keyframe_requests += 1
    s.counters.keyframe_requests_received += 1
    request_keyframe_for(s, c, now)


cdef void _bye(PlaneState* s, Transport* t, uint32_t ssrc) noexcept nogil:
    """Counted only: signalling ends streams, and a stream that goes on after its BYE does no harm."""
    cdef StreamRef* found = find_stream(s, t, RECEIVED, ssrc)
    s.counters.byes_received += 1
    if found != NULL:
        found.encoding.byes += 1


cdef void _nack(PlaneState* s, Transport* t, const RtcpItem* item, int64_t now, int* answers) noexcept nogil:
    """`answers` is how many more packets this compound packet may have: it can name eight thousand."""
    cdef Consumer* c = _consumer(s, t, item.media)
    cdef int bit
    if c == NULL or c.paused:
        return
    _answer(s, c, item.pid, now, answers)
    for bit in range(16):
        if item.blp >> bit & 1:
            _answer(s, c, <uint16_t>(item.pid + bit + 1), now, answers)


cdef void _answer(PlaneState* s, Consumer* c, uint16_t seq, int64_t now, int* answers) noexcept nogil:
    """One packet sent again, on the retransmission SSRC; without one there is no answer (see docs/forwarding.md)."""
    cdef Encoding* e = &c.producer.encodings[c.encoding]
    cdef PacketView view
    cdef HeaderMarks marks
    cdef uint8_t payload_type
    cdef uint8_t* out
    cdef int64_t in_seq
    cdef int size
    s.counters.nacks_received += 1
    if answers[0] == 0 or not c.stream.rtx_ssrc or not e.has_history or not can_send(c.transport):
        s.counters.retransmissions_unanswered += 1
        return
    if not send_stream_nacked(&c.stream, seq, now, &in_seq):
        s.counters.retransmissions_unanswered += 1
        return
    if not history_view(&e.history, in_seq, &view) or not _is_the_one_sent(c, seq, &view):
        send_stream_not_found(&c.stream)
        s.counters.retransmissions_unanswered += 1
        return
    payload_type = c.rtx_payload_types[view.payload_type]
    out = out_slot(s)
    if payload_type == NO_PAYLOAD_TYPE or out == NULL:
        s.counters.retransmissions_unanswered += 1
        return
    size = send_stream_write_rtx(
        &c.stream, &c.plan, &view, seq, payload_type, now, out, DATAGRAM_SIZE - SRTP_TRAILER, &marks)
    if size < 0:
        drop(s, DROP_NO_ROOM)
        return
    finish_header(c.transport, out, &marks)
    if c.transport.srtp and srtp_protect(&c.rtx_sender, out, &size) != SRTP_OK:
        drop(s, DROP_SRTP_PROTECT)
        return
    if out_commit(s, c.transport, size, OUT_VIDEO if c.producer.video else OUT_AUDIO):
        s.counters.retransmitted_packets += 1
        answers[0] -= 1


cdef bint _is_the_one_sent(Consumer* c, uint16_t seq, const PacketView* view) noexcept nogil:
    """The history is the encoding's that flows now. What was sent before a switch from another one is not in it."""
    cdef uint32_t sent = c.stream.sent[seq & c.stream.mask].timestamp
    return sent == <uint32_t>(view.timestamp + c.rewriter.timestamp_offset)
