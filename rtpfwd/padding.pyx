"""Probes of one transport: see padding.pxd."""

from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memset

from rtpfwd.header cimport HeaderMarks, rtp_write_header
from rtpfwd.output cimport can_send, out_room, out_send, out_slot, wire_size
from rtpfwd.pacer cimport Pacer, pacer_send_one
from rtpfwd.retransmit cimport resend_for_probe
from rtpfwd.srtp cimport SRTP_TRAILER
from rtpfwd.state cimport Consumer, DATAGRAM_SIZE, MS, NO_PAYLOAD_TYPE
from rtpfwd.types cimport PacketView

cdef enum:
    PADDING_SIZE = 255          # bytes: RTP's count of them is one byte
    PADDED_BYTES = 330          # on the wire, of a packet of padding alone
    FULL_BYTES = 1300           # and of a full one of media
    LOOK_BACK = 32              # packets of a stream that are sent again for a probe, the newest first, over and over
    PROBE_BURST_MS = 1          # timers are no finer


cdef inline uint8_t _rtx_payload_type(const Consumer* c) noexcept nogil:
    cdef int index
    cdef uint8_t payload_type
    for index in range(c.producer.codec_count):
        payload_type = c.rtx_payload_types[c.producer.codecs[index].payload_type]
        if payload_type != NO_PAYLOAD_TYPE:
            return payload_type
    return NO_PAYLOAD_TYPE


cdef inline bint _carries(const Consumer* c) noexcept nogil:
    # The viewer must be able to tell us about the packet. A paused one will do: how else should we find out that there
    # is room for it?
    return (
        c.producer.video and c.stream.rtx_ssrc != 0
        and c.plan.transport_cc_id != 0 and _rtx_payload_type(c) != NO_PAYLOAD_TYPE)


cdef Consumer* _carrier(const Transport* t) noexcept nogil:
    cdef Consumer* c = t.consumers
    cdef Consumer* paused = NULL
    while c != NULL and (c.paused or not _carries(c)):
        if _carries(c):
            paused = c
        c = c.next_of_transport
    return c if c != NULL else paused


cdef bint padding_possible(const Transport* t) noexcept nogil:
    return can_send(t) and _carrier(t) != NULL


cdef inline int64_t _most_bytes(const Pacer* p) noexcept nogil:
    """Of the next packet. A narrow path is probed with as many packets as any, but with no more bytes than the plan says:
    five full ones are half a second of 100 kbit/s, and what is sent with them (sound!) would be lost."""
    cdef int64_t others = max(p.probe.packets - p.probe_packets - 1, 0)
    if p.probe.bytes >= <int64_t>FULL_BYTES * p.probe.packets:
        return DATAGRAM_SIZE
    return p.probe.bytes - p.probe_bytes - <int64_t>PADDED_BYTES * others


cdef int64_t padding_send(PlaneState* s, Transport* t, int64_t now) noexcept nogil:
    cdef Pacer* p = <Pacer*>t.pacer
    cdef int64_t most
    cdef int sent
    while p.probing and p.probe_at <= now + <int64_t>PROBE_BURST_MS * MS:
        if p.probe_bytes >= p.probe.bytes and p.probe_packets >= p.probe.packets:
            p.probing = False
            break
        if out_room(s) == 0:
            return now + MS     # the lane sends meanwhile
        most = _most_bytes(p)
        sent = pacer_send_one(s, t, most, p.probe.id, now)
        if sent == 0:
            sent = _pad(s, t, p, most, now)
        if sent == 0:
            p.probing = False
            break
        p.probe_bytes += sent
        p.probe_packets += 1
        p.probe_at = max(p.probe_at, now - <int64_t>PROBE_BURST_MS * MS) + 8 * <int64_t>sent * 1_000_000_000 / p.probe.bps
    return p.probe_at if p.probing else -1


cdef int _pad(PlaneState* s, Transport* t, Pacer* p, int64_t most, int64_t now) noexcept nogil:
    """One packet that carries nothing new. Bytes on the wire; 0: no stream takes it."""
    cdef Consumer* c = _carrier(t)
    cdef int64_t ahead = p.clear_at
    cdef int sent = 0
    if c == NULL or not can_send(t):
        return 0
    if c.stream.packets and most >= FULL_BYTES:
        sent = resend_for_probe(s, c, <uint16_t>(c.rewriter.last_out - p.probe_packets % LOOK_BACK), p.probe.id, now)
    if sent == 0:
        sent = _padding_alone(s, c, p.probe.id, now)
    if sent:
        s.counters.probe_packets += 1
        p.clear_at = ahead      # new media does not wait for it
    return sent


cdef int _padding_alone(PlaneState* s, Consumer* c, uint16_t probe, int64_t now) noexcept nogil:
    cdef PacketView nothing
    cdef HeaderMarks marks
    cdef uint8_t* out = out_slot(s)
    cdef int size
    if out == NULL:
        return 0
    memset(&nothing, 0, sizeof(nothing))
    size = rtp_write_header(
        &c.plan, &nothing, _rtx_payload_type(c), c.stream.rtx_seq, c.rewriter.last_timestamp, c.stream.rtx_ssrc, now, out,
        DATAGRAM_SIZE - SRTP_TRAILER - PADDING_SIZE, &marks)
    if size < 0:
        return 0
    out[0] |= 0x20              # the padding bit
    memset(out + size, 0, PADDING_SIZE - 1)
    out[size + PADDING_SIZE - 1] = PADDING_SIZE
    size += PADDING_SIZE
    c.stream.rtx_seq += 1
    return wire_size(c.transport, size) if out_send(s, c, True, size, &marks, probe, now) else 0
