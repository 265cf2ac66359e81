"""The media node: its planes, core, lanes and control, in one nursery that lives as long as the node."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import trio

from protos.control import MediaNode
from rtpfwd.plane import Plane, link_planes
from rtpfwd.srtp import set_backend
from server import __version__
from server.config import MediaConfig
from server.control.local import LocalNode
from server.control.watch import Watchers
from server.errors import LocalError
from server.io.addresses import enumerate_interfaces, ice_candidates, reachable_addresses
from server.io.clock import monotonic_ns
from server.io.drive import Drive
from server.io.metrics import MediaCollector
from server.io.sockets import BoundPort, open_port
from server.io.tcp import TcpLimits
from server.io.udp import LaneShell, serve_lane
from server.media.commands import Commands
from server.media.core import MediaCore
from server.policy.registry import Registry, standard_registry
from server.rtc.address import Address
from server.rtc.certificate import Certificate

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NodeHandle:
    """A running node, as its composition root sees it."""

    media_node: MediaNode
    ports: tuple[int, ...]  # by lane: the UDP port, and the TCP port of the same number
    addresses: tuple[str, ...]  # that the ICE candidates name, best first
    collector: MediaCollector
    planes: tuple[Plane, ...]  # by lane: to look at their memory


@dataclass(frozen=True, slots=True)
class LaneSockets:
    """Opens and closes the sockets of plain transports on the lanes."""

    shells: Sequence[LaneShell]
    listen_host: str
    buffer_bytes: int
    address: str  # to tell remotes

    def open(self, lane: int) -> tuple[int, Address]:
        """(socket id, the address to tell the remote). Raises LocalError."""
        socket, port = self.shells[lane].open_socket(self.listen_host, self.buffer_bytes)
        return socket, Address("udp", self.address, port)

    def release(self, lane: int, socket: int) -> None:
        """Close one that is not needed after all."""
        self.shells[lane].release(socket)


async def serve_node(
    config: MediaConfig, *, task_status: trio.TaskStatus[NodeHandle] = trio.TASK_STATUS_IGNORED
) -> None:
    """Run a media node until cancelled; starts with its NodeHandle. Raises LocalError when a port can't be had, or the
    CPU lacks what the chosen SRTP backend needs. That choice is the whole process's.

    Cancelled, it closes every transport (remotes get DTLS's close_notify), stops the lanes and closes the sockets.
    """
    _choose_srtp_backend(config.srtp_backend)
    bounds = _open_ports(config)
    addresses = reachable_addresses(
        enumerate_interfaces(),
        listen_host=config.listen_host,
        announced=config.announced,
        ipv4=bounds[0].ipv4,
        ipv6=bounds[0].ipv6,
    )
    limits = config.limits
    # A plane admits four addresses per transport on average. Twice the transports make room for eight each.
    places = min(2 * limits.max_transports, 65536)
    planes = [Plane(max_transports=places, max_streams=limits.max_streams) for _ in range(config.lane_count)]
    if len(planes) > 1:
        link_planes(planes)
    core = MediaCore(
        planes,
        [ice_candidates(addresses, bound.port, tcp=bound.tcp is not None) for bound in bounds],
        certificate=Certificate.generate(),
        on_defect=_log_defect,
        limits=limits,
        consent_timeout_ns=config.consent_timeout_ns,
        adaptation=config.adaptation,
        registry=_policies(),
        stopwatch=monotonic_ns,
    )
    tcp_limits = TcpLimits(
        connections=config.max_tcp_connections, connections_per_source=config.max_tcp_connections_per_source
    )
    shells = [
        LaneShell(
            index,
            plane,
            bound,
            tcp_limits,
            limits.max_plain_transports,
            cpu=config.lane_cpus[index] if config.lane_cpus else -1,
            coalesce_us=config.coalesce_us,
        )
        for index, (plane, bound) in enumerate(zip(planes, bounds, strict=True))
    ]
    watchers = Watchers(config.max_watchers)
    drive = Drive(core, shells, watchers.publish)
    sockets = LaneSockets(shells, config.listen_host, config.socket_buffer_bytes, addresses[0] if addresses else "")
    node = LocalNode(drive, watchers, sockets, node_id=config.node_id or secrets.token_hex(8), version=__version__)
    handle = NodeHandle(
        node, tuple(bound.port for bound in bounds), addresses, MediaCollector(core, shells), tuple(planes)
    )
    await _serve(shells, drive, handle, task_status)


async def _serve(
    shells: Sequence[LaneShell], drive: Drive, handle: NodeHandle, task_status: trio.TaskStatus[NodeHandle]
) -> None:
    # The lanes outlive the cancellation of everything else for the moment that it takes to say goodbye through them.
    lanes = trio.CancelScope(shield=True)

    async def serve_lanes(*, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with lanes:
            async with trio.open_nursery() as nursery:
                for shell in shells:
                    await nursery.start(serve_lane, shell, drive)
                task_status.started()

    async with trio.open_nursery() as nursery:
        try:
            await nursery.start(serve_lanes)
            await nursery.start(drive.serve)
            task_status.started(handle)
            await trio.sleep_forever()
        finally:
            drive.run(Commands(drive.core).stop)
            lanes.cancel()


def _open_ports(config: MediaConfig) -> list[BoundPort]:
    """One per lane; none stays open when one can't be had."""
    with ExitStack() as stack:
        bounds: list[BoundPort] = []
        for index in range(config.lane_count):
            port = config.media_port + index if config.media_port else 0
            bound = open_port(config.listen_host, port, tcp=config.tcp, buffer_bytes=config.socket_buffer_bytes)
            stack.callback(bound.close)
            bounds.append(bound)
        stack.pop_all()
        return bounds


def _policies() -> Registry:
    """Ours, and those of installed packages."""
    registry, broken = standard_registry()
    for each in broken:
        log.error("the policies of %s are not there: %s", each.entry_point, each.problem)
    return registry


def _choose_srtp_backend(name: str) -> None:
    try:
        set_backend(name)
    except ValueError as refused:
        raise LocalError(f"srtp_backend: {refused}") from None


def _log_defect(what: str, error: BaseException) -> None:
    log.error("%s was closed by a fault of this node", what, exc_info=error)
