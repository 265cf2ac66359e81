# What linked planes share: buffers that hold received packets, and rings of references to them from one plane to another.
#
# A pool belongs to one plane: its counts change only under that plane's mutex, so they are plain integers. A ring has one
# writing plane and one reading plane, each under its own mutex. The reader never counts references: when it is done with
# entries it moves `read` past them, and the writer lets go of what lies behind.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from rtpfwd.atomics cimport load_acquire, store_release
from rtpfwd.sys_linux cimport pthread_mutex_t
from rtpfwd.types cimport PacketView

cdef enum:
    LINK_SLOTS = 1024       # entries of one ring, a power of two
    MAX_LINKED = 64         # planes joined: bits of PlaneState.link_wake
    CACHE_LINE = 64         # bytes


cdef struct Packet:         # one received packet in the clear; nobody writes to it once it went into a ring
    PacketView view
    uint8_t* data           # the bytes that view points into
    uint32_t index          # in its pool
    uint8_t padding         # bytes of RTP padding written behind the payload, so that its frame is of equal sizes


cdef struct PacketPool:
    Packet* packets
    uint8_t* data
    int32_t* references     # by Packet.index; 0: free. Not beside the packets, which another core may be reading
    Packet** free           # stack
    int32_t count
    int32_t free_count
    int32_t packet_size     # bytes of each Packet.data


cdef enum EntryKind:
    # From the plane that receives a producer to one that mirrors it.
    LINK_PACKET = 1
    LINK_FACTS = 2          # of one encoding: its SSRC, and its last sender report
    LINK_BEGIN_ANEW = 3     # the sender began anew or was resumed: every viewer joins again
    LINK_RESENT = 4         # the answer to LINK_RESEND; without a packet: not kept
    # Back.
    LINK_KEYFRAME = 5
    LINK_RESEND = 6         # one packet of the history for one consumer


cdef struct LinkFacts:
    uint64_t ntp            # these as in RecvStream
    int64_t arrived
    uint32_t rtp
    uint32_t packets
    uint32_t octets
    uint32_t has_sr


cdef struct LinkResend:
    uint32_t in_seq         # low 32 bits of the packet's ext_seq
    uint32_t consumer       # slot and generation of who wants it, at the plane that asks
    uint32_t generation


cdef union LinkBody:
    LinkFacts facts         # LINK_FACTS
    LinkResend resend       # LINK_RESEND, LINK_RESENT


cdef struct LinkEntry:      # one cache line
    Packet* packet          # LINK_PACKET, LINK_RESENT: a reference, held while the entry is not read
    int64_t at              # ns when it was written
    uint32_t slot           # and generation of the producer meant, at the reader
    uint32_t generation
    uint32_t ssrc           # LINK_FACTS; 0: none yet
    uint16_t seq            # LINK_RESEND, LINK_RESENT: the number under which the consumer sent it
    uint8_t kind
    uint8_t encoding
    LinkBody body


cdef struct Ring:           # positions only grow, modulo 2**32
    # The writer's.
    uint32_t written        # entries below are whole; stored with release
    uint32_t released       # entries below hold no reference any more
    uint8_t writers_line[56]
    # The reader's.
    uint32_t read           # the writer may use entries below again; stored with release
    uint32_t taken          # entries below are being worked on
    uint8_t readers_line[56]
    LinkEntry entries[LINK_SLOTS]


cdef struct Member:         # one plane of a group
    void* state             # PlaneState*; NULL: closed. Under the group's mutex
    uint32_t closed         # atomic: it reads nothing any more
    uint32_t sleeping       # atomic: its lane waits, or is about to, and wants to be woken
    pthread_mutex_t wake    # of wake_fd, so that nobody writes to one that was closed
    int wake_fd             # its lane's eventfd; -1: none
    PacketPool pool         # of its received packets; others may read them after it closed
    uint8_t last_line[CACHE_LINE]


cdef struct LinkGroup:      # freed with its last plane
    pthread_mutex_t mutex   # of Member.state and open_planes; taken before any plane's mutex, never after
    int count
    int open_planes
    Member* members
    Ring** rings            # from * count + to; NULL from a plane to itself


cdef int packet_pool_open(PacketPool* pool, int32_t count, int32_t packet_size) noexcept nogil  # -1: no memory
cdef void packet_pool_close(PacketPool* pool) noexcept nogil

cdef LinkGroup* link_group_open(int count) noexcept nogil   # NULL: no memory
cdef void link_group_free(LinkGroup* group) noexcept nogil


cdef inline Packet* packet_take(PacketPool* pool) noexcept nogil:
    # One with one reference, or NULL.
    cdef Packet* packet
    if pool.free_count == 0:
        return NULL
    pool.free_count -= 1
    packet = pool.free[pool.free_count]
    pool.references[packet.index] = 1
    return packet

cdef inline void packet_let_go(PacketPool* pool, Packet* packet) noexcept nogil:
    pool.references[packet.index] -= 1
    if pool.references[packet.index] == 0:
        pool.free[pool.free_count] = packet
        pool.free_count += 1

# The writer's. ring_reclaim lets go of what the reader is done with; ring_slot is where to write the next entry, or NULL: full.
cdef inline void ring_reclaim(Ring* ring, PacketPool* pool, uint32_t read) noexcept nogil:
    cdef LinkEntry* entry
    while ring.released != read:
        entry = &ring.entries[ring.released & (LINK_SLOTS - 1)]
        if entry.packet != NULL:
            packet_let_go(pool, entry.packet)
        ring.released += 1

cdef inline LinkEntry* ring_slot(Ring* ring, PacketPool* pool) noexcept nogil:
    if ring.written - ring.released >= LINK_SLOTS:
        ring_reclaim(ring, pool, load_acquire(&ring.read))
        if ring.written - ring.released >= LINK_SLOTS:
            return NULL
    return &ring.entries[ring.written & (LINK_SLOTS - 1)]

cdef inline void ring_commit(Ring* ring) noexcept nogil:
    store_release(&ring.written, ring.written + 1)

# The reader's. ring_front: the next entry not taken, or NULL; ring_done: everything taken is done with.
cdef inline LinkEntry* ring_front(Ring* ring) noexcept nogil:
    if load_acquire(&ring.written) == ring.taken:
        return NULL
    return &ring.entries[ring.taken & (LINK_SLOTS - 1)]

cdef inline void ring_done(Ring* ring) noexcept nogil:
    if ring.read != ring.taken:
        store_release(&ring.read, ring.taken)
