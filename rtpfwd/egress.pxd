# The sending half of a lane: datagrams of the plane to messages of the kernel, and what happens when it refuses them.
# Everything here runs in the lane's thread, under `turn` and without the plane's lock.

from libc.stdint cimport int64_t, uint8_t, uint64_t

from rtpfwd.backlog cimport Backlog, Line
from rtpfwd.state cimport Outgoing
from rtpfwd.sys_linux cimport iovec, mmsghdr, sockaddr_in6
from rtpfwd.tables cimport Endpoint

cdef enum:
    SEND_DATAGRAMS = 512    # of one sendmmsg, and so the most messages: without segmentation a message is one datagram
    GSO_SEGMENTS = 64       # datagrams of one message that every kernel with UDP_SEGMENT takes
    GSO_SEGMENTS_NEW = 128  # that newer ones take; found out once for each lane
    GSO_BYTES = 65000       # of one message
    SEND_CONTROL = 24       # bytes: CMSG_SPACE(sizeof(uint16_t))
    GSO_ERRORS = 64         # refusals in a row after which a socket segments no more
    SMALL_PATHS = 64        # destinations remembered because their path is narrower than what was to be segmented
    SMALL_PATH_S = 60       # for so long


cdef struct LaneSocket:
    int fd          # -1: free
    int number      # its socket id
    int ipv6        # the socket is AF_INET6: IPv4 addresses go mapped
    int gro         # UDP_GRO is on
    int gso         # UDP_SEGMENT is believed to work
    int gso_errors  # segmented messages refused in a row
    int errors      # receive errors in a row
    Line waiting    # what the kernel could not take yet; while there is any, EPOLLOUT is asked for


cdef struct SmallPath:
    Endpoint to
    int segment     # bytes: this and more is not segmented; 0: free
    int64_t until   # ns


cdef struct EgressCounters:
    uint64_t send_calls
    uint64_t sent_messages      # a segmented message is one
    uint64_t sent_datagrams
    uint64_t send_errors        # datagrams that the kernel refused, for any reason but a full socket buffer
    uint64_t send_forbidden     # of them: EPERM or EACCES, a firewall's
    uint64_t send_too_long      # of them: EMSGSIZE, longer than their path takes
    uint64_t send_no_buffers    # of them: ENOBUFS or ENOMEM, a full device queue
    uint64_t send_would_block   # times that a socket's buffer was found full
    uint64_t send_delayed       # datagrams that had to wait for room in a socket's buffer
    uint64_t gso_fallbacks      # sockets on which segmentation was given up
    uint64_t gso_small_paths    # times that a destination was found whose path is too narrow for segments of a size


cdef struct Egress:
    int epoll
    int max_segments
    Outgoing** items        # SEND_DATAGRAMS: what the messages under construction hold
    mmsghdr* messages
    iovec* vectors
    sockaddr_in6* names
    uint8_t* controls
    int* first              # index into items of the first datagram of each message
    Backlog backlog
    SmallPath paths[SMALL_PATHS]    # by a hash of the destination; a newer one takes the place
    int64_t paths_until     # ns: then every one of them is out of date
    EgressCounters figures


cdef int egress_open(Egress* e, int epoll) noexcept nogil       # 0, or -1 when there is no memory
cdef void egress_close(Egress* e) noexcept nogil
# Whether a new socket can segment.
cdef bint egress_can_segment(int fd) noexcept nogil
# Send these, in order; what their sockets can't take yet is copied to the backlog. Sockets are looked up in `sockets`, by id.
cdef void egress_send(Egress* e, LaneSocket* sockets, int socket_count, Outgoing* out, int count, int64_t now) noexcept nogil
# There is room in the socket's buffer again.
cdef void egress_resume(Egress* e, LaneSocket* socket, int64_t now) noexcept nogil
# The socket goes away: what waits for it is dropped.
cdef void egress_forget(Egress* e, LaneSocket* socket) noexcept nogil
