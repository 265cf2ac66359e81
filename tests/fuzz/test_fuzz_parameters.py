"""Damaged parameters: only BadPacket; and what is accepted can be negotiated, carried and read again."""

from __future__ import annotations

import contextlib
import copy
import random
from typing import Any

import msgspec

from server.control.convert import (
    rtp_capabilities_from_pb,
    rtp_capabilities_to_pb,
    rtp_parameters_from_pb,
    rtp_parameters_to_pb,
)
from server.errors import BadPacket, LocalError
from server.rtc import ortc
from server.rtc.capabilities import router_capabilities
from server.rtc.parameters import (
    RtpCapabilities,
    RtpParameters,
    dtls_parameters_untrusted,
    kind_of,
    rtp_capabilities_untrusted,
    rtp_parameters_untrusted,
)
from tests.fuzz.mutate import mutated

ROUTER = router_capabilities()
VIDEO: dict[str, Any] = {
    "mid": "1",
    "codecs": [
        {
            "mimeType": "video/H264",
            "payloadType": 108,
            "clockRate": 90000,
            "parameters": {"level-asymmetry-allowed": 1, "packetization-mode": 1, "profile-level-id": "42e01f"},
            "rtcpFeedback": [{"type": "nack"}, {"type": "ccm", "parameter": "fir"}],
        },
        {"mimeType": "video/rtx", "payloadType": 109, "clockRate": 90000, "parameters": {"apt": 108}},
    ],
    "headerExtensions": [{"uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 4, "encrypt": False, "parameters": {}}],
    "encodings": [
        {"rid": "r0", "scalabilityMode": "L1T3", "maxBitrate": 500000, "scaleResolutionDownBy": 4},
        {"rid": "r1", "dtx": False, "ssrc": 77, "rtx": {"ssrc": 78}, "codecPayloadType": 108},
    ],
    "rtcp": {"cname": "bob", "reducedSize": True},
    "msid": "a b",
}
AUDIO: dict[str, Any] = {
    "codecs": [{"mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2}],
    "encodings": [{"ssrc": 5, "dtx": True}],
}
CAPS: dict[str, Any] = msgspec.to_builtins(ROUTER)
DTLS: dict[str, Any] = {"role": "client", "fingerprints": [{"algorithm": "sha-256", "value": ":".join(["0F"] * 32)}]}
VALUES = (
    None,
    True,
    -1,
    0,
    1,
    127,
    255,
    2**32,
    2**70,
    -0.5,
    1e308,
    float("nan"),
    "",
    "\n",
    "96",
    "\ud800",
    [],
    {},
    [[]],
)


def negotiate(params: RtpParameters) -> None:
    """The whole way of a producer to a viewer. LocalError is a fair answer."""
    with contextlib.suppress(LocalError):
        ortc.producer_type(params)
        agreed, mapping = ortc.producer_rtp_parameters_mapping(params, ROUTER, random.Random(1))
        consumable = ortc.consumable_rtp_parameters(kind_of(params.codecs[0].mime_type), agreed, ROUTER, mapping)
        ortc.consumer_rtp_parameters(consumable, ROUTER, random.Random(1), enable_rtx=True)
        ortc.pipe_consumer_rtp_parameters(consumable, ROUTER, random.Random(1), enable_rtx=True)


def watch(caps: RtpCapabilities) -> None:
    """A viewer with these capabilities, in either numbering."""
    params = rtp_parameters_untrusted(VIDEO)
    agreed, mapping = ortc.producer_rtp_parameters_mapping(params, ROUTER, random.Random(1))
    consumable = ortc.consumable_rtp_parameters("video", agreed, ROUTER, mapping)
    can = ortc.can_consume(consumable, caps)
    for adopt in (False, True):
        try:
            ortc.consumer_rtp_parameters(
                consumable, caps, random.Random(1), enable_rtx=True, adopt_viewer_numbers=adopt
            )
        except LocalError:
            assert not can or adopt


def accept(value: object) -> None:
    """Give a value to every entrance; what enters must be whole."""
    with contextlib.suppress(BadPacket):
        params = rtp_parameters_untrusted(value)
        assert rtp_parameters_untrusted(msgspec.json.encode(params)) == params
        carried = rtp_parameters_from_pb(rtp_parameters_to_pb(params))
        assert (carried.codecs, carried.header_extensions) == (params.codecs, params.header_extensions)
        negotiate(params)
    with contextlib.suppress(BadPacket):
        caps = rtp_capabilities_untrusted(value)
        assert rtp_capabilities_untrusted(msgspec.json.encode(caps)) == caps
        assert rtp_capabilities_from_pb(rtp_capabilities_to_pb(caps)) == caps
        watch(caps)
    with contextlib.suppress(BadPacket):
        dtls = dtls_parameters_untrusted(value)
        assert dtls_parameters_untrusted(msgspec.json.encode(dtls)) == dtls


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) below a value."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [(value, key) for key in keys] + [place for key in keys for place in places(value[key])]


def test_damaged_json() -> None:
    corpus = [msgspec.json.encode(value) for value in (VIDEO, AUDIO, DTLS, CAPS)]
    for value in corpus:
        accept(value)
    for data in mutated(corpus, seed=5):
        accept(data)


def test_wrong_values_in_right_places() -> None:
    rng = random.Random(6)
    caps = msgspec.json.decode(msgspec.json.encode(ROUTER))
    for _ in range(3000):
        value = copy.deepcopy(rng.choice((VIDEO, VIDEO, AUDIO, DTLS, caps)))
        for _ in range(rng.choice((1, 1, 2, 4))):
            where, key = rng.choice(places(value) or [({}, "")])
            if rng.random() < 0.15 and where:
                del where[key]
            else:
                where[key] = copy.deepcopy(rng.choice((*VALUES, where.get(key) if isinstance(where, dict) else where)))
        accept(value)
