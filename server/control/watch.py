"""Watchers of a node's events, each behind a bounded buffer: a slow one loses events and is told how many."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from protos import media_pb2 as pb
from protos.control import ErrorCode, NodeError
from server.media.events import EntityClosed, ProducerPauseChanged, PublicEvent

BUFFERED_EVENTS = 4096  # per watcher; closing one large room is a few hundred


@dataclass(slots=True, eq=False)
class _Watcher:
    send: trio.MemorySendChannel[pb.Event]
    dropped: int = 0  # since the last WatchLagged


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
            self._offer(watcher, message)

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[pb.Event]]:
        """Every event from entering on. Raises NodeError when there are too many watchers."""
        if len(self._watchers) >= self._max_watchers:
            raise NodeError(
                ErrorCode.RESOURCE_EXHAUSTED, f"{self._max_watchers} fronts watch this node, the most that may"
            )
        send, receive = trio.open_memory_channel[pb.Event](self._buffered_events)
        watcher = _Watcher(send)
        self._watchers.add(watcher)
        try:
            async with send, receive:
                yield receive
        finally:
            self._watchers.discard(watcher)

    def _offer(self, watcher: _Watcher, message: pb.Event) -> None:
        # The last place in the buffer is kept for WatchLagged, so that it arrives where the events are missing.
        room = self._buffered_events - watcher.send.statistics().current_buffer_used
        if watcher.dropped and room > 1:
            watcher.send.send_nowait(pb.Event(lagged=pb.WatchLagged(dropped=watcher.dropped)))
            watcher.dropped = 0
            room -= 1
        if room > 1:
            watcher.send.send_nowait(message)
        else:
            watcher.dropped += 1


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
    return pb.Event(
        transport_state=pb.TransportStateChanged(
            transport_id=event.transport_id, ice_state=event.ice_state, dtls_state=event.dtls_state
        )
    )
