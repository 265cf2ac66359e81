"""What an endpoint can do and what a stream is: ORTC's objects, in the JSON form of mediasoup.

Values only, frozen once made. A plain default is left out of the JSON; a field with a `default_factory` is always
written, because mediasoup always writes it. Bounds stand in the types, so that one pass in C checks them.

What a stranger wrote enters through the functions at the end. They answer a normalised value (channels filled in, no
null where there is a default) or raise: InvalidParameters for a caller that is to be told (a front's request), its
`*_untrusted` twin BadParameters, a BadPacket, for bytes from the network.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from server.errors import BadPacket, LocalError

MediaKind: TypeAlias = Literal["audio", "video"]
Direction: TypeAlias = Literal["sendrecv", "sendonly", "recvonly", "inactive"]  # as the server sees it

ParameterValue: TypeAlias = str | int | float

MAX_CODECS: Final = 128  # a payload type has seven bits
MAX_HEADER_EXTENSIONS: Final = 64  # Chrome and Firefox offer about 20 over both kinds
MAX_ENCODINGS: Final = 16
MAX_CODEC_PARAMETERS: Final = 32
MAX_FEEDBACK: Final = 32
MAX_TEXT: Final = 1024  # of one parameter's text; VP9 and AV1 decoder configurations stay well below
MAX_INTEGER: Final = 2**53  # beyond it JavaScript loses digits

# Texts end up in SDP lines and in packets, so none may hold a control character or a line end.
_Token = Annotated[str, Meta(pattern=r"^[!-~]+\Z", max_length=64)]
_Uri = Annotated[str, Meta(pattern=r"^[!-~]+\Z", max_length=256)]
_Text = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f\ud800-\udfff]*\Z", max_length=MAX_TEXT)]
_Ascii = Annotated[str, Meta(pattern=r"^[ -~]*\Z", max_length=255)]  # CNAME: at most 255 bytes (RFC 3550 section 6.5)
_MimeType = Annotated[str, Meta(pattern=r"^(?i:audio|video)/[A-Za-z0-9][A-Za-z0-9.+_-]*\Z", max_length=64)]
_PayloadType = Annotated[int, Meta(ge=0, le=127)]  # RFC 3550 section 5.1
_ExtensionId = Annotated[int, Meta(ge=1, le=255)]  # RFC 8285: 1 to 14 in one-byte form, 1 to 255 in two-byte form
_Uint32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
_ClockRate = Annotated[int, Meta(ge=1, le=2**32 - 1)]
_Channels = Annotated[int, Meta(ge=1, le=255)]
# RFC 8851 allows alphanumerics in a RID; deployed clients also use "-" and "_". MID, likewise, travels in packets.
_Rid = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]*\Z", max_length=32)]
_Mid = Annotated[str, Meta(pattern=r"^[!-~]*\Z", max_length=32)]
_ScalabilityMode = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.]*\Z", max_length=32)]
# mediasoup's clients accept strings and numbers only. bool is listed so that it is refused with a sentence of ours.
_Parameters = Annotated[Mapping[_Token, _Text | int | float | bool], Meta(max_length=MAX_CODEC_PARAMETERS)]
_Feedback = Annotated[tuple["RtcpFeedback", ...], Meta(max_length=MAX_FEEDBACK)]


def _no_parameters() -> Mapping[str, ParameterValue]:
    return {}


def _none() -> tuple[()]:
    """A factory of its own: msgspec leaves out empty values of `list`, `dict`, `set` and `tuple` themselves."""
    return ()


class RtcpFeedback(Struct, frozen=True, rename="camel", omit_defaults=True):
    """One kind of RTCP feedback (RFC 4585 section 4.2): ("nack", ""), ("nack", "pli"), ("ccm", "fir"), …"""

    type: _Token
    parameter: Annotated[str, Meta(pattern=r"^[ -~]*\Z", max_length=64)] = field(default_factory=str)


class RtpCodecCapability(Struct, frozen=True, rename="camel", omit_defaults=True):
    """One codec, or one retransmission format ("video/rtx", whose `apt` names the payload type it repairs)."""

    kind: MediaKind
    mime_type: _MimeType
    clock_rate: _ClockRate  # Hz
    preferred_payload_type: _PayloadType | None = None  # None only in what CreateRouter is asked for
    channels: _Channels | None = None  # audio only
    parameters: _Parameters = field(default_factory=_no_parameters)
    rtcp_feedback: _Feedback = field(default_factory=_none)


class RtpHeaderExtensionCapability(Struct, frozen=True, rename="camel", omit_defaults=True):
    """One header extension (RFC 8285) of one kind of media."""

    kind: MediaKind
    uri: _Uri
    preferred_id: _ExtensionId
    preferred_encrypt: bool = field(default_factory=bool)
    direction: Direction = field(default_factory=lambda: "sendrecv")


class RtpCapabilities(Struct, frozen=True, rename="camel", omit_defaults=True):
    """What an endpoint can receive, or a router can forward."""

    codecs: Annotated[tuple[RtpCodecCapability, ...], Meta(max_length=MAX_CODECS)] = field(default_factory=_none)
    header_extensions: Annotated[tuple[RtpHeaderExtensionCapability, ...], Meta(max_length=MAX_HEADER_EXTENSIONS)] = (
        field(default_factory=_none)
    )


class RtpCodecParameters(Struct, frozen=True, rename="camel", omit_defaults=True):
    """One codec of a stream, with the number that it has in the stream's packets."""

    mime_type: _MimeType
    payload_type: _PayloadType
    clock_rate: _ClockRate  # Hz
    channels: _Channels | None = None  # audio only
    parameters: _Parameters = field(default_factory=_no_parameters)
    rtcp_feedback: _Feedback = field(default_factory=_none)


