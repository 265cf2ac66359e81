"""mediasoup-client's JSON shapes and the node's protobuf messages: one Struct per shape, and pure conversions.

Incoming JSON is decoded by msgspec into the Structs, which bound every list and string and name the field that is
wrong; unknown fields are ignored, as mediasoup does. Numbers stay numbers and strings strings: `parameters` of a codec
compare by value in the negotiation (RFC 4566 fmtp values have no types of their own).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from protos import media_pb2 as pb
from signaling.errors import CallError, CallErrorCode

Kind = Literal["audio", "video"]
Text = Annotated[str, Meta(max_length=256)]
ShortText = Annotated[str, Meta(max_length=64)]
PayloadType = Annotated[int, Meta(ge=0, le=127)]
Uint32 = Annotated[int, Meta(ge=0, le=4_294_967_295)]
ExtensionId = Annotated[int, Meta(ge=1, le=255)]
Value = str | int | float | bool | None
Parameters = Annotated[dict[ShortText, Value], Meta(max_length=32)]
INT64 = 1 << 63


class Wire(msgspec.Struct, rename="camel", kw_only=True):
    """A JSON object in camelCase."""


class RtcpFeedback(Wire):
    """One a=rtcp-fb (RFC 4585)."""

    type: ShortText
    parameter: ShortText = ""


class RtpCodecCapability(Wire):
    """A codec somebody can use."""

    kind: Kind
    mime_type: ShortText
    clock_rate: Uint32
    preferred_payload_type: PayloadType | None = None
    channels: Annotated[int, Meta(ge=1, le=255)] | None = None
    parameters: Parameters = {}
    rtcp_feedback: Annotated[list[RtcpFeedback], Meta(max_length=16)] = []


class RtpHeaderExtension(Wire):
    """A header extension somebody can use (RFC 8285)."""

    kind: Kind
    uri: Text
    preferred_id: ExtensionId
    preferred_encrypt: bool = False
    direction: Literal["sendrecv", "sendonly", "recvonly", "inactive"] = "sendrecv"


class RtpCapabilities(Wire):
    """What a client can receive."""

    codecs: Annotated[list[RtpCodecCapability], Meta(max_length=64)] = []
    header_extensions: Annotated[list[RtpHeaderExtension], Meta(max_length=64)] = []


class RtpCodecParameters(Wire):
    """A codec in use."""

    mime_type: ShortText
    payload_type: PayloadType
    clock_rate: Uint32
    channels: Annotated[int, Meta(ge=1, le=255)] | None = None
    parameters: Parameters = {}
    rtcp_feedback: Annotated[list[RtcpFeedback], Meta(max_length=16)] = []


class RtpHeaderExtensionParameters(Wire):
    """A header extension in use."""

    uri: Text
    id: ExtensionId
    encrypt: bool = False
    parameters: Parameters = {}


class Rtx(Wire):
    """The retransmission stream of an encoding (RFC 4588)."""

    ssrc: Uint32


class RtpEncodingParameters(Wire):
    """One stream of a source."""

    ssrc: Uint32 | None = None
    rid: ShortText = ""
    codec_payload_type: PayloadType | None = None
    rtx: Rtx | None = None
    dtx: bool | None = None
    scalability_mode: ShortText | None = None
    scale_resolution_down_by: float | None = None
    max_bitrate: Annotated[float, Meta(ge=0, le=4_294_967_295)] | None = None


class RtcpParameters(Wire):
    """RTCP in use."""

    cname: Text = ""
    reduced_size: bool = True


class RtpParameters(Wire):
    """What a source sends."""

    codecs: Annotated[list[RtpCodecParameters], Meta(min_length=1, max_length=32)]
    mid: ShortText = ""
    header_extensions: Annotated[list[RtpHeaderExtensionParameters], Meta(max_length=32)] = []
    encodings: Annotated[list[RtpEncodingParameters], Meta(max_length=8)] = []
    rtcp: RtcpParameters = msgspec.field(default_factory=RtcpParameters)
    msid: Text = ""


class DtlsFingerprint(Wire):
    """A certificate's fingerprint (RFC 8122)."""

    algorithm: ShortText
    value: Text


class DtlsParameters(Wire):
    """The client's half of the DTLS agreement."""

    fingerprints: Annotated[list[DtlsFingerprint], Meta(min_length=1, max_length=8)]
    role: Literal["auto", "client", "server"] = "auto"


# ---- client to node ----


def _kind(kind: Kind) -> pb.MediaKind:
    return pb.MediaKind.AUDIO if kind == "audio" else pb.MediaKind.VIDEO


