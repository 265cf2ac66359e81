"""Negotiation by our own rules. Those that are mediasoup's are compared with its own in tests/foreign."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.rtc import ortc, uris
from server.rtc.capabilities import DEFAULT_CODECS, router_capabilities
from server.rtc.parameters import (
    InvalidParameters,
    RtpCapabilities,
    RtpParameters,
    is_rtx,
    rtp_capabilities,
    rtp_codec_capabilities,
    rtp_parameters,
)

ROUTER = router_capabilities()
OPUS = {"mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2}
VP8 = {"mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000}
VP8_RTX = {"mimeType": "video/rtx", "payloadType": 97, "clockRate": 90000, "parameters": {"apt": 96}}


def consumable(kind: str = "video", **more: object) -> RtpParameters:
    """A publisher's stream in the numbers of ROUTER."""
    codecs = [OPUS] if kind == "audio" else [VP8, VP8_RTX]
    params = rtp_parameters({"codecs": codecs, "encodings": [{"ssrc": 5}], "rtcp": {"cname": "alice"}, **more})
    agreed, mapping = ortc.producer_rtp_parameters_mapping(params, ROUTER, random.Random(1))
    return ortc.consumable_rtp_parameters("audio" if kind == "audio" else "video", agreed, ROUTER, mapping)


def test_the_default_router() -> None:
    numbers = [codec.preferred_payload_type for codec in ROUTER.codecs]
    assert numbers == [*range(100, 100 + len(numbers))]
    assert 127 not in numbers
    assert len(numbers) == 1 + 2 * (len(DEFAULT_CODECS) - 1)
    for media, rtx in zip(ROUTER.codecs[1::2], ROUTER.codecs[2::2], strict=True):
        assert is_rtx(rtx)
        assert rtx.parameters == {"apt": media.preferred_payload_type}
    for codec in ROUTER.codecs:
        if codec.mime_type == "video/H264":
            assert {"level-asymmetry-allowed", "packetization-mode", "profile-level-id"} <= codec.parameters.keys()


def test_one_extension_id_means_one_uri_over_both_kinds() -> None:
    ids: dict[int, set[str]] = {}
    for extension in ROUTER.header_extensions:
        ids.setdefault(extension.preferred_id, set()).add(extension.uri)
    assert all(1 <= number <= 14 and len(names) == 1 for number, names in ids.items())
    directions = {(e.uri, e.kind): e.direction for e in ROUTER.header_extensions}
    assert directions[uris.TRANSPORT_CC, "audio"] == "recvonly"
    assert directions[uris.DEPENDENCY_DESCRIPTOR, "video"] == "sendrecv"


@pytest.mark.parametrize(
    ("codec", "stated", "viewed"), [("AV1", True, True), ("AV1", False, False), ("VP8", True, False)]
)
def test_viewers_of_av1_get_the_dependency_descriptor(codec: str, stated: bool, viewed: bool) -> None:
    """libwebrtc can't put a picture of several spatial layers of AV1 together without it."""
    codecs = [c for c in ROUTER.codecs if c.mime_type == f"video/{codec}"]
    number = codecs[0].preferred_payload_type
    extensions = [{"uri": uris.DEPENDENCY_DESCRIPTOR, "id": 13}] if stated else []
    theirs = {"payloadType": number, "mimeType": f"video/{codec}", "clockRate": 90000}
    params = rtp_parameters(
        {"codecs": [theirs], "headerExtensions": extensions, "encodings": [{"ssrc": 5}], "rtcp": {"cname": "c"}}
    )
    agreed, mapping = ortc.producer_rtp_parameters_mapping(params, ROUTER, random.Random(1))
    made = ortc.consumable_rtp_parameters("video", agreed, ROUTER, mapping)
    consumer = ortc.consumer_rtp_parameters(made, ROUTER, random.Random(1), enable_rtx=True)
    assert (uris.DEPENDENCY_DESCRIPTOR in [e.uri for e in consumer.header_extensions]) == viewed
    piped = ortc.pipe_consumer_rtp_parameters(made, ROUTER, random.Random(1), enable_rtx=True)
    assert [e.uri for e in piped.header_extensions].count(uris.DEPENDENCY_DESCRIPTOR) == 1


