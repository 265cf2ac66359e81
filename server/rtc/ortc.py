"""Negotiation: pure functions from frozen values to frozen values, by mediasoup's rules.

    router_capabilities ──────────────┐
    producer's RtpParameters ─> producer_rtp_parameters_mapping ─> consumable_rtp_parameters   (router numbering)
                                                                        │
    viewer's RtpCapabilities ─> can_consume, consumer_rtp_parameters <──┘   (router's or the viewer's numbering)

Randomness is an argument. docs/negotiation.md lists where we differ from mediasoup, and why.
"""

from __future__ import annotations

import random
import string
from collections.abc import Container, Iterable, Sequence
from typing import Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from server.errors import LocalError
from server.rtc import uris
from server.rtc.matching import (
    apt,
    as_parameters,
    describe,
    describe_all,
    matches,
    payload_type_of,
    rtx_capability,
    with_agreed_level,
)
from server.rtc.parameters import (
    InvalidParameters,
    MediaKind,
    RtcpFeedback,
    RtcpParameters,
    RtpCapabilities,
    RtpCodecCapability,
    RtpCodecParameters,
    RtpEncodingParameters,
    RtpHeaderExtensionCapability,
    RtpHeaderExtensionParameters,
    RtpParameters,
    RtxParameters,
    is_rtx,
    kind_of,
)
from server.rtc.scalability import parse_scalability_mode

ProducerType: TypeAlias = Literal["simple", "simulcast", "svc"]

# mediasoup's order, without 127: mediasoup's clients give 127 to the probation stream that they add themselves.
DYNAMIC_PAYLOAD_TYPES: Final[tuple[int, ...]] = (*range(100, 127), *range(96, 100))
_PROBATION_PAYLOAD_TYPE: Final = 127
# Below 2**31, so that no signed integer on the way goes negative; far from 1234, the SSRC of the probation stream.
_SSRC_FROM: Final = 100_000_000
_SSRC_TO: Final = 0x7FFF_FF00


class UnsupportedCodec(LocalError):
    """A valid request that nothing here can serve: answered UNIMPLEMENTED."""


class CodecMapping(Struct, frozen=True):
    """How one payload type of the producer is numbered in the router."""

    payload_type: int
    mapped_payload_type: int


class EncodingMapping(Struct, frozen=True):
    """The SSRC that one encoding of the producer has in the router."""

    mapped_ssrc: int
    ssrc: int | None = None
    rid: str | None = None


class RtpMapping(Struct, frozen=True):
    """From a producer's numbers to its router's. `encodings` is in the order of the producer's encodings."""

    codecs: tuple[CodecMapping, ...]
    encodings: tuple[EncodingMapping, ...]


def new_ssrc(rng: random.Random, count: int = 1, taken: Container[int] = ()) -> int:
    """The first of `count` (at most 256) consecutive SSRCs, none of them in `taken`."""
    while True:
        ssrc: int = rng.randrange(_SSRC_FROM, _SSRC_TO)
        if not any(ssrc + i in taken for i in range(count)):
            return ssrc


def new_cname(rng: random.Random) -> str:
    """Eight letters and digits: a CNAME for a participant who states none (RFC 7022 asks for randomness)."""
    return "".join(rng.choices(string.ascii_lowercase + string.digits, k=8))


