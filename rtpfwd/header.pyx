"""The RTP header and its extension, read and written (RFC 3550 section 5.1, RFC 8285, RFC 4588).

Over 400 lines, since what is written is measured from what was read: the two change together, and are read together."""

from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

from rtpfwd.cursor cimport Reader, load_u16, load_u32, read_bytes, reader_init, store_u16, store_u24, store_u32
from rtpfwd.types cimport (
    DROP_NONE, DROP_RTP_EXTENSION, DROP_RTP_PADDING, DROP_RTP_SHORT, DROP_RTP_VERSION, DROP_RTX_EMPTY, DROP_RTX_SHORT,
    EXT_ABS_SEND_TIME, EXT_DEPENDENCY_DESCRIPTOR, EXT_MID, EXT_PLAYOUT_DELAY, EXT_RID, EXT_RRID, EXT_TRANSPORT_CC, ExtElement,
    MAX_EXTENSIONS, MAX_MID, PacketView, RTP_HEADER,
)

cdef enum:
    ONE_BYTE_PROFILE = 0xBEDE
    TWO_BYTE_PROFILE = 0x1000   # the low four bits are the application's
    ABS_SEND_TIME_SIZE = 3
    TRANSPORT_CC_SIZE = 2
    PLAYOUT_DELAY_SIZE = 3
    PLAYOUT_DELAY_MOST = 1000   # steps of 10 ms: what libwebrtc takes when nothing is said
    # Bytes that no header in the one-byte form passes, so that they are checked once: with all CSRCs, extensions and padding.
    LARGEST_HEADER = 12 + 4 * 15 + 4 + OWN_SIZE + 17 * MAX_EXTENSIONS + 3


cdef int rtp_parse_untrusted(uint8_t* data, Py_ssize_t size, PacketView* view) noexcept nogil:
    cdef Reader r
    cdef const uint8_t* fixed
    cdef const uint8_t* extension
    cdef uint16_t words
    cdef Py_ssize_t left, padding = 0
    if size > 0xFFFF:
        size = 0xFFFF + 1       # no datagram is that long; refused below like one that is cut
    reader_init(&r, data, size)
    fixed = read_bytes(&r, RTP_HEADER)
    if fixed == NULL or size > 0xFFFF:
        return DROP_RTP_SHORT
    if fixed[0] >> 6 != 2:
        return DROP_RTP_VERSION
    # The extension table is large and counted: it needs no clearing.
    view.data = data
    view.size = <uint16_t>size
    view.marker = fixed[1] >> 7
    view.payload_type = fixed[1] & 0x7F
    view.seq = load_u16(fixed + 2)
    view.timestamp = load_u32(fixed + 4)
    view.ssrc = load_u32(fixed + 8)
    view.csrc_count = fixed[0] & 0x0F
    view.csrc = read_bytes(&r, 4 * view.csrc_count)
    if view.csrc == NULL:
        return DROP_RTP_SHORT
    view.extension_count = 0
    _clear_findings(view)
    if fixed[0] & 0x10:
        extension = read_bytes(&r, 4)
        if extension == NULL:
            return DROP_RTP_SHORT
        words = load_u16(extension + 2)
        if read_bytes(&r, 4 * <Py_ssize_t>words) == NULL:
            return DROP_RTP_SHORT
        if _parse_elements(view, load_u16(extension), extension + 4, 4 * <Py_ssize_t>words) < 0:
            return DROP_RTP_EXTENSION
    left = r.end - r.at
    if fixed[0] & 0x20:
        padding = data[size - 1] if left > 0 else 0
        if padding == 0 or padding > left:
            return DROP_RTP_PADDING
    view.payload = data + (size - left)
    view.payload_size = <uint16_t>(left - padding)
    view.padding_size = <uint8_t>padding
    return DROP_NONE


