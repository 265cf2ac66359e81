# The few atomic operations that two lanes need between them: C11's, as GCC and Clang spell them for plain integers.

from libc.stdint cimport uint32_t

cdef extern from *:
    """
    #ifndef RTPFWD_ATOMICS
    #define RTPFWD_ATOMICS
    #include <stdint.h>
    static inline uint32_t load_acquire(const uint32_t *from) { return __atomic_load_n(from, __ATOMIC_ACQUIRE); }
    static inline void store_release(uint32_t *to, uint32_t value) { __atomic_store_n(to, value, __ATOMIC_RELEASE); }
    static inline uint32_t exchange(uint32_t *to, uint32_t value) { return __atomic_exchange_n(to, value, __ATOMIC_SEQ_CST); }
    static inline void full_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
    #endif
    """
    # What was written before the store_release of a value is seen after the load_acquire that reads it.
    uint32_t load_acquire(const uint32_t* source) noexcept nogil
    void store_release(uint32_t* target, uint32_t value) noexcept nogil
    uint32_t exchange(uint32_t* target, uint32_t value) noexcept nogil      # the value before
    # Between a store and a load of something else: two threads that both do so can't both miss the other's store.
    void full_fence() noexcept nogil
