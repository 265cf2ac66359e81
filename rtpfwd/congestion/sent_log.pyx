"""The packets sent to one remote, in a ring that grows only while feedback needs it to."""

from libc.stdint cimport int16_t
from libc.stdlib cimport calloc, free

cdef enum:
    YOUNG_MS = 1500             # a packet younger than this is not forgotten while the ring can still grow
    MS = 1000000


cdef SentPacket* _room(int64_t capacity) noexcept nogil:
    cdef SentPacket* packets = <SentPacket*>calloc(capacity, sizeof(SentPacket))
    cdef int64_t index
    if packets != NULL:
        for index in range(capacity):
            packets[index].number = -1
    return packets


cdef int log_open(SentLog* log) noexcept nogil:
    log.packets = _room(LOG_FIRST)
    log.capacity = LOG_FIRST
    log.newest = -1
    return -1 if log.packets == NULL else 0


cdef void log_close(SentLog* log) noexcept nogil:
    free(log.packets)
    log.packets = NULL


cdef int64_t log_extend(const SentLog* log, uint16_t seq) noexcept nogil:
    if log.newest < 0:
        return 0x10000 + seq    # so that what comes before it is a number too
    return log.newest + <int64_t><int16_t>(seq - <uint16_t>(log.newest & 0xffff))


cdef void _grow(SentLog* log) noexcept nogil:
    # Without memory the old ring goes on and forgets earlier.
    cdef SentPacket* packets = _room(2 * log.capacity)
    cdef int64_t index
    if packets == NULL:
        return
    for index in range(log.capacity):
        if log.packets[index].number >= 0:
            packets[log.packets[index].number & (2 * log.capacity - 1)] = log.packets[index]
    free(log.packets)
    log.packets = packets
    log.capacity *= 2


cdef int64_t log_sent(SentLog* log, uint16_t seq, uint32_t size, uint16_t probe, int64_t now) noexcept nogil:
    cdef int64_t number = log_extend(log, seq)
    cdef SentPacket* packet = &log.packets[number & (log.capacity - 1)]
    if packet.number >= 0 and packet.fate == FATE_UNKNOWN and log.capacity < LOG_MAX \
            and now - packet.sent_at < <int64_t>YOUNG_MS * MS:
        _grow(log)
        packet = &log.packets[number & (log.capacity - 1)]
    packet.number = number
    packet.sent_at = now
    packet.size = size
    packet.probe = probe
    packet.fate = FATE_UNKNOWN
    if number > log.newest:
        log.newest = number
    return number


cdef SentPacket* log_find(SentLog* log, int64_t number) noexcept nogil:
    cdef SentPacket* packet
    if number < 0 or number > log.newest:
        return NULL
    packet = &log.packets[number & (log.capacity - 1)]
    return packet if packet.number == number else NULL
