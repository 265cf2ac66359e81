# STUN without Python (RFC 8489): SHA-1 (FIPS 180-4), HMAC (RFC 2104), FINGERPRINT, and the one exchange that the plane
# answers by itself: a check that repeats the one before it, as consent to send asks for every few seconds (RFC 7675).

from libc.stdint cimport int64_t, uint8_t, uint32_t

from rtpfwd.tables cimport Endpoint

cdef enum:
    STUN_HEADER = 20            # bytes
    STUN_USERNAME = 513         # the longest, bytes (RFC 8445 section 16.1)
    STUN_SIGNATURE = 32         # MESSAGE-INTEGRITY and FINGERPRINT at the end of a message, bytes
    STUN_ANSWER = 64            # bytes of a success with an IPv4 address
    STUN_ANSWER_V6 = 76


cdef struct StunKey:            # HMAC-SHA1 after the key's block: as secret as the password
    uint32_t inner[5]
    uint32_t outer[5]


cdef struct RoutineCheck:       # what a check says that changes nothing but the time of the last one
    StunKey key
    uint32_t priority
    bint may_nominate           # USE-CANDIDATE changes nothing either
    int username_size           # bytes
    uint8_t username[STUN_USERNAME]
    int64_t answered_at         # ns of the latest one that the plane answered; 0: none yet
    int64_t nominated_at        # the same, of those with USE-CANDIDATE


cdef enum RoutineVerdict:
    NOT_ROUTINE = 0             # it may still be a good check: ask ICE
    ROUTINE = 1
    ROUTINE_NOMINATES = 2       # with USE-CANDIDATE


cdef void stun_key_init(StunKey* key, const uint8_t* password, Py_ssize_t size) noexcept nogil
# HMAC-SHA1: 20 bytes.
cdef void stun_hmac(const StunKey* key, const uint8_t* data, Py_ssize_t size, uint8_t* digest) noexcept nogil
# Whether its MESSAGE-INTEGRITY is there and right. Compared in constant time.
cdef bint stun_authentic_untrusted(const StunKey* key, const uint8_t* data, Py_ssize_t size) noexcept nogil
# Fill in a message's length and its last STUN_SIGNATURE bytes. `size`: of the whole message.
cdef void stun_sign(const StunKey* key, uint8_t* message, int size) noexcept nogil
# The success response to a request, saying from where it came. Its size: STUN_ANSWER or STUN_ANSWER_V6.
cdef int stun_write_success(
    const StunKey* key, const uint8_t* request, const Endpoint* source, uint8_t* out) noexcept nogil
# Whether a datagram is such a check, and authentic: a RoutineVerdict.
cdef int stun_routine_untrusted(const RoutineCheck* check, const uint8_t* data, Py_ssize_t size) noexcept nogil
# Wipes it and frees it. NULL does no harm.
cdef void routine_check_free(RoutineCheck* check) noexcept nogil
