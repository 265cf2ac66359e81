"""Figures of every entity as plain data. Counts are since the entity was made; the plane's columns and units are in
docs/forwarding.md and pass through here unchanged, so that a new one needs no change.

Row type        one per                    columns of ours beside the plane's (labels in brackets)
"transport"     transport                  producers, consumers: how many now; [kind: "webrtc" or "plain", protocol,
                                           ice_state, dtls_state: as in TransportStateChanged]
"producer"      producer                   consumers: how many now; paused: 0 or 1; [kind: "audio" or "video", type]
"inbound-rtp"   encoding of a producer     encoding: its index; [rid]
"consumer"      consumer                   paused, producer_paused: 0 or 1; priority: 1 to 255; [kind, producer_id]
"outbound-rtp"  consumer                   -
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from server.media.commands import Commands
from server.media.consumer import Consumer
from server.media.core import Endpoint
from server.media.events import EntityKind
from server.media.producer import Producer
from server.media.webrtc_transport import WebRtcTransport


@dataclass(frozen=True, slots=True)
class StatsRow:
    """One entity or stream at one moment."""

    type: str
    id: str
    figures: dict[str, float] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


def stats(commands: Commands, kind: EntityKind, entity_id: str) -> list[StatsRow]:
    """Of an entity, and of what is directly in it: a router's transports, a transport's producers and consumers.

    Raises NotFound.
    """
    if kind is EntityKind.ROUTER:
        return [transport_row(transport) for transport in commands.router(entity_id).transports.values()]
    if kind is EntityKind.TRANSPORT:
        transport = commands.transport(entity_id)
        rows = [transport_row(transport)]
        for producer in transport.media.producers.values():
            rows += producer_rows(producer)
        for consumer in transport.media.consumers.values():
            rows += consumer_rows(consumer)
        return rows
    if kind is EntityKind.PRODUCER:
        return producer_rows(commands.producer(entity_id))
    return consumer_rows(commands.consumer(entity_id))


def dump(commands: Commands, kind: EntityKind, entity_id: str) -> dict[str, object]:
    """The state of an entity, for people and tools. Raises NotFound."""
    if kind is EntityKind.ROUTER:
        return commands.router(entity_id).dump()
    if kind is EntityKind.TRANSPORT:
        return commands.transport(entity_id).dump()
    if kind is EntityKind.PRODUCER:
        return commands.producer(entity_id).dump()
    return commands.consumer(entity_id).dump()


def transport_row(transport: Endpoint) -> StatsRow:
    """One row."""
    media = transport.media
    labels = {"kind": "plain"}
    if isinstance(transport, WebRtcTransport):
        labels = {
            "kind": "webrtc",
            "protocol": transport.protocol,
            "ice_state": transport.ice_state,
            "dtls_state": transport.dtls_state,
        }
    own = {"producers": float(len(media.producers)), "consumers": float(len(media.consumers))}
    return _row("transport", transport.id, media.plane.transport_stats(media.handle), own, labels)


def producer_rows(producer: Producer) -> list[StatsRow]:
    """The producer and each of its encodings."""
    own = {"consumers": float(len(producer.consumers)), "paused": float(producer.paused)}
    rows = [StatsRow("producer", producer.id, own, {"kind": producer.kind, "type": producer.type})]
    for index, figures in enumerate(producer.transport.plane.producer_stats(producer.handle)):
        encoding = producer.rtp_parameters.encodings[index]
        labels = {"kind": producer.kind, "rid": encoding.rid or ""}
        rows.append(_row("inbound-rtp", producer.id, figures, {"encoding": float(index)}, labels))
    return rows


def consumer_rows(consumer: Consumer) -> list[StatsRow]:
    """The consumer and its stream."""
    own = {
        "paused": float(consumer.paused),
        "producer_paused": float(consumer.producer_paused),
        "priority": float(consumer.priority),
    }
    labels = {"kind": consumer.producer.kind, "producer_id": consumer.producer.id}
    figures = consumer.transport.plane.consumer_stats(consumer.handle)
    return [
        StatsRow("consumer", consumer.id, own, labels),
        _row("outbound-rtp", consumer.id, figures, {}, {"kind": consumer.producer.kind}),
    ]


def _row(
    row_type: str,
    entity_id: str,
    figures: Mapping[str, int | float | str],
    own: dict[str, float],
    labels: dict[str, str],
) -> StatsRow:
    """The plane's figures, with its texts among the labels."""
    numbers = {name: float(value) for name, value in figures.items() if not isinstance(value, str)}
    texts = {name: value for name, value in figures.items() if isinstance(value, str)}
    return StatsRow(row_type, entity_id, {**numbers, **own}, {**texts, **labels})
