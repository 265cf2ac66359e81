"""What a node of ours can forward, and how its routers number it.

The numbering is mediasoup's, with two exceptions that docs/negotiation.md explains: payload type 127 is never given
out, and what is not implemented (goog-remb, the packet-id extension, audio other than Opus) is not offered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from server.rtc import uris
from server.rtc.ortc import generate_router_rtp_capabilities
from server.rtc.parameters import (
    Direction,
    ParameterValue,
    RtcpFeedback,
    RtpCapabilities,
    RtpCodecCapability,
    RtpHeaderExtensionCapability,
)

_AUDIO_FEEDBACK: Final = (RtcpFeedback("nack"), RtcpFeedback("transport-cc"))
_VIDEO_FEEDBACK: Final = (
    RtcpFeedback("nack"),
    RtcpFeedback("nack", "pli"),
    RtcpFeedback("ccm", "fir"),
    RtcpFeedback("transport-cc"),
)


def _video(name: str, **parameters: ParameterValue) -> RtpCodecCapability:
    return RtpCodecCapability(
        kind="video",
        mime_type=f"video/{name}",
        clock_rate=90000,
        parameters={key.replace("_", "-"): value for key, value in parameters.items()},
        rtcp_feedback=_VIDEO_FEEDBACK,
    )


def _extension(
    uri: str, number: int, audio: Direction | None, video: Direction | None
) -> list[RtpHeaderExtensionCapability]:
    both = []
    if audio is not None:
        both.append(RtpHeaderExtensionCapability("audio", uri, number, direction=audio))
    if video is not None:
        both.append(RtpHeaderExtensionCapability("video", uri, number, direction=video))
    return both


_OPUS: Final = RtpCodecCapability(
    kind="audio", mime_type="audio/opus", clock_rate=48000, channels=2, rtcp_feedback=_AUDIO_FEEDBACK
)

# An id means one uri over both kinds, because a BUNDLE group has one table of ids (RFC 8843 section 9.2), and stays
# within 1 to 14, which the one-byte form can carry. Directions are the server's: what is recvonly helps the node and
# is not passed on. The dependency descriptor is passed on with AV1 only: libwebrtc can't put that together from several
# spatial layers without it (docs/layers.md).
_HEADER_EXTENSIONS: Final = (
    *_extension(uris.MID, 1, "sendrecv", "sendrecv"),
    *_extension(uris.RID, 2, None, "recvonly"),
    *_extension(uris.REPAIRED_RID, 3, None, "recvonly"),
    *_extension(uris.ABS_SEND_TIME, 4, "sendrecv", "sendrecv"),
    *_extension(uris.TRANSPORT_CC, 5, "recvonly", "sendrecv"),
    *_extension(uris.AUDIO_LEVEL, 6, "sendrecv", None),
    *_extension(uris.DEPENDENCY_DESCRIPTOR, 7, None, "sendrecv"),
    *_extension(uris.VIDEO_ORIENTATION, 8, None, "sendrecv"),
    *_extension(uris.TRANSMISSION_OFFSET, 9, None, "sendrecv"),
    *_extension(uris.ABS_CAPTURE_TIME, 10, "sendrecv", "sendrecv"),
    *_extension(uris.PLAYOUT_DELAY, 11, "sendrecv", "sendrecv"),
)

# What a router may be asked for: one entry per format, whatever its profile.
SUPPORTED: Final = RtpCapabilities(
    codecs=(_OPUS, _video("VP8"), _video("VP9"), _video("H264", level_asymmetry_allowed=1), _video("AV1")),
    header_extensions=_HEADER_EXTENSIONS,
)


def _h264(profile_level_id: str, packetization_mode: int) -> RtpCodecCapability:
    return _video("H264", packetization_mode=packetization_mode, profile_level_id=profile_level_id)


# What a router has when it was not asked for anything else, in the order in which clients prefer it.
DEFAULT_CODECS: Final = (
    _OPUS,
    _video("VP8"),
    _video("VP9", profile_id=0),
    _video("VP9", profile_id=2),
    _h264("42e01f", 1),
    _h264("4d0032", 1),
    _h264("640032", 1),
    _h264("42e01f", 0),
    _video("AV1"),
)


def router_capabilities(codecs: Sequence[RtpCodecCapability] = ()) -> RtpCapabilities:
    """The capabilities of a new router: these codecs, numbered, each video codec with its RTX; all when empty.

    Raises UnsupportedCodec or InvalidParameters.
    """
    return generate_router_rtp_capabilities(codecs or DEFAULT_CODECS, SUPPORTED)
