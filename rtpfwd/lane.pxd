# The lane: with egress the only part of rtpfwd that makes system calls. See lane.pyx for who holds which lock when.

from libc.stdint cimport int64_t, uint8_t, uint64_t

from rtpfwd.egress cimport Egress, LaneSocket
from rtpfwd.plane cimport Plane
from rtpfwd.state cimport PlaneState
from rtpfwd.sys_linux cimport iovec, mmsghdr, pthread_mutex_t, sockaddr_in6

cdef enum:
    RECEIVE_BATCH = 32      # messages of one recvmmsg; with GRO a message is many datagrams
    RECEIVE_ROUNDS = 8      # batches taken from one socket before the next socket has its turn
    RECEIVE_SIZE = 65536    # bytes: no UDP message is longer; 2 MiB in all, touched as needed
    RECEIVE_STRIDE = 65728  # from one buffer to the next: not a power of two, so that their first bytes share no cache set
    RECEIVE_CONTROL = 64    # bytes
    FORWARD_AFTER = 64      # datagrams: so many are received at most before they are forwarded
    MAX_SOCKETS = 1024
    NAME_SIZE = 16          # of a thread, with its final 0
    MAX_COALESCE_US = 200
    COALESCE_FEW = 16       # messages: a batch of this many is no beginning of a burst


cdef struct LaneCounters:
    uint64_t wakeups
    uint64_t receive_calls
    uint64_t receive_errors
    uint64_t received_messages      # as the kernel gave them; datagrams that GRO merged are one
    uint64_t received_datagrams
    uint64_t coalesced_wakeups      # after which the lane waited for the rest of a burst
    uint64_t handoff_signals
    uint64_t lane_wakes             # of other lanes, whose planes were given packets
    uint64_t python_send_errors     # datagrams of send() that the kernel refused
    uint64_t lock_waits_over_50us   # times that a command kept the lane from its plane for longer
    uint64_t lock_wait_total_ns     # some 30 ns of each are the reading of the clock
    uint64_t lock_wait_max_ns


cdef class Lane:
    cdef Plane plane                # keeps `state` alive
    cdef PlaneState* state
    cdef readonly int index
    cdef int cpu                    # that run() stays on; -1: any
    cdef int64_t coalesce_ns        # 0: off
    cdef int epoll
    cdef int wake_fd                # eventfd: wake() and stop()
    cdef int handoff                # eventfd: the plane has something for Python
    cdef volatile int stopping
    cdef int running
    cdef bint asleep                # link_sleep was said since the plane was last locked
    cdef pthread_mutex_t turn       # held by the loop while it may use a socket: remove_socket waits for it
    cdef LaneSocket sockets[MAX_SOCKETS]
    cdef int next_socket
    cdef LaneCounters figures
    cdef Egress egress
    # Buffers of the loop, allocated and filled in once; after a call only what the kernel changed is restored.
    cdef uint8_t* receive_data      # RECEIVE_BATCH x RECEIVE_STRIDE
    cdef uint8_t* receive_controls  # RECEIVE_BATCH x RECEIVE_CONTROL
    cdef mmsghdr* receive_messages
    cdef iovec* receive_vectors
    cdef sockaddr_in6* receive_names

    cdef void loop(self) noexcept nogil
    cdef int allocate(self) except -1
    cdef int64_t lock(self) noexcept nogil
    cdef int wait_ms(self, int64_t now) noexcept nogil
    cdef void receive(self, int socket, bint was_idle) noexcept nogil
    cdef int fill(self, LaneSocket* entry, int first) noexcept nogil
    cdef int take(self, int socket, int message, int64_t now) noexcept nogil
    cdef void drain(self, int64_t now) noexcept nogil
    cdef void wake_others(self, uint64_t sleepers) noexcept nogil