class RtpHeaderExtensionParameters(Struct, frozen=True, rename="camel", omit_defaults=True):
    """One header extension of a stream, with its id in the stream's packets."""

    uri: _Uri
    id: _ExtensionId
    encrypt: bool = field(default_factory=bool)
    parameters: _Parameters = field(default_factory=_no_parameters)


class RtxParameters(Struct, frozen=True, rename="camel"):
    """The retransmission stream of an encoding (RFC 4588, SSRC multiplexing)."""

    ssrc: _Uint32


class RtpEncodingParameters(Struct, frozen=True, rename="camel", omit_defaults=True):
    """One RTP stream of a source: the only one, or one of a simulcast."""

    ssrc: _Uint32 | None = None
    rid: _Rid | None = None
    codec_payload_type: _PayloadType | None = None
    rtx: RtxParameters | None = None
    dtx: bool | None = None  # audio: silence is not sent
    scalability_mode: _ScalabilityMode | None = None  # "L3T3_KEY": server/rtc/scalability.py
    scale_resolution_down_by: Annotated[float, Meta(ge=1, le=65536)] | None = None
    max_bitrate: _Uint32 | None = None  # bit/s


class RtcpParameters(Struct, frozen=True, rename="camel", omit_defaults=True):
    """RTCP of a source. Sources of one participant share their CNAME (RFC 3550 section 6.5.1), and so lip sync."""

    cname: _Ascii | None = None
    reduced_size: bool = field(default_factory=lambda: True)  # RFC 5506


class RtpParameters(Struct, frozen=True, rename="camel", omit_defaults=True):
    """What a source sends, or what a viewer is sent."""

    codecs: Annotated[tuple[RtpCodecParameters, ...], Meta(max_length=MAX_CODECS)]
    mid: _Mid | None = None
    header_extensions: Annotated[tuple[RtpHeaderExtensionParameters, ...], Meta(max_length=MAX_HEADER_EXTENSIONS)] = (
        field(default_factory=_none)
    )
    encodings: Annotated[tuple[RtpEncodingParameters, ...], Meta(max_length=MAX_ENCODINGS)] = field(
        default_factory=_none
    )
    rtcp: RtcpParameters = field(default_factory=RtcpParameters)
    msid: _Ascii | None = None


class IceParameters(Struct, frozen=True, rename="camel"):
    """Credentials of an ICE agent (RFC 8445 section 5.3). Ours is always ice-lite."""

    username_fragment: Annotated[str, Meta(min_length=4, max_length=256)]
    password: Annotated[str, Meta(min_length=22, max_length=256)]
    ice_lite: bool = True


class IceCandidate(Struct, frozen=True, rename="camel", omit_defaults=True):
    """One host candidate of ours (RFC 8445; TCP: RFC 6544, always passive)."""

    foundation: str
    priority: _Uint32
    address: str  # IP literal, or a name that the operator announces
    protocol: Literal["udp", "tcp"]
    port: Annotated[int, Meta(ge=0, le=65535)]
    type: Literal["host"] = field(default_factory=lambda: "host")
    tcp_type: Literal["passive"] | None = None


class DtlsFingerprint(Struct, frozen=True, rename="camel"):
    """The hash of a certificate (RFC 8122 section 5): upper-case hex bytes with colons between."""

    algorithm: Literal["sha-1", "sha-224", "sha-256", "sha-384", "sha-512"]
    value: Annotated[str, Meta(pattern=r"^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2})*\Z", max_length=191)]


