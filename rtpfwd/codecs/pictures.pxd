# One consumer's numbering of frames: picture id and TL0PICIDX of VP8 (RFC 7741) and VP9 (RFC 9628), frame number of the
# dependency descriptor. So that a decoder sees no gap that it can't explain:
#
# - A switch, or a new beginning, goes on right after the highest number sent.
# - A VP8 frame that was dropped by choice leaves no gap in the picture ids, since VP8 explains none.
# - VP9's picture ids and the descriptor's frame numbers keep the gaps of dropped frames: references are coded as differences
#   of these numbers (P_DIFF, fdiff), so closing a gap would turn them to other frames.
#
# A frame has the same numbers whenever its packets come: late, or again as retransmission.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint64_t

from rtpfwd.cursor cimport store_u16
from rtpfwd.header cimport HeaderMarks
from rtpfwd.types cimport PacketView

cdef enum:
    PICTURE_WINDOW = 128        # input pictures behind the newest of which the drops are known

cdef enum PatchFlag:
    PATCH_PICTURE = 1
    PATCH_TL0 = 2
    PATCH_FRAME = 4
    PATCH_MARKER = 8
    PATCH_PAYLOAD = 3           # the two that lie in the payload

cdef struct Patch:              # what one packet gets instead of what it came with
    uint8_t flags               # PatchFlag bits: which of these
    uint8_t tl0_index
    uint16_t picture_id
    uint16_t frame_number

cdef struct Pictures:           # all zeros but for `seen_*` and `newest`: pictures_init
    # The packet before, as it came, and what it got.
    int32_t seen_picture
    int32_t seen_tl0
    int32_t seen_frame
    Patch patch
    # Picture ids, extended.
    bint has_picture
    int64_t newest              # highest that came since the last switch; -1 = none
    int64_t next_out            # what newest + 1 would get
    int64_t last_out            # highest sent
    uint64_t dropped[2]         # PICTURE_WINDOW bits: bit picture % PICTURE_WINDOW: dropped when it was the newest
    # The other two: output = input + offset.
    bint has_tl0
    uint8_t tl0_offset
    uint8_t last_tl0            # newest sent
    bint has_frame
    uint16_t frame_offset
    uint16_t last_frame         # newest sent

cdef void pictures_init(Pictures* p) noexcept nogil
# A packet is forwarded; is_switch: numbering begins anew at it. What to write is in `patch`.
cdef inline void pictures_forward(Pictures* p, const PacketView* view, bint is_switch, Patch* patch) noexcept nogil:
    # Most packets are of the frame of the packet before, or number nothing.
    if (
        is_switch or view.picture_id != p.seen_picture or view.frame_number != p.seen_frame
        or view.tl0_index != p.seen_tl0
    ):
        pictures_forward_other(p, view, is_switch)
    patch[0] = p.patch

# What pictures_forward leaves: a new frame. The patch is in p.patch.
cdef void pictures_forward_other(Pictures* p, const PacketView* view, bint is_switch) noexcept nogil
# A packet of the encoding that flows was dropped by choice. `closes_up`: the codec is VP8.
cdef void pictures_drop(Pictures* p, const PacketView* view, bint closes_up) noexcept nogil
# Writes what lies in the header that begins at `out`.
cdef inline void patch_header(const Patch* patch, const HeaderMarks* marks, uint8_t* out) noexcept nogil:
    if patch.flags & PATCH_MARKER:
        out[1] |= 0x80
    if patch.flags & PATCH_FRAME and marks.frame_number:
        store_u16(out + marks.frame_number, patch.frame_number)

# Writes what lies in the payload: `payload` is a copy of view.payload.
cdef void patch_payload(const Patch* patch, const PacketView* view, uint8_t* payload) noexcept nogil
