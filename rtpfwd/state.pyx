"""Opening, closing and locking the state of one plane."""

from libc.stdint cimport INT64_MAX
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from rtpfwd.rings cimport Packet, packet_let_go, packet_pool_close, packet_pool_open, ring_done
from rtpfwd.slab cimport slab_free, slab_grow, slab_init
from rtpfwd.sys_linux cimport pthread_mutex_destroy, pthread_mutex_init, pthread_mutex_lock, pthread_mutex_unlock
from rtpfwd.tables cimport address_table_close, address_table_open, pool_close, pool_open, word_table_close, word_table_open

cdef enum:
    STORED_SIZE = 1536      # bytes of a packet that can be kept for retransmission
    CHUNK_SLOTS = 1024      # 1.5 MiB a chunk
    MAX_STORED = 131072     # packets kept by the whole plane


cdef int _queue_open(Queue* queue, uint32_t capacity) noexcept nogil:
    cdef uint32_t index
    queue.items = <Queued*>calloc(capacity, sizeof(Queued))
    queue.data = <uint8_t*>calloc(capacity, DATAGRAM_SIZE)
    if queue.items == NULL or queue.data == NULL:
        return -1
    for index in range(capacity):
        queue.items[index].data = queue.data + <size_t>index * DATAGRAM_SIZE
    queue.capacity = capacity
    return 0


cdef int _buffers_open(PlaneState* s) noexcept nogil:
    s.pending = <Pending*>calloc(PENDING_SLOTS, sizeof(Pending))
    s.areas[0] = <Outgoing*>calloc(OUT_SLOTS, sizeof(Outgoing))
    s.areas[1] = <Outgoing*>calloc(OUT_SLOTS, sizeof(Outgoing))
    s.area_data = <uint8_t*>calloc(2 * OUT_SLOTS, DATAGRAM_SIZE)
    if s.pending == NULL or s.areas[0] == NULL or s.areas[1] == NULL or s.area_data == NULL:
        return -1
    if packet_pool_open(&s.own_packets, PENDING_SLOTS, DATAGRAM_SIZE):
        return -1
    s.packets = &s.own_packets
    s.out_at = s.area_data
    return 0 if _queue_open(&s.fifo, FIFO_SLOTS) == 0 and _queue_open(&s.handoff, HANDOFF_SLOTS) == 0 else -1


cdef PlaneState* plane_open(uint32_t max_transports, uint32_t max_streams, uint64_t seed) noexcept nogil:
    cdef PlaneState* s = <PlaneState*>calloc(1, sizeof(PlaneState))
    cdef int index
    cdef uint32_t slot
    if s == NULL:
        return NULL
    pthread_mutex_init(&s.mutex, NULL)
    pthread_mutex_init(&s.gate, NULL)
    s.random = seed
    s.max_streams = max_streams
    s.due = -1
    s.dues = <int64_t*>calloc(max_transports + 1, sizeof(int64_t))
    s.link_transport.slot = max_transports
    s.fan_first = -1
    s.wake_fd = -1
    for index in range(ANY_SOCKETS):
        s.any_sockets[index] = -1
    seed = (<uint64_t>next_random(s) << 32) | next_random(s)
    if (
        s.dues == NULL
        or slab_init(&s.slab, STORED_SIZE, CHUNK_SLOTS, MAX_STORED)
        or slab_grow(&s.slab)
        or pool_open(&s.transports, max_transports)
        or pool_open(&s.producers, max_streams)
        or pool_open(&s.consumers, max_streams)
        or address_table_open(&s.addresses, 4 * max_transports, seed)
        # Every stream may have a retransmission SSRC beside its own, every transport a feedback SSRC.
        or word_table_open(&s.streams, 2 * max_streams + max_transports, seed)
        or _buffers_open(s)
    ):
        plane_close(s)
        return NULL
    for slot in range(max_transports + 1):
        s.dues[slot] = INT64_MAX
    return s


cdef void plane_close(PlaneState* s) noexcept nogil:
    cdef uint32_t index
    for index in range(s.event_count):
        free(s.events[(s.event_first + index) % EVENT_SLOTS].body)
    slab_free(&s.slab)
    pool_close(&s.transports)
    pool_close(&s.producers)
    pool_close(&s.consumers)
    address_table_close(&s.addresses)
    word_table_close(&s.streams)
    free(s.dues)
    free(s.pending)
    packet_pool_close(&s.own_packets)
    free(s.areas[0])
    free(s.areas[1])
    free(s.area_data)
    free(s.fifo.items)
    free(s.fifo.data)
    free(s.handoff.items)
    free(s.handoff.data)
    pthread_mutex_destroy(&s.mutex)
    pthread_mutex_destroy(&s.gate)
    free(s)


cdef void plane_lock(PlaneState* s) noexcept nogil:
    pthread_mutex_lock(&s.gate)
    pthread_mutex_lock(&s.mutex)
    pthread_mutex_unlock(&s.gate)


cdef void plane_unlock(PlaneState* s) noexcept nogil:
    pthread_mutex_unlock(&s.mutex)


cdef void append_pending(PlaneState* s) noexcept nogil:
    cdef int index = s.pending_count
    cdef Pending* pending = &s.pending[index]
    cdef Producer* p = pending.encoding.producer
    s.pending_count += 1
    pending.next = -1
    if p.pending_first < 0:
        p.pending_first = index
        s.dirty[s.dirty_count] = p
        s.dirty_count += 1
    else:
        s.pending[p.pending_last].next = index
    p.pending_last = index


cdef void clear_pending(PlaneState* s) noexcept nogil:
    cdef uint32_t other
    cdef int index
    for index in range(s.pending_count):
        if not s.pending[index].linked:
            packet_let_go(s.packets, s.pending[index].packet)
    s.pending_count = 0
    s.shared_count = 0
    s.fan_index = 0
    s.dirty_count = 0
    if s.group != NULL:
        for other in range(<uint32_t>s.group.count):
            if other != s.link_index:
                ring_done(s.group.rings[other * s.group.count + s.link_index])


cdef uint32_t next_random(PlaneState* s) noexcept nogil:
    """splitmix64: for SSRCs, first sequence numbers and the spread of report times. Not for secrets."""
    cdef uint64_t word
    s.random += 0x9e3779b97f4a7c15ULL
    word = s.random
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9ULL
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebULL
    return <uint32_t>((word ^ (word >> 31)) >> 16)


cdef void drop_from(PlaneState* s, Transport* t, int reason) noexcept nogil:
    s.drops[reason] += 1
    t.dropped += 1


cdef void begin_reports(PlaneState* s, Transport* t, int64_t now) noexcept nogil:
    t.next_report = on_report_tick(now + <int64_t>(next_random(s) % REPORT_MS) * MS)
    schedule(s, t, t.next_report)
