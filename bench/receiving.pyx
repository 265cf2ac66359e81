"""Thousands of packets a millisecond: count each by what SRTP leaves readable, examine a sample, answer what is asked."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from bench.arrivals cimport (
    ARRIVED_AGAIN, ARRIVED_DUPLICATE, ARRIVED_LATE, ARRIVED_REPAIRED, Arrived, Stream, stream_count, transport_count
)
from bench.checks cimport checks_receive
from bench.playout cimport Sent, Source
from bench.sending cimport end_send, resend
from bench.state cimport *
from bench.timers cimport schedule
from rtpfwd.srtp cimport SRTP_OK, srtp_unprotect, srtp_unprotect_rtcp
from rtpfwd.stun cimport STUN_ANSWER
from rtpfwd.sys_linux cimport *

cdef enum:
    SAMPLE_ONE_OF = 16      # packets


cdef inline bint _sampled(uint32_t seq) noexcept nogil:
    """One of SAMPLE_ONE_OF, scattered: every position in a burst has its turn."""
    return (seq * <uint32_t>2654435761) >> 16 & 0xffff < 65536 // SAMPLE_ONE_OF


cdef int rtp_header_size(const uint8_t* packet, int size) noexcept nogil:
    """Bytes of the RTP header; -1: it is not whole."""
    cdef int header = 12 + 4 * (packet[0] & 15)
    if packet[0] & 0x10:
        if header + 4 > size:
            return -1
        header += 4 + 4 * <int>u16(packet + header + 2)
    return header if header <= size else -1


cdef int rtp_extension(const uint8_t* packet, int size, int number) noexcept nogil:
    """Where the data of a header extension begin (RFC 8285, both forms); 0: it is not there."""
    cdef int at, end, length, found
    cdef bint two_bytes
    if not packet[0] & 0x10:
        return 0
    at = 12 + 4 * (packet[0] & 15)
    if at + 4 > size:
        return 0
    two_bytes = packet[at] == 0x10
    end = at + 4 + 4 * <int>u16(packet + at + 2)
    at += 4
    if end > size:
        return 0
    while at < end:
        if packet[at] == 0:
            at += 1
            continue
        if two_bytes:
            if at + 2 > end:
                return 0
            found, length = packet[at], packet[at + 1]
            at += 2
        else:
            found, length = packet[at] >> 4, (packet[at] & 15) + 1
            at += 1
        if found == number:
            return at if at + length <= end else 0
        at += length
    return 0


cdef void end_receive(Loop* loop, int number) noexcept nogil:
    cdef End* end = &loop.ends[number]
    cdef int index, size, segment, at
    cdef int64_t now
    cdef uint8_t* data
    cdef cmsghdr* control
    # An error here is an ICMP answer of a server that has gone: reading it clears it, and the counts will show.
    cdef int count = recvmmsg(end.fd, loop.messages, BATCH, MSG_DONTWAIT, NULL)
    now = clock_now()
    for index in range(count):
        size = <int>loop.messages[index].msg_len
        segment = size
        control = <cmsghdr*>&loop.controls[index][0]
        if loop.messages[index].msg_hdr.msg_controllen >= CMSG_LEN(sizeof(int)):
            if control.cmsg_level == SOL_UDP and control.cmsg_type == UDP_GRO:
                segment = max(1, (<int*>CMSG_DATA(control))[0])
        loop.messages[index].msg_hdr.msg_controllen = CONTROL
        data = loop.buffers + index * ROOM
        at = 0
        while at < size:
            take_datagram(loop, end, number, data + at, min(segment, size - at), now)
            at += segment
    if end.transport != NULL and end.feedback_at == NEVER and end.transport.highest >= end.transport.next >= 0:
        end.feedback_at = now + FEEDBACK_EVERY
        schedule(loop, number)


cdef void take_datagram(Loop* loop, End* end, int number, uint8_t* data, int size, int64_t now) noexcept nogil:
    # RFC 7983: 128 … 191 is RTP or RTCP; RFC 5761: with payload types 64 … 95 it is RTCP.
    if size < 12 or data[0] >> 6 != 2:
        if end.active and size > 0 and data[0] < 4:
            take_stun(loop, end, data, size)
        else:
            hand_over(loop, number, data, size)
    elif not end.active:
        pass  # the keys are not here yet
    elif 64 <= (data[1] & 127) <= 95:
        take_rtcp(loop, end, data, size, now)
    else:
        take_rtp(loop, end, number, data, size, now)


cdef void take_stun(Loop* loop, End* end, uint8_t* data, int size) noexcept nogil:
    cdef uint8_t[STUN_ANSWER] answer
    if checks_receive(&end.checks, data, size, answer):
        end_send(loop, end, answer, STUN_ANSWER)


cdef void take_rtp(Loop* loop, End* end, int number, uint8_t* data, int size, int64_t now) noexcept nogil:
    cdef uint32_t ssrc = u32(data + 8)
    cdef uint32_t slot, found
    cdef Stream* stream
    cdef int at, seq
    if end.table == NULL:
        loop.said.foreign += 1
        return
    slot = ssrc_hash(ssrc) & end.table_mask
    while True:
        found = end.table[slot]
        if not found:
            loop.said.foreign += 1
            return
        stream = &end.streams[(found - 1) >> 1]
        if (stream.rtx_ssrc if (found - 1) & 1 else stream.ssrc) == ssrc:
            break
        slot = slot + 1 & end.table_mask
    if end.transport != NULL:
        at = rtp_extension(data, size, end.transport_id)
        if at:
            transport_count(end.transport, <int>u16(data + at), now)
    seq = <int>u16(data + 2)
    if (found - 1) & 1:
        take_rtx(loop, end, stream, data, size, now)
    elif count_packet(loop, stream, seq, u32(data + 4), size, now) and _sampled(seq):
        examine(loop, end, stream, data, size, now)
    if stream.hole_count and end.nack_at == NEVER:
        end.nack_at = now + NACK_EVERY
        schedule(loop, number)


cdef bint count_packet(Loop* loop, Stream* stream, int seq, uint32_t timestamp, int size, int64_t now) noexcept nogil:
    """Whether the packet is new."""
    cdef Arrived arrived = stream_count(stream, seq, timestamp, now)
    if arrived == ARRIVED_DUPLICATE:
        stream.duplicates += 1
    if arrived >= ARRIVED_AGAIN:
        return False
    stream.late += arrived == ARRIVED_LATE
    stream.repaired += arrived == ARRIVED_REPAIRED
    stream.bytes += size
    return True


cdef void take_rtx(Loop* loop, End* end, Stream* stream, uint8_t* data, int size, int64_t now) noexcept nogil:
    """RFC 4588 section 4: the payload begins with the original sequence number."""
    cdef int header
    cdef Arrived arrived
    if srtp_unprotect(end.receiver, data, data, &size) != SRTP_OK:
        stream.rejected += 1
        return
    header = rtp_header_size(data, size)
    if header < 0 or size - header < 2 or stream.highest < 0 or data[0] & 0x20 and size - header - data[size - 1] < 2:
        return  # padding, to probe the path
    arrived = stream_count(stream, <int>u16(data + header), u32(data + 4), now)
    if arrived <= ARRIVED_REPAIRED:
        stream.repaired += 1
        stream.bytes += size


cdef void examine(Loop* loop, End* end, Stream* stream, uint8_t* data, int size, int64_t now) noexcept nogil:
    """Authenticate, decrypt, and read the stamp: is it the packet that was sent, and when was that?"""
    cdef int64_t seq = u16(data + 2)
    cdef int64_t offset, delay
    cdef int header
    if srtp_unprotect(end.receiver, data, data, &size) != SRTP_OK:
        stream.rejected += 1
        return
    if data[0] & 0x20:
        size -= data[size - 1]  # RTP padding
    header = rtp_header_size(data, size)
    if header < 0:
        stream.rejected += 1
        return
    if size - header < stream.stamped_from:
        stream.verified += 1  # authentic, and too small to say more
        return
    data += size - 12
    # A server renumbers a stream by one constant as long as it neither drops nor repeats.
    offset = seq - <int64_t>u32(data) & 0xffff
    if stream.offset < 0:
        stream.offset = offset
    delay = now - <int64_t>(<uint64_t>u32(data + 4) << 32 | u32(data + 8))
    if stream.in_place and offset != stream.offset or not 0 < delay < 600 * <int64_t>SECOND:
        stream.rejected += 1
        return
    stream.verified += 1
    if loop.delay_count < DELAYS:
        loop.delays[loop.delay_count] = delay
        loop.delay_count += 1


cdef void take_rtcp(Loop* loop, End* end, uint8_t* data, int size, int64_t now) noexcept nogil:
    """A compound: what a publisher must answer, and what a viewer's reports refer to."""
    cdef int at = 0
    cdef int length
    if srtp_unprotect_rtcp(end.receiver, data, &size) != SRTP_OK:
        loop.said.bad_rtcp += 1
        return
    while at + 4 <= size:
        length = 4 + 4 * <int>u16(data + at + 2)
        if at + length > size:
            return
        if data[at + 1] == 200 and length >= 28:
            take_sender_report(loop, end, data + at, now)
        elif end.source != NULL and length >= 12:
            if data[at + 1] == 205:
                take_transport_layer(loop, end, data + at, length)
            elif data[at + 1] == 206:
                take_payload_specific(loop, end.source, data + at, length)
        at += length


