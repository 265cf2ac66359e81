"""Stage 1 of a batch: demultiplex (RFC 7983), unprotect once, find the encoding, take the packet into its stream."""

from libc.stdint cimport uint32_t
from libc.string cimport memcmp, memcpy

from rtpfwd.codecs.describe cimport describe_packet
from rtpfwd.cursor cimport load_u16, load_u32
from rtpfwd.header cimport find_extension, is_rtcp, rtp_parse_untrusted, rtx_unwrap
from rtpfwd.keyframes cimport keyframe_received, request_keyframe
from rtpfwd.layer_rates cimport layer_rates_add
from rtpfwd.link cimport link_packet_take
from rtpfwd.objects cimport find_stream, learn_ssrc
from rtpfwd.output cimport hand_off, out_commit, out_room, out_slot, tell_remote_learned, tell_stream_started
from rtpfwd.rings cimport Packet, packet_let_go
from rtpfwd.rtcp_in cimport receive_rtcp_untrusted
from rtpfwd.recv_stream cimport recv_stream_next_timeout, recv_stream_receive, recv_stream_take_keyframe_wanted
from rtpfwd.slab cimport history_store
from rtpfwd.srtp cimport SRTP_AUTH, SRTP_OK, SRTP_REPLAY, srtp_unprotect, srtp_unprotect_rtcp
from rtpfwd.state cimport (
    ANY_SOCKETS,
    CodecState,
    DATAGRAM_SIZE,
    Encoding,
    MAX_STRANGERS,
    MS,
    NACK_TICK_MS,
    NO_PAYLOAD_TYPE,
    OUT_OTHER,
    PENDING_SLOTS,
    Pending,
    Producer,
    RECEIVED,
    StreamRef,
    Transport,
    append_pending,
    begin_reports,
    drop,
    drop_from,
    has_viewers,
    schedule,
)
from rtpfwd.stun cimport NOT_ROUTINE, ROUTINE_NOMINATES, stun_routine_untrusted, stun_write_success
from rtpfwd.tables cimport address_get, same_endpoint
from rtpfwd.twcc cimport twcc_receive
from rtpfwd.types cimport *


cdef Transport* _owner(PlaneState* s, int socket, const Endpoint* source) noexcept nogil:
    """The transport that this source is admitted to, or NULL."""
    cdef int slot = address_get(&s.addresses, socket, source)
    cdef Transport* t
    if slot >= 0:
        return <Transport*>s.transports.items[slot]
    if not 0 <= socket < ANY_SOCKETS or s.any_sockets[socket] < 0:
        return NULL
    t = <Transport*>s.transports.items[s.any_sockets[socket]]
    # Once its remote is learned, a comedia transport belongs to that remote: a stranger can't take it over.
    if t.learned and not (t.has_remote and same_endpoint(&t.remote, source)):
        return NULL
    return t


cdef void plane_receive(
    PlaneState* s, int socket, const Endpoint* source, const uint8_t* data, int size, int64_t now
) noexcept nogil:
    cdef Transport* t
    s.now = now
    s.counters.received_packets += 1
    s.counters.received_bytes += size if size > 0 else 0
    if size <= 0:
        drop(s, DROP_EMPTY)
        return
    if size > DATAGRAM_SIZE:
        drop(s, DROP_TRUNCATED)
        return
    if source.port == 0:
        drop(s, DROP_UNKNOWN_SOURCE)    # nobody can be answered there
        return
    if data[0] <= 3:
        if not _answer_check(s, socket, source, data, size, now):
            hand_off(s, socket, source, data, size)
        return
    if 20 <= data[0] <= 63:
        hand_off(s, socket, source, data, size)
        return
    if not 128 <= data[0] <= 191:
        drop(s, DROP_UNKNOWN_PROTOCOL)
        return
    t = _owner(s, socket, source)
    if t == NULL:
        drop(s, DROP_UNKNOWN_SOURCE)
        return
    t.received_packets += 1
    t.received_bytes += size
    if t.next_report == 0:
        begin_reports(s, t, now)
    if t.srtp and t.receiver == NULL:
        drop_from(s, t, DROP_NO_KEYS)
    elif is_rtcp(data, size):
        _receive_rtcp(s, t, socket, source, data, size, now)
    else:
        _receive_rtp(s, t, socket, source, data, size, now)


