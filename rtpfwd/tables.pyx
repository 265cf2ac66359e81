"""Bounded look-ups: linear probing, deletion by shifting back, so that no tombstones gather."""

from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

cdef enum:
    FIRST_WORDS = 1024      # entries of a WordTable that is new: 16 KiB
    MOVES_PER_PUT = 16      # entries looked at for each new one while it grows


cdef inline uint64_t _mix(uint64_t value, uint64_t seed) noexcept nogil:
    value ^= seed
    value = (value ^ (value >> 33)) * 0xff51afd7ed558ccdULL
    value = (value ^ (value >> 33)) * (seed | 1)
    return value ^ (value >> 29)


cdef uint32_t _entries(uint32_t limit) noexcept nogil:
    cdef uint32_t entries = 16
    while entries < 2 * limit:
        entries *= 2
    return entries


cdef inline uint32_t _address_home(const AddressTable* table, int socket, const Endpoint* address) noexcept nogil:
    cdef uint64_t words[3]
    cdef uint64_t number = <uint64_t>socket
    words[2] = 0
    memcpy(words, address, sizeof(Endpoint))
    words[2] ^= number << 32
    number = _mix(words[1] ^ _mix(words[0], table.seed), table.seed)
    return <uint32_t>_mix(words[2] ^ number, table.seed) & table.mask


cdef int address_table_open(AddressTable* table, uint32_t limit, uint64_t seed) noexcept nogil:
    cdef uint32_t entries = _entries(limit)
    cdef uint32_t index
    table.entries = <AddressEntry*>calloc(entries, sizeof(AddressEntry))
    if table.entries == NULL:
        return -1
    for index in range(entries):
        table.entries[index].socket = -1
    table.mask = entries - 1
    table.used = 0
    table.limit = limit
    table.seed = seed
    return 0


cdef void address_table_close(AddressTable* table) noexcept nogil:
    free(table.entries)
    table.entries = NULL


cdef uint32_t _address_find(const AddressTable* table, int socket, const Endpoint* address) noexcept nogil:
    """The entry that holds the key, or the free one where it would go."""
    cdef uint32_t index = _address_home(table, socket, address)
    while table.entries[index].socket != -1:
        if table.entries[index].socket == socket and same_endpoint(&table.entries[index].address, address):
            break
        index = (index + 1) & table.mask
    return index


cdef int address_get(const AddressTable* table, int socket, const Endpoint* address) noexcept nogil:
    cdef uint32_t index
    if socket < 0:
        return -1
    index = _address_find(table, socket, address)
    return -1 if table.entries[index].socket == -1 else table.entries[index].value


cdef int address_put(AddressTable* table, int socket, const Endpoint* address, int value) noexcept nogil:
    cdef uint32_t index = _address_find(table, socket, address)
    cdef AddressEntry* entry = &table.entries[index]
    if entry.socket == -1:
        if table.used >= table.limit:
            return -1
        table.used += 1
        entry.socket = socket
        entry.address = address[0]
    entry.value = value
    return 0


cdef void _address_delete(AddressTable* table, uint32_t hole) noexcept nogil:
    cdef uint32_t index = hole
    cdef uint32_t home
    table.used -= 1
    while True:
        index = (index + 1) & table.mask
        if table.entries[index].socket == -1:
            break
        home = _address_home(table, table.entries[index].socket, &table.entries[index].address)
        if ((index - home) & table.mask) >= ((index - hole) & table.mask):
            table.entries[hole] = table.entries[index]
            hole = index
    table.entries[hole].socket = -1


cdef int address_remove(AddressTable* table, int socket, const Endpoint* address) noexcept nogil:
    cdef uint32_t index
    cdef int value
    if socket < 0:
        return -1
    index = _address_find(table, socket, address)
    if table.entries[index].socket == -1:
        return -1
    value = table.entries[index].value
    _address_delete(table, index)
    return value


cdef int word_table_open(WordTable* table, uint32_t limit, uint64_t seed) noexcept nogil:
    table.most = _entries(limit)
    table.space = <WordEntry*>calloc(2 * <size_t>table.most, sizeof(WordEntry))
    if table.space == NULL:
        return -1
    table.size = min(table.most, <uint32_t>FIRST_WORDS)
    table.leaving = 0
    table.left = 0
    table.used = 0
    table.limit = limit
    table.seed = seed
    return 0


cdef void word_table_close(WordTable* table) noexcept nogil:
    free(table.space)
    table.space = NULL


