# What was sent and when, by transport-wide number, until feedback tells of it. Numbers are extended: they never wrap.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

cdef enum:
    LOG_FIRST = 256             # packets of a new log; it doubles up to LOG_MAX while feedback is late
    LOG_MAX = 4096

cdef enum Fate:
    FATE_UNKNOWN = 0
    FATE_LOST = 1               # said so; a later message may say otherwise (it was reordered)
    FATE_ARRIVED = 2

cdef struct SentPacket:
    int64_t number              # extended; -1 = empty place
    int64_t sent_at             # ns
    uint32_t size               # bytes
    uint16_t probe              # 0 = none
    uint8_t fate                # Fate

cdef struct SentLog:            # all zero when new, until log_open
    SentPacket* packets         # by number % capacity
    int64_t capacity            # a power of two
    int64_t newest              # -1 = nothing was sent

cdef int log_open(SentLog* log) noexcept nogil          # -1: no memory
cdef void log_close(SentLog* log) noexcept nogil
# The extended number that `seq` stands for: the one nearest to the newest.
cdef int64_t log_extend(const SentLog* log, uint16_t seq) noexcept nogil
# Its extended number.
cdef int64_t log_sent(SentLog* log, uint16_t seq, uint32_t size, uint16_t probe, int64_t now) noexcept nogil
# NULL: never sent, or forgotten.
cdef SentPacket* log_find(SentLog* log, int64_t number) noexcept nogil