cdef void _clear_findings(PacketView* view) noexcept nogil:
    # What later stages fill in.
    view.arrived = 0
    view.ext_seq = -1
    view.is_restart = False
    view.is_recovered = False
    view.layer.spatial = -1
    view.layer.temporal = -1
    view.is_keyframe = False
    view.is_frame_start = False
    view.is_frame_end = False
    view.is_switch_point = False
    view.needs_lower = False
    view.has_descriptor = False
    view.picture_id = -1
    view.tl0_index = -1
    view.frame_number = -1
    view.active_targets = 0
    view.audio_level = -1
    view.voice = False
    view.encoding = 0


cdef int _parse_elements(PacketView* view, uint16_t profile, const uint8_t* at, Py_ssize_t size) noexcept nogil:
    # Elements of either form. A profile of neither form holds no elements for us. -1: malformed.
    cdef bint two_byte = (profile & 0xFFF0) == TWO_BYTE_PROFILE
    cdef const uint8_t* end = at + size
    cdef ExtElement* element
    cdef uint8_t id, length
    if not two_byte and profile != ONE_BYTE_PROFILE:
        return 0
    while at < end:
        if at[0] == 0:          # padding between elements
            at += 1
            continue
        if two_byte:
            if end - at < 2:
                return -1
            id = at[0]
            length = at[1]
            at += 2
        else:
            id = at[0] >> 4
            length = (at[0] & 0x0F) + 1
            at += 1
            if id == 15:        # reserved: processing stops here (RFC 8285 section 4.2)
                return 0
            if id == 0:         # padding with a length is malformed, but skipping one byte is what the RFC asks
                continue
        if length > end - at or view.extension_count == MAX_EXTENSIONS:
            return -1
        element = &view.extensions[view.extension_count]
        element.id = id
        element.size = length
        element.data = at
        view.extension_count += 1
        at += length
    return 0


cdef int rtx_unwrap(PacketView* view, uint32_t media_ssrc, uint8_t media_payload_type) noexcept nogil:
    cdef Py_ssize_t header_size = view.payload - view.data
    cdef uint16_t original
    cdef int i
    if view.payload_size == 0:
        return DROP_RTX_EMPTY
    if view.payload_size < 2:
        return DROP_RTX_SHORT
    original = load_u16(view.payload)
    memmove(view.data + 2, view.data, header_size)
    view.data += 2
    view.size -= 2
    view.payload += 2
    view.payload_size -= 2
    view.csrc += 2
    for i in range(view.extension_count):
        view.extensions[i].data += 2
    view.data[1] = (view.data[1] & 0x80) | (media_payload_type & 0x7F)
    store_u16(view.data + 2, original)
    store_u32(view.data + 8, media_ssrc)
    view.payload_type = media_payload_type & 0x7F
    view.seq = original
    view.ssrc = media_ssrc
    view.is_recovered = True
    return DROP_NONE


cdef void header_plan_init(HeaderPlan* plan) noexcept nogil:
    memset(plan, 0, sizeof(HeaderPlan))
    plan.playout_delay = -1
    plan.own_fits = True


cdef void header_plan_map(HeaderPlan* plan, int kind, uint8_t in_id, uint8_t out_id) noexcept nogil:
    if in_id != 0:
        plan.extension_ids[in_id] = 0
    if kind == EXT_MID:
        plan.mid_id = out_id
    elif kind == EXT_ABS_SEND_TIME:
        plan.abs_send_time_id = out_id
    elif kind == EXT_TRANSPORT_CC:
        plan.transport_cc_id = out_id
    elif kind == EXT_PLAYOUT_DELAY:
        plan.playout_delay_id = out_id
        plan.playout_delay_in = in_id
    elif kind != EXT_RID and kind != EXT_RRID and in_id != 0:
        plan.extension_ids[in_id] = out_id
        if kind == EXT_DEPENDENCY_DESCRIPTOR:
            plan.descriptor_id = in_id if out_id else 0
    _derive(plan)


cdef void header_plan_set_playout_delay(HeaderPlan* plan, int steps) noexcept nogil:
    plan.playout_delay = <int16_t>min(max(steps, 0), PLAYOUT_DELAY_MOST)
    _derive(plan)