cdef bint _answer_check(
    PlaneState* s, int socket, const Endpoint* source, const uint8_t* data, int size, int64_t now
) noexcept nogil:
    """Whether this was the remote's routine check and is answered. Whatever else it may be, and what there is no room to
    answer, is Python's."""
    cdef int slot = address_get(&s.addresses, socket, source)
    cdef int verdict
    cdef Transport* t
    if slot < 0:
        return False
    t = <Transport*>s.transports.items[slot]
    if t.routine == NULL or not t.has_remote or t.remote_socket != socket or not same_endpoint(&t.remote, source):
        return False
    verdict = stun_routine_untrusted(t.routine, data, size) if out_room(s) else NOT_ROUTINE
    if verdict == NOT_ROUTINE:
        return False
    size = stun_write_success(&t.routine.key, data, source, out_slot(s))
    if not out_commit(s, t, size, OUT_OTHER):
        return False
    t.routine.answered_at = now
    if verdict == ROUTINE_NOMINATES:
        t.routine.nominated_at = now
    s.counters.consent_checks_answered += 1
    return True


cdef bint _admit_ssrc(PlaneState* s, Transport* t, uint32_t ssrc) noexcept nogil:
    """Whether libsrtp may see this SSRC: it keeps state for every one that authenticates, so they are bounded."""
    cdef uint32_t index
    if find_stream(s, t, RECEIVED, ssrc) != NULL:
        return True
    for index in range(t.stranger_count):
        if t.strangers[index] == ssrc:
            return True
    return t.stranger_count < MAX_STRANGERS


cdef void _remember_ssrc(PlaneState* s, Transport* t, uint32_t ssrc) noexcept nogil:
    cdef uint32_t index
    if find_stream(s, t, RECEIVED, ssrc) != NULL:
        return
    for index in range(t.stranger_count):
        if t.strangers[index] == ssrc:
            return
    t.strangers[t.stranger_count] = ssrc
    t.stranger_count += 1


cdef int _srtp_reason(int status) noexcept nogil:
    if status == SRTP_AUTH:
        return DROP_SRTP_AUTH
    return DROP_SRTP_REPLAY if status == SRTP_REPLAY else DROP_SRTP_OTHER


cdef bint _learn_remote(PlaneState* s, Transport* t, int socket, const Endpoint* source) noexcept nogil:
    """Comedia: the first valid packet shows the remote. False: the event found no room, so it was not learned."""
    if not t.comedia or t.learned or t.any_socket != socket:
        return True
    t.remote = source[0]
    t.remote_socket = socket
    t.has_remote = True
    t.learned = tell_remote_learned(s, t) == 0
    return t.learned


cdef void _receive_rtcp(
    PlaneState* s, Transport* t, int socket, const Endpoint* source, const uint8_t* data, int size, int64_t now
) noexcept nogil:
    cdef uint8_t clear[DATAGRAM_SIZE]
    cdef uint32_t ssrc
    cdef int status
    if size < 8:
        drop_from(s, t, DROP_RTCP_SHORT)
        return
    memcpy(clear, data, size)
    if t.srtp:
        ssrc = load_u32(data + 4)
        if not _admit_ssrc(s, t, ssrc):
            drop_from(s, t, DROP_UNKNOWN_SSRC)
            return
        status = srtp_unprotect_rtcp(t.receiver, clear, &size)
        if status != SRTP_OK:
            drop_from(s, t, _srtp_reason(status))
            return
        _remember_ssrc(s, t, ssrc)
    status = receive_rtcp_untrusted(s, t, clear, size, now)
    if status:
        drop_from(s, t, status)
        return
    t.rtcp_received += 1
    s.counters.rtcp_received += 1
    _learn_remote(s, t, socket, source)


