"""Nothing is lost between protobuf and our values, and what may not enter is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protos import media_pb2 as pb
from server.control import convert
from server.rtc import parameters as rtc
from server.rtc.capabilities import router_capabilities

text = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)
token = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
ascii_text = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20)
numbers = st.integers(-rtc.MAX_INTEGER, rtc.MAX_INTEGER) | st.floats(-1e9, 1e9)
parameters = st.dictionaries(token.filter(lambda key: key != "apt"), text | numbers, max_size=4)
feedback = st.lists(st.builds(rtc.RtcpFeedback, token, st.just("") | token), max_size=4).map(tuple)
payload_types = st.integers(0, 127)
uint32 = st.integers(0, 2**32 - 1)
names = st.sampled_from(["opus", "VP8", "H264", "x-new.codec_1"])


@st.composite
def capabilities(draw: st.DrawFn) -> rtc.RtpCapabilities:
    codecs = [
        rtc.RtpCodecCapability(
            kind=kind,
            mime_type=f"{kind}/{draw(names)}",
            clock_rate=draw(st.integers(1, 2**32 - 1)),
            preferred_payload_type=draw(st.none() | payload_types),
            channels=draw(st.integers(1, 255)) if kind == "audio" else None,
            parameters=draw(parameters),
            rtcp_feedback=draw(feedback),
        )
        for kind in draw(st.lists(st.sampled_from(["audio", "video"]), max_size=4))
    ]
    extension = st.builds(
        rtc.RtpHeaderExtensionCapability,
        st.sampled_from(["audio", "video"]),
        token,
        st.integers(1, 255),
        st.booleans(),
        st.sampled_from(["sendrecv", "sendonly", "recvonly", "inactive"]),
    )
    return rtc.RtpCapabilities(tuple(codecs), tuple(draw(st.lists(extension, max_size=4))))


@st.composite
def stream_parameters(draw: st.DrawFn) -> rtc.RtpParameters:
    kind = draw(st.sampled_from(["audio", "video"]))
    numbers_used = draw(st.lists(payload_types, min_size=1, max_size=3, unique=True))
    codecs = [
        rtc.RtpCodecParameters(
            mime_type=f"{kind}/{draw(names)}",
            payload_type=number,
            clock_rate=draw(st.integers(1, 2**32 - 1)),
            channels=draw(st.integers(1, 255)) if kind == "audio" else None,
            parameters=draw(parameters),
            rtcp_feedback=draw(feedback),
        )
        for number in numbers_used
    ]
    if len(codecs) > 1:
        codecs[-1] = rtc.RtpCodecParameters(
            f"{kind}/rtx", numbers_used[-1], 90000, codecs[-1].channels, {"apt": numbers_used[0]}
        )
    ssrcs = draw(st.lists(uint32, min_size=2, max_size=6, unique=True))
    encodings = [
        rtc.RtpEncodingParameters(
            ssrc=first,
            rid=draw(st.none() | st.just(f"r{i}")),
            codec_payload_type=draw(st.none() | st.just(numbers_used[0])),
            rtx=draw(st.none() | st.just(rtc.RtxParameters(second))),
            dtx=draw(st.booleans()),
            scalability_mode=draw(st.none() | st.just("L3T3_KEY")),
            scale_resolution_down_by=draw(st.none() | st.integers(1, 65536).map(float)),
            max_bitrate=draw(st.none() | uint32),
        )
        for i, (first, second) in enumerate(zip(ssrcs[::2], ssrcs[1::2], strict=False))
    ]
    ids = draw(st.lists(st.integers(1, 255), max_size=3, unique=True))
    return rtc.RtpParameters(
        codecs=tuple(codecs),
        mid=draw(st.none() | token),
        header_extensions=tuple(
            rtc.RtpHeaderExtensionParameters(f"urn:{number}", number, draw(st.booleans()), draw(parameters))
            for number in ids
        ),
        encodings=tuple(encodings),
        rtcp=rtc.RtcpParameters(cname=draw(st.none() | ascii_text)),
        msid=draw(st.none() | ascii_text),
    )


@given(capabilities())
@settings(max_examples=60, deadline=None)
def test_capabilities_survive(caps: rtc.RtpCapabilities) -> None:
    message = convert.rtp_capabilities_to_pb(caps)
    assert convert.rtp_capabilities_from_pb(pb.RtpCapabilities.FromString(message.SerializeToString())) == caps
    assert convert.rtp_codec_capabilities_from_pb(message.codecs) == caps.codecs


@given(stream_parameters())
@settings(max_examples=60, deadline=None)
def test_parameters_survive(params: rtc.RtpParameters) -> None:
    message = convert.rtp_parameters_to_pb(params)
    assert convert.rtp_parameters_from_pb(pb.RtpParameters.FromString(message.SerializeToString())) == params


def test_types_of_parameter_values_survive() -> None:
    """1, "1" and 1.0 are three values to a client that compares strictly."""
    codec = rtc.RtpCodecCapability("video", "video/X", 90000, parameters={"i": 1, "t": "1", "f": 1.0})
    (back,) = convert.rtp_codec_capabilities_from_pb([convert.rtp_codec_capability_to_pb(codec)])
    assert {key: type(value) for key, value in back.parameters.items()} == {"i": int, "t": str, "f": float}


def test_our_router_survives() -> None:
    caps = router_capabilities()
    assert convert.rtp_capabilities_from_pb(convert.rtp_capabilities_to_pb(caps)) == caps


def test_dtls_survives() -> None:
    fingerprint = rtc.DtlsFingerprint("sha-256", ":".join(["0A"] * 32))
    dtls = rtc.DtlsParameters((fingerprint,), "client")
    assert convert.dtls_parameters_from_pb(convert.dtls_parameters_to_pb(dtls)) == dtls
    with pytest.raises(rtc.InvalidParameters, match="fingerprints"):
        convert.dtls_parameters_from_pb(pb.DtlsParameters(role="client"))


def test_ice_is_written_whole() -> None:
    candidate = rtc.IceCandidate("tcp", 7, "127.0.0.1", "tcp", 44444, tcp_type="passive")
    assert convert.ice_candidate_to_pb(candidate) == pb.IceCandidate(
        foundation="tcp", priority=7, address="127.0.0.1", protocol="tcp", port=44444, type="host", tcp_type="passive"
    )
    ice = rtc.IceParameters("user", "p" * 22)
    assert convert.ice_parameters_to_pb(ice) == pb.IceParameters(
        username_fragment="user", password="p" * 22, ice_lite=True
    )


def test_kinds() -> None:
    for kind in ("audio", "video"):
        assert convert.media_kind_from_pb(convert.media_kind_to_pb(kind)) == kind
    for unknown in (pb.MEDIA_KIND_UNSPECIFIED, 7):
        with pytest.raises(rtc.InvalidParameters, match="kind: expected AUDIO or VIDEO"):
            convert.media_kind_from_pb(unknown)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda m: m.codecs[0].parameters["a"].SetInParent(), "codecs[0].parameters[...]"),
        (lambda m: setattr(m.codecs[0].parameters["a"], "boolean", True), "codecs[0].parameters.a"),
        (lambda m: setattr(m.codecs[0].parameters["a"], "integer", 2**62), "codecs[0].parameters.a"),
        (lambda m: setattr(m.codecs[0].parameters["a"], "real", float("inf")), "codecs[0].parameters.a"),
        (lambda m: setattr(m.codecs[0], "mime_type", ""), "codecs[0].mimeType"),
        (lambda m: setattr(m.codecs[0], "payload_type", 128), "codecs[0].payloadType"),
        (lambda m: setattr(m.encodings.add(), "rid", "\n"), "encodings[1].rid"),
        (lambda m: m.header_extensions.add(), "headerExtensions[0].uri"),
    ],
)
def test_what_may_not_enter_is_named(change: object, path: str) -> None:
    message = pb.RtpParameters(
        codecs=[pb.RtpCodecParameters(mime_type="video/VP8", payload_type=96, clock_rate=90000)],
        encodings=[pb.RtpEncodingParameters(ssrc=1)],
    )
    convert.rtp_parameters_from_pb(message)
    assert callable(change)
    change(message)
    with pytest.raises(rtc.InvalidParameters) as caught:
        convert.rtp_parameters_from_pb(message)
    assert caught.value.path == path