cdef int header_plan_set_mid(HeaderPlan* plan, const uint8_t* mid, Py_ssize_t size) noexcept nogil:
    if size < 0 or size > MAX_MID:
        return -1
    memcpy(plan.mid, mid, size)
    plan.mid_size = <uint8_t>size
    _derive(plan)
    return 0


cdef void _derive(HeaderPlan* plan) noexcept nogil:
    # Everything that is the same in each of this consumer's headers is put together here, once.
    cdef uint8_t* at = plan.own
    cdef int id
    plan.own_abs_send_time = plan.own_transport_cc = 0
    plan.own_fits = plan.abs_send_time_id <= 14 and plan.transport_cc_id <= 14 and plan.playout_delay_id <= 14
    memset(plan.own, 0, OWN_SIZE)
    if _sends_mid(plan):
        plan.own_fits = plan.own_fits and plan.mid_id <= 14
        at = _element(at, False, plan.mid_id, plan.mid_size)
        memcpy(at, plan.mid, plan.mid_size)
        at += plan.mid_size
    if plan.abs_send_time_id:
        at = _element(at, False, plan.abs_send_time_id, ABS_SEND_TIME_SIZE)
        plan.own_abs_send_time = <uint8_t>(at - plan.own)
        at += ABS_SEND_TIME_SIZE
    if plan.transport_cc_id:
        at = _element(at, False, plan.transport_cc_id, TRANSPORT_CC_SIZE)
        plan.own_transport_cc = <uint8_t>(at - plan.own)
        at += TRANSPORT_CC_SIZE
    if plan.playout_delay_in:
        plan.extension_ids[plan.playout_delay_in] = 0 if _sends_playout_delay(plan) else plan.playout_delay_id
    if _sends_playout_delay(plan):
        at = _element(at, False, plan.playout_delay_id, PLAYOUT_DELAY_SIZE)
        store_u24(at, _playout_delay(plan))
        at += PLAYOUT_DELAY_SIZE
    plan.own_size = <uint8_t>(at - plan.own)
    plan.copies = False
    for id in range(256):
        plan.copies = plan.copies or plan.extension_ids[id] != 0


cdef uint32_t abs_send_time(int64_t now) noexcept nogil:
    # 64 s wrap first, so that the multiplication can't overflow.
    cdef uint64_t within = <uint64_t>now % <uint64_t>64_000_000_000
    return <uint32_t>((within << 18) / <uint64_t>1_000_000_000) & 0xFFFFFF


cdef inline uint8_t* _element(uint8_t* at, bint two_byte, uint8_t id, uint8_t size) noexcept nogil:
    # Writes one element's own header; gives where its data goes. The size of all was checked before.
    if two_byte:
        at[0] = id
        at[1] = size
        return at + 2
    at[0] = <uint8_t>((id << 4) | (size - 1))
    return at + 1


cdef inline bint _sends_mid(const HeaderPlan* plan) noexcept nogil:
    return plan.mid_id != 0 and plan.mid_size != 0


cdef inline bint _sends_playout_delay(const HeaderPlan* plan) noexcept nogil:
    return plan.playout_delay_id != 0 and plan.playout_delay >= 0


cdef inline uint32_t _playout_delay(const HeaderPlan* plan) noexcept nogil:
    # 12 bits each of the least and the most.
    return <uint32_t>plan.playout_delay << 12 | PLAYOUT_DELAY_MOST


