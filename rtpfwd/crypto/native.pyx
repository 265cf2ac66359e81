# distutils: sources = rtpfwd/crypto/control.c rtpfwd/crypto/cpu.c rtpfwd/crypto/keys.c rtpfwd/crypto/packets.c rtpfwd/crypto/sha1.c rtpfwd/crypto/tier_aesni.c rtpfwd/crypto/tier_vaes256.c rtpfwd/crypto/tier_vaes512.c
# distutils: depends = rtpfwd/crypto/native.h rtpfwd/crypto/internal.h rtpfwd/crypto/tier.h
# distutils: include_dirs = .
"""The C core, and a typed face of its parts for tests: one module is linked with it, all others call through here."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from rtpfwd.crypto.core cimport (
    NATIVE_AESNI,
    NATIVE_NONE,
    NATIVE_OK,
    NATIVE_VAES256,
    NATIVE_VAES512,
    native_best_tier,
    native_ctr,
    native_derive,
    native_gcm_seal,
    native_has_tier,
    native_hmac_sha1,
    native_job,
    native_key,
    native_key_create,
    native_key_free,
    native_protect,
    native_protect_control,
    native_protect_control_with,
    native_unprotect,
    native_unprotect_control,
    native_unprotect_control_with,
)

TIERS = {"aesni": NATIVE_AESNI, "vaes256": NATIVE_VAES256, "vaes512": NATIVE_VAES512}
_NAMES = {number: name for name, number in TIERS.items()}


cdef native_key* key_create(int profile, int tier, const uint8_t* master) noexcept nogil:
    return native_key_create(profile, tier if tier else native_best_tier(profile), master)


cdef void key_free(native_key* key) noexcept nogil:
    native_key_free(key)


cdef void protect(const native_job* jobs, size_t count) noexcept nogil:
    native_protect(jobs, count)


cdef int unprotect(
    const native_key* key, const uint8_t* packet, size_t header_size, size_t size, uint32_t ssrc, uint64_t index,
    uint8_t* out,
) noexcept nogil:
    return native_unprotect(key, packet, header_size, size, ssrc, index, out)


cdef size_t protect_control(const native_key* key, uint8_t* packet, size_t size, uint32_t index) noexcept nogil:
    return native_protect_control(key, packet, size, index)


cdef int unprotect_control(const native_key* key, uint8_t* packet, size_t size) noexcept nogil:
    return native_unprotect_control(key, packet, size)


def best_tier(int profile):
    return _NAMES.get(native_best_tier(profile))


def has_tier(int profile, str tier not None):
    return bool(native_has_tier(profile, TIERS[tier]))


def gcm_seal(str tier not None, bytes key not None, bytes nonce not None, bytes aad not None, bytes text not None):
    cdef bytearray out = bytearray(len(text))
    cdef uint8_t tag[16]
    if len(key) != 16 or len(nonce) != 12:
        raise ValueError("a key is 16 bytes, a nonce 12")
    if native_gcm_seal(TIERS[tier], key, nonce, aad, len(aad), text, len(text), out, tag):
        raise ValueError(f"this CPU has no tier {tier}")
    return bytes(out), tag[:16]


def ctr(str tier not None, bytes key not None, bytes block not None, bytes text not None):
    cdef bytearray out = bytearray(len(text))
    if len(key) != 16 or len(block) != 16:
        raise ValueError("a key and a counter block are 16 bytes each")
    if native_ctr(TIERS[tier], key, block, text, len(text), out):
        raise ValueError(f"this CPU has no tier {tier}")
    return bytes(out)


def hmac_sha1(bytes key not None, bytes text not None):
    cdef uint8_t digest[20]
    if len(key) > 64:
        raise ValueError("a key is at most 64 bytes")
    if native_hmac_sha1(key, len(key), text, len(text), digest):
        raise ValueError("this CPU has no SHA-1 instructions")
    return digest[:20]


def derive(bytes master not None, int label, Py_ssize_t size):
    cdef bytearray out = bytearray(size)
    if len(master) != 30:
        raise ValueError("a master key with its salt is 30 bytes")
    if native_derive(master, label, out, size):
        raise ValueError("this CPU has no AES instructions")
    return bytes(out)


cdef bytearray _control_packet(bytes key, bytes salt, bytes packet):
    if len(key) != 16 or len(salt) != 12 or len(packet) < 8:
        raise ValueError("the key is 16 bytes, the salt 12, and a packet at least 8")
    return bytearray(packet) + bytearray(20)


def protect_control_with(bytes key not None, bytes salt not None, bytes packet not None, uint32_t index):
    cdef bytearray data = _control_packet(key, salt, packet)
    if native_protect_control_with(key, salt, <uint8_t*><char*>data, len(packet), index):
        raise ValueError("this CPU has no AES instructions")
    return bytes(data)


def unprotect_control_with(bytes key not None, bytes salt not None, bytes packet not None):
    cdef bytearray data = _control_packet(key, salt, packet)
    cdef int status = native_unprotect_control_with(key, salt, <uint8_t*><char*>data, len(packet))
    if status < 0:
        raise ValueError("this CPU has no AES instructions")
    return bytes(data[:len(packet) - 20]) if status == NATIVE_OK else None
