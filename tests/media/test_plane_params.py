"""ORTC to the plane's parameters."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from rtpfwd.params import CodecParams, EncodingParams, PayloadMapping
from server.media.plane_params import consumer_params, producer_params, stream_count
from server.rtc import ortc
from server.rtc.capabilities import router_capabilities
from server.rtc.parameters import RtpCapabilities, RtpCodecCapability, RtpParameters, rtp_parameters
from tests.media.entities import opus, simulcast, vp8

ROUTER = router_capabilities()


def viewed(rtp: RtpParameters, capabilities: RtpCapabilities, *, enable_rtx: bool = True, adopt: bool = False):
    """The plane's parameters of a consumer of `rtp`, and its negotiated ones."""
    kind = "audio" if rtp.codecs[0].mime_type.startswith("audio") else "video"
    rtp, mapping = ortc.producer_rtp_parameters_mapping(rtp, ROUTER, random.Random(1))
    consumable = ortc.consumable_rtp_parameters(kind, rtp, ROUTER, mapping)
    consumer = ortc.consumer_rtp_parameters(
        consumable, capabilities, random.Random(2), enable_rtx=enable_rtx, mid="7", adopt_viewer_numbers=adopt
    )
    return consumer_params(mapping, consumable, consumer, paused=True), consumer


def test_a_sender_is_described_in_its_own_numbers():
    params = producer_params("video", vp8(), cname="c", paused=True)
    assert params.codecs == (
        CodecParams(120, "video/vp8", 90000, rtx_payload_type=124, nack=True, pli=True, fir=False),
    )
    assert params.encodings == (EncodingParams(ssrc=2222, rtx_ssrc=2223),)
    assert params.extensions == (("urn:ietf:params:rtp-hdrext:sdes:mid", 4),)
    assert (params.mid, params.cname, params.paused) == ("1", "c", True)


def test_simulcast_is_found_by_rid():
    params = producer_params("video", simulcast(), cname="", paused=False)
    assert [encoding.rid for encoding in params.encodings] == ["r0", "r1"]


@pytest.mark.parametrize(("rtp", "count"), [(opus(), 1), (vp8(), 2), (simulcast(), 2)], ids=["opus", "vp8", "two"])
def test_streams_are_counted_with_their_retransmissions(rtp: RtpParameters, count: int):
    kind = "audio" if rtp.codecs[0].mime_type.startswith("audio") else "video"
    assert stream_count(producer_params(kind, rtp, cname="", paused=False)) == count


@pytest.mark.parametrize(
    ("rtp", "name"), [(opus(), "audio"), (vp8(), "svc"), (simulcast(), "simulcast")], ids=["opus", "vp8", "two"]
)
def test_the_selector_goes_by_what_is_sent(rtp: RtpParameters, name: str):
    params, _ = viewed(rtp, ROUTER)
    assert params.selector == name


def test_a_viewer_is_sent_the_routers_numbers():
    params, consumer = viewed(vp8(), ROUTER)
    media, rtx = consumer.codecs
    assert params.payload_types == (PayloadMapping(120, media.payload_type, rtx.payload_type),)
    assert params.rtx_ssrc == params.ssrc + 1
    assert params.mid == "7"
    assert params.paused
    assert stream_count(params) == 2


def test_a_viewer_without_rtx_gets_none():
    params, _ = viewed(vp8(), ROUTER, enable_rtx=False)
    assert [mapping.consumer_rtx for mapping in params.payload_types] == [None]
    assert params.rtx_ssrc is None
    assert stream_count(params) == 1


def test_codecs_that_differ_in_their_parameters_keep_apart_in_a_viewers_numbers():
    """Two H.264 profiles: each is mapped to the viewer's number of the same profile."""
    profiles = {"42e01f": (101, 50), "640034": (103, 51)}
    sender = rtp_parameters(
        {
            "mid": "0",
            "codecs": [
                {
                    "mimeType": "video/H264",
                    "payloadType": ours,
                    "clockRate": 90000,
                    "parameters": {
                        "profile-level-id": profile,
                        "packetization-mode": 1,
                        "level-asymmetry-allowed": 1,
                    },
                }
                for profile, (ours, _) in profiles.items()
            ],
            "encodings": [{"ssrc": 5}],
        }
    )
    viewer = RtpCapabilities(
        codecs=tuple(
            RtpCodecCapability(
                "video",
                "video/H264",
                90000,
                theirs,
                parameters={"profile-level-id": profile, "packetization-mode": 1, "level-asymmetry-allowed": 1},
            )
            for profile, (_, theirs) in reversed(profiles.items())
        )
    )
    params, _ = viewed(sender, viewer, adopt=True)
    assert {mapping.producer: mapping.consumer for mapping in params.payload_types} == {101: 50, 103: 51}


def test_a_codec_that_the_viewer_lacks_is_not_mapped():
    both = replace(vp8(), codecs=(*vp8().codecs, replace(vp8().codecs[0], mime_type="video/VP9", payload_type=98)))
    only_vp8 = RtpCapabilities(codecs=tuple(c for c in ROUTER.codecs if c.mime_type in ("video/VP8", "video/rtx")))
    params, _ = viewed(both, only_vp8)
    assert [mapping.producer for mapping in params.payload_types] == [120]