cdef Py_ssize_t _measure_elements(const HeaderPlan* plan, const PacketView* view, bint* two_byte) noexcept nogil:
    # Bytes of all outgoing elements without the word padding, and which form they need.
    cdef Py_ssize_t data = 0
    cdef int i, count = 0
    cdef uint8_t id, size
    two_byte[0] = False
    if _sends_mid(plan):
        count += 1
        data += plan.mid_size
        two_byte[0] |= plan.mid_id > 14
    if plan.abs_send_time_id:
        count += 1
        data += ABS_SEND_TIME_SIZE
        two_byte[0] |= plan.abs_send_time_id > 14
    if plan.transport_cc_id:
        count += 1
        data += TRANSPORT_CC_SIZE
        two_byte[0] |= plan.transport_cc_id > 14
    if _sends_playout_delay(plan):
        count += 1
        data += PLAYOUT_DELAY_SIZE
        two_byte[0] |= plan.playout_delay_id > 14
    for i in range(view.extension_count):
        id = plan.extension_ids[view.extensions[i].id]
        if id == 0:
            continue
        size = view.extensions[i].size
        count += 1
        data += size
        two_byte[0] |= id > 14 or size == 0 or size > 16
    return data + count * (2 if two_byte[0] else 1)


cdef inline void _write_fixed(
    const PacketView* view, bint extended, uint8_t payload_type, uint16_t seq, uint32_t timestamp, uint32_t ssrc,
    uint8_t* out,
) noexcept nogil:
    out[0] = 0x80 | (0x10 if extended else 0) | view.csrc_count
    out[1] = (0x80 if view.marker else 0) | (payload_type & 0x7F)
    store_u16(out + 2, seq)
    store_u32(out + 4, timestamp)
    store_u32(out + 8, ssrc)
    if view.csrc_count:
        memcpy(out + RTP_HEADER, view.csrc, 4 * view.csrc_count)


cdef int rtp_write_header(
    const HeaderPlan* plan, const PacketView* view, uint8_t payload_type, uint16_t seq, uint32_t timestamp,
    uint32_t ssrc, int64_t now, uint8_t* out, Py_ssize_t capacity, HeaderMarks* marks,
) noexcept nogil:
    cdef int size = RTP_HEADER + 4 * view.csrc_count
    cdef int elements = -1
    marks.transport_cc = 0
    marks.abs_send_time = 0
    marks.frame_number = 0
    if plan.own_fits and capacity >= LARGEST_HEADER:
        elements = _write_one_byte(plan, view, now, out, size, marks)
    if elements < 0:
        return _write_any(plan, view, payload_type, seq, timestamp, ssrc, now, out, capacity, marks)
    _write_fixed(view, elements > 0, payload_type, seq, timestamp, ssrc, out)
    return size + elements


cdef inline int _write_one_byte(
    const HeaderPlan* plan, const PacketView* view, int64_t now, uint8_t* out, int size, HeaderMarks* marks,
) noexcept nogil:
    # The extension behind `size` bytes of header, in one pass. Its bytes; -1: an element needs the two-byte form.
    cdef uint8_t* own = out + size + 4
    cdef uint8_t* at = own + plan.own_size
    cdef const ExtElement* element
    cdef uint8_t id
    cdef int i, words
    memcpy(own, plan.own, OWN_SIZE)
    if plan.copies:
        for i in range(view.extension_count):
            element = &view.extensions[i]
            id = plan.extension_ids[element.id]
            if id:
                if id > 14 or element.size == 0 or element.size > 16:
                    return -1
                at = _element(at, False, id, element.size)
                if element.id == plan.descriptor_id and element.size >= 3:
                    marks.frame_number = <uint16_t>(at + 1 - out)
                memcpy(at, element.data, element.size)
                at += element.size
    if at == own:
        return 0
    if plan.own_abs_send_time:
        marks.abs_send_time = <uint16_t>(size + 4 + plan.own_abs_send_time)
        store_u24(own + plan.own_abs_send_time, abs_send_time(now))
    if plan.own_transport_cc:
        marks.transport_cc = <uint16_t>(size + 4 + plan.own_transport_cc)
    # Padding to whole words; the header fits with more room than that.
    at[0] = at[1] = at[2] = 0
    words = <int>(at - own + 3) >> 2
    store_u16(out + size, ONE_BYTE_PROFILE)
    store_u16(out + size + 2, <uint16_t>words)
    return 4 + 4 * words


