"""Calls: what every carrier (WebSocket, WHIP, WHEP, REST) asks for, done on one media node.

A carrier calls `join`, gets a Peer, and passes it to the other methods. It hands in two callbacks: `notify(method,
data)` must not block and carries a notification of docs/signaling.md, `closed(reason)` says that the peer was ended by
somebody else ("replaced", "room-closed", "lost", "transport-closed"); after it the Peer is dead and needs no `leave`.

State lives in `signaling.rooms` and changes synchronously. Around an await of the node the rule is: enter the entity
under an id that we choose, ask the node, then look whether it is still there (its peer may have left, an event may have
closed it); what lost that race is closed on the node in the background. Whatever is removed here is removed at once for
everybody and closed on the node afterwards, so leaving never waits and cannot be cancelled halfway.

Longer than 400 lines because it is the one list of what a front can do; the rules are in rooms.py and the reaction to
the node's events in reactions.py.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
import trio

from ops.metrics import SignalingMetrics
from protos import media_pb2 as pb
from protos.control import ErrorCode, MediaNode, NodeError
from signaling import rooms, rtp_json
from signaling.config import IceServer, Limits
from signaling.errors import CallError, CallErrorCode, call_error_of
from signaling.history import CallEnded, CallStarted, Happening, PeerJoined, PeerLeft
from signaling.rooms import (
    ChatMessage,
    Closed,
    Consumer,
    Direction,
    Kind,
    Notify,
    Peer,
    PeerKind,
    Producer,
    Role,
    Room,
    Transport,
)

log = structlog.get_logger(__name__)
T = TypeVar("T")


def notify_nobody(_method: str, _data: dict[str, Any]) -> None:
    """Drop a notification: for carriers that have no way to send one (WHIP, WHEP)."""


def unix_ms() -> int:
    """The wall clock, Unix milliseconds: what users see, never what decides a timeout."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """An id nobody guesses: 96 bits."""
    return secrets.token_hex(12)


class Calls:
    """Every room of this front, over one media node. Runs inside `signaling.reactions.serve_calls`."""

    def __init__(
        self,
        node: MediaNode,
        *,
        limits: Limits,
        metrics: SignalingMetrics,
        ice_servers: tuple[IceServer, ...] = (),
        record: Callable[[Happening], None] = lambda _: None,
        wall_clock: Callable[[], int] = unix_ms,
    ) -> None:
        """`record` takes what history keeps and must not block. `wall_clock`: Unix milliseconds."""
        self.node = node
        self.limits = limits
        self.ice_servers = ice_servers
        self.metrics = metrics
        self.wall_clock = wall_clock
        self._record = record
        self._nursery: trio.Nursery | None = None
        self._opening = trio.Lock()
        self._capabilities: pb.RtpCapabilities | None = None  # of every router: all are made alike
        self._rooms: dict[str, Room] = {}
        self._routers: dict[str, Room] = {}
        self._sessions: dict[str, Peer] = {}  # by resume secret
        self._transports: dict[str, tuple[Peer, Transport]] = {}
        self._producers: dict[str, Producer] = {}
        self._consumers: dict[str, Consumer] = {}

    # ---- rooms ----

    def room(self, name: str) -> Room | None:
        """The live room of that name."""
        return self._rooms.get(name)

    def live_rooms(self) -> list[Room]:
        """Every live room."""
        return list(self._rooms.values())

    async def open_room(self, name: str) -> Room:
        """The live room of that name, with a router on the node; made if there is none.

        A room without peers closes after `limits.room_grace_seconds`. Raises CallError `limit`, `unavailable`.
        """
        found = self._rooms.get(name)
        if found is not None:
            return found
        async with self._opening:
            found = self._rooms.get(name)
            if found is not None:
                return found
            if len(self._rooms) >= self.limits.rooms:
                raise CallError(CallErrorCode.LIMIT, "The server has as many open rooms as it takes; try later.")
            router_id = new_id()
            try:
                info = await self.ask(self.node.create_router, pb.CreateRouterRequest(id=router_id))
            except BaseException:
                self._close_on_node(pb.EntityKind.ROUTER, router_id)
                raise
            room = Room(
                name=name,
                router_id=router_id,
                rtp_capabilities=info.rtp_capabilities,
                created_at=self.wall_clock(),
                chat=deque(maxlen=self.limits.chat_messages),
            )
            self._rooms[name] = self._routers[router_id] = room
            self._capabilities = info.rtp_capabilities
            self.metrics.rooms.inc()
            self._vacate(room)
            return room

    async def router_capabilities(self, name: str) -> pb.RtpCapabilities:
        """What the router of that room can forward, or will. Asking makes no room: anybody may, with no token."""
        room = self._rooms.get(name)
        if room is not None:
            return room.rtp_capabilities
        if self._capabilities is None:
            self._capabilities = (await self.open_room(name)).rtp_capabilities
        return self._capabilities

    def close_room(self, room: Room, reason: str) -> None:
        """End the call: `roomClosed` to everybody, then their carriers are told `closed("room-closed")`."""
        if room.closed:
            return
        for peer in list(room.peers.values()):
            peer.notify("roomClosed", {"reason": reason})
            self._end(peer, "room-closed", tell_others=False)
            peer.closed("room-closed")
        self._forget_room(room)

    async def close_all(self, reason: str) -> None:
        """End every call, and wait until the node has closed the routers (or the caller's deadline)."""
        routers = [room.router_id for room in self._rooms.values()]
        for room in self.live_rooms():
            self.close_room(room, reason)
        async with trio.open_nursery() as nursery:
            for router_id in routers:
                nursery.start_soon(self._close_quietly, pb.EntityKind.ROUTER, router_id)

    # ---- peers ----

    async def join(
        self,
        room_name: str,
        display_name: str,
        *,
        notify: Notify = notify_nobody,
        closed: Closed,
        kind: PeerKind = "browser",
        role: Role = "speaker",
        device: dict[str, Any] | None = None,
        rtp_capabilities: pb.RtpCapabilities | None = None,
        resume: str = "",
        auto_consume: bool = True,
    ) -> Peer:
        """Bring a peer into a room, which is opened if need be; the others get `newPeer`.

        `resume`: the secret of an earlier session, which is ended first ("replaced") and whose peer id is reused; an
        unknown one is ignored, for the earlier session may be gone. WHIP and WHEP join with `kind="whip"` or `"whep"`
        and `auto_consume=False`. A "whep" peer is not shown to the others. Raises CallError `limit`, `unavailable`.
        """
        room = await self.open_room(room_name)
        earlier = self._sessions.get(resume) if resume else None
        if earlier is not None and earlier.room is not room:
            earlier = None
        if earlier is None:
            rooms.check_room_for_peer(room, self.limits)
        else:
            self._end(earlier, "replaced")
            earlier.closed("replaced")
        now = self.wall_clock()
        peer = Peer(
            id=new_id() if earlier is None else earlier.id,
            room=room,
            kind=kind,
            display_name=display_name,
            role=role,
            joined_at=now,
            resume=secrets.token_urlsafe(24),
            notify=notify,
            closed=closed,
            auto_consume=auto_consume,
            device=device,
            rtp_capabilities=rtp_capabilities,
            participation_id=new_id(),
        )
        room.peers[peer.id] = self._sessions[peer.resume] = peer
        room.vacancy += 1
        if not room.call_id:
            room.call_id = new_id()
            self._record(CallStarted(room.call_id, room.name, now))
        self._record(PeerJoined(peer.participation_id, room.call_id, peer.id, display_name, kind, now))
        self.metrics.peers.inc()
        if peer.visible:
            room.tell_others(peer, "newPeer", peer.view())
        return peer

    def leave(self, peer: Peer, reason: str = "left") -> None:
        """The peer goes: the others get `peerLeft`, its transports close. Nothing happens if it is gone already."""
        self._end(peer, reason)

    def carrier_lost(self, peer: Peer) -> None:
        """Its socket is gone: it leaves after `limits.resume_seconds` unless somebody resumes it first."""
        if peer.left:
            return
        peer.notify = notify_nobody
        peer.closed = lambda _reason: None
        self._spawn(self._leave_unless_resumed, peer)

    def set_rtp_capabilities(self, peer: Peer, capabilities: pb.RtpCapabilities) -> None:
        """What the peer can receive. From then on it is given consumers, if it wants them."""
        peer.rtp_capabilities = capabilities
        self._offer_all(peer)

    # ---- transports ----

    async def create_transport(self, peer: Peer, direction: Direction) -> pb.WebRtcTransportInfo:
        """Make the peer's send or recv transport. Raises CallError `bad_state` (there is one), `limit`."""
        rooms.check_transport(peer, direction, self.limits, self.wall_clock())
        transport = Transport(new_id(), direction)
        peer.transports[transport.id] = transport
        self._transports[transport.id] = (peer, transport)
        request = pb.CreateWebRtcTransportRequest(router_id=peer.room.router_id, id=transport.id)
        try:
            info = await self.ask(self.node.create_web_rtc_transport, request)
        except BaseException:
            self._drop_transport(peer, transport, "requested")
            self._close_on_node(pb.EntityKind.TRANSPORT, transport.id)
            raise
        if transport.id not in self._transports:
            self._close_on_node(pb.EntityKind.TRANSPORT, transport.id)
            raise CallError(CallErrorCode.BAD_STATE, "The transport was closed while it was made.")
        transport.created = True
        if direction == "recv":
            self._offer_all(peer)
        return info

    async def connect_transport(self, peer: Peer, transport_id: str, dtls: pb.DtlsParameters) -> str:
        """Give the node the remote DTLS parameters; returns our role. Raises CallError `bad_state` the second time."""
        transport = peer.transport(transport_id)
        if transport.connected:
            raise CallError(CallErrorCode.BAD_STATE, "transportId: this transport is connected already.")
        transport.connected = True  # the node takes these parameters once; a refusal below undoes it
        request = pb.ConnectWebRtcTransportRequest(transport_id=transport_id, dtls_parameters=dtls)
        try:
            reply = await self.ask(self.node.connect_web_rtc_transport, request)
        except BaseException:
            transport.connected = False
            raise
        return reply.dtls_local_role

    async def restart_ice(self, peer: Peer, transport_id: str) -> pb.IceParameters:
        """New ICE credentials; the old ones stay valid until the client uses the new ones."""
        peer.transport(transport_id)
        return await self.ask(self.node.restart_ice, pb.RestartIceRequest(transport_id=transport_id))

    async def close_transport(self, peer: Peer, transport_id: str) -> None:
        """Close a transport with all its producers and consumers."""
        transport = peer.transport(transport_id)
        self._drop_transport(peer, transport, "requested")
        self._close_on_node(pb.EntityKind.TRANSPORT, transport.id)

    # ---- producers ----

    async def produce(
        self,
        peer: Peer,
        transport_id: str,
        kind: Kind,
        rtp_parameters: pb.RtpParameters,
        *,
        paused: bool = False,
        app_data: dict[str, Any] | None = None,
    ) -> Producer:
        """Send a source: the others get `newProducer` and, if they want them, consumers.

        Raises CallError `bad_state` (not connected), `forbidden`, `limit`, `unsupported` (codec), `bad_request`.
        """
        transport = peer.transport(transport_id)
        rooms.check_produce(peer, transport, self.limits)
        producer = Producer(new_id(), peer, transport, kind, paused, {} if app_data is None else app_data)
        peer.producers[producer.id] = self._producers[producer.id] = producer
        request = pb.ProduceRequest(
            transport_id=transport.id,
            id=producer.id,
            kind=pb.MediaKind.AUDIO if kind == "audio" else pb.MediaKind.VIDEO,
            rtp_parameters=rtp_parameters,
            paused=paused,
            screen=producer.app_data.get("source") == "screen",
        )
        try:
            await self.ask(self.node.produce, request)
        except BaseException:
            self._drop_producer(producer)
            self._close_on_node(pb.EntityKind.PRODUCER, producer.id)
            raise
        if producer.id not in self._producers:
            self._close_on_node(pb.EntityKind.PRODUCER, producer.id)
            raise CallError(CallErrorCode.BAD_STATE, "The transport was closed while the producer was made.")
        producer.created = True
        self.metrics.producers.labels(kind).inc()
        announcement = {"peerId": peer.id, "producerId": producer.id, **producer.view()}
        del announcement["id"]
        for other in peer.room.others(peer):
            other.notify("newProducer", announcement)
            self._offer(other, producer)
        return producer

    async def close_producer(self, peer: Peer, producer_id: str) -> None:
        """Stop sending a source: `producerClosed` to the others, `consumerClosed` to its viewers."""
        producer = peer.producer(producer_id)
        self._drop_producer(producer)
        self._close_on_node(pb.EntityKind.PRODUCER, producer.id)

    async def pause_producer(self, peer: Peer, producer_id: str) -> None:
        """Keep the source but send nothing."""
        producer = peer.producer(producer_id)
        await self.ask(self.node.pause, pb.PauseRequest(kind=pb.EntityKind.PRODUCER, id=producer.id))
        self._paused_or_resumed(producer, paused=True)

    async def resume_producer(self, peer: Peer, producer_id: str) -> None:
        """Send again."""
        producer = peer.producer(producer_id)
        await self.ask(self.node.resume, pb.ResumeRequest(kind=pb.EntityKind.PRODUCER, id=producer.id))
        self._paused_or_resumed(producer, paused=False)

    def _paused_or_resumed(self, producer: Producer, *, paused: bool) -> None:
        """The others hear of a change, and each viewer of its consumer."""
        if producer.paused == paused or producer.id not in self._producers:
            return
        producer.paused = paused
        change = "Paused" if paused else "Resumed"
        room = producer.peer.room
        room.tell_others(producer.peer, f"producer{change}", {"peerId": producer.peer.id, "producerId": producer.id})
        for consumer in room.consumers_of(producer):
            if consumer.created:
                consumer.viewer.notify(f"consumer{change}", {"consumerId": consumer.id})

    # ---- consumers ----

    async def consume(
        self,
        peer: Peer,
        producer_id: str,
        *,
        paused: bool = True,
        adopt_viewer_numbers: bool = False,
        mid: str = "",
    ) -> tuple[Consumer, pb.ConsumerInfo]:
        """Receive a producer of the room on the peer's recv transport, with the peer's `rtp_capabilities`.

        `adopt_viewer_numbers` and `mid` are for viewers that answer with their own offer's numbers (WHEP). Raises
        CallError `not_found` (closed by now), `bad_state`, `unsupported` (no codec in common), `limit`.
        """
        producer = self._producers.get(producer_id)
        if producer is None or not producer.created or producer.peer.room is not peer.room or producer.peer is peer:
            raise CallError(
                CallErrorCode.NOT_FOUND, f"producerId: the others in the room have no producer {producer_id!r}."
            )
        transport = rooms.check_consume(peer, self.limits)
        consumer = Consumer(new_id(), producer, peer, transport, paused)
        peer.consumers[consumer.id] = self._consumers[consumer.id] = consumer
        request = pb.ConsumeRequest(
            transport_id=transport.id,
            id=consumer.id,
            producer_id=producer.id,
            rtp_capabilities=peer.rtp_capabilities,
            paused=paused,
            adopt_viewer_numbers=adopt_viewer_numbers,
            mid=mid,
        )
        try:
            info = await self.ask(self.node.consume, request)
        except BaseException:
            self._forget_consumer(consumer)
            self._close_on_node(pb.EntityKind.CONSUMER, consumer.id)
            raise
        if consumer.id not in self._consumers:
            self._close_on_node(pb.EntityKind.CONSUMER, consumer.id)
            raise CallError(CallErrorCode.NOT_FOUND, "producerId: the producer was closed meanwhile.")
        consumer.created = True
        return consumer, info

    def describe_consumer(self, consumer: Consumer, info: pb.ConsumerInfo) -> dict[str, Any]:
        """The data of `newConsumer`, which is also the reply to `consume`."""
        return {
            "peerId": consumer.producer.peer.id,
            "producerId": consumer.producer.id,
            "id": consumer.id,
            "kind": consumer.producer.kind,
            "rtpParameters": rtp_json.rtp_parameters_to_json(info.rtp_parameters),
            "type": info.type,
            "producerPaused": consumer.producer.paused,
            "appData": consumer.producer.app_data,
        }

    async def close_consumer(self, peer: Peer, consumer_id: str) -> None:
        """Stop receiving. The one who asked gets no `consumerClosed`."""
        consumer = peer.consumer(consumer_id)
        self._forget_consumer(consumer)
        self._close_on_node(pb.EntityKind.CONSUMER, consumer.id)

    async def pause_consumer(self, peer: Peer, consumer_id: str) -> None:
        """Receive nothing for now."""
        consumer = peer.consumer(consumer_id)
        await self.ask(self.node.pause, pb.PauseRequest(kind=pb.EntityKind.CONSUMER, id=consumer.id))
        consumer.paused = True

    async def resume_consumer(self, peer: Peer, consumer_id: str) -> None:
        """Receive (again). The node asks the sender for a keyframe."""
        consumer = peer.consumer(consumer_id)
        await self.ask(self.node.resume, pb.ResumeRequest(kind=pb.EntityKind.CONSUMER, id=consumer.id))
        consumer.paused = False

    async def request_key_frame(self, peer: Peer, consumer_id: str) -> None:
        """Ask the sender for a keyframe."""
        consumer = peer.consumer(consumer_id)
        await self.ask(self.node.request_key_frame, pb.RequestKeyFrameRequest(consumer_id=consumer.id))

    async def set_preferred_layers(self, peer: Peer, consumer_id: str, spatial: int, temporal: int | None) -> None:
        """The best layers that the peer wants; the node may send less."""
        consumer = peer.consumer(consumer_id)
        request = pb.SetPreferredLayersRequest(consumer_id=consumer.id, spatial=spatial, temporal=temporal)
        await self.ask(self.node.set_preferred_layers, request)

    async def set_priority(self, peer: Peer, consumer_id: str, priority: int) -> None:
        """How important the consumer is among the peer's, 1 to 255."""
        consumer = peer.consumer(consumer_id)
        await self.ask(self.node.set_priority, pb.SetPriorityRequest(consumer_id=consumer.id, priority=priority))

    async def set_view(self, peer: Peer, consumer_id: str, width: int, height: int, *, hidden: bool) -> None:
        """How large the peer shows the consumer, in pixels (0: it can't tell): the node sends no more than it needs."""
        consumer = peer.consumer(consumer_id)
        request = pb.SetViewRequest(consumer_id=consumer.id, width=width, height=height, hidden=hidden)
        await self.ask(self.node.set_view, request)

    async def stats(
        self, peer: Peer, *, transport_id: str = "", producer_id: str = "", consumer_id: str = ""
    ) -> pb.Stats:
        """Figures of one entity of the peer's own. Exactly one id."""
        if transport_id:
            request = pb.GetStatsRequest(kind=pb.EntityKind.TRANSPORT, id=peer.transport(transport_id).id)
        elif producer_id:
            request = pb.GetStatsRequest(kind=pb.EntityKind.PRODUCER, id=peer.producer(producer_id).id)
        else:
            request = pb.GetStatsRequest(kind=pb.EntityKind.CONSUMER, id=peer.consumer(consumer_id).id)
        return await self.ask(self.node.get_stats, request)

    # ---- talking ----

    def chat(self, peer: Peer, text: str) -> ChatMessage:
        """Say something to the others; the room keeps the last `limits.chat_messages` for those who come later."""
        message = ChatMessage(new_id(), peer.id, peer.display_name, text, self.wall_clock())
        peer.room.chat.append(message)
        peer.room.tell_others(peer, "chat", message.view())
        return message

    def raise_hand(self, peer: Peer, raised: bool) -> None:
        """Raise or lower the hand."""
        peer.hand_raised = raised
        peer.room.tell_others(peer, "peerChanged", {"peerId": peer.id, "handRaised": raised})

    def change_display_name(self, peer: Peer, display_name: str) -> None:
        """Call oneself something else from now on."""
        peer.display_name = display_name
        peer.room.tell_others(peer, "peerChanged", {"peerId": peer.id, "displayName": display_name})

    # ---- what the node reports (signaling.reactions calls these) ----

    def transport_state_changed(self, transport_id: str, ice_state: str, dtls_state: str) -> None:
        """Tell the owner how its connection fares."""
        found = self._transports.get(transport_id)
        if found is None:
            return
        found[0].notify("transportState", {"transportId": transport_id, "iceState": ice_state, "dtlsState": dtls_state})

    def transport_closed(self, transport_id: str, reason: str) -> None:
        """A transport died on the node. A browser makes a new one; a WHIP or WHEP peer is its transport and leaves."""
        found = self._transports.get(transport_id)
        if found is None:
            return
        peer, transport = found
        self._drop_transport(peer, transport, reason)
        if peer.kind == "browser":
            peer.notify("transportClosed", {"transportId": transport_id, "reason": reason})
        else:
            self._end(peer, "lost")
            peer.closed("transport-closed")

    def producer_closed(self, producer_id: str) -> None:
        """A producer ended on the node by itself."""
        producer = self._producers.get(producer_id)
        if producer is not None:
            self._drop_producer(producer)

    def consumer_closed(self, consumer_id: str, reason: str) -> None:
        """A consumer ended on the node by itself."""
        consumer = self._consumers.get(consumer_id)
        if consumer is not None:
            self._forget_consumer(consumer)
            if consumer.created:
                consumer.viewer.notify("consumerClosed", {"consumerId": consumer_id, "reason": reason})

    def consumer_layers_changed(self, consumer_id: str, spatial: int | None, temporal: int | None) -> None:
        """Another layer flows to a viewer; None: nothing yet, or the codec has none."""
        consumer = self._consumers.get(consumer_id)
        if consumer is not None and consumer.created:
            layers = {"consumerId": consumer_id, "spatialLayer": spatial, "temporalLayer": temporal}
            consumer.viewer.notify("consumerLayersChanged", layers)

    def consumer_held(self, consumer_id: str, *, held: bool) -> None:
        """A viewer's network has no room for a consumer, or has room again."""
        consumer = self._consumers.get(consumer_id)
        if consumer is not None and consumer.created:
            consumer.viewer.notify("consumerHeld", {"consumerId": consumer_id, "held": held})

    def encodings_wanted(self, producer_id: str, wanted: list[bool]) -> None:
        """Which encodings of a producer anybody watches, by index; its owner need not send the others."""
        producer = self._producers.get(producer_id)
        if producer is not None:
            producer.peer.notify("producerEncodingsWanted", {"producerId": producer_id, "wanted": wanted})

    def want_everything(self) -> None:
        """What was wanted is not known any more: everybody sends all, until the node says otherwise."""
        for producer_id in self._producers:
            self.encodings_wanted(producer_id, [])

    def speakers_changed(self, router_id: str, dominant: str, speaking: list[str]) -> None:
        """Who speaks in a room, by producer, loudest first; `dominant` is empty when nobody does."""
        room = self._routers.get(router_id)
        if room is None:
            return
        peers = [self._producers[id_].peer.id for id_ in speaking if id_ in self._producers]
        leader = self._producers.get(dominant)
        data = {"peerId": leader.peer.id if leader is not None else None, "speaking": list(dict.fromkeys(peers))}
        for peer in room.peers.values():
            peer.notify("activeSpeaker", data)

    def router_closed(self, router_id: str, reason: str) -> None:
        """A router ended on the node by itself: the call is over."""
        room = self._routers.get(router_id)
        if room is not None:
            self.close_room(room, reason)

    def known_entities(self) -> list[tuple[pb.EntityKind, str]]:
        """Everything we believe to exist on the node, parents first: to be looked up anew after lost events."""
        return [
            *((pb.EntityKind.ROUTER, router_id) for router_id in self._routers),
            *((pb.EntityKind.TRANSPORT, id_) for id_, (_, transport) in self._transports.items() if transport.created),
            *((pb.EntityKind.PRODUCER, id_) for id_, producer in self._producers.items() if producer.created),
            *((pb.EntityKind.CONSUMER, id_) for id_, consumer in self._consumers.items() if consumer.created),
        ]

    # ---- the node ----

    async def ask(self, command: Callable[[Any], Awaitable[T]], request: object) -> T:
        """Run one command on the node. Raises CallError; a node that does not answer in time is `unavailable`."""
        try:
            with trio.fail_after(self.limits.node_seconds):
                return await command(request)
        except NodeError as error:
            if error.code in (ErrorCode.INTERNAL, ErrorCode.ALREADY_EXISTS):
                log.error("the media node failed", command=type(request).__name__, error=error.message)
            raise call_error_of(error) from error
        except trio.TooSlowError:
            log.error("the media node did not answer", command=type(request).__name__)
            raise CallError(CallErrorCode.UNAVAILABLE, "The media node did not answer in time. Try again.") from None

    def bind(self, nursery: trio.Nursery | None) -> None:
        """Where background work runs: `serve_calls` lends its nursery and takes it back."""
        self._nursery = nursery

    def _spawn(self, work: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run in the background. Without `serve_calls` (it is stopping) there is nobody left to care."""
        if self._nursery is not None:
            self._nursery.start_soon(work, *args)

    def _close_on_node(self, kind: pb.EntityKind, entity_id: str) -> None:
        self._spawn(self._close_quietly, kind, entity_id)

    async def _close_quietly(self, kind: pb.EntityKind, entity_id: str) -> None:
        """Close on the node what is gone here already; that it is gone there too is no news."""
        try:
            await self.ask(self.node.close, pb.CloseRequest(kind=kind, id=entity_id))
        except CallError as error:
            if error.code is not CallErrorCode.NOT_FOUND:
                log.warning("could not close on the node", kind=pb.EntityKind.Name(kind), error=error.message)

    # ---- ends ----

    def _end(self, peer: Peer, reason: str, *, tell_others: bool = True) -> None:
        """Remove a peer with all it has, at once."""
        if peer.left:
            return
        peer.left = True
        room = peer.room
        for transport in list(peer.transports.values()):
            self._drop_transport(peer, transport, "peer-left", tell_owner=False)
            self._close_on_node(pb.EntityKind.TRANSPORT, transport.id)
        peer.wanted.clear()
        del room.peers[peer.id]
        del self._sessions[peer.resume]
        self.metrics.peers.dec()
        now = self.wall_clock()
        self._record(PeerLeft(peer.participation_id, now, reason))
        if tell_others and peer.visible:
            room.tell_others(peer, "peerLeft", {"peerId": peer.id, "reason": reason})
        if not room.peers and reason != "replaced":
            self._record(CallEnded(room.call_id, now))
            room.call_id = ""
            room.chat.clear()
            if not room.closed:
                self._vacate(room)

    def _drop_transport(self, peer: Peer, transport: Transport, reason: str, *, tell_owner: bool = True) -> None:
        """Forget a transport and what runs over it. The node closes the children with their parent."""
        for producer in [p for p in peer.producers.values() if p.transport is transport]:
            self._drop_producer(producer)
        for consumer in [c for c in peer.consumers.values() if c.transport is transport]:
            self._forget_consumer(consumer)
            if tell_owner and consumer.created:
                peer.notify("consumerClosed", {"consumerId": consumer.id, "reason": reason})
        peer.transports.pop(transport.id, None)
        self._transports.pop(transport.id, None)

    def _drop_producer(self, producer: Producer) -> None:
        """Forget a producer and tell whoever saw it."""
        peer = producer.peer
        self._producers.pop(producer.id, None)
        peer.producers.pop(producer.id, None)
        for consumer in peer.room.consumers_of(producer):
            self._forget_consumer(consumer)
            if consumer.created:
                closed = {"consumerId": consumer.id, "reason": "producer-closed"}
                consumer.viewer.notify("consumerClosed", closed)
        if producer.created:
            self.metrics.producers.labels(producer.kind).dec()
            peer.room.tell_others(peer, "producerClosed", {"peerId": peer.id, "producerId": producer.id})

    def _forget_consumer(self, consumer: Consumer) -> None:
        self._consumers.pop(consumer.id, None)
        consumer.viewer.consumers.pop(consumer.id, None)

    def _forget_room(self, room: Room) -> None:
        room.closed = True
        del self._rooms[room.name]
        del self._routers[room.router_id]
        self.metrics.rooms.dec()
        self._close_on_node(pb.EntityKind.ROUTER, room.router_id)

    def _vacate(self, room: Room) -> None:
        """Nobody is in the room: it closes after a grace, so that a reload finds its router."""
        room.vacancy += 1
        self._spawn(self._close_if_still_vacant, room, room.vacancy)

    async def _close_if_still_vacant(self, room: Room, vacancy: int) -> None:
        await trio.sleep(self.limits.room_grace_seconds)
        if not room.closed and room.vacancy == vacancy:
            self._forget_room(room)

    async def _leave_unless_resumed(self, peer: Peer) -> None:
        await trio.sleep(self.limits.resume_seconds)
        self._end(peer, "lost")  # nothing, if a new peer took its place

    # ---- consuming for a peer without being asked ----

    def _offer_all(self, peer: Peer) -> None:
        for producer in peer.room.producers_for(peer):
            self._offer(peer, producer)

    def _offer(self, peer: Peer, producer: Producer) -> None:
        """Consume a producer for a peer that wants them all and can receive by now. In order, one at a time."""
        transport = peer.transport_to("recv")
        if not peer.auto_consume or peer.rtp_capabilities is None or transport is None or not transport.created:
            return
        if producer in peer.wanted or any(c.producer is producer for c in peer.consumers.values()):
            return
        peer.wanted.append(producer)
        if not peer.consuming and self._nursery is not None:
            peer.consuming = True
            self._nursery.start_soon(self._consume_wanted, peer)

    async def _consume_wanted(self, peer: Peer) -> None:
        try:
            while peer.wanted and not peer.left:
                producer = peer.wanted.popleft()
                try:
                    consumer, info = await self.consume(peer, producer.id)
                except CallError as error:
                    if error.code not in (CallErrorCode.NOT_FOUND, CallErrorCode.BAD_STATE):
                        log.info("a peer cannot receive a producer", peer=peer.id, code=error.code, why=error.message)
                    continue
                peer.notify("newConsumer", self.describe_consumer(consumer, info))
        finally:
            peer.consuming = False
