"""Times the stages of a packet's way one by one, without the GIL. What each method means: stages.pyi.

Every time is the CPU time of this thread, so what other programs take meanwhile does not count. State is that of a
forwarding plane: 64 packets in buffers as the lane's, numbers that go on from packet to packet, keys of many viewers.

Over 400 lines, because the stages need one another's state; each is a loop of a few lines.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from rtpfwd.backlog cimport line_open
from rtpfwd.codecs.describe cimport describe
from rtpfwd.convert cimport endpoint_from
from rtpfwd.cursor cimport store_u16
from rtpfwd.egress cimport Egress, LaneSocket, egress_can_segment, egress_close, egress_open, egress_send
from rtpfwd.header cimport (
    HeaderMarks,
    HeaderPlan,
    header_plan_init,
    header_plan_map,
    rtp_parse_untrusted,
    rtp_write_header,
)
from rtpfwd.ingress cimport plane_receive
from rtpfwd.plane cimport Plane
from rtpfwd.recv_stream cimport RecvStream, recv_stream_free, recv_stream_init, recv_stream_receive
from rtpfwd.rewriter cimport Rewriter, Rewritten, rewriter_forward, rewriter_init
from rtpfwd.selector cimport Selector
from rtpfwd.send_stream cimport SendStream, send_stream_free, send_stream_init, send_stream_sent
from rtpfwd.slab cimport History, Slab, history_free, history_init, history_store, slab_free, slab_grow, slab_init
from rtpfwd.srtp cimport (
    SRTP_OK,
    SRTP_TRAILER,
    SrtpJob,
    SrtpPolicy,
    SrtpReceiver,
    SrtpSender,
    srtp_protect,
    srtp_protect_jobs,
    srtp_receiver_close,
    srtp_receiver_open,
    srtp_sender_close,
    srtp_sender_open,
    srtp_unprotect,
)
from rtpfwd.state cimport Outgoing, RECEIVED, plane_lock, plane_unlock, stream_key
from rtpfwd.sys_linux cimport *
from rtpfwd.tables cimport Endpoint, WordTable, word_get, word_put, word_table_close, word_table_open
from rtpfwd.ticks cimport plane_collect, plane_timeout
from rtpfwd.types cimport PacketView

cdef extern from "<time.h>" nogil:
    int CLOCK_THREAD_CPUTIME_ID

cdef enum:
    COUNT = 64              # packets in the loops
    STRIDE = 2048           # bytes from one to the next
    VIEWERS = 50            # whose keys protect in turn
    RUN = 10                # packets of one of them before the next
    MAX_JOBS = 64
    HISTORY = 1024          # packets
    PACKET_NS = 1000000     # of virtual time between two packets
    MESSAGES = 64           # of one system call, and of one receipt
    MESSAGE_BYTES = 65536


cdef inline int64_t _spent() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


cdef inline int64_t _clock() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


cdef class PacketStages:
    cdef uint8_t* data
    cdef uint8_t* out
    cdef int sizes[COUNT]
    cdef PacketView views[COUNT]
    cdef int codec
    cdef object selector
    cdef HeaderPlan plan
    cdef WordTable streams
    cdef uint64_t keys[COUNT]
    cdef RecvStream received
    cdef SendStream sent
    cdef Rewriter rewriter
    cdef Slab slab
    cdef History kept
    cdef int64_t number     # extended sequence number of the next packet
    cdef int64_t at         # ns, virtual

    def __cinit__(self, list packets not None, *, int codec, selector, list extensions not None, int streams):
        cdef int index
        cdef bytes packet
        if len(packets) != COUNT or any(len(one) > STRIDE for one in packets):
            raise ValueError(f"it takes {COUNT} packets of {STRIDE} bytes at most")
        self.data = <uint8_t*>calloc(COUNT, STRIDE)
        self.out = <uint8_t*>calloc(COUNT, STRIDE)
        if self.data == NULL or self.out == NULL:
            raise MemoryError
        self.codec = codec
        self.selector = selector
        self.number = 1 << 17
        self.at = 1000 * 1000000000LL
        for index in range(COUNT):
            packet = packets[index]
            self.sizes[index] = len(packet)
            memcpy(self.data + index * STRIDE, <const char*>packet, len(packet))
            if rtp_parse_untrusted(self.data + index * STRIDE, self.sizes[index], &self.views[index]):
                raise ValueError("that is no RTP packet")
            describe(codec, &self.views[index])
        header_plan_init(&self.plan)
        for kind, in_id, out_id in extensions:
            header_plan_map(&self.plan, kind, in_id, out_id)
        if word_table_open(&self.streams, streams, 7):
            raise MemoryError
        for index in range(streams):
            word_put(&self.streams, stream_key(index // 4, RECEIVED, 0x9E3779B9U * <uint32_t>(index + 1)), <void*>self)
        for index in range(COUNT):
            self.keys[index] = stream_key(
                (index * 13 % streams) // 4, RECEIVED, 0x9E3779B9U * <uint32_t>(index * 13 % streams + 1))
        recv_stream_init(&self.received, self.views[0].ssrc, 90000, True)
        send_stream_init(&self.sent, 1, 2, 90000, HISTORY, 1)
        rewriter_init(&self.rewriter, 90000, 1000)
        if slab_init(&self.slab, STRIDE, COUNT, 4 * HISTORY) or history_init(
            &self.kept, &self.slab, HISTORY, 2000 * 1000000LL
        ):
            raise MemoryError
        for index in range(HISTORY // COUNT + 1):
            slab_grow(&self.slab)

    def __dealloc__(self):
        if self.kept.slab != NULL:
            history_free(&self.kept)
            slab_free(&self.slab)
        recv_stream_free(&self.received)
        send_stream_free(&self.sent)
        word_table_close(&self.streams)
        free(self.data)
        free(self.out)

    cdef inline PacketView* next(self, int index) noexcept nogil:
        # The packet as if it were the next of its stream.
        cdef PacketView* view = &self.views[index]
        self.number += 1
        self.at += PACKET_NS
        view.ext_seq = self.number
        view.seq = <uint16_t>self.number
        view.timestamp += 3000
        view.arrived = self.at
        view.is_restart = False     # as which the first packet that `receive` sees counts
        return view

    def nothing(self, int rounds):
        cdef int64_t begun
        cdef int turn
        cdef int index
        with nogil:
            begun = _spent()
            for turn in range(rounds):
                for index in range(COUNT):
                    self.next(index)
            begun = _spent() - begun
        return begun / <double>(rounds * COUNT)

    def parse(self, int rounds):
        cdef int64_t begun
        cdef int turn
        cdef PacketView view
        cdef int refused = 0
        cdef int index
        with nogil:
            begun = _spent()
            for turn in range(rounds):
                for index in range(COUNT):
                    refused += rtp_parse_untrusted(self.data + index * STRIDE, self.sizes[index], &view)
            begun = _spent() - begun
        assert refused == 0
        return begun / <double>(rounds * COUNT)

    def find(self, int rounds):
        cdef int64_t begun
        cdef int turn
        cdef int found = 0
        cdef int index
        with nogil:
            begun = _spent()
            for turn in range(rounds):
                for index in range(COUNT):
                    found += word_get(&self.streams, self.keys[index]) != NULL
            begun = _spent() - begun
        assert found == rounds * COUNT
        return begun / <double>(rounds * COUNT)

    def receive(self, int rounds):
        cdef int64_t begun
        cdef int turn
        cdef int refused = 0
        cdef int index
        with nogil:
            begun = _spent()
            for turn in range(rounds):
                for index in range(COUNT):
                    refused += recv_stream_receive(&self.received, self.next(index), self.at)
            begun = _spent() - begun
        # What `next` skipped in other stages may be a jump, which the following packet confirms.
        assert refused <= 64
        return begun / <double>(rounds * COUNT)

    def describe(self, int rounds):
        cdef int64_t begun
        cdef int turn
        cdef int index
        with nogil:
            begun = _spent()
            for turn in range(rounds):
                for index in range(COUNT):
                    describe(self.codec, &self.views[index])
            begun = _spent() - begun
        return begun / <double>(rounds * COUNT)

    def keep(self, int rounds):
        cdef int64_t begun
        cdef int turn
        cdef int refused = 0
        cdef int index
        with nogil:
            begun = _spent()
            for turn in range(rounds):
                for index in range(COUNT):
                    refused += history_store(&self.kept, self.next(index)) != 0
            begun = _spent() - begun
        assert refused == 0
        return begun / <double>(rounds * COUNT)

    def select(self, int rounds):
        cdef int64_t begun
        cdef int turn
        cdef Selector selector = self.selector
        cdef int index
        cdef int forwarded = 0
        selector.select(&self.views[0])
        with nogil:
            begun = _spent()
            for turn in range(rounds):
                for index in range(COUNT):
                    forwarded += selector.select(self.next(index)) != 0
            begun = _spent() - begun
        assert forwarded == rounds * COUNT, "the first packet must be a keyframe's"
        return begun / <double>(rounds * COUNT)

    def rewrite(self, int rounds):
        cdef int64_t begun
        cdef int turn
        cdef Rewritten numbers
        cdef int refused = 0
        cdef int index
        rewriter_forward(&self.rewriter, self.next(0), True, self.at, &numbers)
        with nogil:
            begun = _spent()
            for turn in range(rounds):
                for index in range(COUNT):
                    refused += rewriter_forward(&self.rewriter, self.next(index), False, self.at, &numbers)
            begun = _spent() - begun
        assert refused == 0
        return begun / <double>(rounds * COUNT)

    def header(self, int rounds):
        cdef int64_t begun
        cdef int turn
        cdef HeaderMarks marks
        cdef int short = 0
        cdef int index
        with nogil:
            begun = _spent()
            for turn in range(rounds):
                for index in range(COUNT):
                    short += rtp_write_header(
                        &self.plan, &self.views[index], 100, <uint16_t>index, 5, 6, self.at, self.out + index * STRIDE,
                        STRIDE, &marks) < 12
            begun = _spent() - begun
        assert short == 0
        return begun / <double>(rounds * COUNT)

    def note_sent(self, int rounds):
        cdef int64_t begun
        cdef int turn
        cdef PacketView* view
        cdef int index
        with nogil:
            begun = _spent()
            for turn in range(rounds):
                for index in range(COUNT):
                    view = self.next(index)
                    send_stream_sent(&self.sent, view, view.seq, view.timestamp, view.size, self.at)
            begun = _spent() - begun
        return begun / <double>(rounds * COUNT)


def copy(int size, int rounds):
    cdef uint8_t* source = <uint8_t*>calloc(COUNT, STRIDE)
    cdef uint8_t* target = <uint8_t*>calloc(16 * COUNT, STRIDE)
    cdef int64_t begun
    cdef int turn
    cdef int number
    if source == NULL or target == NULL or not 0 < size <= STRIDE:
        free(source)
        free(target)
        raise ValueError(f"1 to {STRIDE} bytes")
    memset(target, 1, 16 * COUNT * STRIDE)
    with nogil:
        begun = _spent()
        for turn in range(rounds):
            for number in range(COUNT):
                memcpy(target + ((turn * COUNT + number) & (16 * COUNT - 1)) * STRIDE, source + number * STRIDE, size)
        begun = _spent() - begun
    free(source)
    free(target)
    return begun / <double>(rounds * COUNT)


@cython.final
cdef class CryptoStage:
    cdef list policies
    cdef SrtpSender senders[VIEWERS]
    cdef SrtpReceiver* receiver
    cdef SrtpPolicy inbound
    cdef uint16_t numbers[VIEWERS]
    cdef uint8_t* packets
    cdef uint8_t* payload
    cdef uint64_t turn

    def __cinit__(self, list policies not None, SrtpPolicy inbound not None):
        cdef int index
        cdef SrtpPolicy policy
        if len(policies) != VIEWERS:
            raise ValueError(f"it takes {VIEWERS} policies; the first is of the same key as inbound")
        self.policies = policies
        self.inbound = inbound
        self.packets = <uint8_t*>calloc(MAX_JOBS, STRIDE)
        self.payload = <uint8_t*>calloc(MAX_JOBS, STRIDE)
        if self.packets == NULL or self.payload == NULL:
            raise MemoryError
        for index in range(VIEWERS):
            policy = policies[index]
            if srtp_sender_open(&self.senders[index], &policy.keys, 5000 + index):
                raise ValueError("the keys were refused")
        self.receiver = srtp_receiver_open(&inbound.keys)
        if self.receiver == NULL:
            raise ValueError("the keys were refused")

    def __dealloc__(self):
        cdef int index
        for index in range(VIEWERS):
            srtp_sender_close(&self.senders[index])
        srtp_receiver_close(self.receiver)
        free(self.packets)
        free(self.payload)

    cdef void prepare(self, uint8_t* packet, int viewer) noexcept nogil:
        # Twenty bytes of header: MID in an extension. Only the number changes from packet to packet.
        cdef uint32_t ssrc = 5000 + viewer
        packet[0], packet[1] = 0x90, 96
        store_u16(packet + 2, self.numbers[viewer])
        self.numbers[viewer] += 1
        store_u16(packet + 8, <uint16_t>(ssrc >> 16))
        store_u16(packet + 10, <uint16_t>ssrc)
        store_u16(packet + 12, 0xBEDE)
        store_u16(packet + 14, 1)
        store_u16(packet + 16, 0x1030)

    def protect(self, int size, int batch, int packets):
        cdef SrtpJob jobs[MAX_JOBS]
        cdef int64_t begun
        cdef int64_t done = 0
        cdef int viewer, index
        cdef int failed = 0
        if not 1 <= batch <= MAX_JOBS or not 0 < size <= STRIDE - 20 - SRTP_TRAILER:
            raise ValueError(f"1 to {MAX_JOBS} packets together, and {STRIDE - 20 - SRTP_TRAILER} bytes at most")
        with nogil:
            begun = _spent()
            while done < packets:
                for index in range(batch):
                    viewer = <int>(self.turn // RUN % VIEWERS)
                    self.turn += 1
                    jobs[index].sender = &self.senders[viewer]
                    jobs[index].packet = self.packets + index * STRIDE
                    jobs[index].payload = self.payload + (self.turn & (RUN - 1)) * STRIDE
                    jobs[index].header_size = 20
                    jobs[index].payload_size = size
                    self.prepare(jobs[index].packet, viewer)
                srtp_protect_jobs(jobs, batch)
                for index in range(batch):
                    failed += jobs[index].status != SRTP_OK
                done += batch
            begun = _spent() - begun
        if failed:
            raise RuntimeError(f"{failed} packets were not protected")
        return begun / <double>done

    def unprotect(self, int size, int packets):
        cdef int64_t spent = 0
        cdef int64_t begun
        cdef int64_t done = 0
        cdef int sizes[MAX_JOBS]
        cdef int index
        cdef int failed = 0
        with nogil:
            while done < packets:
                for index in range(MAX_JOBS):
                    self.prepare(self.packets + index * STRIDE, 0)
                    sizes[index] = 20 + size
                    failed += srtp_protect(&self.senders[0], self.packets + index * STRIDE, &sizes[index]) != SRTP_OK
                begun = _spent()
                for index in range(MAX_JOBS):
                    failed += srtp_unprotect(
                        self.receiver, self.packets + index * STRIDE, self.payload + index * STRIDE, &sizes[index]
                    ) != SRTP_OK
                spent += _spent() - begun
                done += MAX_JOBS
        if failed:
            raise RuntimeError(f"{failed} packets failed")
        return spent / <double>done


@cython.final
cdef class Drain:
    """Takes everything out of sockets that nobody reads otherwise."""

    cdef uint8_t* data
    cdef uint8_t* controls
    cdef mmsghdr messages[MESSAGES]
    cdef iovec vectors[MESSAGES]

    def __cinit__(self):
        self.data = <uint8_t*>calloc(MESSAGES, MESSAGE_BYTES)
        self.controls = <uint8_t*>calloc(MESSAGES, 64)
        if self.data == NULL or self.controls == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.data)
        free(self.controls)

    cdef int take(self, int fd, int64_t* spent) noexcept nogil:
        # How many datagrams there were.
        cdef int index, got, found
        cdef int size = 0
        cdef int64_t begun
        cdef cmsghdr* control
        cdef int datagrams = 0
        while True:
            for index in range(MESSAGES):
                memset(&self.messages[index], 0, sizeof(mmsghdr))
                self.vectors[index].iov_base = self.data + index * MESSAGE_BYTES
                self.vectors[index].iov_len = MESSAGE_BYTES
                self.messages[index].msg_hdr.msg_iov = &self.vectors[index]
                self.messages[index].msg_hdr.msg_iovlen = 1
                self.messages[index].msg_hdr.msg_control = self.controls + index * 64
                self.messages[index].msg_hdr.msg_controllen = 64
            begun = _spent()
            got = recvmmsg(fd, self.messages, MESSAGES, MSG_DONTWAIT, NULL)
            spent[0] += _spent() - begun
            if got <= 0:
                return datagrams
            for index in range(got):
                found = 1
                control = CMSG_FIRSTHDR(&self.messages[index].msg_hdr)
                if control != NULL and control.cmsg_level == SOL_UDP and control.cmsg_type == UDP_GRO:
                    memcpy(&size, CMSG_DATA(control), sizeof(int))
                    if size:
                        found = (<int>self.messages[index].msg_len + size - 1) // size
                datagrams += found
            if got < MESSAGES:
                return datagrams


def loopback(int sender, int receiver, int size, int segments, int messages, int rounds):
    cdef Drain drain = Drain()
    cdef mmsghdr headers[MESSAGES]
    cdef iovec vectors[MESSAGES]
    cdef uint8_t* data
    cdef uint8_t control[64]
    cdef int64_t sending = 0
    cdef int64_t receiving = 0
    cdef int64_t begun
    cdef int turn
    cdef int64_t got = 0
    cdef int64_t sent = 0
    cdef int index, took
    cdef cmsghdr* header
    cdef uint16_t segment = <uint16_t>size
    if not 1 <= messages <= MESSAGES or segments < 1 or size < 1 or size * segments > 65000:
        raise ValueError(f"1 to {MESSAGES} messages of 65000 bytes at most")
    data = <uint8_t*>calloc(messages, MESSAGE_BYTES)
    if data == NULL:
        raise MemoryError
    memset(control, 0, sizeof(control))
    with nogil:
        for index in range(messages):
            memset(&headers[index], 0, sizeof(mmsghdr))
            vectors[index].iov_base = data + index * MESSAGE_BYTES
            vectors[index].iov_len = size * segments
            headers[index].msg_hdr.msg_iov = &vectors[index]
            headers[index].msg_hdr.msg_iovlen = 1
            if segments > 1:
                headers[index].msg_hdr.msg_control = control
                headers[index].msg_hdr.msg_controllen = CMSG_SPACE(sizeof(uint16_t))
        if segments > 1:
            header = CMSG_FIRSTHDR(&headers[0].msg_hdr)
            header.cmsg_level = SOL_UDP
            header.cmsg_type = UDP_SEGMENT
            header.cmsg_len = CMSG_LEN(sizeof(uint16_t))
            memcpy(CMSG_DATA(header), &segment, sizeof(segment))
        for turn in range(rounds):
            begun = _spent()
            took = sendmmsg(sender, headers, messages, 0)
            sending += _spent() - begun
            sent += max(took, 0) * segments
            got += drain.take(receiver, &receiving)
    free(data)
    if sent == 0 or got == 0:
        raise OSError("the loopback took nothing")
    return sending / <double>sent, receiving / <double>got, sent, got


@cython.final
cdef class PlaneStage:
    cdef Plane plane
    cdef SrtpSender sender
    cdef SrtpPolicy policy
    cdef Endpoint source
    cdef Egress egress
    cdef LaneSocket sockets[1]
    cdef int epoll
    cdef int fds[1024]
    cdef int fd_count
    cdef Drain drain
    cdef uint8_t* packets
    cdef uint8_t head[64]
    cdef int head_size
    cdef uint16_t number
    cdef uint32_t timestamp
    cdef readonly uint64_t sent
    cdef readonly uint64_t received

    def __cinit__(
        self, Plane plane not None, SrtpPolicy policy, bytes head not None, source, int socket, list receivers not None
    ):
        cdef epoll_event event
        cdef uint32_t ssrc = int.from_bytes(head[8:12], "big")
        self.epoll = -1
        if len(head) > 60 or len(receivers) > 1024:
            raise ValueError("a head of 60 bytes at most, and 1024 receivers")
        self.plane = plane
        self.policy = policy
        self.drain = Drain()
        self.packets = <uint8_t*>calloc(MAX_JOBS, STRIDE)
        if self.packets == NULL:
            raise MemoryError
        memcpy(self.head, <const char*>head, len(head))
        self.head_size = len(head)
        endpoint_from(source, &self.source)
        self.fd_count = len(receivers)
        for index, fd in enumerate(receivers):
            self.fds[index] = fd
        if policy is not None and srtp_sender_open(&self.sender, &policy.keys, ssrc):
            raise ValueError("the keys were refused")
        self.sockets[0].fd = socket
        line_open(&self.sockets[0].waiting)
        if socket >= 0:
            self.epoll = epoll_create1(EPOLL_CLOEXEC)
            memset(&event, 0, sizeof(event))
            event.events = EPOLLIN
            if epoll_ctl(self.epoll, EPOLL_CTL_ADD, socket, &event) or egress_open(&self.egress, self.epoll):
                raise OSError("no epoll")
            self.sockets[0].gso = egress_can_segment(socket)
        plane.state.has_lane = True     # its output is taken from the area, here and not by a lane

    def __dealloc__(self):
        if self.epoll >= 0:
            egress_close(&self.egress)
            close(self.epoll)
        srtp_sender_close(&self.sender)
        free(self.packets)
        if self.plane is not None:
            self.plane.state.has_lane = False

    def forward(self, int burst, int size, int rounds):
        cdef int64_t spent = 0
        cdef int64_t ignored = 0
        cdef int64_t begun, now
        cdef int turn
        cdef uint64_t before = self.plane.state.counters.forwarded_packets
        cdef Outgoing* out
        cdef uint8_t* packet
        cdef int index, count
        cdef int sizes[MAX_JOBS]
        if not 1 <= burst <= MAX_JOBS or not 0 < size <= 1400:
            raise ValueError(f"bursts of 1 to {MAX_JOBS} packets, of 1400 bytes at most")
        with nogil:
            for turn in range(rounds):
                now = _clock()
                self.timestamp += 3000
                for index in range(burst):
                    packet = self.packets + index * STRIDE
                    memcpy(packet, self.head, self.head_size)
                    store_u16(packet + 2, self.number)
                    self.number += 1
                    store_u16(packet + 4, <uint16_t>(self.timestamp >> 16))
                    store_u16(packet + 6, <uint16_t>self.timestamp)
                    sizes[index] = self.head_size + size
                    if self.sender.keys != NULL:
                        srtp_protect(&self.sender, packet, &sizes[index])
                begun = _spent()
                plane_lock(self.plane.state)
                for index in range(burst):
                    plane_receive(self.plane.state, 0, &self.source, self.packets + index * STRIDE, sizes[index], now)
                plane_timeout(self.plane.state, now)
                while True:
                    count = plane_collect(self.plane.state, now, &out)
                    if count == 0:
                        break
                    self.sent += count
                    plane_unlock(self.plane.state)
                    if self.epoll >= 0:
                        egress_send(&self.egress, self.sockets, 1, out, count, now)
                    plane_lock(self.plane.state)
                plane_unlock(self.plane.state)
                spent += _spent() - begun
                for index in range(self.fd_count):
                    self.received += self.drain.take(self.fds[index], &ignored)
        before = self.plane.state.counters.forwarded_packets - before
        if before == 0:
            raise RuntimeError("the plane forwarded nothing")
        return spent / <double>before, before, self.egress.figures.sent_datagrams, self.egress.figures.sent_messages


@cython.final
cdef class LockProbe:
    """Stands in for a lane that wants the plane all the time: how long did commands keep it waiting?"""

    cdef Plane plane
    cdef volatile int stopping
    cdef readonly int64_t longest
    cdef readonly int64_t over
    cdef readonly int64_t turns

    def __init__(self, Plane plane not None):
        self.plane = plane

    def run(self):
        cdef int64_t begun, waited
        with nogil:
            while not self.stopping:
                begun = _clock()
                plane_lock(self.plane.state)
                waited = _clock() - begun
                plane_unlock(self.plane.state)
                self.turns += 1
                self.longest = max(self.longest, waited)
                self.over += waited > 50000

    def stop(self):
        self.stopping = True

    def take(self):
        found = self.longest, self.over, self.turns
        self.longest = self.over = self.turns = 0
        return found