cdef inline uint32_t _word_home(const WordTable* table, uint32_t size, uint64_t key) noexcept nogil:
    return <uint32_t>_mix(key, table.seed) & (size - 1)


cdef inline WordEntry* _word_find(const WordTable* table, uint32_t size, uint64_t key) noexcept nogil:
    """The entry of the table of that size that holds the key, or the free one where it would go."""
    cdef WordEntry* entries = table.space + size
    cdef uint32_t index = _word_home(table, size, key)
    while entries[index].value != NULL and entries[index].key != key:
        index = (index + 1) & (size - 1)
    return &entries[index]


cdef void _word_delete(const WordTable* table, uint32_t size, WordEntry* entry) noexcept nogil:
    cdef WordEntry* entries = table.space + size
    cdef uint32_t hole = <uint32_t>(entry - entries)
    cdef uint32_t index = hole
    cdef uint32_t home
    while True:
        index = (index + 1) & (size - 1)
        if entries[index].value == NULL:
            break
        home = _word_home(table, size, entries[index].key)
        if ((index - home) & (size - 1)) >= ((index - hole) & (size - 1)):
            entries[hole] = entries[index]
            hole = index
    entries[hole].value = NULL


cdef void _word_move_some(WordTable* table) noexcept nogil:
    """A few entries of the table before: all of them are over long before this one is half full."""
    cdef WordEntry* entry
    cdef int step
    for step in range(MOVES_PER_PUT):
        if table.left == table.leaving:
            table.leaving = 0
            return
        entry = table.space + table.leaving + table.left
        if entry.value == NULL:
            table.left += 1
        else:
            _word_find(table, table.size, entry.key)[0] = entry[0]
            _word_delete(table, table.leaving, entry)


cdef void* word_get(const WordTable* table, uint64_t key) noexcept nogil:
    cdef void* value = _word_find(table, table.size, key).value
    if value == NULL and table.leaving:
        value = _word_find(table, table.leaving, key).value
    return value


cdef int word_put(WordTable* table, uint64_t key, void* value) noexcept nogil:
    cdef WordEntry* entry
    word_remove(table, key)
    if table.used >= table.limit:
        return -1
    if table.leaving:
        _word_move_some(table)
    elif 2 * table.used >= table.size and table.size < table.most:
        table.leaving = table.size
        table.left = 0
        table.size *= 2
    entry = _word_find(table, table.size, key)
    entry.key = key
    entry.value = value
    table.used += 1
    return 0


cdef void word_remove(WordTable* table, uint64_t key) noexcept nogil:
    cdef uint32_t size = table.size
    cdef WordEntry* entry = _word_find(table, size, key)
    if entry.value == NULL and table.leaving:
        size = table.leaving
        entry = _word_find(table, size, key)
    if entry.value != NULL:
        table.used -= 1
        _word_delete(table, size, entry)


cdef int pool_open(Pool* pool, uint32_t capacity) noexcept nogil:
    pool.items = <void**>calloc(capacity, sizeof(void*))
    pool.generations = <uint32_t*>calloc(capacity, sizeof(uint32_t))
    pool.free = <uint32_t*>malloc(capacity * sizeof(uint32_t))
    pool.free_count = 0
    pool.capacity = capacity
    pool.top = 0
    if pool.items == NULL or pool.generations == NULL or pool.free == NULL:
        pool_close(pool)
        return -1
    return 0


cdef void pool_close(Pool* pool) noexcept nogil:
    free(pool.items)
    free(pool.generations)
    free(pool.free)
    pool.items = NULL
    pool.generations = NULL
    pool.free = NULL


cdef int pool_add(Pool* pool, void* item) noexcept nogil:
    cdef uint32_t slot
    if pool.free_count:
        pool.free_count -= 1
        slot = pool.free[pool.free_count]
    elif pool.top < pool.capacity:
        slot = pool.top
        pool.top += 1
    else:
        return -1
    pool.items[slot] = item
    return <int>slot


cdef void pool_remove(Pool* pool, uint32_t slot) noexcept nogil:
    pool.items[slot] = NULL
    pool.generations[slot] = (pool.generations[slot] + 1) & GENERATION_MASK
    pool.free[pool.free_count] = slot
    pool.free_count += 1


cdef void* pool_get(const Pool* pool, uint32_t slot, uint32_t generation) noexcept nogil:
    if slot >= pool.top or pool.generations[slot] != generation:
        return NULL
    return pool.items[slot]
