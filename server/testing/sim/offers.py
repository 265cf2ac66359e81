"""What a simulated browser offers to send: SSRCs, payload types, header extensions, as mediasoup-client states them."""

from __future__ import annotations

import random

from server.rtc import uris
from server.rtc.parameters import (
    RtcpFeedback,
    RtcpParameters,
    RtpCodecParameters,
    RtpEncodingParameters,
    RtpHeaderExtensionParameters,
    RtpParameters,
    RtxParameters,
)
from server.testing.sim.sources import (
    LEVEL_ID,
    MID_ID,
    REPAIRED_RID_ID,
    RID_ID,
    TRANSPORT_CC_ID,
    Encoding,
    SendStream,
)

_VIDEO_TYPE, _RTX_TYPE, _AUDIO_TYPE = 96, 97, 109


def new_stream(rng: random.Random, *, mid: str, rid: str, video: bool) -> SendStream:
    """An SSRC of a random number; with retransmissions when it is video."""
    ssrc = rng.randrange(1, 1 << 30) * 2
    return SendStream(
        rng,
        ssrc=ssrc,
        payload_type=_VIDEO_TYPE if video else _AUDIO_TYPE,
        mid=mid,
        rid=rid,
        rtx_ssrc=ssrc + 1 if video else 0,
        rtx_payload_type=_RTX_TYPE,
    )


def video_parameters(mid: str, encodings: tuple[Encoding, ...], streams: list[SendStream]) -> RtpParameters:
    """As mediasoup-client states a VP8 simulcast source: by RID, without SSRCs."""
    feedback = (
        RtcpFeedback("nack"),
        RtcpFeedback("nack", "pli"),
        RtcpFeedback("ccm", "fir"),
        RtcpFeedback("transport-cc"),
        RtcpFeedback("goog-remb"),
    )
    layers = {encoding.temporal_layers for encoding in encodings}
    return RtpParameters(
        mid=mid,
        codecs=(
            RtpCodecParameters("video/VP8", _VIDEO_TYPE, 90_000, rtcp_feedback=feedback),
            RtpCodecParameters("video/rtx", _RTX_TYPE, 90_000, parameters={"apt": _VIDEO_TYPE}),
        ),
        header_extensions=(
            RtpHeaderExtensionParameters(uris.MID, MID_ID),
            RtpHeaderExtensionParameters(uris.RID, RID_ID),
            RtpHeaderExtensionParameters(uris.REPAIRED_RID, REPAIRED_RID_ID),
            RtpHeaderExtensionParameters(uris.TRANSPORT_CC, TRANSPORT_CC_ID),
        ),
        encodings=tuple(
            RtpEncodingParameters(
                rid=encoding.rid or None,
                ssrc=None if encoding.rid else stream.ssrc,
                rtx=None if encoding.rid else RtxParameters(stream.rtx_ssrc),
                scalability_mode="L1T3" if 3 in layers else "L1T1",
                max_bitrate=encoding.max_bps,
            )
            for encoding, stream in zip(encodings, streams, strict=True)
        ),
        rtcp=RtcpParameters(),
    )


def audio_parameters(mid: int, stream: SendStream) -> RtpParameters:
    """Of an Opus source with levels (RFC 6464)."""
    return RtpParameters(
        mid=str(mid),
        codecs=(
            RtpCodecParameters(
                "audio/opus", _AUDIO_TYPE, 48_000, channels=2, rtcp_feedback=(RtcpFeedback("transport-cc"),)
            ),
        ),
        header_extensions=(
            RtpHeaderExtensionParameters(uris.MID, MID_ID),
            RtpHeaderExtensionParameters(uris.AUDIO_LEVEL, LEVEL_ID),
            RtpHeaderExtensionParameters(uris.TRANSPORT_CC, TRANSPORT_CC_ID),
        ),
        encodings=(RtpEncodingParameters(ssrc=stream.ssrc),),
        rtcp=RtcpParameters(),
    )
