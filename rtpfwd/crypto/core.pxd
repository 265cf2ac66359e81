# The C core as Cython sees it; native.h has the meaning of everything. Only native.pyx may call the functions, as it
# alone is linked with them. Others cimport the types from here and call through native.pxd.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from "rtpfwd/crypto/native.h" nogil:
    enum:
        NATIVE_CM_SHA1_80
        NATIVE_GCM
        NATIVE_NONE
        NATIVE_AESNI
        NATIVE_VAES256
        NATIVE_VAES512
        NATIVE_OK
        NATIVE_BAD_TAG
        NATIVE_SHORT

    ctypedef struct native_key:
        pass

    ctypedef struct native_job:
        const native_key* key
        const uint8_t* payload
        uint8_t* packet
        size_t header_size
        size_t payload_size
        uint32_t ssrc
        uint64_t index

    int native_best_tier(int profile) noexcept
    int native_has_tier(int profile, int tier) noexcept
    native_key* native_key_create(int profile, int tier, const uint8_t* master) noexcept
    void native_key_free(native_key* key) noexcept
    int native_key_tier(const native_key* key) noexcept
    void native_protect(const native_job* jobs, size_t count) noexcept
    int native_unprotect(
        const native_key* key, const uint8_t* packet, size_t header_size, size_t size, uint32_t ssrc, uint64_t index,
        uint8_t* out) noexcept
    size_t native_protect_control(const native_key* key, uint8_t* packet, size_t size, uint32_t index) noexcept
    int native_unprotect_control(const native_key* key, uint8_t* packet, size_t size) noexcept
    int native_protect_control_with(
        const uint8_t* key, const uint8_t* salt, uint8_t* packet, size_t size, uint32_t index) noexcept
    int native_unprotect_control_with(
        const uint8_t* key, const uint8_t* salt, uint8_t* packet, size_t size) noexcept
    int native_gcm_seal(
        int tier, const uint8_t* key, const uint8_t* nonce, const uint8_t* aad, size_t aad_size, const uint8_t* data,
        size_t size, uint8_t* out, uint8_t* tag) noexcept
    int native_ctr(
        int tier, const uint8_t* key, const uint8_t* block, const uint8_t* data, size_t size, uint8_t* out) noexcept
    int native_hmac_sha1(
        const uint8_t* key, size_t key_size, const uint8_t* text, size_t size, uint8_t* digest) noexcept
    int native_derive(const uint8_t* master, int label, uint8_t* out, size_t size) noexcept