cdef int _write_any(
    const HeaderPlan* plan, const PacketView* view, uint8_t payload_type, uint16_t seq, uint32_t timestamp,
    uint32_t ssrc, int64_t now, uint8_t* out, Py_ssize_t capacity, HeaderMarks* marks,
) noexcept nogil:
    # Either form, measured before a byte is written.
    cdef bint two_byte
    cdef Py_ssize_t elements = _measure_elements(plan, view, &two_byte)
    cdef Py_ssize_t padded = (elements + 3) & ~<Py_ssize_t>3
    cdef Py_ssize_t size = RTP_HEADER + 4 * view.csrc_count
    cdef Py_ssize_t total = size + (4 + padded if elements else 0)
    if total > capacity:
        return -1
    _write_fixed(view, elements != 0, payload_type, seq, timestamp, ssrc, out)
    if elements:
        store_u16(out + size, TWO_BYTE_PROFILE if two_byte else ONE_BYTE_PROFILE)
        store_u16(out + size + 2, <uint16_t>(padded >> 2))
        _write_elements(plan, view, two_byte, now, out, out + size + 4, marks)
        memset(out + size + 4 + elements, 0, padded - elements)
    return <int>total


cdef void _write_elements(
    const HeaderPlan* plan, const PacketView* view, bint two_byte, int64_t now, uint8_t* out, uint8_t* at,
    HeaderMarks* marks,
) noexcept nogil:
    cdef const ExtElement* element
    cdef uint8_t id
    cdef int i
    if _sends_mid(plan):
        at = _element(at, two_byte, plan.mid_id, plan.mid_size)
        memcpy(at, plan.mid, plan.mid_size)
        at += plan.mid_size
    if plan.abs_send_time_id:
        at = _element(at, two_byte, plan.abs_send_time_id, ABS_SEND_TIME_SIZE)
        marks.abs_send_time = <uint16_t>(at - out)
        store_u24(at, abs_send_time(now))
        at += ABS_SEND_TIME_SIZE
    if plan.transport_cc_id:
        at = _element(at, two_byte, plan.transport_cc_id, TRANSPORT_CC_SIZE)
        marks.transport_cc = <uint16_t>(at - out)
        store_u16(at, 0)
        at += TRANSPORT_CC_SIZE
    if _sends_playout_delay(plan):
        at = _element(at, two_byte, plan.playout_delay_id, PLAYOUT_DELAY_SIZE)
        store_u24(at, _playout_delay(plan))
        at += PLAYOUT_DELAY_SIZE
    for i in range(view.extension_count):
        element = &view.extensions[i]
        id = plan.extension_ids[element.id]
        if id:
            at = _element(at, two_byte, id, element.size)
            if element.id == plan.descriptor_id and element.size >= 3:
                marks.frame_number = <uint16_t>(at + 1 - out)
            memcpy(at, element.data, element.size)
            at += element.size


cdef int rtp_write_packet(
    const HeaderPlan* plan, const PacketView* view, uint8_t payload_type, uint16_t seq, uint32_t timestamp,
    uint32_t ssrc, int64_t now, uint8_t* out, Py_ssize_t capacity, HeaderMarks* marks,
) noexcept nogil:
    cdef int size = rtp_write_header(plan, view, payload_type, seq, timestamp, ssrc, now, out, capacity, marks)
    if size < 0 or view.payload_size > capacity - size:
        return -1
    memcpy(out + size, view.payload, view.payload_size)
    return size + view.payload_size


cdef int rtx_write_packet(
    const HeaderPlan* plan, const PacketView* view, uint8_t rtx_payload_type, uint16_t rtx_seq, uint32_t timestamp,
    uint32_t rtx_ssrc, uint16_t original_seq, int64_t now, uint8_t* out, Py_ssize_t capacity, HeaderMarks* marks,
) noexcept nogil:
    cdef int size = rtp_write_header(
        plan, view, rtx_payload_type, rtx_seq, timestamp, rtx_ssrc, now, out, capacity, marks)
    if size < 0 or view.payload_size + 2 > capacity - size:
        return -1
    store_u16(out + size, original_seq)
    memcpy(out + size + 2, view.payload, view.payload_size)
    return size + 2 + view.payload_size
