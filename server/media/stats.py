"""Figures of every entity as plain data. Counts are since the entity was made; the plane's columns and units are in
docs/forwarding.md and pass through here unchanged, so that a new one needs no change.

Row type        one per                    columns of ours beside the plane's (labels in brackets)
"transport"     transport                  producers, consumers: how many now; [kind: "webrtc" or "plain", protocol,
                                           ice_state, dtls_state: as in TransportStateChanged]. Where its path is
                                           estimated: estimate_bps, budget_bps (of that, for video), wanted_bps (what
                                           all its consumers could use); [congestion_controller, layer_allocator]
"producer"      producer                   consumers: how many now; paused: 0 or 1; [kind: "audio" or "video", type]
"inbound-rtp"   encoding of a producer     encoding: its index; wanted: 0 or 1 (dynacast); [rid]
"consumer"      consumer                   paused, producer_paused: 0 or 1; priority: 1 to 255; held: 0 or 1; [kind,
                                           producer_id]. Of layered video: preferred_, target_, current_spatial and
                                           _temporal (asked, decided, flowing; target_temporal 7: every one), where
                                           there is one; target_bps: what the target takes; [reason: of the target]
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
from server.media.viewer import Viewer
from server.media.webrtc_transport import WebRtcTransport
from server.policy.registry import Role


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
        transports = commands.router(entity_id).transports
        return [transport_row(transport, commands.viewer(transport.id)) for transport in transports.values()]
    if kind is EntityKind.TRANSPORT:
        transport = commands.transport(entity_id)
        rows = [transport_row(transport, commands.viewer(transport.id))]
        for producer in transport.media.producers.values():
            rows += producer_rows(producer)
        for consumer in transport.media.consumers.values():
            rows += consumer_rows(consumer, commands.viewer(transport.id))
        return rows
    if kind is EntityKind.PRODUCER:
        return producer_rows(commands.producer(entity_id))
    consumer = commands.consumer(entity_id)
    return consumer_rows(consumer, commands.viewer(consumer.transport.id))


def dump(commands: Commands, kind: EntityKind, entity_id: str) -> dict[str, object]:
    """The state of an entity, for people and tools. Raises NotFound."""
    if kind is EntityKind.ROUTER:
        return commands.router(entity_id).dump()
    if kind is EntityKind.TRANSPORT:
        return commands.transport(entity_id).dump()
    if kind is EntityKind.PRODUCER:
        return commands.producer(entity_id).dump()
    return commands.consumer(entity_id).dump()


def transport_row(transport: Endpoint, viewer: Viewer | None) -> StatsRow:
    """One row. `viewer`: None when it has no consumers."""
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
    if viewer is not None and viewer.controlled:
        own |= {
            "estimate_bps": float(viewer.estimate_bps),
            "budget_bps": float(viewer.budget_bps),
            "wanted_bps": float(viewer.wanted_bps),
        }
        labels["congestion_controller"] = viewer.policy(Role.CONGESTION)
        labels["layer_allocator"] = viewer.policy(Role.LAYERS)
    return _row("transport", transport.id, media.plane.transport_stats(media.handle), own, labels)


def producer_rows(producer: Producer) -> list[StatsRow]:
    """The producer and each of its encodings."""
    own = {"consumers": float(len(producer.consumers)), "paused": float(producer.paused)}
    rows = [StatsRow("producer", producer.id, own, {"kind": producer.kind, "type": producer.type})]
    for index, figures in enumerate(producer.transport.plane.producer_stats(producer.handle)):
        encoding = producer.rtp_parameters.encodings[index]
        labels = {"kind": producer.kind, "rid": encoding.rid or ""}
        wanted = {"encoding": float(index), "wanted": float(producer.dynacast.wanted[index])}
        rows.append(_row("inbound-rtp", producer.id, figures, wanted, labels))
    return rows


def consumer_rows(consumer: Consumer, viewer: Viewer | None) -> list[StatsRow]:
    """The consumer and its stream. `viewer`: of its transport."""
    own = {
        "paused": float(consumer.paused),
        "producer_paused": float(consumer.producer_paused),
        "priority": float(consumer.priority),
        "held": float(consumer.held),
    }
    labels = {"kind": consumer.producer.kind, "producer_id": consumer.producer.id}
    if consumer.layered:
        layers = {"preferred": consumer.preferred, "target": consumer.target, "current": consumer.flowing}
        for name, layer in layers.items():
            if layer is not None:
                own |= {f"{name}_spatial": float(layer[0]), f"{name}_temporal": float(layer[1])}
        decided = viewer.decided.get(consumer.id) if viewer is not None else None
        if decided is not None:
            own["target_bps"] = float(decided.option.bps) if decided.option is not None else 0.0
            labels["reason"] = decided.reason
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
