"""The one switch over codecs."""

from libc.stdint cimport uint8_t

from rtpfwd.codecs.av1 cimport av1_describe
from rtpfwd.codecs.dd cimport dd_describe_untrusted
from rtpfwd.codecs.h264 cimport h264_describe
from rtpfwd.codecs.opus cimport opus_describe
from rtpfwd.codecs.vp8 cimport vp8_describe
from rtpfwd.codecs.vp9 cimport vp9_describe
from rtpfwd.header cimport find_extension
from rtpfwd.types cimport CODEC_AV1, CODEC_H264, CODEC_VP8, CODEC_VP9, ExtElement, PacketView


cdef void describe(int codec, PacketView* view) noexcept nogil:
    view.layer.spatial = view.layer.temporal = -1
    view.is_keyframe = view.is_frame_start = view.is_switch_point = view.needs_lower = view.has_descriptor = False
    view.is_frame_end = view.marker
    view.picture_id = view.tl0_index = view.frame_number = view.audio_level = -1
    view.picture_id_bits = 0
    view.picture_id_at = view.tl0_index_at = 0
    view.active_targets = 0
    view.voice = False
    if codec == CODEC_VP8:
        vp8_describe(view)
    elif codec == CODEC_VP9:
        vp9_describe(view)
    elif codec == CODEC_H264:
        h264_describe(view)
    elif codec == CODEC_AV1:
        av1_describe(view)
    else:
        opus_describe(view)     # a codec we can't read: like audio, a viewer may join anywhere


cdef void describe_packet(
    int codec, DdState* descriptor, uint8_t descriptor_id, uint8_t audio_level_id, PacketView* view
) noexcept nogil:
    cdef const ExtElement* element
    describe(codec, view)
    if descriptor != NULL:
        element = find_extension(view, descriptor_id)
        if element != NULL:
            dd_describe_untrusted(descriptor, element, view)
    if audio_level_id:
        element = find_extension(view, audio_level_id)
        if element != NULL and element.size:
            view.audio_level = element.data[0] & 0x7F       # RFC 6464 section 3
            view.voice = (element.data[0] & 0x80) != 0
