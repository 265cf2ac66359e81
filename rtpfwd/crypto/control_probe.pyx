# distutils: include_dirs = .
"""SRTCP by both SRTP backends side by side on random packets, at the edges of memory, on the clock; without the GIL.

No production code imports this. Its typed face is control_probe.pyi.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from rtpfwd.crypto.probe cimport CANARY, Fenced, below, cycles_now, fill, untouched
from rtpfwd.srtp cimport (
    SRTP_OK,
    SrtpPolicy,
    SrtpReceiver,
    SrtpSession,
    srtp_close,
    srtp_open,
    srtp_protect_rtcp,
    srtp_receiver_close,
    srtp_receiver_open,
    srtp_unprotect_rtcp,
)

cdef enum:
    ROOM = 1536         # bytes of a buffer
    LARGEST = 1400      # bytes of a clear packet
    STREAMS = 6         # SSRCs
    KEPT = 512          # protected packets that may be delivered again, late

STATUSES = ("ok", "auth", "replay", "failed")


cdef class Ends:
    """A sender for each of some policies and a receiver for each of others."""
    cdef SrtpSession* sessions
    cdef SrtpReceiver** receivers
    cdef int sending, receiving
    cdef tuple policies         # live as long

    def __cinit__(self, list sending not None, list receiving not None):
        cdef SrtpPolicy policy
        self.policies = (tuple(sending), tuple(receiving))
        self.sessions = <SrtpSession*>calloc(len(sending) + 1, sizeof(SrtpSession))
        self.receivers = <SrtpReceiver**>calloc(len(receiving) + 1, sizeof(void*))
        if self.sessions == NULL or self.receivers == NULL:
            raise MemoryError
        for policy in sending:
            self.sessions[self.sending] = srtp_open(&policy.keys)
            self.sending += 1
        for policy in receiving:
            self.receivers[self.receiving] = srtp_receiver_open(&policy.keys)
            self.receiving += 1
        if any([self.sessions[index] == NULL for index in range(self.sending)]) or any(
            [self.receivers[index] == NULL for index in range(self.receiving)]
        ):
            raise ValueError("a policy was refused")

    def __dealloc__(self):
        cdef int index
        for index in range(self.sending):
            srtp_close(self.sessions[index])
        for index in range(self.receiving):
            srtp_receiver_close(self.receivers[index])
        free(self.sessions)
        free(self.receivers)


cdef void set_ssrc(uint8_t* packet, uint32_t ssrc) noexcept nogil:
    packet[4] = packet[5] = packet[6] = 0
    packet[7] = <uint8_t>ssrc


cdef int write_packet(uint64_t* state, uint8_t* packet) noexcept nogil:
    """Random bytes under one of the SSRCs, of any size, as the arithmetic does not ask for whole words. Its size."""
    cdef int size = 8 + <int>below(state, 193 if below(state, 8) else LARGEST - 7)
    fill(state, packet, size)
    set_ssrc(packet, below(state, STREAMS))
    return size


def compare_protect(SrtpPolicy ours not None, SrtpPolicy theirs not None, int count, uint64_t seed):
    cdef Ends ends = Ends([ours, theirs], [])
    cdef uint8_t mine[ROOM]
    cdef uint8_t other[ROOM]
    cdef uint64_t state = seed * 2 + 1
    cdef int done = 0, size = 0, my_size = 0, other_size = 0
    cdef bint wrong = False
    with nogil:
        while done < count and not wrong:
            memset(mine, CANARY, ROOM)
            size = my_size = other_size = write_packet(&state, mine)
            memcpy(other, mine, ROOM)
            wrong = srtp_protect_rtcp(ends.sessions[0], mine, &my_size) != SRTP_OK
            wrong = wrong or srtp_protect_rtcp(ends.sessions[1], other, &other_size) != SRTP_OK
            wrong = wrong or my_size != other_size or memcmp(mine, other, my_size) != 0
            wrong = wrong or not untouched(mine, my_size, ROOM)
            done += 1
    if wrong:
        raise AssertionError(
            f"packet {done - 1} of seed {seed}, {size} bytes, differs: {bytes(mine[:my_size]).hex()}, "
            f"expected {bytes(other[:other_size]).hex()}"
        )


cdef class Kept:
    """Protected packets on their way."""
    cdef uint8_t data[KEPT][ROOM]
    cdef int size[KEPT]


def compare_unprotect(SrtpPolicy sending not None, SrtpPolicy ours not None, SrtpPolicy theirs not None, int count,
                      uint64_t seed):
    cdef Ends ends = Ends([sending], [ours, theirs])
    cdef Kept kept = Kept()
    cdef uint8_t packet[ROOM]
    cdef uint8_t mine[ROOM]
    cdef uint8_t other[ROOM]
    cdef int[4] statuses
    cdef uint64_t state = seed * 2 + 1
    cdef int done = 0, size = 0, given = 0, my_size, other_size, status = 0, expected = 0
    cdef bint wrong = False
    memset(statuses, 0, sizeof(statuses))
    memset(kept.size, 0, sizeof(kept.size))
    with nogil:
        while done < count and not wrong:
            given = take(kept, ends.sessions[0], packet, &state)
            size = damage(packet, given, &state)
            memcpy(mine, packet, ROOM)
            memcpy(other, packet, ROOM)
            my_size = other_size = size
            status = srtp_unprotect_rtcp(ends.receivers[0], mine, &my_size)
            expected = srtp_unprotect_rtcp(ends.receivers[1], other, &other_size)
            statuses[status] += 1
            done += 1
            wrong = status != expected or memcmp(mine + my_size, packet + my_size, ROOM - my_size) != 0
            if status == SRTP_OK:
                wrong = wrong or my_size != other_size or memcmp(mine, other, my_size) != 0
            else:
                wrong = wrong or my_size != size or memcmp(mine, packet, ROOM) != 0
    if wrong:
        raise AssertionError(
            f"packet {done - 1} of seed {seed}: {STATUSES[status]}, expected {STATUSES[expected]}; "
            f"size {size} of {given}: {bytes(packet[:size]).hex()}"
        )
    return dict(zip(STATUSES, statuses))


cdef int take(Kept kept, SrtpSession session, uint8_t* packet, uint64_t* state) noexcept nogil:
    """A packet to deliver: usually new, sometimes one from before, sometimes one that was held back. Its size."""
    cdef uint32_t way = below(state, 100)
    cdef int slot = <int>below(state, KEPT), size, lost, index
    if way >= 75 and kept.size[slot]:
        memcpy(packet, kept.data[slot], ROOM)
        return kept.size[slot]
    # Lost ones before it: the window moves on by more than one, now and then by about or more than all of its width.
    lost = <int>below(state, 4) if way % 4 == 0 else 0
    if way == 1:
        lost = 100 + <int>below(state, 200)
    fill(state, packet, ROOM)
    size = write_packet(state, packet)
    for index in range(lost):
        memcpy(kept.data[slot], packet, ROOM)
        kept.size[slot] = size
        srtp_protect_rtcp(session, kept.data[slot], &kept.size[slot])
    srtp_protect_rtcp(session, packet, &size)
    if not lost:
        memcpy(kept.data[slot], packet, ROOM)
        kept.size[slot] = size
    return size


cdef int damage(uint8_t* packet, int size, uint64_t* state) noexcept nogil:
    cdef uint32_t kind = below(state, 24)
    cdef int at
    if kind == 0:       # one bit, anywhere
        at = <int>below(state, <uint32_t>size)
        packet[at] ^= <uint8_t>(1 << below(state, 8))
    elif kind == 1:     # one bit of the tag, E flag or index
        at = size - 1 - <int>below(state, 20)
        packet[at] ^= <uint8_t>(1 << below(state, 8))
    elif kind == 2:     # E, where one of the profiles has it
        packet[size - 4 if below(state, 2) else size - 14] ^= 0x80
    elif kind == 3:     # cut off anywhere
        size = <int>below(state, <uint32_t>size + 1)
    elif kind == 4:     # cut off around header, tag and index
        size = min(size, <int>below(state, 40))
    elif kind == 5:     # of another stream
        set_ssrc(packet, below(state, 2 * STREAMS))
    return size


def between_fences(SrtpPolicy sending not None, SrtpPolicy receiving not None, SrtpPolicy reference not None,
                   int largest):
    cdef Ends ends = Ends([sending, reference], [receiving])
    cdef Fenced fenced = Fenced()
    cdef uint8_t clear[ROOM]
    cdef uint8_t expected[ROOM]
    cdef uint64_t state = 1
    cdef int size, protected, expected_size, number = 0, wrong = -1
    cdef uint8_t* place
    cdef bint at_end
    if not 8 <= largest <= LARGEST:
        raise ValueError("a packet has 8 to 1400 bytes")
    with nogil:
        for size in range(8, largest + 1):
            for at_end in range(2):
                number += 1
                fill(&state, clear, size)
                set_ssrc(clear, 1)
                memcpy(expected, clear, size)
                expected_size = protected = size
                srtp_protect_rtcp(ends.sessions[1], expected, &expected_size)
                place = fenced.place(expected_size, at_end)
                memcpy(place, clear, size)
                if srtp_protect_rtcp(ends.sessions[0], place, &protected) != SRTP_OK or protected != expected_size:
                    wrong = size
                if memcmp(place, expected, expected_size):
                    wrong = size
                if srtp_unprotect_rtcp(ends.receivers[0], place, &protected) != SRTP_OK or protected != size:
                    wrong = size
                if memcmp(place, clear, size):
                    wrong = size
    if wrong >= 0:
        raise AssertionError(f"a packet of {wrong} bytes differs from the reference")
    return number


def opens_libsrtp(SrtpPolicy sending not None, SrtpPolicy receiving not None):
    cdef Ends ends = Ends([sending], [receiving])
    return ends.sessions[0].session != NULL, ends.receivers[0].session != NULL


def last_packets(SrtpPolicy policy not None, bytes packet not None, uint32_t index, int count):
    cdef Ends ends = Ends([policy], [])
    cdef uint8_t buffer[ROOM]
    cdef int size
    cdef list found = []
    if policy.backend != "native" or not 8 <= len(packet) <= LARGEST:
        raise ValueError("it takes a native policy and a packet of 8 to 1400 bytes")
    ends.sessions[0].count = 1
    ends.sessions[0].first.ssrc = int.from_bytes(packet[4:8], "big")
    ends.sessions[0].first.index = index
    for _ in range(count):
        size = <int>len(packet)
        memcpy(buffer, <const char*>packet, size)
        found.append(buffer[:size] if srtp_protect_rtcp(ends.sessions[0], buffer, &size) == SRTP_OK else None)
    return found


cdef void wash_caches(uint8_t* memory, size_t size, uint8_t value) noexcept nogil:
    cdef size_t at
    for at in range(0, size, 64):
        memory[at] = value


def cycles(list sending not None, list receiving not None, int size, int rounds, size_t wash):
    cdef Ends ends = Ends(sending, receiving)
    cdef uint8_t* packets = <uint8_t*>calloc(ends.sending + 1, ROOM)
    cdef uint8_t* memory = <uint8_t*>malloc(wash + 1)
    cdef uint64_t start
    cdef int turn, index, length
    cdef list protect = [], unprotect = []
    try:
        if packets == NULL or memory == NULL:
            raise MemoryError
        if not 8 <= size <= LARGEST or ends.sending != ends.receiving:
            raise ValueError("as many receivers as senders, and packets of 8 to 1400 bytes")
        for turn in range(rounds):
            with nogil:
                for index in range(ends.sending):
                    memset(packets + index * ROOM, turn, size)
                    set_ssrc(packets + index * ROOM, 1)
                wash_caches(memory, wash, <uint8_t>turn)
                start = cycles_now()
                for index in range(ends.sending):
                    length = size
                    srtp_protect_rtcp(ends.sessions[index], packets + index * ROOM, &length)
                start = cycles_now() - start
            protect.append(start / ends.sending)
            with nogil:
                wash_caches(memory, wash, <uint8_t>turn)
                start = cycles_now()
                for index in range(ends.sending):
                    length = size + receiving_trailer(ends.receivers[index])
                    srtp_unprotect_rtcp(ends.receivers[index], packets + index * ROOM, &length)
                start = cycles_now() - start
            unprotect.append(start / ends.sending)
    finally:
        free(packets)
        free(memory)
    return protect, unprotect


cdef int receiving_trailer(const SrtpReceiver* receiver) noexcept nogil:
    return receiver.keys.tag_size + 4
