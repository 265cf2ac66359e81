"""What the domain tells its shell. Frozen values; `MediaCore.poll_event` hands them out in the order they happened."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

from server.rtc.address import Address


class EntityKind(enum.Enum):
    """The four entities. The values are the names in protos/media.proto."""

    ROUTER = "ROUTER"
    TRANSPORT = "TRANSPORT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


class CloseReason(enum.Enum):
    """Why an entity is gone. The values travel as they are in EntityClosed.reason."""

    REQUESTED = "requested"
    PARENT_CLOSED = "parent-closed"
    PRODUCER_CLOSED = "producer-closed"  # of a consumer: what it consumed is gone
    ICE_EXPIRED = "ice-expired"  # consent to send was lost (RFC 7675)
    DTLS_FAILED = "dtls-failed"  # the handshake failed, or the certificate has another fingerprint
    DTLS_CLOSED = "dtls-closed"  # the remote sent close_notify
    INTERNAL_ERROR = "internal-error"  # our fault; the traceback is in the log
    NODE_STOPPING = "node-stopping"


@dataclass(frozen=True, slots=True)
class TransportStateChanged:
    """ICE: "new", "connected", "completed", "disconnected", "closed". DTLS: "new", "connecting", "connected",
    "failed", "closed"."""

    transport_id: str
    ice_state: str
    dtls_state: str


@dataclass(frozen=True, slots=True)
class EntityClosed:
    """One per entity: children first, then the parent that took them along."""

    kind: EntityKind
    id: str
    reason: CloseReason


@dataclass(frozen=True, slots=True)
class ProducerPauseChanged:
    """A producer was paused or resumed; `consumer_ids` are those that see it."""

    producer_id: str
    paused: bool
    consumer_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConsumerLayersChanged:
    """Another layer flows to a viewer now; None: nothing flows yet."""

    consumer_id: str
    spatial: int | None
    temporal: int | None


@dataclass(frozen=True, slots=True)
class ProducerEncodingsWanted:
    """Which encodings of a producer somebody watches: the others need not be sent (dynacast)."""

    producer_id: str
    wanted: tuple[bool, ...]  # by index of the encoding


@dataclass(frozen=True, slots=True)
class ActiveSpeakersChanged:
    """Who speaks in a router."""

    router_id: str
    dominant: str | None  # producer id
    active: tuple[str, ...]  # producer ids, loudest first


@dataclass(frozen=True, slots=True)
class ConsumerHeld:
    """A viewer's path has no room for this consumer, or has room again."""

    consumer_id: str
    held: bool


@dataclass(frozen=True, slots=True)
class PathClosed:
    """No transport uses this path any more. For the shell only: it closes the TCP connection behind it."""

    lane: int
    socket: int
    address: Address


@dataclass(frozen=True, slots=True)
class SocketReleased:
    """A plain transport is gone. For the shell only: it closes the socket that it had opened for it."""

    lane: int
    socket: int


PublicEvent: TypeAlias = (
    TransportStateChanged
    | EntityClosed
    | ProducerPauseChanged
    | ConsumerLayersChanged
    | ProducerEncodingsWanted
    | ActiveSpeakersChanged
    | ConsumerHeld
)
MediaEvent: TypeAlias = PublicEvent | PathClosed | SocketReleased
