"""One lane on trio: its sockets, its native thread, and what the plane hands to Python.

The thread forwards media without Python. This side wakes for what only Python can do: STUN and DTLS datagrams, the
plane's rare events, and packets for TCP connections, which the lane can't write.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

import trio

from rtpfwd.lane import Lane
from rtpfwd.params import Address
from rtpfwd.plane import Plane
from server.errors import LocalError
from server.io.clock import monotonic_ns
from server.io.drive import Drive
from server.io.sockets import BoundPort, open_udp
from server.io.tcp import TcpLimits, TcpPaths
from server.media.core import ICE_SOCKET
from server.media.errors import LimitReached

# What one turn takes before other tasks have theirs. Most datagrams cost microseconds, a handshake half a millisecond.
_BATCH = 256
_TURN_NS = 5_000_000


class LaneShell:
    """The Outlet of one lane, and the sockets that it serves. Made before the Drive; `serve_lane` brings it to life."""

    def __init__(
        self,
        index: int,
        plane: Plane,
        bound: BoundPort,
        tcp_limits: TcpLimits,
        max_sockets: int,
        *,
        cpu: int = -1,
        coalesce_us: int = 0,
    ) -> None:
        self.index = index
        self.plane = plane
        self.bound = bound
        self.lane = Lane(plane, index=index, cpu=cpu, coalesce_us=coalesce_us)
        self.tcp = TcpPaths(self._ingest, self._is_established, self._path_lost, tcp_limits)
        self._max_sockets = max_sockets
        self._plain_sockets: dict[int, socket.socket] = {}
        self._drive: Drive | None = None
        self._closed = False
        main = self.lane.add_socket(bound.udp.fileno())
        if main != ICE_SOCKET:
            raise LocalError(f"the lane numbered its first socket {main}, not {ICE_SOCKET}")

    def attach(self, drive: Drive) -> None:
        """Where handed-off datagrams go from now on."""
        self._drive = drive

    def send(self, socket: int, address: Address, data: bytes) -> None:
        """A datagram of Python's: at once over UDP, through the connection's queue over TCP."""
        if address[0] == "tcp":
            self.tcp.send(address, data)
        elif not self._closed and (socket == ICE_SOCKET or socket in self._plain_sockets):
            self.lane.send(socket, address, data)

    def wake(self) -> None:
        """The plane was commanded."""
        self.lane.wake()

    def path_closed(self, address: Address) -> None:
        """Close the TCP connection of a path that no transport uses any more."""
        if address[0] == "tcp":
            self.tcp.close(address)

    def open_socket(self, host: str, buffer_bytes: int) -> tuple[int, int]:
        """A UDP socket of its own for a plain transport: (socket id, port). Raises LimitReached."""
        if len(self._plain_sockets) >= self._max_sockets:
            raise LimitReached(f"lane {self.index} serves {self._max_sockets} plain transports, its limit")
        try:
            udp = open_udp(host, 0, buffer_bytes=buffer_bytes)
        except LocalError as refused:
            raise LimitReached(f"no socket for a plain transport: {refused}") from refused
        try:
            number = self.lane.add_socket(udp.fileno())
        except (OSError, RuntimeError) as refused:
            udp.close()
            raise LimitReached(f"no socket for a plain transport: {refused}") from refused
        self._plain_sockets[number] = udp
        return number, int(udp.getsockname()[1])

    def release(self, socket: int) -> None:
        """Close a plain transport's socket."""
        udp = self._plain_sockets.pop(socket, None)
        if udp is not None:
            self.lane.remove_socket(socket)
            udp.close()

    def close(self) -> None:
        """Close every socket. The lane must have stopped."""
        for number in list(self._plain_sockets):
            self.release(number)
        self._closed = True
        self.lane.remove_socket(ICE_SOCKET)
        self.bound.close()

    def pump(self) -> bool:
        """Take what the plane has for Python. False when some was left for the next turn."""
        drive = self._drive
        assert drive is not None, "serve_lane attaches the drive first"
        until = drive.clock() + _TURN_NS
        # Media first: it is cheap, and its queue is bounded too.
        for _ in range(_BATCH):
            packet = self.plane.poll_transmit()
            if packet is None:
                break
            self.tcp.send(packet[1], packet[2])
        else:
            return False
        while (event := self.plane.poll_event()) is not None:
            drive.plane_event(self.index, event)
        for _ in range(_BATCH):
            handed = self.plane.poll_handoff()
            if handed is None:
                return True
            drive.receive(self.index, *handed)
            if drive.clock() >= until:
                break
        return False

    def _ingest(self, address: Address, packets: list[bytes]) -> None:
        """Packets read from a TCP connection: into the plane, as if the lane had received them."""
        self.plane.ingest([(ICE_SOCKET, address, packet) for packet in packets], monotonic_ns())
        if not self.pump():
            os.eventfd_write(self.lane.handoff_fd, 1)  # the rest in turn with everybody else's
        self.lane.wake()

    def _is_established(self, address: Address) -> bool:
        assert self._drive is not None
        return self._drive.core.owns_path(self.index, ICE_SOCKET, address)

    def _path_lost(self, address: Address) -> None:
        drive = self._drive
        assert drive is not None
        drive.run(lambda now: drive.core.path_lost(self.index, ICE_SOCKET, address, now))


async def serve_lane(
    shell: LaneShell, drive: Drive, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Forward until cancelled; the thread then stops within one turn of its loop, and the sockets are closed."""
    shell.attach(drive)
    limiter = trio.CapacityLimiter(1)  # a lane occupies its thread for good: it must not count against trio's pool
    try:
        async with trio.open_nursery() as nursery:
            try:
                await nursery.start(_run_lane, shell.lane, limiter)
                if shell.bound.tcp is not None:
                    listener = trio.SocketListener(trio.socket.from_stdlib_socket(shell.bound.tcp))
                    await nursery.start(shell.tcp.serve, [listener])
                task_status.started()
                await _serve_handoffs(shell)
            finally:
                shell.lane.stop()
    finally:
        shell.close()


async def _run_lane(
    lane: Lane, limiter: trio.CapacityLimiter, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    def run() -> None:
        trio.from_thread.run_sync(task_status.started)  # the thread exists now, with the priority of its maker
        lane.run()

    # Not abandoned on cancel: the nursery waits until the thread has returned, so nobody frees what it uses.
    await trio.to_thread.run_sync(run, limiter=limiter)


async def _serve_handoffs(shell: LaneShell) -> None:
    fd = shell.lane.handoff_fd
    while True:
        await trio.lowlevel.wait_readable(fd)
        with suppress(BlockingIOError):
            os.read(fd, 8)
        while not shell.pump():
            await trio.lowlevel.checkpoint()
