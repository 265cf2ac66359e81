"""Watchers of a node's events, each behind a bounded buffer: a slow one loses events and is told how many."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from protos import media_pb2 as pb
from protos.control import ErrorCode, NodeError
from server.media.events import (
    ActiveSpeakersChanged,
    ConsumerHeld,
    ConsumerLayersChanged,
    EntityClosed,
    ProducerEncodingsWanted,
    ProducerPauseChanged,
    PublicEvent,
)

BUFFERED_EVENTS = 4096  # per watcher; closing one large room is a few hundred


class _Watcher:
    """One reader's buffer, and the iterator that it reads from.

    Once an event is lost, all are until the reader has emptied the buffer: WatchLagged stands where they are missing.
    """

    def __init__(self, buffered_events: int) -> None:
        self._send, self._receive = trio.open_memory_channel[pb.Event](buffered_events)
        self._dropped = 0  # since the last WatchLagged

    def offer(self, message: pb.Event) -> None:
        """Buffer it, or count it as lost."""
        try:
            if self._dropped:
                raise trio.WouldBlock
            self._send.send_nowait(message)
        except trio.WouldBlock:
            self._dropped += 1

    def __aiter__(self) -> _Watcher:
        return self

    async def __anext__(self) -> pb.Event:
        if self._dropped and not self._receive.statistics().current_buffer_used:
            await trio.lowlevel.checkpoint()
            dropped, self._dropped = self._dropped, 0
            return pb.Event(lagged=pb.WatchLagged(dropped=dropped))
        return await self._receive.receive()


class Watchers:
    """Fans every event out. Nothing here blocks on a reader."""

    def __init__(self, max_watchers: int = 64, buffered_events: int = BUFFERED_EVENTS) -> None:
        self._max_watchers = max_watchers
        self._buffered_events = buffered_events
        self._watchers: set[_Watcher] = set()

    def publish(self, event: PublicEvent) -> None:
        """Give one event to every watcher that has room."""
        message = event_to_pb(event)
        for watcher in self._watchers:
            watcher.offer(message)

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[pb.Event]]:
        """Every event from entering on. Raises NodeError when there are too many watchers."""
        if len(self._watchers) >= self._max_watchers:
            raise NodeError(
                ErrorCode.RESOURCE_EXHAUSTED, f"{self._max_watchers} fronts watch this node, the most that may"
            )
        watcher = _Watcher(self._buffered_events)
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)


def event_to_pb(event: PublicEvent) -> pb.Event:
    """The message that travels to fronts."""
    if isinstance(event, EntityClosed):
        return pb.Event(closed=pb.EntityClosed(kind=event.kind.value, id=event.id, reason=event.reason.value))
    if isinstance(event, ProducerPauseChanged):
        return pb.Event(
            producer_pause=pb.ProducerPauseChanged(
                producer_id=event.producer_id, paused=event.paused, consumer_ids=event.consumer_ids
            )
        )
    if isinstance(event, ConsumerLayersChanged):
        return pb.Event(
            consumer_layers=pb.ConsumerLayersChanged(
                consumer_id=event.consumer_id, spatial=event.spatial, temporal=event.temporal
            )
        )
    if isinstance(event, ProducerEncodingsWanted):
        return pb.Event(encodings_wanted=pb.ProducerEncodingsWanted(producer_id=event.producer_id, wanted=event.wanted))
    if isinstance(event, ActiveSpeakersChanged):
        return pb.Event(
            speakers=pb.ActiveSpeakersChanged(
                router_id=event.router_id, dominant_producer_id=event.dominant or "", producer_ids=event.active
            )
        )
    if isinstance(event, ConsumerHeld):
        return pb.Event(consumer_held=pb.ConsumerHeld(consumer_id=event.consumer_id, held=event.held))
    return pb.Event(
        transport_state=pb.TransportStateChanged(
            transport_id=event.transport_id, ice_state=event.ice_state, dtls_state=event.dtls_state
        )
    )