cdef void take_sender_report(Loop* loop, End* end, const uint8_t* data, int64_t now) noexcept nogil:
    cdef int index
    loop.said.sender_reports_heard += 1
    for index in range(end.stream_count):
        if end.streams[index].ssrc == u32(data + 4):
            end.streams[index].sr = u32(data + 10)
            end.streams[index].sr_at = now
            return


cdef void take_transport_layer(Loop* loop, End* end, const uint8_t* data, int length) noexcept nogil:
    """RFC 4585 section 6.2.1: NACK."""
    cdef int index, at, bit
    cdef Sent* sent
    if data[0] & 31 == 15:
        loop.said.transport_feedback_heard += 1
    if data[0] & 31 != 1:
        return
    for index in range(end.source.sent_count):
        sent = &end.source.sents[index]
        if sent.ssrc != u32(data + 8):
            continue
        for at in range(12, length - 3, 4):
            resend(loop, end, sent, <int>u16(data + at))
            for bit in range(16):
                if u16(data + at + 2) >> bit & 1:
                    resend(loop, end, sent, <int>(u16(data + at) + 1 + bit) & 0xffff)


cdef void take_payload_specific(Loop* loop, Source* source, const uint8_t* data, int length) noexcept nogil:
    """PLI (RFC 4585 section 6.3.1) and FIR (RFC 5104 section 4.3.1)."""
    cdef int at
    if data[0] & 31 == 1:
        _ask_key_frame(source, u32(data + 8))
    elif data[0] & 31 == 4:
        for at in range(12, length - 7, 8):
            _ask_key_frame(source, u32(data + at))


cdef void hand_over(Loop* loop, int number, const uint8_t* data, int size) noexcept nogil:
    cdef Handed* entry
    cdef uint64_t one = 1
    if size > HANDED:
        return
    pthread_mutex_lock(&loop.ring_lock)
    if loop.ring_head - loop.ring_tail < RING:
        entry = &loop.ring[loop.ring_head % RING]
        entry.end = number
        entry.size = size
        memcpy(entry.data, data, size)
        loop.ring_head += 1
    else:
        loop.ring_lost += 1
    pthread_mutex_unlock(&loop.ring_lock)
    write(loop.handoff, &one, sizeof(one))


cdef void _ask_key_frame(Source* source, uint32_t ssrc) noexcept nogil:
    cdef int index
    for index in range(source.sent_count):
        if source.sents[index].ssrc == ssrc:
            source.key_frame_requests += 1
            source.key_frame_wanted = True
