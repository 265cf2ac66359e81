"""Names of the plane's enums: drop reasons for the counters, codecs and header extensions by their registered names."""

from rtpfwd.types cimport (
    CODEC_AV1, CODEC_H264, CODEC_OPUS, CODEC_OTHER, CODEC_VP8, CODEC_VP9, DROP_OTHER, DROP_REASON_COUNT,
    EXT_ABS_CAPTURE_TIME, EXT_ABS_SEND_TIME, EXT_AUDIO_LEVEL, EXT_DEPENDENCY_DESCRIPTOR, EXT_MID, EXT_OTHER,
    EXT_PLAYOUT_DELAY, EXT_RID, EXT_RRID, EXT_TOFFSET, EXT_TRANSPORT_CC, EXT_VIDEO_ORIENTATION,
)

# In the order of DropReason.
cdef const char** _reasons = [
    "none", "empty", "truncated", "unknown_protocol", "unknown_source", "handoff_full",
    "no_keys", "srtp_auth", "srtp_replay", "srtp_other",
    "rtp_short", "rtp_version", "rtp_extension", "rtp_padding",
    "unknown_ssrc", "unknown_payload_type", "producer_paused", "rtx_empty", "rtx_short",
    "duplicate", "stale", "sequence_jump",
    "selector", "before_switch", "no_room", "no_remote", "transmit_full",
    "rtcp_short", "rtcp_version", "rtcp_padding", "rtcp_malformed",
    "srtp_protect", "other",
    "link_full", "no_buffer",
    "pacer_full", "pacer_slot",
]

EXTENSION_URIS = {
    "urn:ietf:params:rtp-hdrext:sdes:mid": EXT_MID,
    "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id": EXT_RID,
    "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id": EXT_RRID,
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time": EXT_ABS_SEND_TIME,
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01": EXT_TRANSPORT_CC,
    "urn:ietf:params:rtp-hdrext:ssrc-audio-level": EXT_AUDIO_LEVEL,
    "urn:3gpp:video-orientation": EXT_VIDEO_ORIENTATION,
    "urn:ietf:params:rtp-hdrext:toffset": EXT_TOFFSET,
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time": EXT_ABS_CAPTURE_TIME,
    "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay": EXT_PLAYOUT_DELAY,
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension":
        EXT_DEPENDENCY_DESCRIPTOR,
}

_CODECS = {
    "audio/opus": CODEC_OPUS,
    "video/vp8": CODEC_VP8,
    "video/vp9": CODEC_VP9,
    "video/h264": CODEC_H264,
    "video/av1": CODEC_AV1,
}

cdef const char* drop_reason_name(int reason) noexcept nogil:
    return _reasons[reason if 0 <= reason < DROP_REASON_COUNT else DROP_OTHER]

cpdef int extension_kind(str uri) except -1:
    """The ExtKind of a header extension's uri; 0 (EXT_OTHER) for one that the plane does not know."""
    return EXTENSION_URIS.get(uri, EXT_OTHER)

cpdef int codec_of(str mime_type) except -1:
    """The Codec of a mime type, in any case; 0 (CODEC_OTHER) for one whose payload the plane can't read."""
    return _CODECS.get(mime_type.lower(), CODEC_OTHER)

# By number: DROP_REASONS[12] is "rtp_extension".
DROP_REASONS = tuple([drop_reason_name(i).decode() for i in range(DROP_REASON_COUNT)])
