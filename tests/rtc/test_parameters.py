"""What enters as parameters: normalised, or refused whole with the field named."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest

from server.errors import BadPacket, LocalError
from server.rtc.parameters import (
    MAX_CODECS,
    InvalidParameters,
    RtpCapabilities,
    RtpCodecCapability,
    RtpHeaderExtensionCapability,
    dtls_parameters,
    dtls_parameters_untrusted,
    rtp_capabilities,
    rtp_capabilities_untrusted,
    rtp_parameters,
    rtp_parameters_untrusted,
)

VIDEO: dict[str, Any] = {
    "mid": "0",
    "codecs": [
        {"mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000, "rtcpFeedback": [{"type": "nack"}]},
        {"mimeType": "video/rtx", "payloadType": 97, "clockRate": 90000, "parameters": {"apt": 96}},
    ],
    "headerExtensions": [{"uri": "urn:x", "id": 1}, {"uri": "urn:y", "id": 2}],
    "encodings": [{"ssrc": 1, "rtx": {"ssrc": 2}}, {"ssrc": 3, "rid": "r1"}],
    "rtcp": {"cname": "alice"},
}
FINGERPRINT = ":".join(["AB"] * 32)


def changed(path: str, value: object) -> dict[str, Any]:
    """VIDEO with one place changed: "codecs.0.payloadType"."""
    params = copy.deepcopy(VIDEO)
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place: Any = params
    for step in way:
        place = place[step]
    place[last] = value
    return params


def test_json_is_mediasoups() -> None:
    """Defaults that mediasoup always writes are written; optional fields that nobody set are not."""
    expected = {
        "mid": "0",
        "codecs": [
            {
                "mimeType": "video/VP8",
                "payloadType": 96,
                "clockRate": 90000,
                "parameters": {},
                "rtcpFeedback": [{"type": "nack", "parameter": ""}],
            },
            {
                "mimeType": "video/rtx",
                "payloadType": 97,
                "clockRate": 90000,
                "parameters": {"apt": 96},
                "rtcpFeedback": [],
            },
        ],
        "headerExtensions": [
            {"uri": "urn:x", "id": 1, "encrypt": False, "parameters": {}},
            {"uri": "urn:y", "id": 2, "encrypt": False, "parameters": {}},
        ],
        "encodings": [{"ssrc": 1, "rtx": {"ssrc": 2}, "dtx": False}, {"ssrc": 3, "rid": "r1", "dtx": False}],
        "rtcp": {"cname": "alice", "reducedSize": True},
    }
    assert msgspec.to_builtins(rtp_parameters(VIDEO)) == {
        **expected,
        "codecs": tuple({**c, "rtcpFeedback": tuple(c["rtcpFeedback"])} for c in expected["codecs"]),
        "headerExtensions": tuple(expected["headerExtensions"]),
        "encodings": tuple(expected["encodings"]),
    }
    assert msgspec.json.decode(msgspec.json.encode(rtp_parameters(VIDEO))) == expected


def test_bytes_and_objects_are_the_same() -> None:
    assert rtp_parameters(msgspec.json.encode(VIDEO)) == rtp_parameters(VIDEO)


def test_capabilities_are_normalised() -> None:
    caps = rtp_capabilities(
        {
            "codecs": [
                {"kind": "audio", "mimeType": "audio/PCMU", "clockRate": 8000, "preferredPayloadType": 0},
                {"kind": "video", "mimeType": "video/VP8", "clockRate": 90000, "channels": 2},
            ],
            "headerExtensions": [{"kind": "audio", "uri": "urn:x", "preferredId": 3}],
        }
    )
    assert caps == RtpCapabilities(
        codecs=(
            RtpCodecCapability("audio", "audio/PCMU", 8000, 0, channels=1),
            RtpCodecCapability("video", "video/VP8", 90000),
        ),
        header_extensions=(RtpHeaderExtensionCapability("audio", "urn:x", 3, False, "sendrecv"),),
    )


def test_a_source_without_encodings_is_found_by_mid() -> None:
    (encoding,) = rtp_parameters(changed("encodings", [])).encodings
    assert (encoding.ssrc, encoding.rid) == (None, None)
    without_mid = {**VIDEO, "mid": None, "encodings": []}
    with pytest.raises(InvalidParameters, match="needs an ssrc or a rid, or a mid"):
        rtp_parameters(without_mid)


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("codecs", [], "codecs"),
        ("codecs", VIDEO["codecs"][1:], "codecs"),
        ("codecs", VIDEO["codecs"][:1] * (MAX_CODECS + 1), "codecs"),
        ("codecs.0.payloadType", 128, "codecs[0].payloadType"),
        ("codecs.0.payloadType", 97, "codecs[1].parameters.apt"),
        ("codecs.1.payloadType", 96, "codecs[1].payloadType"),
        ("codecs.0.payloadType", None, "codecs[0].payloadType"),
        ("codecs.0.payloadType", 96.5, "codecs[0].payloadType"),
        ("codecs.0.mimeType", "text/plain", "codecs[0].mimeType"),
        ("codecs.0.mimeType", "video/VP8\r\na=evil", "codecs[0].mimeType"),
        ("codecs.0.mimeType", "video/VP8\n", "codecs[0].mimeType"),
        ("codecs.1.mimeType", "audio/rtx", "codecs[1].mimeType"),
        ("codecs.0.clockRate", 0, "codecs[0].clockRate"),
        ("codecs.0.parameters", {"a": True}, "codecs[0].parameters.a"),
        ("codecs.0.parameters", {"a": 2**60}, "codecs[0].parameters.a"),
        ("codecs.0.parameters", {"a": float("nan")}, "codecs[0].parameters.a"),
        ("codecs.0.parameters", {"a": "x" * 1025}, "codecs[0].parameters[...]"),
        ("codecs.0.parameters", {"a": "x\ny"}, "codecs[0].parameters[...]"),
        ("codecs.0.parameters", {str(i): i for i in range(33)}, "codecs[0].parameters"),
        ("codecs.1.parameters", {"apt": "96"}, "codecs[1].parameters.apt"),
        ("codecs.0.rtcpFeedback", [{"type": ""}], "codecs[0].rtcpFeedback[0].type"),
        ("headerExtensions.1.id", 1, "headerExtensions[1].id"),
        ("headerExtensions.1.id", 0, "headerExtensions[1].id"),
        ("headerExtensions.1.uri", "urn:x", "headerExtensions[1].uri"),
        ("encodings.1.ssrc", 2, "encodings[1].ssrc"),
        ("encodings.1.ssrc", 2**32, "encodings[1].ssrc"),
        ("encodings.1", {}, "encodings[1]"),
        ("encodings.0", {"ssrc": 5, "rid": "r1"}, "encodings[1].rid"),
        ("encodings.1.rid", "r 1", "encodings[1].rid"),
        ("encodings.1.codecPayloadType", 97, "encodings[1].codecPayloadType"),
        ("encodings.1.scaleResolutionDownBy", 0.5, "encodings[1].scaleResolutionDownBy"),
        ("encodings", [{"ssrc": i} for i in range(17)], "encodings"),
        ("rtcp.cname", "x" * 256, "rtcp.cname"),
        ("mid", "a b", "mid"),
        ("msid", "a\r\nb", "msid"),
    ],
)
def test_refused_with_the_field(path: str, value: object, field: str) -> None:
    params = changed(path, value)
    with pytest.raises(InvalidParameters) as caught:
        rtp_parameters(params)
    assert caught.value.path == field
    assert str(caught.value).startswith(f"{field}: ")
    assert isinstance(caught.value, LocalError)
    with pytest.raises(BadPacket) as bad:
        rtp_parameters_untrusted(params)
    assert bad.value.reason == "rtp-parameters"


def test_what_is_not_json_is_refused() -> None:
    for untrusted in (rtp_parameters_untrusted, rtp_capabilities_untrusted, dtls_parameters_untrusted):
        for value in (b"", b"{", b"\xff", b"[]", b"[" * 100_000, None, object(), {1: 2}):
            if untrusted is rtp_capabilities_untrusted and value == {1: 2}:
                continue  # every field of capabilities has a default, and unknown fields are ignored
            with pytest.raises(BadPacket):
                untrusted(value)


def test_fingerprints_have_their_digests_length() -> None:
    dtls = dtls_parameters({"fingerprints": [{"algorithm": "sha-256", "value": FINGERPRINT}]})
    assert dtls.role == "auto"
    for algorithm, value in (("sha-1", FINGERPRINT), ("sha-256", FINGERPRINT[:-3]), ("md5", "AB"), ("sha-256", "GG")):
        with pytest.raises(InvalidParameters, match=r"fingerprints\[0\]"):
            dtls_parameters({"fingerprints": [{"algorithm": algorithm, "value": value}]})
    with pytest.raises(InvalidParameters, match="fingerprints"):
        dtls_parameters({"role": "auto", "fingerprints": []})
