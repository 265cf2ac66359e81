# The index of an SRTP stream and its replay window (RFC 3711 sections 3.3.1 and 3.3.2), for senders and receivers
# alike; and the replay window of received SRTCP, at the end.
#
# Index: ROC << 16 | sequence number, 48 bits. All zero is the window of a stream that has had no packet: until the index
# is past 32768 the ROC is taken as zero, so a stream may begin anywhere. That, the size and what is refused are
# libsrtp's, packet for packet.

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

cdef enum:
    WINDOW = 1024               # packets
    WINDOW_WORDS = WINDOW / 64
    HALF = 1 << 15              # of the sequence numbers

cdef enum WindowStatus:
    WINDOW_OK = 0
    WINDOW_SEEN = 1             # that index was added before, or is older than the window

cdef struct Window:
    uint64_t index              # the highest added
    uint64_t[WINDOW_WORDS] seen # bit i % WINDOW: index i was added, for the WINDOW indices up to the highest


cdef inline int64_t window_delta(const Window* w, uint16_t seq) noexcept nogil:
    """How far the index that `seq` most likely stands for is from the highest; within a roll-over of it."""
    cdef int64_t highest = <int64_t>(w.index & 0xFFFF)
    if w.index <= HALF:
        return <int64_t>seq - <int64_t>w.index
    if highest < HALF and seq - highest > HALF:
        return seq - highest - 65536
    if highest >= HALF and seq < highest - HALF:
        return seq - highest + 65536
    return seq - highest


cdef inline uint64_t window_index(const Window* w, int64_t delta) noexcept nogil:
    return (w.index + <uint64_t>delta) & <uint64_t>0xFFFFFFFFFFFF


cdef inline int window_check(const Window* w, int64_t delta) noexcept nogil:
    cdef uint64_t index
    if delta > 0:
        # Past the last index of all, nonces would come again. No stream gets there within 2**33 packets of ours.
        return WINDOW_OK if w.index + <uint64_t>delta < <uint64_t>1 << 48 else WINDOW_SEEN
    if delta <= -WINDOW:
        return WINDOW_SEEN
    index = w.index + <uint64_t>delta
    return WINDOW_SEEN if w.seen[index % WINDOW / 64] >> (index % 64) & 1 else WINDOW_OK


cdef inline void window_add(Window* w, int64_t delta) noexcept nogil:
    """After window_check allowed it and, for a receiver, the packet was authentic."""
    cdef uint64_t index
    cdef int64_t step
    if delta >= WINDOW:
        memset(w.seen, 0, sizeof(w.seen))
    else:
        for step in range(1, delta):
            index = w.index + <uint64_t>step
            w.seen[index % WINDOW / 64] &= ~(<uint64_t>1 << (index % 64))
    index = w.index + <uint64_t>delta
    w.seen[index % WINDOW / 64] |= <uint64_t>1 << (index % 64)
    if delta > 0:
        w.index = index


# SRTCP carries its index, 31 bits (RFC 3711 section 3.4), so there is nothing to estimate. The window is libsrtp's: it
# begins at index 0 and is 128 wide; what is ahead of it moves it on.

cdef enum:
    CONTROL_WINDOW = 128        # packets
    CONTROL_WORDS = CONTROL_WINDOW / 64

cdef struct ControlWindow:
    uint64_t[CONTROL_WORDS] seen  # bit i % CONTROL_WINDOW: index i was added
    uint32_t start              # the lowest index that may still come


cdef inline int control_window_check(const ControlWindow* w, uint32_t index) noexcept nogil:
    if index < w.start:
        return WINDOW_SEEN
    if index - w.start >= CONTROL_WINDOW:
        return WINDOW_OK
    return WINDOW_SEEN if w.seen[index % CONTROL_WINDOW / 64] >> (index % 64) & 1 else WINDOW_OK


cdef inline void control_window_add(ControlWindow* w, uint32_t index) noexcept nogil:
    """After control_window_check allowed it and the packet was authentic."""
    if index - w.start >= 2 * CONTROL_WINDOW:
        memset(w.seen, 0, sizeof(w.seen))
        w.start = index - CONTROL_WINDOW + 1
    while index - w.start >= CONTROL_WINDOW:
        w.seen[w.start % CONTROL_WINDOW / 64] &= ~(<uint64_t>1 << (w.start % 64))
        w.start += 1
    w.seen[index % CONTROL_WINDOW / 64] |= <uint64_t>1 << (index % 64)
