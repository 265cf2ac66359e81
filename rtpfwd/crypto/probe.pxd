# What the two probes share: random bytes, fences around buffers, the clock.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from *:
    """
    #if defined(__x86_64__)
    #include <x86intrin.h>
    static inline uint64_t cycles_now(void) { return __rdtsc(); }
    #else
    static inline uint64_t cycles_now(void) { return 0; }
    #endif
    """
    uint64_t cycles_now() noexcept nogil

cdef uint32_t below(uint64_t* state, uint32_t bound) noexcept nogil
cdef void fill(uint64_t* state, uint8_t* out, int size) noexcept nogil
cdef bint untouched(const uint8_t* data, int start, int end) noexcept nogil     # since it was filled with CANARY

cdef enum:
    CANARY = 0xA7


cdef class Fenced:              # three pages with no access before and behind them
    cdef uint8_t* base

    cdef uint8_t* place(self, int size, bint at_end) noexcept nogil     # `size` bytes that end, or begin, at a fence
    cdef void seal(self, bint writable) noexcept nogil
