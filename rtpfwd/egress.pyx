"""Building messages, sending them, and every way in which the kernel may refuse.

With UDP segmentation offload (UDP_SEGMENT) neighbours of one size to one destination leave as one message. A socket whose
buffer is full (EAGAIN) is never waited for: its datagrams go to the backlog, new ones behind them, until EPOLLOUT. What the
kernel refuses for another reason is tried once more without segmentation where that may help, and else dropped and counted.
"""

from libc.errno cimport EACCES, EAGAIN, EINTR, EINVAL, EIO, EMSGSIZE, ENOBUFS, ENOMEM, EOPNOTSUPP, EPERM, errno
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from rtpfwd.backlog cimport (
    backlog_clear,
    backlog_close,
    backlog_open,
    backlog_pop,
    backlog_push,
)
from rtpfwd.sockaddr cimport to_name
from rtpfwd.sys_linux cimport *
from rtpfwd.tables cimport same_endpoint

cdef int FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL


cdef int egress_open(Egress* e, int epoll) noexcept nogil:
    cdef int index
    memset(e, 0, sizeof(Egress))
    e.epoll = epoll
    e.items = <Outgoing**>calloc(SEND_DATAGRAMS, sizeof(Outgoing*))
    e.messages = <mmsghdr*>calloc(SEND_DATAGRAMS, sizeof(mmsghdr))
    e.vectors = <iovec*>calloc(SEND_DATAGRAMS, sizeof(iovec))
    e.names = <sockaddr_in6*>calloc(SEND_DATAGRAMS, sizeof(sockaddr_in6))
    e.controls = <uint8_t*>calloc(SEND_DATAGRAMS, SEND_CONTROL)
    e.first = <int*>calloc(SEND_DATAGRAMS + 1, sizeof(int))
    if (
        e.items == NULL or e.messages == NULL or e.vectors == NULL or e.names == NULL or e.controls == NULL
        or e.first == NULL or backlog_open(&e.backlog)
    ):
        egress_close(e)
        return -1
    for index in range(SEND_DATAGRAMS):
        e.messages[index].msg_hdr.msg_name = &e.names[index]
    e.max_segments = _max_segments()
    return 0


cdef void egress_close(Egress* e) noexcept nogil:
    free(e.items)
    free(e.messages)
    free(e.vectors)
    free(e.names)
    free(e.controls)
    free(e.first)
    backlog_close(&e.backlog)
    memset(e, 0, sizeof(Egress))


cdef bint egress_can_segment(int fd) noexcept nogil:
    cdef int segment = 0
    cdef socklen_t length = sizeof(segment)
    return getsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, &length) == 0


cdef int _max_segments() noexcept nogil:
    """UDP_MAX_SEGMENTS of this kernel: 64 until it was raised to 128. A socket that sends to itself finds out."""
    cdef sockaddr_in6 name
    cdef uint8_t data[GSO_SEGMENTS_NEW]
    cdef int segment = 1
    cdef socklen_t length = sizeof(name)
    cdef int found = GSO_SEGMENTS
    cdef int fd = socket(AF_INET, SOCK_DGRAM, 0)
    if fd < 0:
        return found
    memset(&name, 0, sizeof(name))
    memset(data, 0, sizeof(data))
    (<sockaddr_in*>&name).sin_family = <unsigned short>AF_INET
    (<sockaddr_in*>&name).sin_addr.s_addr = htonl(INADDR_LOOPBACK)
    if (
        bind(fd, <sockaddr*>&name, sizeof(sockaddr_in)) == 0
        and getsockname(fd, <sockaddr*>&name, &length) == 0
        and setsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment)) == 0
        and sendto(fd, data, sizeof(data), FLAGS, <sockaddr*>&name, sizeof(sockaddr_in)) == sizeof(data)
    ):
        found = GSO_SEGMENTS_NEW
    close(fd)
    return found


cdef void egress_send(
    Egress* e, LaneSocket* sockets, int socket_count, Outgoing* out, int count, int64_t now
) noexcept nogil:
    cdef int index = 0
    cdef int taken, number
    while index < count:
        number = out[index].socket
        taken = 0
        while index < count and taken < SEND_DATAGRAMS and out[index].socket == number:
            if out[index].size > 0:
                e.items[taken] = &out[index]
                taken += 1
            index += 1
        if 0 <= number < socket_count and sockets[number].fd != -1:
            _send(e, &sockets[number], taken, now)
        else:
            e.figures.send_errors += taken


