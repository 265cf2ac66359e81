"""VP9 payload descriptor (RFC 9628 section 4.2)."""

from libc.stdint cimport uint8_t

from rtpfwd.cursor cimport Reader, read_u8, reader_init, reader_left
from rtpfwd.types cimport PacketView


cdef void vp9_describe(PacketView* view) noexcept nogil:
    cdef Reader r
    cdef uint8_t first, layers = 0, references
    cdef bint begins
    view.layer.spatial = -1
    view.layer.temporal = -1
    view.is_keyframe = False
    view.is_frame_start = False
    view.is_switch_point = False
    reader_init(&r, view.payload, view.payload_size)
    first = read_u8(&r)                     # I P L F B E V Z
    if first & 0x80:                        # I: picture id of 7 or 15 bits
        if read_u8(&r) & 0x80:
            read_u8(&r)
    if first & 0x20:                        # L: TID U SID D, and TL0PICIDX unless flexible
        layers = read_u8(&r)
        if not first & 0x10:
            read_u8(&r)
    if (first & 0x50) == 0x50:              # P and F: up to three reference indices, each says if one more follows
        for references in range(3):
            if not read_u8(&r) & 0x01:
                break
    if first & 0x02 and not _skip_structure(&r):
        return
    if r.failed or reader_left(&r) == 0:
        return
    if first & 0x20:
        view.layer.temporal = layers >> 5
        view.layer.spatial = (layers >> 1) & 0x07
    # Each spatial layer is a frame of its own to the payload format; the picture begins with the lowest.
    begins = (first & 0x08) != 0
    view.is_frame_start = begins and view.layer.spatial <= 0
    view.is_keyframe = view.is_frame_start and (first & 0x40) == 0 and (layers & 0x01) == 0
    view.is_switch_point = view.is_keyframe or (
        begins and (first & 0x20) != 0 and ((layers & 0x10) != 0 or (first & 0x40) == 0))


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
