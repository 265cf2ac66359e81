"""Who takes part in a simulated call, and what is noted of each. Compiled with the types of cast.pxd."""

from __future__ import annotations

from dataclasses import dataclass

from server.media.consumer import Consumer
from server.media.producer import Producer
from server.media.webrtc_transport import WebRtcTransport
from server.rtc.address import Address
from server.testing.netem import Link
from server.testing.sim.browser import Browser
from server.testing.sim.player import AudioPlayer, VideoPlayer
from server.testing.sim.scenario import VisitorSpec
from server.testing.sim.sources import Camera


@dataclass(slots=True)
class View:
    """One source at one viewer."""

    source: str  # "anna's camera"
    kind: str  # camera, screen or microphone
    consumer: Consumer
    player: VideoPlayer | AudioPlayer
    since: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Of one visitor, over the half second before `at`."""

    at: int
    capacity_bps: int | None  # of its link now; None: unlimited
    estimate_bps: int  # the node's; 0: it makes none
    received_bps: int  # with IP and UDP headers
    offered_bps: int  # what was sent to its link, with what others behind it were sent
    waited_ns: int  # mean, of what passed its link, for others who share it too
    dropped: float  # share of what was sent to the link that its queue had no room for
    heights: tuple[int, ...]  # of the pictures shown last, by view; 0: none yet


class Visitor:
    """One browser, its transport and its links."""

    def __init__(
        self,
        spec: VisitorSpec,
        browser: Browser,
        transport: WebRtcTransport,
        address: Address,
        up: Link,
        down: Link,
        joined: int,
    ) -> None:
        self.spec = spec
        self.browser = browser
        self.transport = transport
        self.address = address
        self.up = up
        self.down = down
        self.joined = joined
        self.due = 0  # when the browser wants its turn; 0: it was touched since
        self.views: list[View] = []
        self.samples: list[Sample] = []
        self.before = (0, 0, 0, 0, 0)  # counters at the last sample


@dataclass(slots=True)
class Publication:
    """One source of a visitor."""

    owner: Visitor
    kind: str
    producer: Producer
    camera: Camera | None