cdef void _send(Egress* e, LaneSocket* socket, int count, int64_t now) noexcept nogil:
    """e.items by one socket, behind what waits for it already."""
    cdef int done = 0
    if socket.waiting.count == 0:
        done = _transmit(e, socket, count, now)
        if done == count:
            return
        if not _ask_for_room(e, socket, True):
            e.figures.send_errors += count - done
            return
    e.figures.send_delayed += count - done
    while done < count:
        backlog_push(&e.backlog, &socket.waiting, e.items[done])
        done += 1


cdef void egress_resume(Egress* e, LaneSocket* socket, int64_t now) noexcept nogil:
    cdef int32_t index
    cdef int count, done
    while socket.waiting.count:
        count = 0
        index = socket.waiting.first
        while index >= 0 and count < SEND_DATAGRAMS:
            e.items[count] = &e.backlog.slots[index].out
            count += 1
            index = e.backlog.slots[index].next
        done = _transmit(e, socket, count, now)
        for index in range(done):
            backlog_pop(&e.backlog, &socket.waiting)
        if done < count:
            return
    _ask_for_room(e, socket, False)


cdef void egress_forget(Egress* e, LaneSocket* socket) noexcept nogil:
    backlog_clear(&e.backlog, &socket.waiting)


cdef bint _ask_for_room(Egress* e, LaneSocket* socket, bint on) noexcept nogil:
    cdef epoll_event event
    memset(&event, 0, sizeof(event))
    event.events = <uint32_t>(EPOLLIN | EPOLLOUT if on else EPOLLIN)
    event.data.u32 = <uint32_t>socket.number
    return epoll_ctl(e.epoll, EPOLL_CTL_MOD, socket.fd, &event) == 0


cdef int _build(Egress* e, LaneSocket* socket, int count, int64_t now) noexcept nogil:
    """Messages of e.items. Returns how many."""
    cdef int messages = 0
    cdef int index = 0
    cdef int first, size, last, total, most
    cdef Outgoing* head
    cdef Outgoing* item
    cdef iovec* piece = e.vectors
    cdef iovec* pieces
    cdef msghdr* header
    cdef cmsghdr* control
    cdef uint16_t segment
    while index < count:
        first = index
        head = e.items[first]
        size = last = total = head.size
        pieces = piece
        piece.iov_base = head.data
        piece.iov_len = size
        most = e.max_segments if socket.gso and not _is_small(e, head, now) else 1
        index += 1
        # All but the last datagram of a segmented message have the size of the first; the last may be shorter.
        while index < count and index - first < most and last == size:
            item = e.items[index]
            if item.size > size or total + item.size > GSO_BYTES or not same_endpoint(&item.to, &head.to):
                break
            last = item.size
            # The plane writes them without gaps: most messages are one piece of memory.
            if item.data == <uint8_t*>piece.iov_base + piece.iov_len:
                piece.iov_len += last
            else:
                piece += 1
                piece.iov_base = item.data
                piece.iov_len = last
            total += last
            index += 1
        piece += 1
        header = &e.messages[messages].msg_hdr
        header.msg_namelen = to_name(&head.to, socket.ipv6, &e.names[messages])
        header.msg_iov = pieces
        header.msg_iovlen = piece - pieces
        header.msg_control = NULL
        header.msg_controllen = 0
        if index - first > 1:
            control = <cmsghdr*>(e.controls + messages * SEND_CONTROL)
            control.cmsg_len = CMSG_LEN(sizeof(uint16_t))
            control.cmsg_level = SOL_UDP
            control.cmsg_type = UDP_SEGMENT
            segment = <uint16_t>size
            memcpy(CMSG_DATA(control), &segment, sizeof(segment))
            header.msg_control = control
            header.msg_controllen = CMSG_SPACE(sizeof(uint16_t))
        e.first[messages] = first
        messages += 1
    e.first[messages] = count
    return messages