def generate_router_rtp_capabilities(
    media_codecs: Iterable[RtpCodecCapability], supported: RtpCapabilities
) -> RtpCapabilities:
    """Number the wanted codecs and give each video codec its RTX. Raises UnsupportedCodec or InvalidParameters."""
    free = list(DYNAMIC_PAYLOAD_TYPES)
    codecs: list[RtpCodecCapability] = []

    def allocate(path: str) -> int:
        if not free:
            raise InvalidParameters(path, f"no payload type is left: at most {len(DYNAMIC_PAYLOAD_TYPES)} with RTX")
        return free.pop(0)

    for i, wanted in enumerate(media_codecs):
        path = f"codecs[{i}]"
        known = next((codec for codec in supported.codecs if matches(wanted, codec, strict=False)), None)
        if known is None:
            raise UnsupportedCodec(
                f"{path}: this node cannot forward {describe(wanted)}; it knows {describe_all(supported)}"
            )
        payload_type = wanted.preferred_payload_type
        if payload_type is None:
            payload_type = known.preferred_payload_type
        elif payload_type == _PROBATION_PAYLOAD_TYPE:
            raise InvalidParameters(f"{path}.preferredPayloadType", "127 belongs to the clients' probation stream")
        elif payload_type in free:
            free.remove(payload_type)
        if payload_type is None:
            payload_type = allocate(path)
        if any(codec.preferred_payload_type == payload_type for codec in codecs):
            raise InvalidParameters(f"{path}.preferredPayloadType", f"{payload_type} is used twice")
        parameters = {**known.parameters, **wanted.parameters}
        codecs.append(replace(known, preferred_payload_type=payload_type, parameters=parameters))
        if known.kind == "video":
            codecs.append(
                RtpCodecCapability(
                    kind="video",
                    mime_type="video/rtx",
                    clock_rate=known.clock_rate,
                    preferred_payload_type=allocate(path),
                    parameters={"apt": payload_type},
                )
            )
    return RtpCapabilities(codecs=tuple(codecs), header_extensions=supported.header_extensions)


def producer_rtp_parameters_mapping(
    params: RtpParameters, caps: RtpCapabilities, rng: random.Random
) -> tuple[RtpParameters, RtpMapping]:
    """Match a producer with its router. Answers the parameters with H.264 levels as agreed, and the mapping.

    Raises UnsupportedCodec for a codec that the router lacks, InvalidParameters for RTX of no codec.
    """
    agreed: list[RtpCodecParameters] = []
    known_as: dict[int, RtpCodecCapability] = {}
    for i, codec in enumerate(params.codecs):
        if is_rtx(codec):
            agreed.append(codec)
            continue
        known = next((c for c in caps.codecs if matches(codec, c)), None)
        if known is None:
            raise UnsupportedCodec(f"codecs[{i}]: the router lacks {describe(codec)}; it has {describe_all(caps)}")
        known_as[codec.payload_type] = known
        agreed.append(with_agreed_level(codec, known))
    codecs = [CodecMapping(sent_as, payload_type_of(known)) for sent_as, known in known_as.items()]
    for i, codec in enumerate(params.codecs):
        if not is_rtx(codec):
            continue
        media = known_as.get(apt(codec))
        if media is None:
            raise InvalidParameters(f"codecs[{i}].parameters.apt", "names no media codec of this list")
        rtx = rtx_capability(caps, payload_type_of(media))
        if rtx is None:
            raise UnsupportedCodec(f"codecs[{i}]: the router has no RTX for {describe(media)}")
        codecs.append(CodecMapping(codec.payload_type, payload_type_of(rtx)))
    base = new_ssrc(rng, len(params.encodings))
    encodings = tuple(EncodingMapping(base + i, e.ssrc, e.rid) for i, e in enumerate(params.encodings))
    return replace(params, codecs=tuple(agreed)), RtpMapping(tuple(codecs), encodings)


def consumable_rtp_parameters(
    kind: MediaKind, params: RtpParameters, caps: RtpCapabilities, mapping: RtpMapping
) -> RtpParameters:
    """The producer in its router's numbers: what consumers are made of. Raises InvalidParameters if it isn't `kind`."""
    mapped = {entry.payload_type: entry.mapped_payload_type for entry in mapping.codecs}
    codecs: list[RtpCodecParameters] = []
    for i, codec in enumerate(params.codecs):
        if kind_of(codec.mime_type) != kind:
            raise InvalidParameters(f"codecs[{i}].mimeType", f"{codec.mime_type} in a producer of kind {kind}")
        if is_rtx(codec):
            continue
        known = next(c for c in caps.codecs if c.preferred_payload_type == mapped[codec.payload_type])
        codecs.append(replace(as_parameters(known), parameters=codec.parameters))
        rtx = rtx_capability(caps, payload_type_of(known))
        if rtx is not None:
            codecs.append(as_parameters(rtx))
    # Capture times are passed through, never made here, so they are promised only where the producer sends them. So are
    # dependency descriptors, which viewers of other codecs have no use for.
    stated = {extension.uri for extension in params.header_extensions}
    extensions = tuple(
        _extension_parameters(e, e.preferred_id)
        for e in caps.header_extensions
        if e.kind == kind
        and e.direction in ("sendrecv", "sendonly")
        and (e.uri not in (uris.ABS_CAPTURE_TIME, uris.DEPENDENCY_DESCRIPTOR) or e.uri in stated)
        and (e.uri != uris.DEPENDENCY_DESCRIPTOR or codecs[0].mime_type.lower() == "video/av1")
    )
    encodings = tuple(
        replace(e, ssrc=entry.mapped_ssrc, rid=None, rtx=None, codec_payload_type=None)
        for e, entry in zip(params.encodings, mapping.encodings, strict=True)
    )
    return RtpParameters(
        codecs=tuple(codecs),
        header_extensions=extensions,
        encodings=encodings,
        rtcp=RtcpParameters(cname=params.rtcp.cname, reduced_size=True),
        msid=params.msid,
    )


