"""The native half of the load generator, as Python commands it: bench/load.pyi is its documented face.

A remote end's ICE and DTLS at set-up are Python's: until `activate`, what arrives for it goes through a bounded ring.
From then on the thread in `run` answers and renews ICE's consent, sends and counts media, and says in RTCP what a
browser would say. A packet of a watched SSRC is counted by its sequence number, which SRTP leaves readable; a sample of
them is authenticated, decrypted and measured. Whatever Python changes, it changes under the mutex.

Over 400 lines because a class can't be taken apart, and every command states the many facts of one remote end.
"""

from array import array

from libc.errno cimport errno
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove, memset

from bench.arrivals cimport Stream, Transport, stream_gaps
from bench.checks cimport CHECK_ROOM, Checks
from bench.loop cimport count_end, end_free, loop_counts, loop_run
from bench.playout cimport LONGEST, PAST, Sent, Source, Step, source_close, source_play
from bench.sending cimport consent_interval, next_random
from bench.state cimport *
from bench.timers cimport heap_remove, schedule
from rtpfwd.cursor cimport store_u32
from rtpfwd.srtp cimport SrtpPolicy, srtp_open, srtp_receiver_open, srtp_sender_open
from rtpfwd.stun cimport STUN_HEADER, STUN_SIGNATURE, stun_key_init
from rtpfwd.sys_linux cimport *


