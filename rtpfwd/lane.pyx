"""The forwarding thread: epoll, recvmmsg, the plane, sendmmsg.

Two mutexes, always taken in this order: `turn`, held by the loop from the end of epoll_wait to the next one, so that
remove_socket returns only when the loop can't be using the socket; and the plane's own, held only while the plane
works and never during a system call. What is to be sent is swapped out of the plane (plane_collect) before the plane
is unlocked, so Python's commands may run while datagrams leave.

With UDP segmentation offload (UDP_SEGMENT) datagrams of one size to one destination leave as one message. What the
kernel refuses goes out again singly, and after refusals that mean it the socket stays with single datagrams.
"""

from libc.errno cimport EAGAIN, EINTR, EIO, EOPNOTSUPP, errno
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from rtpfwd.convert cimport endpoint_from
from rtpfwd.ingress cimport plane_receive
from rtpfwd.sockaddr cimport to_endpoint, to_name
from rtpfwd.state cimport plane_lock, plane_unlock
from rtpfwd.sys_linux cimport *
from rtpfwd.tables cimport Endpoint, same_endpoint
from rtpfwd.ticks cimport plane_collect, plane_next_timeout, plane_timeout

cdef enum:
    WAKE = 0xffffffff       # the epoll tag of the eventfd; every other tag is a socket id
    READY_SOCKETS = 64      # of one epoll_wait
    IDLE_MS = 1000          # the longest wait
    FULL_BUFFER_MS = 5      # how long one flush may wait for room in a socket's buffer
    ERRORS_IN_ROW = 64      # receive errors after which a socket is no longer polled


cdef inline int64_t _clock() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


