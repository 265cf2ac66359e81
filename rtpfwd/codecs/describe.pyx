"""The one switch over codecs."""

from rtpfwd.codecs.av1 cimport av1_describe
from rtpfwd.codecs.h264 cimport h264_describe
from rtpfwd.codecs.opus cimport opus_describe
from rtpfwd.codecs.vp8 cimport vp8_describe
from rtpfwd.codecs.vp9 cimport vp9_describe
from rtpfwd.types cimport CODEC_AV1, CODEC_H264, CODEC_VP8, CODEC_VP9, PacketView


cdef void describe(int codec, PacketView* view) noexcept nogil:
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
