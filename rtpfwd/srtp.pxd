# SRTP and SRTCP (RFC 3711; AEAD: RFC 7714) over the libsrtp that pylibsrtp brings along.
#
# A policy (profile, key, direction) is made once, with the GIL. Sessions are opened from it, used and closed without.
# A session belongs to one thread at a time; here the plane's mutex sees to that. Another backend would keep these
# functions and make SrtpSession point to its own context.

ctypedef void* SrtpSession  # opaque; NULL is "no keys"

cdef enum SrtpStatus:
    SRTP_OK = 0
    SRTP_AUTH = 1    # the tag is wrong: not from the holder of the key, or damaged
    SRTP_REPLAY = 2  # seen before, or older than the replay window
    SRTP_FAILED = 3  # anything else: too short, malformed, key used up

cdef enum:
    SRTP_TRAILER = 20           # bytes that protect_* may append at most (GCM tag 16 + SRTCP index 4)
    SRTP_REPLAY_WINDOW = 1024   # packets


cdef class SrtpPolicy:
    cdef object _policy     # the cffi struct; libsrtp reads it in srtp_open
    cdef object _key        # the cffi buffer it points to; wiped when the policy goes
    cdef void* pointer      # of _policy
    cdef readonly int profile
    cdef readonly bint inbound


# NULL when libsrtp refuses. The policy may be dropped once the session is open.
cdef SrtpSession srtp_open(void* policy) noexcept nogil
cdef void srtp_close(SrtpSession session) noexcept nogil

# All four work in place. `size` is bytes, in and out. The packet's buffer has SRTP_TRAILER bytes of room behind it and
# the packet is at least 12 (RTP) or 8 (RTCP) bytes long; shorter ones are SRTP_FAILED.
cdef int srtp_protect(SrtpSession session, unsigned char* packet, int* size) noexcept nogil
cdef int srtp_protect_rtcp(SrtpSession session, unsigned char* packet, int* size) noexcept nogil
cdef int srtp_unprotect(SrtpSession session, unsigned char* packet, int* size) noexcept nogil
cdef int srtp_unprotect_rtcp(SrtpSession session, unsigned char* packet, int* size) noexcept nogil
