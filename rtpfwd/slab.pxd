# Preallocated packet slots, and the retransmission history of one received SSRC.
#
# A slab belongs to one plane and is used under its lock. slab_take never allocates; slab_grow does, and is called
# outside the packet path (when a stream is added, or from a timer when slab_wants_growth). With no free slot a packet
# is merely not kept.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from rtpfwd.types cimport PacketView

cdef struct Slab:
    uint8_t** chunks            # each chunk_slots * slot_size bytes
    int32_t chunk_count
    int32_t chunk_slots         # slots of one chunk, a power of two
    int32_t slot_size           # bytes of one slot
    int32_t max_slots           # growth ends here
    int32_t* free_slots         # stack of free slots
    int32_t free_count
    int32_t slot_count          # slots that exist
    uint64_t exhausted          # times that slab_take found none

# -1: no memory.
cdef int slab_init(Slab* slab, int32_t slot_size, int32_t chunk_slots, int32_t max_slots) noexcept nogil
cdef void slab_free(Slab* slab) noexcept nogil                          # every slot must have been let go
cdef int slab_grow(Slab* slab) noexcept nogil                           # one chunk more; -1: limit or no memory
cdef bint slab_wants_growth(const Slab* slab) noexcept nogil            # under a quarter of a chunk is free, and it may
cdef int32_t slab_take(Slab* slab) noexcept nogil                       # a slot, or -1
cdef uint8_t* slab_data(const Slab* slab, int32_t slot) noexcept nogil
cdef void slab_release(Slab* slab, int32_t slot) noexcept nogil         # a slot that slab_take gave, once

cdef struct StoredPacket:
    int32_t slot                # -1 = nothing here
    uint16_t size               # bytes in the slot: header and payload, padding removed
    int64_t ext_seq
    int64_t arrived             # ns

cdef struct History:            # of one received SSRC; decrypted packets; kept once however many consumers there are
    Slab* slab
    StoredPacket* ring          # at ext_seq & mask
    uint32_t mask               # capacity - 1
    int64_t newest              # highest ext_seq stored; -1 = none
    int64_t oldest              # nothing below it is stored
    int64_t max_age             # ns; what is older is let go as new packets come

# capacity: packets, rounded up to a power of two. -1: no memory.
cdef int history_init(History* history, Slab* slab, uint32_t capacity, int64_t max_age) noexcept nogil
cdef void history_free(History* history) noexcept nogil                 # lets every slot go
cdef void history_clear(History* history) noexcept nogil
# Copies the packet in. 0, or -1 when it was not kept: no slot, larger than one, too old, or there already.
cdef int history_store(History* history, const PacketView* view) noexcept nogil
# NULL: not here.
cdef const StoredPacket* history_find(const History* history, int64_t ext_seq) noexcept nogil
# The whole ext_seq of a packet of which only the low 32 bits are known, and that is not newer than the newest stored.
cdef inline int64_t history_widen(const History* history, uint32_t seq) noexcept nogil:
    return history.newest - <int64_t>(<uint32_t>history.newest - seq)
# Parses a stored packet again, with arrived and ext_seq set. False: not here. Valid until the next store or clear.
cdef bint history_view(const History* history, int64_t ext_seq, PacketView* view) noexcept nogil
