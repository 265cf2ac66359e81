# distutils: include_dirs = .
"""SRTP through our own C core or the libsrtp inside pylibsrtp, both called without the GIL.

These 570 lines are one file because the two share every structure: a policy's keys, a sender, a receiver.

pylibsrtp is an API-mode cffi module, so `ffi.addressof(lib, "srtp_protect")` is a plain C function. The types of all
of them are compared at import: another pylibsrtp with other types must fail there, not in the middle of a call.
"""

from collections import namedtuple

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

from pylibsrtp import __version__ as _pylibsrtp_version
from pylibsrtp._binding import ffi as _ffi
from pylibsrtp._binding import lib as _lib

from rtpfwd.crypto.core cimport NATIVE_BAD_TAG, NATIVE_GCM, NATIVE_OK, native_job, native_key
from rtpfwd.crypto.native cimport key_create, key_free, protect, protect_control, unprotect, unprotect_control
from rtpfwd.crypto.window cimport (
    ControlWindow, WINDOW_OK, Window, control_window_add, control_window_check, window_add, window_check, window_delta,
    window_index,
)

from rtpfwd.crypto.native import TIERS, best_tier, has_tier
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

cdef enum:
    LONGEST = 2048              # bytes of a packet that a Session takes
    ROOM = LONGEST + SRTP_TRAILER
    TOGETHER = 32               # jobs that go to the native core in one call
    CONTROL_WORD = 4            # bytes: E flag and SRTCP index

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


BACKENDS = ("auto", "native", "libsrtp")
_default = "auto"

Backend = namedtuple("Backend", ["profile", "name", "tier", "why"])


def _choose(profile, wanted):
    """What `wanted` means on this CPU. ValueError: it has no such thing."""
    if wanted not in BACKENDS:
        raise ValueError(f"no SRTP backend is called {wanted!r}; choose one of {', '.join(BACKENDS)}")
    if wanted == "libsrtp":
        return Backend(profile, "libsrtp", None, "chosen")
    tier = best_tier(profile)
    if tier is not None:
        return Backend(profile, "native", tier, "chosen" if wanted == "native" else "the best this CPU has")
    lacks = "AES, PCLMULQDQ and SSE4.1" if profile == SrtpProfile.AEAD_AES_128_GCM else "AES, PCLMULQDQ, SSE4.1 and SHA"
    if wanted == "native":
        raise ValueError(
            f"the native SRTP backend needs a CPU with the {lacks} instructions for {profile.name}, and this one lacks "
            "some of them; choose auto or libsrtp"
        )
    return Backend(profile, "libsrtp", None, f"this CPU lacks some of the {lacks} instructions")


def set_backend(name):
    global _default
    backends(name)
    _default = name


def backends(name=None):
    return tuple(_choose(profile, _default if name is None else name) for profile in SrtpProfile)


cdef class SrtpPolicy:
    def __init__(self, profile, key, *, bint inbound, backend=None, tier=None):
        if self._policy is not None or self.keys.native != NULL:
            raise RuntimeError("this policy has its key already")
        profile = SrtpProfile(profile)
        chosen = _choose(profile, _default if backend is None else backend)
        expected = _lib.srtp_profile_get_master_key_length(profile) + _lib.srtp_profile_get_master_salt_length(profile)
        if not isinstance(key, bytes) or len(key) != expected:
            raise ValueError(f"{profile.name} needs {expected} bytes of master key and salt")
        self.profile = profile
        self.inbound = inbound
        self.keys.profile = profile
        self.keys.tag_size = 16 if profile == SrtpProfile.AEAD_AES_128_GCM else 10
        self.backend = chosen.name
        if chosen.name == "native":
            tier = chosen.tier if tier is None else tier
            if tier not in TIERS or not has_tier(profile, tier):
                raise ValueError(f"this CPU has no SRTP tier {tier!r} for {profile.name}")
            self.keys.native = key_create(profile, TIERS[tier], <const uint8_t*><const char*>key)
            if self.keys.native == NULL:
                raise MemoryError
        elif tier is not None:
            raise ValueError("only the native SRTP backend has tiers")
        else:
            self._set_policy(key)

    cdef int _set_policy(self, bytes key) except -1:
        """libsrtp's description of what it is to do."""
        policy = _ffi.new("srtp_policy_t *")
        rtp, rtcp = _ffi.addressof(policy.rtp), _ffi.addressof(policy.rtcp)
        if (
            _lib.srtp_crypto_policy_set_from_profile_for_rtp(rtp, self.profile) != ERR_OK
            or _lib.srtp_crypto_policy_set_from_profile_for_rtcp(rtcp, self.profile) != ERR_OK
        ):
            raise ValueError(f"this libsrtp does not know the profile {SrtpProfile(self.profile).name}")
        self._key = _ffi.new("unsigned char[]", key)
        policy.key = self._key
        policy.ssrc.type = _lib.ssrc_any_inbound if self.inbound else _lib.ssrc_any_outbound
        policy.window_size = SRTP_REPLAY_WINDOW  # as crypto/window.pxd
        policy.allow_repeat_tx = 0  # a retransmission has its own SSRC; sending changed bytes again would reuse the keystream
        self._policy = policy
        self.keys.policy = <void*><uintptr_t>int(_ffi.cast("uintptr_t", policy))
        return 0

    def __dealloc__(self):
        key_free(<native_key*>self.keys.native)
        if self._key is not None:
            _ffi.memmove(self._key, bytes(len(self._key)), len(self._key))