class DtlsParameters(Struct, frozen=True, rename="camel"):
    """DTLS role and certificate of the party that states them."""

    fingerprints: Annotated[tuple[DtlsFingerprint, ...], Meta(min_length=1, max_length=8)]
    role: Literal["auto", "client", "server"] = "auto"


class InvalidParameters(LocalError):
    """Parameters that no stream can have. `path` names the field as in JSON: "codecs[0].payloadType"."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem


class BadParameters(BadPacket):
    """The same fault in bytes from the network. `reason` is a counter's label, `message` is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason)
        self.message = message


_Value = TypeVar("_Value", bound=Struct)
_FOUND_BY_MID: Final = RtpEncodingParameters(dtx=False)
_DIGEST_BYTES: Final = {"sha-1": 20, "sha-224": 28, "sha-256": 32, "sha-384": 48, "sha-512": 64}


def kind_of(mime_type: str) -> MediaKind:
    """The media kind of "audio/…" or "video/…"."""
    return "audio" if mime_type[:6].lower() == "audio/" else "video"


def is_rtx(codec: RtpCodecCapability | RtpCodecParameters) -> bool:
    """Whether this is a retransmission format (RFC 4588) and no media codec."""
    return codec.mime_type[5:].lower() == "/rtx"


def rtp_capabilities(value: object) -> RtpCapabilities:
    """Check and normalise capabilities: objects as JSON has them, or the JSON itself. Raises InvalidParameters."""
    caps = _shaped(value, RtpCapabilities)
    return msgspec.structs.replace(
        caps, codecs=tuple(_normal_capability(codec, f"codecs[{i}]") for i, codec in enumerate(caps.codecs))
    )


def rtp_codec_capabilities(value: object) -> tuple[RtpCodecCapability, ...]:
    """Check and normalise the list of codecs that a router is asked for. Raises InvalidParameters."""
    return rtp_capabilities({"codecs": value}).codecs


def rtp_parameters(value: object) -> RtpParameters:
    """Check and normalise what a publisher says it sends: objects as JSON has them, or JSON. Raises InvalidParameters.

    Beyond each field's bounds: one kind of media; payload types, extension ids, SSRCs and RIDs are unique; RTX names a
    codec of the list; each of several encodings has an ssrc or a rid. Without encodings, one that is found by MID.
    """
    params = _shaped(value, RtpParameters)
    codecs = tuple(_normal_codec(codec, f"codecs[{i}]") for i, codec in enumerate(params.codecs))
    _check_codecs(codecs)
    encodings = tuple(_normal_encoding(encoding) for encoding in params.encodings) or (_FOUND_BY_MID,)
    params = msgspec.structs.replace(
        params,
        codecs=codecs,
        encodings=encodings,
        mid=params.mid or None,
        rtcp=RtcpParameters(cname=params.rtcp.cname or None),
        msid=params.msid or None,
    )
    _check_header_extensions(params.header_extensions)
    _check_encodings(params)
    return params


def dtls_parameters(value: object) -> DtlsParameters:
    """Check what the remote party says of its DTLS. Raises InvalidParameters."""
    dtls = _shaped(value, DtlsParameters)
    for i, fingerprint in enumerate(dtls.fingerprints):
        expected = _DIGEST_BYTES[fingerprint.algorithm]
        if len(fingerprint.value) != 3 * expected - 1:
            raise InvalidParameters(f"fingerprints[{i}].value", f"{fingerprint.algorithm} has {expected} bytes")
    return dtls


def rtp_capabilities_untrusted(value: object) -> RtpCapabilities:
    """`rtp_capabilities` for bytes (JSON) or objects from the network. Raises BadParameters only."""
    try:
        return rtp_capabilities(value)
    except InvalidParameters as error:
        raise BadParameters("rtp-capabilities", str(error)) from error


def rtp_parameters_untrusted(value: object) -> RtpParameters:
    """`rtp_parameters` for bytes (JSON) or objects from the network. Raises BadParameters only."""
    try:
        return rtp_parameters(value)
    except InvalidParameters as error:
        raise BadParameters("rtp-parameters", str(error)) from error


def dtls_parameters_untrusted(value: object) -> DtlsParameters:
    """`dtls_parameters` for bytes (JSON) or objects from the network. Raises BadParameters only."""
    try:
        return dtls_parameters(value)
    except InvalidParameters as error:
        raise BadParameters("dtls-parameters", str(error)) from error