def _value(name: str, value: Value) -> pb.ParameterValue:
    if isinstance(value, bool):
        return pb.ParameterValue(boolean=value)
    if isinstance(value, int):
        if not -INT64 <= value < INT64:
            raise CallError(CallErrorCode.BAD_REQUEST, f"parameters.{name}: the number does not fit 64 bits.")
        return pb.ParameterValue(integer=value)
    if isinstance(value, float):
        return pb.ParameterValue(real=value)
    text = str(value)
    if len(text) > 1024:
        raise CallError(CallErrorCode.BAD_REQUEST, f"parameters.{name}: at most 1024 characters.")
    return pb.ParameterValue(text=text)


def _values(parameters: Mapping[str, Value]) -> dict[str, pb.ParameterValue]:
    return {name: _value(name, value) for name, value in parameters.items() if value is not None}


def _feedback(feedback: Iterable[RtcpFeedback]) -> list[pb.RtcpFeedback]:
    return [pb.RtcpFeedback(type=one.type, parameter=one.parameter) for one in feedback]


def rtp_capabilities_to_pb(capabilities: RtpCapabilities) -> pb.RtpCapabilities:
    """A client's capabilities for the node."""
    return pb.RtpCapabilities(
        codecs=[
            pb.RtpCodecCapability(
                kind=_kind(codec.kind),
                mime_type=codec.mime_type,
                preferred_payload_type=codec.preferred_payload_type,
                clock_rate=codec.clock_rate,
                channels=codec.channels,
                parameters=_values(codec.parameters),
                rtcp_feedback=_feedback(codec.rtcp_feedback),
            )
            for codec in capabilities.codecs
        ],
        header_extensions=[
            pb.RtpHeaderExtensionCapability(
                kind=_kind(extension.kind),
                uri=extension.uri,
                preferred_id=extension.preferred_id,
                preferred_encrypt=extension.preferred_encrypt,
                direction=extension.direction,
            )
            for extension in capabilities.header_extensions
        ],
    )


def _encoding(encoding: RtpEncodingParameters) -> pb.RtpEncodingParameters:
    scale = encoding.scale_resolution_down_by
    if scale is not None and not 1.0 <= scale <= 1024.0:
        raise CallError(CallErrorCode.BAD_REQUEST, "rtpParameters.encodings.scaleResolutionDownBy: 1 to 1024.")
    return pb.RtpEncodingParameters(
        ssrc=encoding.ssrc,
        rid=encoding.rid,
        codec_payload_type=encoding.codec_payload_type,
        rtx_ssrc=None if encoding.rtx is None else encoding.rtx.ssrc,
        dtx=encoding.dtx,
        scalability_mode=encoding.scalability_mode or "",
        scale_resolution_down_by=None if scale is None else round(scale),
        max_bitrate=None if encoding.max_bitrate is None else round(encoding.max_bitrate),
    )


def rtp_parameters_to_pb(parameters: RtpParameters) -> pb.RtpParameters:
    """A source's parameters for the node."""
    return pb.RtpParameters(
        mid=parameters.mid,
        codecs=[
            pb.RtpCodecParameters(
                mime_type=codec.mime_type,
                payload_type=codec.payload_type,
                clock_rate=codec.clock_rate,
                channels=codec.channels,
                parameters=_values(codec.parameters),
                rtcp_feedback=_feedback(codec.rtcp_feedback),
            )
            for codec in parameters.codecs
        ],
        header_extensions=[
            pb.RtpHeaderExtensionParameters(
                uri=extension.uri,
                id=extension.id,
                encrypt=extension.encrypt,
                parameters=_values(extension.parameters),
            )
            for extension in parameters.header_extensions
        ],
        encodings=[_encoding(encoding) for encoding in parameters.encodings],
        rtcp=pb.RtcpParameters(cname=parameters.rtcp.cname, reduced_size=parameters.rtcp.reduced_size),
        msid=parameters.msid,
    )


def dtls_parameters_to_pb(parameters: DtlsParameters) -> pb.DtlsParameters:
    """The client's DTLS parameters for the node."""
    return pb.DtlsParameters(
        role=parameters.role,
        fingerprints=[pb.DtlsFingerprint(algorithm=f.algorithm, value=f.value) for f in parameters.fingerprints],
    )


# ---- node to client ----


def _kind_name(kind: pb.MediaKind) -> str:
    return "audio" if kind == pb.MediaKind.AUDIO else "video"


def _plain(value: pb.ParameterValue) -> str | int | float:
    """mediasoup-client takes strings and numbers only."""
    which = value.WhichOneof("value")
    if which == "integer":
        return value.integer
    if which == "real":
        return value.real
    if which == "boolean":
        return int(value.boolean)
    return value.text


def _plain_values(parameters: Mapping[str, pb.ParameterValue]) -> dict[str, str | int | float]:
    return {name: _plain(parameters[name]) for name in sorted(parameters)}


def _plain_feedback(feedback: Iterable[pb.RtcpFeedback]) -> list[dict[str, str]]:
    return [{"type": one.type, "parameter": one.parameter} for one in feedback]


