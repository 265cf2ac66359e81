"""When two codecs are one, and what follows from it: the rules that every function of server/rtc/ortc.py shares."""

from __future__ import annotations

from msgspec.structs import replace

from server.rtc import h264_profile
from server.rtc.parameters import (
    InvalidParameters,
    RtpCapabilities,
    RtpCodecCapability,
    RtpCodecParameters,
    RtpParameters,
    is_rtx,
)


def matches(
    ours: RtpCodecCapability | RtpCodecParameters,
    theirs: RtpCodecCapability | RtpCodecParameters,
    *,
    strict: bool = True,
) -> bool:
    """Whether both mean one format. `strict` compares profiles too; without it they are yet to be chosen."""
    mime_type = ours.mime_type.lower()
    if (mime_type, ours.clock_rate, ours.channels) != (theirs.mime_type.lower(), theirs.clock_rate, theirs.channels):
        return False
    if not strict:
        return True
    if mime_type == "video/h264":
        same_mode = _same_parameter("packetization-mode", ours, theirs)
        return same_mode and h264_profile.same_profile(ours.parameters, theirs.parameters)
    return mime_type != "video/vp9" or _same_parameter("profile-id", ours, theirs)


def _same_parameter(
    name: str, ours: RtpCodecCapability | RtpCodecParameters, theirs: RtpCodecCapability | RtpCodecParameters
) -> bool:
    return (ours.parameters.get(name) or 0) == (theirs.parameters.get(name) or 0)


def with_agreed_level(codec: RtpCodecParameters, known: RtpCodecCapability) -> RtpCodecParameters:
    """The sender's codec with the H.264 level that both sides agree on; any other codec as it is."""
    if codec.mime_type.lower() != "video/h264":
        return codec
    parameters = {key: value for key, value in codec.parameters.items() if key != "profile-level-id"}
    agreed = h264_profile.answer_profile_level_id(codec.parameters, known.parameters)
    if agreed is not None:
        parameters["profile-level-id"] = agreed
    return replace(codec, parameters=parameters)


def rtx_capability(caps: RtpCapabilities, payload_type: int) -> RtpCodecCapability | None:
    """The retransmission format that repairs `payload_type`, if there is one."""
    return next((c for c in caps.codecs if is_rtx(c) and c.parameters.get("apt") == payload_type), None)


def apt(codec: RtpCodecParameters) -> int:
    """The payload type that an RTX codec repairs; -1 where it names none."""
    repaired = codec.parameters.get("apt")
    return repaired if isinstance(repaired, int) else -1


def payload_type_of(codec: RtpCodecCapability) -> int:
    """The number of a codec that must have one. Raises InvalidParameters."""
    if codec.preferred_payload_type is None:
        raise InvalidParameters("preferredPayloadType", f"missing for {codec.mime_type}")
    return codec.preferred_payload_type


def as_parameters(codec: RtpCodecCapability) -> RtpCodecParameters:
    """The codec of a stream that is sent exactly as this capability says."""
    return RtpCodecParameters(
        mime_type=codec.mime_type,
        payload_type=payload_type_of(codec),
        clock_rate=codec.clock_rate,
        channels=codec.channels,
        parameters=codec.parameters,
        rtcp_feedback=codec.rtcp_feedback,
    )


def describe(codec: RtpCodecCapability | RtpCodecParameters) -> str:
    """For people: "video/VP9/90000 (profile-id=2)"."""
    channels = f"/{codec.channels}" if codec.channels else ""
    parameters = ", ".join(f"{key}={value}" for key, value in codec.parameters.items())
    return f"{codec.mime_type}/{codec.clock_rate}{channels}" + (f" ({parameters})" if parameters else "")


def describe_all(known: RtpCapabilities | RtpParameters) -> str:
    """For people: the formats of a list, each once."""
    return ", ".join(dict.fromkeys(codec.mime_type for codec in known.codecs if not is_rtx(codec)))