cdef class Load:
    cdef Loop* loop
    cdef bint nacks
    cdef dict policies              # by end: whose keys its senders and receivers use

    def __cinit__(self, int capacity, *, bint nacks, uint64_t seed):
        cdef Loop* loop = <Loop*>calloc(1, sizeof(Loop))
        cdef int index
        if loop == NULL:
            raise MemoryError
        self.loop = loop
        loop.epoll = loop.wake_fd = loop.handoff = -1
        pthread_mutex_init(&loop.turn, NULL)
        pthread_mutex_init(&loop.lock, NULL)
        pthread_mutex_init(&loop.ring_lock, NULL)
        loop.capacity = capacity
        self.nacks = nacks
        loop.random = seed * <uint64_t>0x9E3779B97F4A7C15 | 1
        loop.pwait2 = loop.gso = True
        self.policies = {}
        loop.ends = <End*>calloc(capacity, sizeof(End))
        loop.heap = <int*>calloc(capacity, sizeof(int))
        loop.ring = <Handed*>calloc(RING, sizeof(Handed))
        loop.delays = <int64_t*>calloc(DELAYS, sizeof(int64_t))
        loop.buffers = <uint8_t*>calloc(BATCH, ROOM)
        if (loop.ends == NULL or loop.heap == NULL or loop.ring == NULL or loop.delays == NULL
                or loop.buffers == NULL):
            raise MemoryError
        for index in range(capacity):
            loop.ends[index].fd = loop.ends[index].heap_at = -1
        loop.epoll = epoll_create1(EPOLL_CLOEXEC)
        loop.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
        loop.handoff = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
        if min(loop.epoll, loop.wake_fd, loop.handoff) < 0:
            raise OSError(errno, "a load needs an epoll and two eventfds; raise the limit of open files")
        self.poll_fd(loop.wake_fd, WAKE)

    def __dealloc__(self):
        cdef Loop* loop = self.loop
        cdef int index
        if loop == NULL:
            return
        if loop.ends != NULL:
            for index in range(loop.capacity):
                end_free(&loop.ends[index])
        for index in (loop.epoll, loop.wake_fd, loop.handoff):
            if index >= 0:
                close(index)
        free(loop.ends)
        free(loop.heap)
        free(loop.ring)
        free(loop.delays)
        free(loop.buffers)
        pthread_mutex_destroy(&loop.turn)
        pthread_mutex_destroy(&loop.lock)
        pthread_mutex_destroy(&loop.ring_lock)
        free(loop)

    cdef poll_fd(self, int fd, uint32_t tag):
        cdef Loop* loop = self.loop
        cdef epoll_event event
        memset(&event, 0, sizeof(event))
        event.events = EPOLLIN
        event.data.u32 = tag
        if epoll_ctl(loop.epoll, EPOLL_CTL_ADD, fd, &event):
            raise OSError(errno, f"file descriptor {fd} can't be polled")

    cdef End* find(self, int number) except NULL:
        cdef Loop* loop = self.loop
        if not 0 <= number < loop.capacity or loop.ends[number].fd < 0:
            raise ValueError(f"there is no remote end {number}")
        return &loop.ends[number]

    @property
    def handoff_fd(self):
        return self.loop.handoff

    @property
    def overflows(self):
        return self.loop.ring_lost

    def add(self, int fd):
        cdef Loop* loop = self.loop
        cdef int number
        cdef End* end
        for number in range(loop.capacity):
            if loop.ends[number].fd < 0:
                break
        else:
            raise RuntimeError(f"this load was made for {loop.capacity} remote ends")
        self.poll_fd(fd, number)
        with nogil:
            loop_enter(loop)
            end = &loop.ends[number]
            memset(end, 0, sizeof(End))
            end.fd = fd
            end.heap_at = -1
            end.due = end.consent_at = end.report_at = end.nack_at = end.feedback_at = end.pli_at = NEVER
            loop_leave(loop)
        return number

    def activate(self, int number, SrtpPolicy inbound not None, SrtpPolicy outbound not None, uint32_t own_ssrc, *,
                 bytes request not None, bytes remote_password not None, bytes own_password not None,
                 uint32_t server_address, int server_port):
        cdef Loop* loop = self.loop
        cdef End* end = self.find(number)
        cdef Checks* checks = &end.checks
        cdef int64_t now
        if end.active:
            raise ValueError(f"remote end {number} is active already")
        if not STUN_HEADER + STUN_SIGNATURE <= len(request) <= CHECK_ROOM:
            raise ValueError(f"a signed check has at most {CHECK_ROOM} bytes, not {len(request)}")
        self.policies[number] = (inbound, outbound)
        checks.request_size = <int>len(request)
        memcpy(checks.request, <const char*>request, len(request))
        stun_key_init(&checks.remote_key, <const uint8_t*><const char*>remote_password, len(remote_password))
        stun_key_init(&checks.own_key, <const uint8_t*><const char*>own_password, len(own_password))
        checks.server.family = 4
        store_u32(checks.server.ip, server_address)
        checks.server.port = <uint16_t>server_port
        with nogil:
            loop_enter(loop)
            end.own_ssrc = own_ssrc
            end.receiver = srtp_receiver_open(&inbound.keys)
            end.control = srtp_open(&outbound.keys)
            now = clock_now()
            end.consent_at = now + consent_interval(loop)
            # Spread over the second, as those of people who came one by one are.
            end.report_at = now + <int64_t>(next_random(loop) % REPORT_EVERY)
            end.active = True
            schedule(loop, number)
            loop_leave(loop)
        loop_wake(loop)
        if end.receiver == NULL or end.control == NULL:
            raise ValueError("libsrtp refused the policy")

    def watch(self, int number, list streams not None, int transport_id):
        """`streams`: (ssrc, RTX ssrc or 0, clock rate, video, nack, in place, stamped from)."""
        cdef Loop* loop = self.loop
        cdef End* end = self.find(number)
        cdef int count = <int>len(streams)
        cdef int index
        cdef uint32_t room = 4
        cdef Stream* made
        cdef uint32_t* table
        cdef Transport* transport = NULL
        if end.streams != NULL or not end.active:
            raise ValueError(f"remote end {number} watches already, or is not active")
        while room < <uint32_t>count * 4:
            room *= 2
        made = <Stream*>calloc(max(count, 1), sizeof(Stream))
        table = <uint32_t*>calloc(room, sizeof(uint32_t))
        if transport_id:
            transport = <Transport*>calloc(1, sizeof(Transport))
        if made == NULL or table == NULL or transport_id and transport == NULL:
            free(made)
            free(table)
            free(transport)
            raise MemoryError
        for index in range(count):
            (made[index].ssrc, made[index].rtx_ssrc, made[index].clock_rate, made[index].video, made[index].nack,
             made[index].in_place, made[index].stamped_from) = streams[index]
            made[index].nack = made[index].nack and self.nacks
            made[index].first = made[index].highest = made[index].offset = -1
            _insert(table, room - 1, made[index].ssrc, 2 * index + 1)
            if made[index].rtx_ssrc:
                _insert(table, room - 1, made[index].rtx_ssrc, 2 * index + 2)
        if transport != NULL:
            transport.next = -1
        with nogil:
            loop_enter(loop)
            end.table_mask = room - 1
            end.table = table
            end.transport = transport
            end.transport_id = transport_id
            end.stream_count = count
            end.streams = made
            loop_leave(loop)

    def started(self, int number):
        """The server forwards from now on: ask for key frames, as a decoder does that begins."""
        cdef Loop* loop = self.loop
        cdef End* end = self.find(number)
        with nogil:
            loop_enter(loop)
            end.pli_at = clock_now()
            schedule(loop, number)
            loop_leave(loop)
        loop_wake(loop)

    def publish(self, int number, list sents not None, list steps not None, bytes data not None, *,
                int64_t duration, int64_t frame, uint16_t transport_seq):
        """`sents`: (ssrc, RTX ssrc or 0, RTX payload type, clock rate, video, first sequence number, first timestamp,
        packets per loop); `steps`: the fields of playout.Step in their order."""
        cdef Loop* loop = self.loop
        cdef End* end = self.find(number)
        cdef SrtpPolicy policy
        cdef Source* source
        cdef Sent* sent
        cdef Step* step
        cdef int index, past
        cdef bint refused = False
        if end.source != NULL or not end.active:
            raise ValueError(f"remote end {number} publishes already, or is not active")
        if not steps or len(sents) > 255:
            raise ValueError("a source needs packets, of at most 255 SSRCs")
        policy = self.policies[number][1]
        source = <Source*>calloc(1, sizeof(Source))
        if source == NULL:
            raise MemoryError
        source.sents = <Sent*>calloc(len(sents), sizeof(Sent))
        source.steps = <Step*>calloc(len(steps), sizeof(Step))
        source.bytes = <uint8_t*>calloc(len(data), 1)
        if source.sents == NULL or source.steps == NULL or source.bytes == NULL:
            source_close(source)
            raise MemoryError
        source.duration, source.frame, source.transport_seq = duration, frame, transport_seq
        source.key_frame_wanted = True
        memcpy(source.bytes, <const char*>data, len(data))
        for index in range(len(sents)):
            sent = &source.sents[index]
            (sent.ssrc, sent.rtx_ssrc, sent.rtx_payload_type, sent.clock_rate, sent.video, sent.first_seq,
             sent.first_timestamp, sent.per_loop) = sents[index]
            for past in range(PAST):
                sent.past[past].number = -1
            source.sent_count += 1
            refused |= srtp_sender_open(&sent.sender, &policy.keys, sent.ssrc) != 0
            if sent.rtx_ssrc:
                refused |= srtp_sender_open(&sent.rtx_sender, &policy.keys, sent.rtx_ssrc) != 0
        for index in range(len(steps)):
            step = &source.steps[index]
            (step.at, step.data, step.timestamp, step.rank, step.kept, step.size, step.header, step.stamp,
             step.transport_seq, step.send_time, step.sent, step.new_frame, step.key_header) = steps[index]
            refused |= (
                step.size > LONGEST or step.kept > step.size or step.header > step.kept or step.sent >= len(sents)
                or step.data + step.kept > len(data) or step.stamp and step.stamp + 12 > step.size
                or step.key_header > step.size - step.header
            )
        source.step_count = <int>len(steps)
        if refused:
            source_close(source)
            raise ValueError("a source's packets do not fit, or libsrtp refused the policy")
        with nogil:
            loop_enter(loop)
            end.source = source
            loop_leave(loop)

    def play(self, int number, int64_t start, int64_t duration):
        cdef Loop* loop = self.loop
        cdef End* end = self.find(number)
        if end.source == NULL or end.source.playing:
            raise ValueError(f"remote end {number} has nothing to play, or plays already")
        with nogil:
            loop_enter(loop)
            source_play(end.source, start, start + duration)
            schedule(loop, number)
            loop_leave(loop)
        loop_wake(loop)

    def check_now(self, int number):
        cdef Loop* loop = self.loop
        cdef End* end = self.find(number)
        with nogil:
            loop_enter(loop)
            end.consent_at = clock_now()
            schedule(loop, number)
            loop_leave(loop)
        loop_wake(loop)

    def source(self, int number):
        cdef Loop* loop = self.loop
        cdef End* end = self.find(number)
        cdef Source* source = end.source
        if source == NULL:
            raise ValueError(f"remote end {number} publishes nothing")
        with nogil:
            loop_enter(loop)
        try:
            return {
                "playing": source.playing, "frames": source.frames, "late_frames": source.late_frames,
                "latest": source.latest, "refused": source.refused,
                "key_frame_requests": source.key_frame_requests, "nacked": source.nacked, "resent": source.resent,
                "sent": {source.sents[index].ssrc: source.sents[index].packets for index in range(source.sent_count)},
            }
        finally:
            loop_leave(loop)

    def streams(self, int number):
        cdef Loop* loop = self.loop
        cdef End* end = self.find(number)
        cdef Stream* stream
        cdef int index
        found = []
        with nogil:
            loop_enter(loop)
        for index in range(end.stream_count):
            stream = &end.streams[index]
            found.append({
                "ssrc": stream.ssrc, "packets": stream.packets, "bytes": stream.bytes, "late": stream.late,
                "duplicates": stream.duplicates, "repaired": stream.repaired, "verified": stream.verified,
                "rejected": stream.rejected, "gaps": stream_gaps(stream),
            })
        loop_leave(loop)
        return found

    def counts(self):
        cdef Counts total
        with nogil:
            loop_enter(self.loop)
            total = loop_counts(self.loop)
            loop_leave(self.loop)
        return total

    def remove(self, int number):
        cdef Loop* loop = self.loop
        cdef End* end = self.find(number)
        with nogil:
            loop_enter(loop)
            epoll_ctl(loop.epoll, EPOLL_CTL_DEL, end.fd, NULL)
            end.due = NEVER
            heap_remove(loop, number)
            count_end(&loop.left, end)
            end_free(end)
            loop_leave(loop)
        self.policies.pop(number, None)

    def poll(self):
        cdef Loop* loop = self.loop
        cdef Handed* entry = NULL
        if loop.ring_tail == loop.ring_head:
            return None
        pthread_mutex_lock(&loop.ring_lock)
        entry = &loop.ring[loop.ring_tail % RING]
        handed = (entry.end, <bytes>entry.data[:entry.size])
        loop.ring_tail += 1
        pthread_mutex_unlock(&loop.ring_lock)
        return handed

    def take_delays(self):
        cdef Loop* loop = self.loop
        cdef int count
        cdef int64_t[::1] view
        with nogil:
            loop_enter(loop)
            count = loop.delay_count
            loop_leave(loop)
        # Only this makes it smaller. What comes in between stays for the next call.
        taken = array("q", bytes(8 * count))
        if not count:
            return taken
        view = taken
        with nogil:
            loop_enter(loop)
            memcpy(&view[0], loop.delays, 8 * count)
            loop.delay_count -= count
            memmove(loop.delays, loop.delays + count, 8 * loop.delay_count)
            loop_leave(loop)
        return taken

    def run(self):
        cdef Loop* loop = self.loop
        with nogil:
            loop_run(loop)

    def stop(self):
        cdef Loop* loop = self.loop
        loop.stopping = True
        loop_wake(loop)


cdef void _insert(uint32_t* table, uint32_t mask, uint32_t ssrc, uint32_t value) noexcept nogil:
    cdef uint32_t slot = ssrc_hash(ssrc) & mask
    while table[slot]:
        slot = slot + 1 & mask
    table[slot] = value
