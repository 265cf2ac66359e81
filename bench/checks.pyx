"""The consent checks of a load generator's remote end. STUN itself is rtpfwd.stun."""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp

from rtpfwd.stun cimport STUN_HEADER, stun_authentic_untrusted, stun_sign, stun_write_success


cdef void checks_renew(Checks* checks, uint64_t random) noexcept nogil:
    cdef int index
    for index in range(8):
        checks.request[12 + index] = <uint8_t>(random >> 8 * index)
    stun_sign(&checks.remote_key, checks.request, checks.request_size)
    checks.asked += 1


cdef int checks_receive(Checks* checks, const uint8_t* data, int size, uint8_t* out) noexcept nogil:
    if size < STUN_HEADER:
        return 0
    if data[0] == 1 and data[1] == 1:  # a success response of the Binding method
        if memcmp(data + 8, checks.request + 8, 12) == 0 and stun_authentic_untrusted(&checks.remote_key, data, size):
            checks.answered += 1
        return 0
    if data[0] != 0 or data[1] != 1 or not stun_authentic_untrusted(&checks.own_key, data, size):
        return 0
    checks.served += 1
    return stun_write_success(&checks.own_key, data, &checks.server, out)