def can_consume(consumable: RtpParameters, caps: RtpCapabilities) -> bool:
    """Whether a viewer with these capabilities can decode at least one codec of the producer."""
    return any(not is_rtx(c) and any(matches(known, c) for known in caps.codecs) for c in consumable.codecs)


def consumer_rtp_parameters(
    consumable: RtpParameters,
    caps: RtpCapabilities,
    rng: random.Random,
    *,
    enable_rtx: bool,
    mid: str | None = None,
    adopt_viewer_numbers: bool = False,
    taken: Container[int] = (),
) -> RtpParameters:
    """What one viewer is sent: one encoding, the codecs and header extensions that both sides know.

    `taken`: SSRCs already used on the transport. `adopt_viewer_numbers`: payload types and extension ids are those of
    `caps`, not the router's. Raises UnsupportedCodec where `can_consume` is False.
    """
    if adopt_viewer_numbers:
        codecs = _codecs_in_viewer_numbers(consumable, caps, enable_rtx)
        extensions = _extensions_in_viewer_numbers(consumable, caps)
    else:
        codecs = _codecs_in_router_numbers(consumable, caps, enable_rtx)
        known = {(e.uri, e.preferred_id) for e in caps.header_extensions}
        extensions = tuple(e for e in consumable.header_extensions if (e.uri, e.id) in known)
    if not codecs:
        raise UnsupportedCodec(f"the viewer has none of the producer's codecs: {describe_all(consumable)}")
    estimation = _estimation_feedback(extensions)
    codecs = [
        replace(c, rtcp_feedback=_feedback(c.rtcp_feedback, enable_rtx=enable_rtx, estimation=estimation))
        for c in codecs
    ]
    ssrc = new_ssrc(rng, 2, taken)
    encoding = RtpEncodingParameters(
        ssrc=ssrc,
        rtx=RtxParameters(ssrc + 1) if any(is_rtx(c) for c in codecs) else None,
        scalability_mode=_viewed_scalability_mode(consumable.encodings),
        max_bitrate=max((e.max_bitrate or 0 for e in consumable.encodings), default=0) or None,
    )
    return replace(consumable, codecs=tuple(codecs), header_extensions=extensions, encodings=(encoding,), mid=mid)


def pipe_consumer_rtp_parameters(
    consumable: RtpParameters, caps: RtpCapabilities, rng: random.Random, *, enable_rtx: bool
) -> RtpParameters:
    """What another router is sent: every encoding, no estimation of bandwidth. `caps`: this router's."""
    kept = {("nack", "pli"), ("ccm", "fir")} | ({("nack", "")} if enable_rtx else set())
    codecs = tuple(
        replace(c, rtcp_feedback=tuple(fb for fb in c.rtcp_feedback if (fb.type, fb.parameter) in kept))
        for c in consumable.codecs
        if enable_rtx or not is_rtx(c)
    )
    of_one_hop = {uris.MID, uris.ABS_SEND_TIME, uris.TRANSPORT_CC}
    extensions = [e for e in consumable.header_extensions if e.uri not in of_one_hop]
    # The dependency descriptor isn't in `consumable` of every codec; the next router needs it of all.
    kind = kind_of(consumable.codecs[0].mime_type)
    known = {e.uri for e in extensions}
    extensions += [
        _extension_parameters(e, e.preferred_id)
        for e in caps.header_extensions
        if e.uri == uris.DEPENDENCY_DESCRIPTOR and e.kind == kind and e.uri not in known
    ]
    count = len(consumable.encodings)
    base = new_ssrc(rng, count)
    base_rtx = new_ssrc(rng, count, taken=range(base, base + count))
    encodings = tuple(
        replace(e, ssrc=base + i, rtx=RtxParameters(base_rtx + i) if enable_rtx else None)
        for i, e in enumerate(consumable.encodings)
    )
    return replace(
        consumable,
        codecs=codecs,
        header_extensions=tuple(sorted(extensions, key=lambda e: e.id)),
        encodings=encodings,
        mid=None,
    )


