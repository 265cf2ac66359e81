"""Frames in bursts, reports each second, feedback when it is due: RFC 3550, RFC 4585, RFC 7675."""

from libc.errno cimport EINVAL, EIO, errno
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memset

from bench.arrivals cimport Stream, write_nack, write_pli, write_receiver_report, write_transport_feedback
from bench.checks cimport checks_renew
from bench.playout cimport LONGEST, Sent, Source, source_again, source_due, source_next, source_report
from bench.state cimport *
from rtpfwd.srtp cimport SRTP_OK, SRTP_TRAILER, SrtpJob, srtp_protect, srtp_protect_jobs, srtp_protect_rtcp
from rtpfwd.sys_linux cimport *

cdef enum:
    SEGMENTS = 40               # of one message: with 1500 bytes each below the 64 KiB that it may have
    RTCP_ROOM = 1500
    REPORTED = 31               # streams of one receiver report

# RFC 7675 section 5.1: 5 s, randomised by 20 %. An int, as a constant of an enum is, could not hold them.
cdef int64_t CONSENT_LEAST = 4 * <int64_t>SECOND
cdef int64_t CONSENT_SPREAD = 2 * <int64_t>SECOND


cdef uint64_t next_random(Loop* loop) noexcept nogil:
    """xorshift64."""
    loop.random ^= loop.random << 13
    loop.random ^= loop.random >> 7
    loop.random ^= loop.random << 17
    return loop.random


cdef int64_t consent_interval(Loop* loop) noexcept nogil:
    return CONSENT_LEAST + <int64_t>(next_random(loop) % CONSENT_SPREAD)


cdef void end_timeout(Loop* loop, int number, int64_t now) noexcept nogil:
    cdef End* end = &loop.ends[number]
    if end.source != NULL and end.source.playing and source_due(end.source) <= now:
        send_media(loop, end)
    if end.feedback_at <= now:
        end.feedback_at = NEVER
        send_feedback(loop, end)
    if end.nack_at <= now:
        send_nacks(loop, end, now)
    if end.report_at <= now:
        end.report_at = now + REPORT_EVERY
        send_reports(loop, end, now)
    if end.pli_at <= now:
        end.pli_at = NEVER
        send_plis(loop, end)
    if end.consent_at <= now:
        end.consent_at = now + consent_interval(loop)
        checks_renew(&end.checks, next_random(loop))
        end_send(loop, end, end.checks.request, end.checks.request_size)


cdef void end_send(Loop* loop, End* end, const uint8_t* data, int size) noexcept nogil:
    # A full buffer loses it, as a network would; a server that has gone is noticed by whoever commands it next.
    sendto(end.fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0)


cdef bint send_rtcp(Loop* loop, End* end, uint8_t* packet, int size) noexcept nogil:
    """`packet` has SRTP_TRAILER bytes of room."""
    if srtp_protect_rtcp(end.control, packet, &size) != SRTP_OK:
        return False
    end_send(loop, end, packet, size)
    return True


cdef void send_media(Loop* loop, End* end) noexcept nogil:
    """Whatever is due of its source, at most BURST packets."""
    cdef Source* source = end.source
    cdef Sent* sent
    cdef int count = 0
    cdef int at = 0
    cdef int size
    cdef int header = 0
    cdef int64_t now = clock_now()
    cdef SrtpJob* job
    while count < BURST and source.playing and source_due(source) <= now:
        job = &loop.jobs[count]
        now = clock_now()
        size = source_next(source, loop.burst + at, now, &sent, &header)
        job.sender = &sent.sender
        job.packet = loop.burst + at
        job.payload = job.packet + header
        job.header_size = header
        job.payload_size = size - header
        at += size + sent.sender.keys.tag_size
        count += 1
    protect_and_send(loop, end, count)


