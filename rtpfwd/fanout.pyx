"""Stage 2 of a batch. The output is contiguous per consumer, so that the lane can send it as segmented messages.

It can stop between two consumers when the output area is full and go on after the lane has sent it. In between the
plane is unlocked: what is removed meanwhile takes itself out of fan_consumer and dirty (rtpfwd.objects), what is received
waits in a new list of its producer.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcpy, memset

from rtpfwd.codecs.pictures cimport (
    PATCH_MARKER,
    PATCH_PAYLOAD,
    Patch,
    patch_header,
    patch_payload,
    pictures_drop,
    pictures_forward,
)
from rtpfwd.header cimport HeaderMarks, rtp_write_header
from rtpfwd.keyframes cimport request_keyframe_for
from rtpfwd.link cimport link_packet
from rtpfwd.output cimport (
    MediaRun,
    can_send,
    out_commit_media,
    out_protect,
    out_room,
    out_slot,
    run_begin,
    run_end,
    tell_layers_changed,
)
from rtpfwd.pacer cimport OVERTAKEN_MS, pacer_is_full, pacer_overtake
from rtpfwd.rewriter cimport Rewritten, rewriter_drop, rewriter_forward
from rtpfwd.rings cimport Packet
from rtpfwd.selector cimport Selector
from rtpfwd.send_stream cimport send_stream_count, send_stream_record
from rtpfwd.srtp cimport SRTP_TRAILER
from rtpfwd.state cimport (
    Consumer,
    DATAGRAM_SIZE,
    LAYERS_TELL_MS,
    LEVEL_BYTES,
    MS,
    NO_PAYLOAD_TYPE,
    OUT_FLUSH,
    Pending,
    Producer,
    begin_reports,
    clear_pending,
)
from rtpfwd.types cimport (
    CODEC_VP8,
    DROP,
    DROP_NO_ROOM,
    DROP_PACER_FULL,
    DROP_SELECTOR,
    DROP_UNKNOWN_PAYLOAD_TYPE,
    FORWARD_MARKED,
    Layer,
    PacketView,
    SWITCH,
    SWITCH_MARKED,
    Verdict,
)

cdef struct Counted:        # what one consumer got of a batch, without padding and SRTP: added up once
    uint32_t packets
    uint32_t bytes
    uint32_t octets         # of payload


cdef bint fan_out(PlaneState* s, int64_t now) noexcept nogil:
    cdef Producer* p
    cdef Consumer* c
    share(s, now)
    while s.fan_index < s.dirty_count:
        p = s.dirty[s.fan_index]
        if p != NULL:
            if s.fan_first < 0:
                s.fan_first = p.pending_first
                p.pending_first = p.pending_last = -1
                s.fan_consumer = p.consumers
            while s.fan_consumer != NULL:
                if s.out_count >= OUT_FLUSH or out_room(s) < _length(s, s.fan_first) + 1:
                    out_protect(s)
                    return False
                c = s.fan_consumer
                s.fan_consumer = c.next_of_producer
                if not c.paused:
                    _consume(s, c, s.fan_first, now)
        s.fan_index += 1
        s.fan_first = -1
    out_protect(s)
    clear_pending(s)
    return True


cdef void share(PlaneState* s, int64_t now) noexcept nogil:
    cdef Pending* pending
    cdef Producer* p
    cdef int first = s.shared_count
    cdef int index
    cdef int32_t at
    if first == s.pending_count:
        return
    s.shared_count = s.pending_count
    if s.has_lane:
        for index in range(s.fan_index, s.dirty_count):
            p = s.dirty[index]
            if p != NULL and p.video and not p.is_mirror:
                at = p.pending_first
                while 0 <= at < first:
                    at = s.pending[at].next
                if at >= 0:
                    _level(s, at)
    for index in range(first, s.pending_count):
        pending = &s.pending[index]
        if pending.encoding != NULL and pending.encoding.producer.mirrors != NULL:
            link_packet(s, pending.encoding, pending.packet, now)


cdef int _length(PlaneState* s, int32_t index) noexcept nogil:
    cdef int count = 0
    while index >= 0:
        count += 1
        index = s.pending[index].next
    return count


cdef void _consume(PlaneState* s, Consumer* c, int32_t index, int64_t now) noexcept nogil:
    """All pending packets to one consumer, and a keyframe request if it still can't show anything."""
    cdef Pending* pending
    cdef PacketView* view
    cdef Counted counted
    cdef MediaRun run
    cdef const Layer* current
    cdef int reason
    counted.packets = counted.bytes = counted.octets = 0
    run_begin(s, &run, c, index, now)
    if c.transport.next_report == 0:
        begin_reports(s, c.transport, now)
    while index >= 0:
        pending = &s.pending[index]
        view = &pending.packet.view
        index = pending.next
        if view.is_restart and view.encoding == c.encoding:
            # The selector may not see this packet: it can be padding alone.
            (<Selector>c.selector).reset()
        if view.payload_size == 0:
            _pass_over(c, view)
            continue
        reason = run.reason
        if not reason:
            reason = _forward(s, c, &run, pending.packet, now, &counted)
        if reason:
            s.drops[reason] += 1
            if reason == DROP_SELECTOR:
                c.selector_drops += 1
            else:
                c.drops += 1
    if counted.packets:
        send_stream_count(&c.stream, counted.packets, counted.bytes, counted.octets, now)
        s.counters.forwarded_packets += counted.packets
        s.counters.forwarded_bytes += counted.bytes
        run_end(s, &run)
    if not c.producer.video:
        return
    if can_send(c.transport) and (<Selector>c.selector).wants_keyframe():
        request_keyframe_for(s, c, now)
    current = &(<Selector>c.selector).current
    if current.spatial != c.told.spatial or (
        current.temporal != c.told.temporal and now - c.told_at >= <int64_t>LAYERS_TELL_MS * MS
    ):
        tell_layers_changed(s, c, current, now)


