"""Rooms and peers as plain state, and the rules over it: who sees whom, who may have what. No I/O, no clock.

Every mutation here is synchronous, so that what `Calls` decides between two awaits is decided once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from protos import media_pb2 as pb
from signaling.config import Limits
from signaling.errors import CallError, CallErrorCode
from signaling.rates import TokenBucket

Direction = Literal["send", "recv"]
Kind = Literal["audio", "video"]
PeerKind = Literal["browser", "whip", "whep"]
Role = Literal["speaker", "viewer"]
Notify = Callable[[str, dict[str, Any]], None]
Closed = Callable[[str], None]


@dataclass(slots=True, eq=False)
class Transport:
    """One remote endpoint of a peer. `connected`: the client has given its DTLS parameters."""

    id: str
    direction: Direction
    created: bool = False  # the node has answered
    connected: bool = False


@dataclass(slots=True, eq=False)
class Producer:
    """One source that a peer sends."""

    id: str
    peer: Peer
    transport: Transport
    kind: Kind
    paused: bool
    app_data: dict[str, Any]
    created: bool = False

    def view(self) -> dict[str, Any]:
        """As in `Peer.producers` on the wire."""
        return {"id": self.id, "kind": self.kind, "paused": self.paused, "appData": self.app_data}


@dataclass(slots=True, eq=False)
class Consumer:
    """One producer on its way to one viewer."""

    id: str
    producer: Producer
    viewer: Peer
    transport: Transport
    paused: bool
    created: bool = False


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One line of a room's chat. `at`: Unix milliseconds."""

    id: str
    peer_id: str
    display_name: str
    text: str
    at: int

    def view(self) -> dict[str, Any]:
        """As on the wire."""
        return {
            "id": self.id,
            "peerId": self.peer_id,
            "displayName": self.display_name,
            "text": self.text,
            "at": self.at,
        }


@dataclass(slots=True, eq=False)
class Peer:
    """One participant. `notify` hands it a notification without blocking; `closed` says that it was ended by others."""

    id: str
    room: Room
    kind: PeerKind
    display_name: str
    role: Role
    joined_at: int  # Unix milliseconds
    resume: str = field(repr=False)  # the secret that replaces this session
    notify: Notify
    closed: Closed
    auto_consume: bool = True
    device: dict[str, Any] | None = None
    hand_raised: bool = False
    rtp_capabilities: pb.RtpCapabilities | None = None
    left: bool = False
    participation_id: str = ""
    transports: dict[str, Transport] = field(default_factory=dict)
    producers: dict[str, Producer] = field(default_factory=dict)
    consumers: dict[str, Consumer] = field(default_factory=dict)
    wanted: deque[Producer] = field(default_factory=deque)  # producers that will be consumed for it, in order
    consuming: bool = False  # somebody works through `wanted`
    transport_budget: TokenBucket | None = None  # made at its first transport

    @property
    def visible(self) -> bool:
        """Whether the others hear of it: a WHEP viewer only watches, so it gets no tile."""
        return self.kind != "whep"

    def view(self) -> dict[str, Any]:
        """`Peer` on the wire."""
        shown: dict[str, Any] = {
            "id": self.id,
            "displayName": self.display_name,
            "handRaised": self.hand_raised,
            "joinedAt": self.joined_at,
            "producers": [producer.view() for producer in self.producers.values() if producer.created],
        }
        if self.device is not None:
            shown["device"] = self.device
        return shown

    def transport_to(self, direction: Direction) -> Transport | None:
        """Its transport of that direction, if it has one."""
        return next((t for t in self.transports.values() if t.direction == direction), None)

    def transport(self, transport_id: str) -> Transport:
        """Its transport of that id, or `not_found`."""
        found = self.transports.get(transport_id)
        if found is None or not found.created:
            raise CallError(CallErrorCode.NOT_FOUND, f"transportId: you have no transport {transport_id!r}.")
        return found

    def producer(self, producer_id: str) -> Producer:
        """Its producer of that id, or `not_found`."""
        found = self.producers.get(producer_id)
        if found is None or not found.created:
            raise CallError(CallErrorCode.NOT_FOUND, f"producerId: you have no producer {producer_id!r}.")
        return found

    def consumer(self, consumer_id: str) -> Consumer:
        """Its consumer of that id, or `not_found`."""
        found = self.consumers.get(consumer_id)
        if found is None or not found.created:
            raise CallError(CallErrorCode.NOT_FOUND, f"consumerId: you have no consumer {consumer_id!r}.")
        return found


