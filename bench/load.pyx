"""The native half of the load generator: one thread, one epoll, one heap of timers, thousands of packets a millisecond.

A remote end's ICE and DTLS at set-up are Python's: until `activate`, what arrives for it goes through a bounded ring.
From then on this thread answers and renews ICE's consent, sends and counts media, and says in RTCP what a browser
would say. A packet of a watched SSRC is counted by its sequence number, which SRTP leaves readable; a sample of them
is authenticated, decrypted and measured. Whatever Python changes, it changes under the mutex.

Over 400 lines because everything here works on one struct, the remote end; what can be apart is: bench.checks (STUN),
bench.arrivals (counting and reporting), bench.playout (what a publisher sends).
"""

from array import array

from libc.errno cimport EAGAIN, EINVAL, EIO, ENOSYS, errno
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove, memset

from bench.arrivals cimport *
from bench.checks cimport ANSWER_SIZE, CHECK_ROOM, PASSWORD_ROOM, Checks, checks_receive, checks_renew
from bench.playout cimport (
    LONGEST, PAST, Sent, Source, Step, source_again, source_close, source_due, source_next, source_play, source_report
)
from rtpfwd.srtp cimport *
from rtpfwd.sys_linux cimport *

cdef extern from "<sys/prctl.h>" nogil:
    int PR_SET_TIMERSLACK
    int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)

cdef extern from "<unistd.h>" nogil:
    long syscall(long, ...)

cdef extern from *:
    """
    #ifndef UDP_GRO
    #define UDP_GRO 104
    #endif
    #define SYS_EPOLL_PWAIT2 441  /* Linux 5.11; the same number on every machine */
    """
    int UDP_GRO
    long SYS_EPOLL_PWAIT2

cdef enum:
    MS = 1000000
    SECOND = 1000000000
    WAKE = 0xffffffff
    READY = 64              # remote ends served in one turn
    BATCH = 16              # messages of one recvmmsg
    ROOM = 65536            # bytes of one message: GRO joins datagrams up to this
    CONTROL = 64
    RING = 1024             # datagrams waiting for Python
    HANDED = 2048           # bytes of one of them: larger ones are no ICE and no DTLS
    DELAYS = 1 << 22        # samples of one run; further ones are not kept
    SAMPLE_ONE_OF = 16      # packets
    BURST = 64              # packets protected and sent at once
    BURST_ROOM = 1536       # bytes of each, tag included
    SEGMENTS = 40           # of one message: with 1500 bytes each below the 64 KiB that it may have
    RTCP_ROOM = 1500
    REPORTED = 31           # streams of one receiver report
    REPORT_EVERY = SECOND
    NACK_EVERY = 20 * MS
    FEEDBACK_EVERY = 100 * MS

cdef int64_t NEVER = <int64_t>1 << 62
# RFC 7675 section 5.1: 5 s, randomised by 20 %. An int, as a constant of an enum is, could not hold them.
cdef int64_t CONSENT_LEAST = 4 * <int64_t>SECOND
cdef int64_t CONSENT_SPREAD = 2 * <int64_t>SECOND


cdef struct Counts:             # all totals over ends that are there and that left
    uint64_t packets
    uint64_t bytes
    uint64_t duplicates
    uint64_t late
    uint64_t repaired
    uint64_t verified
    uint64_t rejected
    uint64_t foreign            # media of an SSRC that was not promised
    int64_t gaps
    uint64_t consents           # asked
    uint64_t consents_answered
    uint64_t checks_served
    uint64_t receiver_reports
    uint64_t sender_reports
    uint64_t nacks              # packets sent
    uint64_t transport_feedback
    uint64_t plis
    uint64_t sender_reports_heard
    uint64_t transport_feedback_heard
    uint64_t key_frame_requests # heard
    uint64_t nacked             # numbers that the server asked for
    uint64_t resent
    uint64_t bad_rtcp           # received and not authentic


cdef struct End:
    int fd                      # -1: free
    bint active
    Checks checks
    uint32_t own_ssrc
    SrtpReceiver* receiver
    SrtpSession control         # for RTCP sent
    Stream* streams
    int stream_count
    uint32_t* table             # streams by SSRC: open addressing; 2 * (number of stream) + (it is its RTX) + 1
    uint32_t table_mask
    Transport* transport        # NULL: nobody wants transport-wide feedback
    int transport_id            # of the header extension
    Source* source
    int64_t consent_at
    int64_t report_at
    int64_t nack_at
    int64_t feedback_at
    int64_t pli_at
    int64_t due                 # the soonest of all
    int heap_at


cdef inline int64_t _clock() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * SECOND + now.tv_nsec


cdef inline uint32_t _u16(const uint8_t* data) noexcept nogil:
    return <uint32_t>data[0] << 8 | data[1]