cdef class Lane:
    def __cinit__(self, Plane plane not None):
        cdef int index
        self.epoll = self.wake_fd = self.handoff = -1
        for index in range(MAX_SOCKETS):
            self.sockets[index].fd = -1
        pthread_mutex_init(&self.turn, NULL)

    def __init__(self, Plane plane not None):
        cdef epoll_event event
        if self.epoll != -1:
            raise RuntimeError("a lane is initialised once")
        if plane.state.has_lane:
            raise ValueError("this plane has a lane already")
        self.plane = plane
        self.state = plane.state
        self.allocate()
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
        self.state.has_lane = True

    cdef int allocate(self) except -1:
        self.receive_data = <uint8_t*>calloc(RECEIVE_BATCH, RECEIVE_SIZE)
        self.receive_messages = <mmsghdr*>calloc(RECEIVE_BATCH, sizeof(mmsghdr))
        self.receive_vectors = <iovec*>calloc(RECEIVE_BATCH, sizeof(iovec))
        self.receive_names = <sockaddr_in6*>calloc(RECEIVE_BATCH, sizeof(sockaddr_in6))
        self.send_messages = <mmsghdr*>calloc(SEND_MESSAGES, sizeof(mmsghdr))
        self.send_vectors = <iovec*>calloc(SEND_DATAGRAMS, sizeof(iovec))
        self.send_names = <sockaddr_in6*>calloc(SEND_MESSAGES, sizeof(sockaddr_in6))
        self.send_controls = <uint8_t*>calloc(SEND_MESSAGES, CONTROL_SIZE)
        self.send_first = <int*>calloc(SEND_MESSAGES + 1, sizeof(int))
        if (
            self.receive_data == NULL or self.receive_messages == NULL or self.receive_vectors == NULL
            or self.receive_names == NULL or self.send_messages == NULL or self.send_vectors == NULL
            or self.send_names == NULL or self.send_controls == NULL or self.send_first == NULL
        ):
            raise MemoryError
        return 0

    def __dealloc__(self):
        if self.epoll >= 0:
            close(self.epoll)
        if self.wake_fd >= 0:
            close(self.wake_fd)
        if self.handoff >= 0:
            close(self.handoff)
        free(self.receive_data)
        free(self.receive_messages)
        free(self.receive_vectors)
        free(self.receive_names)
        free(self.send_messages)
        free(self.send_vectors)
        free(self.send_names)
        free(self.send_controls)
        free(self.send_first)
        pthread_mutex_destroy(&self.turn)

    @property
    def handoff_fd(self):
        return self.handoff

    def add_socket(self, int fd):
        cdef sockaddr_in6 name
        cdef socklen_t length = sizeof(name)
        cdef int kind = 0
        cdef int segment = 0
        cdef socklen_t kind_length = sizeof(kind)
        cdef socklen_t segment_length = sizeof(segment)
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
        entry.ipv6 = name.sin6_family == AF_INET6
        entry.gso = getsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, &segment_length) == 0
        entry.gso_errors = 0
        entry.errors = 0
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
        cdef epoll_event event
        if not 0 <= socket < MAX_SOCKETS or self.sockets[socket].fd == -1:
            raise KeyError(socket)
        memset(&event, 0, sizeof(event))
        fd = self.sockets[socket].fd
        with nogil:
            pthread_mutex_lock(&self.turn)
            self.sockets[socket].fd = -1
            epoll_ctl(self.epoll, EPOLL_CTL_DEL, fd, &event)
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
        if self.running:
            raise RuntimeError("this lane is running already")
        self.running = True
        try:
            with nogil:
                self.loop()
        finally:
            self.running = False

    def stop(self):
        self.stopping = True
        self.wake()

    def wake(self):
        cdef uint64_t one = 1
        write(self.wake_fd, &one, sizeof(one))

    def counters(self):
        return dict(self.figures)

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
        cdef int64_t now
        cdef int index, count, wait
        while not self.stopping:
            plane_lock(self.state)
            wait = self.wait_ms(_clock())
            plane_unlock(self.state)
            count = epoll_wait(self.epoll, ready, READY_SOCKETS, wait)
            self.figures.wakeups += 1
            pthread_mutex_lock(&self.turn)
            for index in range(count):
                if ready[index].data.u32 == WAKE:
                    read(self.wake_fd, &value, sizeof(value))
                else:
                    self.receive(<int>ready[index].data.u32)
            now = _clock()
            plane_lock(self.state)
            plane_timeout(self.state, now)
            self.drain(now)
            plane_unlock(self.state)
            pthread_mutex_unlock(&self.turn)

    cdef void receive(self, int socket) noexcept nogil:
        """Up to RECEIVE_ROUNDS batches from one socket, each forwarded before the next is read."""
        cdef int index, count, rounds
        cdef int64_t now
        cdef Endpoint source
        cdef LaneSocket* entry = &self.sockets[socket]
        for rounds in range(RECEIVE_ROUNDS):
            if entry.fd == -1:
                return
            for index in range(RECEIVE_BATCH):
                self.receive_vectors[index].iov_base = self.receive_data + index * RECEIVE_SIZE
                self.receive_vectors[index].iov_len = RECEIVE_SIZE
                memset(&self.receive_messages[index].msg_hdr, 0, sizeof(msghdr))
                self.receive_messages[index].msg_hdr.msg_iov = &self.receive_vectors[index]
                self.receive_messages[index].msg_hdr.msg_iovlen = 1
                self.receive_messages[index].msg_hdr.msg_name = &self.receive_names[index]
                self.receive_messages[index].msg_hdr.msg_namelen = sizeof(sockaddr_in6)
            # MSG_TRUNC makes the length the datagram's own, so that one cut short is seen as too long.
            count = recvmmsg(entry.fd, self.receive_messages, RECEIVE_BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL)
            self.figures.receive_calls += 1
            if count < 0:
                if errno != EAGAIN and errno != EINTR:
                    self.figures.receive_errors += 1
                    entry.errors += 1
                    if entry.errors >= ERRORS_IN_ROW:
                        # It would wake the loop for ever. remove_socket still works.
                        epoll_ctl(self.epoll, EPOLL_CTL_DEL, entry.fd, NULL)
                return
            entry.errors = 0
            self.figures.received_datagrams += count
            now = _clock()
            plane_lock(self.state)
            for index in range(count):
                to_endpoint(&self.receive_names[index], &source)
                plane_receive(
                    self.state, socket, &source, self.receive_data + index * RECEIVE_SIZE,
                    <int>self.receive_messages[index].msg_len, now,
                )
            self.drain(now)
            plane_unlock(self.state)
            if count < RECEIVE_BATCH:
                return

    cdef void drain(self, int64_t now) noexcept nogil:
        """Send all that the plane has. Called and returns with the plane locked; unlocked while sending."""
        cdef Outgoing* out
        cdef uint64_t one = 1
        cdef int count
        cdef bint told
        while True:
            count = plane_collect(self.state, now, &out)
            told = self.state.attention
            self.state.attention = False
            if count == 0 and not told:
                return
            plane_unlock(self.state)
            if told:
                self.figures.handoff_signals += 1
                write(self.handoff, &one, sizeof(one))
            self.flush(out, count)
            plane_lock(self.state)

    cdef void flush(self, Outgoing* out, int count) noexcept nogil:
        cdef int done = 0
        cdef int waited = 0
        while done < count:
            done += self.send_run(out + done, count - done, &waited)

    cdef int build(self, LaneSocket* socket, Outgoing* out, int count, int* taken) noexcept nogil:
        """Messages for the leading datagrams that leave by one socket. `taken` is how many datagrams they hold."""
        cdef int messages = 0
        cdef int index = 0
        cdef int first, size, total
        cdef msghdr* header
        cdef cmsghdr* control
        cdef uint16_t segment
        while index < count and messages < SEND_MESSAGES and out[index].socket == out[0].socket:
            first = index
            size = total = out[first].size
            index += 1
            # All but the last datagram of a segmented message have the size of the first; the last may be shorter.
            while (
                socket.gso and index < count and index - first < GSO_SEGMENTS
                and out[index].socket == out[first].socket and out[index - 1].size == size and out[index].size <= size
                and total + out[index].size <= GSO_BYTES and same_endpoint(&out[index].to, &out[first].to)
            ):
                total += out[index].size
                index += 1
            header = &self.send_messages[messages].msg_hdr
            memset(header, 0, sizeof(msghdr))
            header.msg_name = &self.send_names[messages]
            header.msg_namelen = to_name(&out[first].to, socket.ipv6, &self.send_names[messages])
            header.msg_iov = &self.send_vectors[first]
            header.msg_iovlen = index - first
            if index - first > 1:
                control = <cmsghdr*>(self.send_controls + messages * CONTROL_SIZE)
                control.cmsg_len = CMSG_LEN(sizeof(uint16_t))
                control.cmsg_level = SOL_UDP
                control.cmsg_type = UDP_SEGMENT
                segment = <uint16_t>size
                memcpy(CMSG_DATA(control), &segment, sizeof(segment))
                header.msg_control = control
                header.msg_controllen = CMSG_SPACE(sizeof(uint16_t))
            self.send_first[messages] = first
            messages += 1
        self.send_first[messages] = index
        taken[0] = index
        return messages

    cdef int send_run(self, Outgoing* out, int count, int* waited) noexcept nogil:
        """Send the leading datagrams of one socket. Returns how many were dealt with, sent or not; at least one."""
        cdef int index, messages, sent, taken
        cdef int done = 0
        cdef pollfd room
        cdef LaneSocket* socket
        count = min(count, <int>SEND_DATAGRAMS)
        if not 0 <= out[0].socket < MAX_SOCKETS or self.sockets[out[0].socket].fd == -1:
            self.figures.send_errors += 1
            return 1
        socket = &self.sockets[out[0].socket]
        for index in range(count):
            self.send_vectors[index].iov_base = out[index].data
            self.send_vectors[index].iov_len = out[index].size
        messages = self.build(socket, out, count, &taken)
        while done < messages:
            sent = sendmmsg(socket.fd, self.send_messages + done, messages - done, MSG_DONTWAIT | MSG_NOSIGNAL)
            self.figures.send_calls += 1
            if sent > 0:
                self.figures.sent_messages += sent
                self.figures.sent_datagrams += self.send_first[done + sent] - self.send_first[done]
                if self.send_first[done + sent] - self.send_first[done] > sent:
                    socket.gso_errors = 0
                done += sent
            elif errno == EINTR:
                continue
            elif errno == EAGAIN:
                if waited[0]:
                    self.figures.send_would_block += taken - self.send_first[done]
                    break
                waited[0] = 1
                room.fd = socket.fd
                room.events = <short>POLLOUT
                poll(&room, 1, FULL_BUFFER_MS)
            else:
                # The error is of the first message alone: segmentation refused, no route, no memory.
                index = self.send_first[done]
                if self.send_first[done + 1] - index > 1:
                    self.refused_segments(socket, errno)
                    self.send_singly(socket, out + index, self.send_first[done + 1] - index)
                else:
                    self.figures.send_errors += 1
                done += 1
        return taken

    cdef void refused_segments(self, LaneSocket* socket, int error) noexcept nogil:
        """A device that can't segment says so; one path with a small MTU must not cost every other its segmentation."""
        socket.gso_errors += 1
        if socket.gso and (error == EIO or error == EOPNOTSUPP or socket.gso_errors >= GSO_ERRORS):
            socket.gso = False
            self.figures.gso_fallbacks += 1

    cdef void send_singly(self, LaneSocket* socket, Outgoing* out, int count) noexcept nogil:
        """One call for each datagram of a message that the kernel refused whole."""
        cdef sockaddr_in6 name
        cdef int length = to_name(&out[0].to, socket.ipv6, &name)
        cdef int index
        for index in range(count):
            self.figures.send_calls += 1
            if sendto(socket.fd, out[index].data, out[index].size, MSG_DONTWAIT | MSG_NOSIGNAL, <sockaddr*>&name, length) < 0:
                self.figures.send_errors += 1
            else:
                self.figures.sent_messages += 1
                self.figures.sent_datagrams += 1
