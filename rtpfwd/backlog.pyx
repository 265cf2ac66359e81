"""What a socket can't take yet: one pool of places, a line through them for each socket, and one by age for each kind."""

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from rtpfwd.state cimport DATAGRAM_SIZE, OUT_AUDIO, OUT_OTHER, OUT_VIDEO


cdef int backlog_open(Backlog* b) noexcept nogil:
    cdef int32_t index
    b.slots = <Waiting*>calloc(BACKLOG_SLOTS, sizeof(Waiting))
    b.data = <uint8_t*>calloc(BACKLOG_SLOTS, DATAGRAM_SIZE)
    if b.slots == NULL or b.data == NULL:
        backlog_close(b)
        return -1
    for index in range(BACKLOG_SLOTS):
        b.slots[index].out.data = b.data + <size_t>index * DATAGRAM_SIZE
        b.slots[index].next = index + 1 if index + 1 < BACKLOG_SLOTS else -1
    b.free = 0
    b.count = 0
    for index in range(OUT_KINDS):
        b.oldest[index] = b.newest[index] = -1
        b.dropped[index] = 0
    return 0


cdef void backlog_close(Backlog* b) noexcept nogil:
    free(b.slots)
    free(b.data)
    b.slots = NULL
    b.data = NULL


cdef void line_open(Line* line) noexcept nogil:
    line.first = line.last = -1
    line.count = 0


cdef void backlog_push(Backlog* b, Line* line, const Outgoing* out) noexcept nogil:
    cdef int32_t index
    cdef Waiting* place
    if out.size > DATAGRAM_SIZE or (b.free < 0 and not _make_room(b, out.kind)):
        b.dropped[out.kind] += 1
        return
    index = b.free
    place = &b.slots[index]
    b.free = place.next
    b.count += 1
    memcpy(place.out.data, out.data, out.size)
    place.out.size = out.size
    place.out.kind = out.kind
    place.out.socket = out.socket
    place.out.to = out.to
    place.line = line
    place.previous = line.last
    place.next = -1
    if line.last >= 0:
        b.slots[line.last].next = index
    else:
        line.first = index
    line.last = index
    line.count += 1
    place.older = b.newest[out.kind]
    place.newer = -1
    if place.older >= 0:
        b.slots[place.older].newer = index
    else:
        b.oldest[out.kind] = index
    b.newest[out.kind] = index


cdef bint _make_room(Backlog* b, int kind) noexcept nogil:
    """Drop what matters least and no more than a newcomer of this kind. False: that is the newcomer."""
    cdef int victim
    for victim in range(OUT_VIDEO, kind - 1, -1):
        if b.oldest[victim] >= 0:
            b.dropped[victim] += 1
            _release(b, b.oldest[victim])
            return True
    return False


cdef void backlog_pop(Backlog* b, Line* line) noexcept nogil:
    _release(b, line.first)


cdef void backlog_clear(Backlog* b, Line* line) noexcept nogil:
    while line.first >= 0:
        b.dropped[b.slots[line.first].out.kind] += 1
        _release(b, line.first)


cdef void _release(Backlog* b, int32_t index) noexcept nogil:
    cdef Waiting* place = &b.slots[index]
    cdef Line* line = place.line
    if place.previous >= 0:
        b.slots[place.previous].next = place.next
    else:
        line.first = place.next
    if place.next >= 0:
        b.slots[place.next].previous = place.previous
    else:
        line.last = place.previous
    line.count -= 1
    if place.older >= 0:
        b.slots[place.older].newer = place.newer
    else:
        b.oldest[place.out.kind] = place.newer
    if place.newer >= 0:
        b.slots[place.newer].older = place.older
    else:
        b.newest[place.out.kind] = place.older
    place.next = b.free
    b.free = index
    b.count -= 1


cdef class BacklogProbe:
    """A backlog of its own, for tests: lines are numbered, datagrams are bytes, kinds are 0 RTCP, 1 audio, 2 video."""

    cdef Backlog backlog
    cdef Line lines[8]

    slots = BACKLOG_SLOTS

    def __cinit__(self):
        cdef int index
        if backlog_open(&self.backlog):
            raise MemoryError
        for index in range(8):
            line_open(&self.lines[index])

    def __dealloc__(self):
        backlog_close(&self.backlog)

    def push(self, int line, int kind, bytes data not None):
        """A datagram to the end of a line."""
        cdef Outgoing out
        if not 0 <= line < 8 or not OUT_OTHER <= kind < OUT_KINDS:
            raise ValueError("no such line or kind")
        out.data = <uint8_t*><const char*>data
        out.size = <int32_t>len(data)
        out.kind = kind
        out.socket = line
        backlog_push(&self.backlog, &self.lines[line], &out)

    def pop(self, int line):
        """The first of a line, or None."""
        cdef Outgoing* out
        if self.lines[line].first < 0:
            return None
        out = &self.backlog.slots[self.lines[line].first].out
        data = out.data[:out.size]
        backlog_pop(&self.backlog, &self.lines[line])
        return data

    def clear(self, int line):
        """Drop a line."""
        backlog_clear(&self.backlog, &self.lines[line])

    def counts(self):
        """What waits, and what was dropped by kind."""
        cdef Backlog* b = &self.backlog
        return b.count, {
            "other": b.dropped[<int>OUT_OTHER], "audio": b.dropped[<int>OUT_AUDIO], "video": b.dropped[<int>OUT_VIDEO]
        }
