"""STUN without Python: SHA-1 (FIPS 180-4), HMAC (RFC 2104), CRC-32, and the two messages that they sign."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

cdef enum:
    HEADER = 20                 # bytes (RFC 8489 section 5)
    INTEGRITY = 24              # attribute header and 20 bytes
    FINGERPRINT = 8
    LONGEST = 1500

cdef uint32_t[256] _crc_table


cdef void _fill_crc_table() noexcept nogil:
    cdef uint32_t value
    cdef int index, bit
    for index in range(256):
        value = index
        for bit in range(8):
            value = value >> 1 ^ (<uint32_t>0xEDB88320 if value & 1 else 0)
        _crc_table[index] = value


_fill_crc_table()


cdef uint32_t _crc32(const uint8_t* data, int size) noexcept nogil:
    cdef uint32_t value = 0xffffffff
    cdef int index
    for index in range(size):
        value = value >> 8 ^ _crc_table[(value ^ data[index]) & 0xff]
    return ~value


cdef inline uint32_t _rotate(uint32_t value, int bits) noexcept nogil:
    return value << bits | value >> (32 - bits)


cdef void _block(uint32_t* state, const uint8_t* data) noexcept nogil:
    cdef uint32_t[80] w
    cdef uint32_t a, b, c, d, e, f, k, turn
    cdef int index
    for index in range(16):
        w[index] = (<uint32_t>data[4 * index] << 24 | <uint32_t>data[4 * index + 1] << 16
                    | <uint32_t>data[4 * index + 2] << 8 | data[4 * index + 3])
    for index in range(16, 80):
        w[index] = _rotate(w[index - 3] ^ w[index - 8] ^ w[index - 14] ^ w[index - 16], 1)
    a, b, c, d, e = state[0], state[1], state[2], state[3], state[4]
    for index in range(80):
        if index < 20:
            f = (b & c) | (~b & d)
            k = 0x5A827999
        elif index < 40:
            f = b ^ c ^ d
            k = 0x6ED9EBA1
        elif index < 60:
            f = (b & c) | (b & d) | (c & d)
            k = <uint32_t>0x8F1BBCDC
        else:
            f = b ^ c ^ d
            k = <uint32_t>0xCA62C1D6
        turn = _rotate(a, 5) + f + e + k + w[index]
        e = d
        d = c
        c = _rotate(b, 30)
        b = a
        a = turn
    state[0] += a
    state[1] += b
    state[2] += c
    state[3] += d
    state[4] += e


cdef void _sha1(const uint8_t* first, const uint8_t* data, int size, uint8_t* digest) noexcept nogil:
    """Of one block of 64 bytes and of `size` more; 20 bytes."""
    cdef uint32_t[5] state
    cdef uint8_t[128] last
    cdef int at = 0
    cdef int rest, index
    cdef uint64_t bits = <uint64_t>(64 + size) * 8
    state[0], state[1], state[2], state[3], state[4] = (
        0x67452301, <uint32_t>0xEFCDAB89, <uint32_t>0x98BADCFE, 0x10325476, <uint32_t>0xC3D2E1F0
    )
    _block(state, first)
    while size - at >= 64:
        _block(state, data + at)
        at += 64
    rest = size - at
    memset(last, 0, 128)
    memcpy(last, data + at, rest)
    last[rest] = 0x80
    at = 64 if rest < 56 else 128
    for index in range(8):
        last[at - 1 - index] = <uint8_t>(bits >> 8 * index)
    _block(state, last)
    if at == 128:
        _block(state, last + 64)
    for index in range(20):
        digest[index] = <uint8_t>(state[index >> 2] >> 8 * (3 - (index & 3)))


cdef void _hmac(const uint8_t* key, int key_size, const uint8_t* data, int size, uint8_t* digest) noexcept nogil:
    cdef uint8_t[64] pad
    cdef uint8_t[64] block
    cdef uint8_t[20] inner
    cdef int index
    memset(block, 0, 64)
    if key_size > 64:
        # A key is at most 256 bytes: its hash is that of its first block and the rest.
        _sha1(key, key + 64, key_size - 64, block)
    else:
        memcpy(block, key, key_size)
    for index in range(64):
        pad[index] = block[index] ^ 0x36
    _sha1(pad, data, size, inner)
    for index in range(64):
        pad[index] = block[index] ^ 0x5c
    _sha1(pad, inner, 20, digest)


cdef void _sign(uint8_t* message, int size, const uint8_t* password, int password_size) noexcept nogil:
    """Fill in the last 32 bytes: MESSAGE-INTEGRITY and FINGERPRINT. Each covers a length that ends with itself."""
    cdef uint32_t crc
    cdef int index
    cdef uint8_t* at = message + size - FINGERPRINT - INTEGRITY
    message[2] = <uint8_t>((size - HEADER - FINGERPRINT) >> 8)
    message[3] = <uint8_t>(size - HEADER - FINGERPRINT)
    at[0], at[1], at[2], at[3] = 0, 8, 0, 20
    _hmac(password, password_size, message, size - FINGERPRINT - INTEGRITY, at + 4)
    message[2] = <uint8_t>((size - HEADER) >> 8)
    message[3] = <uint8_t>(size - HEADER)
    crc = _crc32(message, size - FINGERPRINT) ^ 0x5354554e
    at += INTEGRITY
    at[0], at[1], at[2], at[3] = 0x80, 0x28, 0, 4
    for index in range(4):
        at[4 + index] = <uint8_t>(crc >> 8 * (3 - index))


cdef bint _authentic(const uint8_t* data, int size, const uint8_t* password, int password_size) noexcept nogil:
    """Whether its MESSAGE-INTEGRITY is right."""
    cdef uint8_t[LONGEST] covered
    cdef uint8_t[20] digest
    cdef int at = HEADER
    cdef int length
    if size > LONGEST:
        return False
    while at + 4 <= size:
        length = data[at + 2] << 8 | data[at + 3]
        if at + 4 + length > size:
            return False
        if data[at] == 0 and data[at + 1] == 8:
            if length != 20:
                return False
            memcpy(covered, data, at)
            covered[2] = <uint8_t>((at + INTEGRITY - HEADER) >> 8)
            covered[3] = <uint8_t>(at + INTEGRITY - HEADER)
            _hmac(password, password_size, covered, at, digest)
            return memcmp(digest, data + at + 4, 20) == 0
        at += 4 + (length + 3 & ~3)
    return False


cdef void checks_renew(Checks* checks, uint64_t random) noexcept nogil:
    cdef int index
    for index in range(8):
        checks.request[12 + index] = <uint8_t>(random >> 8 * index)
    _sign(checks.request, checks.request_size, checks.remote_password, checks.remote_password_size)
    checks.asked += 1


cdef int checks_receive(Checks* checks, const uint8_t* data, int size, uint8_t* out) noexcept nogil:
    cdef int index
    cdef uint32_t address = checks.server_address ^ <uint32_t>0x2112a442
    if size < HEADER:
        return 0
    if data[0] == 1 and data[1] == 1:  # a success response of the Binding method
        if memcmp(data + 8, checks.request + 8, 12) == 0 and _authentic(
            data, size, checks.remote_password, checks.remote_password_size
        ):
            checks.answered += 1
        return 0
    if data[0] != 0 or data[1] != 1 or not _authentic(data, size, checks.own_password, checks.own_password_size):
        return 0
    memcpy(out, data, HEADER)
    out[0] = out[1] = 1
    # XOR-MAPPED-ADDRESS (RFC 8489 section 14.2)
    out[20], out[21], out[22], out[23], out[24], out[25] = 0, 0x20, 0, 8, 0, 1
    out[26] = <uint8_t>(checks.server_port >> 8) ^ 0x21
    out[27] = <uint8_t>checks.server_port ^ 0x12
    for index in range(4):
        out[28 + index] = <uint8_t>(address >> 8 * (3 - index))
    _sign(out, ANSWER_SIZE, checks.own_password, checks.own_password_size)
    checks.served += 1
    return ANSWER_SIZE
