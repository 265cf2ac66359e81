"""Composing a publisher's packets: headers in sequence, stamps, extensions that say when, filling."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from rtpfwd.srtp cimport srtp_sender_close

cdef enum:
    SECOND = 1000000000

# server/testing/stamps.py: VP8 payload descriptor and frame header (RFC 7741) of a key frame, and of any other
cdef uint8_t[11] _KEY = [0x10, 0x50, 0x00, 0x00, 0x9D, 0x01, 0x2A, 0x80, 0x02, 0xE0, 0x01]
cdef uint8_t[11] _DELTA = [0x10, 0x51, 0x00, 0x00, 0, 0, 0, 0, 0, 0, 0]
cdef uint8_t[LONGEST] _filling  # what recorded payloads are continued with: looks like compressed data


cdef void _fill() noexcept nogil:
    cdef uint64_t state = 0x9E3779B97F4A7C15
    cdef int index
    for index in range(LONGEST):
        state = state * <uint64_t>6364136223846793005 + <uint64_t>1442695040888963407
        _filling[index] = <uint8_t>(state >> 56)


_fill()


cdef inline void _put(uint8_t* out, uint64_t value, int size) noexcept nogil:
    cdef int index
    for index in range(size):
        out[index] = <uint8_t>(value >> 8 * (size - 1 - index))


cdef inline int64_t _ticks(int64_t ns, int64_t rate) noexcept nogil:
    """Of an RTP clock; not one product, which would overflow after a day."""
    return ns // SECOND * rate + ns % SECOND * rate // SECOND


cdef void source_play(Source* source, int64_t start, int64_t end) noexcept nogil:
    cdef int64_t at = source.steps[source.position].at
    if source.began:
        source.idle += start - (source.began + at)
    source.began = start - at
    source.end = end
    source.latest = 0
    source.playing = True


cdef int64_t source_due(const Source* source) noexcept nogil:
    return source.began + source.steps[source.position].at if source.playing else -1


cdef int _compose(Source* source, const Step* step, int64_t number, uint32_t timestamp, uint8_t* out, int64_t now) noexcept nogil:
    """As it is first sent."""
    cdef Sent* sent = &source.sents[step.sent]
    cdef const uint8_t* data = source.bytes + step.data
    memcpy(out, data, step.kept)
    if step.kept < step.size:
        memcpy(out + step.kept, _filling, step.size - step.kept)
    _put(out + 2, sent.first_seq + number, 2)
    _put(out + 4, timestamp, 4)
    _put(out + 8, sent.ssrc, 4)
    if step.stamp:
        _put(out + step.stamp, number, 4)
        _put(out + step.stamp + 4, now, 8)
    if step.send_time:
        _put(out + step.send_time, now // 1000 * 262144 // 1000000, 3)  # 6.18 fixed point seconds
    return step.size


cdef int source_next(Source* source, uint8_t* out, int64_t now, Sent** whose, int* header) noexcept nogil:
    cdef Step* step = &source.steps[source.position]
    cdef Sent* sent = &source.sents[step.sent]
    cdef int64_t number = source.loop * sent.per_loop + step.rank
    cdef int64_t late = now - (source.began + step.at)
    cdef Past* past
    cdef uint32_t timestamp = <uint32_t>(
        sent.first_timestamp + step.timestamp + _ticks(source.loop * source.duration + source.idle, sent.clock_rate)
    )
    cdef int size = _compose(source, step, number, timestamp, out, now)
    whose[0] = sent
    header[0] = step.header
    if step.new_frame:
        source.frames += 1
        source.late_frames += late > source.frame // 2
        source.latest = max(source.latest, late)
    if step.key_header:
        memcpy(out + step.header, &_KEY[0] if source.key_frame_wanted else &_DELTA[0], step.key_header)
        source.key_frame_wanted = False
    if step.transport_seq:
        _put(out + step.transport_seq, source.transport_seq, 2)
        source.transport_seq += 1
    past = &sent.past[number & PAST - 1]
    past.number, past.step, past.timestamp, past.sent_at = number, source.position, timestamp, now
    sent.packets += 1
    sent.bytes += size - step.header
    sent.last_timestamp, sent.last_at = timestamp, now
    source.position += 1
    if source.position == source.step_count:
        source.position = 0
        source.loop += 1
        source.began += source.duration
    if source.began + source.steps[source.position].at >= source.end:
        source.playing = False
    return size


cdef int source_again(Source* source, Sent* sent, int seq, uint8_t* out, int* header) noexcept nogil:
    cdef int64_t number
    cdef Past* past
    cdef Step* step
    cdef int size, index
    source.nacked += 1
    if not sent.rtx_ssrc:
        return 0
    # Which number that sequence number stood for: of those remembered, the one with these low bits.
    number = (seq - sent.first_seq) & 0xffff
    past = &sent.past[number & PAST - 1]
    if past.number < 0 or (past.number & 0xffff) != number:
        return 0
    step = &source.steps[past.step]
    if step.size + 2 > LONGEST:
        return 0
    size = _compose(source, step, past.number, past.timestamp, out, past.sent_at)
    header[0] = step.header
    # The original sequence number goes before the payload; nobody measures a repair's key frame header.
    for index in range(size - 1, step.header - 1, -1):
        out[index + 2] = out[index]
    _put(out + step.header, <uint64_t>seq, 2)
    out[1] = <uint8_t>(out[1] & 0x80 | sent.rtx_payload_type)
    _put(out + 2, sent.rtx_seq, 2)
    _put(out + 8, sent.rtx_ssrc, 4)
    sent.rtx_seq += 1
    if step.transport_seq:
        _put(out + step.transport_seq, source.transport_seq, 2)
        source.transport_seq += 1
    source.resent += 1
    return size + 2


cdef int source_report(const Source* source, uint8_t* out, int room, int64_t now) noexcept nogil:
    """RFC 3550 section 6.4.1, without report blocks. The monotonic clock stands for NTP's."""
    cdef int size = 0
    cdef int index
    cdef const Sent* sent
    for index in range(source.sent_count):
        sent = &source.sents[index]
        if not sent.last_at or size + 28 > room:
            continue
        _put(out + size, 0x80C80006, 4)
        _put(out + size + 4, sent.ssrc, 4)
        _put(out + size + 8, now // SECOND, 4)
        _put(out + size + 12, ((now % SECOND) << 32) // SECOND, 4)
        _put(out + size + 16, <uint32_t>(sent.last_timestamp + _ticks(now - sent.last_at, sent.clock_rate)), 4)
        _put(out + size + 20, sent.packets, 4)
        _put(out + size + 24, sent.bytes, 4)
        size += 28
    return size


cdef void source_close(Source* source) noexcept nogil:
    cdef int index
    if source == NULL:
        return
    for index in range(source.sent_count):
        srtp_sender_close(&source.sents[index].sender)
        srtp_sender_close(&source.sents[index].rtx_sender)
    free(source.sents)
    free(source.steps)
    free(source.bytes)
    free(source)
