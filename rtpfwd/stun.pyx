"""STUN for those who answer without Python: the plane, and the load generator's remote ends.

What a request may say and how an answer looks is decided by server/rtc/stun.py and ice_lite.py; here is only the part of
it that repeats for as long as a call lasts, and tests hold the two together byte by byte.
"""

from libc.stdint cimport uint16_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcmp, memcpy, memset

from rtpfwd.cursor cimport load_u16, load_u32, store_u16, store_u32

cdef extern from "<string.h>" nogil:
    void explicit_bzero(void*, size_t)      # a memset that no compiler leaves out

cdef enum:
    BLOCK = 64                  # bytes of SHA-1's block
    DIGEST = 20                 # bytes of its result
    INTEGRITY = 24              # bytes of the whole attribute
    FINGERPRINT = 8             # the same
    MOST_ATTRIBUTES = 32        # of one message, as in server/rtc/stun.py

cdef enum:                      # attribute types (RFC 8489 section 18.3, RFC 8445 section 16.1)
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    XOR_MAPPED_ADDRESS = 0x0020
    PRIORITY = 0x0024
    USE_CANDIDATE = 0x0025
    FIRST_OPTIONAL = 0x8000     # this type and those above need not be understood
    FINGERPRINT_TYPE = 0x8028
    ICE_CONTROLLED = 0x8029
    ICE_CONTROLLING = 0x802A

cdef enum:
    MAGIC_COOKIE = 0x2112A442
    FINGERPRINT_XOR = 0x5354554E
    BINDING_REQUEST = 0x0001
    BINDING_SUCCESS = 0x0101

cdef uint32_t[256] _crc_table
cdef uint32_t[5] _first_state = [0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0]


# CRC-32, of FINGERPRINT.

cdef void _fill_crc_table() noexcept nogil:
    cdef uint32_t value
    cdef int index, bit
    for index in range(256):
        value = index
        for bit in range(8):
            value = value >> 1 ^ (<uint32_t>0xEDB88320 if value & 1 else 0)
        _crc_table[index] = value


_fill_crc_table()


cdef uint32_t _fingerprint(const uint8_t* data, Py_ssize_t size) noexcept nogil:
    cdef uint32_t value = 0xffffffff
    cdef Py_ssize_t index
    for index in range(size):
        value = value >> 8 ^ _crc_table[(value ^ data[index]) & 0xff]
    return ~value ^ FINGERPRINT_XOR


# SHA-1.

cdef struct Sha1:
    uint32_t state[5]
    uint8_t block[BLOCK]        # begun
    Py_ssize_t size             # bytes taken so far


cdef inline uint32_t _rotate(uint32_t value, int bits) noexcept nogil:
    return value << bits | value >> (32 - bits)


cdef inline void _step(uint32_t* v, uint32_t f, uint32_t k, uint32_t word) noexcept nogil:
    cdef uint32_t turn = _rotate(v[0], 5) + f + v[4] + k + word
    v[4] = v[3]
    v[3] = v[2]
    v[2] = _rotate(v[1], 30)
    v[1] = v[0]
    v[0] = turn


cdef void _compress(uint32_t* state, const uint8_t* data) noexcept nogil:
    cdef uint32_t[80] w
    cdef uint32_t[5] v
    cdef int index
    for index in range(16):
        w[index] = load_u32(data + 4 * index)
    for index in range(16, 80):
        w[index] = _rotate(w[index - 3] ^ w[index - 8] ^ w[index - 14] ^ w[index - 16], 1)
    memcpy(v, state, DIGEST)
    for index in range(20):
        _step(v, (v[1] & v[2]) | (~v[1] & v[3]), 0x5A827999, w[index])
    for index in range(20, 40):
        _step(v, v[1] ^ v[2] ^ v[3], 0x6ED9EBA1, w[index])
    for index in range(40, 60):
        _step(v, (v[1] & v[2]) | (v[1] & v[3]) | (v[2] & v[3]), <uint32_t>0x8F1BBCDC, w[index])
    for index in range(60, 80):
        _step(v, v[1] ^ v[2] ^ v[3], <uint32_t>0xCA62C1D6, w[index])
    for index in range(5):
        state[index] += v[index]


cdef void _begin(Sha1* sha, const uint32_t* state, Py_ssize_t size) noexcept nogil:
    """Go on from the state after `size` bytes, a multiple of the block."""
    memcpy(sha.state, state, DIGEST)
    sha.size = size


