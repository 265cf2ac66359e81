"""Packet slots, and the retransmission history of one received SSRC."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from rtpfwd.header cimport rtp_parse_untrusted
from rtpfwd.types cimport DROP_NONE, PacketView

cdef enum:
    LET_GO_PER_STORE = 4        # old packets let go for each new one: bounded, and faster than they come


cdef int slab_init(Slab* slab, int32_t slot_size, int32_t chunk_slots, int32_t max_slots) noexcept nogil:
    cdef int32_t rounded = 1
    while rounded < chunk_slots:
        rounded *= 2
    memset(slab, 0, sizeof(Slab))
    slab.chunk_slots = rounded
    slab.slot_size = slot_size
    slab.max_slots = max_slots
    # These two have their final size at once (untouched pages cost nothing), so that growing never copies them.
    slab.chunks = <uint8_t**>malloc((max_slots // rounded + 1) * sizeof(uint8_t*))
    slab.free_slots = <int32_t*>malloc(max_slots * sizeof(int32_t))
    if slab.chunks == NULL or slab.free_slots == NULL:
        slab_free(slab)
        return -1
    return slab_grow(slab)


cdef void slab_free(Slab* slab) noexcept nogil:
    cdef int32_t i
    for i in range(slab.chunk_count):
        free(slab.chunks[i])
    free(slab.chunks)
    free(slab.free_slots)
    memset(slab, 0, sizeof(Slab))


cdef int slab_grow(Slab* slab) noexcept nogil:
    cdef int32_t i, slots = slab.slot_count + slab.chunk_slots
    cdef void* grown
    if slots > slab.max_slots:
        return -1
    grown = malloc(<size_t>slab.chunk_slots * slab.slot_size)
    if grown == NULL:
        return -1
    slab.chunks[slab.chunk_count] = <uint8_t*>grown
    slab.chunk_count += 1
    for i in range(slab.chunk_slots):
        slab.free_slots[slab.free_count + i] = slots - 1 - i
    slab.free_count += slab.chunk_slots
    slab.slot_count = slots
    return 0


cdef bint slab_wants_growth(const Slab* slab) noexcept nogil:
    return slab.free_count < slab.chunk_slots / 4 and slab.slot_count + slab.chunk_slots <= slab.max_slots


cdef int32_t slab_take(Slab* slab) noexcept nogil:
    if slab.free_count == 0:
        slab.exhausted += 1
        return -1
    slab.free_count -= 1
    return slab.free_slots[slab.free_count]


cdef uint8_t* slab_data(const Slab* slab, int32_t slot) noexcept nogil:
    return slab.chunks[slot / slab.chunk_slots] + <size_t>(slot % slab.chunk_slots) * slab.slot_size


cdef void slab_release(Slab* slab, int32_t slot) noexcept nogil:
    slab.free_slots[slab.free_count] = slot
    slab.free_count += 1


cdef int history_init(History* history, Slab* slab, uint32_t capacity, int64_t max_age) noexcept nogil:
    cdef uint32_t i, rounded = 1
    while rounded < capacity and rounded < 0x8000:
        rounded *= 2
    memset(history, 0, sizeof(History))
    history.ring = <StoredPacket*>malloc(rounded * sizeof(StoredPacket))
    if history.ring == NULL:
        return -1
    history.slab = slab
    history.mask = rounded - 1
    history.max_age = max_age
    history.newest = -1
    for i in range(rounded):
        history.ring[i].slot = -1
    return 0


cdef void history_free(History* history) noexcept nogil:
    if history.ring != NULL:
        history_clear(history)
        free(history.ring)
        history.ring = NULL


cdef inline void _let_go(History* history, StoredPacket* entry) noexcept nogil:
    if entry.slot >= 0:
        slab_release(history.slab, entry.slot)
        entry.slot = -1


cdef void history_clear(History* history) noexcept nogil:
    cdef uint32_t i
    for i in range(history.mask + 1):
        _let_go(history, &history.ring[i])
    history.newest = -1
    history.oldest = 0


cdef void _expire(History* history, int64_t now) noexcept nogil:
    # Lets a few of the oldest go, so that memory follows the bitrate and not the capacity.
    cdef StoredPacket* entry
    cdef int i
    for i in range(LET_GO_PER_STORE):
        if history.oldest >= history.newest:
            return
        entry = &history.ring[history.oldest & history.mask]
        if entry.slot >= 0 and entry.ext_seq == history.oldest:
            if now - entry.arrived <= history.max_age:
                return
            _let_go(history, entry)
        history.oldest += 1


cdef int history_store(History* history, const PacketView* view) noexcept nogil:
    cdef StoredPacket* entry = &history.ring[view.ext_seq & history.mask]
    cdef int32_t size = view.size - view.padding_size
    cdef int32_t slot
    cdef int64_t floor
    cdef uint8_t* data
    if view.ext_seq < 0 or size > history.slab.slot_size:
        return -1
    if history.newest < 0:
        history.oldest = view.ext_seq
        history.newest = view.ext_seq
    if view.ext_seq > history.newest:
        history.newest = view.ext_seq
    elif entry.slot >= 0 and entry.ext_seq >= view.ext_seq:
        return -1               # there already, or its place is taken by a newer one
    floor = history.newest - <int64_t>history.mask
    if view.ext_seq < floor:
        return -1
    # Slots whose place in the ring comes round again are let go there; `oldest` only has to move past them.
    _let_go(history, entry)
    _expire(history, view.arrived)
    if history.oldest < floor:
        history.oldest = floor
    if view.ext_seq < history.oldest:
        history.oldest = view.ext_seq
    slot = slab_take(history.slab)
    if slot < 0:
        return -1
    data = slab_data(history.slab, slot)
    memcpy(data, view.data, size)
    data[0] &= 0xDF             # the padding bit: the padding was left out
    entry.slot = slot
    entry.size = <uint16_t>size
    entry.ext_seq = view.ext_seq
    entry.arrived = view.arrived
    return 0


cdef const StoredPacket* history_find(const History* history, int64_t ext_seq) noexcept nogil:
    cdef const StoredPacket* entry = &history.ring[ext_seq & history.mask]
    if entry.slot < 0 or entry.ext_seq != ext_seq:
        return NULL
    return entry


cdef bint history_view(const History* history, int64_t ext_seq, PacketView* view) noexcept nogil:
    cdef const StoredPacket* entry = history_find(history, ext_seq)
    if entry == NULL:
        return False
    if rtp_parse_untrusted(slab_data(history.slab, entry.slot), entry.size, view) != DROP_NONE:
        return False
    view.ext_seq = entry.ext_seq
    view.arrived = entry.arrived
    return True
