"""The receiving end of a load generator: thousands of packets a millisecond without Python.

One native thread waits on every viewer's socket and reads in batches. A packet of a watched SSRC is counted by its
sequence number, which SRTP leaves readable; a sample of them is authenticated, decrypted and measured. What is not
media (STUN, DTLS, RTCP) goes to Python through a bounded ring.
"""

from array import array

from libc.errno cimport errno
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from rtpfwd.srtp cimport SRTP_OK, SrtpPolicy, SrtpReceiver, srtp_receiver_close, srtp_receiver_open, srtp_unprotect
from rtpfwd.sys_linux cimport *

cdef enum:
    WAKE = 0xffffffff
    BATCH = 64
    ROOM = 2048             # bytes of one datagram
    READY = 64
    RING = 1024             # datagrams waiting for Python
    DELAYS = 1 << 22        # samples of one run; further ones are not kept
    STAMP_BYTES = 12        # server/testing/stamps.py: a 32-bit counter and the sender's clock, big-endian
    SAMPLE_ONE_OF = 16      # packets


cdef struct Stream:
    int fd
    int watched
    uint32_t ssrc
    SrtpReceiver* receiver
    uint64_t packets        # distinct ones
    uint64_t bytes          # of them: UDP payload
    uint64_t duplicates
    uint64_t late           # arrived after a higher number, or so long after that they may be duplicates
    int64_t highest         # extended sequence number; -1 before the first packet
    uint64_t recent         # bit n: highest - n has arrived
    uint64_t verified       # sampled packets that were authentic and carried what was sent
    uint64_t rejected       # sampled packets that were not
    int64_t offset          # sequence number minus stamp, modulo 65536; -1 before the first sample
    uint64_t foreign        # media of an SSRC that is not watched


cdef struct Handed:
    int stream
    int size
    uint8_t data[ROOM]


cdef inline int64_t _clock() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


cdef inline uint64_t _big_endian(const uint8_t* data, int size) noexcept nogil:
    cdef uint64_t value = 0
    cdef int index
    for index in range(size):
        value = value << 8 | data[index]
    return value


cdef inline bint _sampled(uint32_t seq) noexcept nogil:
    """One of SAMPLE_ONE_OF, scattered: every position in a burst has its turn."""
    return (seq * <uint32_t>2654435761) >> 16 & 0xffff < 65536 // SAMPLE_ONE_OF


