"""VP8 payload descriptor (RFC 7741 section 4.2) and the first byte of the frame header (section 4.3)."""

from libc.stdint cimport uint8_t, uint16_t

from rtpfwd.cursor cimport Reader, read_u7_or_u15, read_u8, reader_init
from rtpfwd.types cimport PacketView


cdef void vp8_describe(PacketView* view) noexcept nogil:
    cdef Reader r
    cdef uint8_t first, extended = 0, tid_byte = 0, tl0 = 0, frame_header
    cdef int picture = -1
    cdef const uint8_t* picture_at = NULL
    cdef const uint8_t* tl0_at = NULL
    reader_init(&r, view.payload, view.payload_size)
    first = read_u8(&r)
    if first & 0x80:                        # X: the extended control bits follow
        extended = read_u8(&r)
        if extended & 0x80:                 # I: picture id of 7 or 15 bits
            picture_at = r.at
            picture = read_u7_or_u15(&r)
        if extended & 0x40:                 # L: TL0PICIDX
            tl0_at = r.at
            tl0 = read_u8(&r)
        if extended & 0x30:                 # T or K: TID, Y and KEYIDX share a byte
            tid_byte = read_u8(&r)
    frame_header = read_u8(&r)
    if r.failed:
        return
    if extended & 0x80:
        view.picture_id = picture
        view.picture_id_bits = 15 if picture_at[0] & 0x80 else 7
        view.picture_id_at = <uint16_t>(picture_at - view.payload)
    if extended & 0x40:
        view.tl0_index = tl0
        view.tl0_index_at = <uint16_t>(tl0_at - view.payload)
    if extended & 0x20:
        view.layer.temporal = tid_byte >> 6
    # S set and partition 0: the frame header follows, and its lowest bit is zero on a keyframe.
    view.is_frame_start = (first & 0x10) != 0 and (first & 0x07) == 0
    view.is_keyframe = view.is_frame_start and (frame_header & 0x01) == 0
    view.is_switch_point = view.is_keyframe or (
        view.is_frame_start and (extended & 0x20) != 0 and (tid_byte & 0x20) != 0)
