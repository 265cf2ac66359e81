# The plane's look-ups: bounded, open addressing, no memory asked for after they are made. Keys come from the network, so
# the hash is keyed with the plane's seed.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef enum:
    UDP = 0
    TCP = 1
    GENERATION_MASK = 0xfffffff # so that a handle stays a positive 64-bit integer


cdef struct Endpoint:   # an Address; all bytes count when two are compared, so unused ones are 0
    uint8_t protocol    # UDP or TCP
    uint8_t family      # 4 or 6; never an IPv4-mapped IPv6 address
    uint16_t port       # host order
    uint8_t ip[16]      # network order; IPv4 uses the first four


cdef struct AddressEntry:
    Endpoint address
    int32_t socket      # socket id; -1 marks a free entry
    int32_t value


cdef struct AddressTable:
    AddressEntry* entries
    uint32_t mask       # entries - 1
    uint32_t used
    uint32_t limit      # insertions are refused beyond
    uint64_t seed


cdef struct WordEntry:
    uint64_t key
    void* value         # NULL marks a free entry


cdef struct WordTable:  # 64-bit key to pointer. It doubles when it is half full, and each word_put moves a few entries over
    WordEntry* space    # room for every size, one after the other: 2^k entries begin at 2^k; what is untouched takes no memory
    uint32_t size       # entries of the table in use: a power of two
    uint32_t most       # its last size
    uint32_t leaving    # entries of the table before it, while some are still there; 0: none are
    uint32_t left       # the entries of that one below this are free
    uint32_t used
    uint32_t limit
    uint64_t seed


cdef struct Pool:       # slot index to object, with a generation for each slot so that old handles are refused
    void** items        # NULL: free
    uint32_t* generations
    uint32_t* free
    uint32_t free_count
    uint32_t capacity
    uint32_t top        # no slot at or beyond was ever used


cdef inline bint same_endpoint(const Endpoint* a, const Endpoint* b) noexcept nogil:
    # 20 bytes, as words.
    cdef uint64_t x[2]
    cdef uint64_t y[2]
    cdef uint32_t last_x, last_y
    memcpy(x, a, 16)
    memcpy(y, b, 16)
    memcpy(&last_x, <const uint8_t*>a + 16, 4)
    memcpy(&last_y, <const uint8_t*>b + 16, 4)
    return not (x[0] ^ y[0] | x[1] ^ y[1] | last_x ^ last_y)

# 0, or -1 when there is no memory. Limits are entries; the tables are about half full at most.
cdef int address_table_open(AddressTable* table, uint32_t limit, uint64_t seed) noexcept nogil
cdef void address_table_close(AddressTable* table) noexcept nogil
cdef int address_get(const AddressTable* table, int socket, const Endpoint* address) noexcept nogil  # value or -1
cdef int address_put(AddressTable* table, int socket, const Endpoint* address, int value) noexcept nogil  # 0; -1 full
cdef int address_remove(AddressTable* table, int socket, const Endpoint* address) noexcept nogil  # value or -1

cdef int word_table_open(WordTable* table, uint32_t limit, uint64_t seed) noexcept nogil
cdef void word_table_close(WordTable* table) noexcept nogil
cdef void* word_get(const WordTable* table, uint64_t key) noexcept nogil
cdef int word_put(WordTable* table, uint64_t key, void* value) noexcept nogil  # 0; -1 full
cdef void word_remove(WordTable* table, uint64_t key) noexcept nogil

cdef int pool_open(Pool* pool, uint32_t capacity) noexcept nogil
cdef void pool_close(Pool* pool) noexcept nogil
cdef int pool_add(Pool* pool, void* item) noexcept nogil  # slot, or -1 when full
cdef void pool_remove(Pool* pool, uint32_t slot) noexcept nogil
cdef void* pool_get(const Pool* pool, uint32_t slot, uint32_t generation) noexcept nogil  # NULL: stale
