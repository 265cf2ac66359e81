# The lane: the one file of rtpfwd that makes system calls. See lane.pyx for who holds which lock when.

from libc.stdint cimport int64_t, uint8_t, uint64_t

from rtpfwd.plane cimport Plane
from rtpfwd.state cimport Outgoing, PlaneState
from rtpfwd.sys_linux cimport iovec, mmsghdr, pthread_mutex_t, sockaddr_in6

cdef enum:
    RECEIVE_BATCH = 64      # datagrams of one recvmmsg
    RECEIVE_ROUNDS = 4      # batches taken from one socket before the next socket has its turn
    RECEIVE_SIZE = 2048     # bytes; a longer datagram is cut by the kernel and dropped by the plane
    SEND_MESSAGES = 256     # messages of one sendmmsg; with segmentation offload a message is many datagrams
    SEND_DATAGRAMS = 1024   # datagrams of one sendmmsg
    GSO_SEGMENTS = 64       # datagrams of one message: UDP_MAX_SEGMENTS of the oldest kernels
    GSO_BYTES = 65000       # of one message
    CONTROL_SIZE = 24       # bytes: CMSG_SPACE(sizeof(uint16_t))
    MAX_SOCKETS = 1024
    GSO_ERRORS = 64         # refusals in a row after which a socket segments no more


cdef struct LaneSocket:
    int fd          # -1: free
    int ipv6        # the socket is AF_INET6: IPv4 addresses go mapped
    int gso         # UDP_SEGMENT is believed to work
    int gso_errors  # segmented messages refused in a row
    int errors      # receive errors in a row


cdef struct LaneCounters:
    uint64_t wakeups
    uint64_t receive_calls
    uint64_t receive_errors
    uint64_t received_datagrams
    uint64_t send_calls
    uint64_t sent_messages      # a segmented message is one
    uint64_t sent_datagrams
    uint64_t send_errors        # datagrams that the kernel refused
    uint64_t send_would_block   # datagrams dropped because a socket buffer stayed full
    uint64_t gso_fallbacks      # sockets on which segmentation was given up
    uint64_t handoff_signals
    uint64_t python_send_errors # datagrams of send() that the kernel refused


cdef class Lane:
    cdef Plane plane                # keeps `state` alive
    cdef PlaneState* state
    cdef int epoll
    cdef int wake_fd                # eventfd: wake() and stop()
    cdef int handoff                # eventfd: the plane has something for Python
    cdef volatile int stopping
    cdef int running
    cdef pthread_mutex_t turn       # held by the loop while it may use a socket: remove_socket waits for it
    cdef LaneSocket sockets[MAX_SOCKETS]
    cdef int next_socket
    cdef LaneCounters figures
    # Buffers of the loop, allocated once.
    cdef uint8_t* receive_data      # RECEIVE_BATCH x RECEIVE_SIZE
    cdef mmsghdr* receive_messages
    cdef mmsghdr* send_messages
    cdef iovec* receive_vectors
    cdef iovec* send_vectors
    cdef sockaddr_in6* receive_names
    cdef sockaddr_in6* send_names
    cdef uint8_t* send_controls
    cdef int* send_first            # index of the first Outgoing of each message

    cdef void loop(self) noexcept nogil
    cdef int allocate(self) except -1
    cdef int wait_ms(self, int64_t now) noexcept nogil
    cdef void receive(self, int socket) noexcept nogil
    cdef void drain(self, int64_t now) noexcept nogil
    cdef void flush(self, Outgoing* out, int count) noexcept nogil
    cdef int send_run(self, Outgoing* out, int count, int* waited) noexcept nogil
    cdef int build(self, LaneSocket* socket, Outgoing* out, int count, int* taken) noexcept nogil
    cdef void refused_segments(self, LaneSocket* socket, int error) noexcept nogil
    cdef void send_singly(self, LaneSocket* socket, Outgoing* out, int count) noexcept nogil
