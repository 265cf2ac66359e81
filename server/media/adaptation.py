"""Adaptation: joins the planes and the policies. Who looks at what, and when.

It watches the domain (transport.Observer) and the planes' events, keeps a Viewer for each transport that has
consumers and a Room for each router that has microphones, and turns what the viewers need into dynacast. Sans-I/O:
commands and events only note what to look at, and `handle_timeout` does it. Nothing is due without media.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from rtpfwd.events import EstimateChanged, FeedbackReceived, KeyframeAsked, LayersChanged, PlaneEvent
from rtpfwd.params import Handle
from rtpfwd.plane import Plane
from server.media import wishes as pure
from server.media.consumer import MOST_TEMPORAL, Consumer
from server.media.events import ConsumerLayersChanged, ProducerEncodingsWanted
from server.media.policies import Choice, Shelf
from server.media.producer import Producer
from server.media.router import Router
from server.media.speakers import Room
from server.media.timers import Timers
from server.media.transport import Shared, Transport
from server.media.viewer import HUNGRY_NS, SATISFIED_NS, TICK_NS, Viewer
from server.policy.registry import Role

MS = 1_000_000
GRID_NS = 50 * MS  # what need not be exact is due together with others
SPEAKERS_NS, QUIET_SPEAKERS_NS = 50 * MS, 250 * MS  # between two looks at the levels: somebody sends some, or nobody
QUIET_AFTER_NS = 2000 * MS
AUDIO_ALLOWANCE_BPS = 100_000  # of a microphone, in what its sender may send
NO_LIMIT_BPS = 100_000_000  # says that there is none any more
_LEVELS = "levels"  # the timer of all microphones


class Adaptation:
    """Of one node. `contained(transport, now)` is the boundary where a fault costs one transport."""

    def __init__(
        self,
        planes: Sequence[Plane],
        shared: Shared,
        shelf: Shelf,
        contained: Callable[[Transport, int], AbstractContextManager[None]],
    ) -> None:
        self.viewers: dict[str, Viewer] = {}  # by transport id
        self.rooms: dict[str, Room] = {}  # by router id
        self.shelf = shelf
        self._planes, self._shared, self._contained = planes, shared, contained
        self._timers: Timers[str] = Timers()
        self._producers: dict[tuple[int, Handle], Producer] = {}
        self._consumers: dict[tuple[int, Handle], Consumer] = {}
        self._transports: dict[tuple[int, Handle], Viewer] = {}
        self._microphones: dict[str, Producer] = {}  # by producer id
        self._silenced: set[str] = set()  # consumers of microphones that nobody needs to hear now
        self._levels_at = 0  # when somebody last sent any
        self._limits: dict[str, int] = {}  # by transport id: what its remote may send

    # ---- the domain: Observer, and what commands tell ----

    def producer_added(self, producer: Producer, now: int) -> None:
        """A new source."""
        self._producers[producer.transport.lane, producer.handle] = producer
        if not self.shelf.settings.on:
            return
        if producer.kind == "audio":
            self._microphones[producer.id] = producer
            self._timers.sooner(_LEVELS, now + SPEAKERS_NS)
        else:
            self._look_at_producer(producer, now)

    def producer_removed(self, producer: Producer) -> None:
        """A source is gone, and its consumers before it."""
        self._producers.pop((producer.transport.lane, producer.handle), None)
        self._timers.cancel(_producer_key(producer))
        if self._microphones.pop(producer.id, None) is not None:
            room = self.rooms.get(producer.transport.router.id)
            if room is not None:
                room.forget(producer.id)
                if not any(m.transport.router is room.router for m in self._microphones.values()):
                    del self.rooms[room.router.id]
            if not self._microphones:
                self._timers.cancel(_LEVELS)
        if not producer.transport.producers:
            self._limits.pop(producer.transport.id, None)

    def consumer_added(self, consumer: Consumer, now: int) -> None:
        """A new viewer of a source: it is served at once."""
        media = consumer.transport
        self._consumers[media.lane, consumer.handle] = consumer
        viewer = self.viewers.get(media.id)
        if viewer is None:
            viewer = Viewer(media, self._shared, self.shelf, lambda role: self.choice(media, role), self._speaks, now)
            self.viewers[media.id] = self._transports[media.lane, media.handle] = viewer
        viewer.control(now)
        if viewer.ticking:
            self._timers.sooner(f"tick {media.id}", now + TICK_NS)
        if consumer.producer.kind == "audio":
            self._let_hear(consumer)
        elif consumer.layered and viewer.controlled:
            # Until the first allocation, which is due at once, the least: a resumed one must not flood the path.
            consumer.target = (0, MOST_TEMPORAL)
            media.plane.set_target(consumer.handle, *consumer.target, now)
        self.changed(consumer, now)

    def consumer_removed(self, consumer: Consumer) -> None:
        """A viewer is gone."""
        media = consumer.transport
        self._consumers.pop((media.lane, consumer.handle), None)
        self._silenced.discard(consumer.id)
        viewer = self.viewers.get(media.id)
        if viewer is None:
            return
        viewer.forget(consumer)
        if not media.consumers:
            del self.viewers[media.id]
            self._transports.pop((media.lane, media.handle), None)
            self._timers.cancel(f"viewer {media.id}")
            self._timers.cancel(f"tick {media.id}")
        else:
            self._timers.sooner(f"viewer {media.id}", viewer.soonest(0))
        if consumer.producer.consumers or consumer.producer.id in self._shared.producers:
            self._look_at_producer(consumer.producer, 0)

    def changed(self, consumer: Consumer, now: int) -> None:
        """A consumer was made, paused or resumed, or its viewer wants something else of it: that does not wait."""
        viewer = self.viewers.get(consumer.transport.id)
        if viewer is not None:
            viewer.touch()
            self._timers.sooner(f"viewer {viewer.media.id}", now)
        self._look_at_producer(consumer.producer, now)

    def producer_changed(self, producer: Producer, now: int) -> None:
        """A source was paused or resumed."""
        for consumer in producer.consumers.values():
            self.changed(consumer, now)
        self._look_at_producer(producer, now)

    def keyframe_requested(self, consumer: Consumer, now: int) -> None:
        """By its viewer's front."""
        consumer.transport.decisions.note(now, "keyframe", consumer.id, reason="the viewer asked")

    # ---- the planes ----

    def plane_event(self, lane: int, event: PlaneEvent) -> None:
        """What a plane said. One that arrives after its entity was closed means nothing any more."""
        if isinstance(event, (EstimateChanged, FeedbackReceived)):
            viewer = self._transports.get((lane, event.transport))
            if viewer is None:
                return
            with self._contained(viewer.media, event.at):
                if isinstance(event, EstimateChanged):
                    due = viewer.estimated(event.figures, event.at)
                else:
                    due = viewer.feedback(event.packets, event.at)
                if due:
                    viewer.touch()
                    self._timers.sooner(f"viewer {viewer.media.id}", viewer.soonest(event.at))
        elif isinstance(event, LayersChanged):
            consumer = self._consumers.get((lane, event.consumer))
            if consumer is not None:
                self._flows(consumer, event)
        elif isinstance(event, KeyframeAsked):
            producer = self._producers.get((lane, event.producer))
            if producer is not None:
                producer.transport.decisions.note(
                    event.at,
                    "keyframe",
                    producer.id,
                    after=str(event.encoding),
                    reason="a viewer needs one",
                    inputs={"consumers": len(producer.consumers)},
                )

    def _flows(self, consumer: Consumer, event: LayersChanged) -> None:
        flowing = (event.spatial, event.temporal) if event.spatial >= 0 else None
        if flowing == consumer.flowing:
            return
        consumer.flowing = flowing
        spatial = event.spatial if flowing else None
        temporal = event.temporal if flowing and event.temporal >= 0 else None
        self._shared.events.append(ConsumerLayersChanged(consumer.id, spatial, temporal))
        self._timers.sooner(_producer_key(consumer.producer), event.at)

    # ---- time ----

    def next_timeout(self) -> int | None:
        """Monotonic ns, or None."""
        return self._timers.next()

    def handle_timeout(self, now: int) -> None:
        """Whatever is due by `now`."""
        for key in self._timers.take(now):
            kind, _, entity_id = key.partition(" ")
            if kind == _LEVELS:
                self._listen(now)
            elif kind == "producer":
                producer = self._shared.producers.get(entity_id)
                if producer is not None:
                    with self._contained(producer.transport, now):
                        self._cast(producer, now)
            else:
                viewer = self.viewers.get(entity_id)
                if viewer is not None:
                    with self._contained(viewer.media, now):
                        self._serve(viewer, now, tick=kind == "tick")

    def _serve(self, viewer: Viewer, now: int, *, tick: bool) -> None:
        key = f"viewer {viewer.media.id}"
        if tick:
            if viewer.tick(now):
                self._timers.sooner(key, viewer.soonest(now))
            if viewer.ticking:
                self._timers.sooner(f"tick {viewer.media.id}", now + TICK_NS)
            return
        if viewer.soonest(now) > now:
            self._timers.sooner(key, viewer.soonest(now))
            return
        for consumer in viewer.media.consumers.values():
            self._measure(consumer.producer, now)
        needed = viewer.needs
        viewer.allocate(now)
        for consumer in viewer.media.consumers.values():
            if viewer.needs.get(consumer.id) != needed.get(consumer.id):
                self._look_at_producer(consumer.producer, now)
        if viewer.running:
            wait = SATISFIED_NS if viewer.satisfied else HUNGRY_NS
            self._timers.sooner(key, _on_grid(now + wait))

    def _measure(self, producer: Producer, now: int) -> None:
        if producer.rates.stale(now):
            producer.rates.measure(producer.transport.plane.layer_rates(producer.handle), now)

    # ---- dynacast ----

    def _look_at_producer(self, producer: Producer, now: int) -> None:
        if producer.kind == "video" and self.shelf.settings.on:
            self._timers.sooner(_producer_key(producer), now)

    def _cast(self, producer: Producer, now: int) -> None:
        """Tell its sender which encodings are of use, when that has changed."""
        if producer.kind != "video" or not self.shelf.settings.on:
            return
        dynacast, before = producer.dynacast, producer.dynacast.wanted
        if dynacast.need(self._needed(producer), watched=bool(producer.consumers), now=now):
            producer.rates.want(dynacast.wanted, now)
            self._shared.events.append(ProducerEncodingsWanted(producer.id, dynacast.wanted))
            producer.transport.decisions.note(
                now,
                "dynacast",
                producer.id,
                before=_flags(before),
                after=_flags(dynacast.wanted),
                reason="watched" if producer.consumers else "nobody watches",
                inputs={"consumers": len(producer.consumers)},
            )
            self._limit(producer.transport, now)
        due = dynacast.next_timeout()
        if due is not None:
            self._timers.sooner(_producer_key(producer), max(due, now + MS))

    def _needed(self, producer: Producer) -> set[int]:
        """The encodings that its viewers have a use for: what flows to them until the switch, too."""
        if len(producer.rtp_parameters.encodings) == 1:
            return {0} if producer.consumers else set()
        found: set[int] = set()
        for consumer in producer.consumers.values():
            viewer = self.viewers.get(consumer.transport.id)
            if viewer is None or consumer.paused:
                continue
            found |= viewer.needs.get(consumer.id, frozenset())
            if consumer.flowing is not None and not consumer.held:
                found.add(consumer.flowing[0])
        return found

    def _limit(self, media: Transport, now: int) -> None:
        """What this remote may send us: little more than what is wanted of it."""
        simulcast = [producer for producer in media.producers.values() if producer.type == "simulcast"]
        others = [producer for producer in media.producers.values() if producer.type != "simulcast"]
        limit = None
        if all(producer.kind == "audio" for producer in others):
            wanted = [(p.dynacast.wanted, [e.max_bitrate for e in p.rtp_parameters.encodings]) for p in simulcast]
            limit = pure.receive_limit(wanted, AUDIO_ALLOWANCE_BPS * len(others))
        if limit is None and media.id in self._limits:
            limit = NO_LIMIT_BPS  # browsers keep to the last REMB for good: one must be told that it holds no more
        if limit is not None and limit != self._limits.get(media.id):
            media.plane.set_receive_limit(media.handle, limit, now)
            self._limits[media.id] = limit

    # ---- speakers ----

    def _listen(self, now: int) -> None:
        """The levels of all microphones, to the rooms that they are in."""
        levels: dict[str, dict[str, int]] = {}
        for lane, plane in enumerate(self._planes):
            for heard in plane.audio_levels():
                producer = self._producers.get((lane, heard.producer))
                if producer is not None and producer.id in self._microphones and not producer.paused:
                    levels.setdefault(producer.transport.router.id, {})[producer.id] = heard.level
        if levels:
            self._levels_at = now
        for producer in self._microphones.values():
            router = producer.transport.router
            if router.id not in self.rooms and router.id in levels:
                self.rooms[router.id] = Room(router, self.shelf, self.router_choice(router, Role.SPEAKERS), now)
        for room in list(self.rooms.values()):
            self._listen_in(room, levels.get(room.router.id, {}), now)
        if self._microphones:
            quiet = now - self._levels_at > QUIET_AFTER_NS
            self._timers.at(_LEVELS, now + (QUIET_SPEAKERS_NS if quiet else SPEAKERS_NS))

    def _listen_in(self, room: Room, levels: dict[str, int], now: int) -> None:
        if room.listen(levels, now):
            for endpoint in room.router.transports.values():
                viewer = self.viewers.get(endpoint.media.id)
                if viewer is not None:
                    viewer.touch()
                    self._timers.sooner(f"viewer {endpoint.media.id}", viewer.soonest(now))
        told = room.tell(now)
        if told is not None:
            self._shared.events.append(told)
        if self.shelf.settings.audio_forwarding:
            for producer in self._microphones.values():
                if producer.transport.router is room.router:
                    for consumer in producer.consumers.values():
                        self._let_hear(consumer)

    def _let_hear(self, consumer: Consumer) -> None:
        """Forward this microphone to this viewer, or not, as the last speakers are many or few."""
        most = self.shelf.settings.audio_forwarding
        room = self.rooms.get(consumer.producer.transport.router.id)
        if not most or room is None:
            return
        microphones = [m.id for m in self._microphones.values() if m.transport.router is room.router and not m.paused]
        on = consumer.producer.id in room.heard(microphones, most)
        if on == (consumer.id in self._silenced):
            consumer.transport.plane.set_forwarding(consumer.handle, on=on)
            (self._silenced.discard if on else self._silenced.add)(consumer.id)

    def _speaks(self, producer: Producer) -> bool:
        """Whether a video is of the dominant speaker: on the same transport, or with the same CNAME."""
        room = self.rooms.get(producer.transport.router.id)
        dominant = self._microphones.get(room.speakers.dominant or "") if room is not None else None
        if dominant is None:
            return False
        return dominant.transport is producer.transport or _cname(dominant) == _cname(producer)

    # ---- policies ----

    def choice(self, media: Transport, role: Role) -> Choice:
        """The transport's own, its router's, or the node's."""
        return media.policies.get(role) or self.router_choice(media.router, role)

    def router_choice(self, router: Router, role: Role) -> Choice:
        """The router's own, or the node's."""
        return router.policies.get(role) or self.shelf.defaults[role]

    def use_on_router(self, router: Router, role: Role, choice: Choice, now: int) -> None:
        """For all its transports, now and later, whatever was chosen for one of them."""
        router.policies[role] = choice
        if role is Role.SPEAKERS:
            room = self.rooms.get(router.id)
            if room is not None:
                room.use(choice, now)
            return
        for endpoint in router.transports.values():
            endpoint.media.policies.pop(role, None)
            self._use(endpoint.media, role, choice, now)

    def use_on_transport(self, media: Transport, role: Role, choice: Choice, now: int) -> None:
        """For this one."""
        media.policies[role] = choice
        self._use(media, role, choice, now)

    def _use(self, media: Transport, role: Role, choice: Choice, now: int) -> None:
        viewer = self.viewers.get(media.id)
        if viewer is None:
            return
        viewer.use(role, choice, now)
        self._timers.sooner(f"viewer {media.id}", viewer.soonest(now))
        if viewer.ticking:
            self._timers.sooner(f"tick {media.id}", now + TICK_NS)


def _producer_key(producer: Producer) -> str:
    return f"producer {producer.id}"


def _on_grid(when: int) -> int:
    return -(-when // GRID_NS) * GRID_NS


def _flags(wanted: Sequence[bool]) -> str:
    return "".join("1" if each else "0" for each in wanted)


def _cname(producer: Producer) -> str | None:
    return producer.consumable.rtcp.cname
