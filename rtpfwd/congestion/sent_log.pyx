"""The packets sent to one remote, in a ring that is as large as feedback needs it to be."""

from libc.stdint cimport int16_t
from libc.stdlib cimport calloc, free

cdef enum:
    YOUNG_MS = 1500             # a packet younger than this that nothing is known of is not forgotten while the ring can grow
    LATE_MS = 500               # nor is one that was called lost so lately: it may only be late
    LARGEST = 0xffff            # bytes
    MS = 1000000


cdef int log_open(SentLog* log) noexcept nogil:
    log.packets = <SentPacket*>calloc(LOG_FIRST, sizeof(SentPacket))
    log.capacity = LOG_FIRST
    log.newest = -1
    return -1 if log.packets == NULL else 0


cdef void log_close(SentLog* log) noexcept nogil:
    free(log.packets)
    log.packets = NULL


cdef size_t log_bytes(const SentLog* log) noexcept nogil:
    return <size_t>log.capacity * sizeof(SentPacket)


cdef int64_t log_extend(const SentLog* log, uint16_t seq) noexcept nogil:
    if log.newest < 0:
        return 0x10000 + seq    # so that what comes before it is a number too
    return log.newest + <int64_t><int16_t>(seq - <uint16_t>(log.newest & 0xffff))


cdef inline bint _is_needed(const SentPacket* packet, int64_t now) noexcept nogil:
    if packet.fate == FATE_UNKNOWN:
        return now - packet.sent_at < <int64_t>YOUNG_MS * MS
    return packet.fate == FATE_LOST and now - packet.sent_at < <int64_t>LATE_MS * MS


cdef void _resize(SentLog* log, int64_t capacity) noexcept nogil:
    # Keeps the newest. Without memory the old ring goes on.
    cdef SentPacket* packets = <SentPacket*>calloc(capacity, sizeof(SentPacket))
    cdef const SentPacket* packet
    cdef int64_t number
    if packets == NULL:
        return
    for number in range(max(log.newest + 1 - min(capacity, log.capacity), 0), log.newest + 1):
        packet = log_find(log, number)
        if packet != NULL:
            packets[number & (capacity - 1)] = packet[0]
    free(log.packets)
    log.packets = packets
    log.capacity = capacity


cdef void _shrink(SentLog* log, int64_t now) noexcept nogil:
    # Once in a turn of a ring that grew: when a quarter of it is enough, half of it is kept, so that it does not waver.
    cdef const SentPacket* packet
    cdef int64_t number
    for number in range(log.newest + 1 - log.capacity, log.newest + 1 - log.capacity // 4):
        packet = log_find(log, number)
        if packet != NULL and _is_needed(packet, now):
            return
    _resize(log, log.capacity // 2)


cdef int64_t log_sent(
    SentLog* log, uint16_t seq, uint32_t size, uint8_t beside, uint16_t probe, int64_t now
) noexcept nogil:
    cdef int64_t number = log_extend(log, seq)
    cdef SentPacket* packet = &log.packets[number & (log.capacity - 1)]
    if log.capacity < LOG_MAX and _is_needed(packet, now):
        _resize(log, 2 * log.capacity)
    elif log.capacity > LOG_FIRST and not number & (log.capacity - 1):
        _shrink(log, now)
    packet = &log.packets[number & (log.capacity - 1)]
    packet.number = seq
    packet.sent_at = now
    packet.size = <uint16_t>min(size, <uint32_t>LARGEST)
    packet.beside = beside
    packet.probe = probe
    packet.fate = FATE_UNKNOWN
    if number > log.newest:
        log.newest = number
    return number


cdef SentPacket* log_find(const SentLog* log, int64_t number) noexcept nogil:
    cdef SentPacket* packet
    # A number that is 65,536 older would look the same.
    if number < 0 or number > log.newest or number <= log.newest - log.capacity:
        return NULL
    packet = &log.packets[number & (log.capacity - 1)]
    return packet if packet.fate != FATE_NONE and packet.number == <uint16_t>(number & 0xffff) else NULL
