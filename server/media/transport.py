"""Transport: what the kinds of transports share, by composition: producers, consumers, MIDs, CNAME and closing."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from server.media.consumer import Consumer
from server.media.errors import InvalidArgument, LimitReached
from server.media.events import CloseReason, EntityClosed, EntityKind, MediaEvent
from server.media.limits import MediaLimits
from server.media.plane_params import consumer_params, producer_params, signalled_ssrcs, stream_count
from server.media.policies import Choice
from server.media.producer import Mirror, Producer
from server.media.router import Router
from server.policy.decisions import DecisionLog
from server.policy.registry import Role
from server.rtc import ortc
from server.rtc.ice_lite import Path
from server.rtc.parameters import MediaKind, RtpCapabilities, RtpParameters

if TYPE_CHECKING:
    from rtpfwd.params import Handle
    from rtpfwd.plane import Plane

# mediasoup-client gives these to m-sections that it adds by itself: bandwidth probes and data channels.
_RESERVED_MIDS = {"probator", "datachannel"}
LIKELY_EQUAL = 4  # newest consumers of a producer to share parameters with: browsers are of few kinds


class Observer(Protocol):
    """Who adapts what is sent to what there is. Told after the fact; None of it may raise."""

    def producer_added(self, producer: Producer, now: int) -> None: ...
    def producer_removed(self, producer: Producer) -> None: ...
    def consumer_added(self, consumer: Consumer, now: int) -> None: ...
    def consumer_removed(self, consumer: Consumer) -> None: ...


@dataclass(slots=True)
class Shared:
    """What the entities of one core share."""

    limits: MediaLimits
    rng: Random
    streams: list[int]  # by lane: SSRC states in use, held against limits.max_streams
    handshakes: Counter[str] = field(default_factory=Counter)  # DTLS ones that ended: "connected" or why they failed
    events: deque[MediaEvent] = field(default_factory=deque)  # not polled yet
    producers: dict[str, Producer] = field(default_factory=dict)  # by id, of all routers
    consumers: dict[str, Consumer] = field(default_factory=dict)
    routes: dict[tuple[int, Path], str] = field(default_factory=dict)  # (lane, validated path) to the transport's id
    displaced: deque[tuple[str, Path]] = field(default_factory=deque)  # transports whose path another one has proved
    observers: list[Observer] = field(default_factory=list)


class Transport:
    """The media of one remote endpoint: its half of a WebRtcTransport or PlainTransport."""

    def __init__(
        self, transport_id: str, router: Router, shared: Shared, lane: int, plane: Plane, *, srtp: bool
    ) -> None:
        self.id = transport_id
        self.router = router
        self.lane = lane
        self.plane = plane
        try:
            self.handle = plane.add_transport(srtp=srtp)
        except RuntimeError as full:
            raise LimitReached(f"lane {lane}: {full}; use another node") from full
        self.producers: dict[str, Producer] = {}
        self.consumers: dict[str, Consumer] = {}
        self.policies: dict[Role, Choice] = {}  # where it has others than its router's
        self.decisions = DecisionLog()
        # The first producer's CNAME stays for all of them: sources of one participant share it (RFC 3550, 6.5.1).
        self.cname: str | None = None
        self._shared = shared
        self._next_mid = 0
        self._streams: dict[str, int] = {}  # by producer or consumer id
        self._ssrcs_received: frozenset[int] = frozenset()  # ever signalled: see MediaLimits.max_ssrcs_per_transport

    def produce(
        self,
        producer_id: str,
        kind: MediaKind,
        rtp: RtpParameters,
        now: int,
        *,
        paused: bool,
        screen: bool = False,
    ) -> Producer:
        """A new source of this remote. Raises LocalError; then nothing has changed."""
        limit = self._shared.limits.max_producers_per_transport
        if len(self.producers) >= limit:
            raise LimitReached(f"transport {self.id} has {limit} producers, the most that one may have")
        rtp, mapping = ortc.producer_rtp_parameters_mapping(rtp, self.router.rtp_capabilities, self._shared.rng)
        cname = self.cname or rtp.rtcp.cname or ortc.new_cname(self._shared.rng)
        rtp = replace(rtp, rtcp=replace(rtp.rtcp, cname=cname))
        consumable = ortc.consumable_rtp_parameters(kind, rtp, self.router.rtp_capabilities, mapping)
        params = producer_params(kind, rtp, cname=cname, paused=paused)
        ssrcs = self._ssrcs_received | signalled_ssrcs(params)
        if len(ssrcs) > self._shared.limits.max_ssrcs_per_transport:
            raise LimitReached(
                f"transport {self.id} has carried {len(self._ssrcs_received)} SSRCs, about the most that one may; "
                "make a new transport"
            )
        streams = self._reserve(stream_count(params))
        try:
            handle = self.plane.add_producer(self.handle, params)
        except ValueError as refused:
            raise InvalidArgument(f"producer on transport {self.id}: {refused}") from refused
        except RuntimeError as full:
            raise LimitReached(f"lane {self.lane}: {full}; use another node") from full
        self.cname = cname
        self._ssrcs_received = ssrcs
        producer = Producer(
            producer_id,
            self,
            kind,
            ortc.producer_type(rtp),
            rtp,
            mapping,
            consumable,
            handle,
            now,
            paused=paused,
            screen=screen,
        )
        self.producers[producer_id] = self.router.producers[producer_id] = producer
        self._shared.producers[producer_id] = producer
        self._keep(producer_id, streams)
        for observer in self._shared.observers:
            observer.producer_added(producer, now)
        return producer

    def consume(
        self,
        consumer_id: str,
        producer: Producer,
        capabilities: RtpCapabilities,
        now: int,
        *,
        paused: bool,
        adopt_viewer_numbers: bool,
        mid: str,
    ) -> Consumer:
        """Send a producer of this router to this remote. Raises LocalError; then nothing has changed."""
        limit = self._shared.limits.max_consumers_per_transport
        if len(self.consumers) >= limit:
            raise LimitReached(f"transport {self.id} has {limit} consumers, the most that one may have")
        mid, next_mid = self._choose_mid(mid)
        rtp = ortc.consumer_rtp_parameters(
            producer.consumable,
            capabilities,
            self._shared.rng,
            enable_rtx=producer.kind == "video",
            mid=mid,
            adopt_viewer_numbers=adopt_viewer_numbers,
            taken=self._sent_ssrcs(),
        )
        rtp = _with_parts_of(rtp, islice(reversed(producer.consumers.values()), LIKELY_EQUAL))
        params = consumer_params(producer.mapping, producer.consumable, rtp, paused=paused)
        streams = self._reserve(stream_count(params))
        try:
            handle = self.plane.add_consumer(self.handle, self._source(producer, now), params, now)
        except ValueError as refused:
            self._drop_unused_mirror(producer)
            raise InvalidArgument(f"consumer on transport {self.id}: {refused}") from refused
        except RuntimeError as full:
            self._drop_unused_mirror(producer)
            raise LimitReached(f"lane {self.lane}: {full}; use another node") from full
        self._next_mid = next_mid
        consumer = Consumer(consumer_id, self, producer, rtp, handle, paused=paused)
        self.consumers[consumer_id] = producer.consumers[consumer_id] = consumer
        self._shared.consumers[consumer_id] = consumer
        self._keep(consumer_id, streams)
        for observer in self._shared.observers:
            observer.consumer_added(consumer, now)
        return consumer

    def close_producer(self, producer: Producer, reason: CloseReason) -> None:
        """With the consumers of it, wherever they are."""
        for consumer in list(producer.consumers.values()):
            consumer.transport.close_consumer(consumer, CloseReason.PRODUCER_CLOSED)
        self.plane.remove_producer(producer.handle)
        del self.producers[producer.id], self.router.producers[producer.id], self._shared.producers[producer.id]
        self._release(producer.id)
        self._shared.events.append(EntityClosed(EntityKind.PRODUCER, producer.id, reason))
        for observer in self._shared.observers:
            observer.producer_removed(producer)

    def close_consumer(self, consumer: Consumer, reason: CloseReason) -> None:
        """Stop sending it for good."""
        self.plane.remove_consumer(consumer.handle)
        del self.consumers[consumer.id], consumer.producer.consumers[consumer.id], self._shared.consumers[consumer.id]
        self._drop_unused_mirror(consumer.producer)
        self._release(consumer.id)
        self._shared.events.append(EntityClosed(EntityKind.CONSUMER, consumer.id, reason))
        for observer in self._shared.observers:
            observer.consumer_removed(consumer)

    def close(self) -> None:
        """With everything on it. The kind of transport around this says so to the world."""
        for consumer in list(self.consumers.values()):
            self.close_consumer(consumer, CloseReason.PARENT_CLOSED)
        for producer in list(self.producers.values()):
            self.close_producer(producer, CloseReason.PARENT_CLOSED)
        self.plane.remove_transport(self.handle)

    def forget(self) -> None:
        """Leave the registries without touching the plane: the last resort when closing itself is broken."""
        for consumer_id, consumer in self.consumers.items():
            self._shared.consumers.pop(consumer_id, None)
            for observer in self._shared.observers:
                observer.consumer_removed(consumer)
        for producer_id, producer in self.producers.items():
            self._shared.producers.pop(producer_id, None)
            self.router.producers.pop(producer_id, None)
            for consumer_id, consumer in producer.consumers.items():
                self._shared.consumers.pop(consumer_id, None)
                consumer.transport.consumers.pop(consumer_id, None)
            for observer in self._shared.observers:
                observer.producer_removed(producer)

    def dump(self) -> dict[str, object]:
        """For people and tools."""
        return {
            "id": self.id,
            "routerId": self.router.id,
            "lane": self.lane,
            "producerIds": list(self.producers),
            "consumerIds": list(self.consumers),
        }

    def _source(self, producer: Producer, now: int) -> Handle:
        """The producer on this transport's lane: itself, or its mirror, made when the first viewer comes."""
        if producer.transport.lane == self.lane:
            return producer.handle
        if self.lane not in producer.mirrors:
            streams = self._reserve(len(producer.rtp_parameters.encodings))
            mirror = self.plane.mirror_producer(producer.transport.plane, producer.handle, now)
            if producer.paused:
                self.plane.pause_producer(mirror)
            producer.mirrors[self.lane] = Mirror(self.plane, mirror, streams)
            self._shared.streams[self.lane] += streams
        return producer.mirrors[self.lane].handle

    def _drop_unused_mirror(self, producer: Producer) -> None:
        """After the last viewer on this lane has gone."""
        if self.lane not in producer.mirrors:
            return
        if not any(consumer.transport.lane == self.lane for consumer in producer.consumers.values()):
            mirror = producer.mirrors.pop(self.lane)
            self.plane.remove_producer(mirror.handle)
            self._shared.streams[self.lane] -= mirror.streams

    def _choose_mid(self, wanted: str) -> tuple[str, int]:
        """The MID of a new consumer and the counter after it. MIDs are never reused: a client keeps old ones."""
        taken = {consumer.rtp_parameters.mid for consumer in self.consumers.values()}
        if wanted:
            if wanted in _RESERVED_MIDS or not (wanted.isascii() and wanted.isprintable()) or " " in wanted:
                raise InvalidArgument(f"mid: {wanted!r} is no MID, or one that mediasoup's clients use themselves")
            if wanted in taken:
                raise InvalidArgument(
                    f"mid: {wanted!r} is in use on transport {self.id}; leave it empty to have one chosen"
                )
            return wanted, self._next_mid
        number = self._next_mid
        while str(number) in taken:
            number += 1
        return str(number), number + 1

    def _sent_ssrcs(self) -> set[int]:
        encodings = [encoding for consumer in self.consumers.values() for encoding in consumer.rtp_parameters.encodings]
        media = {encoding.ssrc for encoding in encodings if encoding.ssrc is not None}
        return media | {encoding.rtx.ssrc for encoding in encodings if encoding.rtx is not None}

    def _reserve(self, streams: int) -> int:
        limit = self._shared.limits.max_streams
        if self._shared.streams[self.lane] + streams > limit:
            raise LimitReached(f"lane {self.lane} forwards {limit} streams, its limit; use another node")
        return streams

    def _keep(self, owner_id: str, streams: int) -> None:
        self._streams[owner_id] = streams
        self._shared.streams[self.lane] += streams

    def _release(self, owner_id: str) -> None:
        self._shared.streams[self.lane] -= self._streams.pop(owner_id)


def _with_parts_of(rtp: RtpParameters, others: Iterable[Consumer]) -> RtpParameters:
    """The same, with codecs and extensions that another consumer holds already where they are equal: 2 KB a viewer."""
    for other in others:
        held = other.rtp_parameters
        if held.codecs == rtp.codecs and held.header_extensions == rtp.header_extensions:
            return replace(rtp, codecs=held.codecs, header_extensions=held.header_extensions)
    return rtp
