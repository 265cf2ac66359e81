"""AV1 aggregation header and first OBU header (RTP payload format for AV1, version 1.0, section 4.4)."""

from libc.stdint cimport uint8_t

from rtpfwd.cursor cimport Reader, read_u8, reader_init, reader_left
from rtpfwd.types cimport PacketView


cdef void av1_describe(PacketView* view) noexcept nogil:
    cdef Reader r
    cdef uint8_t aggregation, obu, layers
    cdef bint continues
    view.layer.spatial = -1
    view.layer.temporal = -1
    view.is_keyframe = False
    view.is_frame_start = False
    view.is_switch_point = False
    reader_init(&r, view.payload, view.payload_size)
    aggregation = read_u8(&r)               # Z Y W W N
    continues = (aggregation & 0x80) != 0
    if continues:                           # the first element is the rest of an OBU: it has no header
        return
    if (aggregation & 0x30) != 0x10:        # unless there is one element only, its length comes first
        if not _skip_leb128(&r):
            return
    obu = read_u8(&r)
    if r.failed or obu & 0x80:              # the forbidden bit
        return
    if obu & 0x04:                          # temporal and spatial id follow
        layers = read_u8(&r)
        if r.failed:
            return
        view.layer.temporal = layers >> 5
        view.layer.spatial = (layers >> 3) & 0x03
    view.is_frame_start = True
    # N: the first packet of a coded video sequence, which begins with a keyframe.
    view.is_keyframe = (aggregation & 0x08) != 0
    view.is_switch_point = view.is_keyframe


cdef bint _skip_leb128(Reader* r) noexcept nogil:
    cdef int i
    for i in range(8):
        if not read_u8(r) & 0x80:
            return not r.failed
    return False