cdef void _receive_rtp(
    PlaneState* s, Transport* t, int socket, const Endpoint* source, const uint8_t* data, int size, int64_t now
) noexcept nogil:
    cdef Pending* pending
    cdef Packet* packet
    cdef int reason
    if s.pending_count >= PENDING_SLOTS:
        drop_from(s, t, DROP_TRANSMIT_FULL)
        return
    packet = link_packet_take(s)
    if packet == NULL:
        drop_from(s, t, DROP_NO_BUFFER)
        return
    pending = &s.pending[s.pending_count]
    pending.packet = packet
    pending.linked = False
    reason = _open(s, t, socket, source, pending, data, size, now)
    if reason != DROP_NONE:
        packet_let_go(s.packets, packet)
        drop_from(s, t, reason)
        return
    append_pending(s)


cdef int _open(
    PlaneState* s, Transport* t, int socket, const Endpoint* source, Pending* pending, const uint8_t* data, int size,
    int64_t now,
) noexcept nogil:
    """One RTP datagram into its packet and its received stream. 0 or a DropReason."""
    cdef Packet* packet = pending.packet
    cdef uint32_t ssrc = 0
    cdef int reason
    packet.padding = 0
    if t.srtp:
        if size < RTP_HEADER:
            return DROP_RTP_SHORT
        ssrc = load_u32(data + 8)
        if not _admit_ssrc(s, t, ssrc):
            return DROP_UNKNOWN_SSRC
        reason = srtp_unprotect(t.receiver, data, packet.data, &size)
        if reason != SRTP_OK:
            return _srtp_reason(reason)
    else:
        memcpy(packet.data, data, size)
    reason = rtp_parse_untrusted(packet.data, size, &packet.view)
    if reason != DROP_NONE:
        return reason
    reason = _take(s, t, pending, now)
    # Bound or not by now: an authenticated SSRC that is nobody's has cost libsrtp a stream.
    if t.srtp:
        _remember_ssrc(s, t, ssrc)
    if reason != DROP_UNKNOWN_SSRC and not _learn_remote(s, t, socket, source):
        return DROP_OTHER
    return reason


cdef int _take(PlaneState* s, Transport* t, Pending* pending, int64_t now) noexcept nogil:
    """One clear packet into its received stream. 0: it goes on to stage 2."""
    cdef PacketView* view = &pending.packet.view
    cdef StreamRef* found = find_stream(s, t, RECEIVED, view.ssrc)
    cdef Encoding* e
    cdef Producer* p
    cdef CodecState* codec
    cdef int reason
    if found == NULL:
        found = _find_encoding(s, t, view, now)
        if found == NULL:
            return DROP_UNKNOWN_SSRC
    e = found.encoding
    p = e.producer
    _record_arrival(s, t, p, view, now)
    if found.rtx:
        e.rtx_packets += 1
        if p.media_of_rtx[view.payload_type] == NO_PAYLOAD_TYPE:
            return DROP_UNKNOWN_PAYLOAD_TYPE
        if view.payload_size == 0:
            return DROP_RTX_EMPTY
        reason = rtx_unwrap(view, e.ssrc, p.media_of_rtx[view.payload_type])
        if reason:
            return reason
    if p.codec_index[view.payload_type] == NO_PAYLOAD_TYPE:
        return DROP_UNKNOWN_PAYLOAD_TYPE
    codec = &p.codecs[p.codec_index[view.payload_type]]
    reason = recv_stream_receive(&e.stream, view, now)
    if reason:
        return reason
    if p.paused:
        return DROP_PRODUCER_PAUSED
    if e.stream.missing_count:
        schedule(s, e.producer.transport, max(recv_stream_next_timeout(&e.stream), s.last_turn + <int64_t>NACK_TICK_MS * MS))
    if not e.announced:
        e.announced = tell_stream_started(s, p.slot, e.index, e.ssrc) == 0
    e.heard = now
    view.encoding = e.index
    pending.encoding = e
    # A packet of padding alone goes on too: the consumers' numbering has to close the gap that it leaves.
    if view.payload_size:
        describe_packet(
            codec.codec, e.descriptor, p.extension_ids[<int>EXT_DEPENDENCY_DESCRIPTOR],
            p.extension_ids[<int>EXT_AUDIO_LEVEL], view)
        layer_rates_add(&e.layers, view, now)
        if view.audio_level >= 0:
            p.loudest = view.audio_level if p.loudest < 0 else min(p.loudest, view.audio_level)
            p.voice |= view.voice
        if view.is_keyframe:
            keyframe_received(e)
        if e.has_history:
            history_store(&e.history, view)
    if e.stream.keyframe_wanted and recv_stream_take_keyframe_wanted(&e.stream) and has_viewers(p):
        request_keyframe(s, e, now)
    return DROP_NONE


