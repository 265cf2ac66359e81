"""Opening and freeing what linked planes share. The operations themselves are inline, in rings.pxd."""

from libc.stdlib cimport calloc, free
from libc.string cimport memset

from rtpfwd.sys_linux cimport pthread_mutex_destroy, pthread_mutex_init

cdef extern from "<stdlib.h>" nogil:
    void* aligned_alloc(size_t alignment, size_t size)


cdef int packet_pool_open(PacketPool* pool, int32_t count, int32_t packet_size) noexcept nogil:
    cdef int32_t index
    memset(pool, 0, sizeof(PacketPool))
    pool.packets = <Packet*>calloc(count, sizeof(Packet))
    pool.data = <uint8_t*>calloc(count, packet_size)
    pool.references = <int32_t*>calloc(count, sizeof(int32_t))
    pool.free = <Packet**>calloc(count, sizeof(Packet*))
    if pool.packets == NULL or pool.data == NULL or pool.references == NULL or pool.free == NULL:
        packet_pool_close(pool)
        return -1
    pool.count = count
    pool.packet_size = packet_size
    # The first ones are on top of the stack, so that memory is touched only as deep as it is used.
    for index in range(count):
        pool.packets[index].index = index
        pool.packets[index].data = pool.data + <size_t>index * packet_size
        pool.free[count - 1 - index] = &pool.packets[index]
    pool.free_count = count
    return 0


cdef void packet_pool_close(PacketPool* pool) noexcept nogil:
    free(pool.packets)
    free(pool.data)
    free(pool.references)
    free(pool.free)
    memset(pool, 0, sizeof(PacketPool))


cdef LinkGroup* link_group_open(int count) noexcept nogil:
    cdef LinkGroup* group = <LinkGroup*>calloc(1, sizeof(LinkGroup))
    cdef Ring* ring
    cdef int index
    if group == NULL:
        return NULL
    pthread_mutex_init(&group.mutex, NULL)
    group.members = <Member*>calloc(count, sizeof(Member))
    group.rings = <Ring**>calloc(count * count, sizeof(Ring*))
    if group.members == NULL or group.rings == NULL:
        link_group_free(group)
        return NULL
    group.count = count
    for index in range(count):
        pthread_mutex_init(&group.members[index].wake, NULL)
        group.members[index].wake_fd = -1
    for index in range(count * count):
        if index // count != index % count:
            ring = <Ring*>aligned_alloc(CACHE_LINE, sizeof(Ring))
            if ring == NULL:
                link_group_free(group)
                return NULL
            # The entries are written before they are read, so their pages stay untouched until then.
            ring.written = ring.released = ring.read = ring.taken = 0
            group.rings[index] = ring
    return group


cdef void link_group_free(LinkGroup* group) noexcept nogil:
    cdef int index
    for index in range(group.count):
        packet_pool_close(&group.members[index].pool)
        pthread_mutex_destroy(&group.members[index].wake)
    for index in range(group.count * group.count):
        free(group.rings[index])
    free(group.rings)
    free(group.members)
    pthread_mutex_destroy(&group.mutex)
    free(group)