cdef inline uint32_t _u32(const uint8_t* data) noexcept nogil:
    return _u16(data) << 16 | _u16(data + 2)


cdef inline bint _sampled(uint32_t seq) noexcept nogil:
    """One of SAMPLE_ONE_OF, scattered: every position in a burst has its turn."""
    return (seq * <uint32_t>2654435761) >> 16 & 0xffff < 65536 // SAMPLE_ONE_OF


cdef int _header_size(const uint8_t* packet, int size) noexcept nogil:
    """Bytes of the RTP header; -1: it is not whole."""
    cdef int header = 12 + 4 * (packet[0] & 15)
    if packet[0] & 0x10:
        if header + 4 > size:
            return -1
        header += 4 + 4 * <int>_u16(packet + header + 2)
    return header if header <= size else -1


cdef int _extension(const uint8_t* packet, int size, int number) noexcept nogil:
    """Where the data of a header extension begin (RFC 8285, both forms); 0: it is not there."""
    cdef int at, end, length, found
    cdef bint two_bytes
    if not packet[0] & 0x10:
        return 0
    at = 12 + 4 * (packet[0] & 15)
    if at + 4 > size:
        return 0
    two_bytes = packet[at] == 0x10
    end = at + 4 + 4 * <int>_u16(packet + at + 2)
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


cdef struct Handed:
    int end
    int size
    uint8_t[HANDED] data