cdef inline void _pass_over(Consumer* c, const PacketView* view) noexcept nogil:
    # Each encoding has a numbering of its own; only what is left out of the one that flows leaves a gap to close.
    if view.encoding == c.encoding:
        rewriter_drop(&c.rewriter, view)
        if view.picture_id >= 0:
            pictures_drop(&c.pictures, view, _codec(c.producer, view) == CODEC_VP8)


cdef inline int _codec(const Producer* p, const PacketView* view) noexcept nogil:
    return p.codecs[p.codec_index[view.payload_type]].codec


cdef inline int _forward(
    PlaneState* s, Consumer* c, MediaRun* run, const Packet* packet, int64_t now, Counted* counted
) noexcept nogil:
    """One packet to one consumer: choose, renumber, write, protect. 0 or a DropReason."""
    cdef const PacketView* view = &packet.view
    cdef Rewritten numbers
    cdef HeaderMarks marks
    cdef Patch patch
    cdef Verdict verdict
    cdef bint is_switch
    cdef const uint8_t* payload = view.payload
    cdef uint8_t payload_type = c.payload_types[view.payload_type]
    cdef uint8_t* out
    cdef int header_size, size, reason
    if payload_type == NO_PAYLOAD_TYPE:
        _pass_over(c, view)
        return DROP_UNKNOWN_PAYLOAD_TYPE
    verdict = (<Selector>c.selector).select(view)
    if verdict == DROP:
        if view.ext_seq < c.rewriter.newest and c.producer.video:
            _fill_gap(s, c, run, view, payload_type, now, counted)
        else:
            _pass_over(c, view)
        return DROP_SELECTOR
    if run.paced and pacer_is_full(c.transport, view.is_frame_start):
        # Whole frames: without this one nothing is worth sending until the next that stands alone.
        (<Selector>c.selector).reset()
        _pass_over(c, view)
        return DROP_PACER_FULL
    is_switch = verdict == SWITCH or verdict == SWITCH_MARKED
    if run.paced and is_switch and view.is_keyframe:
        pacer_overtake(s, c.transport, c, OVERTAKEN_MS)
    reason = rewriter_forward(&c.rewriter, view, is_switch, now, &numbers)
    if reason:
        if view.ssrc != c.rewriter.source:
            # The sender took another SSRC in the middle of a batch, unseen by the selector: it would go on for ever.
            (<Selector>c.selector).reset()
        return reason
    c.encoding = view.encoding
    pictures_forward(&c.pictures, view, is_switch, &patch)
    if verdict >= FORWARD_MARKED:
        patch.flags |= PATCH_MARKER
    out = out_slot(s)
    if out == NULL:
        return 0  # out_slot counted it
    header_size = rtp_write_header(
        &c.plan, view, payload_type, numbers.seq, numbers.timestamp, c.stream.ssrc, now, out,
        DATAGRAM_SIZE - SRTP_TRAILER, &marks,
    )
    size = view.payload_size + packet.padding
    if header_size < 0 or header_size + size > DATAGRAM_SIZE - SRTP_TRAILER:
        return DROP_NO_ROOM
    if packet.padding:
        out[0] |= 0x20  # the padding bit
    if patch.flags:
        patch_header(&patch, &marks, out)
        if patch.flags & PATCH_PAYLOAD:
            # The others get the payload as it came, so it is a copy that is changed.
            memcpy(out + header_size, payload, size)
            patch_payload(&patch, view, out + header_size)
            payload = out + header_size
    reason = out_commit_media(s, run, header_size, payload, size, &marks)
    if reason == 0:
        send_stream_record(&c.stream, view, numbers.seq, numbers.timestamp, &patch)
        counted.packets += 1
        counted.bytes += header_size + view.payload_size
        counted.octets += view.payload_size
    return max(reason, 0)


