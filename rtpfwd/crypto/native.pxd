# The C core for other modules. Meanings, sizes and units: native.h.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from rtpfwd.crypto.core cimport native_job, native_key

# tier 0: the best that this CPU has. NULL: the CPU has no such tier for this profile, or there is no memory.
cdef native_key* key_create(int profile, int tier, const uint8_t* master) noexcept nogil
cdef void key_free(native_key* key) noexcept nogil  # wipes it; NULL does no harm
cdef void protect(const native_job* jobs, size_t count) noexcept nogil
# NATIVE_OK, NATIVE_BAD_TAG or NATIVE_SHORT.
cdef int unprotect(
    const native_key* key, const uint8_t* packet, size_t header_size, size_t size, uint32_t ssrc, uint64_t index,
    uint8_t* out) noexcept nogil
# SRTCP, in place. The new size in bytes; and NATIVE_OK, NATIVE_BAD_TAG or NATIVE_SHORT.
cdef size_t protect_control(const native_key* key, uint8_t* packet, size_t size, uint32_t index) noexcept nogil
cdef int unprotect_control(const native_key* key, uint8_t* packet, size_t size) noexcept nogil
