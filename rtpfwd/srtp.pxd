# SRTP and SRTCP (RFC 3711; AEAD: RFC 7714), whoever does the arithmetic.
#
# SrtpPolicy holds the keys of one direction of one transport. A sender is one SSRC under such keys, a receiver every SSRC,
# a session is for SRTCP. They are opened, used and closed without the GIL, never outlive their policy, and belong to one
# thread at a time; here the plane's mutex sees to that. Keys may be used by several threads.
#
# All of it is done by the backend that the policy was made with: `native` (rtpfwd/crypto) or libsrtp.

from libc.stdint cimport int32_t, uint8_t, uint32_t

from rtpfwd.crypto.window cimport ControlWindow, Window

cdef enum SrtpStatus:
    SRTP_OK = 0
    SRTP_AUTH = 1               # the tag is wrong: not from the holder of the key, or damaged
    SRTP_REPLAY = 2             # seen before, or older than the replay window
    SRTP_FAILED = 3             # anything else: too short, malformed, key used up

cdef enum:
    SRTP_TRAILER = 20           # bytes that protection may append at most (GCM tag 16 + SRTCP index 4)
    SRTP_REPLAY_WINDOW = 1024   # packets of RTP
    SRTCP_LAST_INDEX = 0x7FFFFFFF   # the last that a key may protect under one SSRC


cdef struct SrtpKeys:           # of an SrtpPolicy
    int32_t profile             # rtpfwd.params.SrtpProfile
    int32_t tag_size            # bytes that protection appends to RTP; to RTCP, four more
    void* policy                # libsrtp's srtp_policy_t; NULL where the backend is native
    void* native                # crypto/native.h's native_key, shared by all streams; NULL: libsrtp does it


cdef class SrtpPolicy:
    cdef object _policy         # the cffi struct; libsrtp reads it when something is opened. None with native
    cdef object _key            # the cffi buffer it points to; wiped when the policy goes. None with native
    cdef SrtpKeys keys          # what the functions below take a pointer to
    cdef readonly int profile
    cdef readonly bint inbound
    cdef readonly str backend   # "native" or "libsrtp"

    cdef int _set_policy(self, bytes key) except -1


cdef struct SrtpSender:         # one SSRC sent; all zero is "no keys"
    const SrtpKeys* keys
    uint32_t ssrc
    void* session               # libsrtp's; NULL where the backend is native
    Window window               # where it is native: indices are never used twice


cdef struct SentControl:
    uint32_t ssrc
    uint32_t index              # the last used, 0 before the first


cdef struct SrtpControl:        # SRTCP sent under one key
    const void* native          # crypto/native.h's native_key; NULL: libsrtp does it
    void* session               # libsrtp's; NULL where the backend is native
    SentControl first           # of `count` SSRCs, each with an index of its own; most send under one
    SentControl* more
    uint32_t count
    uint32_t room               # of `more`

ctypedef SrtpControl* SrtpSession   # NULL is "no keys"


cdef struct SrtpReceiver:       # every SSRC received under one key
    const SrtpKeys* keys
    void* session               # libsrtp's; NULL where the backend is native
    uint32_t* ssrcs             # `count` of them, with two windows each; only SSRCs that sent something authentic
    Window* windows             # of RTP
    ControlWindow* controls     # of RTCP
    uint32_t count
    uint32_t room
    uint32_t recent             # where the packet before was found


cdef struct SrtpJob:            # one RTP packet to protect
    SrtpSender* sender
    const uint8_t* payload      # clear, with any RTP padding; may be packet + header_size itself
    uint8_t* packet             # the clear header is here; room for the payload and SRTP_TRAILER behind it
    int32_t header_size         # bytes: fixed header, CSRCs and extension; a multiple of 4
    int32_t payload_size        # bytes
    int32_t status              # out: SrtpStatus. SRTP_OK: header_size + payload_size + keys.tag_size bytes are in packet


# All of these: the policy's SrtpKeys must live as long. Open: 0, or -1 when it is refused or there is no memory.
cdef int srtp_sender_open(SrtpSender* sender, const SrtpKeys* keys, uint32_t ssrc) noexcept nogil
cdef void srtp_sender_close(SrtpSender* sender) noexcept nogil     # closed twice does no harm
cdef SrtpReceiver* srtp_receiver_open(const SrtpKeys* keys) noexcept nogil  # NULL: refused, or no memory
cdef void srtp_receiver_close(SrtpReceiver* receiver) noexcept nogil        # NULL does no harm
cdef SrtpSession srtp_open(const SrtpKeys* keys) noexcept nogil    # for SRTCP
cdef void srtp_close(SrtpSession session) noexcept nogil

# Many packets, of many senders. Packets of one sender are protected in their order here.
cdef void srtp_protect_jobs(SrtpJob* jobs, int count) noexcept nogil
# One whole clear packet in place; `size` is bytes, in and out. SRTP_TRAILER bytes of room behind it.
cdef int srtp_protect(SrtpSender* sender, uint8_t* packet, int* size) noexcept nogil
# One received packet of `size` bytes to `out`, which has room for as many and may be `packet` itself. `size`: out, the clear
# packet's bytes. Nothing of a refused packet may be used.
cdef int srtp_unprotect(SrtpReceiver* receiver, const uint8_t* packet, uint8_t* out, int* size) noexcept nogil

# RTCP in place; `size` is bytes, in and out. SRTP_TRAILER bytes of room behind the packet. The first index of an SSRC
# is 1; after SRTCP_LAST_INDEX its key is used up: SRTP_FAILED. Nothing is allocated but for an SSRC's first packet.
cdef int srtp_protect_rtcp(SrtpSession session, uint8_t* packet, int* size) noexcept nogil
cdef int srtp_unprotect_rtcp(SrtpReceiver* receiver, uint8_t* packet, int* size) noexcept nogil

# What they occupy, without libsrtp's part. NULL: nothing.
cdef size_t srtp_session_bytes(const SrtpControl* session) noexcept nogil
cdef size_t srtp_receiver_bytes(const SrtpReceiver* receiver) noexcept nogil
