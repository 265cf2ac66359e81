# Which layers of one stream flow from which packet on. Every packet asks by its own extended sequence number, so all
# packets of a frame get the same answer however late they come, whether or not the frame's first packet ever did.

from libc.stdint cimport int8_t, int64_t

cdef enum:
    LEVEL_COUNT = 8             # of them remembered, a power of two; what is older than the oldest counts as the oldest
    EVERY_LAYER = 127           # as highest layer: no limit

cdef struct Level:              # from the packet `since` on, until the next level
    int64_t since               # extended sequence number
    int8_t lowest               # spatial layers below are left out: the ones above don't need them
    int8_t spatial              # highest that flows; -1: nothing does
    int8_t temporal             # highest that flows

cdef struct Levels:
    int count                   # 0: nothing flows
    Level items[LEVEL_COUNT]    # a ring; the newest is at (count - 1) % LEVEL_COUNT

cdef inline Level* level_newest(Levels* levels) noexcept nogil:
    return &levels.items[(levels.count - 1) & (LEVEL_COUNT - 1)]

# `since` must not be below that of the newest. To begin anew set count to 0 before.
cdef inline void level_add(Levels* levels, int64_t since, int lowest, int spatial, int temporal) noexcept nogil:
    cdef Level* level
    levels.count += 1
    if levels.count == 4 * LEVEL_COUNT:
        levels.count = 2 * LEVEL_COUNT      # the ring goes on; nothing overflows
    level = level_newest(levels)
    level.since = since
    level.lowest = <int8_t>lowest
    level.spatial = <int8_t>spatial
    level.temporal = <int8_t>temporal

# The one in force at this packet; NULL: it is older than everything that flows.
cdef inline const Level* level_at(Levels* levels, int64_t seq) noexcept nogil:
    cdef const Level* level
    cdef int index = levels.count
    cdef int first = max(0, levels.count - LEVEL_COUNT)
    while index > first:
        index -= 1
        level = &levels.items[index & (LEVEL_COUNT - 1)]
        if seq >= level.since:
            return level
    return &levels.items[first & (LEVEL_COUNT - 1)] if first else NULL
