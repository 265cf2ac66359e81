# What was sent and when, by transport-wide number, until feedback tells of it. Numbers are extended: they never wrap.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

cdef enum:
    LOG_FIRST = 64              # packets of a new log; it doubles up to LOG_MAX while feedback is late, and halves later
    LOG_MAX = 4096
    BESIDE_UNIT = 32            # bytes
    BESIDE_MAX = 255            # units

cdef enum Fate:
    FATE_NONE = 0               # an empty place
    FATE_UNKNOWN = 1
    FATE_LOST = 2               # said so; a later message may say otherwise (it was reordered)
    FATE_ARRIVED = 3

cdef struct SentPacket:         # 16 bytes, because each viewer has 64 of them and more
    int64_t sent_at             # ns
    uint16_t number             # transport-wide, as on the wire; every number is used, so an old one is never met here
    uint16_t size               # bytes
    uint16_t probe              # 0 = none
    uint8_t fate                # Fate
    uint8_t beside              # BESIDE_UNIT: sent since the number before, without one, so that no feedback tells of it

cdef struct SentLog:            # log_open
    SentPacket* packets         # by number % capacity
    int64_t capacity            # a power of two
    int64_t newest              # -1 = nothing was sent

cdef int log_open(SentLog* log) noexcept nogil          # -1: no memory
cdef void log_close(SentLog* log) noexcept nogil
# The extended number that `seq` stands for: the one nearest to the newest.
cdef int64_t log_extend(const SentLog* log, uint16_t seq) noexcept nogil
# Its extended number. `beside` as in SentPacket.
cdef int64_t log_sent(
    SentLog* log, uint16_t seq, uint32_t size, uint8_t beside, uint16_t probe, int64_t now) noexcept nogil
# Bytes that left with it, its own included.
cdef inline int64_t log_size(const SentPacket* packet) noexcept nogil:
    return packet.size + <int64_t>BESIDE_UNIT * packet.beside
# NULL: never sent, or forgotten.
cdef SentPacket* log_find(const SentLog* log, int64_t number) noexcept nogil
cdef size_t log_bytes(const SentLog* log) noexcept nogil   # of memory beside the struct
