"""Offers of real clients (tests/data/sdp), and the router that they meet."""

from __future__ import annotations

from pathlib import Path

from protos import media_pb2 as pb
from server.control.convert import rtp_capabilities_to_pb
from server.rtc.capabilities import router_capabilities

DIRECTORY = Path(__file__).parents[1] / "data" / "sdp"
NAMES = sorted(path.stem for path in DIRECTORY.glob("*.sdp"))
PUBLISHING = [name for name in NAMES if not name.endswith("watch")]
WATCHING = [name for name in NAMES if name.endswith("watch")]


def offer_bytes(name: str) -> bytes:
    """An offer as its client sent it."""
    return (DIRECTORY / f"{name}.sdp").read_bytes()


def router() -> pb.RtpCapabilities:
    """What a router has that was asked for nothing in particular."""
    return rtp_capabilities_to_pb(router_capabilities())


def transport_info() -> pb.WebRtcTransportInfo:
    """What a node says of a new transport."""
    candidates = [
        pb.IceCandidate(
            foundation="tcp1", priority=2000, address="127.0.0.1", protocol="tcp", port=4433, type="host",
            tcp_type="passive",
        ),
        pb.IceCandidate(foundation="udp1", priority=3000, address="127.0.0.1", protocol="udp", port=4433, type="host"),
    ]  # fmt: skip
    return pb.WebRtcTransportInfo(
        id="t1",
        ice_parameters=pb.IceParameters(username_fragment="sfuf", password="p" * 24, ice_lite=True),
        ice_candidates=candidates,
        dtls_parameters=pb.DtlsParameters(
            role="auto", fingerprints=[pb.DtlsFingerprint(algorithm="sha-256", value=":".join(["AB"] * 32))]
        ),
    )
