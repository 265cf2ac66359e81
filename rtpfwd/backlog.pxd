# Datagrams that wait because their socket takes no more: copied, bounded, in the order of each socket. When all places are
# taken the oldest video goes first, then the oldest audio, and RTCP last.

from libc.stdint cimport int32_t, uint8_t, uint64_t

from rtpfwd.state cimport Outgoing

cdef enum:
    BACKLOG_SLOTS = 1024        # datagrams of one lane, DATAGRAM_SIZE bytes each: 2 MiB at most, touched as needed
    OUT_KINDS = 3               # OutKind


cdef struct Line:               # what waits for one socket, in the order of sending
    int32_t first               # index into Backlog.slots; -1: nothing
    int32_t last
    int32_t count


cdef struct Waiting:
    Outgoing out                # its data is this place's own memory
    Line* line
    int32_t previous            # of the same line; -1: none
    int32_t next                # of the same line, or of the free places
    int32_t older               # of the same kind; -1: none
    int32_t newer


cdef struct Backlog:
    Waiting* slots
    uint8_t* data
    int32_t free                # first free place; -1: none
    int32_t count               # places taken
    int32_t oldest[OUT_KINDS]   # by OutKind; -1: none
    int32_t newest[OUT_KINDS]
    uint64_t dropped[OUT_KINDS]


cdef int backlog_open(Backlog* b) noexcept nogil                # 0, or -1 when there is no memory
cdef void backlog_close(Backlog* b) noexcept nogil
cdef void line_open(Line* line) noexcept nogil
# A copy of `out` at the end of the line. When there is no room, what matters least goes, perhaps `out` itself. `line` must
# stay where it is until it is empty.
cdef void backlog_push(Backlog* b, Line* line, const Outgoing* out) noexcept nogil
cdef void backlog_pop(Backlog* b, Line* line) noexcept nogil    # the first of the line was sent; it has one
cdef void backlog_clear(Backlog* b, Line* line) noexcept nogil  # all of the line is dropped, and counted
