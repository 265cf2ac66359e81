"""Protobuf messages of protos/media.proto to the frozen values of server/rtc/parameters.py, and back.

`…_from_pb` checks everything, as the message may come from another machine: it raises InvalidParameters, whose path
names the field as mediasoup's JSON does. An empty string, which protobuf cannot tell from an absent one, is absent.
`…_to_pb` is given values of ours and checks nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from protos import media_pb2 as pb
from server.media.errors import InvalidArgument
from server.policy.decisions import Decision
from server.policy.registry import Role
from server.rtc import parameters as rtc

_KINDS: Final[dict[int, rtc.MediaKind]] = {int(pb.AUDIO): "audio", int(pb.VIDEO): "video"}


_ROLES: Final[dict[int, Role]] = {
    int(pb.CONGESTION_CONTROLLER): Role.CONGESTION,
    int(pb.LAYER_ALLOCATOR): Role.LAYERS,
    int(pb.SPEAKER_DETECTOR): Role.SPEAKERS,
}


def policy_role_from_pb(role: int) -> Role:
    """Raises InvalidArgument for what is no role."""
    known = _ROLES.get(role)
    if known is None:
        raise InvalidArgument("role: expected CONGESTION_CONTROLLER, LAYER_ALLOCATOR or SPEAKER_DETECTOR")
    return known


def decision_to_pb(decision: Decision, offset: int) -> pb.Decision:
    """One entry of a decision log. `offset`: from monotonic time to that of the world, ns."""
    message = pb.Decision(
        at_unix_ms=(decision.at + offset) // 1_000_000,
        what=decision.what,
        subject=decision.subject,
        to=decision.after,
        reason=decision.reason,
        inputs=decision.inputs,
    )
    setattr(message, "from", decision.before)
    return message


def media_kind_from_pb(kind: int) -> rtc.MediaKind:
    """Raises InvalidParameters for what is neither AUDIO nor VIDEO."""
    known = _KINDS.get(kind)
    if known is None:
        raise rtc.InvalidParameters("kind", "expected AUDIO or VIDEO")
    return known


def media_kind_to_pb(kind: rtc.MediaKind) -> pb.MediaKind:
    """The enum's value."""
    return pb.AUDIO if kind == "audio" else pb.VIDEO


def rtp_capabilities_from_pb(message: pb.RtpCapabilities) -> rtc.RtpCapabilities:
    """What a viewer can receive. Raises InvalidParameters."""
    return rtc.rtp_capabilities(
        {
            "codecs": [_codec_capability(codec) for codec in message.codecs],
            "headerExtensions": [
                {
                    "kind": _KINDS.get(extension.kind),
                    "uri": extension.uri,
                    "preferredId": extension.preferred_id,
                    "preferredEncrypt": extension.preferred_encrypt,
                    "direction": extension.direction or "sendrecv",
                }
                for extension in message.header_extensions
            ],
        }
    )


def rtp_codec_capabilities_from_pb(codecs: Iterable[pb.RtpCodecCapability]) -> tuple[rtc.RtpCodecCapability, ...]:
    """The codecs that a router is asked for. Raises InvalidParameters."""
    return rtc.rtp_codec_capabilities([_codec_capability(codec) for codec in codecs])


def rtp_capabilities_to_pb(caps: rtc.RtpCapabilities) -> pb.RtpCapabilities:
    """What a router can forward."""
    return pb.RtpCapabilities(
        codecs=[rtp_codec_capability_to_pb(codec) for codec in caps.codecs],
        header_extensions=[
            pb.RtpHeaderExtensionCapability(
                kind=media_kind_to_pb(extension.kind),
                uri=extension.uri,
                preferred_id=extension.preferred_id,
                preferred_encrypt=extension.preferred_encrypt,
                direction=extension.direction,
            )
            for extension in caps.header_extensions
        ],
    )


def rtp_codec_capability_to_pb(codec: rtc.RtpCodecCapability) -> pb.RtpCodecCapability:
    """One codec of a router."""
    return pb.RtpCodecCapability(
        kind=media_kind_to_pb(codec.kind),
        mime_type=codec.mime_type,
        preferred_payload_type=codec.preferred_payload_type,
        clock_rate=codec.clock_rate,
        channels=codec.channels,
        parameters=_parameters_to_pb(codec.parameters),
        rtcp_feedback=_feedback_to_pb(codec.rtcp_feedback),
    )


def rtp_parameters_from_pb(message: pb.RtpParameters) -> rtc.RtpParameters:
    """What a publisher says it sends. Raises InvalidParameters."""
    value: dict[str, Any] = {
        "mid": message.mid or None,
        "codecs": [
            {
                "mimeType": codec.mime_type,
                "payloadType": codec.payload_type,
                "clockRate": codec.clock_rate,
                "channels": codec.channels if codec.HasField("channels") else None,
                "parameters": _parameters(codec.parameters),
                "rtcpFeedback": _feedback(codec.rtcp_feedback),
            }
            for codec in message.codecs
        ],
        "headerExtensions": [
            {
                "uri": extension.uri,
                "id": extension.id,
                "encrypt": extension.encrypt,
                "parameters": _parameters(extension.parameters),
            }
            for extension in message.header_extensions
        ],
        "encodings": [_encoding(encoding) for encoding in message.encodings],
        "rtcp": {"cname": message.rtcp.cname or None},
        "msid": message.msid or None,
    }
    return rtc.rtp_parameters(value)


