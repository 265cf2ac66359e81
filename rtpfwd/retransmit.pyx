"""Answers to NACKs: only on a retransmission SSRC; without one there is none (see docs/forwarding.md)."""

from libc.stdint cimport uint8_t, uint32_t

from rtpfwd.header cimport HeaderMarks
from rtpfwd.link cimport link_resend
from rtpfwd.output cimport can_send, finish_header, out_commit, out_slot
from rtpfwd.send_stream cimport send_stream_nacked, send_stream_not_found, send_stream_write_rtx
from rtpfwd.slab cimport history_view
from rtpfwd.srtp cimport SRTP_OK, SRTP_TRAILER, srtp_protect
from rtpfwd.state cimport DATAGRAM_SIZE, Encoding, NO_PAYLOAD_TYPE, OUT_AUDIO, OUT_VIDEO, drop
from rtpfwd.types cimport DROP_NO_ROOM, DROP_SRTP_PROTECT, PacketView


cdef void retransmit(PlaneState* s, Consumer* c, uint16_t seq, int64_t now, int* answers) noexcept nogil:
    cdef Encoding* e = &c.producer.encodings[c.encoding]
    cdef PacketView view
    cdef int64_t in_seq
    s.counters.nacks_received += 1
    if (
        answers[0] == 0 or not c.stream.rtx_ssrc or not (e.has_history or c.producer.is_mirror)
        or not can_send(c.transport) or not send_stream_nacked(&c.stream, seq, now, &in_seq)
    ):
        s.counters.retransmissions_unanswered += 1
    elif c.producer.is_mirror:
        if link_resend(s, c, e, in_seq, seq, now):
            answers[0] -= 1
        else:
            s.counters.retransmissions_unanswered += 1
    elif not history_view(&e.history, in_seq, &view) or not _is_the_one_sent(c, seq, &view):
        send_stream_not_found(&c.stream)
        s.counters.retransmissions_unanswered += 1
    elif _send(s, c, &view, seq, now):
        answers[0] -= 1


cdef void resend_linked(PlaneState* s, Consumer* c, const Packet* packet, uint16_t seq, int64_t now) noexcept nogil:
    if c == NULL:
        return
    if packet == NULL or c.paused or not can_send(c.transport) or not _is_the_one_sent(c, seq, &packet.view):
        send_stream_not_found(&c.stream)
        s.counters.retransmissions_unanswered += 1
        return
    _send(s, c, &packet.view, seq, now)


cdef bint _is_the_one_sent(Consumer* c, uint16_t seq, const PacketView* view) noexcept nogil:
    """The history is the encoding's that flows now. What was sent before a switch from another one is not in it."""
    cdef uint32_t sent = c.stream.sent[seq & c.stream.mask].timestamp
    return sent == <uint32_t>(view.timestamp + c.rewriter.timestamp_offset)


cdef bint _send(PlaneState* s, Consumer* c, const PacketView* view, uint16_t seq, int64_t now) noexcept nogil:
    cdef HeaderMarks marks
    cdef uint8_t payload_type = c.rtx_payload_types[view.payload_type]
    cdef uint8_t* out = out_slot(s)
    cdef int size
    if payload_type == NO_PAYLOAD_TYPE or out == NULL:
        s.counters.retransmissions_unanswered += 1
        return False
    size = send_stream_write_rtx(
        &c.stream, &c.plan, view, seq, payload_type, now, out, DATAGRAM_SIZE - SRTP_TRAILER, &marks)
    if size < 0:
        drop(s, DROP_NO_ROOM)
        return False
    finish_header(c.transport, out, &marks)
    if c.transport.srtp and srtp_protect(&c.rtx_sender, out, &size) != SRTP_OK:
        drop(s, DROP_SRTP_PROTECT)
        return False
    if not out_commit(s, c.transport, size, OUT_VIDEO if c.producer.video else OUT_AUDIO):
        return False
    s.counters.retransmitted_packets += 1
    return True
