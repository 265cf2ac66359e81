"""An offer's sections in ORTC terms: what its sender will send, what its viewer can receive. Pure functions.

Codecs match as they do on the node, which checks again: by name, clock rate, channels and, for H.264, VP9 and AV1, the
parameters that name a bit stream. Matching here too lets an answer reject one section and keep the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from protos import media_pb2 as pb
from signaling.sdp.model import Codec, Extension, SdpError, Section

_KINDS = {"audio": pb.MediaKind.AUDIO, "video": pb.MediaKind.VIDEO}
_MID_URI = "urn:ietf:params:rtp-hdrext:sdes:mid"
_RID_URI = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"

_LOWEST_NAMES = frozenset({"q", "l", "lo", "low", "r0"})

# Which bit stream a codec's payload type carries, by the parameters that say so; a missing one has the default of the
# codec's payload format (RFC 6184, RFC 9628, the AV1 one).
_STREAM_PARAMETERS = {"h264": (("packetization-mode", "0"),), "vp9": (("profile-id", "0"),), "av1": (("profile", "0"),)}


def produce_parameters(section: Section, router: pb.RtpCapabilities) -> pb.RtpParameters | None:
    """How the offerer will send this section: one media codec, the first it offers that the router takes, and its RTX.

    None when the router takes none of them: the section is to be rejected. Raises SdpError when packets of the section
    could not be recognized: neither an SSRC, nor a RID, nor the MID extension.
    """
    chosen = _choose(section, router)
    if chosen is None:
        return None
    codec, known = chosen
    codecs = [_codec_parameters(section, codec, _common_feedback(codec, known))]
    rtx = _rtx_of(section, codec)
    if rtx is not None and _router_has_rtx(router, known):
        codecs.append(_codec_parameters(section, rtx, ()))
    extensions = [
        extension
        for extension in section.extensions
        if extension.direction in ("sendrecv", "sendonly") and _router_takes(router, section.kind, extension)
    ]
    return pb.RtpParameters(
        mid=section.mid,
        codecs=codecs,
        header_extensions=[pb.RtpHeaderExtensionParameters(uri=e.uri, id=e.id) for e in extensions],
        encodings=_encodings(section, {extension.uri for extension in extensions}, has_rtx=len(codecs) > 1),
        rtcp=pb.RtcpParameters(cname=section.cname, reduced_size=True),
        msid=section.msid,
    )


def simulcast_rids(section: Section) -> tuple[str, ...]:
    """The RIDs that the offerer will send, in its order; empty without RID simulcast."""
    known = {rid.id for rid in section.rids if rid.direction == "send"}
    if section.simulcast_send:
        return tuple(rid for rid in section.simulcast_send if rid in known)
    return tuple(rid.id for rid in section.rids if rid.direction == "send")[:8]


def consume_capabilities(sections: Iterable[Section], router: pb.RtpCapabilities) -> pb.RtpCapabilities:
    """What the offerer can receive over these sections, in its own numbers, as far as the router has it too."""
    codecs: dict[int, pb.RtpCodecCapability] = {}
    extensions: dict[tuple[str, int], pb.RtpHeaderExtensionCapability] = {}
    for section in sections:
        for codec in _receivable(section, router):
            codecs.setdefault(codec.payload_type, _codec_capability(section, codec))
        for extension in section.extensions:
            if extension.direction in ("sendrecv", "recvonly"):
                capability = pb.RtpHeaderExtensionCapability(
                    kind=_KINDS[section.kind], uri=extension.uri, preferred_id=extension.id, direction="sendrecv"
                )
                extensions.setdefault((section.kind, extension.id), capability)
    return pb.RtpCapabilities(codecs=codecs.values(), header_extensions=extensions.values())


# ---- matching ----


def _choose(section: Section, router: pb.RtpCapabilities) -> tuple[Codec, pb.RtpCodecCapability] | None:
    allowed = {pt for rid in section.rids if rid.direction == "send" for pt in rid.payload_types}
    for codec in section.codecs:
        if allowed and codec.payload_type not in allowed:
            continue
        for meant in (codec, _constrained(codec)):
            known = _match(section.kind, meant, router)
            if known is not None:
                return meant, known
    return None


def _constrained(codec: Codec) -> Codec:
    """H.264 Baseline taken for Constrained Baseline, whose viewers are far more.

    Encoders that call their stream Baseline make none of what only Baseline may have (slice groups, arbitrary order).
    """
    profile_level_id = codec.parameters.get("profile-level-id", "")
    if codec.name.lower() != "h264" or h264_profile(profile_level_id) != "baseline":
        return codec
    return replace(codec, parameters={**codec.parameters, "profile-level-id": f"42e0{profile_level_id[4:]}"})


def _match(kind: str, codec: Codec, router: pb.RtpCapabilities) -> pb.RtpCodecCapability | None:
    """The router's codec of the same bit stream; never RTX."""
    if codec.name.lower() == "rtx":
        return None
    mime_type = f"{kind}/{codec.name}".lower()
    for known in router.codecs:
        if (
            known.mime_type.lower() == mime_type
            and known.clock_rate == codec.clock_rate
            and (kind != "audio" or (known.channels or 1) == codec.channels)
            and _same_stream(codec.name.lower(), codec.parameters, _texts(known.parameters))
        ):
            return known
    return None


