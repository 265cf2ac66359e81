"""RTCP read and written (RFC 3550 section 6, RFC 4585, RFC 5104, RFC 5506).

Over 400 lines, because reading and writing of one format stay together: a change of one is a change of the other.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from rtpfwd.cursor cimport (
    Reader, Writer, load_u16, load_u32, read_bytes, read_u16, read_u32, read_u64, read_u8, reader_init, reader_left, store_u16,
    store_u24, store_u32, write_bytes, write_room,
)
from rtpfwd.types cimport (
    DROP_NONE, DROP_RTCP_MALFORMED, DROP_RTCP_PADDING, DROP_RTCP_SHORT, DROP_RTCP_VERSION,
)

cdef enum:
    PT_SR = 200
    PT_RR = 201
    PT_SDES = 202
    PT_BYE = 203
    PT_APP = 204
    PT_RTPFB = 205
    PT_PSFB = 206
    FMT_NACK = 1                # RTPFB
    FMT_TRANSPORT_CC = 15       # RTPFB
    FMT_PLI = 1                 # PSFB
    FMT_FIR = 4                 # PSFB
    FMT_AFB = 15                # PSFB; REMB is one of these
    SDES_CNAME = 1
    BLOCK_SIZE = 24
    REMB_MANTISSA = 1 << 18     # is below
    NACK_REACH = 16             # numbers after the PID that one BLP covers


# Reading

cdef int rtcp_open_untrusted(RtcpReader* reader, const uint8_t* data, Py_ssize_t size) noexcept nogil:
    # Everything that can be wrong is looked for here, in one pass before the items are given.
    cdef Reader r
    cdef const uint8_t* head
    cdef const uint8_t* body
    cdef Py_ssize_t length, padding
    cdef int reason
    reader_init(&r, data, size)
    if reader_left(&r) < 4:
        return DROP_RTCP_SHORT
    while reader_left(&r) > 0:
        head = read_bytes(&r, 4)
        if head == NULL:
            return DROP_RTCP_SHORT
        if head[0] >> 6 != 2:
            return DROP_RTCP_VERSION
        length = 4 * <Py_ssize_t>load_u16(head + 2)
        body = read_bytes(&r, length)
        if body == NULL:
            return DROP_RTCP_SHORT
        if head[0] & 0x20:
            padding = body[length - 1] if length > 0 else 0
            if reader_left(&r) > 0 or padding == 0 or padding > length:
                return DROP_RTCP_PADDING
            length -= padding
        reason = _check_body(head[1], head[0] & 0x1F, body, length)
        if reason != DROP_NONE:
            return reason
    memset(reader, 0, sizeof(RtcpReader))
    reader_init(&reader.rest, data, size)
    return DROP_NONE


cdef int _check_body(uint8_t packet_type, uint8_t count, const uint8_t* body, Py_ssize_t length) noexcept nogil:
    cdef Py_ssize_t needed = 0
    if packet_type == PT_SR:
        needed = 24 + BLOCK_SIZE * count
    elif packet_type == PT_RR:
        needed = 4 + BLOCK_SIZE * count
    elif packet_type == PT_BYE:
        needed = 4 * count
    elif packet_type == PT_APP or packet_type == PT_RTPFB or packet_type == PT_PSFB:
        needed = 8
        if packet_type == PT_PSFB and count == FMT_FIR and (length - 8) % 8 != 0:
            return DROP_RTCP_MALFORMED
        if packet_type == PT_RTPFB and count == FMT_NACK and (length - 8) % 4 != 0:
            return DROP_RTCP_MALFORMED
    elif packet_type == PT_SDES:
        return _check_sdes(count, body, length)
    return DROP_NONE if length >= needed else DROP_RTCP_MALFORMED


cdef int _check_sdes(uint8_t count, const uint8_t* body, Py_ssize_t length) noexcept nogil:
    cdef Reader r
    cdef RtcpItem ignored
    cdef int i
    reader_init(&r, body, length)
    for i in range(count):
        _read_chunk(&r, body, &ignored)
        if r.failed:
            return DROP_RTCP_MALFORMED
    return DROP_NONE


cdef bint _read_chunk(Reader* r, const uint8_t* start, RtcpItem* item) noexcept nogil:
    # One SDES chunk; `start` is where the chunks begin, for the alignment. True: it has a CNAME. r.failed: malformed.
    cdef bint found = False
    cdef uint8_t kind, size
    cdef const uint8_t* text
    item.sender = read_u32(r)
    while True:
        kind = read_u8(r)
        if kind == 0 or r.failed:
            break
        size = read_u8(r)
        text = read_bytes(r, size)
        if text == NULL:
            return False
        if kind == SDES_CNAME and not found:
            found = True
            item.kind = RTCP_CNAME
            item.body = text
            item.body_size = size
    read_bytes(r, -(r.at - start) & 3)
    return found and not r.failed


cdef bint rtcp_next(RtcpReader* reader, RtcpItem* item) noexcept nogil:
    while True:
        if not reader.begun:
            if reader_left(&reader.rest) < 4:
                return False
            if _begin_packet(reader, item):
                return True
        elif _continue_packet(reader, item):
            return True
        else:
            reader.begun = False


cdef bint _begin_packet(RtcpReader* reader, RtcpItem* item) noexcept nogil:
    # Steps to the next packet. True: its head alone is an item.
    cdef const uint8_t* head = read_bytes(&reader.rest, 4)
    cdef Py_ssize_t length = 4 * <Py_ssize_t>load_u16(head + 2)
    cdef const uint8_t* body = read_bytes(&reader.rest, length)
    if head[0] & 0x20:
        length -= body[length - 1]
    reader_init(&reader.packet, body, length)
    reader.packet_type = head[1]
    reader.format = head[0] & 0x1F
    reader.count = reader.format
    reader.begun = True
    if reader.packet_type == PT_SR:
        reader.sender = read_u32(&reader.packet)
        item.kind = RTCP_SENDER_INFO
        item.sender = reader.sender
        item.ntp = read_u64(&reader.packet)
        item.rtp = read_u32(&reader.packet)
        item.packets = read_u32(&reader.packet)
        item.octets = read_u32(&reader.packet)
        return True
    if reader.packet_type == PT_RR:
        reader.sender = read_u32(&reader.packet)
        item.kind = RTCP_RECEIVER_REPORT
        item.sender = reader.sender
        return True
    if reader.packet_type == PT_SDES or reader.packet_type == PT_BYE:
        return False
    if reader.packet_type == PT_APP:
        item.kind = RTCP_APP
        item.sender = read_u32(&reader.packet)
        return _give_body(reader, item)
    if reader.packet_type == PT_RTPFB or reader.packet_type == PT_PSFB:
        reader.sender = read_u32(&reader.packet)
        reader.media = read_u32(&reader.packet)
        return _begin_feedback(reader, item)
    item.kind = RTCP_UNKNOWN
    item.packet_type = reader.packet_type
    item.format = reader.format
    return _give_body(reader, item)


cdef bint _begin_feedback(RtcpReader* reader, RtcpItem* item) noexcept nogil:
    cdef bint transport = reader.packet_type == PT_RTPFB
    item.sender = reader.sender
    item.media = reader.media
    if transport and reader.format == FMT_NACK:
        return False            # one item for each pair
    if not transport and reader.format == FMT_FIR:
        return False            # one item for each entry
    if transport and reader.format == FMT_TRANSPORT_CC:
        item.kind = RTCP_TRANSPORT_CC
    elif not transport and reader.format == FMT_PLI:
        item.kind = RTCP_PLI
    elif (not transport and reader.format == FMT_AFB and reader_left(&reader.packet) >= 8
          and memcmp(reader.packet.at, b"REMB", 4) == 0):
        item.kind = RTCP_REMB
    else:
        item.kind = RTCP_UNKNOWN
        item.packet_type = reader.packet_type
        item.format = reader.format
    return _give_body(reader, item)


cdef bint _give_body(RtcpReader* reader, RtcpItem* item) noexcept nogil:
    # The rest of the packet in hand is the item's body.
    item.body_size = <uint16_t>reader_left(&reader.packet) if reader_left(&reader.packet) <= 0xFFFF else 0xFFFF
    item.body = reader.packet.at
    read_bytes(&reader.packet, reader_left(&reader.packet))
    reader.count = 0
    return True


cdef bint _continue_packet(RtcpReader* reader, RtcpItem* item) noexcept nogil:
    # The next block, chunk, SSRC, pair or entry of the packet in hand. False: it has no more.
    if reader.packet_type == PT_RTPFB or reader.packet_type == PT_PSFB:
        return _continue_feedback(reader, item)
    while reader.count > 0:
        reader.count -= 1
        if reader.packet_type == PT_SR or reader.packet_type == PT_RR:
            item.kind = RTCP_REPORT_BLOCK
            item.sender = reader.sender
            _read_block(&reader.packet, &item.block)
            return True
        if reader.packet_type == PT_BYE:
            item.kind = RTCP_BYE
            item.sender = read_u32(&reader.packet)
            return True
        # SDES. Chunks are aligned to the packet, and so is the remaining part's end: measure from there.
        if _read_chunk(&reader.packet, reader.packet.at, item):
            return True
    return False


cdef bint _continue_feedback(RtcpReader* reader, RtcpItem* item) noexcept nogil:
    if reader.packet_type == PT_RTPFB and reader.format == FMT_NACK and reader_left(&reader.packet) >= 4:
        item.kind = RTCP_NACK
        item.sender = reader.sender
        item.media = reader.media
        item.pid = read_u16(&reader.packet)
        item.blp = read_u16(&reader.packet)
        return True
    if reader.packet_type == PT_PSFB and reader.format == FMT_FIR and reader_left(&reader.packet) >= 8:
        item.kind = RTCP_FIR
        item.sender = reader.sender
        item.media = read_u32(&reader.packet)
        item.fir_seq = read_u8(&reader.packet)
        read_bytes(&reader.packet, 3)
        return True
    return False


cdef void _read_block(Reader* r, ReportBlock* block) noexcept nogil:
    cdef uint32_t lost
    block.ssrc = read_u32(r)
    lost = read_u32(r)
    block.fraction_lost = <uint8_t>(lost >> 24)
    lost &= 0xFFFFFF
    block.cumulative_lost = <int32_t>lost - (0x1000000 if lost & 0x800000 else 0)
    block.highest_seq = read_u32(r)
    block.jitter = read_u32(r)
    block.last_sr = read_u32(r)
    block.delay_since_last_sr = read_u32(r)


# Writing

cdef uint8_t* _begin(Writer* w, uint8_t count, uint8_t packet_type, Py_ssize_t body) noexcept nogil:
    # Room for a header and `body` bytes, a multiple of four; the header is written. The body's start, or NULL.
    cdef uint8_t* at
    if 4 + body > w.end - w.at:
        return NULL
    at = write_room(w, 4 + body)
    at[0] = 0x80 | count
    at[1] = packet_type
    store_u16(at + 2, <uint16_t>(body >> 2))
    return at + 4


cdef void _write_block(uint8_t* at, const ReportBlock* block) noexcept nogil:
    cdef int32_t lost = block.cumulative_lost
    lost = min(max(lost, -0x800000), 0x7FFFFF)
    store_u32(at, block.ssrc)
    at[4] = block.fraction_lost
    store_u24(at + 5, <uint32_t>lost & 0xFFFFFF)
    store_u32(at + 8, block.highest_seq)
    store_u32(at + 12, block.jitter)
    store_u32(at + 16, block.last_sr)
    store_u32(at + 20, block.delay_since_last_sr)


cdef int rtcp_write_sr(
    Writer* w, uint32_t ssrc, uint64_t ntp, uint32_t rtp, uint32_t packets, uint32_t octets,
    const ReportBlock* blocks, int count,
) noexcept nogil:
    cdef uint8_t* at
    cdef int i
    if count < 0 or count > MAX_REPORT_BLOCKS:
        return -1
    at = _begin(w, <uint8_t>count, PT_SR, 24 + BLOCK_SIZE * count)
    if at == NULL:
        return -1
    store_u32(at, ssrc)
    store_u32(at + 4, <uint32_t>(ntp >> 32))
    store_u32(at + 8, <uint32_t>ntp)
    store_u32(at + 12, rtp)
    store_u32(at + 16, packets)
    store_u32(at + 20, octets)
    for i in range(count):
        _write_block(at + 24 + BLOCK_SIZE * i, &blocks[i])
    return 0


cdef int rtcp_write_rr(Writer* w, uint32_t ssrc, const ReportBlock* blocks, int count) noexcept nogil:
    cdef uint8_t* at
    cdef int i
    if count < 0 or count > MAX_REPORT_BLOCKS:
        return -1
    at = _begin(w, <uint8_t>count, PT_RR, 4 + BLOCK_SIZE * count)
    if at == NULL:
        return -1
    store_u32(at, ssrc)
    for i in range(count):
        _write_block(at + 4 + BLOCK_SIZE * i, &blocks[i])
    return 0


cdef int rtcp_write_cname(Writer* w, uint32_t ssrc, const uint8_t* cname, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t used = 4 + 2 + size         # SSRC, item header, text
    cdef Py_ssize_t body = (used + 4) & ~<Py_ssize_t>3      # at least one zero byte ends the chunk
    cdef uint8_t* at
    cdef Writer inner
    if size < 0 or size > 255:
        return -1
    at = _begin(w, 1, PT_SDES, body)
    if at == NULL:
        return -1
    store_u32(at, ssrc)
    at[4] = SDES_CNAME
    at[5] = <uint8_t>size
    inner.start = inner.at = at + 6
    inner.end = at + used
    inner.failed = False
    write_bytes(&inner, cname, size)
    memset(at + used, 0, body - used)
    return 0


cdef int rtcp_write_bye(Writer* w, const uint32_t* ssrcs, int count) noexcept nogil:
    cdef uint8_t* at
    cdef int i
    if count < 0 or count > 31:
        return -1
    at = _begin(w, <uint8_t>count, PT_BYE, 4 * count)
    if at == NULL:
        return -1
    for i in range(count):
        store_u32(at + 4 * i, ssrcs[i])
    return 0


cdef int rtcp_write_pli(Writer* w, uint32_t sender, uint32_t media) noexcept nogil:
    cdef uint8_t* at = _begin(w, FMT_PLI, PT_PSFB, 8)
    if at == NULL:
        return -1
    store_u32(at, sender)
    store_u32(at + 4, media)
    return 0


cdef int rtcp_write_fir(Writer* w, uint32_t sender, uint32_t media, uint8_t command_seq) noexcept nogil:
    # The media SSRC of the header is zero; the one that is meant is the entry's (RFC 5104 section 4.3.1.2).
    cdef uint8_t* at = _begin(w, FMT_FIR, PT_PSFB, 16)
    if at == NULL:
        return -1
    store_u32(at, sender)
    store_u32(at + 4, 0)
    store_u32(at + 8, media)
    store_u32(at + 12, <uint32_t>command_seq << 24)
    return 0


cdef int rtcp_write_remb(Writer* w, uint32_t sender, int64_t bps, const uint32_t* ssrcs, int count) noexcept nogil:
    # The rate is 18 bits of mantissa and 6 of exponent; rounded down, as it is a limit.
    cdef uint64_t mantissa = <uint64_t>max(bps, <int64_t>0)
    cdef uint32_t exponent = 0
    cdef uint8_t* at
    cdef int i
    if count < 0 or count > 255:
        return -1
    at = _begin(w, FMT_AFB, PT_PSFB, 16 + 4 * <Py_ssize_t>count)
    if at == NULL:
        return -1
    while mantissa >= REMB_MANTISSA:
        mantissa >>= 1
        exponent += 1
    store_u32(at, sender)
    store_u32(at + 4, 0)
    memcpy(at + 8, b"REMB", 4)
    store_u32(at + 12, <uint32_t>count << 24 | exponent << 18 | <uint32_t>mantissa)
    for i in range(count):
        store_u32(at + 16 + 4 * i, ssrcs[i])
    return 0


cdef int rtcp_read_remb_untrusted(const uint8_t* body, int size, int64_t* bps) noexcept nogil:
    cdef uint32_t word
    if size < 8 or memcmp(body, b"REMB", 4) != 0 or size < 8 + 4 * body[4]:
        return DROP_RTCP_MALFORMED
    word = load_u32(body + 4)
    # Beyond 62 bits it says nothing but "no limit".
    if word >> 18 & 63 > 44:
        bps[0] = <int64_t>1 << 62 if word & (REMB_MANTISSA - 1) else 0
    else:
        bps[0] = <int64_t>(word & (REMB_MANTISSA - 1)) << (word >> 18 & 63)
    return DROP_NONE


cdef int _nack_pair(const uint16_t* seqs, int count, uint16_t* pid, uint16_t* blp) noexcept nogil:
    # The pair that begins with seqs[0]; how many of them it covers.
    cdef int taken = 1
    cdef uint16_t distance
    pid[0] = seqs[0]
    blp[0] = 0
    while taken < count:
        distance = <uint16_t>(seqs[taken] - seqs[0])
        if distance > NACK_REACH:
            break
        if distance > 0:
            blp[0] |= <uint16_t>(1 << (distance - 1))
        taken += 1
    return taken


cdef int rtcp_write_nack(Writer* w, uint32_t sender, uint32_t media, const uint16_t* seqs, int count) noexcept nogil:
    cdef uint8_t* at
    cdef uint16_t pid, blp
    cdef int done = 0, pairs = 0
    while done < count:
        done += _nack_pair(seqs + done, count - done, &pid, &blp)
        pairs += 1
    if pairs == 0:
        return 0
    at = _begin(w, FMT_NACK, PT_RTPFB, 8 + 4 * <Py_ssize_t>pairs)
    if at == NULL:
        return -1
    store_u32(at, sender)
    store_u32(at + 4, media)
    at += 8
    done = 0
    while done < count:
        done += _nack_pair(seqs + done, count - done, &pid, &blp)
        store_u16(at, pid)
        store_u16(at + 2, blp)
        at += 4
    return 0


# Spans of time. The two halves are converted apart so that nothing overflows.

cdef int64_t ns_to_ntp(int64_t ns) noexcept nogil:
    cdef int64_t seconds = ns // 1_000_000_000
    cdef int64_t rest = ns - seconds * 1_000_000_000
    return seconds * (<int64_t>1 << 32) + rest * (<int64_t>1 << 32) // 1_000_000_000


cdef int64_t ntp_to_ns(int64_t ntp) noexcept nogil:
    cdef int64_t seconds = ntp >> 32
    cdef int64_t rest = <uint32_t>ntp
    return seconds * 1_000_000_000 + ((rest * 1_000_000_000) >> 32)
