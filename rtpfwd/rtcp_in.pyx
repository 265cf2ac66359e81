"""What viewers and publishers report (RFC 3550, RFC 4585, RFC 5104)."""

from libc.stdint cimport uint16_t, uint32_t

from rtpfwd.estimate cimport estimate_feedback_untrusted, estimate_remb_untrusted, estimate_report
from rtpfwd.keyframes cimport request_keyframe_for
from rtpfwd.link cimport link_facts
from rtpfwd.objects cimport find_stream
from rtpfwd.recv_stream cimport recv_stream_sender_report
from rtpfwd.retransmit cimport retransmit
from rtpfwd.rtcp cimport *
from rtpfwd.send_stream cimport send_stream_receive_report
from rtpfwd.state cimport Consumer, MAX_ANSWERS, RECEIVED, SENT, StreamRef, drop_from


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
        elif t.congestion != NULL and (item.kind == RTCP_TRANSPORT_CC or item.kind == RTCP_REMB):
            _path(s, t, &item, now)
    return 0


cdef Consumer* _consumer(PlaneState* s, Transport* t, uint32_t ssrc) noexcept nogil:
    """The consumer that sends this SSRC as its media, or NULL."""
    cdef StreamRef* found = find_stream(s, t, SENT, ssrc)
    return found.consumer if found != NULL and not found.rtx else NULL


cdef void _sender_info(PlaneState* s, Transport* t, const RtcpItem* item, int64_t now) noexcept nogil:
    cdef StreamRef* found = find_stream(s, t, RECEIVED, item.sender)
    if found != NULL and not found.rtx:
        recv_stream_sender_report(&found.encoding.stream, item.ntp, item.rtp, item.packets, item.octets, now)
        link_facts(s, found.encoding, now)


cdef void _report_block(PlaneState* s, Transport* t, const ReportBlock* block, int64_t now) noexcept nogil:
    cdef Consumer* c = _consumer(s, t, block.ssrc)
    if c == NULL:
        return
    send_stream_receive_report(&c.stream, block, now)
    if c.stream.rtt:
        t.rtt = c.stream.rtt
    if t.congestion != NULL:
        estimate_report(s, t, c, block, now)


cdef void _path(PlaneState* s, Transport* t, const RtcpItem* item, int64_t now) noexcept nogil:
    cdef int reason
    if item.kind == RTCP_REMB:
        reason = estimate_remb_untrusted(s, t, item.body, item.body_size, now)
    else:
        reason = estimate_feedback_untrusted(s, t, item.body, item.body_size, now)
    if reason:
        drop_from(s, t, reason)     # the rest of the compound packet counts


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
    retransmit(s, c, item.pid, now, answers)
    for bit in range(16):
        if item.blp >> bit & 1:
            retransmit(s, c, <uint16_t>(item.pid + bit + 1), now, answers)
