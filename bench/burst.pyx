"""The sending end of a load generator: stamps, protects and sends one frame, with nothing of Python's in between."""

from libc.errno cimport errno
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy, memset

from rtpfwd.srtp cimport SRTP_OK, SRTP_TRAILER, SrtpPolicy, SrtpSender, srtp_protect, srtp_sender_close, srtp_sender_open
from rtpfwd.sys_linux cimport *

cdef enum:
    MOST = 64       # packets of one burst
    LONGEST = 1500  # bytes of one packet in the clear
    ROOM = 2048


cdef class Burst:
    cdef int fd
    cdef SrtpPolicy policy
    cdef SrtpSender sender
    cdef uint8_t buffers[MOST][ROOM]
    cdef int sizes[MOST]
    cdef mmsghdr messages[MOST]
    cdef iovec vectors[MOST]

    def __init__(self, int fd, SrtpPolicy policy not None):
        if self.policy is not None:
            raise RuntimeError("a burst is initialised once")
        self.policy = policy
        if srtp_sender_open(&self.sender, &policy.keys, 0):
            raise ValueError("libsrtp refused the policy")
        self.fd = fd

    def __dealloc__(self):
        srtp_sender_close(&self.sender)

    def send(self, list packets not None):
        cdef int count = <int>len(packets)
        cdef int index, sent
        cdef bytes packet
        if count > MOST:
            raise ValueError(f"a burst is at most {MOST} packets")
        for index in range(count):
            packet = packets[index]
            if not 24 <= len(packet) <= LONGEST:
                raise ValueError(f"a packet is 24 to {LONGEST} bytes")
            self.sizes[index] = <int>len(packet)
            memcpy(&self.buffers[index][0], <const char*>packet, len(packet))
        with nogil:
            sent = self.protect_and_send(count)
        if sent < 0:
            raise ValueError("libsrtp refused a packet")
        return sent

    cdef int protect_and_send(self, int count) noexcept nogil:
        """How many the socket took; -1 when libsrtp refused one."""
        cdef int index, byte
        cdef int sent = 0
        cdef int taken
        cdef timespec clock
        cdef int64_t now
        for index in range(count):
            clock_gettime(CLOCK_MONOTONIC, &clock)
            now = <int64_t>clock.tv_sec * 1000000000 + clock.tv_nsec
            for byte in range(8):
                self.buffers[index][self.sizes[index] - 1 - byte] = <uint8_t>(now >> 8 * byte)
            if srtp_protect(&self.sender, &self.buffers[index][0], &self.sizes[index]) != SRTP_OK:
                return -1
            self.vectors[index].iov_base = &self.buffers[index][0]
            self.vectors[index].iov_len = self.sizes[index]
            memset(&self.messages[index], 0, sizeof(mmsghdr))
            self.messages[index].msg_hdr.msg_iov = &self.vectors[index]
            self.messages[index].msg_hdr.msg_iovlen = 1
        while sent < count:
            taken = sendmmsg(self.fd, self.messages + sent, count - sent, MSG_DONTWAIT | MSG_NOSIGNAL)
            if taken <= 0:
                break
            sent += taken
        return sent