cdef void _fill_gap(
    PlaneState* s, Consumer* c, MediaRun* run, const PacketView* view, uint8_t payload_type, int64_t now, Counted* counted
) noexcept nogil:
    """A packet that is not wanted, behind others that went out: a number was kept for it, which can't be closed up any more.

    The viewer would ask for it in vain, and wait. RTP padding alone (RFC 3550 section 5.1) says that there was nothing.
    """
    cdef Rewritten numbers
    cdef HeaderMarks marks
    cdef uint8_t* out
    cdef int header_size
    if rewriter_forward(&c.rewriter, view, False, now, &numbers):
        return              # nothing was kept: it is from before the last switch, or there already
    out = out_slot(s)
    if out == NULL:
        return
    header_size = rtp_write_header(
        &c.plan, view, payload_type, numbers.seq, numbers.timestamp, c.stream.ssrc, now, out,
        DATAGRAM_SIZE - SRTP_TRAILER - 1, &marks,
    )
    if header_size < 0:
        return
    out[0] |= 0x20          # the padding bit
    out[1] &= 0x7F          # and no marker: it ends no frame
    out[header_size] = 1    # bytes of padding
    if out_commit_media(s, run, header_size, out + header_size, 1, &marks) == 0:
        counted.packets += 1
        counted.bytes += header_size


cdef void _level(PlaneState* s, int32_t first) noexcept nogil:
    """Pads the packets of each frame to equal sizes, where that takes a few bytes, so that they leave as one message.

    A segmented message (UDP_SEGMENT) is of equal sizes; libwebrtc splits a frame into sizes that differ by a byte. Padding
    is RTP's own (RFC 3550 section 5.1); what is kept for retransmission has none.
    """
    cdef Pending* pending
    cdef Packet* packet
    cdef int32_t index = first
    cdef int32_t end
    cdef int longest
    while index >= 0:
        pending = &s.pending[index]
        longest = pending.packet.view.payload_size
        # One frame: the packets in a row with its timestamp and SSRC.
        end = pending.next
        while end >= 0 and _same_frame(&s.pending[end].packet.view, &pending.packet.view):
            longest = max(longest, <int>s.pending[end].packet.view.payload_size)
            end = s.pending[end].next
        while index != end:
            packet = s.pending[index].packet
            index = s.pending[index].next
            # The last one may be shorter than the others.
            if index != end and packet.view.payload_size and longest - <int>packet.view.payload_size <= LEVEL_BYTES:
                _pad(packet, longest)


cdef inline bint _same_frame(const PacketView* a, const PacketView* b) noexcept nogil:
    return a.ssrc == b.ssrc and a.timestamp == b.timestamp


cdef void _pad(Packet* packet, int size) noexcept nogil:
    """The payload gets so many bytes, the last of them the count of those that were added."""
    cdef PacketView* view = &packet.view
    cdef int count = size - view.payload_size
    if count and view.payload - packet.data + size <= DATAGRAM_SIZE:
        memset(view.payload + view.payload_size, 0, count - 1)
        view.payload[size - 1] = <uint8_t>count
        packet.padding = <uint8_t>count