cdef int _transmit(Egress* e, LaneSocket* socket, int count, int64_t now) noexcept nogil:
    """Send e.items. Returns how many were dealt with, sent or refused; the rest found no room."""
    cdef int messages = _build(e, socket, count, now)
    cdef int done = 0
    cdef int sent, first, size, singly, error
    while done < messages:
        sent = sendmmsg(socket.fd, e.messages + done, messages - done, FLAGS)
        error = errno
        e.figures.send_calls += 1
        first = e.first[done]
        if sent > 0:
            e.figures.sent_messages += sent
            e.figures.sent_datagrams += e.first[done + sent] - first
            if e.first[done + sent] - first > sent:
                socket.gso_errors = 0
            done += sent
        elif error == EAGAIN:
            e.figures.send_would_block += 1
            return first
        elif error != EINTR:
            # The error is of the first message alone: segmentation refused, no route, no memory.
            size = e.first[done + 1] - first
            # A full queue or no memory will not be helped by more calls.
            if size > 1 and error != ENOBUFS and error != ENOMEM:
                singly = _send_singly(e, socket, first, size, error, now)
                if singly < size:
                    e.figures.send_would_block += 1
                    return first + singly
            else:
                _refused(e, error, size)
            done += 1
    return count


cdef int _send_singly(Egress* e, LaneSocket* socket, int first, int count, int error, int64_t now) noexcept nogil:
    """One call for each datagram of a message that the kernel refused whole. Returns how many were dealt with."""
    cdef sockaddr_in6 name
    cdef int length = to_name(&e.items[first].to, socket.ipv6, &name)
    cdef int index = 0
    cdef Outgoing* out
    while index < count:
        out = e.items[first + index]
        e.figures.send_calls += 1
        if sendto(socket.fd, out.data, out.size, FLAGS, <sockaddr*>&name, length) >= 0:
            e.figures.sent_messages += 1
            e.figures.sent_datagrams += 1
            if index == 0:
                _segments_refused(e, socket, out, error, now)
        elif errno == EAGAIN:
            return index
        elif errno == EINTR:
            continue
        elif index == 0 and (errno == EPERM or errno == EACCES):
            # A firewall's word on the destination, not on segments: it would say the same to the others.
            _refused(e, errno, count)
            return count
        else:
            _refused(e, errno, 1)
        index += 1
    return count


cdef void _refused(Egress* e, int error, int count) noexcept nogil:
    e.figures.send_errors += count
    if error == EPERM or error == EACCES:
        e.figures.send_forbidden += count
    elif error == EMSGSIZE:
        e.figures.send_too_long += count
    elif error == ENOBUFS or error == ENOMEM:
        e.figures.send_no_buffers += count


# A message was refused that went out singly. A device that can't segment says so, and the socket segments no more. A path
# that is narrower than the segments is remembered by its destination: it must not cost every other one its segmentation.

cdef void _segments_refused(Egress* e, LaneSocket* socket, const Outgoing* out, int error, int64_t now) noexcept nogil:
    cdef SmallPath* path
    if error == EINVAL or error == EMSGSIZE:
        path = &e.paths[_path_index(&out.to)]
        path.to = out.to
        path.segment = out.size
        path.until = e.paths_until = now + <int64_t>SMALL_PATH_S * 1000000000
        e.figures.gso_small_paths += 1
    socket.gso_errors += 1
    if socket.gso and (error == EIO or error == EOPNOTSUPP or socket.gso_errors >= GSO_ERRORS):
        socket.gso = False
        e.figures.gso_fallbacks += 1


cdef inline int _path_index(const Endpoint* to) noexcept nogil:
    cdef uint32_t hash = to.port
    cdef int index
    for index in range(16):
        hash = hash * 31 + to.ip[index]
    return <int>((hash ^ hash >> 16) % SMALL_PATHS)


cdef inline bint _is_small(const Egress* e, const Outgoing* out, int64_t now) noexcept nogil:
    cdef const SmallPath* path
    if now >= e.paths_until:
        return False
    path = &e.paths[_path_index(&out.to)]
    return path.segment and now < path.until and out.size >= path.segment and same_endpoint(&path.to, &out.to)
