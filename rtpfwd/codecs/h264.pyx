"""H.264 NAL units: single, STAP-A and FU-A (RFC 6184 section 5.2)."""

from libc.stdint cimport uint8_t

from rtpfwd.cursor cimport Reader, read_bytes, read_u16, read_u8, reader_init, reader_left
from rtpfwd.types cimport PacketView

cdef enum:
    NAL_SLICE = 1
    NAL_IDR = 5
    NAL_SEI = 6
    NAL_SPS = 7
    NAL_PPS = 8
    NAL_DELIMITER = 9
    STAP_A = 24
    FU_A = 28


cdef void h264_describe(PacketView* view) noexcept nogil:
    cdef Reader r
    cdef uint8_t kind, fragment, size_high
    cdef const uint8_t* unit
    cdef Py_ssize_t size
    cdef bint first = True
    reader_init(&r, view.payload, view.payload_size)
    kind = read_u8(&r) & 0x1F
    if kind == STAP_A:
        while reader_left(&r) > 0:
            size = read_u16(&r)
            unit = read_bytes(&r, size)
            if unit == NULL or size == 0:
                _forget(view)               # cut short: nothing of it can be relied upon
                return
            _look_at(view, unit[0] & 0x1F, unit + 1, size - 1, first)
            first = False
    elif kind == FU_A:
        fragment = read_u8(&r)
        if not r.failed and fragment & 0x80:            # S: the unit begins here
            _look_at(view, fragment & 0x1F, r.at, reader_left(&r), True)
    elif not r.failed:
        _look_at(view, kind, r.at, reader_left(&r), True)
    view.is_switch_point = view.is_keyframe


cdef void _forget(PacketView* view) noexcept nogil:
    view.is_keyframe = False
    view.is_frame_start = False


cdef void _look_at(PacketView* view, uint8_t kind, const uint8_t* rest, Py_ssize_t size, bint first) noexcept nogil:
    # One unit after its header byte. A slice begins a frame when first_mb_in_slice is 0, which is coded as a single 1
    # bit. A decoder may begin at the parameter sets, or at an IDR picture when they came another way.
    cdef bint first_slice = size > 0 and (rest[0] & 0x80) != 0
    if kind == NAL_SPS or (kind == NAL_IDR and first_slice):
        view.is_keyframe = True
    if first and (NAL_SEI <= kind <= NAL_DELIMITER or (NAL_SLICE <= kind <= NAL_IDR and first_slice)):
        view.is_frame_start = True