cdef void _add(Sha1* sha, const uint8_t* data, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t begun = sha.size % BLOCK
    cdef Py_ssize_t part
    sha.size += size
    if begun:
        part = min(BLOCK - begun, size)
        memcpy(sha.block + begun, data, part)
        data += part
        size -= part
        if begun + part < BLOCK:
            return
        _compress(sha.state, sha.block)
    while size >= BLOCK:
        _compress(sha.state, data)
        data += BLOCK
        size -= BLOCK
    memcpy(sha.block, data, size)


cdef void _finish(Sha1* sha, uint8_t* digest) noexcept nogil:
    cdef Py_ssize_t begun = sha.size % BLOCK
    cdef uint64_t bits = <uint64_t>sha.size * 8
    cdef int index
    sha.block[begun] = 0x80
    memset(sha.block + begun + 1, 0, BLOCK - begun - 1)
    if begun >= BLOCK - 8:
        _compress(sha.state, sha.block)
        memset(sha.block, 0, BLOCK)
    store_u32(sha.block + BLOCK - 8, <uint32_t>(bits >> 32))
    store_u32(sha.block + BLOCK - 4, <uint32_t>bits)
    _compress(sha.state, sha.block)
    for index in range(5):
        store_u32(digest + 4 * index, sha.state[index])


# HMAC.

cdef void stun_key_init(StunKey* key, const uint8_t* password, Py_ssize_t size) noexcept nogil:
    cdef uint8_t block[BLOCK]
    cdef uint8_t pad[BLOCK]
    cdef Sha1 sha
    cdef int index
    memset(block, 0, BLOCK)
    if size > BLOCK:
        _begin(&sha, _first_state, 0)
        _add(&sha, password, size)
        _finish(&sha, block)
    else:
        memcpy(block, password, size)
    memcpy(key.inner, _first_state, DIGEST)
    memcpy(key.outer, _first_state, DIGEST)
    for index in range(BLOCK):
        pad[index] = block[index] ^ 0x36
    _compress(key.inner, pad)
    for index in range(BLOCK):
        pad[index] = block[index] ^ 0x5c
    _compress(key.outer, pad)
    explicit_bzero(block, BLOCK)
    explicit_bzero(pad, BLOCK)
    explicit_bzero(&sha, sizeof(sha))


cdef void _finish_hmac(const StunKey* key, Sha1* sha, uint8_t* digest) noexcept nogil:
    cdef uint8_t inner[DIGEST]
    _finish(sha, inner)
    _begin(sha, key.outer, BLOCK)
    _add(sha, inner, DIGEST)
    _finish(sha, digest)


cdef void stun_hmac(const StunKey* key, const uint8_t* data, Py_ssize_t size, uint8_t* digest) noexcept nogil:
    cdef Sha1 sha
    _begin(&sha, key.inner, BLOCK)
    _add(&sha, data, size)
    _finish_hmac(key, &sha, digest)


cdef bint _integrity_is_right(const StunKey* key, const uint8_t* data, Py_ssize_t at) noexcept nogil:
    """`at`: where the attribute is. It covers what precedes it, with a length that ends with itself."""
    cdef Sha1 sha
    cdef uint8_t head[4]
    cdef uint8_t digest[DIGEST]
    cdef uint8_t differs = 0
    cdef int index
    memcpy(head, data, 2)
    store_u16(head + 2, <uint16_t>(at + INTEGRITY - STUN_HEADER))
    _begin(&sha, key.inner, BLOCK)
    _add(&sha, head, 4)
    _add(&sha, data + 4, at - 4)
    _finish_hmac(key, &sha, digest)
    for index in range(DIGEST):
        differs |= digest[index] ^ data[at + 4 + index]
    return differs == 0


cdef bint stun_authentic_untrusted(const StunKey* key, const uint8_t* data, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t at = STUN_HEADER
    cdef Py_ssize_t length
    if size > 0xffff:
        return False
    while at + 4 <= size:
        length = load_u16(data + at + 2)
        if at + 4 + length > size:
            return False
        if load_u16(data + at) == MESSAGE_INTEGRITY:
            return length == DIGEST and _integrity_is_right(key, data, at)
        at += 4 + (length + 3 & ~3)
    return False


# Messages.

cdef void stun_sign(const StunKey* key, uint8_t* message, int size) noexcept nogil:
    cdef uint8_t* at = message + size - STUN_SIGNATURE
    # Each of the two covers a length that ends with itself.
    store_u16(message + 2, <uint16_t>(size - STUN_HEADER - FINGERPRINT))
    store_u16(at, MESSAGE_INTEGRITY)
    store_u16(at + 2, DIGEST)
    stun_hmac(key, message, size - STUN_SIGNATURE, at + 4)
    at += INTEGRITY
    store_u16(message + 2, <uint16_t>(size - STUN_HEADER))
    store_u16(at, FINGERPRINT_TYPE)
    store_u16(at + 2, 4)
    store_u32(at + 4, _fingerprint(message, size - FINGERPRINT))


cdef int stun_write_success(
    const StunKey* key, const uint8_t* request, const Endpoint* source, uint8_t* out
) noexcept nogil:
    cdef int ip_size = 4 if source.family == 4 else 16
    cdef int size = STUN_HEADER + 8 + ip_size + STUN_SIGNATURE
    cdef int index
    store_u16(out, BINDING_SUCCESS)
    store_u32(out + 4, MAGIC_COOKIE)
    memcpy(out + 8, request + 8, 12)
    # The port and the address are xored with the cookie and the transaction id (RFC 8489 section 14.2).
    store_u16(out + 20, XOR_MAPPED_ADDRESS)
    store_u16(out + 22, <uint16_t>(4 + ip_size))
    store_u16(out + 24, 1 if source.family == 4 else 2)
    store_u16(out + 26, source.port ^ <uint16_t>(MAGIC_COOKIE >> 16))
    for index in range(ip_size):
        out[28 + index] = source.ip[index] ^ out[4 + index]
    stun_sign(key, out, size)
    return size


cdef int stun_routine_untrusted(const RoutineCheck* check, const uint8_t* data, Py_ssize_t size) noexcept nogil:
    """Every attribute is one that says what it said before, or one that means nothing to us. The cheap comparisons come
    first; what is unusual in any way (an attribute twice, anything between the last two) is left to ICE."""
    cdef Py_ssize_t at = STUN_HEADER
    cdef Py_ssize_t end = size - STUN_SIGNATURE     # where MESSAGE-INTEGRITY has to be
    cdef Py_ssize_t length
    cdef int kind
    cdef int count = 2
    cdef bint named = False
    cdef bint rated = False
    cdef bint nominates = False
    # A Binding request that fills the datagram.
    if end < STUN_HEADER or size & 3 or size > 0xffff or load_u16(data) != BINDING_REQUEST:
        return NOT_ROUTINE
    if load_u16(data + 2) != size - STUN_HEADER or load_u32(data + 4) != MAGIC_COOKIE:
        return NOT_ROUTINE
    while at < end:
        # Both are multiples of four, so a whole attribute header is there.
        kind = load_u16(data + at)
        length = load_u16(data + at + 2)
        at += 4
        count += 1
        if length > end - at or count > MOST_ATTRIBUTES:
            return NOT_ROUTINE
        if kind == USERNAME:
            if named or length != check.username_size or memcmp(data + at, check.username, length) != 0:
                return NOT_ROUTINE
            named = True
        elif kind == PRIORITY:
            if rated or length != 4 or load_u32(data + at) != check.priority:
                return NOT_ROUTINE
            rated = True
        elif kind == USE_CANDIDATE:
            if nominates or length != 0:
                return NOT_ROUTINE
            nominates = True
        elif kind < FIRST_OPTIONAL or kind == ICE_CONTROLLED or kind == FINGERPRINT_TYPE:
            return NOT_ROUTINE
        elif kind == ICE_CONTROLLING and length != 8:
            return NOT_ROUTINE
        at += length + 3 & ~3
    if at != end or not (named and rated) or (nominates and not check.may_nominate):
        return NOT_ROUTINE
    if load_u32(data + end) != (MESSAGE_INTEGRITY << 16 | DIGEST):
        return NOT_ROUTINE
    if load_u32(data + end + INTEGRITY) != (<uint32_t>FINGERPRINT_TYPE << 16 | 4):
        return NOT_ROUTINE
    if load_u32(data + size - 4) != _fingerprint(data, size - FINGERPRINT):
        return NOT_ROUTINE
    if not _integrity_is_right(&check.key, data, end):
        return NOT_ROUTINE
    return ROUTINE_NOMINATES if nominates else ROUTINE


cdef void routine_check_free(RoutineCheck* check) noexcept nogil:
    if check != NULL:
        explicit_bzero(check, sizeof(RoutineCheck))
    free(check)
