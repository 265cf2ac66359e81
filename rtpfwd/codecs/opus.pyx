"""Opus (RFC 7587): a packet is a frame and stands alone."""

from rtpfwd.types cimport PacketView


cdef void opus_describe(PacketView* view) noexcept nogil:
    view.is_keyframe = True
    view.is_frame_start = True
    view.is_frame_end = True
    view.is_switch_point = True
