"""SRTP through the C entry points of the libsrtp inside pylibsrtp, called without the GIL.

pylibsrtp is an API-mode cffi module, so `ffi.addressof(lib, "srtp_protect")` is a plain C function. The types of all
of them are compared at import: another pylibsrtp with other types must fail there, not in the middle of a call.
"""

from libc.stdint cimport uintptr_t
from libc.string cimport memcpy

from pylibsrtp import __version__ as _pylibsrtp_version
from pylibsrtp._binding import ffi as _ffi
from pylibsrtp._binding import lib as _lib

from rtpfwd.params import SrtpProfile

ctypedef int (*create_function)(void** session, void* policy) noexcept nogil
ctypedef int (*dealloc_function)(void* session) noexcept nogil
ctypedef int (*packet_function)(void* session, void* packet, int* size) noexcept nogil

# srtp_err_status_t, from libsrtp's header; cffi exposes only the first.
cdef enum:
    ERR_OK = 0
    ERR_AUTH_FAIL = 7
    ERR_REPLAY_FAIL = 9
    ERR_REPLAY_OLD = 10

_SIGNATURES = {
    "srtp_create": "srtp_err_status_t(*)(struct srtp_ctx_t_ * *, struct srtp_policy_t *)",
    "srtp_dealloc": "srtp_err_status_t(*)(struct srtp_ctx_t_ *)",
    "srtp_protect": "srtp_err_status_t(*)(struct srtp_ctx_t_ *, void *, int *)",
    "srtp_protect_rtcp": "srtp_err_status_t(*)(struct srtp_ctx_t_ *, void *, int *)",
    "srtp_unprotect": "srtp_err_status_t(*)(struct srtp_ctx_t_ *, void *, int *)",
    "srtp_unprotect_rtcp": "srtp_err_status_t(*)(struct srtp_ctx_t_ *, void *, int *)",
}


def _entry(name):
    """The address of one libsrtp function, once its type is what the calls below assume."""
    function = _ffi.addressof(_lib, name)
    found = _ffi.typeof(function).cname
    if found != _SIGNATURES[name]:
        raise ImportError(
            f"pylibsrtp {_pylibsrtp_version} declares {name} as {found!r}, but rtpfwd.srtp calls it as "
            f"{_SIGNATURES[name]!r}; install a pylibsrtp of the range that pyproject.toml names"
        )
    return int(_ffi.cast("uintptr_t", function))


cdef create_function _create = <create_function><uintptr_t>_entry("srtp_create")
cdef dealloc_function _dealloc = <dealloc_function><uintptr_t>_entry("srtp_dealloc")
cdef packet_function _protect = <packet_function><uintptr_t>_entry("srtp_protect")
cdef packet_function _protect_rtcp = <packet_function><uintptr_t>_entry("srtp_protect_rtcp")
cdef packet_function _unprotect = <packet_function><uintptr_t>_entry("srtp_unprotect")
cdef packet_function _unprotect_rtcp = <packet_function><uintptr_t>_entry("srtp_unprotect_rtcp")

_REASONS = {SRTP_AUTH: "auth", SRTP_REPLAY: "replay", SRTP_FAILED: "failed"}


class SrtpError(Exception):
    def __init__(self, reason):
        super().__init__(f"SRTP: {reason}")
        self.reason = reason


