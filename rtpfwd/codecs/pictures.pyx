"""One consumer's numbering of frames: picture id, TL0PICIDX and frame number stay continuous over drops and switches."""

from libc.stdint cimport int8_t, int16_t, int64_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memset

from rtpfwd.cursor cimport store_u16
from rtpfwd.types cimport PacketView

cdef extern from *:
    int popcount64 "__builtin_popcountll"(unsigned long long value) noexcept nogil


cdef void pictures_init(Pictures* p) noexcept nogil:
    memset(p, 0, sizeof(Pictures))
    p.seen_picture = p.seen_tl0 = p.seen_frame = -1
    p.newest = -1


# Picture ids. Input ones are extended from the newest of this encoding; 0x10000 is added so that none is negative.

cdef inline int64_t _extended(const Pictures* p, const PacketView* view) noexcept nogil:
    cdef int64_t span = <int64_t>1 << view.picture_id_bits
    cdef int64_t ahead
    if p.newest < 0:
        return 0x10000 + view.picture_id
    ahead = (view.picture_id - p.newest) & (span - 1)
    return p.newest + (ahead if ahead < span / 2 else ahead - span)


cdef inline uint64_t* _word(Pictures* p, int64_t picture) noexcept nogil:
    return &p.dropped[(picture & (PICTURE_WINDOW - 1)) >> 6]


cdef inline uint64_t _bit(int64_t picture) noexcept nogil:
    return <uint64_t>1 << (picture & 63)


cdef void _move_ahead(Pictures* p, int64_t picture) noexcept nogil:
    # `picture` becomes the newest. What lies between has not come yet and keeps its numbers.
    cdef int64_t between
    p.next_out += picture - p.newest
    if picture - p.newest >= PICTURE_WINDOW:
        memset(p.dropped, 0, sizeof(p.dropped))
    else:
        for between in range(p.newest + 1, picture + 1):
            _word(p, between)[0] &= ~_bit(between)
    p.newest = picture


cdef int64_t _place(Pictures* p, int64_t picture) noexcept nogil:
    """The output number of a picture that is not newer than the newest."""
    cdef int64_t out = p.next_out - (p.newest - picture + 1)
    cdef int64_t later
    if p.dropped[0] | p.dropped[1]:
        for later in range(max(picture, p.newest - PICTURE_WINDOW + 1), p.newest + 1):
            out += (_word(p, later)[0] & _bit(later)) != 0
    return out


cdef int64_t _number(Pictures* p, const PacketView* view) noexcept nogil:
    cdef int64_t picture = _extended(p, view)
    cdef int64_t out
    if p.newest < 0:
        # The first since a switch.
        out = p.last_out + 1 if p.has_picture else picture
        p.newest = picture
        p.next_out = out + 1
    else:
        if picture > p.newest:
            _move_ahead(p, picture)
        elif picture == p.newest and _word(p, picture)[0] & _bit(picture):
            # Some of it was dropped, and more of it is not: it needs a number after all.
            _word(p, picture)[0] &= ~_bit(picture)
            p.next_out += 1
        out = _place(p, picture)
    p.last_out = max(p.last_out, out) if p.has_picture else out
    p.has_picture = True
    return out


cdef void pictures_drop(Pictures* p, const PacketView* view, bint closes_up) noexcept nogil:
    cdef int64_t picture
    if not closes_up or view.picture_id < 0 or p.newest < 0:
        return
    picture = _extended(p, view)
    # Of a picture with newer ones behind it the gap can't be closed any more; of the newest, some packets went out.
    if picture > p.newest:
        _move_ahead(p, picture)
        _word(p, picture)[0] |= _bit(picture)
        p.next_out -= 1


# All three.

cdef void pictures_forward_other(Pictures* p, const PacketView* view, bint is_switch) noexcept nogil:
    cdef Patch* patch = &p.patch
    p.seen_picture = view.picture_id
    p.seen_tl0 = view.tl0_index
    p.seen_frame = view.frame_number
    patch.flags = 0
    if is_switch:
        p.newest = -1
        memset(p.dropped, 0, sizeof(p.dropped))
        p.tl0_offset = <uint8_t>(p.last_tl0 + 1 - view.tl0_index) if p.has_tl0 and view.tl0_index >= 0 else 0
        p.frame_offset = (
            <uint16_t>(p.last_frame + 1 - view.frame_number) if p.has_frame and view.frame_number >= 0 else 0)
    if view.picture_id >= 0:
        patch.picture_id = <uint16_t>_number(p, view) & (0x7FFF if view.picture_id_bits == 15 else 0x7F)
        if patch.picture_id != view.picture_id:
            patch.flags |= PATCH_PICTURE
    if view.tl0_index >= 0:
        patch.tl0_index = <uint8_t>(view.tl0_index + p.tl0_offset)
        if p.tl0_offset:
            patch.flags |= PATCH_TL0
        if not p.has_tl0 or <int8_t>(patch.tl0_index - p.last_tl0) > 0 or is_switch:
            p.last_tl0 = patch.tl0_index
        p.has_tl0 = True
    if view.frame_number >= 0:
        patch.frame_number = <uint16_t>(view.frame_number + p.frame_offset)
        if p.frame_offset:
            patch.flags |= PATCH_FRAME
        if not p.has_frame or <int16_t>(patch.frame_number - p.last_frame) > 0 or is_switch:
            p.last_frame = patch.frame_number
        p.has_frame = True


cdef void patch_payload(const Patch* patch, const PacketView* view, uint8_t* payload) noexcept nogil:
    if patch.flags & PATCH_PICTURE and view.picture_id >= 0:
        if view.picture_id_bits == 15:
            store_u16(payload + view.picture_id_at, 0x8000 | patch.picture_id)
        else:
            payload[view.picture_id_at] = patch.picture_id & 0x7F
    if patch.flags & PATCH_TL0 and view.tl0_index >= 0:
        payload[view.tl0_index_at] = patch.tl0_index
