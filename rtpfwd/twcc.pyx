"""Recording and writing transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1).

A message covers a span of transport-wide numbers: two status bits a packet in vectors of seven, or a run length when
seven or more are alike; then a receive delta of 250 µs units for each packet received, one byte if it fits, else two.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memset

from libc.stdint cimport int16_t

from rtpfwd.cursor cimport store_u16, write_u8, write_u16, write_u24, write_u32

cdef enum:
    UNIT = 250000               # ns of one delta
    REFERENCE = 64000000        # ns of one step of the reference time
    MISSING = 0
    SMALL = 1                   # a delta of one byte, 0 to 255 units
    LARGE = 2                   # a delta of two bytes, signed
    RUN_MAX = 8191
    MS = 1000000


cdef void twcc_init(TwccFeedback* f) noexcept nogil:
    memset(f, 0, sizeof(TwccFeedback))
    f.due = -1


cdef int twcc_open(TwccFeedback* f) noexcept nogil:
    if f.arrivals == NULL:
        f.arrivals = <int64_t*>calloc(TWCC_WINDOW, sizeof(int64_t))
    return -1 if f.arrivals == NULL else 0


cdef void twcc_close(TwccFeedback* f) noexcept nogil:
    free(f.arrivals)
    f.arrivals = NULL


cdef bint twcc_receive(TwccFeedback* f, uint16_t seq, int64_t now) noexcept nogil:
    cdef int64_t number
    if not f.started:
        f.started = True
        f.base = f.newest = 0x10000 + seq
        number = f.base
    else:
        number = f.newest + <int64_t><int16_t>(seq - <uint16_t>(f.newest & 0xffff))
    if number < f.base:
        return False  # reported as missing already, or older: too late to say otherwise
    if number - f.base >= TWCC_WINDOW:
        # A jump beyond one message: what lies before it is reported never, and the count begins here.
        memset(f.arrivals, 0, TWCC_WINDOW * sizeof(int64_t))
        f.received = 0
        f.base = number
    if number > f.newest:
        f.newest = number
    if f.arrivals[number % TWCC_WINDOW] == 0:
        f.arrivals[number % TWCC_WINDOW] = now + 1
        f.received += 1
    if f.due < 0:
        f.due = now + <int64_t>TWCC_INTERVAL_MS * MS
    return f.newest - f.base >= TWCC_WINDOW // 2


cdef int _symbols(TwccFeedback* f, uint8_t* symbols, int16_t* deltas, int64_t reference) noexcept nogil:
    """One status for each number of the span, and the deltas of the received ones. How many numbers there are."""
    cdef int count = <int>(f.newest - f.base + 1)
    cdef int64_t last = reference
    cdef int64_t at, delta
    cdef int index
    for index in range(count):
        at = f.arrivals[(f.base + index) % TWCC_WINDOW] - 1
        symbols[index] = MISSING
        if at < 0:
            continue
        # Rounded to where the receiver's sum stands, so that no error builds up.
        delta = (at - last + UNIT // 2) // UNIT if at >= last else -((last - at + UNIT // 2) // UNIT)
        if delta > 32767:
            delta = 32767
        elif delta < -32768:
            delta = -32768
        last += delta * UNIT
        deltas[index] = <int16_t>delta
        symbols[index] = SMALL if 0 <= delta <= 255 else LARGE
    return count


cdef void _write_chunks(Writer* w, const uint8_t* symbols, int count) noexcept nogil:
    cdef int index = 0
    cdef int run, k
    cdef uint16_t chunk
    while index < count:
        run = 1
        while index + run < count and run < RUN_MAX and symbols[index + run] == symbols[index]:
            run += 1
        if run >= 7:
            write_u16(w, <uint16_t>((symbols[index] << 13) | run))
            index += run
            continue
        chunk = 0xc000
        for k in range(7):
            if index + k < count:
                chunk |= <uint16_t>(symbols[index + k] << (2 * (6 - k)))
        write_u16(w, chunk)
        index += 7


cdef int64_t _first_arrival(const TwccFeedback* f) noexcept nogil:
    cdef int64_t number = f.base
    while number <= f.newest:
        if f.arrivals[number % TWCC_WINDOW]:
            return f.arrivals[number % TWCC_WINDOW] - 1
        number += 1
    return 0


cdef int twcc_write(TwccFeedback* f, Writer* w, uint32_t sender, uint32_t media) noexcept nogil:
    cdef uint8_t symbols[TWCC_WINDOW]
    cdef int16_t deltas[TWCC_WINDOW]
    cdef int64_t reference
    cdef uint8_t* start = w.at
    cdef int count, index
    f.due = -1
    if not f.started or f.received == 0:
        return -1
    reference = _first_arrival(f) // REFERENCE
    count = _symbols(f, symbols, deltas, reference * REFERENCE)
    write_u8(w, 0x80 | 15)
    write_u8(w, 205)
    write_u16(w, 0)
    write_u32(w, sender)
    write_u32(w, media)
    write_u16(w, <uint16_t>(f.base & 0xffff))
    write_u16(w, <uint16_t>count)
    write_u24(w, <uint32_t>(reference & 0xffffff))
    write_u8(w, f.count)
    _write_chunks(w, symbols, count)
    for index in range(count):
        if symbols[index] == SMALL:
            write_u8(w, <uint8_t>deltas[index])
        elif symbols[index] == LARGE:
            write_u16(w, <uint16_t>deltas[index])
    # Padded with zeros to whole words. The status vectors say where the deltas end.
    while (w.at - start) % 4 and not w.failed:
        write_u8(w, 0)
    if w.failed:
        return -1
    store_u16(start + 2, <uint16_t>((w.at - start) // 4 - 1))
    f.count += 1
    f.base = f.newest + 1
    f.received = 0
    memset(f.arrivals, 0, TWCC_WINDOW * sizeof(int64_t))
    return 0