cdef class SrtpPolicy:
    def __init__(self, profile, key, *, bint inbound):
        profile = SrtpProfile(profile)
        expected = _lib.srtp_profile_get_master_key_length(profile) + _lib.srtp_profile_get_master_salt_length(profile)
        if not isinstance(key, bytes) or len(key) != expected:
            raise ValueError(f"{profile.name} needs {expected} bytes of master key and salt")
        self.profile = profile
        self.inbound = inbound
        policy = _ffi.new("srtp_policy_t *")
        rtp, rtcp = _ffi.addressof(policy.rtp), _ffi.addressof(policy.rtcp)
        if (
            _lib.srtp_crypto_policy_set_from_profile_for_rtp(rtp, profile) != ERR_OK
            or _lib.srtp_crypto_policy_set_from_profile_for_rtcp(rtcp, profile) != ERR_OK
        ):
            raise ValueError(f"this libsrtp does not know the profile {profile.name}")
        self._key = _ffi.new("unsigned char[]", key)
        policy.key = self._key
        policy.ssrc.type = _lib.ssrc_any_inbound if inbound else _lib.ssrc_any_outbound
        policy.window_size = SRTP_REPLAY_WINDOW
        policy.allow_repeat_tx = 0  # a retransmission has its own SSRC; sending changed bytes again would reuse the keystream
        self._policy = policy
        self.pointer = <void*><uintptr_t>int(_ffi.cast("uintptr_t", policy))

    def __dealloc__(self):
        if self._key is not None:
            _ffi.memmove(self._key, bytes(len(self._key)), len(self._key))


cdef SrtpSession srtp_open(void* policy) noexcept nogil:
    cdef void* session = NULL
    if policy == NULL or _create(&session, policy) != ERR_OK:
        return NULL
    return session


cdef void srtp_close(SrtpSession session) noexcept nogil:
    if session != NULL:
        _dealloc(session)


cdef inline int _status(int status) noexcept nogil:
    if status == ERR_OK:
        return SRTP_OK
    if status == ERR_AUTH_FAIL:
        return SRTP_AUTH
    if status == ERR_REPLAY_FAIL or status == ERR_REPLAY_OLD:
        return SRTP_REPLAY
    return SRTP_FAILED


cdef int srtp_protect(SrtpSession session, unsigned char* packet, int* size) noexcept nogil:
    if session == NULL or size[0] < 12:
        return SRTP_FAILED
    return _status(_protect(session, packet, size))


cdef int srtp_protect_rtcp(SrtpSession session, unsigned char* packet, int* size) noexcept nogil:
    if session == NULL or size[0] < 8:
        return SRTP_FAILED
    return _status(_protect_rtcp(session, packet, size))


cdef int srtp_unprotect(SrtpSession session, unsigned char* packet, int* size) noexcept nogil:
    if session == NULL or size[0] < 12:
        return SRTP_FAILED
    return _status(_unprotect(session, packet, size))


cdef int srtp_unprotect_rtcp(SrtpSession session, unsigned char* packet, int* size) noexcept nogil:
    if session == NULL or size[0] < 8:
        return SRTP_FAILED
    return _status(_unprotect_rtcp(session, packet, size))


cdef class Session:
    cdef SrtpSession _session

    def __init__(self, SrtpPolicy policy not None):
        if self._session != NULL:
            raise RuntimeError("this session is open already")
        self._session = srtp_open(policy.pointer)
        if self._session == NULL:
            raise ValueError("libsrtp refused the policy")

    def __dealloc__(self):
        srtp_close(self._session)

    cdef bytes _process(self, bytes packet, int (*function)(SrtpSession, unsigned char*, int*) noexcept nogil):
        cdef unsigned char buffer[2048 + SRTP_TRAILER]
        cdef int size = <int>len(packet)
        cdef int status
        if size > 2048:
            raise ValueError("a packet is at most 2048 bytes here")
        memcpy(buffer, <const char*>packet, size)
        status = function(self._session, buffer, &size)
        if status != SRTP_OK:
            raise SrtpError(_REASONS[status])
        return buffer[:size]

    def protect(self, bytes packet not None):
        return self._process(packet, srtp_protect)

    def protect_rtcp(self, bytes packet not None):
        return self._process(packet, srtp_protect_rtcp)

    def unprotect(self, bytes packet not None):
        return self._process(packet, srtp_unprotect)

    def unprotect_rtcp(self, bytes packet not None):
        return self._process(packet, srtp_unprotect_rtcp)