cdef inline int _status(int status) noexcept nogil:
    if status == ERR_OK:
        return SRTP_OK
    if status == ERR_AUTH_FAIL:
        return SRTP_AUTH
    if status == ERR_REPLAY_FAIL or status == ERR_REPLAY_OLD:
        return SRTP_REPLAY
    return SRTP_FAILED


cdef void* _open_libsrtp(const SrtpKeys* keys) noexcept nogil:
    cdef void* session = NULL
    return session if _create(&session, keys.policy) == ERR_OK else NULL


cdef void _close_libsrtp(void* session) noexcept nogil:
    if session != NULL:
        _dealloc(session)


cdef SrtpSession srtp_open(const SrtpKeys* keys) noexcept nogil:
    cdef SrtpControl* control = <SrtpControl*>calloc(1, sizeof(SrtpControl)) if keys != NULL else NULL
    if control == NULL:
        return NULL
    control.native = keys.native
    if keys.native == NULL:
        control.session = _open_libsrtp(keys)
        if control.session == NULL:
            free(control)
            return NULL
    return control


cdef void srtp_close(SrtpSession session) noexcept nogil:
    if session != NULL:
        _close_libsrtp(session.session)
        free(session.more)
        free(session)


cdef int srtp_sender_open(SrtpSender* sender, const SrtpKeys* keys, uint32_t ssrc) noexcept nogil:
    memset(sender, 0, sizeof(SrtpSender))
    if keys == NULL:
        return -1
    if keys.native == NULL:
        sender.session = _open_libsrtp(keys)
        if sender.session == NULL:
            return -1
    sender.keys = keys
    sender.ssrc = ssrc
    return 0


cdef void srtp_sender_close(SrtpSender* sender) noexcept nogil:
    _close_libsrtp(sender.session)
    sender.session = NULL
    sender.keys = NULL


cdef SrtpReceiver* srtp_receiver_open(const SrtpKeys* keys) noexcept nogil:
    cdef SrtpReceiver* receiver = <SrtpReceiver*>calloc(1, sizeof(SrtpReceiver)) if keys != NULL else NULL
    if receiver == NULL:
        return NULL
    receiver.keys = keys
    if keys.native == NULL:
        receiver.session = _open_libsrtp(keys)
        if receiver.session == NULL:
            free(receiver)
            return NULL
    return receiver


cdef void srtp_receiver_close(SrtpReceiver* receiver) noexcept nogil:
    if receiver != NULL:
        _close_libsrtp(receiver.session)
        free(receiver.ssrcs)
        free(receiver.windows)
        free(receiver.controls)
        free(receiver)


cdef int _protect_by_libsrtp(SrtpJob* job) noexcept nogil:
    cdef int size = job.header_size + job.payload_size
    if job.payload != job.packet + job.header_size:
        memcpy(job.packet + job.header_size, job.payload, job.payload_size)
    return _status(_protect(job.sender.session, job.packet, &size))


