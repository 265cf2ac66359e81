"""A media node and its browsers in virtual time: hours pass in seconds, and the same seed repeats to the byte.

    world = World(seed=1)
    anna = world.add(up=LinkConfig(loss=0.05, delay_ns=20 * MS), down=LinkConfig(loss=0.05, delay_ns=20 * MS))
    bert = world.add()
    camera = world.publish(anna, video=True)
    view = world.watch(bert, camera)
    world.run(20 * SECOND)
    view.sink.figures.frames

What stands between the browsers and the node is one `netem.Link` for each direction of each browser. The node is the
real core over a real plane; only the lane's sockets and threads are missing.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from rtpfwd.plane import Plane, link_planes
from server.media.commands import Commands
from server.media.consumer import Consumer
from server.media.core import MediaCore
from server.media.events import MediaEvent
from server.media.producer import Producer
from server.media.webrtc_transport import WebRtcTransport
from server.rtc import uris
from server.rtc.address import Address
from server.rtc.dtls import DtlsRole
from server.rtc.parameters import (
    DtlsFingerprint,
    DtlsParameters,
    MediaKind,
    RtcpFeedback,
    RtcpParameters,
    RtpCodecParameters,
    RtpEncodingParameters,
    RtpHeaderExtensionParameters,
    RtpParameters,
    RtxParameters,
)
from server.testing.browser import ALL_PROFILES, PeerConnection, shared_certificate
from server.testing.netem import Link, LinkConfig
from server.testing.streams import SECOND, Sink, SinkConfig, Source, SourceConfig

SERVER = Address("udp", "192.0.2.1", 40000)
MID_ID = 4  # the fake browsers' own number of the MID extension, unlike the router's
_BEGINNING = 1000 * SECOND  # a clock that has run for a while, as real ones have
_MOST_STEPS_AT_ONCE = 100_000  # events at one instant before we call it an endless loop


@dataclass(slots=True)
class Visitor:
    """One browser with one transport, and the two directions of its path."""

    connection: PeerConnection
    transport: WebRtcTransport
    address: Address
    up: Link
    down: Link


@dataclass(slots=True)
class Publication:
    """One source of a visitor, at both ends."""

    source: Source
    producer: Producer


@dataclass(slots=True)
class View:
    """One visitor's view of a publication, at both ends."""

    sink: Sink
    consumer: Consumer