cdef class Sink:
    cdef Stream* streams
    cdef int capacity
    cdef int used
    cdef int epoll
    cdef int wake_fd
    cdef int handoff
    cdef volatile int stopping
    cdef pthread_mutex_t lock       # of the ring
    cdef Handed* ring
    cdef uint64_t ring_head         # next to write
    cdef uint64_t ring_tail         # next to read
    cdef uint64_t ring_lost
    cdef list policies              # whose keys the receivers use
    cdef int64_t* delays
    cdef int delay_count
    cdef uint8_t buffers[BATCH][ROOM]
    cdef mmsghdr messages[BATCH]
    cdef iovec vectors[BATCH]

    def __cinit__(self, int capacity):
        self.epoll = self.wake_fd = self.handoff = -1
        pthread_mutex_init(&self.lock, NULL)
        self.capacity = capacity
        self.policies = []
        self.streams = <Stream*>calloc(capacity, sizeof(Stream))
        self.ring = <Handed*>calloc(RING, sizeof(Handed))
        self.delays = <int64_t*>calloc(DELAYS, sizeof(int64_t))
        if self.streams == NULL or self.ring == NULL or self.delays == NULL:
            raise MemoryError
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        self.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
        self.handoff = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
        if min(self.epoll, self.wake_fd, self.handoff) < 0:
            raise OSError(errno, "a sink needs an epoll and two eventfds; raise the limit of open files")
        self._poll_fd(self.wake_fd, WAKE)

    def __dealloc__(self):
        cdef int index
        for index in range(self.used):
            srtp_receiver_close(self.streams[index].receiver)
        for index in (self.epoll, self.wake_fd, self.handoff):
            if index >= 0:
                close(index)
        free(self.streams)
        free(self.ring)
        free(self.delays)
        pthread_mutex_destroy(&self.lock)

    cdef _poll_fd(self, int fd, uint32_t tag):
        cdef epoll_event event
        memset(&event, 0, sizeof(event))
        event.events = EPOLLIN
        event.data.u32 = tag
        if epoll_ctl(self.epoll, EPOLL_CTL_ADD, fd, &event):
            raise OSError(errno, f"file descriptor {fd} can't be polled")

    @property
    def handoff_fd(self):
        return self.handoff

    def add_socket(self, int fd):
        cdef Stream* stream
        cdef int number = self.used
        if number >= self.capacity:
            raise RuntimeError(f"this sink was made for {self.capacity} sockets")
        stream = &self.streams[number]
        stream.fd = fd
        stream.highest = stream.offset = -1
        self.used += 1
        self._poll_fd(fd, number)
        return number

    def watch(self, int number, uint32_t ssrc, SrtpPolicy policy not None):
        cdef Stream* stream
        if not 0 <= number < self.used or self.streams[number].watched:
            raise ValueError(f"socket {number} is unknown or watched already")
        stream = &self.streams[number]
        stream.receiver = srtp_receiver_open(&policy.keys)
        if stream.receiver == NULL:
            raise ValueError("libsrtp refused the policy")
        self.policies.append(policy)
        stream.ssrc = ssrc
        stream.watched = True  # last: the thread reads it first

    def counts(self, int number):
        if not 0 <= number < self.used:
            raise ValueError(f"socket {number} is unknown")
        cdef Stream copy = self.streams[number]
        return {
            "packets": copy.packets, "bytes": copy.bytes, "duplicates": copy.duplicates, "late": copy.late,
            "verified": copy.verified, "rejected": copy.rejected, "foreign": copy.foreign, "highest": copy.highest,
        }

    @property
    def packets(self):
        cdef uint64_t total = 0
        cdef int index
        for index in range(self.used):
            total += self.streams[index].packets
        return total

    @property
    def overflows(self):
        return self.ring_lost

    def poll(self):
        cdef Handed* entry = NULL
        if self.ring_tail == self.ring_head:
            return None
        pthread_mutex_lock(&self.lock)
        entry = &self.ring[self.ring_tail % RING]
        handed = (entry.stream, <bytes>entry.data[:entry.size])
        self.ring_tail += 1
        pthread_mutex_unlock(&self.lock)
        return handed

    def take_delays(self):
        taken = array("q", bytes(8 * self.delay_count))
        cdef int64_t[::1] view = taken
        if self.delay_count:
            memcpy(&view[0], self.delays, 8 * self.delay_count)
        self.delay_count = 0
        return taken

    def run(self):
        with nogil:
            self.loop()

    def stop(self):
        cdef uint64_t one = 1
        self.stopping = True
        write(self.wake_fd, &one, sizeof(one))

    cdef void loop(self) noexcept nogil:
        cdef epoll_event ready[READY]
        cdef int index, count
        for index in range(BATCH):
            self.vectors[index].iov_base = &self.buffers[index][0]
            self.vectors[index].iov_len = ROOM
            memset(&self.messages[index], 0, sizeof(mmsghdr))
            self.messages[index].msg_hdr.msg_iov = &self.vectors[index]
            self.messages[index].msg_hdr.msg_iovlen = 1
        while not self.stopping:
            count = epoll_wait(self.epoll, ready, READY, -1)
            for index in range(count):
                if ready[index].data.u32 != WAKE:
                    self.receive(<int>ready[index].data.u32)

    cdef void receive(self, int number) noexcept nogil:
        cdef Stream* stream = &self.streams[number]
        cdef int index
        cdef int64_t now
        # An error here is an ICMP answer of a server that has gone: reading it clears it, and the counts will show.
        cdef int count = recvmmsg(stream.fd, self.messages, BATCH, MSG_DONTWAIT, NULL)
        if count <= 0:
            return
        now = _clock()
        for index in range(count):
            self.take(stream, number, &self.buffers[index][0], <int>self.messages[index].msg_len, now)

    cdef void take(self, Stream* stream, int number, uint8_t* data, int size, int64_t now) noexcept nogil:
        # RFC 7983: 128 … 191 is RTP or RTCP; RFC 5761: with payload types 64 … 95 it is RTCP.
        if size < 12 or data[0] >> 6 != 2 or 64 <= (data[1] & 127) <= 95:
            self.hand(number, data, size)
        elif not stream.watched or <uint32_t>_big_endian(data + 8, 4) != stream.ssrc:
            stream.foreign += 1
        elif self.count(stream, <int>_big_endian(data + 2, 2), size) and _sampled(<uint32_t>_big_endian(data + 2, 2)):
            self.examine(stream, data, size, now)

    cdef bint count(self, Stream* stream, int seq, int size) noexcept nogil:
        """Whether the packet is new."""
        cdef int64_t step
        if stream.highest < 0:
            stream.highest = seq
            stream.recent = 1
        else:
            step = ((seq - stream.highest + 0x8000) & 0xffff) - 0x8000
            if step > 0:
                stream.highest += step
                stream.recent = 1 if step > 63 else stream.recent << step | 1
            elif step > -64 and not stream.recent >> -step & 1:
                stream.recent |= <uint64_t>1 << -step
                stream.late += 1
            else:
                stream.duplicates += 1
                return False
        stream.packets += 1
        stream.bytes += size
        return True

    cdef void examine(self, Stream* stream, uint8_t* data, int size, int64_t now) noexcept nogil:
        """Authenticate, decrypt, and read the stamp: is it the packet that was sent, and when was that?"""
        cdef int64_t seq = <int64_t>_big_endian(data + 2, 2)
        cdef int64_t offset
        if srtp_unprotect(stream.receiver, data, data, &size) != SRTP_OK:
            stream.rejected += 1
            return
        if data[0] & 0x20:
            size -= data[size - 1]  # RTP padding
        if size < 12 + STAMP_BYTES:
            stream.rejected += 1
            return
        data += size - STAMP_BYTES
        # A server renumbers a stream by one constant as long as it neither drops nor repeats.
        offset = (seq - <int64_t>_big_endian(data, 4)) & 0xffff
        if stream.offset < 0:
            stream.offset = offset
        if offset != stream.offset:
            stream.rejected += 1
            return
        stream.verified += 1
        if self.delay_count < DELAYS:
            self.delays[self.delay_count] = now - <int64_t>_big_endian(data + 4, 8)
            self.delay_count += 1

    cdef void hand(self, int number, const uint8_t* data, int size) noexcept nogil:
        cdef Handed* entry
        cdef uint64_t one = 1
        pthread_mutex_lock(&self.lock)
        if self.ring_head - self.ring_tail < RING:
            entry = &self.ring[self.ring_head % RING]
            entry.stream = number
            entry.size = size
            memcpy(entry.data, data, size)
            self.ring_head += 1
        else:
            self.ring_lost += 1
        pthread_mutex_unlock(&self.lock)
        write(self.handoff, &one, sizeof(one))
