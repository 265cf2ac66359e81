"""Python face of the table of streams, for tests. No production code imports it."""

from libc.stdint cimport uint32_t, uint64_t

from rtpfwd.tables cimport WordTable, word_get, word_put, word_remove, word_table_close, word_table_open


cdef class Words:
    cdef WordTable table

    def __cinit__(self, uint32_t limit, uint64_t seed):
        if word_table_open(&self.table, limit, seed):
            raise MemoryError

    def __dealloc__(self):
        word_table_close(&self.table)

    @property
    def size(self):
        return self.table.size

    @property
    def leaving(self):
        return self.table.leaving

    @property
    def used(self):
        return self.table.used

    def put(self, uint64_t key, uint64_t value):
        return word_put(&self.table, key, <void*>value) == 0

    def get(self, uint64_t key):
        return <uint64_t>word_get(&self.table, key)

    def remove(self, uint64_t key):
        word_remove(&self.table, key)