cdef int _prepare(SrtpJob* job, native_job* prepared) noexcept nogil:
    """Give the packet its index, which is used up then."""
    cdef Window* window = &job.sender.window
    cdef int64_t delta = window_delta(window, <uint16_t>(job.packet[2] << 8 | job.packet[3]))
    if window_check(window, delta) != WINDOW_OK:
        return SRTP_REPLAY
    prepared.index = window_index(window, delta)
    window_add(window, delta)
    prepared.key = <const native_key*>job.sender.keys.native
    prepared.payload = job.payload
    prepared.packet = job.packet
    prepared.header_size = job.header_size
    prepared.payload_size = job.payload_size
    prepared.ssrc = _ssrc_of(job.packet)
    return SRTP_OK


cdef void srtp_protect_jobs(SrtpJob* jobs, int count) noexcept nogil:
    cdef native_job[TOGETHER] prepared
    cdef SrtpJob* job
    cdef int index, ready = 0
    for index in range(count):
        job = &jobs[index]
        if job.sender.keys == NULL:
            job.status = SRTP_FAILED
        elif job.sender.keys.native == NULL:
            job.status = _protect_by_libsrtp(job)
        else:
            job.status = _prepare(job, &prepared[ready])
            ready += job.status == SRTP_OK
        if ready == TOGETHER:
            protect(prepared, ready)
            ready = 0
    if ready:
        protect(prepared, ready)


cdef int srtp_protect(SrtpSender* sender, uint8_t* packet, int* size) noexcept nogil:
    cdef SrtpJob job
    cdef int header = _header_size(packet, size[0])
    if header < 0:
        return SRTP_FAILED
    job.sender = sender
    job.packet = packet
    job.payload = packet + header
    job.header_size = header
    job.payload_size = size[0] - header
    srtp_protect_jobs(&job, 1)
    if job.status == SRTP_OK:
        size[0] += sender.keys.tag_size
    return job.status


cdef inline uint32_t _ssrc_of(const uint8_t* packet) noexcept nogil:
    return <uint32_t>packet[8] << 24 | <uint32_t>packet[9] << 16 | <uint32_t>packet[10] << 8 | packet[11]


cdef int _header_size(const uint8_t* packet, int size) noexcept nogil:
    """Bytes of the RTP header with its CSRCs and extension; -1: the packet ends before."""
    cdef int header
    if size < 12:
        return -1
    header = 12 + 4 * (packet[0] & 15)
    if packet[0] & 0x10:
        header += 4
        if header > size:
            return -1
        header += 4 * (packet[header - 2] << 8 | packet[header - 1])
    return header if header <= size else -1


cdef bint _find(SrtpReceiver* receiver, uint32_t ssrc) noexcept nogil:
    """`receiver.recent` is its place then. False: nothing authentic came from that SSRC so far."""
    cdef uint32_t index
    if receiver.recent < receiver.count and receiver.ssrcs[receiver.recent] == ssrc:
        return True
    for index in range(receiver.count):
        if receiver.ssrcs[index] == ssrc:
            receiver.recent = index
            return True
    return False


cdef int _grow(SrtpReceiver* receiver) noexcept nogil:
    """-1: no memory, and everything is as it was but for arrays that are longer than `room` says."""
    cdef uint32_t room = 2 * receiver.room if receiver.room else 2
    cdef void* grown = realloc(receiver.ssrcs, room * sizeof(uint32_t))
    if grown == NULL:
        return -1
    receiver.ssrcs = <uint32_t*>grown
    grown = realloc(receiver.windows, room * sizeof(Window))
    if grown == NULL:
        return -1
    receiver.windows = <Window*>grown
    grown = realloc(receiver.controls, room * sizeof(ControlWindow))
    if grown == NULL:
        return -1
    receiver.controls = <ControlWindow*>grown
    receiver.room = room
    return 0


cdef bint _add(SrtpReceiver* receiver, uint32_t ssrc) noexcept nogil:
    """As _find, for one that is not there; whoever unprotects bounds how many SSRCs it lets in. False: no memory."""
    if receiver.count == receiver.room and _grow(receiver) < 0:
        return False
    receiver.recent = receiver.count
    receiver.count += 1
    receiver.ssrcs[receiver.recent] = ssrc
    memset(&receiver.windows[receiver.recent], 0, sizeof(Window))
    memset(&receiver.controls[receiver.recent], 0, sizeof(ControlWindow))
    return True


