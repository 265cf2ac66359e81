"""One simulated call: browsers, links and a node in virtual time, and the samples taken of them.

The clock moves from one millisecond in which something is due to the next; what a link does is exact within, so delays
and arrival times are not rounded. All randomness comes from the seed, and nothing hangs on the clock or on the order of
a set: the same scenario and seed give the same packets, bit by bit. Compiled with the types of call.pxd.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from server.media.adaptation_settings import AdaptationSettings
from server.media.events import MediaEvent, ProducerEncodingsWanted
from server.policy.registry import DEFAULTS, Registry, Role, standard_registry
from server.rtc.address import Address
from server.testing import netem
from server.testing.netem import MS, SECOND, Link, LinkConfig, rate_trace
from server.testing.sim.browser import OVERHEAD, Browser
from server.testing.sim.cast import Publication, Sample, View, Visitor
from server.testing.sim.node import Node
from server.testing.sim.offers import audio_parameters, new_stream, video_parameters
from server.testing.sim.player import AudioPlayer, VideoPlayer
from server.testing.sim.scenario import Change, LinkSpec, Scenario, VisitorSpec, trace
from server.testing.sim.sources import CAMERA, SCREEN, Camera, Encoder, Microphone

SERVER = Address("udp", "192.0.2.1", 40000)
BEGINNING = 1000 * SECOND  # a clock that has run for a while, as real ones have
SAMPLE = SECOND // 2
_NEVER = netem.NEVER  # which call.pxd makes an integer of C
_TURNS = 3  # how often a node's turn may call for another at the same instant
_MOST_UPLINK = 6_000_000  # bit/s that a browser ever believes in


@dataclass(frozen=True, slots=True)
class Policies:
    """By name, the node's defaults unless told otherwise."""

    congestion: str = DEFAULTS[Role.CONGESTION]
    layers: str = DEFAULTS[Role.LAYERS]
    speakers: str = DEFAULTS[Role.SPEAKERS]

    def settings(self) -> AdaptationSettings:
        """For a node."""
        return AdaptationSettings(
            congestion_controller=self.congestion, layer_allocator=self.layers, speaker_detector=self.speakers
        )


