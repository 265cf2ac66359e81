"""VP9 payload descriptor (RFC 9628 section 4.2)."""

from libc.stdint cimport uint8_t, uint16_t

from rtpfwd.cursor cimport Reader, read_u7_or_u15, read_u8, reader_init, reader_left
from rtpfwd.types cimport PacketView


cdef void vp9_describe(PacketView* view) noexcept nogil:
    cdef Reader r
    cdef uint8_t first, layers = 0, tl0 = 0, references
    cdef int picture = -1
    cdef const uint8_t* picture_at = NULL
    cdef const uint8_t* tl0_at = NULL
    cdef bint inter, layered
    reader_init(&r, view.payload, view.payload_size)
    first = read_u8(&r)                     # I P L F B E V Z
    if first & 0x80:                        # I: picture id of 7 or 15 bits
        picture_at = r.at
        picture = read_u7_or_u15(&r)
    if first & 0x20:                        # L: TID U SID D, and TL0PICIDX unless flexible
        layers = read_u8(&r)
        if not first & 0x10:
            tl0_at = r.at
            tl0 = read_u8(&r)
    if (first & 0x50) == 0x50:              # P and F: up to three reference indices, each says if one more follows
        for references in range(3):
            if not read_u8(&r) & 0x01:
                break
    if first & 0x02 and not _skip_structure(&r):
        return
    if r.failed or reader_left(&r) == 0:
        return
    if picture_at != NULL:
        view.picture_id = picture
        view.picture_id_bits = 15 if picture_at[0] & 0x80 else 7
        view.picture_id_at = <uint16_t>(picture_at - view.payload)
    if tl0_at != NULL:
        view.tl0_index = tl0
        view.tl0_index_at = <uint16_t>(tl0_at - view.payload)
    layered = (first & 0x20) != 0
    if layered:
        view.layer.temporal = layers >> 5
        view.layer.spatial = (layers >> 1) & 0x07
    # Each spatial layer of a picture is a frame of its own; the marker ends the picture.
    inter = (first & 0x40) != 0
    view.is_frame_start = (first & 0x08) != 0
    view.is_frame_end = (first & 0x04) != 0
    view.needs_lower = layered and view.layer.spatial > 0 and (layers & 0x01) != 0
    view.is_keyframe = view.is_frame_start and not inter and not view.needs_lower
    # A frame of an upper spatial layer that is predicted from its own picture only lets a decoder of the lower one join it. U
    # on a frame says that it refers to no frame of its temporal layer or above; on the lowest one it speaks of later frames.
    view.is_switch_point = view.is_keyframe or (
        view.is_frame_start and layered and (not inter or ((layers & 0x10) != 0 and view.layer.temporal > 0)))


cdef bint _skip_structure(Reader* r) noexcept nogil:
    # The scalability structure (section 4.2.1). False: cut short.
    cdef uint8_t head = read_u8(r)
    cdef uint8_t pictures, picture
    cdef int i, j
    if head & 0x10:                         # Y: width and height of each of N_S + 1 layers
        for i in range(4 * ((head >> 5) + 1)):
            read_u8(r)
    if head & 0x08:                         # G: the pictures of the group, each with its references
        pictures = read_u8(r)
        for i in range(pictures):
            picture = read_u8(r)
            if r.failed:
                return False
            for j in range((picture >> 2) & 0x03):
                read_u8(r)
    return not r.failed
