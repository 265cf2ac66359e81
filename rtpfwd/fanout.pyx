"""Stage 2 of a batch. The output is contiguous per consumer, so that the lane can send it as segmented messages.

It can stop between two consumers when the output area is full and go on after the lane has sent it. In between the
plane is unlocked: what is removed meanwhile takes itself out of fan_consumer and dirty (rtpfwd.objects), what is received
waits in a new list of its producer.
"""

from libc.stdint cimport int32_t, uint8_t

from rtpfwd.header cimport HeaderMarks, rtp_write_packet
from rtpfwd.keyframes cimport request_keyframe_for
from rtpfwd.output cimport can_send, finish_header, out_commit, out_room, out_slot
from rtpfwd.rewriter cimport Rewritten, rewriter_drop, rewriter_forward
from rtpfwd.selector cimport Selector
from rtpfwd.send_stream cimport send_stream_sent
from rtpfwd.srtp cimport SRTP_OK, SRTP_TRAILER, srtp_protect
from rtpfwd.state cimport Consumer, DATAGRAM_SIZE, NO_PAYLOAD_TYPE, Producer, begin_reports
from rtpfwd.types cimport (
    DROP,
    DROP_NO_REMOTE,
    DROP_NO_ROOM,
    DROP_SELECTOR,
    DROP_SRTP_PROTECT,
    DROP_UNKNOWN_PAYLOAD_TYPE,
    PacketView,
    SWITCH,
    Verdict,
)


cdef bint fan_out(PlaneState* s, int64_t now) noexcept nogil:
    cdef Producer* p
    cdef Consumer* c
    while s.fan_index < s.dirty_count:
        p = s.dirty[s.fan_index]
        if p != NULL:
            if s.fan_first < 0:
                s.fan_first = p.pending_first
                p.pending_first = p.pending_last = -1
                s.fan_consumer = p.consumers
            while s.fan_consumer != NULL:
                if out_room(s) < _length(s, s.fan_first) + 1:
                    return False
                c = s.fan_consumer
                s.fan_consumer = c.next_of_producer
                if not c.paused:
                    _consume(s, c, s.fan_first, now)
        s.fan_index += 1
        s.fan_first = -1
    s.fan_index = 0
    s.dirty_count = 0
    s.pending_count = 0
    return True


cdef int _length(PlaneState* s, int32_t index) noexcept nogil:
    cdef int count = 0
    while index >= 0:
        count += 1
        index = s.pending[index].next
    return count


cdef void _consume(PlaneState* s, Consumer* c, int32_t index, int64_t now) noexcept nogil:
    """All pending packets to one consumer, and a keyframe request if it still can't show anything."""
    cdef PacketView* view
    cdef int reason
    if c.transport.next_report == 0:
        begin_reports(s, c.transport, now)
    while index >= 0:
        view = &s.pending[index].view
        index = s.pending[index].next
        if view.is_restart and view.encoding == c.encoding:
            # The selector may not see this packet: it can be padding alone.
            (<Selector>c.selector).reset()
        if view.payload_size == 0:
            _pass_over(c, view)
            continue
        if not can_send(c.transport):
            reason = DROP_NO_REMOTE
        else:
            reason = _forward(s, c, view, now)
        if reason:
            s.drops[reason] += 1
            if reason == DROP_SELECTOR:
                c.selector_drops += 1
            else:
                c.drops += 1
    if c.producer.video and can_send(c.transport) and (<Selector>c.selector).wants_keyframe():
        request_keyframe_for(s, c, now)


cdef inline void _pass_over(Consumer* c, const PacketView* view) noexcept nogil:
    # Each encoding has a numbering of its own; only what is left out of the one that flows leaves a gap to close.
    if view.encoding == c.encoding:
        rewriter_drop(&c.rewriter, view)


cdef int _forward(PlaneState* s, Consumer* c, PacketView* view, int64_t now) noexcept nogil:
    """One packet to one consumer: choose, renumber, write, protect. 0 or a DropReason."""
    cdef Rewritten numbers
    cdef HeaderMarks marks
    cdef Verdict verdict
    cdef uint8_t payload_type = c.payload_types[view.payload_type]
    cdef uint8_t* out
    cdef int size, clear_size, reason
    if payload_type == NO_PAYLOAD_TYPE:
        _pass_over(c, view)
        return DROP_UNKNOWN_PAYLOAD_TYPE
    verdict = (<Selector>c.selector).select(view)
    if verdict == DROP:
        _pass_over(c, view)
        return DROP_SELECTOR
    reason = rewriter_forward(&c.rewriter, view, verdict == SWITCH, now, &numbers)
    if reason:
        if view.ssrc != c.rewriter.source:
            # The sender took another SSRC in the middle of a batch, unseen by the selector: it would go on for ever.
            (<Selector>c.selector).reset()
        return reason
    c.encoding = view.encoding
    out = out_slot(s)
    if out == NULL:
        return 0  # out_slot counted it
    size = rtp_write_packet(
        &c.plan, view, payload_type, numbers.seq, numbers.timestamp, c.stream.ssrc, now, out,
        DATAGRAM_SIZE - SRTP_TRAILER, &marks,
    )
    if size < 0:
        return DROP_NO_ROOM
    finish_header(c.transport, out, &marks)
    clear_size = size
    if c.transport.srtp and srtp_protect(c.session, out, &size) != SRTP_OK:
        return DROP_SRTP_PROTECT
    if out_commit(s, c.transport, size):
        send_stream_sent(&c.stream, view, numbers.seq, numbers.timestamp, clear_size, now)
        s.counters.forwarded_packets += 1
        s.counters.forwarded_bytes += clear_size
    return 0