class Call:
    """Run it once."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        seed: int,
        policies: Policies | None = None,
        registry: Registry | None = None,
    ) -> None:
        """`registry`: ours and those of installed packages, unless told otherwise."""
        self.scenario = scenario
        self.now = BEGINNING
        self.policies = policies or Policies()
        self.node = Node(seed, self.policies.settings(), registry or standard_registry()[0])
        self.visitors: dict[str, Visitor] = {}
        self.publications: list[Publication] = []
        self._rng = random.Random(seed)
        self._shared = {
            name: self._link(spec, [change for change in scenario.changes if change.link == name])
            for name, spec in sorted(scenario.links.items())
        }
        self._links = list(self._shared.values())  # towards browsers, in the order of making
        self._by_address: dict[Address, Visitor] = {}
        self._agenda = self._make_agenda()
        self._sample_at = BEGINNING + SAMPLE
        self._core_due = 0  # when the node's core wants its turn; 0: it was touched since

    def run(self, duration_s: float | None = None, progress: Callable[[float], None] = lambda _: None) -> None:
        """To the end. `progress` is told of each simulated second."""
        end = BEGINNING + round((duration_s or self.scenario.duration_s) * SECOND)
        collecting = gc.isenabled()
        gc.disable()  # packets make no cycles, and looking for some takes a fifth of the time
        try:
            tell = self.now
            self._core_due = 0  # whoever calls may have touched the node
            while self.now < end:
                self._turn()
                if self.now >= tell:
                    progress((self.now - BEGINNING) / SECOND)
                    tell += SECOND
                    self._core_due = 0
                self.now = min(end, max(self.now + MS, -(-self._next_timeout() // MS) * MS))
            self._turn()
        finally:
            if collecting:
                gc.enable()
        if self.node.defects:
            what, error = self.node.defects[0]
            raise RuntimeError(f"the node has a defect: {what}") from error

    # ---- the calendar ----

    def _make_agenda(self) -> list[tuple[int, Callable[[], None]]]:
        """Who joins and what changes, the soonest last."""
        agenda: list[tuple[float, int, Callable[[], None]]] = []
        for visitor in self.scenario.visitors:
            agenda.append((visitor.joins_s, len(agenda), partial(self._join, visitor)))
        for change in self.scenario.changes:
            if change.moves:
                agenda.append((change.at_s, len(agenda), partial(self._move, change.visitor)))
        ordered = sorted(agenda, key=lambda entry: entry[:2], reverse=True)
        return [(BEGINNING + round(at * SECOND), action) for at, _, action in ordered]

    def _next_timeout(self) -> int:
        soonest = min(self._sample_at, self._core_timeout(), self._plane_timeout())
        if self._agenda:
            soonest = min(soonest, self._agenda[-1][0])
        for link in self._links:
            soonest = min(soonest, link.soonest)
        for visitor in self.visitors.values():
            if not visitor.due:
                visitor.due = visitor.browser.next_timeout()
            soonest = min(soonest, visitor.due, visitor.up.soonest)
        return soonest

    def _core_timeout(self) -> int:
        if not self._core_due:
            due = self.node.core.next_timeout()
            self._core_due = _NEVER if due is None else due
        return self._core_due

    def _plane_timeout(self) -> int:
        due = self.node.plane.next_timeout()
        return _NEVER if due is None else due

    def _turn(self) -> None:
        """Everything that is due by now."""
        now = self.now
        while self._agenda and self._agenda[-1][0] <= now:
            self._agenda.pop()[1]()
            self._core_due = 0
        self._carry(now)
        for visitor in self.visitors.values():
            if visitor.due > now:
                continue
            browser = visitor.browser
            browser.handle_timeout(now)
            visitor.due = 0
            if browser.output:
                for data in browser.output:
                    visitor.up.send((visitor, data), len(data) + OVERHEAD, now)
                browser.output.clear()
        core, plane = self.node.core, self.node.plane
        for _ in range(_TURNS):
            if self._core_timeout() <= now:
                core.handle_timeout(now)
                self._core_due = 0
            if self._plane_timeout() <= now:
                plane.handle_timeout(now)
            if not self._drain(now):
                break
        if self._sample_at <= now:
            self._sample_at += SAMPLE
            for visitor in self.visitors.values():
                self._sample(visitor, now)

    def _carry(self, now: int) -> None:
        """Let arrive what has: at the node in one batch, at each browser at its own time."""
        batch: list[tuple[int, Address, bytes]] = []
        for visitor in self.visitors.values():
            up = visitor.up
            if up.soonest > now:
                continue
            while (arrived := up.take(now)) is not None:
                batch.append((0, visitor.address, arrived.packet[1]))
        if batch:
            self.node.plane.ingest(batch, now)
        for link in self._links:
            if link.soonest > now:
                continue
            while (arrived := link.take(now)) is not None:
                visitor, data = arrived.packet
                visitor.browser.receive(data, arrived.due)
                visitor.due = 0

    def _drain(self, now: int) -> bool:
        """Whether there was anything that may call for another turn."""
        core, plane = self.node.core, self.node.plane
        again = False
        while (handed := plane.poll_handoff()) is not None:
            core.receive(0, *handed, now)
            again = True
        while (event := plane.poll_event()) is not None:
            core.plane_event(0, event)
            again = True
        if again:
            self._core_due = 0
        while (answer := core.poll_transmit()) is not None:
            self._send_down(answer[2], answer[3], now)
        while (output := plane.poll_transmit()) is not None:
            self._send_down(output[1], output[2], now)
        while (happened := core.poll_event()) is not None:
            self._happened(happened)
        return again

    def _send_down(self, destination: tuple[str, str, int], data: bytes, now: int) -> None:
        visitor = self._by_address.get(destination)  # type: ignore[call-overload]
        if visitor is not None:
            visitor.down.send((visitor, data), len(data) + OVERHEAD, now)

    def _happened(self, event: MediaEvent) -> None:
        """What a front would tell the browsers. It takes as long as a packet on an idle link."""
        if not isinstance(event, ProducerEncodingsWanted):
            return
        for publication in self.publications:
            if publication.producer.id == event.producer_id and publication.camera is not None:
                at = self.now + publication.owner.down.config.delay_ns
                self._agenda.append((at, partial(_want, publication, event.wanted)))
                self._agenda.sort(key=lambda entry: -entry[0])

    # ---- who is there ----

    def _join(self, spec: VisitorSpec) -> None:
        number = len(self.visitors) + 1
        transport = self.node.add_transport(spec.name, self.now)
        rng = random.Random(self._rng.getrandbits(64))
        browser = Browser(spec.name, SERVER, rng, max_bps=_MOST_UPLINK)
        changes = [change for change in self.scenario.changes if change.visitor == spec.name]
        up = self._link(spec.up, changes, upwards=True)
        if spec.behind:
            down = self._shared[spec.behind]
        else:
            down = self._link(spec.down, changes)
            self._links.append(down)
        visitor = Visitor(spec, browser, transport, Address("udp", f"198.51.100.{number}", 50000), up, down, self.now)
        self.visitors[spec.name] = visitor
        self._by_address[visitor.address] = visitor
        ice = transport.ice_parameters
        browser.connect(ice.username_fragment, ice.password, self.now)
        theirs = list(self.publications)
        for mid, kind in enumerate(spec.sends):
            self._publish(visitor, kind, mid, rng)
        if spec.watches:
            for publication in theirs:
                self._watch(visitor, publication)

    def _move(self, name: str) -> None:
        visitor = self.visitors[name]
        del self._by_address[visitor.address]
        host = f"203.0.113.{len(self.visitors) + 1}"
        visitor.address = Address("udp", host, visitor.address.port + 1)
        self._by_address[visitor.address] = visitor
        visitor.browser.move(self.now)
        visitor.due = 0

    def _publish(self, visitor: Visitor, kind: str, mid: int, rng: random.Random) -> None:
        """Produce a source, and let everybody who is there watch it."""
        encodings = CAMERA if kind == "camera" else SCREEN if kind == "screen" else ()
        streams = [new_stream(rng, mid=str(mid), rid=encoding.rid, video=True) for encoding in encodings] or [
            new_stream(rng, mid=str(mid), rid="", video=False)
        ]
        parameters = video_parameters(str(mid), encodings, streams) if encodings else audio_parameters(mid, streams[0])
        producer = self.node.commands.produce(
            visitor.transport.id,
            f"{visitor.spec.name}-{kind}",
            "video" if encodings else "audio",
            parameters,
            self.now,
            paused=False,
            screen=kind == "screen",
        )
        camera = None
        for stream in streams:
            visitor.browser.add_stream(stream)
        if encodings:
            screen = kind == "screen"
            fps = 5 if screen else 25
            pairs = zip(encodings, streams, strict=True)
            encoders = [Encoder(encoding, stream, rng, fps=fps, slides=screen) for encoding, stream in pairs]
            camera = Camera(encoders, rng, fps=fps, starts=self.now, screen=screen)
            visitor.browser.cameras.append(camera)
        else:
            visitor.browser.microphones.append(Microphone(streams[0], rng, starts=self.now, talks=visitor.spec.talks))
        publication = Publication(visitor, kind, producer, camera)
        self.publications.append(publication)
        for other in self.visitors.values():
            if other is not visitor and other.spec.watches:
                self._watch(other, publication)

    def _watch(self, visitor: Visitor, publication: Publication) -> None:
        consumer = self.node.commands.consume(
            visitor.transport.id,
            f"{visitor.spec.name}<{publication.producer.id}",
            publication.producer.id,
            self.node.router.rtp_capabilities,
            self.now,
            paused=False,
        )
        width = visitor.spec.tile_width
        if width and publication.camera is not None:
            self.node.commands.set_view(consumer.id, width, width * 9 // 16, self.now, hidden=False)
        (encoding,) = consumer.rtp_parameters.encodings
        assert encoding.ssrc is not None
        browser = visitor.browser
        player: VideoPlayer | AudioPlayer
        if publication.camera is None:
            player = AudioPlayer(encoding.ssrc)
        else:
            player = VideoPlayer(encoding.ssrc, browser.own_ssrc, rtt_ns=browser.rtt_ns, now=self.now)
        browser.add_player(player, encoding.rtx.ssrc if encoding.rtx is not None else None)
        source = f"{publication.owner.spec.name}'s {publication.kind}"
        visitor.views.append(View(source, publication.kind, consumer, player, self.now))

    # ---- links ----

    def _link(self, spec: LinkSpec, changes: list[Change], *, upwards: bool = False) -> Link:
        config = spec.config()
        link = Link(config, seed=self._rng.getrandbits(64), cross=spec.cross_traffic())
        planned = list(self._traced(spec, config))
        for change in sorted(changes, key=lambda change: change.at_s):
            stated = change.up if upwards else change.down
            if stated is not None:
                config = stated.config(config)
                planned.append((BEGINNING + round(change.at_s * SECOND), config))
        link.plan(sorted(planned, key=lambda step: step[0]))
        return link

    def _traced(self, spec: LinkSpec, config: LinkConfig) -> Iterator[tuple[int, LinkConfig]]:
        """Its rates for as long as the scenario may run, one round of the trace after the other."""
        if not spec.trace:
            return
        steps = trace(spec.trace)
        length = steps[-1][0] + SECOND
        for start in range(BEGINNING, BEGINNING + round(self.scenario.duration_s * SECOND) + length, length):
            yield from rate_trace(config, [(start + at, rate) for at, rate in steps])

    # ---- figures ----

    def _sample(self, visitor: Visitor, now: int) -> None:
        counters = visitor.down.counters
        received = visitor.browser.received_bytes
        after = (received, counters.sent_bytes, counters.waited_ns, counters.sent, counters.overflowed)
        received, offered, waited, sent, dropped = (new - old for new, old in zip(after, visitor.before, strict=True))
        visitor.before = after
        heights = tuple(
            view.player.shown[-1].height if view.player.shown else 0
            for view in visitor.views
            if isinstance(view.player, VideoPlayer)
        )
        visitor.samples.append(
            Sample(
                now,
                visitor.down.config.rate_bps,
                self._estimate(visitor),
                received * 8 * SECOND // SAMPLE,
                offered * 8 * SECOND // SAMPLE,
                waited // max(1, sent - dropped),
                dropped / sent if sent else 0.0,
                heights,
            )
        )

    def _estimate(self, visitor: Visitor) -> int:
        media = visitor.transport.media
        figures = media.plane.congestion(media.handle)
        return figures.estimate_bps if figures is not None else 0


def _want(publication: Publication, wanted: tuple[bool, ...]) -> None:
    """Dynacast: what setting `active` of its encodings does in a browser."""
    if publication.camera is not None:
        for encoder, active in zip(publication.camera.encoders, wanted, strict=True):
            encoder.set_active(active=active)
        publication.owner.browser.share_rate()