cdef int _unprotect_natively(SrtpReceiver* receiver, const uint8_t* packet, uint8_t* out, int* size) noexcept nogil:
    """What is refused, and in which order it is looked at, is as in libsrtp."""
    cdef int header = _header_size(packet, size[0])
    cdef uint32_t ssrc = _ssrc_of(packet)
    cdef uint16_t seq = <uint16_t>(packet[2] << 8 | packet[3])
    cdef const Window* window
    cdef int64_t delta = seq
    cdef uint64_t index = seq
    cdef int status
    cdef bint known
    if header < 0:
        return SRTP_FAILED
    known = _find(receiver, ssrc)
    if known:
        window = &receiver.windows[receiver.recent]
        delta = window_delta(window, seq)
        if window_check(window, delta) != WINDOW_OK:
            return SRTP_REPLAY
        index = window_index(window, delta)
    status = unprotect(<const native_key*>receiver.keys.native, packet, header, size[0], ssrc, index, out)
    if status != NATIVE_OK:
        return SRTP_AUTH if status == NATIVE_BAD_TAG else SRTP_FAILED
    if not known and not _add(receiver, ssrc):
        return SRTP_FAILED
    window_add(&receiver.windows[receiver.recent], delta)
    size[0] -= receiver.keys.tag_size
    return SRTP_OK


cdef int srtp_unprotect(SrtpReceiver* receiver, const uint8_t* packet, uint8_t* out, int* size) noexcept nogil:
    if receiver == NULL or size[0] < 12:
        return SRTP_FAILED
    if receiver.keys.native != NULL:
        return _unprotect_natively(receiver, packet, out, size)
    if out != packet:
        memcpy(out, packet, size[0])
    return _status(_unprotect(receiver.session, out, size))


cdef SentControl* _sent(SrtpControl* control, uint32_t ssrc) noexcept nogil:
    """NULL: no memory. Grows by the SSRCs that we send under."""
    cdef uint32_t index, room
    cdef void* grown
    if control.count == 0:
        control.first.ssrc = ssrc
        control.count = 1
    if control.first.ssrc == ssrc:
        return &control.first
    for index in range(control.count - 1):
        if control.more[index].ssrc == ssrc:
            return &control.more[index]
    index = control.count - 1
    if index == control.room:
        room = 2 * control.room if control.room else 2
        grown = realloc(control.more, room * sizeof(SentControl))
        if grown == NULL:
            return NULL
        control.more = <SentControl*>grown
        control.room = room
    control.count += 1
    control.more[index].ssrc = ssrc
    control.more[index].index = 0
    return &control.more[index]


cdef inline uint32_t _word(const uint8_t* at) noexcept nogil:
    return <uint32_t>at[0] << 24 | <uint32_t>at[1] << 16 | <uint32_t>at[2] << 8 | at[3]


cdef int srtp_protect_rtcp(SrtpSession session, uint8_t* packet, int* size) noexcept nogil:
    cdef SentControl* sent
    if session == NULL or size[0] < 8:
        return SRTP_FAILED
    if session.native == NULL:
        return _status(_protect_rtcp(session.session, packet, size))
    sent = _sent(session, _word(packet + 4))
    if sent == NULL or sent.index == SRTCP_LAST_INDEX:
        return SRTP_FAILED
    sent.index += 1
    size[0] = <int>protect_control(<const native_key*>session.native, packet, size[0], sent.index)
    return SRTP_OK


cdef int _unprotect_rtcp_natively(SrtpReceiver* receiver, uint8_t* packet, int* size) noexcept nogil:
    """What is refused, and in which order it is looked at, is as in libsrtp.

    The word behind a packet says in its first bit (E) whether it was encrypted. Where it was not, libsrtp takes it with
    GCM if it is authentic, and never with CM.
    """
    cdef bint gcm = receiver.keys.profile == NATIVE_GCM
    cdef int clear = size[0] - receiver.keys.tag_size - CONTROL_WORD
    cdef uint32_t ssrc, word
    cdef int status
    cdef bint known
    if clear < 8:
        return SRTP_FAILED
    ssrc = _word(packet + 4)
    word = _word(packet + (size[0] - CONTROL_WORD if gcm else clear))
    if not gcm and not word >> 31:
        return SRTP_FAILED
    word &= SRTCP_LAST_INDEX
    known = _find(receiver, ssrc)
    if known and control_window_check(&receiver.controls[receiver.recent], word) != WINDOW_OK:
        return SRTP_REPLAY
    status = unprotect_control(<const native_key*>receiver.keys.native, packet, size[0])
    if status != NATIVE_OK:
        return SRTP_AUTH if status == NATIVE_BAD_TAG else SRTP_FAILED
    if not known and not _add(receiver, ssrc):
        return SRTP_FAILED
    control_window_add(&receiver.controls[receiver.recent], word)
    size[0] = clear
    return SRTP_OK