def rtp_capabilities_to_json(capabilities: pb.RtpCapabilities) -> dict[str, Any]:
    """A router's capabilities for mediasoup-client's Device.load."""
    codecs = []
    for codec in capabilities.codecs:
        shown: dict[str, Any] = {"kind": _kind_name(codec.kind), "mimeType": codec.mime_type}
        if codec.HasField("preferred_payload_type"):
            shown["preferredPayloadType"] = codec.preferred_payload_type
        shown["clockRate"] = codec.clock_rate
        if codec.HasField("channels"):
            shown["channels"] = codec.channels
        shown["parameters"] = _plain_values(codec.parameters)
        shown["rtcpFeedback"] = _plain_feedback(codec.rtcp_feedback)
        codecs.append(shown)
    extensions = [
        {
            "kind": _kind_name(extension.kind),
            "uri": extension.uri,
            "preferredId": extension.preferred_id,
            "preferredEncrypt": extension.preferred_encrypt,
            "direction": extension.direction,
        }
        for extension in capabilities.header_extensions
    ]
    return {"codecs": codecs, "headerExtensions": extensions}


def _encoding_json(encoding: pb.RtpEncodingParameters) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if encoding.HasField("ssrc"):
        shown["ssrc"] = encoding.ssrc
    if encoding.rid:
        shown["rid"] = encoding.rid
    if encoding.HasField("codec_payload_type"):
        shown["codecPayloadType"] = encoding.codec_payload_type
    if encoding.HasField("rtx_ssrc"):
        shown["rtx"] = {"ssrc": encoding.rtx_ssrc}
    if encoding.HasField("dtx"):
        shown["dtx"] = encoding.dtx
    if encoding.scalability_mode:
        shown["scalabilityMode"] = encoding.scalability_mode
    if encoding.HasField("scale_resolution_down_by"):
        shown["scaleResolutionDownBy"] = encoding.scale_resolution_down_by
    if encoding.HasField("max_bitrate"):
        shown["maxBitrate"] = encoding.max_bitrate
    return shown


def rtp_parameters_to_json(parameters: pb.RtpParameters) -> dict[str, Any]:
    """What a consumer will receive, for mediasoup-client's transport.consume."""
    codecs = []
    for codec in parameters.codecs:
        shown: dict[str, Any] = {
            "mimeType": codec.mime_type,
            "payloadType": codec.payload_type,
            "clockRate": codec.clock_rate,
        }
        if codec.HasField("channels"):
            shown["channels"] = codec.channels
        shown["parameters"] = _plain_values(codec.parameters)
        shown["rtcpFeedback"] = _plain_feedback(codec.rtcp_feedback)
        codecs.append(shown)
    shown = {
        "codecs": codecs,
        "headerExtensions": [
            {"uri": e.uri, "id": e.id, "encrypt": e.encrypt, "parameters": _plain_values(e.parameters)}
            for e in parameters.header_extensions
        ],
        "encodings": [_encoding_json(encoding) for encoding in parameters.encodings],
        "rtcp": {"cname": parameters.rtcp.cname, "reducedSize": parameters.rtcp.reduced_size},
    }
    if parameters.mid:
        shown["mid"] = parameters.mid
    if parameters.msid:
        shown["msid"] = parameters.msid
    return shown


def ice_parameters_to_json(parameters: pb.IceParameters) -> dict[str, Any]:
    """Our ICE credentials. iceLite stays true: without it a browser that answers would wait for our nomination."""
    return {
        "usernameFragment": parameters.username_fragment,
        "password": parameters.password,
        "iceLite": parameters.ice_lite,
    }


def transport_to_json(info: pb.WebRtcTransportInfo) -> dict[str, Any]:
    """A transport for mediasoup-client's createSendTransport and createRecvTransport (`ip`: for version 3.7)."""
    candidates = []
    for candidate in info.ice_candidates:
        shown: dict[str, Any] = {
            "foundation": candidate.foundation,
            "priority": candidate.priority,
            "address": candidate.address,
            "ip": candidate.address,
            "protocol": candidate.protocol,
            "port": candidate.port,
            "type": candidate.type,
        }
        if candidate.tcp_type:
            shown["tcpType"] = candidate.tcp_type
        candidates.append(shown)
    return {
        "id": info.id,
        "iceParameters": ice_parameters_to_json(info.ice_parameters),
        "iceCandidates": candidates,
        "dtlsParameters": {
            "role": info.dtls_parameters.role,
            "fingerprints": [{"algorithm": f.algorithm, "value": f.value} for f in info.dtls_parameters.fingerprints],
        },
    }


def stats_to_json(stats: pb.Stats) -> dict[str, Any]:
    """Figures; the columns of each row type are documented with the node."""
    return {
        "takenAt": stats.taken_unix_ms,
        "rows": [{**row.labels, **row.figures, "type": row.type, "id": row.id} for row in stats.rows],
    }