cdef class Load:
    cdef End* ends
    cdef int capacity
    cdef bint nacks
    cdef uint64_t random
    cdef int epoll
    cdef int wake_fd
    cdef int handoff
    cdef volatile int stopping
    # Whoever wants the state takes `turn`, then `lock`, then gives `turn` back: so the busy thread can't starve Python.
    cdef pthread_mutex_t turn
    cdef pthread_mutex_t lock
    cdef pthread_mutex_t ring_lock
    cdef Handed* ring
    cdef uint64_t ring_head         # next to write
    cdef uint64_t ring_tail         # next to read
    cdef uint64_t ring_lost
    cdef Counts left                # of ends that left
    cdef Counts said                # what is counted here and not in a stream or source
    cdef dict policies              # by end: whose keys its senders and receivers use
    cdef int64_t* delays
    cdef int delay_count
    cdef int* heap                  # of ends with something due
    cdef int heap_size
    cdef bint pwait2                # the kernel knows waits in nanoseconds
    cdef bint gso                   # the kernel cuts messages into datagrams
    cdef uint8_t* buffers           # BATCH of ROOM bytes
    cdef mmsghdr[BATCH] messages
    cdef iovec[BATCH] vectors
    cdef uint8_t[BATCH][CONTROL] controls
    cdef uint8_t[BURST * BURST_ROOM] burst
    cdef SrtpJob[BURST] jobs
    cdef mmsghdr[BURST] sends
    cdef iovec[BURST] send_vectors
    cdef uint8_t[BURST][CONTROL] send_controls

    def __cinit__(self, int capacity, *, bint nacks, uint64_t seed):
        cdef int index
        self.epoll = self.wake_fd = self.handoff = -1
        pthread_mutex_init(&self.turn, NULL)
        pthread_mutex_init(&self.lock, NULL)
        pthread_mutex_init(&self.ring_lock, NULL)
        self.capacity = capacity
        self.nacks = nacks
        self.random = seed * <uint64_t>0x9E3779B97F4A7C15 | 1
        self.pwait2 = self.gso = True
        self.policies = {}
        self.ends = <End*>calloc(capacity, sizeof(End))
        self.heap = <int*>calloc(capacity, sizeof(int))
        self.ring = <Handed*>calloc(RING, sizeof(Handed))
        self.delays = <int64_t*>calloc(DELAYS, sizeof(int64_t))
        self.buffers = <uint8_t*>calloc(BATCH, ROOM)
        if (self.ends == NULL or self.heap == NULL or self.ring == NULL or self.delays == NULL
                or self.buffers == NULL):
            raise MemoryError
        for index in range(capacity):
            self.ends[index].fd = self.ends[index].heap_at = -1
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        self.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
        self.handoff = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
        if min(self.epoll, self.wake_fd, self.handoff) < 0:
            raise OSError(errno, "a load needs an epoll and two eventfds; raise the limit of open files")
        self.poll_fd(self.wake_fd, WAKE)

    def __dealloc__(self):
        cdef int index
        if self.ends != NULL:
            for index in range(self.capacity):
                self.free_end(&self.ends[index])
        for index in (self.epoll, self.wake_fd, self.handoff):
            if index >= 0:
                close(index)
        free(self.ends)
        free(self.heap)
        free(self.ring)
        free(self.delays)
        free(self.buffers)
        pthread_mutex_destroy(&self.turn)
        pthread_mutex_destroy(&self.lock)
        pthread_mutex_destroy(&self.ring_lock)

    # ---- Python's side: every method here takes the mutex ----

    cdef poll_fd(self, int fd, uint32_t tag):
        cdef epoll_event event
        memset(&event, 0, sizeof(event))
        event.events = EPOLLIN
        event.data.u32 = tag
        if epoll_ctl(self.epoll, EPOLL_CTL_ADD, fd, &event):
            raise OSError(errno, f"file descriptor {fd} can't be polled")

    cdef void enter(self) noexcept nogil:
        pthread_mutex_lock(&self.turn)
        pthread_mutex_lock(&self.lock)
        pthread_mutex_unlock(&self.turn)

    cdef void leave(self) noexcept nogil:
        pthread_mutex_unlock(&self.lock)

    cdef void wake(self) noexcept nogil:
        cdef uint64_t one = 1
        write(self.wake_fd, &one, sizeof(one))

    cdef End* find(self, int number) except NULL:
        if not 0 <= number < self.capacity or self.ends[number].fd < 0:
            raise ValueError(f"there is no remote end {number}")
        return &self.ends[number]

    @property
    def handoff_fd(self):
        return self.handoff

    @property
    def overflows(self):
        return self.ring_lost

    def add(self, int fd):
        cdef int number
        cdef End* end
        for number in range(self.capacity):
            if self.ends[number].fd < 0:
                break
        else:
            raise RuntimeError(f"this load was made for {self.capacity} remote ends")
        self.poll_fd(fd, number)
        with nogil:
            self.enter()
            end = &self.ends[number]
            memset(end, 0, sizeof(End))
            end.fd = fd
            end.heap_at = -1
            end.due = end.consent_at = end.report_at = end.nack_at = end.feedback_at = end.pli_at = NEVER
            self.leave()
        return number

    def activate(self, int number, SrtpPolicy inbound not None, SrtpPolicy outbound not None, uint32_t own_ssrc, *,
                 bytes request not None, bytes remote_password not None, bytes own_password not None,
                 uint32_t server_address, int server_port):
        cdef End* end = self.find(number)
        cdef Checks* checks = &end.checks
        cdef int64_t now
        if end.active:
            raise ValueError(f"remote end {number} is active already")
        if len(request) > CHECK_ROOM or max(len(remote_password), len(own_password)) > PASSWORD_ROOM:
            raise ValueError("these ICE credentials are too long")
        self.policies[number] = (inbound, outbound)
        checks.request_size = <int>len(request)
        memcpy(checks.request, <const char*>request, len(request))
        checks.remote_password_size = <int>len(remote_password)
        memcpy(checks.remote_password, <const char*>remote_password, len(remote_password))
        checks.own_password_size = <int>len(own_password)
        memcpy(checks.own_password, <const char*>own_password, len(own_password))
        checks.server_address, checks.server_port = server_address, server_port
        with nogil:
            self.enter()
            end.own_ssrc = own_ssrc
            end.receiver = srtp_receiver_open(&inbound.keys)
            end.control = srtp_open(&outbound.keys)
            now = _clock()
            end.consent_at = now + self.consent_interval()
            # Spread over the second, as those of people who came one by one are.
            end.report_at = now + <int64_t>(self.next_random() % REPORT_EVERY)
            end.active = True
            self.schedule(number)
            self.leave()
        self.wake()
        if end.receiver == NULL or end.control == NULL:
            raise ValueError("libsrtp refused the policy")

    def watch(self, int number, list streams not None, int transport_id):
        """`streams`: (ssrc, RTX ssrc or 0, clock rate, video, nack, in place, stamped from)."""
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
            _insert(table, room - 1, made[index].ssrc, 2 * index + 1, made)
            if made[index].rtx_ssrc:
                _insert(table, room - 1, made[index].rtx_ssrc, 2 * index + 2, made)
        if transport != NULL:
            transport.next = -1
        with nogil:
            self.enter()
            end.table_mask = room - 1
            end.table = table
            end.transport = transport
            end.transport_id = transport_id
            end.stream_count = count
            end.streams = made
            self.leave()

    def started(self, int number):
        """The server forwards from now on: ask for key frames, as a decoder does that begins."""
        cdef End* end = self.find(number)
        with nogil:
            self.enter()
            end.pli_at = _clock()
            self.schedule(number)
            self.leave()
        self.wake()

    def publish(self, int number, list sents not None, list steps not None, bytes data not None, *,
                int64_t duration, int64_t frame, uint16_t transport_seq):
        """`sents`: (ssrc, RTX ssrc or 0, RTX payload type, clock rate, video, first sequence number, first timestamp,
        packets per loop); `steps`: the fields of playout.Step in their order."""
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
            self.enter()
            end.source = source
            self.leave()

    def play(self, int number, int64_t start, int64_t duration):
        cdef End* end = self.find(number)
        if end.source == NULL or end.source.playing:
            raise ValueError(f"remote end {number} has nothing to play, or plays already")
        with nogil:
            self.enter()
            source_play(end.source, start, start + duration)
            self.schedule(number)
            self.leave()
        self.wake()

    def check_now(self, int number):
        cdef End* end = self.find(number)
        with nogil:
            self.enter()
            end.consent_at = _clock()
            self.schedule(number)
            self.leave()
        self.wake()

    def source(self, int number):
        cdef End* end = self.find(number)
        cdef Source* source = end.source
        if source == NULL:
            raise ValueError(f"remote end {number} publishes nothing")
        with nogil:
            self.enter()
        try:
            return {
                "playing": source.playing, "frames": source.frames, "late_frames": source.late_frames,
                "latest": source.latest, "refused": source.refused,
                "key_frame_requests": source.key_frame_requests, "nacked": source.nacked, "resent": source.resent,
                "sent": {source.sents[index].ssrc: source.sents[index].packets for index in range(source.sent_count)},
            }
        finally:
            self.leave()

    def streams(self, int number):
        cdef End* end = self.find(number)
        cdef Stream* stream
        cdef int index
        found = []
        with nogil:
            self.enter()
        for index in range(end.stream_count):
            stream = &end.streams[index]
            found.append({
                "ssrc": stream.ssrc, "packets": stream.packets, "bytes": stream.bytes, "late": stream.late,
                "duplicates": stream.duplicates, "repaired": stream.repaired, "verified": stream.verified,
                "rejected": stream.rejected, "gaps": stream_gaps(stream),
            })
        self.leave()
        return found

    def counts(self):
        cdef Counts total
        cdef int number
        with nogil:
            self.enter()
            total = self.left
            for number in range(self.capacity):
                if self.ends[number].fd >= 0:
                    _add_end(&total, &self.ends[number])
            _add_said(&total, &self.said)
            self.leave()
        return total

    def packets(self):
        """Distinct ones of all streams: cheap enough to wait for."""
        return self.counts()["packets"]

    def remove(self, int number):
        cdef End* end = self.find(number)
        with nogil:
            self.enter()
            epoll_ctl(self.epoll, EPOLL_CTL_DEL, end.fd, NULL)
            end.due = NEVER
            self.heap_remove(number)
            _add_end(&self.left, end)
            self.free_end(end)
            self.leave()
        self.policies.pop(number, None)

    def poll(self):
        cdef Handed* entry = NULL
        if self.ring_tail == self.ring_head:
            return None
        pthread_mutex_lock(&self.ring_lock)
        entry = &self.ring[self.ring_tail % RING]
        handed = (entry.end, <bytes>entry.data[:entry.size])
        self.ring_tail += 1
        pthread_mutex_unlock(&self.ring_lock)
        return handed

    def take_delays(self):
        cdef int count
        cdef int64_t[::1] view
        with nogil:
            self.enter()
            count = self.delay_count
            self.leave()
        # Only this makes it smaller. What comes in between stays for the next call.
        taken = array("q", bytes(8 * count))
        if not count:
            return taken
        view = taken
        with nogil:
            self.enter()
            memcpy(&view[0], self.delays, 8 * count)
            self.delay_count -= count
            memmove(self.delays, self.delays + count, 8 * self.delay_count)
            self.leave()
        return taken

    def run(self):
        with nogil:
            self.loop()

    def stop(self):
        self.stopping = True
        self.wake()

    # ---- the thread: everything here runs with the mutex held ----

    cdef void free_end(self, End* end) noexcept nogil:
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

    cdef uint64_t next_random(self) noexcept nogil:
        """xorshift64."""
        self.random ^= self.random << 13
        self.random ^= self.random >> 7
        self.random ^= self.random << 17
        return self.random

    cdef int64_t consent_interval(self) noexcept nogil:
        return CONSENT_LEAST + <int64_t>(self.next_random() % CONSENT_SPREAD)

    cdef void loop(self) noexcept nogil:
        cdef epoll_event[READY] ready
        cdef int index, count
        cdef int64_t wait
        cdef uint64_t wakes
        prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
        for index in range(BATCH):
            self.vectors[index].iov_base = self.buffers + index * ROOM
            self.vectors[index].iov_len = ROOM
            memset(&self.messages[index], 0, sizeof(mmsghdr))
            self.messages[index].msg_hdr.msg_iov = &self.vectors[index]
            self.messages[index].msg_hdr.msg_iovlen = 1
            self.messages[index].msg_hdr.msg_control = &self.controls[index][0]
            self.messages[index].msg_hdr.msg_controllen = CONTROL
        self.enter()
        while not self.stopping:
            wait = self.fire()
            self.leave()
            count = self.wait(ready, wait)
            self.enter()
            for index in range(count):
                if ready[index].data.u32 == WAKE:
                    read(self.wake_fd, &wakes, sizeof(wakes))
                elif self.ends[ready[index].data.u32].fd >= 0:
                    self.receive(<int>ready[index].data.u32)
        self.leave()

    cdef int wait(self, epoll_event* ready, int64_t ns) noexcept nogil:
        cdef timespec limit
        cdef int count
        if self.pwait2:
            limit.tv_sec = ns // SECOND
            limit.tv_nsec = ns % SECOND
            count = <int>syscall(SYS_EPOLL_PWAIT2, self.epoll, ready, READY, &limit, NULL, 0)
            if count >= 0 or errno != ENOSYS:
                return count
            self.pwait2 = False
        return epoll_wait(self.epoll, ready, READY, <int>((ns + MS - 1) // MS))

    # ---- timers: a binary heap of ends by `due` ----

    cdef void schedule(self, int number) noexcept nogil:
        cdef End* end = &self.ends[number]
        cdef int64_t due = min(min(end.consent_at, end.report_at), min(end.nack_at, min(end.feedback_at, end.pli_at)))
        if end.source != NULL and end.source.playing:
            due = min(due, source_due(end.source))
        end.due = due
        if due == NEVER:
            self.heap_remove(number)
            return
        if end.heap_at < 0:
            end.heap_at = self.heap_size
            self.heap[self.heap_size] = number
            self.heap_size += 1
        self.sift(end.heap_at)

    cdef void heap_remove(self, int number) noexcept nogil:
        cdef int at = self.ends[number].heap_at
        if at < 0:
            return
        self.ends[number].heap_at = -1
        self.heap_size -= 1
        if at < self.heap_size:
            self.heap[at] = self.heap[self.heap_size]
            self.ends[self.heap[at]].heap_at = at
            self.sift(at)

    cdef void sift(self, int at) noexcept nogil:
        """Up or down, whichever is needed."""
        cdef int number = self.heap[at]
        cdef int64_t due = self.ends[number].due
        cdef int other
        while at > 0:
            other = (at - 1) >> 1
            if self.ends[self.heap[other]].due <= due:
                break
            self.heap[at] = self.heap[other]
            self.ends[self.heap[at]].heap_at = at
            at = other
        while True:
            other = 2 * at + 1
            if other >= self.heap_size:
                break
            if other + 1 < self.heap_size and self.ends[self.heap[other + 1]].due < self.ends[self.heap[other]].due:
                other += 1
            if self.ends[self.heap[other]].due >= due:
                break
            self.heap[at] = self.heap[other]
            self.ends[self.heap[at]].heap_at = at
            at = other
        self.heap[at] = number
        self.ends[number].heap_at = at

    cdef int64_t fire(self) noexcept nogil:
        """Do what is due, at most READY times, so that receiving has its turn. How long to wait then, ns."""
        cdef int turn, number
        cdef int64_t now = _clock()
        for turn in range(READY):
            if self.heap_size == 0:
                return 10 * <int64_t>SECOND
            number = self.heap[0]
            if self.ends[number].due > now:
                now = _clock()
                if self.ends[number].due > now:
                    return self.ends[number].due - now
            self.timeout(number, now)
            self.schedule(number)
        return 0

    cdef void timeout(self, int number, int64_t now) noexcept nogil:
        cdef End* end = &self.ends[number]
        if end.source != NULL and end.source.playing and source_due(end.source) <= now:
            self.send_media(end)
        if end.feedback_at <= now:
            end.feedback_at = NEVER
            self.send_feedback(end)
        if end.nack_at <= now:
            self.send_nacks(end, now)
        if end.report_at <= now:
            end.report_at = now + REPORT_EVERY
            self.send_reports(end, now)
        if end.pli_at <= now:
            end.pli_at = NEVER
            self.send_plis(end)
        if end.consent_at <= now:
            end.consent_at = now + self.consent_interval()
            checks_renew(&end.checks, self.next_random())
            self.send(end, end.checks.request, end.checks.request_size)

    # ---- sending ----

    cdef void send(self, End* end, const uint8_t* data, int size) noexcept nogil:
        # A full buffer loses it, as a network would; a server that has gone is noticed by whoever commands it next.
        sendto(end.fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0)

    cdef bint send_rtcp(self, End* end, uint8_t* packet, int size) noexcept nogil:
        """`packet` has SRTP_TRAILER bytes of room."""
        if srtp_protect_rtcp(end.control, packet, &size) != SRTP_OK:
            return False
        self.send(end, packet, size)
        return True

    cdef void send_media(self, End* end) noexcept nogil:
        """Whatever is due of its source, at most BURST packets."""
        cdef Source* source = end.source
        cdef Sent* sent
        cdef int count = 0
        cdef int at = 0
        cdef int size
        cdef int header = 0
        cdef int64_t now = _clock()
        cdef SrtpJob* job
        while count < BURST and source.playing and source_due(source) <= now:
            job = &self.jobs[count]
            now = _clock()
            size = source_next(source, self.burst + at, now, &sent, &header)
            job.sender = &sent.sender
            job.packet = self.burst + at
            job.payload = job.packet + header
            job.header_size = header
            job.payload_size = size - header
            at += size + sent.sender.keys.tag_size
            count += 1
        self.protect_and_send(end, count)

    cdef void protect_and_send(self, End* end, int count) noexcept nogil:
        """The jobs, which lie one behind the other."""
        cdef int index, size, taken, before
        cdef int sends = 0
        cdef int sent = 0
        srtp_protect_jobs(self.jobs, count)
        before = -1
        for index in range(count):
            size = self.jobs[index].header_size + self.jobs[index].payload_size + self.jobs[index].sender.keys.tag_size
            if self.jobs[index].status != SRTP_OK:
                end.source.refused += 1
                before = -1
                continue
            # A message is datagrams of one size; only its last may be smaller.
            if self.gso and before > 0 and size <= before and self.sends[sends - 1].msg_len < SEGMENTS:
                self.send_vectors[sends - 1].iov_len += size
                self.sends[sends - 1].msg_len += 1
                if size < before:
                    before = -1
            else:
                self.send_vectors[sends].iov_base = self.jobs[index].packet
                self.send_vectors[sends].iov_len = size
                memset(&self.sends[sends], 0, sizeof(mmsghdr))
                self.sends[sends].msg_hdr.msg_iov = &self.send_vectors[sends]
                self.sends[sends].msg_hdr.msg_iovlen = 1
                self.sends[sends].msg_len = 1
                self.segment(sends, size)
                sends += 1
                before = size
        for index in range(sends):
            if self.sends[index].msg_len == 1:
                self.sends[index].msg_hdr.msg_control = NULL
                self.sends[index].msg_hdr.msg_controllen = 0
        while sent < sends:
            taken = sendmmsg(end.fd, &self.sends[sent], sends - sent, MSG_DONTWAIT | MSG_NOSIGNAL)
            if taken <= 0:
                if self.sends[sent].msg_hdr.msg_control != NULL and errno in (EINVAL, EIO):
                    self.gso = False  # this kernel or device does not cut messages: the next frame goes one by one
                break
            sent += taken
        for index in range(sent, sends):
            end.source.refused += self.sends[index].msg_len

    cdef void segment(self, int number, int size) noexcept nogil:
        """Ask the kernel to cut a message into datagrams of so many bytes."""
        cdef cmsghdr* header = <cmsghdr*>&self.send_controls[number][0]
        memset(header, 0, CONTROL)
        header.cmsg_level = SOL_UDP
        header.cmsg_type = UDP_SEGMENT
        header.cmsg_len = CMSG_LEN(sizeof(uint16_t))
        (<uint16_t*>CMSG_DATA(header))[0] = <uint16_t>size
        self.sends[number].msg_hdr.msg_control = header
        self.sends[number].msg_hdr.msg_controllen = CMSG_SPACE(sizeof(uint16_t))

    cdef void resend(self, End* end, Sent* sent, int seq) noexcept nogil:
        cdef uint8_t[LONGEST + SRTP_TRAILER] packet
        cdef int header
        cdef int size = source_again(end.source, sent, seq, packet, &header)
        if size and srtp_protect(&sent.rtx_sender, packet, &size) == SRTP_OK:
            self.send(end, packet, size)

    cdef void send_reports(self, End* end, int64_t now) noexcept nogil:
        cdef uint8_t[RTCP_ROOM + SRTP_TRAILER] packet
        cdef (Stream*)[REPORTED] heard
        cdef int index, size
        cdef int count = 0
        if end.source != NULL:
            size = source_report(end.source, packet, RTCP_ROOM, now)
            if size:
                self.said.sender_reports += self.send_rtcp(end, packet, size)
        for index in range(end.stream_count):
            if end.streams[index].highest >= 0:
                heard[count] = &end.streams[index]
                count += 1
            if count == REPORTED or count and index == end.stream_count - 1:
                size = write_receiver_report(packet, end.own_ssrc, heard, count, now)
                self.said.receiver_reports += self.send_rtcp(end, packet, size)
                count = 0

    cdef void send_nacks(self, End* end, int64_t now) noexcept nogil:
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
                self.said.nacks += self.send_rtcp(end, packet, size)

    cdef void send_plis(self, End* end) noexcept nogil:
        cdef uint8_t[12 + SRTP_TRAILER] packet
        cdef int index, size
        for index in range(end.stream_count):
            if end.streams[index].video:
                size = write_pli(packet, end.own_ssrc, end.streams[index].ssrc)
                self.said.plis += self.send_rtcp(end, packet, size)

    cdef void send_feedback(self, End* end) noexcept nogil:
        cdef uint8_t[RTCP_ROOM + SRTP_TRAILER] packet
        cdef int size
        while True:
            size = write_transport_feedback(packet, end.own_ssrc, end.streams[0].ssrc, end.transport)
            if not size:
                return
            self.said.transport_feedback += self.send_rtcp(end, packet, size)

    # ---- receiving ----

    cdef void receive(self, int number) noexcept nogil:
        cdef End* end = &self.ends[number]
        cdef int index, size, segment, at
        cdef int64_t now
        cdef uint8_t* data
        cdef cmsghdr* control
        # An error here is an ICMP answer of a server that has gone: reading it clears it, and the counts will show.
        cdef int count = recvmmsg(end.fd, self.messages, BATCH, MSG_DONTWAIT, NULL)
        now = _clock()
        for index in range(count):
            size = <int>self.messages[index].msg_len
            segment = size
            control = <cmsghdr*>&self.controls[index][0]
            if self.messages[index].msg_hdr.msg_controllen >= CMSG_LEN(sizeof(int)):
                if control.cmsg_level == SOL_UDP and control.cmsg_type == UDP_GRO:
                    segment = max(1, (<int*>CMSG_DATA(control))[0])
            self.messages[index].msg_hdr.msg_controllen = CONTROL
            data = self.buffers + index * ROOM
            at = 0
            while at < size:
                self.take(end, number, data + at, min(segment, size - at), now)
                at += segment
        if end.transport != NULL and end.feedback_at == NEVER and end.transport.highest >= end.transport.next >= 0:
            end.feedback_at = now + FEEDBACK_EVERY
            self.schedule(number)

    cdef void take(self, End* end, int number, uint8_t* data, int size, int64_t now) noexcept nogil:
        # RFC 7983: 128 … 191 is RTP or RTCP; RFC 5761: with payload types 64 … 95 it is RTCP.
        if size < 12 or data[0] >> 6 != 2:
            if end.active and size > 0 and data[0] < 4:
                self.take_stun(end, data, size)
            else:
                self.hand(number, data, size)
        elif not end.active:
            pass  # the keys are not here yet
        elif 64 <= (data[1] & 127) <= 95:
            self.take_rtcp(end, data, size, now)
        else:
            self.take_rtp(end, number, data, size, now)

    cdef void take_stun(self, End* end, uint8_t* data, int size) noexcept nogil:
        cdef uint8_t[ANSWER_SIZE] answer
        if checks_receive(&end.checks, data, size, answer):
            self.send(end, answer, ANSWER_SIZE)

    cdef void take_rtp(self, End* end, int number, uint8_t* data, int size, int64_t now) noexcept nogil:
        cdef uint32_t ssrc = _u32(data + 8)
        cdef uint32_t slot, found
        cdef Stream* stream
        cdef int at, seq
        if end.table == NULL:
            self.said.foreign += 1
            return
        slot = _hash(ssrc) & end.table_mask
        while True:
            found = end.table[slot]
            if not found:
                self.said.foreign += 1
                return
            stream = &end.streams[(found - 1) >> 1]
            if (stream.rtx_ssrc if (found - 1) & 1 else stream.ssrc) == ssrc:
                break
            slot = slot + 1 & end.table_mask
        if end.transport != NULL:
            at = _extension(data, size, end.transport_id)
            if at:
                transport_count(end.transport, <int>_u16(data + at), now)
        seq = <int>_u16(data + 2)
        if (found - 1) & 1:
            self.take_rtx(end, stream, data, size, now)
        elif self.count(stream, seq, _u32(data + 4), size, now) and _sampled(seq):
            self.examine(end, stream, data, size, now)
        if stream.hole_count and end.nack_at == NEVER:
            end.nack_at = now + NACK_EVERY
            self.schedule(number)

    cdef bint count(self, Stream* stream, int seq, uint32_t timestamp, int size, int64_t now) noexcept nogil:
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

    cdef void take_rtx(self, End* end, Stream* stream, uint8_t* data, int size, int64_t now) noexcept nogil:
        """RFC 4588 section 4: the payload begins with the original sequence number."""
        cdef int header
        cdef Arrived arrived
        if srtp_unprotect(end.receiver, data, data, &size) != SRTP_OK:
            stream.rejected += 1
            return
        header = _header_size(data, size)
        if header < 0 or size - header < 2 or stream.highest < 0 or data[0] & 0x20 and size - header - data[size - 1] < 2:
            return  # padding, to probe the path
        arrived = stream_count(stream, <int>_u16(data + header), _u32(data + 4), now)
        if arrived <= ARRIVED_REPAIRED:
            stream.repaired += 1
            stream.bytes += size

    cdef void examine(self, End* end, Stream* stream, uint8_t* data, int size, int64_t now) noexcept nogil:
        """Authenticate, decrypt, and read the stamp: is it the packet that was sent, and when was that?"""
        cdef int64_t seq = _u16(data + 2)
        cdef int64_t offset, delay
        cdef int header
        if srtp_unprotect(end.receiver, data, data, &size) != SRTP_OK:
            stream.rejected += 1
            return
        if data[0] & 0x20:
            size -= data[size - 1]  # RTP padding
        header = _header_size(data, size)
        if header < 0:
            stream.rejected += 1
            return
        if size - header < stream.stamped_from:
            stream.verified += 1  # authentic, and too small to say more
            return
        data += size - 12
        # A server renumbers a stream by one constant as long as it neither drops nor repeats.
        offset = seq - <int64_t>_u32(data) & 0xffff
        if stream.offset < 0:
            stream.offset = offset
        delay = now - <int64_t>(<uint64_t>_u32(data + 4) << 32 | _u32(data + 8))
        if stream.in_place and offset != stream.offset or not 0 < delay < 600 * <int64_t>SECOND:
            stream.rejected += 1
            return
        stream.verified += 1
        if self.delay_count < DELAYS:
            self.delays[self.delay_count] = delay
            self.delay_count += 1

    cdef void take_rtcp(self, End* end, uint8_t* data, int size, int64_t now) noexcept nogil:
        """A compound: what a publisher must answer, and what a viewer's reports refer to."""
        cdef int at = 0
        cdef int length
        if srtp_unprotect_rtcp(end.receiver, data, &size) != SRTP_OK:
            self.said.bad_rtcp += 1
            return
        while at + 4 <= size:
            length = 4 + 4 * <int>_u16(data + at + 2)
            if at + length > size:
                return
            if data[at + 1] == 200 and length >= 28:
                self.take_sender_report(end, data + at, now)
            elif end.source != NULL and length >= 12:
                if data[at + 1] == 205:
                    self.take_transport_layer(end, data + at, length)
                elif data[at + 1] == 206:
                    self.take_payload_specific(end.source, data + at, length)
            at += length

    cdef void take_sender_report(self, End* end, const uint8_t* data, int64_t now) noexcept nogil:
        cdef int index
        self.said.sender_reports_heard += 1
        for index in range(end.stream_count):
            if end.streams[index].ssrc == _u32(data + 4):
                end.streams[index].sr = _u32(data + 10)
                end.streams[index].sr_at = now
                return

    cdef void take_transport_layer(self, End* end, const uint8_t* data, int length) noexcept nogil:
        """RFC 4585 section 6.2.1: NACK."""
        cdef int index, at, bit
        cdef Sent* sent
        if data[0] & 31 == 15:
            self.said.transport_feedback_heard += 1
        if data[0] & 31 != 1:
            return
        for index in range(end.source.sent_count):
            sent = &end.source.sents[index]
            if sent.ssrc != _u32(data + 8):
                continue
            for at in range(12, length - 3, 4):
                self.resend(end, sent, <int>_u16(data + at))
                for bit in range(16):
                    if _u16(data + at + 2) >> bit & 1:
                        self.resend(end, sent, <int>(_u16(data + at) + 1 + bit) & 0xffff)

    cdef void take_payload_specific(self, Source* source, const uint8_t* data, int length) noexcept nogil:
        """PLI (RFC 4585 section 6.3.1) and FIR (RFC 5104 section 4.3.1)."""
        cdef int at
        if data[0] & 31 == 1:
            _ask_key_frame(source, _u32(data + 8))
        elif data[0] & 31 == 4:
            for at in range(12, length - 7, 8):
                _ask_key_frame(source, _u32(data + at))

    cdef void hand(self, int number, const uint8_t* data, int size) noexcept nogil:
        cdef Handed* entry
        cdef uint64_t one = 1
        if size > HANDED:
            return
        pthread_mutex_lock(&self.ring_lock)
        if self.ring_head - self.ring_tail < RING:
            entry = &self.ring[self.ring_head % RING]
            entry.end = number
            entry.size = size
            memcpy(entry.data, data, size)
            self.ring_head += 1
        else:
            self.ring_lost += 1
        pthread_mutex_unlock(&self.ring_lock)
        write(self.handoff, &one, sizeof(one))


cdef inline uint32_t _hash(uint32_t ssrc) noexcept nogil:
    return (ssrc * <uint32_t>2654435761) >> 12


cdef void _insert(uint32_t* table, uint32_t mask, uint32_t ssrc, uint32_t value, const Stream* streams) noexcept nogil:
    cdef uint32_t slot = _hash(ssrc) & mask
    while table[slot]:
        slot = slot + 1 & mask
    table[slot] = value


cdef void _ask_key_frame(Source* source, uint32_t ssrc) noexcept nogil:
    cdef int index
    for index in range(source.sent_count):
        if source.sents[index].ssrc == ssrc:
            source.key_frame_requests += 1
            source.key_frame_wanted = True


cdef void _add_end(Counts* total, const End* end) noexcept nogil:
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
