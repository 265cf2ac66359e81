"""One epoll, one heap of timers: do what is due, wait for the next, receive."""

from libc.errno cimport ENOSYS, errno
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from bench.arrivals cimport Stream, stream_gaps
from bench.playout cimport source_close
from bench.receiving cimport end_receive
from bench.sending cimport end_timeout
from bench.state cimport *
from bench.timers cimport schedule
from rtpfwd.srtp cimport srtp_close, srtp_receiver_close
from rtpfwd.sys_linux cimport *
from rtpfwd.turns cimport take_short_turns

cdef extern from "<unistd.h>" nogil:
    long syscall(long, ...)

cdef extern from *:
    """
    #define SYS_EPOLL_PWAIT2 441  /* Linux 5.11; the same number on every machine */
    """
    long SYS_EPOLL_PWAIT2


cdef void loop_run(Loop* loop) noexcept nogil:
    cdef epoll_event[READY] ready
    cdef int index, count
    cdef int64_t wait
    cdef uint64_t wakes
    prctl(PR_SET_TIMERSLACK, <unsigned long>1, <unsigned long>0, <unsigned long>0, <unsigned long>0)
    take_short_turns(True)
    for index in range(BATCH):
        loop.vectors[index].iov_base = loop.buffers + index * ROOM
        loop.vectors[index].iov_len = ROOM
        memset(&loop.messages[index], 0, sizeof(mmsghdr))
        loop.messages[index].msg_hdr.msg_iov = &loop.vectors[index]
        loop.messages[index].msg_hdr.msg_iovlen = 1
        loop.messages[index].msg_hdr.msg_control = &loop.controls[index][0]
        loop.messages[index].msg_hdr.msg_controllen = CONTROL
    loop_enter(loop)
    while not loop.stopping:
        wait = loop_fire(loop)
        loop_leave(loop)
        count = loop_wait(loop, ready, wait)
        loop_enter(loop)
        for index in range(count):
            if ready[index].data.u32 == WAKE:
                read(loop.wake_fd, &wakes, sizeof(wakes))
            elif loop.ends[ready[index].data.u32].fd >= 0:
                end_receive(loop, <int>ready[index].data.u32)
    loop_leave(loop)


cdef int64_t loop_fire(Loop* loop) noexcept nogil:
    """Do what is due, at most READY times, so that receiving has its turn. How long to wait then, ns."""
    cdef int turn, number
    cdef int64_t now = clock_now()
    for turn in range(READY):
        if loop.heap_size == 0:
            return 10 * <int64_t>SECOND
        number = loop.heap[0]
        if loop.ends[number].due > now:
            now = clock_now()
            if loop.ends[number].due > now:
                return loop.ends[number].due - now
        end_timeout(loop, number, now)
        schedule(loop, number)
    return 0


cdef int loop_wait(Loop* loop, epoll_event* ready, int64_t ns) noexcept nogil:
    cdef timespec limit
    cdef int count
    if loop.pwait2:
        limit.tv_sec = ns // SECOND
        limit.tv_nsec = ns % SECOND
        count = <int>syscall(SYS_EPOLL_PWAIT2, loop.epoll, ready, READY, &limit, NULL, 0)
        if count >= 0 or errno != ENOSYS:
            return count
        loop.pwait2 = False
    return epoll_wait(loop.epoll, ready, READY, <int>((ns + MS - 1) // MS))


cdef void end_free(End* end) noexcept nogil:
    if end.fd < 0:
        return
    srtp_receiver_close(end.receiver)
    srtp_close(end.control)
    source_close(end.source)
    free(end.streams)
    free(end.table)
    free(end.transport)
    memset(end, 0, sizeof(End))
    end.fd = end.heap_at = -1


cdef Counts loop_counts(Loop* loop) noexcept nogil:
    cdef Counts total = loop.left
    cdef int number
    for number in range(loop.capacity):
        if loop.ends[number].fd >= 0:
            count_end(&total, &loop.ends[number])
    _add_said(&total, &loop.said)
    return total


cdef void count_end(Counts* total, const End* end) noexcept nogil:
    cdef int index
    cdef const Stream* stream
    for index in range(end.stream_count):
        stream = &end.streams[index]
        total.packets += stream.packets
        total.bytes += stream.bytes
        total.duplicates += stream.duplicates
        total.late += stream.late
        total.repaired += stream.repaired
        total.verified += stream.verified
        total.rejected += stream.rejected
        total.gaps += stream_gaps(stream)
    total.consents += end.checks.asked
    total.consents_answered += end.checks.answered
    total.checks_served += end.checks.served
    if end.source != NULL:
        total.key_frame_requests += end.source.key_frame_requests
        total.nacked += end.source.nacked
        total.resent += end.source.resent


cdef void _add_said(Counts* total, const Counts* said) noexcept nogil:
    total.foreign += said.foreign
    total.receiver_reports += said.receiver_reports
    total.sender_reports += said.sender_reports
    total.nacks += said.nacks
    total.transport_feedback += said.transport_feedback
    total.plis += said.plis
    total.sender_reports_heard += said.sender_reports_heard
    total.transport_feedback_heard += said.transport_feedback_heard
    total.bad_rtcp += said.bad_rtcp
