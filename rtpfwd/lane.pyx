"""The forwarding thread: epoll, recvmmsg with UDP_GRO, the plane, sendmmsg (rtpfwd.egress). Over 400 lines: it is one class.

Two mutexes, always taken in this order: `turn`, held by the loop from the end of epoll_wait to the next one, so that
remove_socket returns only when the loop can't be using the socket; and the plane's own, held only while the plane
works and never during a system call. What is to be sent is swapped out of the plane (plane_collect) before the plane
is unlocked, so Python's commands may run while datagrams leave.
"""

cimport cython
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from rtpfwd.backlog cimport line_open
from rtpfwd.convert cimport endpoint_from
from rtpfwd.egress cimport egress_can_segment, egress_close, egress_forget, egress_open, egress_resume, egress_send
from rtpfwd.fanout cimport share
from rtpfwd.ingress cimport plane_receive
from rtpfwd.link cimport (
    link_awake,
    link_receive,
    link_set_wake,
    link_sleep,
    link_sleepers,
    link_wake_begin,
    link_wake_end,
)
from rtpfwd.sockaddr cimport to_endpoint, to_name
from rtpfwd.state cimport OUT_AUDIO, OUT_OTHER, OUT_VIDEO, Outgoing, PENDING_SLOTS, plane_lock, plane_unlock
from rtpfwd.sys_linux cimport *
from rtpfwd.tables cimport Endpoint
from rtpfwd.ticks cimport plane_collect, plane_next_timeout, plane_timeout
from rtpfwd.turns cimport take_short_turns

cdef enum:
    WAKE = 0xffffffff       # the epoll tag of the eventfd; every other tag is a socket id
    READY_SOCKETS = 64      # of one epoll_wait
    IDLE_MS = 1000          # the longest wait
    ERRORS_IN_ROW = 64      # receive errors after which a socket is no longer polled
    LONG_WAIT_NS = 50000    # for the plane: lock_waits_over_50us
    IDLE_NS = 50000         # a sleep of this length means that nothing kept the lane busy


cdef inline int64_t _clock() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