def producer_type(params: RtpParameters) -> ProducerType:
    """How many layers a producer has, and in how many streams."""
    if len(params.encodings) > 1:
        return "simulcast"
    mode = parse_scalability_mode(params.encodings[0].scalability_mode if params.encodings else None)
    layered = mode.spatial_layers > 1 or mode.temporal_layers > 1
    return "svc" if layered and kind_of(params.codecs[0].mime_type) == "video" else "simple"


def _codecs_in_router_numbers(
    consumable: RtpParameters, caps: RtpCapabilities, enable_rtx: bool
) -> list[RtpCodecParameters]:
    codecs: list[RtpCodecParameters] = []
    for codec in consumable.codecs:
        known = next((c for c in caps.codecs if matches(c, codec)), None)
        if known is not None and (enable_rtx or not is_rtx(codec)):
            codecs.append(replace(codec, rtcp_feedback=known.rtcp_feedback))
    media = {codec.payload_type for codec in codecs if not is_rtx(codec)}
    return [codec for codec in codecs if not is_rtx(codec) or apt(codec) in media]


def _codecs_in_viewer_numbers(
    consumable: RtpParameters, caps: RtpCapabilities, enable_rtx: bool
) -> list[RtpCodecParameters]:
    codecs: list[RtpCodecParameters] = []
    used: set[int] = set()
    for codec in consumable.codecs:
        if is_rtx(codec):
            continue
        known = next((c for c in caps.codecs if c.preferred_payload_type not in used and matches(c, codec)), None)
        if known is None:
            continue
        viewer_type = payload_type_of(known)
        used.add(viewer_type)
        codecs.append(replace(codec, payload_type=viewer_type, rtcp_feedback=known.rtcp_feedback))
        rtx = rtx_capability(caps, viewer_type) if enable_rtx else None
        if rtx is not None:
            codecs.append(as_parameters(rtx))
    return codecs


def _extensions_in_viewer_numbers(
    consumable: RtpParameters, caps: RtpCapabilities
) -> tuple[RtpHeaderExtensionParameters, ...]:
    kind = kind_of(consumable.codecs[0].mime_type)
    numbers = {e.uri: e.preferred_id for e in reversed(caps.header_extensions) if e.kind == kind}
    return tuple(replace(e, id=numbers[e.uri]) for e in consumable.header_extensions if e.uri in numbers)


def _estimation_feedback(extensions: Sequence[RtpHeaderExtensionParameters]) -> str:
    """The one feedback for bandwidth estimation that these extensions allow; transport-cc wins."""
    stated = {extension.uri for extension in extensions}
    if uris.TRANSPORT_CC in stated:
        return "transport-cc"
    return "goog-remb" if uris.ABS_SEND_TIME in stated else ""


def _feedback(stated: Iterable[RtcpFeedback], *, enable_rtx: bool, estimation: str) -> tuple[RtcpFeedback, ...]:
    dropped = {"transport-cc", "goog-remb"} - {estimation}
    return tuple(
        fb for fb in stated if fb.type not in dropped and (enable_rtx or fb.type != "nack" or fb.parameter != "")
    )


def _viewed_scalability_mode(encodings: Sequence[RtpEncodingParameters]) -> str | None:
    """The layers that a viewer sees: each stream of a simulcast is one spatial layer."""
    mode = next((e.scalability_mode for e in encodings if e.scalability_mode), None)
    if len(encodings) > 1:
        return f"L{len(encodings)}T{parse_scalability_mode(mode).temporal_layers}"
    return mode


def _extension_parameters(extension: RtpHeaderExtensionCapability, number: int) -> RtpHeaderExtensionParameters:
    return RtpHeaderExtensionParameters(uri=extension.uri, id=number, encrypt=extension.preferred_encrypt)