@dataclass(slots=True, eq=False)
class Room:
    """One call: a router on the node and the peers that meet there."""

    name: str
    router_id: str
    rtp_capabilities: pb.RtpCapabilities
    created_at: int  # Unix milliseconds
    chat: deque[ChatMessage]
    peers: dict[str, Peer] = field(default_factory=dict)
    closed: bool = False
    call_id: str = ""  # of the call that is on, empty between calls
    vacancy: int = 0  # changes with every join and every time the room becomes empty

    def others(self, peer: Peer) -> Iterator[Peer]:
        """Everybody else in the room."""
        return (other for other in self.peers.values() if other is not peer)

    def visible_to(self, peer: Peer) -> list[Peer]:
        """Whom the client of `peer` is told about."""
        return [other for other in self.others(peer) if other.visible]

    def producers(self) -> list[Producer]:
        """Every live source in the room, oldest peer first."""
        return [p for peer in self.peers.values() for p in peer.producers.values() if p.created]

    def producers_for(self, peer: Peer) -> list[Producer]:
        """The sources a peer may consume: everybody's but its own."""
        return [producer for producer in self.producers() if producer.peer is not peer]

    def consumers_of(self, producer: Producer) -> list[Consumer]:
        """Who watches it."""
        return [c for peer in self.peers.values() for c in peer.consumers.values() if c.producer is producer]

    def tell_others(self, peer: Peer, method: str, data: dict[str, Any]) -> None:
        """Notify everybody but `peer`."""
        for other in list(self.others(peer)):
            other.notify(method, data)


def check_room_for_peer(room: Room, limits: Limits) -> None:
    """Refuse one peer too many."""
    if len(room.peers) >= limits.peers_per_room:
        raise CallError(CallErrorCode.LIMIT, f"The room is full: it takes {limits.peers_per_room} people.")


def check_transport(peer: Peer, direction: Direction, limits: Limits, now_ms: int) -> None:
    """One send and one recv transport at most, and not endlessly new ones (docs/signaling.md, "Media")."""
    if peer.transport_to(direction) is not None:
        raise CallError(
            CallErrorCode.BAD_STATE, f"direction: you have a {direction} transport already; close it before a new one."
        )
    if peer.transport_budget is None:
        burst = float(limits.transports_per_minute)
        peer.transport_budget = TokenBucket.full(burst / 60.0, burst, now_ms / 1000.0)
    if not peer.transport_budget.take(now_ms / 1000.0):
        raise CallError(CallErrorCode.LIMIT, "You create transports too quickly; wait a minute.")


def check_role(role: Role) -> None:
    """Refuse to take media from who may only watch."""
    if role == "viewer":
        raise CallError(CallErrorCode.FORBIDDEN, "Your token lets you watch, not send.")


def check_produce(peer: Peer, transport: Transport, limits: Limits) -> None:
    """A producer needs the right to speak, a connected send transport, and room."""
    check_role(peer.role)
    if transport.direction != "send":
        raise CallError(CallErrorCode.BAD_STATE, "transportId: this is your recv transport; produce on the send one.")
    if not transport.connected:
        raise CallError(CallErrorCode.BAD_STATE, "transportId: connect the transport before producing on it.")
    if len(peer.producers) >= limits.producers_per_peer:
        raise CallError(CallErrorCode.LIMIT, f"You have {limits.producers_per_peer} producers, which is the most.")


def check_consume(peer: Peer, limits: Limits) -> Transport:
    """A consumer needs a recv transport and known capabilities. Returns that transport."""
    transport = peer.transport_to("recv")
    if transport is None or not transport.created:
        raise CallError(CallErrorCode.BAD_STATE, "Create your recv transport before consuming.")
    if peer.rtp_capabilities is None:
        raise CallError(CallErrorCode.BAD_STATE, "Give your rtpCapabilities (setRtpCapabilities) before consuming.")
    if len(peer.consumers) >= limits.consumers_per_peer:
        raise CallError(CallErrorCode.LIMIT, f"You have {limits.consumers_per_peer} consumers, which is the most.")
    return transport