class World:
    """One node with one router."""

    def __init__(self, *, seed: int, lanes: int = 1) -> None:
        self.now = _BEGINNING
        self.defects: list[tuple[str, BaseException]] = []
        self.events: list[MediaEvent] = []
        self.visitors: list[Visitor] = []
        self.planes = [Plane(seed=seed + lane) for lane in range(lanes)]
        self.plane = self.planes[0]
        if lanes > 1:
            link_planes(self.planes)
        self.core = MediaCore(
            self.planes,
            [()] * lanes,
            certificate=shared_certificate(),
            on_defect=lambda what, error: self.defects.append((what, error)),
            rng=random.Random(seed),
        )
        self.commands = Commands(self.core)
        self.router = self.commands.create_router("world", ())
        # Its viewers report no arrival times (server/testing/sim has some that do), so they don't promise to.
        known = self.router.rtp_capabilities
        extensions = tuple(each for each in known.header_extensions if each.uri != uris.TRANSPORT_CC)
        self._viewed = replace(known, header_extensions=extensions)
        self._random = random.Random(seed + 1)

    def add(
        self,
        *,
        up: LinkConfig | None = None,
        down: LinkConfig | None = None,
        role: DtlsRole = DtlsRole.CLIENT,
        profiles: tuple[int, ...] = ALL_PROFILES,
    ) -> Visitor:
        """A browser that starts to connect now."""
        number = len(self.visitors) + 1
        transport = self.commands.create_webrtc_transport(self.router.id, f"transport-{number}", self.now)
        seed = self._random.getrandbits(32)
        server = Address("udp", SERVER.host, SERVER.port + transport.media.lane)
        connection = PeerConnection(server=server, seed=seed, role=role, profiles=profiles)
        fingerprint = connection.certificate.fingerprint
        self.commands.connect_webrtc_transport(
            transport.id,
            DtlsParameters(role=role.value, fingerprints=(DtlsFingerprint("sha-256", fingerprint.value),)),
            self.now,
        )
        ice = transport.ice_parameters
        connection.connect(ice.username_fragment, ice.password, transport.local_fingerprint, self.now)
        address = Address("udp", f"198.51.100.{number}", 50000 + number)
        visitor = Visitor(
            connection,
            transport,
            address,
            Link(up or LinkConfig(), seed=seed),
            Link(down or LinkConfig(), seed=seed + 1),
        )
        self.visitors.append(visitor)
        return visitor

    def publish(self, visitor: Visitor, *, video: bool, source: SourceConfig | None = None) -> Publication:
        """Produce a synthetic VP8 or Opus source on a visitor's transport."""
        ssrc = self._random.randrange(1, 1 << 30)
        mid = f"m{len(visitor.connection.sources)}"
        config = source or SourceConfig(
            ssrc=ssrc,
            payload_type=96 if video else 109,
            clock_rate=90_000 if video else 48_000,
            video=video,
            frames_per_second=25 if video else 50,
            packets=4 if video else 1,
            size=1000 if video else 100,
            rtx_ssrc=ssrc + 1 if video else None,
            rtx_payload_type=97 if video else None,
            extensions=((MID_ID, mid.encode()),),
        )
        parameters = rtp_parameters(config, mid)
        kind: MediaKind = "video" if video else "audio"
        producer = self.commands.produce(visitor.transport.id, "", kind, parameters, self.now, paused=False)
        published = Source(config, seed=self._random.getrandbits(32))
        visitor.connection.add_source(published, self.now)
        return Publication(published, producer)

    def watch(
        self, visitor: Visitor, publication: Publication, *, paused: bool = False, rtt_ns: int = 50_000_000
    ) -> View:
        """Consume a publication on a visitor's transport."""
        producer = publication.producer
        consumer = self.commands.consume(visitor.transport.id, "", producer.id, self._viewed, self.now, paused=paused)
        encoding, codec = consumer.rtp_parameters.encodings[0], consumer.rtp_parameters.codecs[0]
        rtx = [c.payload_type for c in consumer.rtp_parameters.codecs if c.mime_type.lower().endswith("/rtx")]
        assert encoding.ssrc is not None
        sink = Sink(
            SinkConfig(
                ssrc=encoding.ssrc,
                payload_type=codec.payload_type,
                video=producer.kind == "video",
                rtx_ssrc=encoding.rtx.ssrc if encoding.rtx else None,
                rtx_payload_type=rtx[0] if rtx else None,
                nack=producer.kind == "video",
                rtt_ns=rtt_ns,
            ),
            own_ssrc=visitor.connection.own_ssrc,
        )
        visitor.connection.add_sink(sink)
        return View(sink, consumer)

    def run(self, duration: int) -> None:
        """Let `duration` nanoseconds pass."""
        self.run_until(lambda: False, duration)

    def run_until(self, condition: Callable[[], bool], limit: int) -> bool:
        """Let time pass until the condition holds, or `limit` nanoseconds have; whether it holds."""
        end = self.now + limit
        steps = 0
        self._settle()
        while not condition():
            soonest = min((due for due in self._deadlines() if due is not None), default=None)
            if soonest is None or soonest > end:
                self.now = end
                return condition()
            steps = steps + 1 if soonest <= self.now else 0
            if steps > _MOST_STEPS_AT_ONCE:
                raise RuntimeError("time stands still: something is due again and again at the same instant")
            self.now = max(self.now, soonest)
            self._play()
        return True

    def _deadlines(self) -> list[int | None]:
        due = [self.core.next_timeout(), *(plane.next_timeout() for plane in self.planes)]
        for visitor in self.visitors:
            due += [visitor.connection.next_timeout(), visitor.up.next_timeout(), visitor.down.next_timeout()]
        return due

    def _play(self) -> None:
        """Everything that is due now."""
        for visitor in self.visitors:
            while (datagram := visitor.up.poll(self.now)) is not None:
                visitor.transport.media.plane.ingest([(0, visitor.address, datagram)], self.now)
            while (datagram := visitor.down.poll(self.now)) is not None:
                visitor.connection.receive(datagram, self.now)
            visitor.connection.handle_timeout(self.now)
        self.core.handle_timeout(self.now)
        for plane in self.planes:
            plane.handle_timeout(self.now)
        self._settle()

    def _settle(self) -> None:
        """Drain every core until all have only timeouts to say."""
        for lane, plane in enumerate(self.planes):
            while (handed := plane.poll_handoff()) is not None:
                self.core.receive(lane, *handed, self.now)
            while (event := plane.poll_event()) is not None:
                self.core.plane_event(lane, event)
        by_address = {visitor.address: visitor for visitor in self.visitors}
        while (answer := self.core.poll_transmit()) is not None:
            _, _, destination, datagram = answer
            self._send_down(by_address, destination, datagram)
        for plane in self.planes:
            while (output := plane.poll_transmit()) is not None:
                self._send_down(by_address, Address(*output[1]), output[2])
        while (happened := self.core.poll_event()) is not None:
            self.events.append(happened)
        for visitor in self.visitors:
            while (sent := visitor.connection.poll_transmit()) is not None:
                visitor.up.send(sent, len(sent), self.now)

    def _send_down(self, by_address: dict[Address, Visitor], address: Address, datagram: bytes) -> None:
        visitor = by_address.get(address)
        if visitor is not None:
            visitor.down.send(datagram, len(datagram), self.now)


def rtp_parameters(config: SourceConfig, mid: str) -> RtpParameters:
    """What the sender of such a source would negotiate."""
    if config.video:
        feedback = (RtcpFeedback("nack"), RtcpFeedback("nack", "pli"), RtcpFeedback("ccm", "fir"))
        codec = RtpCodecParameters("video/VP8", config.payload_type, config.clock_rate, rtcp_feedback=feedback)
    else:
        codec = RtpCodecParameters("audio/opus", config.payload_type, config.clock_rate, channels=2)
    codecs = [codec]
    if config.rtx_payload_type is not None:
        rtx = RtpCodecParameters(
            "video/rtx", config.rtx_payload_type, config.clock_rate, parameters={"apt": config.payload_type}
        )
        codecs.append(rtx)
    return RtpParameters(
        mid=mid,
        codecs=tuple(codecs),
        header_extensions=(RtpHeaderExtensionParameters(uris.MID, MID_ID),),
        encodings=(
            RtpEncodingParameters(
                ssrc=config.ssrc, rtx=RtxParameters(config.rtx_ssrc) if config.rtx_ssrc is not None else None
            ),
        ),
        rtcp=RtcpParameters(cname=f"cname-{mid}"),
    )