def rtp_parameters_to_pb(params: rtc.RtpParameters) -> pb.RtpParameters:
    """What a consumer is sent."""
    return pb.RtpParameters(
        mid=params.mid or "",
        codecs=[
            pb.RtpCodecParameters(
                mime_type=codec.mime_type,
                payload_type=codec.payload_type,
                clock_rate=codec.clock_rate,
                channels=codec.channels,
                parameters=_parameters_to_pb(codec.parameters),
                rtcp_feedback=_feedback_to_pb(codec.rtcp_feedback),
            )
            for codec in params.codecs
        ],
        header_extensions=[
            pb.RtpHeaderExtensionParameters(
                uri=extension.uri,
                id=extension.id,
                encrypt=extension.encrypt,
                parameters=_parameters_to_pb(extension.parameters),
            )
            for extension in params.header_extensions
        ],
        encodings=[_encoding_to_pb(encoding) for encoding in params.encodings],
        rtcp=pb.RtcpParameters(cname=params.rtcp.cname or "", reduced_size=params.rtcp.reduced_size),
        msid=params.msid or "",
    )


def ice_parameters_to_pb(ice: rtc.IceParameters) -> pb.IceParameters:
    """Our credentials."""
    return pb.IceParameters(username_fragment=ice.username_fragment, password=ice.password, ice_lite=ice.ice_lite)


def ice_candidate_to_pb(candidate: rtc.IceCandidate) -> pb.IceCandidate:
    """One address of ours."""
    return pb.IceCandidate(
        foundation=candidate.foundation,
        priority=candidate.priority,
        address=candidate.address,
        protocol=candidate.protocol,
        port=candidate.port,
        type=candidate.type,
        tcp_type=candidate.tcp_type or "",
    )


def dtls_parameters_from_pb(message: pb.DtlsParameters) -> rtc.DtlsParameters:
    """The remote party's certificate and role. Raises InvalidParameters."""
    fingerprints = [{"algorithm": f.algorithm, "value": f.value} for f in message.fingerprints]
    return rtc.dtls_parameters({"role": message.role or "auto", "fingerprints": fingerprints})


def dtls_parameters_to_pb(dtls: rtc.DtlsParameters) -> pb.DtlsParameters:
    """Our certificate and role."""
    fingerprints = [pb.DtlsFingerprint(algorithm=f.algorithm, value=f.value) for f in dtls.fingerprints]
    return pb.DtlsParameters(role=dtls.role, fingerprints=fingerprints)


def _codec_capability(codec: pb.RtpCodecCapability) -> dict[str, Any]:
    return {
        "kind": _KINDS.get(codec.kind),
        "mimeType": codec.mime_type,
        "preferredPayloadType": codec.preferred_payload_type if codec.HasField("preferred_payload_type") else None,
        "clockRate": codec.clock_rate,
        "channels": codec.channels if codec.HasField("channels") else None,
        "parameters": _parameters(codec.parameters),
        "rtcpFeedback": _feedback(codec.rtcp_feedback),
    }


def _encoding(encoding: pb.RtpEncodingParameters) -> dict[str, Any]:
    has = encoding.HasField
    return {
        "ssrc": encoding.ssrc if has("ssrc") else None,
        "rid": encoding.rid or None,
        "codecPayloadType": encoding.codec_payload_type if has("codec_payload_type") else None,
        "rtx": {"ssrc": encoding.rtx_ssrc} if has("rtx_ssrc") else None,
        "dtx": encoding.dtx if has("dtx") else None,
        "scalabilityMode": encoding.scalability_mode or None,
        "scaleResolutionDownBy": encoding.scale_resolution_down_by if has("scale_resolution_down_by") else None,
        "maxBitrate": encoding.max_bitrate if has("max_bitrate") else None,
    }


def _encoding_to_pb(encoding: rtc.RtpEncodingParameters) -> pb.RtpEncodingParameters:
    scale = encoding.scale_resolution_down_by
    return pb.RtpEncodingParameters(
        ssrc=encoding.ssrc,
        rid=encoding.rid or "",
        codec_payload_type=encoding.codec_payload_type,
        rtx_ssrc=encoding.rtx.ssrc if encoding.rtx else None,
        dtx=encoding.dtx,
        scalability_mode=encoding.scalability_mode or "",
        scale_resolution_down_by=None if scale is None else round(scale),  # the contract has whole steps
        max_bitrate=encoding.max_bitrate,
    )


def _parameters(parameters: Mapping[str, pb.ParameterValue]) -> dict[str, object]:
    values: dict[str, object] = {}
    for key, value in parameters.items():
        which = value.WhichOneof("value")
        values[key] = None if which is None else getattr(value, which)
    return values


def _parameters_to_pb(parameters: Mapping[str, rtc.ParameterValue]) -> dict[str, pb.ParameterValue]:
    values = {}
    for key, value in parameters.items():
        if isinstance(value, str):
            values[key] = pb.ParameterValue(text=value)
        elif isinstance(value, int):
            values[key] = pb.ParameterValue(integer=value)
        else:
            values[key] = pb.ParameterValue(real=value)
    return values


def _feedback(feedback: Iterable[pb.RtcpFeedback]) -> list[dict[str, str]]:
    return [{"type": fb.type, "parameter": fb.parameter} for fb in feedback]


def _feedback_to_pb(feedback: Iterable[rtc.RtcpFeedback]) -> list[pb.RtcpFeedback]:
    return [pb.RtcpFeedback(type=fb.type, parameter=fb.parameter) for fb in feedback]