# The plane must outlive its lane, which takes its wake_fd out of it, also when both are garbage of one cycle.
@cython.no_gc_clear
cdef class Lane:
    def __cinit__(self, Plane plane not None, *, int index=0, int cpu=-1, int coalesce_us=0):
        cdef int number
        self.epoll = self.wake_fd = self.handoff = -1
        for number in range(MAX_SOCKETS):
            self.sockets[number].fd = -1
            line_open(&self.sockets[number].waiting)
        pthread_mutex_init(&self.turn, NULL)

    def __init__(self, Plane plane not None, *, int index=0, int cpu=-1, int coalesce_us=0):
        cdef epoll_event event
        if self.epoll != -1:
            raise RuntimeError("a lane is initialised once")
        if plane.state.has_lane:
            raise ValueError("this plane has a lane already")
        if not 0 <= coalesce_us <= MAX_COALESCE_US:
            raise ValueError(f"coalesce_us: {coalesce_us} is not in 0 … {MAX_COALESCE_US}")
        if not -1 <= cpu < CPU_SETSIZE:
            raise ValueError(f"cpu: {cpu} is no number of a CPU")
        self.plane = plane
        self.state = plane.state
        self.index = index
        self.cpu = cpu
        self.coalesce_ns = <int64_t>coalesce_us * 1000
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        self.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
        self.handoff = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
        memset(&event, 0, sizeof(event))
        event.events = EPOLLIN
        event.data.u32 = WAKE
        if min(self.epoll, self.wake_fd, self.handoff) < 0 or epoll_ctl(
            self.epoll, EPOLL_CTL_ADD, self.wake_fd, &event
        ):
            raise OSError(errno, "a lane needs an epoll and two eventfds; raise the limit of open files")
        self.allocate()
        self.state.has_lane = True
        link_set_wake(self.state, self.wake_fd)

    cdef int allocate(self) except -1:
        cdef int index
        cdef msghdr* header
        self.receive_data = <uint8_t*>calloc(RECEIVE_BATCH, RECEIVE_STRIDE)
        self.receive_controls = <uint8_t*>calloc(RECEIVE_BATCH, RECEIVE_CONTROL)
        self.receive_messages = <mmsghdr*>calloc(RECEIVE_BATCH, sizeof(mmsghdr))
        self.receive_vectors = <iovec*>calloc(RECEIVE_BATCH, sizeof(iovec))
        self.receive_names = <sockaddr_in6*>calloc(RECEIVE_BATCH, sizeof(sockaddr_in6))
        if (
            self.receive_data == NULL or self.receive_controls == NULL or self.receive_messages == NULL
            or self.receive_vectors == NULL or self.receive_names == NULL or egress_open(&self.egress, self.epoll)
        ):
            raise MemoryError
        for index in range(RECEIVE_BATCH):
            self.receive_vectors[index].iov_base = self.receive_data + index * RECEIVE_STRIDE
            self.receive_vectors[index].iov_len = RECEIVE_SIZE
            header = &self.receive_messages[index].msg_hdr
            header.msg_iov = &self.receive_vectors[index]
            header.msg_iovlen = 1
            header.msg_name = &self.receive_names[index]
            header.msg_namelen = sizeof(sockaddr_in6)
            header.msg_control = self.receive_controls + index * RECEIVE_CONTROL
            header.msg_controllen = RECEIVE_CONTROL
        return 0

    def __dealloc__(self):
        if self.epoll >= 0:
            close(self.epoll)
        if self.wake_fd >= 0:
            link_set_wake(self.state, -1)   # other lanes write to it
            close(self.wake_fd)
        if self.handoff >= 0:
            close(self.handoff)
        egress_close(&self.egress)
        free(self.receive_data)
        free(self.receive_controls)
        free(self.receive_messages)
        free(self.receive_vectors)
        free(self.receive_names)
        pthread_mutex_destroy(&self.turn)

    @property
    def handoff_fd(self):
        return self.handoff

    def add_socket(self, int fd):
        cdef sockaddr_in6 name
        cdef socklen_t length = sizeof(name)
        cdef int kind = 0
        cdef int on = 1
        cdef socklen_t kind_length = sizeof(kind)
        cdef epoll_event event
        cdef LaneSocket entry
        cdef int number = -1
        cdef int step
        memset(&name, 0, sizeof(name))
        if getsockname(fd, <sockaddr*>&name, &length) or getsockopt(fd, SOL_SOCKET, SO_TYPE, &kind, &kind_length):
            raise OSError(errno, f"file descriptor {fd} is no socket that a lane can serve")
        if kind != SOCK_DGRAM or (name.sin6_family != AF_INET and name.sin6_family != AF_INET6):
            raise ValueError("a lane serves UDP sockets only")
        for step in range(MAX_SOCKETS):
            if self.sockets[(self.next_socket + step) % MAX_SOCKETS].fd == -1:
                number = (self.next_socket + step) % MAX_SOCKETS
                break
        if number == -1:
            raise RuntimeError(f"a lane serves at most {MAX_SOCKETS} sockets")
        entry.fd = fd
        entry.number = number
        entry.ipv6 = name.sin6_family == AF_INET6
        entry.gro = setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on)) == 0  # since Linux 5.0
        entry.gso = egress_can_segment(fd)
        entry.gso_errors = 0
        entry.errors = 0
        line_open(&entry.waiting)
        with nogil:
            pthread_mutex_lock(&self.turn)
            self.sockets[number] = entry
            pthread_mutex_unlock(&self.turn)
        memset(&event, 0, sizeof(event))
        event.events = EPOLLIN
        event.data.u32 = number
        if epoll_ctl(self.epoll, EPOLL_CTL_ADD, fd, &event):
            self.sockets[number].fd = -1
            raise OSError(errno, f"file descriptor {fd} can't be polled")
        self.next_socket = (number + 1) % MAX_SOCKETS
        return number

    def remove_socket(self, int socket):
        cdef int fd
        cdef int off = 0
        cdef epoll_event event
        if not 0 <= socket < MAX_SOCKETS or self.sockets[socket].fd == -1:
            raise KeyError(socket)
        memset(&event, 0, sizeof(event))
        fd = self.sockets[socket].fd
        with nogil:
            pthread_mutex_lock(&self.turn)
            self.sockets[socket].fd = -1
            egress_forget(&self.egress, &self.sockets[socket])
            epoll_ctl(self.epoll, EPOLL_CTL_DEL, fd, &event)
            # Its owner would not expect merged datagrams.
            setsockopt(fd, SOL_UDP, UDP_GRO, &off, sizeof(off))
            pthread_mutex_unlock(&self.turn)

    def send(self, int socket, address, bytes data not None):
        cdef Endpoint to
        cdef sockaddr_in6 name
        cdef int length
        endpoint_from(address, &to)
        if not 0 <= socket < MAX_SOCKETS or self.sockets[socket].fd == -1:
            raise KeyError(socket)
        length = to_name(&to, self.sockets[socket].ipv6, &name)
        # The call can't block, and with the GIL held nobody closes the socket in between.
        if length == 0 or sendto(
            self.sockets[socket].fd, <const char*>data, len(data), MSG_DONTWAIT | MSG_NOSIGNAL, <sockaddr*>&name, length
        ) < 0:
            self.figures.python_send_errors += 1

    def run(self):
        cdef char name[NAME_SIZE]
        cdef cpu_set_t allowed
        cdef cpu_set_t chosen
        cdef int slack
        if self.running:
            raise RuntimeError("this lane is running already")
        # The thread is somebody else's: it gets back what is changed.
        pthread_getname_np(pthread_self(), name, NAME_SIZE)
        sched_getaffinity(0, sizeof(allowed), &allowed)
        slack = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0)
        if self.cpu >= 0:
            CPU_ZERO(&chosen)
            CPU_SET(self.cpu, &chosen)
            if sched_setaffinity(0, sizeof(chosen), &chosen):
                raise OSError(errno, f"lane {self.index} may not run on CPU {self.cpu}")
        self.running = True
        try:
            pthread_setname_np(pthread_self(), f"sl-lane-{self.index}".encode())
            take_short_turns(True)
            if self.coalesce_ns:
                prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0)
            with nogil:
                self.loop()
        finally:
            self.running = False
            prctl(PR_SET_TIMERSLACK, slack, 0, 0, 0)
            take_short_turns(False)
            pthread_setname_np(pthread_self(), name)
            sched_setaffinity(0, sizeof(allowed), &allowed)

    def stop(self):
        self.stopping = True
        self.wake()

    def wake(self):
        cdef uint64_t one = 1
        write(self.wake_fd, &one, sizeof(one))

    def counters(self):
        cdef Egress* e = &self.egress
        figures = dict(self.figures)
        figures.update(dict(e.figures))
        figures["send_dropped_video"] = e.backlog.dropped[<int>OUT_VIDEO]
        figures["send_dropped_audio"] = e.backlog.dropped[<int>OUT_AUDIO]
        figures["send_dropped_other"] = e.backlog.dropped[<int>OUT_OTHER]
        figures["send_waiting"] = e.backlog.count
        return figures

    cdef int64_t lock(self) noexcept nogil:
        """Lock the plane. Returns the time, and counts how long a command made the lane wait."""
        cdef int64_t began = _clock()
        cdef int64_t now
        cdef uint64_t waited
        plane_lock(self.state)
        now = _clock()
        waited = <uint64_t>(now - began)
        self.figures.lock_wait_total_ns += waited
        if waited > self.figures.lock_wait_max_ns:
            self.figures.lock_wait_max_ns = waited
        if waited > LONG_WAIT_NS:
            self.figures.lock_waits_over_50us += 1
        if self.asleep:
            self.asleep = False
            link_awake(self.state)
        return now

    cdef int wait_ms(self, int64_t now) noexcept nogil:
        cdef int64_t due = plane_next_timeout(self.state)
        if due < 0:
            return IDLE_MS
        if due <= now:
            return 0
        # Rounded up: waking a little late costs nothing, waking early costs a second turn.
        return <int>min((due - now + 999999) // 1000000, <int64_t>IDLE_MS)

    cdef void loop(self) noexcept nogil:
        cdef epoll_event ready[READY_SOCKETS]
        cdef uint64_t value
        cdef int64_t now = 0
        cdef int64_t slept
        cdef int index, count, number
        cdef int wait = 0   # told by the turn before: whoever changes the plane meanwhile writes to wake_fd
        cdef bint was_idle = False
        while not self.stopping:
            slept = _clock() if self.coalesce_ns else 0
            count = epoll_wait(self.epoll, ready, READY_SOCKETS, wait)
            if self.coalesce_ns:
                was_idle = _clock() - slept >= IDLE_NS
            self.figures.wakeups += 1
            pthread_mutex_lock(&self.turn)
            for index in range(count):
                if ready[index].data.u32 == WAKE:
                    read(self.wake_fd, &value, sizeof(value))
                    continue
                number = <int>ready[index].data.u32
                if ready[index].events & EPOLLOUT and self.sockets[number].fd != -1:
                    egress_resume(&self.egress, &self.sockets[number], _clock())
                if ready[index].events & ~<uint32_t>EPOLLOUT:
                    self.receive(number, was_idle)
                    was_idle = False    # one wait for each wake-up
            now = self.lock()
            plane_timeout(self.state, now)
            self.drain(now)
            # Said first, then looked once more: another lane that gives this plane something either is seen or wakes it.
            link_sleep(self.state)
            self.asleep = True
            wait = self.wait_ms(now)
            plane_unlock(self.state)
            pthread_mutex_unlock(&self.turn)

    cdef int fill(self, LaneSocket* entry, int first) noexcept nogil:
        """Messages into the buffers from `first` on. Returns how many; -1: an error that was counted."""
        cdef int count
        # MSG_TRUNC makes the length the datagram's own, so that one cut short is seen as too long.
        count = recvmmsg(
            entry.fd, self.receive_messages + first, RECEIVE_BATCH - first, MSG_DONTWAIT | MSG_TRUNC, NULL
        )
        self.figures.receive_calls += 1
        if count >= 0:
            entry.errors = 0
            self.figures.received_messages += count
            return count
        if errno == EAGAIN or errno == EINTR:
            return 0
        self.figures.receive_errors += 1
        entry.errors += 1
        if entry.errors >= ERRORS_IN_ROW:
            # It would wake the loop for ever. remove_socket still works.
            epoll_ctl(self.epoll, EPOLL_CTL_DEL, entry.fd, NULL)
        return -1

    cdef void receive(self, int socket, bint was_idle) noexcept nogil:
        """Up to RECEIVE_ROUNDS batches from one socket, each forwarded before the next is read."""
        cdef int index, count, rounds, more
        cdef int taken = 0
        cdef int64_t now
        cdef timespec pause
        cdef LaneSocket* entry = &self.sockets[socket]
        for rounds in range(RECEIVE_ROUNDS):
            if entry.fd == -1:
                return
            count = self.fill(entry, 0)
            if count <= 0:
                return
            if was_idle and count < COALESCE_FEW:
                # Perhaps the beginning of a burst: the rest of it then leaves in the same messages.
                pause.tv_sec = 0
                pause.tv_nsec = self.coalesce_ns
                nanosleep(&pause, NULL)
                self.figures.coalesced_wakeups += 1
                more = self.fill(entry, count)
                if more > 0:
                    count += more
            was_idle = False
            now = self.lock()
            taken = 0
            for index in range(count):
                taken += self.take(socket, index, now)
                if taken >= FORWARD_AFTER:
                    self.drain(now)
                    taken = 0
            self.drain(now)
            plane_unlock(self.state)
            if count < RECEIVE_BATCH:
                return

    cdef int take(self, int socket, int message, int64_t now) noexcept nogil:
        """One message to the plane, datagram by datagram. Called and returns with the plane locked."""
        cdef msghdr* header = &self.receive_messages[message].msg_hdr
        cdef uint8_t* data = self.receive_data + message * RECEIVE_STRIDE
        cdef int left = <int>self.receive_messages[message].msg_len
        cdef int segment = left
        cdef int size
        cdef int count = 0
        cdef cmsghdr* control = CMSG_FIRSTHDR(header)
        cdef Endpoint source
        while control != NULL:
            if control.cmsg_level == SOL_UDP and control.cmsg_type == UDP_GRO:
                memcpy(&size, CMSG_DATA(control), sizeof(size))
                if 0 < size < left:
                    segment = size
            control = CMSG_NXTHDR(header, control)
        to_endpoint(&self.receive_names[message], &source)
        header.msg_namelen = sizeof(sockaddr_in6)
        header.msg_controllen = RECEIVE_CONTROL
        while True:
            size = min(segment, left)
            # Each drain may let a command in that fills the places again, but not those that are the lane's.
            while self.state.pending_count >= PENDING_SLOTS:
                self.drain(now)
            plane_receive(self.state, socket, &source, data, size, now)
            count += 1
            data += size
            left -= size
            if left <= 0:
                break
        self.figures.received_datagrams += count
        return count

    cdef void drain(self, int64_t now) noexcept nogil:
        """Send all that the plane has. Called and returns with the plane locked; unlocked while sending."""
        cdef Outgoing* out
        cdef uint64_t one = 1
        cdef uint64_t sleepers
        cdef int count
        cdef bint told
        # One batch of each; what is left has its turn after this lane's own sockets had theirs.
        link_receive(self.state, now)
        while True:
            # The other lanes can begin before this one forwards.
            share(self.state, now)
            sleepers = link_sleepers(self.state)
            if sleepers:
                plane_unlock(self.state)
                self.wake_others(sleepers)
                self.lock()
            count = plane_collect(self.state, now, &out)
            told = self.state.attention
            self.state.attention = False
            if count == 0 and not told and self.state.link_wake == 0:
                return
            plane_unlock(self.state)
            if told:
                self.figures.handoff_signals += 1
                write(self.handoff, &one, sizeof(one))
            egress_send(&self.egress, self.sockets, MAX_SOCKETS, out, count, now)
            self.lock()

    cdef void wake_others(self, uint64_t sleepers) noexcept nogil:
        """The lanes of these planes, by index in the group, were given something."""
        cdef uint64_t one = 1
        cdef uint32_t index = 0
        cdef int fd
        while sleepers:
            if sleepers & 1:
                fd = link_wake_begin(self.state, index)
                if fd >= 0:
                    self.figures.lane_wakes += 1
                    write(fd, &one, sizeof(one))
                link_wake_end(self.state, index)
            sleepers >>= 1
            index += 1
