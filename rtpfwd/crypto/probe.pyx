# distutils: include_dirs = .
"""Both SRTP backends side by side on random packets, at the edges of memory, and on the clock; without the GIL.

No production code imports this. Its typed face is probe.pyi. Over 400 lines: three small benches that share their set-up.
"""

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_NONE, PROT_READ, PROT_WRITE, mmap, mprotect, munmap

from rtpfwd.srtp cimport (
    SRTP_OK,
    SrtpJob,
    SrtpPolicy,
    SrtpReceiver,
    SrtpSender,
    srtp_protect_jobs,
    srtp_receiver_close,
    srtp_receiver_open,
    srtp_sender_close,
    srtp_sender_open,
    srtp_unprotect,
)

cdef enum:
    MOST = 64           # jobs of a batch
    ROOM = 2048         # bytes of a buffer
    LARGEST = 1500      # bytes of a clear packet
    STREAMS = 4         # per key
    KEPT = 2048         # protected packets that may be delivered again, late
    PAGE = 4096
    PAGES = 3           # between the guards

STATUSES = ("ok", "auth", "replay", "failed")


cdef uint64_t random_next(uint64_t* state) noexcept nogil:
    """xorshift64*: the same packets for the same seed everywhere."""
    state[0] ^= state[0] >> 12
    state[0] ^= state[0] << 25
    state[0] ^= state[0] >> 27
    return state[0] * <uint64_t>2685821657736338717


cdef uint32_t below(uint64_t* state, uint32_t bound) noexcept nogil:
    return <uint32_t>((random_next(state) >> 33) % bound)


cdef void fill(uint64_t* state, uint8_t* out, int size) noexcept nogil:
    cdef int index
    cdef uint64_t word = 0
    for index in range(size):
        if index % 8 == 0:
            word = random_next(state)
        out[index] = <uint8_t>(word >> (index % 8 * 8))


cdef int write_header(uint64_t* state, uint8_t* out, uint32_t seq, uint32_t ssrc, int room) noexcept nogil:
    """A random RTP header of at most `room` bytes, often with CSRCs or an extension; its size."""
    cdef int csrcs = <int>below(state, 16) if below(state, 4) == 0 else 0
    cdef int words = <int>below(state, 8) if below(state, 2) else -1    # of the extension; -1: none
    cdef int size
    if 12 + 4 * csrcs > room:
        csrcs = 0
    size = 12 + 4 * csrcs
    if size + 4 + 4 * words > room:
        words = -1
    fill(state, out, size)
    out[0] = <uint8_t>(0x80 | (out[0] & 0x20) | csrcs | (0x10 if words >= 0 else 0))
    out[2] = <uint8_t>(seq >> 8)
    out[3] = <uint8_t>seq
    out[8] = <uint8_t>(ssrc >> 24)
    out[9] = <uint8_t>(ssrc >> 16)
    out[10] = <uint8_t>(ssrc >> 8)
    out[11] = <uint8_t>ssrc
    if words >= 0:
        fill(state, out + size, 4 + 4 * words)
        out[size + 2] = 0
        out[size + 3] = <uint8_t>words
        size += 4 + 4 * words
    return size


cdef uint32_t move(uint64_t* state, uint32_t* highest) noexcept nogil:
    """The next sequence number: mostly one on, sometimes far on, back inside the window, or older than it."""
    cdef uint32_t kind = below(state, 100)
    if kind < 80:
        highest[0] += 1
    elif kind < 88:
        highest[0] += 1 + below(state, 40)
    elif kind < 90:
        highest[0] += below(state, 30000)
    elif kind < 98:
        return highest[0] - below(state, 60)
    else:
        return highest[0] - below(state, 3000)
    return highest[0]


cdef class Packets:
    """Buffers for one batch, twice: what each backend makes of it."""
    cdef uint8_t payload[MOST][ROOM]
    cdef uint8_t ours[MOST][ROOM]
    cdef uint8_t theirs[MOST][ROOM]
    cdef SrtpJob jobs[MOST]
    cdef SrtpJob other[MOST]


