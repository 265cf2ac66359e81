"""The rings between planes by themselves. A native writer and a native reader, as two lanes are, but without their mutexes."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from rtpfwd.atomics cimport load_acquire
from rtpfwd.rings cimport *

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef enum:
    WORDS = 16      # of 8 bytes in each buffer, so that a torn or early read of any line shows


cdef inline uint64_t _word(uint64_t number, int index) noexcept nogil:
    return (number + 1) * 0x9e3779b97f4a7c15ULL + <uint64_t>index


cdef class RingProbe:
    cdef LinkGroup* group
    cdef PacketPool* pool
    cdef Ring* ring

    def __cinit__(self, int packets):
        self.group = link_group_open(2)
        if self.group == NULL or packet_pool_open(&self.group.members[0].pool, packets, WORDS * 8):
            raise MemoryError
        self.pool = &self.group.members[0].pool
        self.ring = self.group.rings[1]

    def __dealloc__(self):
        if self.group != NULL:
            link_group_free(self.group)

    def write(self, uint64_t count):
        cdef uint64_t total
        with nogil:
            total = self._write(count)
        return total

    cdef uint64_t _write(self, uint64_t count) noexcept nogil:
        cdef uint64_t number = 0
        cdef uint64_t total = 0
        cdef LinkEntry* entry
        cdef Packet* packet
        cdef int index
        while number < count:
            packet = packet_take(self.pool)
            if packet == NULL:
                ring_reclaim(self.ring, self.pool, load_acquire(&self.ring.read))
                packet = packet_take(self.pool)
            entry = ring_slot(self.ring, self.pool) if packet != NULL else NULL
            if entry == NULL:
                if packet != NULL:
                    packet_let_go(self.pool, packet)
                sched_yield()
                continue
            for index in range(WORDS):
                (<uint64_t*>packet.data)[index] = _word(number, index)
            total += _word(number, WORDS - 1)
            entry.packet = packet
            entry.at = <int64_t>number
            ring_commit(self.ring)
            number += 1
        return total

    def read(self, uint64_t count, uint32_t batch):
        cdef uint64_t total = 0
        cdef uint64_t wrong
        with nogil:
            wrong = self._read(count, batch, &total)
        return total, wrong

    cdef uint64_t _read(self, uint64_t count, uint32_t batch, uint64_t* total) noexcept nogil:
        cdef uint64_t number = 0
        cdef uint64_t wrong = 0
        cdef const LinkEntry* entry
        cdef int index
        while number < count:
            entry = ring_front(self.ring)
            if entry == NULL:
                ring_done(self.ring)
                sched_yield()
                continue
            if entry.at != <int64_t>number:
                wrong += 1
            for index in range(WORDS):
                if (<const uint64_t*>entry.packet.data)[index] != _word(number, index):
                    wrong += 1
            total[0] += (<const uint64_t*>entry.packet.data)[WORDS - 1]
            self.ring.taken += 1
            number += 1
            if self.ring.taken - self.ring.read >= batch:
                ring_done(self.ring)
        ring_done(self.ring)
        return wrong

    def free(self):
        ring_reclaim(self.ring, self.pool, load_acquire(&self.ring.read))
        return self.pool.free_count
