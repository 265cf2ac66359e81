"""Commands: what a front may ask of the domain. Each either does all of it or raises LocalError and changes nothing.

`now` is monotonic nanoseconds. Ids are the caller's choice; an empty one asks for a random one.
"""

from __future__ import annotations

from collections.abc import Sequence

from server.errors import LocalError
from server.media.consumer import Consumer
from server.media.core import Endpoint, MediaCore, find
from server.media.errors import InvalidArgument, LimitReached, Stopping, WrongState
from server.media.events import CloseReason, EntityClosed, EntityKind, ProducerPauseChanged
from server.media.placement import place
from server.media.plain_transport import PlainTransport, SrtpParameters, suite
from server.media.policies import Choice
from server.media.producer import Producer
from server.media.router import Router
from server.media.transport import Transport
from server.media.viewer import Viewer
from server.media.webrtc_transport import WebRtcTransport
from server.policy.decisions import Decision
from server.policy.registry import Role
from server.rtc.address import Address
from server.rtc.capabilities import router_capabilities
from server.rtc.certificate import Fingerprint
from server.rtc.dtls import DtlsRole
from server.rtc.parameters import (
    DtlsParameters,
    IceParameters,
    MediaKind,
    RtpCapabilities,
    RtpCodecCapability,
    RtpParameters,
)