def test_payload_types_run_out_with_a_message() -> None:
    vp8 = {"kind": "video", "mimeType": "video/VP8", "clockRate": 90000}
    assert len(router_capabilities(rtp_codec_capabilities([vp8] * 15)).codecs) == 30
    with pytest.raises(InvalidParameters, match=r"codecs\[15\]: no payload type is left"):
        router_capabilities(rtp_codec_capabilities([vp8] * 16))


def test_an_unknown_codec_is_named() -> None:
    h265 = {"kind": "video", "mimeType": "video/H265", "clockRate": 90000}
    with pytest.raises(
        ortc.UnsupportedCodec, match=r"codecs\[0\]: this node cannot forward video/H265/90000; .*video/VP8"
    ):
        router_capabilities(rtp_codec_capabilities([h265]))


def test_a_producer_of_the_other_kind_is_refused() -> None:
    params = rtp_parameters({"codecs": [VP8], "encodings": [{"ssrc": 5}]})
    agreed, mapping = ortc.producer_rtp_parameters_mapping(params, ROUTER, random.Random(1))
    with pytest.raises(InvalidParameters, match=r"codecs\[0\].mimeType: video/VP8 in a producer of kind audio"):
        ortc.consumable_rtp_parameters("audio", agreed, ROUTER, mapping)


@given(st.integers(), st.integers(1, 256), st.sets(st.integers(0, 2**31), max_size=20))
def test_ssrcs_are_free_positive_and_not_the_probation_streams(seed: int, count: int, taken: set[int]) -> None:
    ssrc = ortc.new_ssrc(random.Random(seed), count, taken)
    assert ssrc > 1234
    assert ssrc + count < 2**31
    assert not taken & set(range(ssrc, ssrc + count))


def test_a_taken_ssrc_is_avoided() -> None:
    first = ortc.new_ssrc(random.Random(3))
    # Its retransmissions would collide, though the SSRC itself would not.
    assert ortc.new_ssrc(random.Random(3), 2, taken={first + 1}) not in (first, first + 1)
    sent = ortc.consumer_rtp_parameters(consumable(), ROUTER, random.Random(3), enable_rtx=True, taken={first})
    assert sent.encodings[0].ssrc != first


def test_cnames_are_random_and_repeatable() -> None:
    assert ortc.new_cname(random.Random(1)) == ortc.new_cname(random.Random(1)) != ortc.new_cname(random.Random(2))
    assert len(ortc.new_cname(random.Random(1))) == 8


def test_the_mid_is_the_callers() -> None:
    sent = ortc.consumer_rtp_parameters(consumable(mid="7"), ROUTER, random.Random(1), enable_rtx=True, mid="3")
    assert sent.mid == "3"
    assert consumable(mid="7").mid is None


def viewer_with_own_numbers() -> RtpCapabilities:
    """As a WHEP offer states them: VP8 twice, RTX of another codec first, other extension ids per kind."""
    video = {"kind": "video", "clockRate": 90000}
    nack = [{"type": "nack"}, {"type": "nack", "parameter": "pli"}, {"type": "transport-cc"}, {"type": "goog-remb"}]
    return rtp_capabilities(
        {
            "codecs": [
                {**video, "mimeType": "video/VP9", "preferredPayloadType": 45},
                {**video, "mimeType": "video/rtx", "preferredPayloadType": 46, "parameters": {"apt": 45}},
                {**video, "mimeType": "video/VP8", "preferredPayloadType": 120, "rtcpFeedback": nack},
                {**video, "mimeType": "video/rtx", "preferredPayloadType": 124, "parameters": {"apt": 120}},
                {
                    "kind": "audio",
                    "mimeType": "audio/opus",
                    "clockRate": 48000,
                    "channels": 2,
                    "preferredPayloadType": 109,
                },
            ],
            "headerExtensions": [
                {"kind": "audio", "uri": uris.MID, "preferredId": 3},
                {"kind": "video", "uri": uris.MID, "preferredId": 9},
                {"kind": "video", "uri": uris.TRANSPORT_CC, "preferredId": 1},
                {"kind": "video", "uri": "urn:unknown", "preferredId": 2},
            ],
        }
    )


