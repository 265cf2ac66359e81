"""ICE-TCP (RFC 6544, passive only): the way in for networks that let no UDP through.

A connection carries the same datagrams as the lane's UDP socket, framed by RFC 4571. Everything read goes into the
plane exactly as if the lane had received it, with the address ("tcp", host, port) and the lane's socket 0; the plane
hands STUN and DTLS on and forwards the media. What the plane or the core sends to such an address is queued here.
A stranger can make nothing grow: connections are limited in all and per source, the first frame must be STUN, a path
that ICE has not validated in time is closed, an idle one too, and a slow reader loses its oldest packets.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import trio

from rtpfwd.params import Address
from server.errors import BadPacket
from server.io.framing import FrameReader, frame
from server.rtc import demux


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """Bounds of one lane's TCP side. Times in seconds."""

    connections: int = 1024
    connections_per_source: int = 32
    queued_packets: int = 512  # per connection; about half a second of video
    establish_seconds: float = 10.0  # from accept until ICE has validated the path
    idle_seconds: float = 40.0  # longer than consent (30 s), which normally ends a path first
    stall_seconds: float = 10.0  # one write that makes no progress
    flush_seconds: float = 0.2  # for what is queued (a close_notify) when we close


@dataclass(slots=True, eq=False)
class Connection:
    """One accepted connection. `queue` holds what may still be dropped, `unsent` what is being written: its first frame
    may be out by half."""

    stream: trio.SocketStream
    address: Address
    scope: trio.CancelScope
    queue: deque[bytes] = field(default_factory=deque)
    readable: trio.Event = field(default_factory=trio.Event)  # the queue is not empty
    unsent: bytes = b""

    def take(self) -> None:
        """Everything queued is to be written now."""
        self.unsent += b"".join(self.queue)
        self.queue.clear()
        self.readable = trio.Event()


class TcpPaths:
    """The TCP connections of one lane."""

    def __init__(
        self,
        ingest: Callable[[Address, list[bytes]], None],
        is_established: Callable[[Address], bool],
        on_closed: Callable[[Address], None],
        limits: TcpLimits,
    ) -> None:
        """`ingest` takes packets just read; `is_established` says whether ICE has validated the path;
        `on_closed` hears of every connection that is gone."""
        self._ingest = ingest
        self._is_established = is_established
        self._on_closed = on_closed
        self._limits = limits
        self._connections: dict[Address, Connection] = {}
        self._per_source: Counter[str] = Counter()
        self.counters: Counter[str] = Counter()

    @property
    def open_connections(self) -> int:
        """How many are open now."""
        return len(self._connections)

    async def serve(
        self,
        listeners: list[trio.SocketListener],
        *,
        task_status: trio.TaskStatus[list[trio.SocketListener]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept until cancelled. Closes the listeners, and every connection with what is queued for it."""
        await trio.serve_listeners(self._serve_connection, listeners, task_status=task_status)

    def send(self, address: Address, data: bytes) -> None:
        """Queue one packet. A full queue loses its oldest; an address without connection loses this one."""
        connection = self._connections.get(address)
        if connection is None:
            self.counters["no_connection"] += 1
            return
        if len(connection.queue) >= self._limits.queued_packets:
            connection.queue.popleft()
            self.counters["queue_overflow"] += 1
        connection.queue.append(frame(data))
        connection.readable.set()

    def close(self, address: Address) -> None:
        """The path is gone: flush and close its connection, if it still has one."""
        connection = self._connections.get(address)
        if connection is not None:
            connection.scope.cancel()

    async def _serve_connection(self, stream: trio.SocketStream) -> None:
        address = _remote_address(stream)
        refusal = self._refusal(address)
        if address is None or refusal is not None:
            self.counters[refusal or "vanished"] += 1
            await trio.aclose_forcefully(stream)
            return
        self.counters["accepted"] += 1
        connection = Connection(stream, address, trio.CancelScope())
        self._connections[address] = connection
        self._per_source[address[1]] += 1
        try:
            with connection.scope:
                await self._exchange(connection)
        finally:
            del self._connections[address]
            self._per_source[address[1]] -= 1
            if not self._per_source[address[1]]:
                del self._per_source[address[1]]
            self._on_closed(address)
            await self._flush_and_close(connection)

    def _refusal(self, address: Address | None) -> str | None:
        if address is None:
            return "vanished"
        if address in self._connections:
            return "refused_duplicate"
        if len(self._connections) >= self._limits.connections:
            return "refused_too_many"
        if self._per_source[address[1]] >= self._limits.connections_per_source:
            return "refused_too_many_from_source"
        return None

    async def _exchange(self, connection: Connection) -> None:
        """Read and write until either side ends. The reason is counted; none is an error of ours."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, connection, nursery.cancel_scope)
            try:
                reason = await self._read(connection)
            except BadPacket as bad:
                reason = bad.reason
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                reason = "connection_lost"
            self.counters[reason.replace("-", "_")] += 1
            nursery.cancel_scope.cancel()

    async def _read(self, connection: Connection) -> str:
        """Feed the plane. Returns why it ended."""
        reader = FrameReader()
        with trio.move_on_after(self._limits.establish_seconds) as establishing:
            first = True
            while not self._is_established(connection.address):
                data = await connection.stream.receive_some(65536)
                if not data:
                    return "closed_by_remote"
                packets = reader.receive_untrusted(bytes(data))
                if first and packets:
                    first = False
                    if demux.classify(packets[0]) is not demux.Kind.STUN:
                        return "first_frame_not_stun"
                self._ingest(connection.address, packets)
        if establishing.cancelled_caught:
            return "not_established_in_time"
        while True:
            with trio.move_on_after(self._limits.idle_seconds) as idle:
                data = await connection.stream.receive_some(65536)
            if idle.cancelled_caught:
                return "idle"
            if not data:
                return "closed_by_remote"
            self._ingest(connection.address, reader.receive_untrusted(bytes(data)))

    async def _write(self, connection: Connection, ending: trio.CancelScope) -> None:
        while True:
            await connection.readable.wait()
            connection.take()
            while connection.unsent:
                with trio.move_on_after(self._limits.stall_seconds) as stalled:
                    try:
                        # Not send_all: when cancelled it can't say how much it has written.
                        sent = await connection.stream.socket.send(connection.unsent)
                    except OSError:
                        ending.cancel()
                        return
                    connection.unsent = connection.unsent[sent:]
                if stalled.cancelled_caught:
                    self.counters["stalled"] += 1
                    ending.cancel()
                    return

    async def _flush_and_close(self, connection: Connection) -> None:
        connection.take()
        if connection.unsent:
            with trio.move_on_after(self._limits.flush_seconds, shield=True):
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await connection.stream.send_all(connection.unsent)
        await trio.aclose_forcefully(connection.stream)


def _remote_address(stream: trio.SocketStream) -> Address | None:
    """Who connected; None when it has gone again already."""
    try:
        host, port, *_ = stream.socket.getpeername()
    except OSError:
        return None
    host = host.partition("%")[0]  # a link-local address comes with its interface
    return ("tcp", host.removeprefix("::ffff:") if "." in host else host, port)
