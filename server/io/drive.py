"""Runs one MediaCore: mutate, drain, sleep until the soonest timeout.

Everything that changes the core goes through `Drive.run`, which drains it completely before it returns: datagrams to
their outlets, public events to the watchers. One task, `serve`, plays the timeouts. Nothing here blocks, so commands
of the control side may call `run` from any task of the same trio loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import trio

from rtpfwd.events import PlaneEvent
from rtpfwd.params import Address
from server.io.clock import monotonic_ns
from server.media.core import MediaCore
from server.media.events import PathClosed, PublicEvent, SocketReleased

T = TypeVar("T")


class Outlet(Protocol):
    """How one lane sends, and what it has to let go of. Nothing here blocks or raises."""

    def send(self, socket: int, address: Address, data: bytes) -> None: ...

    def wake(self) -> None:
        """The lane's plane was commanded: look at its output and its next timeout anew."""

    def path_closed(self, address: Address) -> None: ...

    def release(self, socket: int) -> None: ...


class Drive:
    """One core and the outlets of its lanes, in lane order. Not thread-safe: it belongs to one trio loop."""

    def __init__(
        self,
        core: MediaCore,
        outlets: Sequence[Outlet],
        publish: Callable[[PublicEvent], None],
        clock: Callable[[], int] = monotonic_ns,
    ) -> None:
        self._core = core
        self._outlets = outlets
        self._publish = publish
        self.clock = clock
        self._changed = trio.Event()
        self._sleeping_until: int | None = None

    @property
    def core(self) -> MediaCore:
        """To read from. What changes it goes through `run`."""
        return self._core

    def run(self, command: Callable[[int], T]) -> T:
        """Call `command(now)` and drain, also when it raises."""
        try:
            return command(self.clock())
        finally:
            self._drain()
            for outlet in self._outlets:
                outlet.wake()

    def receive(self, lane: int, socket: int, address: Address, datagram: bytes) -> None:
        """A STUN or DTLS datagram that the lane handed off."""
        self._core.receive(lane, socket, address, datagram, self.clock())
        # Only what changed a state can have changed the plane; STUN keepalives by the hundred must not wake the lane.
        if self._drain():
            self._outlets[lane].wake()

    def plane_event(self, lane: int, event: PlaneEvent) -> None:
        """What the lane's plane said. Deadlines may have moved, and there may be something to tell."""
        self._core.plane_event(lane, event)
        self._drain()

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Play the core's timeouts until cancelled."""
        task_status.started()
        while True:
            self._changed = trio.Event()
            self._sleeping_until = self._core.next_timeout()
            if self._sleeping_until is None:
                await self._changed.wait()
            elif (wait := self._sleeping_until - self.clock()) > 0:
                with trio.move_on_after(wait / 1e9):
                    await self._changed.wait()
            else:
                self.run(self._core.handle_timeout)
                await trio.lowlevel.checkpoint()

    def _drain(self) -> bool:
        """Everything the core has to say. True when a state changed."""
        while (datagram := self._core.poll_transmit()) is not None:
            lane, socket, address, data = datagram
            self._outlets[lane].send(socket, address, data)
        changed = False
        while (event := self._core.poll_event()) is not None:
            changed = True
            if isinstance(event, PathClosed):
                self._outlets[event.lane].path_closed(event.address)
            elif isinstance(event, SocketReleased):
                self._outlets[event.lane].release(event.socket)
            else:
                self._publish(event)
        soonest = self._core.next_timeout()
        if soonest is not None and (self._sleeping_until is None or soonest < self._sleeping_until):
            self._changed.set()
        return changed