cdef class Senders:
    """STREAMS senders for each of the policies."""
    cdef SrtpSender* items
    cdef int count
    cdef list policies

    def __cinit__(self, list policies not None):
        cdef SrtpPolicy policy
        cdef int index
        self.policies = policies
        self.count = <int>len(policies) * STREAMS
        self.items = <SrtpSender*>calloc(self.count, sizeof(SrtpSender))
        if self.items == NULL:
            raise MemoryError
        for index in range(self.count):
            policy = policies[index // STREAMS]
            if srtp_sender_open(&self.items[index], &policy.keys, 1000 + index):
                raise ValueError("the policy was refused")

    def __dealloc__(self):
        cdef int index
        if self.items != NULL:
            for index in range(self.count):
                srtp_sender_close(&self.items[index])
            free(self.items)


def compare_protect(list ours not None, list theirs not None, int count, uint64_t seed):
    cdef Packets p = Packets()
    cdef Senders mine = Senders(ours), other = Senders(theirs)
    cdef uint32_t[:] seqs = memoryview(bytearray(4 * mine.count)).cast("I")
    cdef int[4] statuses
    cdef uint64_t state = seed * 2 + 1
    cdef int done = 0, wrong = -1, index, batch, status
    memset(statuses, 0, sizeof(statuses))
    for index in range(mine.count):
        seqs[index] = below(&state, 65536) if index % 2 else 65500
    with nogil:
        while done < count and wrong < 0:
            batch = 1 + <int>below(&state, MOST)
            prepare_batch(p, mine, other, seqs, batch, &state)
            srtp_protect_jobs(p.jobs, batch)
            srtp_protect_jobs(p.other, batch)
            for index in range(batch):
                status = p.jobs[index].status
                statuses[status] += 1
                if status != p.other[index].status or (status == SRTP_OK and not same(p, index)):
                    wrong = index
                    break
            done += batch
    if wrong >= 0:
        raise AssertionError(f"packet {done - batch + wrong} of seed {seed} differs: {describe(p, wrong)}")
    return dict(zip(STATUSES, statuses))


cdef void prepare_batch(
    Packets p, Senders mine, Senders other, uint32_t[:] seqs, int batch, uint64_t* state
) noexcept nogil:
    cdef int index, stream, header, payload
    cdef uint32_t seq
    cdef SrtpJob* job
    cdef bint level = below(state, 2)       # like a frame: every packet of the same size
    cdef int common = 12 + <int>below(state, LARGEST - 11)
    cdef int size
    for index in range(batch):
        stream = <int>below(state, mine.count)
        seq = move(state, &seqs[stream])
        size = common if level else 12 + <int>below(state, LARGEST - 11)
        memset(p.ours[index], CANARY, ROOM)
        header = write_header(state, p.ours[index], seq, 1000 + stream, size)
        payload = size - header
        fill(state, p.payload[index], payload)
        job = &p.jobs[index]
        job.sender = &mine.items[stream]
        job.packet = p.ours[index]
        job.header_size = header
        job.payload_size = payload
        job.payload = p.payload[index]
        if below(state, 3) == 0:
            memcpy(p.ours[index] + header, p.payload[index], payload)
            job.payload = p.ours[index] + header
        memcpy(p.theirs[index], p.ours[index], ROOM)
        p.other[index] = job[0]
        p.other[index].sender = &other.items[stream]
        p.other[index].packet = p.theirs[index]
        p.other[index].payload = p.payload[index]


cdef bint same(Packets p, int index) noexcept nogil:
    """Also that nothing was written behind the packet."""
    cdef SrtpJob* job = &p.jobs[index]
    cdef int size = job.header_size + job.payload_size + job.sender.keys.tag_size
    for byte in range(size, ROOM):
        if p.ours[index][byte] != CANARY:
            return False
    return memcmp(p.ours[index], p.theirs[index], size) == 0


cdef describe(Packets p, int index):
    job = p.jobs[index]
    size = job.header_size + job.payload_size + job.sender.keys.tag_size
    return {
        "header": job.header_size, "payload": job.payload_size, "status": STATUSES[job.status],
        "expected status": STATUSES[p.other[index].status], "packet": bytes(p.ours[index][:size]).hex(),
        "expected": bytes(p.theirs[index][:size]).hex(),
    }


cdef class Kept:
    """Protected packets on their way."""
    cdef uint8_t data[KEPT][ROOM]
    cdef int32_t size[KEPT]


def compare_unprotect(SrtpPolicy sending not None, SrtpPolicy ours not None, SrtpPolicy theirs not None, int count,
                      uint64_t seed):
    cdef Senders senders = Senders([sending])
    cdef SrtpReceiver* mine = srtp_receiver_open(&ours.keys)
    cdef SrtpReceiver* other = srtp_receiver_open(&theirs.keys)
    cdef Kept kept = Kept()
    cdef uint8_t packet[ROOM]
    cdef uint8_t copy[ROOM]
    cdef uint8_t clear[ROOM]
    cdef uint8_t expected[ROOM]
    cdef uint32_t[STREAMS] seqs
    cdef int[4] statuses
    cdef uint64_t state = seed * 2 + 1
    cdef int done = 0, size = 0, given = 0, our_size, their_size, status = 0, their_status = 0
    cdef bint wrong = mine == NULL or other == NULL
    memset(statuses, 0, sizeof(statuses))
    memset(kept.size, 0, sizeof(kept.size))
    for index in range(STREAMS):
        seqs[index] = below(&state, 65536)
    with nogil:
        while done < count and not wrong:
            given = take(kept, senders, seqs, packet, &state)
            size = damage(packet, given, &state)
            memcpy(copy, packet, ROOM)
            our_size = their_size = size
            memset(clear, CANARY, ROOM)
            their_status = srtp_unprotect(other, copy, expected, &their_size)
            if below(&state, 2):
                status = srtp_unprotect(mine, packet, clear, &our_size)
                wrong = status != SRTP_OK and not untouched(clear, 0, size)
            else:
                status = srtp_unprotect(mine, copy, copy, &our_size)
                wrong = status != SRTP_OK and memcmp(copy, packet, ROOM) != 0
                memcpy(clear, copy, size)
            statuses[status] += 1
            done += 1
            wrong = wrong or status != their_status or not untouched(clear, size, ROOM)
            if status == SRTP_OK:
                wrong = wrong or our_size != their_size or memcmp(clear, expected, our_size) != 0
    srtp_receiver_close(mine)
    srtp_receiver_close(other)
    if wrong:
        raise AssertionError(
            f"packet {done - 1} of seed {seed}: {STATUSES[status]}, expected {STATUSES[their_status]}; "
            f"size {size} of {given}, header {bytes(packet[:min(size, 80)]).hex()}"
        )
    return dict(zip(STATUSES, statuses))


cdef bint untouched(const uint8_t* data, int start, int end) noexcept nogil:
    cdef int index
    for index in range(start, end):
        if data[index] != CANARY:
            return False
    return True


cdef int take(Kept kept, Senders senders, uint32_t* seqs, uint8_t* packet, uint64_t* state) noexcept nogil:
    """A packet to deliver: usually new, sometimes one from before, sometimes one that was held back. Its size."""
    cdef int slot = <int>below(state, KEPT), stream, header, size
    cdef SrtpJob job
    cdef uint32_t way = below(state, 100)
    if way >= 80 and kept.size[slot]:
        memcpy(packet, kept.data[slot], ROOM)
        return kept.size[slot]
    while True:
        stream = <int>below(state, STREAMS)
        seqs[stream] += 1 + (below(state, 300) if below(state, 50) == 0 else 0)
        size = 12 + <int>below(state, LARGEST - 11)
        header = write_header(state, packet, seqs[stream], 1000 + stream, size)
        fill(state, packet + header, size - header)
        job.sender = &senders.items[stream]
        job.packet = packet
        job.payload = packet + header
        job.header_size = header
        job.payload_size = size - header
        srtp_protect_jobs(&job, 1)
        size += job.sender.keys.tag_size
        memcpy(kept.data[slot], packet, ROOM)
        kept.size[slot] = size
        slot = <int>below(state, KEPT)
        if way < 70:
            return size
        way = 0     # this one is late: another goes first


cdef int damage(uint8_t* packet, int size, uint64_t* state) noexcept nogil:
    cdef uint32_t kind = below(state, 20)
    cdef int at
    if kind == 0:       # one bit, anywhere
        at = <int>below(state, <uint32_t>size)
        packet[at] ^= <uint8_t>(1 << below(state, 8))
    elif kind == 1:     # one bit of the tag or close to it
        at = size - 1 - <int>below(state, 20) if size > 20 else 0
        packet[at] ^= <uint8_t>(1 << below(state, 8))
    elif kind == 2:     # cut off anywhere
        size = <int>below(state, <uint32_t>size + 1)
    elif kind == 3:     # cut off around header and tag
        size = min(size, <int>below(state, 60))
    return size


# The edges of memory

cdef class Fenced:
    def __cinit__(self):
        cdef void* base = mmap(NULL, (PAGES + 2) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        if base == MAP_FAILED:
            raise MemoryError
        self.base = <uint8_t*>base
        mprotect(self.base, PAGE, PROT_NONE)
        mprotect(self.base + (PAGES + 1) * PAGE, PAGE, PROT_NONE)

    def __dealloc__(self):
        if self.base != NULL:
            munmap(self.base, (PAGES + 2) * PAGE)

    cdef uint8_t* place(self, int size, bint at_end) noexcept nogil:
        return self.base + (PAGES + 1) * PAGE - size if at_end else self.base + PAGE

    cdef void seal(self, bint writable) noexcept nogil:
        mprotect(self.base + PAGE, PAGES * PAGE, PROT_READ | PROT_WRITE if writable else PROT_READ)


def step_over():
    cdef Fenced fenced = Fenced()
    return (fenced.place(1, True) + 1)[0]


def between_fences(SrtpPolicy sending not None, SrtpPolicy receiving not None, SrtpPolicy reference not None,
                   int largest):
    cdef Fenced source = Fenced(), packet = Fenced(), out = Fenced()
    cdef Senders senders = Senders([sending]), checking = Senders([reference])
    cdef SrtpReceiver* receiver = srtp_receiver_open(&receiving.keys)
    cdef uint8_t expected[ROOM]
    cdef uint64_t state = 1
    cdef int payload, header, size, number = 0, wrong = -1
    cdef bint at_end
    cdef SrtpJob job
    cdef uint8_t* place
    if receiver == NULL:
        raise MemoryError
    with nogil:
        for payload in range(largest + 1):
            for at_end in range(2):
                number += 1
                header = write_header(&state, expected, number, 1000, 12 + 4 * (number % 9))
                size = header + payload + sending.keys.tag_size
                fill(&state, expected + header, payload)
                source.seal(True)
                memcpy(source.place(payload, at_end), expected + header, payload)
                source.seal(False)
                job.packet = packet.place(size, at_end)
                memcpy(job.packet, expected, header)
                job.sender = senders.items
                job.payload = source.place(payload, at_end)
                job.header_size = header
                job.payload_size = payload
                srtp_protect_jobs(&job, 1)
                place = job.packet
                job.packet = expected
                job.sender = checking.items
                job.payload = expected + header
                if job.status != SRTP_OK:
                    wrong = payload
                srtp_protect_jobs(&job, 1)
                if memcmp(place, expected, size):
                    wrong = payload
                packet.seal(False)
                if srtp_unprotect(receiver, place, out.place(header + payload, at_end), &size) != SRTP_OK:
                    wrong = payload
                if memcmp(out.place(header + payload, at_end) + header, source.place(payload, at_end), payload):
                    wrong = payload
                packet.seal(True)
    srtp_receiver_close(receiver)
    if wrong >= 0:
        raise AssertionError(f"a payload of {wrong} bytes differs from the reference")
    return number


# The clock

def protect_cycles(list policies not None, int size, int per_key, int rounds):
    cdef Senders senders = Senders(policies)
    cdef Packets p = Packets()
    cdef uint64_t start
    cdef uint32_t seq = 0
    cdef int index, turn, key, batch = min(per_key, MOST), keys = <int>len(policies)
    cdef list found = []
    if not 0 <= size <= LARGEST:
        raise ValueError("the payload is at most 1500 bytes")
    for turn in range(rounds):
        with nogil:
            start = cycles_now()
            for key in range(keys):
                for index in range(batch):
                    write_fixed(&p.jobs[index], p.ours[index], &senders.items[key * STREAMS], seq + index, size)
                    p.jobs[index].payload = p.payload[index]
                srtp_protect_jobs(p.jobs, batch)
            start = cycles_now() - start
        seq += batch
        found.append(start / (keys * batch))
    return found


cdef void write_fixed(SrtpJob* job, uint8_t* packet, SrtpSender* sender, uint32_t seq, int size) noexcept nogil:
    job.sender = sender
    job.packet = packet
    job.header_size = 12
    job.payload_size = size
    memset(packet, 0, 12)
    packet[0] = 0x80
    packet[2] = <uint8_t>(seq >> 8)
    packet[3] = <uint8_t>seq


def unprotect_cycles(SrtpPolicy sending not None, SrtpPolicy receiving not None, int size, int rounds):
    cdef Senders senders = Senders([sending])
    cdef SrtpReceiver* receiver = srtp_receiver_open(&receiving.keys)
    cdef Packets p = Packets()
    cdef uint64_t start
    cdef uint32_t seq = 0
    cdef int index, turn, length
    cdef list found = []
    if receiver == NULL:
        raise MemoryError
    for turn in range(rounds):
        with nogil:
            for index in range(MOST):
                write_fixed(&p.jobs[index], p.ours[index], senders.items, seq + index, size)
                p.jobs[index].payload = p.payload[index]
            srtp_protect_jobs(p.jobs, MOST)
            start = cycles_now()
            for index in range(MOST):
                length = 12 + size + sending.keys.tag_size
                srtp_unprotect(receiver, p.ours[index], p.theirs[index], &length)
            start = cycles_now() - start
        seq += MOST
        found.append(start / MOST)
    srtp_receiver_close(receiver)
    return found