cdef void _record_arrival(PlaneState* s, Transport* t, Producer* p, PacketView* view, int64_t now) noexcept nogil:
    """The transport-wide sequence number, when the packet has one."""
    cdef const ExtElement* element = find_extension(view, p.extension_ids[<int>EXT_TRANSPORT_CC])
    if element == NULL or element.size < 2:
        return
    if twcc_receive(&t.twcc, load_u16(element.data), now):
        t.twcc.due = now
    if t.twcc.due >= 0:
        schedule(s, t, max(t.twcc.due, s.last_turn + <int64_t>NACK_TICK_MS * MS))


# Which encoding an unknown SSRC belongs to: the slow path, once per stream.

cdef bint _element_is(const ExtElement* element, const uint8_t* text, int size) noexcept nogil:
    return element != NULL and size > 0 and element.size == size and memcmp(element.data, text, size) == 0


cdef StreamRef* _find_encoding(PlaneState* s, Transport* t, PacketView* view, int64_t now) noexcept nogil:
    """By MID (and RID), else by RID alone, else by payload type when just one producer can be meant."""
    cdef Producer* p = t.producers
    cdef Encoding* found = NULL
    cdef Encoding* e
    cdef int candidates = 0
    cdef bint named = False
    cdef bint rtx
    while p != NULL:
        e = _match(p, view, &named)
        if e != NULL:
            found = e
            candidates += 1
            if named:
                break
        p = p.next
    if found == NULL or (candidates > 1 and not named):
        return NULL
    p = found.producer
    rtx = p.media_of_rtx[view.payload_type] != NO_PAYLOAD_TYPE
    if not rtx and p.codec_index[view.payload_type] == NO_PAYLOAD_TYPE:
        return NULL
    if not rtx and found.signalled:
        return NULL
    if learn_ssrc(s, t, found, view.ssrc, rtx, now):
        return NULL
    return &found.rtx_ref if rtx else &found.ref


cdef Encoding* _match(Producer* p, PacketView* view, bint* named) noexcept nogil:
    """The encoding of this producer that the packet can belong to. `named`: MID or RID says so, not only the payload type."""
    cdef const ExtElement* mid = find_extension(view, p.extension_ids[<int>EXT_MID])
    cdef const ExtElement* rid = find_extension(view, p.extension_ids[<int>EXT_RID])
    cdef bint rtx = p.media_of_rtx[view.payload_type] != NO_PAYLOAD_TYPE
    cdef Encoding* e
    cdef int index
    if rtx:
        rid = find_extension(view, p.extension_ids[<int>EXT_RRID])
    if mid != NULL and not _element_is(mid, p.mid, p.mid_size):
        return NULL
    if rid != NULL:
        for index in range(p.encoding_count):
            e = &p.encodings[index]
            if _element_is(rid, e.rid, e.rid_size):
                named[0] = True
                return e
        # A RID that no encoding has: with a MID it may still be the only encoding's, whose RID was not signalled.
        if mid == NULL:
            return NULL
    if p.encoding_count != 1 or p.encodings[0].rid_size:
        return NULL
    e = &p.encodings[0]
    if mid != NULL:
        named[0] = True
        return e
    # Nothing names it. An encoding without any identity of its own is found by payload type.
    if rtx:
        return e if not e.has_rtx_ssrc and e.has_ssrc else NULL
    return e if not e.has_ssrc and p.codec_index[view.payload_type] != NO_PAYLOAD_TYPE else NULL
