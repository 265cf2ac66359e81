"""mediasoup-client's JSON and the node's messages say the same."""

from __future__ import annotations

import msgspec
import pytest

from protos import media_pb2 as pb
from signaling import rtp_json
from signaling.errors import CallError
from signaling.messages import decode_untrusted
from tests.signaling.client import AUDIO, VIDEO

SIMULCAST = VIDEO | {
    "encodings": [
        {"rid": "r0", "maxBitrate": 100_000, "scaleResolutionDownBy": 4, "scalabilityMode": "L1T3", "dtx": True},
        {"rid": "r1", "ssrc": 5, "rtx": {"ssrc": 6}, "codecPayloadType": 96},
    ],
    "msid": "stream track",
}


@pytest.mark.parametrize("parameters", [AUDIO, VIDEO, SIMULCAST], ids=["audio", "video", "simulcast"])
def test_parameters_come_back_as_they_went(parameters):
    decoded = decode_untrusted(msgspec.json.encode(parameters), rtp_json.RtpParameters)
    assert rtp_json.rtp_parameters_to_json(rtp_json.rtp_parameters_to_pb(decoded)) == parameters


def test_capabilities_come_back_as_they_went():
    capabilities = {
        "codecs": [
            {
                "kind": "video",
                "mimeType": "video/H264",
                "preferredPayloadType": 103,
                "clockRate": 90000,
                "parameters": {"packetization-mode": 1, "profile-level-id": "42e01f", "x": 0.5},
                "rtcpFeedback": [{"type": "ccm", "parameter": "fir"}],
            },
            {
                "kind": "audio",
                "mimeType": "audio/opus",
                "clockRate": 48000,
                "channels": 2,
                "parameters": {},
                "rtcpFeedback": [],
            },
        ],
        "headerExtensions": [
            {"kind": "audio", "uri": "urn:x", "preferredId": 1, "preferredEncrypt": False, "direction": "recvonly"}
        ],
    }
    decoded = decode_untrusted(msgspec.json.encode(capabilities), rtp_json.RtpCapabilities)
    assert rtp_json.rtp_capabilities_to_json(rtp_json.rtp_capabilities_to_pb(decoded)) == capabilities


def test_unknown_fields_are_ignored_and_nulls_dropped():
    odd = AUDIO["codecs"][0] | {"parameters": {"a": None, "b": True}, "unknown": [1]}
    decoded = decode_untrusted(msgspec.json.encode(AUDIO | {"codecs": [odd]}), rtp_json.RtpParameters)
    codec = rtp_json.rtp_parameters_to_pb(decoded).codecs[0]
    assert dict(codec.parameters) == {"b": pb.ParameterValue(boolean=True)}
    shown = rtp_json.rtp_parameters_to_json(rtp_json.rtp_parameters_to_pb(decoded))
    assert shown["codecs"][0]["parameters"] == {"b": 1}  # clients know numbers and strings only


@pytest.mark.parametrize(
    ("codec", "field"),
    [
        ({"parameters": {"a": 1 << 70}}, "parameters.a"),
        ({"parameters": {"a": "x" * 2000}}, "parameters.a"),
        ({"parameters": {str(i): 1 for i in range(40)}}, "codecs[0].parameters"),
        ({"parameters": {"a": [1]}}, "codecs[0].parameters"),
        ({"payloadType": 128}, "codecs[0].payloadType"),
        ({"clockRate": -1}, "codecs[0].clockRate"),
        ({"channels": 0}, "codecs[0].channels"),
    ],
)
def test_bounds_name_the_field(codec, field):
    raw = msgspec.json.encode(AUDIO | {"codecs": [AUDIO["codecs"][0] | codec]})
    with pytest.raises(CallError) as caught:
        rtp_json.rtp_parameters_to_pb(decode_untrusted(raw, rtp_json.RtpParameters))
    assert field in caught.value.message


def test_a_tcp_candidate_has_its_type_and_a_udp_one_has_none():
    info = pb.WebRtcTransportInfo(
        ice_candidates=[
            pb.IceCandidate(protocol="udp", address="::1", port=1, type="host"),
            pb.IceCandidate(protocol="tcp", address="::1", port=1, type="host", tcp_type="passive"),
        ]
    )
    udp, tcp = rtp_json.transport_to_json(info)["iceCandidates"]
    assert "tcpType" not in udp
    assert tcp["tcpType"] == "passive"
    assert udp["ip"] == udp["address"] == "::1"