def _same_stream(name: str, one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    if any(one.get(key, default) != other.get(key, default) for key, default in _STREAM_PARAMETERS.get(name, ())):
        return False
    return name != "h264" or h264_profile(one.get("profile-level-id", "")) == h264_profile(
        other.get("profile-level-id", "")
    )


def h264_profile(profile_level_id: str) -> str:
    """The profile that a profile-level-id names, whatever its level (RFC 6184 section 8.1, table 5)."""
    text = profile_level_id or "42e01f"
    try:
        profile, constraints = int(text[0:2], 16), int(text[2:4], 16)
    except ValueError:
        return "invalid"
    for name, idc, mask, bits in _H264_PROFILES:
        if profile == idc and constraints & mask == bits:
            return name
    return text[0:4].lower()


# (name, profile_idc, which bits of profile-iop count, what they must be)
_H264_PROFILES = (
    ("constrained-baseline", 0x42, 0x4F, 0x40),
    ("constrained-baseline", 0x4D, 0x8F, 0x80),
    ("constrained-baseline", 0x58, 0xCF, 0xC0),
    ("baseline", 0x42, 0x4F, 0x00),
    ("baseline", 0x58, 0xCF, 0x80),
    ("main", 0x4D, 0xAF, 0x00),
    ("constrained-high", 0x64, 0xFF, 0x0C),
    ("high", 0x64, 0xFF, 0x00),
)


def _rtx_of(section: Section, codec: Codec) -> Codec | None:
    """RFC 4588: the retransmission payload type whose apt is the codec's."""
    wanted = str(codec.payload_type)
    return next((c for c in section.codecs if c.name.lower() == "rtx" and c.parameters.get("apt") == wanted), None)


def _router_has_rtx(router: pb.RtpCapabilities, known: pb.RtpCodecCapability) -> bool:
    return any(
        codec.mime_type.lower().endswith("/rtx") and codec.parameters["apt"].integer == known.preferred_payload_type
        for codec in router.codecs
        if "apt" in codec.parameters
    )


def _router_takes(router: pb.RtpCapabilities, kind: str, extension: Extension) -> bool:
    return any(
        known.uri == extension.uri and known.kind == _KINDS[kind] and known.direction != "sendonly"
        for known in router.header_extensions
        if known.direction != "inactive"
    )


def _receivable(section: Section, router: pb.RtpCapabilities) -> Iterator[Codec]:
    media = [codec for codec in section.codecs if _match(section.kind, codec, router) is not None]
    for codec in media:
        yield codec
        rtx = _rtx_of(section, codec)
        if rtx is not None:
            yield rtx


def _common_feedback(codec: Codec, known: pb.RtpCodecCapability) -> tuple[tuple[str, str], ...]:
    ours = {(feedback.type, feedback.parameter) for feedback in known.rtcp_feedback}
    return tuple(item for item in codec.feedback if item in ours)


# ---- encodings ----


def _encodings(section: Section, extensions: set[str], *, has_rtx: bool) -> list[pb.RtpEncodingParameters]:
    rids = simulcast_rids(section)
    if rids:
        if _RID_URI not in extensions:
            raise SdpError(section.line, "the section offers RIDs without the header extension that carries them")
        return [pb.RtpEncodingParameters(rid=rid) for rid in _lowest_first(rids)]
    # Older simulcast names its encodings by SSRC, lowest first (a=ssrc-group:SIM).
    ssrcs = next((members for name, members in section.groups if name == "SIM"), section.ssrcs[:1])[:8]
    retransmissions = dict(members for name, members in section.groups if name == "FID" and len(members) == 2)
    if not any(name == "SIM" for name, _ in section.groups):
        ssrcs = tuple(retransmissions)[:1] or ssrcs
    if not ssrcs:
        if _MID_URI not in extensions or not section.mid:
            raise SdpError(section.line, "the section names its stream by none of a=ssrc, a=rid, and the MID extension")
        return [pb.RtpEncodingParameters()]
    return [
        pb.RtpEncodingParameters(ssrc=ssrc, rtx_ssrc=retransmissions.get(ssrc) if has_rtx else None) for ssrc in ssrcs
    ]


def _lowest_first(rids: tuple[str, ...]) -> tuple[str, ...]:
    """The order of a producer's encodings. An offer lists the most preferred stream first (RFC 8853 section 5.2).

    Clients that list the smallest first all the same are told by how they name it.
    """
    return rids if rids[0] in _LOWEST_NAMES else rids[::-1]


# ---- values ----


def _codec_parameters(section: Section, codec: Codec, feedback: Iterable[tuple[str, str]]) -> pb.RtpCodecParameters:
    return pb.RtpCodecParameters(
        mime_type=f"{section.kind}/{codec.name}",
        payload_type=codec.payload_type,
        clock_rate=codec.clock_rate,
        channels=codec.channels if section.kind == "audio" else None,
        parameters={key: _value(key, text) for key, text in codec.parameters.items()},
        rtcp_feedback=[pb.RtcpFeedback(type=kind, parameter=parameter) for kind, parameter in feedback],
    )


def _codec_capability(section: Section, codec: Codec) -> pb.RtpCodecCapability:
    return pb.RtpCodecCapability(
        kind=_KINDS[section.kind],
        mime_type=f"{section.kind}/{codec.name}",
        preferred_payload_type=codec.payload_type,
        clock_rate=codec.clock_rate,
        channels=codec.channels if section.kind == "audio" else None,
        parameters={key: _value(key, text) for key, text in codec.parameters.items()},
        rtcp_feedback=[pb.RtcpFeedback(type=kind, parameter=parameter) for kind, parameter in codec.feedback],
    )


def _value(key: str, text: str) -> pb.ParameterValue:
    """A number where the text is one in its shortest form; a profile-level-id is text though it may look like one."""
    if key != "profile-level-id" and text.isdigit() and len(text) <= 15 and str(int(text)) == text:
        return pb.ParameterValue(integer=int(text))
    return pb.ParameterValue(text=text)


def _texts(parameters: Mapping[str, pb.ParameterValue]) -> dict[str, str]:
    return {key.lower(): parameter_text(value) for key, value in parameters.items()}


def parameter_text(value: pb.ParameterValue) -> str:
    """A codec parameter as a=fmtp writes it."""
    match value.WhichOneof("value"):
        case "integer":
            return str(value.integer)
        case "real":
            return f"{value.real:g}"
        case "boolean":
            return "1" if value.boolean else "0"
        case _:
            return value.text
