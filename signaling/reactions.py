"""What the media node reports becomes what rooms do: transports that die, producers that end, events that were lost."""

from __future__ import annotations

import structlog
import trio

from protos import media_pb2 as pb
from protos.control import NodeError
from signaling.calls import Calls
from signaling.errors import CallError, CallErrorCode

log = structlog.get_logger(__name__)
RETRY_SECONDS = 1.0


async def serve_calls(calls: Calls, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Own the background work of `calls` and follow the node's events. Never returns; starts once it is watching."""
    async with trio.open_nursery() as nursery:
        calls.bind(nursery)
        try:
            await _watch(calls, task_status)
        finally:
            calls.bind(None)


async def _watch(calls: Calls, task_status: trio.TaskStatus[None]) -> None:
    started = False
    while True:
        try:
            async with calls.node.watch(pb.WatchRequest()) as events:
                if started:
                    await look_anew(calls)  # whatever happened between the two watches
                else:
                    started = True
                    task_status.started()
                async for event in events:
                    await react(calls, event)
            log.warning("the media node ended its events; watching anew")
        except NodeError as error:
            log.warning("cannot watch the media node; trying again", code=error.code.value, error=error.message)
            if not started:
                started = True
                task_status.started()
        await trio.sleep(RETRY_SECONDS)


async def react(calls: Calls, event: pb.Event) -> None:
    """Apply one event. Those about entities that we have closed ourselves find nothing to do.

    Nobody but we pause the producers of our routers, so what the node says of that is only an echo, and a late one.
    """
    which = event.WhichOneof("event")
    if which == "transport_state":
        state = event.transport_state
        calls.transport_state_changed(state.transport_id, state.ice_state, state.dtls_state)
    elif which == "closed":
        _closed(calls, event.closed.kind, event.closed.id, event.closed.reason)
    elif which == "consumer_layers":
        layers = event.consumer_layers
        spatial = layers.spatial if layers.HasField("spatial") else None
        temporal = layers.temporal if layers.HasField("temporal") else None
        calls.consumer_layers_changed(layers.consumer_id, spatial, temporal)
    elif which == "consumer_held":
        calls.consumer_held(event.consumer_held.consumer_id, held=event.consumer_held.held)
    elif which == "encodings_wanted":
        calls.encodings_wanted(event.encodings_wanted.producer_id, list(event.encodings_wanted.wanted))
    elif which == "speakers":
        said = event.speakers
        calls.speakers_changed(said.router_id, said.dominant_producer_id, list(said.producer_ids))
    elif which == "lagged":
        log.warning("events of the media node were lost; looking anew", dropped=event.lagged.dropped)
        await look_anew(calls)


def _closed(calls: Calls, kind: pb.EntityKind, entity_id: str, reason: str) -> None:
    if kind == pb.EntityKind.TRANSPORT:
        calls.transport_closed(entity_id, reason)
    elif kind == pb.EntityKind.PRODUCER:
        calls.producer_closed(entity_id)
    elif kind == pb.EntityKind.CONSUMER:
        calls.consumer_closed(entity_id, reason)
    elif kind == pb.EntityKind.ROUTER:
        calls.router_closed(entity_id, reason)


async def look_anew(calls: Calls) -> None:
    """Ask the node about everything we believe it has, and drop what it does not know."""
    calls.want_everything()
    for kind, entity_id in calls.known_entities():
        try:
            if kind == pb.EntityKind.ROUTER:
                await calls.ask(
                    calls.node.get_router_capabilities, pb.GetRouterCapabilitiesRequest(router_id=entity_id)
                )
            else:
                await calls.ask(calls.node.get_stats, pb.GetStatsRequest(kind=kind, id=entity_id))
        except CallError as error:
            if error.code is CallErrorCode.NOT_FOUND:
                _closed(calls, kind, entity_id, "lost")