cdef int srtp_unprotect_rtcp(SrtpReceiver* receiver, uint8_t* packet, int* size) noexcept nogil:
    if receiver == NULL or size[0] < 8:
        return SRTP_FAILED
    if receiver.keys.native != NULL:
        return _unprotect_rtcp_natively(receiver, packet, size)
    return _status(_unprotect_rtcp(receiver.session, packet, size))


cdef size_t srtp_session_bytes(const SrtpControl* session) noexcept nogil:
    return 0 if session == NULL else sizeof(SrtpControl) + session.room * sizeof(SentControl)


cdef size_t srtp_receiver_bytes(const SrtpReceiver* receiver) noexcept nogil:
    if receiver == NULL:
        return 0
    return sizeof(SrtpReceiver) + receiver.room * (sizeof(uint32_t) + sizeof(Window) + sizeof(ControlWindow))


cdef class _Sender:
    cdef SrtpSender sender

    def __dealloc__(self):
        srtp_sender_close(&self.sender)


cdef class Session:
    cdef SrtpPolicy _policy     # outlives everything below
    cdef dict _senders          # by SSRC
    cdef SrtpReceiver* _receiver
    cdef SrtpSession _control

    def __init__(self, SrtpPolicy policy not None):
        if self._policy is not None:
            raise RuntimeError("this session is open already")
        self._policy = policy
        self._senders = {}
        self._receiver = srtp_receiver_open(&policy.keys)
        self._control = srtp_open(&policy.keys)
        if self._receiver == NULL or self._control == NULL:
            raise ValueError("libsrtp refused the policy")

    def __dealloc__(self):
        srtp_receiver_close(self._receiver)
        srtp_close(self._control)

    cdef _Sender _sender(self, bytes packet):
        """Of the SSRC that the packet names."""
        ssrc = int.from_bytes(packet[8:12], "big")
        cdef _Sender sender = self._senders.get(ssrc)
        if sender is None:
            sender = _Sender()
            if srtp_sender_open(&sender.sender, &self._policy.keys, ssrc):
                raise ValueError("libsrtp refused the policy")
            self._senders[ssrc] = sender
        return sender

    def protect(self, bytes packet not None):
        cdef unsigned char buffer[ROOM]
        cdef int size = _load(packet, buffer)
        cdef int status = srtp_protect(&self._sender(packet).sender, buffer, &size)
        return _answer(status, buffer, size)

    def protect_rtcp(self, bytes packet not None):
        cdef unsigned char buffer[ROOM]
        cdef int size = _load(packet, buffer)
        cdef int status = srtp_protect_rtcp(self._control, buffer, &size)
        return _answer(status, buffer, size)

    def unprotect(self, bytes packet not None):
        cdef unsigned char buffer[ROOM]
        cdef int size = <int>len(packet)
        _load(packet, buffer)
        cdef int status = srtp_unprotect(self._receiver, packet, buffer, &size)
        return _answer(status, buffer, size)

    def unprotect_rtcp(self, bytes packet not None):
        cdef unsigned char buffer[ROOM]
        cdef int size = _load(packet, buffer)
        cdef int status = srtp_unprotect_rtcp(self._receiver, buffer, &size)
        return _answer(status, buffer, size)


cdef int _load(bytes packet, unsigned char* buffer) except -1:
    if len(packet) > LONGEST:
        raise ValueError(f"a packet is at most {LONGEST} bytes here")
    memcpy(buffer, <const char*>packet, len(packet))
    return <int>len(packet)


cdef bytes _answer(int status, const unsigned char* buffer, int size):
    if status != SRTP_OK:
        raise SrtpError(_REASONS[status])
    return buffer[:size]