def test_a_viewers_own_numbers() -> None:
    sent = ortc.consumer_rtp_parameters(
        consumable(), viewer_with_own_numbers(), random.Random(1), enable_rtx=True, adopt_viewer_numbers=True
    )
    assert [(c.mime_type, c.payload_type, dict(c.parameters)) for c in sent.codecs] == [
        ("video/VP8", 120, {}),
        ("video/rtx", 124, {"apt": 120}),
    ]
    assert {(e.uri, e.id) for e in sent.header_extensions} == {(uris.MID, 9), (uris.TRANSPORT_CC, 1)}
    assert [fb.type for fb in sent.codecs[0].rtcp_feedback] == ["nack", "nack", "transport-cc"]
    assert sent.encodings[0].rtx is not None
    audio = ortc.consumer_rtp_parameters(
        consumable("audio"), viewer_with_own_numbers(), random.Random(1), enable_rtx=False, adopt_viewer_numbers=True
    )
    assert [(c.mime_type, c.payload_type) for c in audio.codecs] == [("audio/opus", 109)]
    assert {(e.uri, e.id) for e in audio.header_extensions} == {(uris.MID, 3)}


def test_a_viewers_own_numbers_without_rtx() -> None:
    sent = ortc.consumer_rtp_parameters(
        consumable(), viewer_with_own_numbers(), random.Random(1), enable_rtx=False, adopt_viewer_numbers=True
    )
    assert [c.payload_type for c in sent.codecs] == [120]
    assert [(fb.type, fb.parameter) for fb in sent.codecs[0].rtcp_feedback] == [("nack", "pli"), ("transport-cc", "")]
    assert sent.encodings[0].rtx is None


@pytest.mark.parametrize("adopt", [True, False])
def test_nothing_in_common_is_unsupported(adopt: bool) -> None:
    viewer = RtpCapabilities(codecs=tuple(c for c in ROUTER.codecs if c.mime_type in ("video/AV1", "video/rtx")))
    assert not ortc.can_consume(consumable(), viewer)
    with pytest.raises(ortc.UnsupportedCodec, match="video/VP8"):
        ortc.consumer_rtp_parameters(
            consumable(), viewer, random.Random(1), enable_rtx=True, adopt_viewer_numbers=adopt
        )


@pytest.mark.parametrize(
    ("codec", "encodings", "expected"),
    [
        (OPUS, [{"ssrc": 1}], "simple"),
        (OPUS, [{"ssrc": 1, "scalabilityMode": "L1T3"}], "simple"),
        (VP8, [{"ssrc": 1}], "simple"),
        (VP8, [{"ssrc": 1, "scalabilityMode": "L1T1"}], "simple"),
        (VP8, [{"ssrc": 1, "scalabilityMode": "L1T3"}], "svc"),
        (VP8, [{"ssrc": 1, "scalabilityMode": "L3T3_KEY"}], "svc"),
        (VP8, [{"rid": "a"}, {"rid": "b"}], "simulcast"),
        (VP8, [{"rid": "a", "scalabilityMode": "L1T3"}, {"rid": "b", "scalabilityMode": "L1T3"}], "simulcast"),
    ],
)
def test_producer_type(codec: dict[str, object], encodings: list[dict[str, object]], expected: str) -> None:
    assert ortc.producer_type(rtp_parameters({"codecs": [codec], "encodings": encodings})) == expected