def _shaped(value: object, shape: type[_Value]) -> _Value:
    try:
        if isinstance(value, (bytes, bytearray, memoryview)):
            return msgspec.json.decode(value, type=shape)
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `$")
        if "matching regex" in problem:
            problem = "has characters that are not allowed here, or is empty"
        raise InvalidParameters(path.rstrip("`").removeprefix("."), problem) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidParameters("", "is not JSON in UTF-8") from error


def _normal_capability(codec: RtpCodecCapability, path: str) -> RtpCodecCapability:
    kind = kind_of(codec.mime_type)
    if codec.kind != kind:
        raise InvalidParameters(f"{path}.kind", f"is {codec.kind}, but mimeType is {codec.mime_type}")
    _check_parameters(codec.parameters, f"{path}.parameters")
    return msgspec.structs.replace(codec, channels=(codec.channels or 1) if kind == "audio" else None)


def _normal_codec(codec: RtpCodecParameters, path: str) -> RtpCodecParameters:
    _check_parameters(codec.parameters, f"{path}.parameters")
    audio = kind_of(codec.mime_type) == "audio"
    return msgspec.structs.replace(codec, channels=(codec.channels or 1) if audio else None)


def _normal_encoding(encoding: RtpEncodingParameters) -> RtpEncodingParameters:
    return msgspec.structs.replace(
        encoding,
        rid=encoding.rid or None,
        dtx=bool(encoding.dtx),
        scalability_mode=encoding.scalability_mode or None,
    )


def _check_parameters(parameters: Mapping[str, object], path: str) -> None:
    for key, value in parameters.items():
        if isinstance(value, bool):
            raise InvalidParameters(f"{path}.{key}", "expected a string or a number, got a boolean")
        if isinstance(value, (int, float)) and not (math.isfinite(value) and abs(value) <= MAX_INTEGER):
            raise InvalidParameters(f"{path}.{key}", f"expected a number within ±{MAX_INTEGER}")
        if key == "apt" and not isinstance(value, int):
            raise InvalidParameters(f"{path}.apt", "expected a payload type")


def _check_unique(values: Iterable[tuple[str, object]], what: str) -> None:
    seen: set[object] = set()
    for path, value in values:
        if value in seen:
            raise InvalidParameters(path, f"{what} {value} is used twice")
        seen.add(value)


def _check_codecs(codecs: tuple[RtpCodecParameters, ...]) -> None:
    if not codecs or is_rtx(codecs[0]):
        raise InvalidParameters("codecs", "the first codec must be a media codec")
    kind = kind_of(codecs[0].mime_type)
    media = {codec.payload_type for codec in codecs if not is_rtx(codec)}
    for i, codec in enumerate(codecs):
        if kind_of(codec.mime_type) != kind:
            raise InvalidParameters(f"codecs[{i}].mimeType", f"{codec.mime_type} beside {codecs[0].mime_type}")
        if is_rtx(codec) and codec.parameters.get("apt") not in media:
            raise InvalidParameters(f"codecs[{i}].parameters.apt", "names no media codec of this list")
    _check_unique(((f"codecs[{i}].payloadType", c.payload_type) for i, c in enumerate(codecs)), "payload type")


def _check_header_extensions(extensions: tuple[RtpHeaderExtensionParameters, ...]) -> None:
    for i, extension in enumerate(extensions):
        _check_parameters(extension.parameters, f"headerExtensions[{i}].parameters")
    _check_unique(((f"headerExtensions[{i}].id", e.id) for i, e in enumerate(extensions)), "id")
    _check_unique(((f"headerExtensions[{i}].uri", e.uri) for i, e in enumerate(extensions)), "uri")


def _check_encodings(params: RtpParameters) -> None:
    media = {codec.payload_type for codec in params.codecs if not is_rtx(codec)}
    ssrcs: list[tuple[str, object]] = []
    for i, encoding in enumerate(params.encodings):
        path = f"encodings[{i}]"
        if encoding.ssrc is None and encoding.rid is None and (len(params.encodings) > 1 or params.mid is None):
            raise InvalidParameters(path, "needs an ssrc or a rid, or a mid if it is the only encoding")
        if encoding.codec_payload_type is not None and encoding.codec_payload_type not in media:
            raise InvalidParameters(f"{path}.codecPayloadType", "names no media codec of codecs")
        if encoding.ssrc is not None:
            ssrcs.append((f"{path}.ssrc", encoding.ssrc))
        if encoding.rtx is not None:
            ssrcs.append((f"{path}.rtx.ssrc", encoding.rtx.ssrc))
    _check_unique(ssrcs, "ssrc")
    _check_unique(((f"encodings[{i}].rid", e.rid) for i, e in enumerate(params.encodings) if e.rid), "rid")
