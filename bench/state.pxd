# What the native load works on: remote ends, and what one thread needs to play them. Declarations only.
#
# bench.load is Python's face, bench.loop the thread; bench.timers, bench.sending and bench.receiving do its work. Everything
# that is not said to be otherwise is changed with the mutex held.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from bench.arrivals cimport Stream, Transport
from bench.checks cimport Checks
from bench.playout cimport Source
from rtpfwd.srtp cimport SrtpJob, SrtpReceiver, SrtpSession
from rtpfwd.sys_linux cimport *

cdef extern from *:
    """
    #define BENCH_NEVER ((int64_t)1 << 62)
    """
    int64_t NEVER "BENCH_NEVER"     # ns: later than any clock

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
    BURST = 64              # packets protected and sent at once
    BURST_ROOM = 1536       # bytes of each, tag included
    NACK_EVERY = 20 * MS
    FEEDBACK_EVERY = 100 * MS
    REPORT_EVERY = SECOND


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


cdef struct Handed:
    int end
    int size
    uint8_t[HANDED] data


cdef struct Loop:
    End* ends
    int capacity
    uint64_t random
    int epoll
    int wake_fd
    int handoff                 # eventfd: something is in the ring
    int stopping                # set without the mutex
    # Whoever wants the state takes `turn`, then `lock`, then gives `turn` back: so the busy thread can't starve Python.
    pthread_mutex_t turn
    pthread_mutex_t lock
    pthread_mutex_t ring_lock   # of the next four only
    Handed* ring
    uint64_t ring_head          # next to write
    uint64_t ring_tail          # next to read
    uint64_t ring_lost
    Counts left                 # of ends that left
    Counts said                 # what is counted here and not in a stream or source
    int64_t* delays
    int delay_count
    int* heap                   # of ends with something due
    int heap_size
    bint pwait2                 # the kernel knows waits in nanoseconds
    bint gso                    # the kernel cuts messages into datagrams
    uint8_t* buffers            # BATCH of ROOM bytes
    mmsghdr[BATCH] messages
    iovec[BATCH] vectors
    uint8_t[BATCH][CONTROL] controls
    uint8_t[BURST * BURST_ROOM] burst
    SrtpJob[BURST] jobs
    mmsghdr[BURST] sends
    iovec[BURST] send_vectors
    uint8_t[BURST][CONTROL] send_controls


cdef inline int64_t clock_now() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * SECOND + now.tv_nsec


cdef inline uint32_t u16(const uint8_t* data) noexcept nogil:
    return <uint32_t>data[0] << 8 | data[1]


cdef inline uint32_t u32(const uint8_t* data) noexcept nogil:
    return u16(data) << 16 | u16(data + 2)


cdef inline uint32_t ssrc_hash(uint32_t ssrc) noexcept nogil:
    return (ssrc * <uint32_t>2654435761) >> 12


cdef inline void loop_enter(Loop* loop) noexcept nogil:
    pthread_mutex_lock(&loop.turn)
    pthread_mutex_lock(&loop.lock)
    pthread_mutex_unlock(&loop.turn)


cdef inline void loop_leave(Loop* loop) noexcept nogil:
    pthread_mutex_unlock(&loop.lock)


cdef inline void loop_wake(Loop* loop) noexcept nogil:
    cdef uint64_t one = 1
    write(loop.wake_fd, &one, sizeof(one))