cdef void protect_and_send(Loop* loop, End* end, int count) noexcept nogil:
    """The jobs, which lie one behind the other."""
    cdef int index, size, taken, before
    cdef int sends = 0
    cdef int sent = 0
    srtp_protect_jobs(loop.jobs, count)
    before = -1
    for index in range(count):
        size = loop.jobs[index].header_size + loop.jobs[index].payload_size + loop.jobs[index].sender.keys.tag_size
        if loop.jobs[index].status != SRTP_OK:
            end.source.refused += 1
            before = -1
            continue
        # A message is datagrams of one size; only its last may be smaller.
        if loop.gso and before > 0 and size <= before and loop.sends[sends - 1].msg_len < SEGMENTS:
            loop.send_vectors[sends - 1].iov_len += size
            loop.sends[sends - 1].msg_len += 1
            if size < before:
                before = -1
        else:
            loop.send_vectors[sends].iov_base = loop.jobs[index].packet
            loop.send_vectors[sends].iov_len = size
            memset(&loop.sends[sends], 0, sizeof(mmsghdr))
            loop.sends[sends].msg_hdr.msg_iov = &loop.send_vectors[sends]
            loop.sends[sends].msg_hdr.msg_iovlen = 1
            loop.sends[sends].msg_len = 1
            cut_into(loop, sends, size)
            sends += 1
            before = size
    for index in range(sends):
        if loop.sends[index].msg_len == 1:
            loop.sends[index].msg_hdr.msg_control = NULL
            loop.sends[index].msg_hdr.msg_controllen = 0
    while sent < sends:
        taken = sendmmsg(end.fd, &loop.sends[sent], sends - sent, MSG_DONTWAIT | MSG_NOSIGNAL)
        if taken <= 0:
            if loop.sends[sent].msg_hdr.msg_control != NULL and errno in (EINVAL, EIO):
                loop.gso = False  # this kernel or device does not cut messages: the next frame goes one by one
            break
        sent += taken
    for index in range(sent, sends):
        end.source.refused += loop.sends[index].msg_len


cdef void cut_into(Loop* loop, int number, int size) noexcept nogil:
    """Ask the kernel to cut a message into datagrams of so many bytes."""
    cdef cmsghdr* header = <cmsghdr*>&loop.send_controls[number][0]
    memset(header, 0, CONTROL)
    header.cmsg_level = SOL_UDP
    header.cmsg_type = UDP_SEGMENT
    header.cmsg_len = CMSG_LEN(sizeof(uint16_t))
    (<uint16_t*>CMSG_DATA(header))[0] = <uint16_t>size
    loop.sends[number].msg_hdr.msg_control = header
    loop.sends[number].msg_hdr.msg_controllen = CMSG_SPACE(sizeof(uint16_t))


cdef void resend(Loop* loop, End* end, Sent* sent, int seq) noexcept nogil:
    cdef uint8_t[LONGEST + SRTP_TRAILER] packet
    cdef int header
    cdef int size = source_again(end.source, sent, seq, packet, &header)
    if size and srtp_protect(&sent.rtx_sender, packet, &size) == SRTP_OK:
        end_send(loop, end, packet, size)


cdef void send_reports(Loop* loop, End* end, int64_t now) noexcept nogil:
    cdef uint8_t[RTCP_ROOM + SRTP_TRAILER] packet
    cdef (Stream*)[REPORTED] heard
    cdef int index, size
    cdef int count = 0
    if end.source != NULL:
        size = source_report(end.source, packet, RTCP_ROOM, now)
        if size:
            loop.said.sender_reports += send_rtcp(loop, end, packet, size)
    for index in range(end.stream_count):
        if end.streams[index].highest >= 0:
            heard[count] = &end.streams[index]
            count += 1
        if count == REPORTED or count and index == end.stream_count - 1:
            size = write_receiver_report(packet, end.own_ssrc, heard, count, now)
            loop.said.receiver_reports += send_rtcp(loop, end, packet, size)
            count = 0


cdef void send_nacks(Loop* loop, End* end, int64_t now) noexcept nogil:
    cdef uint8_t[RTCP_ROOM + SRTP_TRAILER] packet
    cdef int index, size
    cdef int64_t again
    end.nack_at = NEVER
    for index in range(end.stream_count):
        if not end.streams[index].hole_count:
            continue
        size = write_nack(packet, RTCP_ROOM, end.own_ssrc, &end.streams[index], now, &again)
        if again:
            end.nack_at = min(end.nack_at, max(again, now + NACK_EVERY))
        if size:
            loop.said.nacks += send_rtcp(loop, end, packet, size)


cdef void send_plis(Loop* loop, End* end) noexcept nogil:
    cdef uint8_t[12 + SRTP_TRAILER] packet
    cdef int index, size
    for index in range(end.stream_count):
        if end.streams[index].video:
            size = write_pli(packet, end.own_ssrc, end.streams[index].ssrc)
            loop.said.plis += send_rtcp(loop, end, packet, size)


cdef void send_feedback(Loop* loop, End* end) noexcept nogil:
    cdef uint8_t[RTCP_ROOM + SRTP_TRAILER] packet
    cdef int size
    while True:
        size = write_transport_feedback(packet, end.own_ssrc, end.streams[0].ssrc, end.transport)
        if not size:
            return
        loop.said.transport_feedback += send_rtcp(loop, end, packet, size)
