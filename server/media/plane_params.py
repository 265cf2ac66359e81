"""From ORTC's objects to the plane's parameters. Pure functions."""

from __future__ import annotations

from rtpfwd.params import CodecParams, ConsumerParams, EncodingParams, PayloadMapping, ProducerParams
from server.rtc.ortc import RtpMapping
from server.rtc.parameters import MediaKind, RtpCodecParameters, RtpParameters, is_rtx


def producer_params(kind: MediaKind, rtp: RtpParameters, *, cname: str, paused: bool) -> ProducerParams:
    """What a sender sends, as it numbers it."""
    return ProducerParams(
        kind=kind,
        codecs=tuple(_codec(codec, rtp) for codec in rtp.codecs if not is_rtx(codec)),
        encodings=tuple(
            EncodingParams(
                ssrc=encoding.ssrc, rid=encoding.rid, rtx_ssrc=encoding.rtx.ssrc if encoding.rtx is not None else None
            )
            for encoding in rtp.encodings
        ),
        mid=rtp.mid,
        extensions=_extensions(rtp),
        paused=paused,
        cname=cname,
    )


def consumer_params(
    mapping: RtpMapping, consumable: RtpParameters, consumer: RtpParameters, *, paused: bool
) -> ConsumerParams:
    """What a viewer is sent. `mapping` and `consumable` are its producer's."""
    (encoding,) = consumer.encodings
    assert encoding.ssrc is not None, "negotiation gives every consumer an SSRC"
    viewed = _viewed_payload_types(consumable, consumer)
    return ConsumerParams(
        ssrc=encoding.ssrc,
        payload_types=tuple(
            PayloadMapping(
                producer=codec.payload_type,
                consumer=viewed[codec.mapped_payload_type],
                consumer_rtx=_rtx_payload_type(viewed[codec.mapped_payload_type], consumer),
            )
            for codec in mapping.codecs
            if codec.mapped_payload_type in viewed
        ),
        rtx_ssrc=encoding.rtx.ssrc if encoding.rtx is not None else None,
        mid=consumer.mid or "",
        extensions=_extensions(consumer),
        cname=consumer.rtcp.cname or "",
        paused=paused,
        selector=_selector(consumable),
    )


def signalled_ssrcs(params: ProducerParams) -> set[int]:
    """The SSRCs that a producer names, with those of its retransmissions."""
    named = (ssrc for encoding in params.encodings for ssrc in (encoding.ssrc, encoding.rtx_ssrc))
    return {ssrc for ssrc in named if ssrc is not None}


def stream_count(params: ProducerParams | ConsumerParams) -> int:
    """How many SSRC states this takes in the plane."""
    if isinstance(params, ConsumerParams):
        return 1 + (params.rtx_ssrc is not None)
    rtx = any(codec.rtx_payload_type is not None for codec in params.codecs)
    return len(params.encodings) * (1 + rtx)


def _selector(consumable: RtpParameters) -> str:
    """Who chooses per packet. A single video stream may show layers at any time, announced or not."""
    if not consumable.codecs[0].mime_type.lower().startswith("video/"):
        return "audio"
    return "simulcast" if len(consumable.encodings) > 1 else "svc"


def _viewed_payload_types(consumable: RtpParameters, consumer: RtpParameters) -> dict[int, int]:
    """From the router's media payload types to the consumer's, which may be numbered otherwise (WHEP).

    Negotiation leaves all else of a codec as it is, so a codec is recognised by what it is.
    """
    free = [codec for codec in consumer.codecs if not is_rtx(codec)]
    viewed: dict[int, int] = {}
    for codec in consumable.codecs:
        if is_rtx(codec) or codec.payload_type in viewed:
            continue
        same = next((theirs for theirs in free if _identity(theirs) == _identity(codec)), None)
        if same is not None:
            free.remove(same)
            viewed[codec.payload_type] = same.payload_type
    return viewed


def _identity(codec: RtpCodecParameters) -> tuple[object, ...]:
    return codec.mime_type.lower(), codec.clock_rate, codec.channels, dict(codec.parameters)


def _codec(codec: RtpCodecParameters, rtp: RtpParameters) -> CodecParams:
    feedback = {(fb.type, fb.parameter) for fb in codec.rtcp_feedback}
    return CodecParams(
        payload_type=codec.payload_type,
        mime_type=codec.mime_type.lower(),
        clock_rate=codec.clock_rate,
        rtx_payload_type=_rtx_payload_type(codec.payload_type, rtp),
        nack=("nack", "") in feedback,
        pli=("nack", "pli") in feedback,
        fir=("ccm", "fir") in feedback,
    )


def _rtx_payload_type(payload_type: int, rtp: RtpParameters) -> int | None:
    for codec in rtp.codecs:
        if is_rtx(codec) and codec.parameters.get("apt") == payload_type:
            return codec.payload_type
    return None


def _extensions(rtp: RtpParameters) -> tuple[tuple[str, int], ...]:
    return tuple((extension.uri, extension.id) for extension in rtp.header_extensions)