class Commands:
    """All of them, over one core. Whoever calls one drains the core afterwards."""

    def __init__(self, core: MediaCore) -> None:
        self._core = core

    # ---- routers ----

    def create_router(self, router_id: str, codecs: Sequence[RtpCodecCapability]) -> Router:
        """At home on the least loaded lane, with these codecs, or all that the node can forward."""
        core = self._core
        self._refuse_when_stopping()
        if len(core.routers) >= core.limits.max_routers:
            raise LimitReached(f"this node has {core.limits.max_routers} routers, its limit; use another node")
        router_id = core.new_id(core.routers, "router", router_id)
        capabilities = router_capabilities(codecs)
        router = core.routers[router_id] = Router(router_id, core.new_home(), capabilities)
        return router

    def router(self, router_id: str) -> Router:
        """Raises NotFound."""
        return find(self._core.routers, "router", router_id)

    # ---- transports ----

    def create_webrtc_transport(self, router_id: str, transport_id: str, now: int) -> WebRtcTransport:
        """Ready for the remote's checks; what it sends is forwarded after `connect_webrtc_transport`."""
        core = self._core
        router, transport_id, lane = self._place_transport(router_id, transport_id)
        media = Transport(transport_id, router, core.shared, lane, core.planes[lane], srtp=True)
        transport = WebRtcTransport(
            media, core.shared, core.certificate, core.candidates[lane], core.consent_timeout_ns
        )
        core.adopt(transport, now)
        return transport

    def connect_webrtc_transport(self, transport_id: str, dtls: DtlsParameters, now: int) -> DtlsRole:
        """Learn the remote's certificate and role; answers ours."""
        transport = self.transport(transport_id)
        if not isinstance(transport, WebRtcTransport):
            raise WrongState(f"transport {transport_id} is no WebRtcTransport; use ConnectPlainTransport")
        fingerprints = _fingerprints(dtls)
        with self._core.command(transport, now):
            return transport.connect(dtls.role, fingerprints, now)

    def restart_ice(self, transport_id: str, now: int) -> IceParameters:
        """New credentials for a remote whose network changed."""
        transport = self.transport(transport_id)
        if not isinstance(transport, WebRtcTransport):
            raise WrongState(f"transport {transport_id} is no WebRtcTransport: it has no ICE to restart")
        with self._core.command(transport, now):
            return transport.restart_ice(now)

    def check_plain_transport(self, router_id: str, transport_id: str, crypto_suite: str) -> int:
        """Everything that can refuse one, before the shell opens its socket. Answers the lane that it will be on."""
        if crypto_suite:
            suite(crypto_suite)
        return self._place_transport(router_id, transport_id)[2]

    def create_plain_transport(
        self,
        router_id: str,
        transport_id: str,
        lane: int,
        socket: int,
        local: Address,
        now: int,
        *,
        comedia: bool,
        crypto_suite: str,
    ) -> PlainTransport:
        """On a socket of its own, which the shell has opened on this lane: `SocketReleased` gives it back."""
        core = self._core
        router, transport_id, _ = self._place_transport(router_id, transport_id)
        if crypto_suite:
            suite(crypto_suite)
        media = Transport(transport_id, router, core.shared, lane, core.planes[lane], srtp=bool(crypto_suite))
        transport = PlainTransport(
            media, core.shared, socket=socket, local=local, comedia=comedia, crypto_suite=crypto_suite
        )
        core.adopt(transport, now)
        return transport

    def connect_plain_transport(
        self, transport_id: str, host: str, port: int, srtp: SrtpParameters | None, now: int
    ) -> PlainTransport:
        """Learn the remote's address and key."""
        transport = self.transport(transport_id)
        if not isinstance(transport, PlainTransport):
            raise WrongState(f"transport {transport_id} is no PlainTransport; use ConnectWebRtcTransport")
        with self._core.command(transport, now):
            transport.connect(host, port, srtp)
        return transport

    def transport(self, transport_id: str) -> Endpoint:
        """Raises NotFound."""
        return find(self._core.transports, "transport", transport_id)

    # ---- producers and consumers ----

    def produce(
        self,
        transport_id: str,
        producer_id: str,
        kind: MediaKind,
        rtp: RtpParameters,
        now: int,
        *,
        paused: bool,
        screen: bool = False,
    ) -> Producer:
        """A new source. What arrived before this is gone; consumers begin with a keyframe anyway.

        A WebRtcTransport must be connected first: without its remote's fingerprint nothing could be trusted, and every
        client states it before it produces.
        """
        transport = self.transport(transport_id)
        if isinstance(transport, WebRtcTransport) and not transport.connected:
            raise WrongState(f"transport {transport_id} is not connected: send its DTLS parameters before producing")
        producer_id = self._core.new_id(self._core.shared.producers, "producer", producer_id)
        with self._core.command(transport, now):
            return transport.media.produce(producer_id, kind, rtp, now, paused=paused, screen=screen)

    def consume(
        self,
        transport_id: str,
        consumer_id: str,
        producer_id: str,
        capabilities: RtpCapabilities,
        now: int,
        *,
        paused: bool,
        adopt_viewer_numbers: bool = False,
        mid: str = "",
    ) -> Consumer:
        """Send a producer to a transport of its router; connected or not, as clients connect after their first one."""
        transport = self.transport(transport_id)
        producer = self.producer(producer_id)
        if producer.transport.router is not transport.media.router:
            raise InvalidArgument(
                f"producer_id: {producer_id[:80]!r} belongs to router {producer.transport.router.id}, "
                f"but transport {transport_id} to router {transport.media.router.id}"
            )
        consumer_id = self._core.new_id(self._core.shared.consumers, "consumer", consumer_id)
        with self._core.command(transport, now):
            return transport.media.consume(
                consumer_id,
                producer,
                capabilities,
                now,
                paused=paused,
                adopt_viewer_numbers=adopt_viewer_numbers,
                mid=mid,
            )

    def producer(self, producer_id: str) -> Producer:
        """Raises NotFound."""
        return find(self._core.shared.producers, "producer", producer_id)

    def consumer(self, consumer_id: str) -> Consumer:
        """Raises NotFound."""
        return find(self._core.shared.consumers, "consumer", consumer_id)

    def pause(self, kind: EntityKind, entity_id: str, now: int) -> None:
        """A producer (for all its consumers) or a consumer. Pausing twice is no error."""
        self._set_paused(kind, entity_id, now, paused=True)

    def resume(self, kind: EntityKind, entity_id: str, now: int) -> None:
        """Undo `pause`. Video begins with a keyframe."""
        self._set_paused(kind, entity_id, now, paused=False)

    def set_preferred_layers(self, consumer_id: str, spatial: int, temporal: int | None, now: int) -> None:
        """The best that the viewer wants."""
        consumer = self.consumer(consumer_id)
        consumer.set_preferred_layers(spatial, temporal)
        self._core.adaptation.changed(consumer, now)

    def set_priority(self, consumer_id: str, priority: int, now: int) -> None:
        """1 to 255."""
        consumer = self.consumer(consumer_id)
        consumer.set_priority(priority)
        self._core.adaptation.changed(consumer, now)

    def set_view(self, consumer_id: str, width: int, height: int, now: int, *, hidden: bool) -> None:
        """How the viewer shows it: pixels of the tile, 0 where that is not known."""
        consumer = self.consumer(consumer_id)
        consumer.set_tile(width, height, hidden=hidden)
        self._core.adaptation.changed(consumer, now)

    def request_key_frame(self, consumer_id: str, now: int) -> None:
        """Of what the consumer shows."""
        consumer = self.consumer(consumer_id)
        with self._core.command(self._endpoint_of(consumer.transport), now):
            consumer.request_key_frame(now)
            self._core.adaptation.keyframe_requested(consumer, now)

    # ---- policies ----

    def viewer(self, transport_id: str) -> Viewer | None:
        """What adaptation knows of a transport that has consumers."""
        return self._core.adaptation.viewers.get(transport_id)

    def set_policy(
        self, kind: EntityKind, entity_id: str, role: Role, choice: Choice | None, now: int
    ) -> tuple[str, str, list[str]]:
        """Swap a policy while media flows; None: leave it. Answers who decides now, the shadow, and all there are.

        Of a router: for its transports, now and later. Raises InvalidArgument, NotFound, UnknownPolicy, PolicyRefused.
        """
        adaptation = self._core.adaptation
        if kind is EntityKind.ROUTER:
            router = self.router(entity_id)
            if choice is not None:
                adaptation.shelf.check(role, choice)
                adaptation.use_on_router(router, role, choice, now)
            room = adaptation.rooms.get(router.id) if role is Role.SPEAKERS else None
            chosen = adaptation.router_choice(router, role)
            name = room.policy if room is not None else chosen.name
        elif kind is EntityKind.TRANSPORT:
            transport = self.transport(entity_id)
            if role is Role.SPEAKERS:
                raise InvalidArgument(
                    "kind: a speaker detector belongs to a router, not to a transport; name the router"
                )
            with self._core.command(transport, now):
                if choice is not None:
                    adaptation.shelf.check(role, choice)
                    adaptation.use_on_transport(transport.media, role, choice, now)
            viewer = adaptation.viewers.get(entity_id)
            chosen = adaptation.choice(transport.media, role)
            name = viewer.policy(role) if viewer is not None else chosen.name
        else:
            raise InvalidArgument(f"kind: a {kind.value.lower()} has no policies; name a ROUTER or a TRANSPORT")
        return name, chosen.shadow, adaptation.shelf.registry.names(role)

    def decisions(self, transport_id: str, since: int, most: int) -> tuple[list[Decision], int]:
        """Why this transport got what it got, with what was decided for its whole router: those made at `since`
        (monotonic ns) or later, oldest first, of them the newest `most` (0: all); and how many are forgotten."""
        media = self.transport(transport_id).media
        logs = media.decisions, media.router.decisions
        found = sorted((entry for log in logs for entry in log.entries(since)), key=lambda entry: entry.at)
        return found[-most:] if most > 0 else found, sum(log.forgotten for log in logs)

    # ---- closing ----

    def close(self, kind: EntityKind, entity_id: str, now: int, reason: CloseReason = CloseReason.REQUESTED) -> None:
        """With its children. Raises NotFound when it is closed already."""
        if kind is EntityKind.ROUTER:
            self._close_router(self.router(entity_id), reason, now)
        elif kind is EntityKind.TRANSPORT:
            self._core.discard(self.transport(entity_id), reason, now)
        elif kind is EntityKind.PRODUCER:
            producer = self.producer(entity_id)
            with self._core.command(self._endpoint_of(producer.transport), now):
                producer.transport.close_producer(producer, reason)
        else:
            consumer = self.consumer(entity_id)
            with self._core.command(self._endpoint_of(consumer.transport), now):
                consumer.transport.close_consumer(consumer, reason)

    def stop(self, now: int) -> None:
        """Close everything and take nothing new: the node is stopping. Remotes get their close_notify."""
        self._core.stopping = True
        for router in list(self._core.routers.values()):
            self._close_router(router, CloseReason.NODE_STOPPING, now)

    def _close_router(self, router: Router, reason: CloseReason, now: int) -> None:
        for transport in list(router.transports.values()):
            self._core.discard(transport, CloseReason.PARENT_CLOSED, now)
        del self._core.routers[router.id]
        self._core.shared.events.append(EntityClosed(EntityKind.ROUTER, router.id, reason))

    def _set_paused(self, kind: EntityKind, entity_id: str, now: int, *, paused: bool) -> None:
        if kind is EntityKind.PRODUCER:
            producer = self.producer(entity_id)
            with self._core.command(self._endpoint_of(producer.transport), now):
                changed = producer.pause() if paused else producer.resume(now)
            if changed:
                viewers = tuple(producer.consumers)
                self._core.shared.events.append(ProducerPauseChanged(producer.id, paused, viewers))
                self._core.adaptation.producer_changed(producer, now)
        elif kind is EntityKind.CONSUMER:
            consumer = self.consumer(entity_id)
            with self._core.command(self._endpoint_of(consumer.transport), now):
                if paused:
                    consumer.pause()
                else:
                    consumer.resume(now)
            self._core.adaptation.changed(consumer, now)
        else:
            raise InvalidArgument(f"kind: a {kind.value.lower()} can't be paused, only a producer or a consumer")

    def _place_transport(self, router_id: str, transport_id: str) -> tuple[Router, str, int]:
        """Its router, its id, and its lane."""
        core = self._core
        self._refuse_when_stopping()
        router = self.router(router_id)
        if len(core.transports) >= core.limits.max_transports:
            raise LimitReached(f"this node has {core.limits.max_transports} transports, its limit; use another node")
        return router, core.new_id(core.transports, "transport", transport_id), place(core.lane_loads(), router.home)

    def _endpoint_of(self, transport: Transport) -> Endpoint:
        return self._core.transports[transport.id]

    def _refuse_when_stopping(self) -> None:
        if self._core.stopping:
            raise Stopping("this node is stopping; use another node")


def _fingerprints(dtls: DtlsParameters) -> tuple[Fingerprint, ...]:
    """Those of an algorithm that proves anything."""
    known: list[Fingerprint] = []
    problem = "there is none"
    for stated in dtls.fingerprints:
        try:
            known.append(Fingerprint(stated.algorithm, stated.value))
        except LocalError as unusable:
            problem = str(unusable)
    if not known:
        raise InvalidArgument(f"dtls_parameters.fingerprints: {problem}; without one nobody can tell who answers")
    return tuple(known)
