"""What the tests of the domain have in common: RTP parameters, and a core that is easy to command and to drain."""

from __future__ import annotations

import random

from rtpfwd.plane import Plane, link_planes
from server.media.commands import Commands
from server.media.consumer import Consumer
from server.media.core import MediaCore
from server.media.events import MediaEvent
from server.media.limits import MediaLimits
from server.media.producer import Producer
from server.media.webrtc_transport import WebRtcTransport
from server.rtc.parameters import DtlsFingerprint, DtlsParameters, RtpParameters, rtp_parameters
from server.testing.browser import shared_certificate

NOW = 10**12
FINGERPRINT = DtlsFingerprint(algorithm="sha-256", value=":".join(["AB"] * 32))
DTLS = DtlsParameters(fingerprints=(FINGERPRINT,), role="client")


def opus(ssrc: int = 1111, mid: str | None = "0", cname: str = "anna") -> RtpParameters:
    """A microphone."""
    return rtp_parameters(
        {
            "mid": mid,
            "codecs": [{"mimeType": "audio/opus", "payloadType": 109, "clockRate": 48000, "channels": 2}],
            "headerExtensions": [{"uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 4}],
            "encodings": [{"ssrc": ssrc}],
            "rtcp": {"cname": cname},
        }
    )


def vp8(ssrc: int = 2222, mid: str | None = "1", cname: str = "anna") -> RtpParameters:
    """A camera with retransmissions."""
    return rtp_parameters(
        {
            "mid": mid,
            "codecs": [
                {
                    "mimeType": "video/VP8",
                    "payloadType": 120,
                    "clockRate": 90000,
                    "rtcpFeedback": [{"type": "nack"}, {"type": "nack", "parameter": "pli"}],
                },
                {"mimeType": "video/rtx", "payloadType": 124, "clockRate": 90000, "parameters": {"apt": 120}},
            ],
            "headerExtensions": [{"uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 4}],
            "encodings": [{"ssrc": ssrc, "rtx": {"ssrc": ssrc + 1}}],
            "rtcp": {"cname": cname},
        }
    )


def simulcast(ssrc: int = 3333) -> RtpParameters:
    """A camera in two sizes."""
    return rtp_parameters(
        {
            "mid": "2",
            "codecs": [{"mimeType": "video/VP8", "payloadType": 120, "clockRate": 90000}],
            "encodings": [{"ssrc": ssrc, "rid": "r0"}, {"ssrc": ssrc + 1, "rid": "r1"}],
        }
    )


class Bench:
    """A core over real planes, commanded at one instant."""

    def __init__(self, lanes: int = 1, limits: MediaLimits | None = None, planes: list[Plane] | None = None) -> None:
        self.planes = planes or [Plane(seed=lane) for lane in range(lanes)]
        if len(self.planes) > 1:
            link_planes(self.planes)
        self.defects: list[tuple[str, BaseException]] = []
        self.core = MediaCore(
            self.planes,
            [()] * lanes,
            certificate=shared_certificate(),
            on_defect=lambda what, error: self.defects.append((what, error)),
            limits=limits,
            rng=random.Random(1),
        )
        self.commands = Commands(self.core)

    def router(self, router_id: str = "room") -> str:
        """A router with every codec."""
        return self.commands.create_router(router_id, ()).id

    def transport(self, transport_id: str, router_id: str = "room", *, connected: bool = True) -> WebRtcTransport:
        """A WebRtcTransport, by default one whose remote is known."""
        transport = self.commands.create_webrtc_transport(router_id, transport_id, NOW)
        if connected:
            self.commands.connect_webrtc_transport(transport_id, DTLS, NOW)
        return transport

    def produce(
        self, transport_id: str, producer_id: str, rtp: RtpParameters | None = None, *, paused: bool = False
    ) -> Producer:
        """A camera unless told otherwise."""
        rtp = rtp or vp8()
        kind = "audio" if rtp.codecs[0].mime_type.startswith("audio") else "video"
        return self.commands.produce(transport_id, producer_id, kind, rtp, NOW, paused=paused)

    def consume(self, transport_id: str, consumer_id: str, producer_id: str, *, paused: bool = False) -> Consumer:
        """By a viewer that can do all that the router can."""
        transport = self.commands.transport(transport_id)
        capabilities = transport.media.router.rtp_capabilities
        return self.commands.consume(transport_id, consumer_id, producer_id, capabilities, NOW, paused=paused)

    def events(self) -> list[MediaEvent]:
        """What happened since the last call."""
        return list(iter(self.core.poll_event, None))
