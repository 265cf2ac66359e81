"""AV1 aggregation header and first OBU header (RTP payload format for AV1, version 1.0, section 4.4)."""

from libc.stdint cimport uint8_t, uint64_t

from rtpfwd.cursor cimport Reader, read_u8, reader_init
from rtpfwd.types cimport PacketView


cdef void av1_describe(PacketView* view) noexcept nogil:
    cdef Reader r
    cdef uint8_t aggregation, obu, layers
    cdef uint64_t size = 2                  # of the first element, as far as it matters here
    reader_init(&r, view.payload, view.payload_size)
    aggregation = read_u8(&r)               # Z Y W W N
    if aggregation & 0x80:                  # the first element is the rest of an OBU: it has no header
        return
    if (aggregation & 0x30) != 0x10:        # unless there is one element only, its size comes first
        size = _read_leb128(&r)
    obu = read_u8(&r)
    if r.failed or size == 0 or obu & 0x80:             # the forbidden bit
        return
    if obu & 0x04:                          # temporal and spatial id follow
        layers = read_u8(&r)
        if r.failed or size < 2:
            return
        view.layer.temporal = layers >> 5
        view.layer.spatial = (layers >> 3) & 0x03
    view.is_frame_start = True
    # N: the first packet of a coded video sequence, which begins with a keyframe.
    view.is_keyframe = (aggregation & 0x08) != 0
    view.is_switch_point = view.is_keyframe


cdef uint64_t _read_leb128(Reader* r) noexcept nogil:
    # At most eight bytes (AV1 specification, section 4.10.5); 0, which no element has, when it does not end by then.
    cdef uint64_t value = 0
    cdef uint8_t byte
    cdef int i
    for i in range(8):
        byte = read_u8(r)
        value |= <uint64_t>(byte & 0x7F) << (7 * i)
        if not byte & 0x80:
            return value
    return 0
