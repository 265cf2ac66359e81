# ICE of a connected remote end: consent checks (RFC 7675) and answers to the server's own checks (RFC 8445), over IPv4.
#
# The first check was built by server.rtc.stun and is kept as a template: another one differs in its transaction id, so in
# its MESSAGE-INTEGRITY and FINGERPRINT (RFC 8489 sections 14.5 and 14.7), which are its last 32 bytes.

from libc.stdint cimport uint8_t, uint64_t

from rtpfwd.stun cimport StunKey
from rtpfwd.tables cimport Endpoint

cdef enum:
    CHECK_ROOM = 640            # bytes of a check: a user name is at most 513


cdef struct Checks:             # all zero: none
    uint8_t request[CHECK_ROOM] # with the latest transaction id
    int request_size
    StunKey remote_key          # signs our requests and their answers
    StunKey own_key             # signs the server's requests and our answers
    Endpoint server             # IPv4
    uint64_t asked
    uint64_t answered           # of them, authentic and in time
    uint64_t served             # requests of the server that were answered


# Make the next request, ready to send, in checks.request. `random` gives eight bytes of the transaction id.
cdef void checks_renew(Checks* checks, uint64_t random) noexcept nogil
# One STUN datagram. The size of the answer written to `out` (STUN_ANSWER), or 0 when there is nothing to say.
cdef int checks_receive(Checks* checks, const uint8_t* data, int size, uint8_t* out) noexcept nogil
