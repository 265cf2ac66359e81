"""Answers to NACKs: only on a retransmission SSRC; without one there is none (see docs/forwarding.md)."""

from libc.stdint cimport uint8_t

from rtpfwd.codecs.describe cimport describe
from rtpfwd.codecs.pictures cimport PATCH_PAYLOAD
from rtpfwd.header cimport HeaderMarks
from rtpfwd.link cimport link_resend
from rtpfwd.output cimport can_send, out_commit_rtx, out_send, out_slot, wire_size
from rtpfwd.pacer cimport pacer_allows_repair
from rtpfwd.send_stream cimport (
    Sent,
    send_stream_is_original,
    send_stream_nacked,
    send_stream_not_found,
    send_stream_write_rtx,
)
from rtpfwd.slab cimport history_view, history_widen
from rtpfwd.srtp cimport SRTP_TRAILER
from rtpfwd.state cimport DATAGRAM_SIZE, Encoding, NO_PAYLOAD_TYPE, Producer, drop
from rtpfwd.types cimport DROP_NO_ROOM, PacketView


cdef void retransmit(PlaneState* s, Consumer* c, uint16_t seq, int64_t now, int* answers) noexcept nogil:
    cdef const Sent* sent = NULL
    cdef Encoding* e
    cdef PacketView view
    s.counters.nacks_received += 1
    if answers[0] and c.stream.rtx_ssrc and can_send(c.transport):
        sent = send_stream_nacked(&c.stream, seq, now)
    if sent == NULL:
        s.counters.retransmissions_unanswered += 1
        return
    # Not always the encoding that flows now: what was sent before a switch may still be missing.
    e = &c.producer.encodings[sent.encoding]
    if c.producer.is_mirror:
        if link_resend(s, c, e, sent.in_seq, seq, now):
            answers[0] -= 1
        else:
            s.counters.retransmissions_unanswered += 1
    elif (
        not e.has_history or not history_view(&e.history, history_widen(&e.history, sent.in_seq), &view)
        or not send_stream_is_original(&c.stream, seq, &view)
    ):
        send_stream_not_found(&c.stream)
        s.counters.retransmissions_unanswered += 1
    elif _send(s, c, &view, seq, now):
        answers[0] -= 1


cdef void resend_linked(PlaneState* s, Consumer* c, const Packet* packet, uint16_t seq, int64_t now) noexcept nogil:
    cdef PacketView view
    if c == NULL:
        return
    if (
        packet == NULL or c.paused or not can_send(c.transport)
        or not send_stream_is_original(&c.stream, seq, &packet.view)
    ):
        send_stream_not_found(&c.stream)
        s.counters.retransmissions_unanswered += 1
        return
    view = packet.view          # the packet is another plane's
    _send(s, c, &view, seq, now)


cdef bint _send(PlaneState* s, Consumer* c, PacketView* view, uint16_t seq, int64_t now) noexcept nogil:
    cdef HeaderMarks marks
    cdef int size
    if c.transport.pacer != NULL and not pacer_allows_repair(c.transport, wire_size(c.transport, view.size), now):
        s.counters.retransmissions_over_budget += 1
        s.counters.retransmissions_unanswered += 1
        return False
    size = _write(s, c, view, seq, now, &marks)
    if size <= 0 or not out_commit_rtx(s, c, size, &marks, now):
        return False
    s.counters.retransmitted_packets += 1
    return True


cdef int resend_for_probe(PlaneState* s, Consumer* c, uint16_t seq, uint16_t probe, int64_t now) noexcept nogil:
    cdef const Sent* sent = &c.stream.sent[seq & c.stream.mask]
    cdef Encoding* e
    cdef PacketView view
    cdef HeaderMarks marks
    cdef int size
    if sent.times == 0 or sent.seq != seq or sent.encoding >= c.producer.encoding_count:
        return 0
    e = &c.producer.encodings[sent.encoding]
    if (
        not e.has_history or not history_view(&e.history, history_widen(&e.history, sent.in_seq), &view)
        or not send_stream_is_original(&c.stream, seq, &view)
    ):
        return 0
    size = _write(s, c, &view, seq, now, &marks)
    if size <= 0 or not out_send(s, c, True, size, &marks, probe, now):
        return 0
    return wire_size(c.transport, size)


cdef int _write(
    PlaneState* s, Consumer* c, PacketView* view, uint16_t seq, int64_t now, HeaderMarks* marks
) noexcept nogil:
    """The clear RTX packet to out_slot. Its size in bytes; 0: there is none, and that is counted."""
    cdef const Producer* p = c.producer
    cdef uint8_t payload_type = c.rtx_payload_types[view.payload_type]
    cdef uint8_t* out = out_slot(s)
    cdef int size
    if payload_type == NO_PAYLOAD_TYPE or out == NULL:
        s.counters.retransmissions_unanswered += 1
        return 0
    if c.stream.sent[seq & c.stream.mask].patch.flags & PATCH_PAYLOAD:
        describe(p.codecs[p.codec_index[view.payload_type]].codec, view)     # what was patched is where it was then
    size = send_stream_write_rtx(
        &c.stream, &c.plan, view, seq, payload_type, now, out, DATAGRAM_SIZE - SRTP_TRAILER, marks)
    if size < 0:
        drop(s, DROP_NO_ROOM)
    return max(size, 0)
