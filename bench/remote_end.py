"""One remote end of a load generator: a PeerConnection on a UDP socket of its own, until it is connected."""

from __future__ import annotations

import ipaddress
import socket
import struct
from contextlib import suppress

import trio

from bench.errors import BenchError
from bench.load import Load
from bench.target import LocalEnd, ServerEnd
from rtpfwd.params import SrtpProfile
from rtpfwd.srtp import SrtpPolicy
from server.io.clock import monotonic_ns
from server.rtc import stun
from server.rtc.address import Address
from server.testing.browser import PeerConnection, shared_certificate

RECEIVE_BUFFER = 4 * 1024 * 1024  # bytes asked for
_NEVER = 1 << 62
_PRIORITY = 0x6E7F1EFF  # of a host candidate
_SO_MEMINFO = 55  # linux/socket.h: nine 32-bit figures, of which the last counts the datagrams dropped for want of room
_MEMINFO = struct.Struct("=9I")
_UDP_GRO = 104  # linux/udp.h


def open_udp(address: str, *, gro: bool) -> socket.socket:
    """A bound socket. SO_RCVBUF is granted up to net.core.rmem_max."""
    try:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    except OSError as error:
        raise BenchError(f"no more sockets: {error.strerror}; raise `ulimit -n`, or use fewer viewers") from error
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    if gro:
        with suppress(OSError):  # before Linux 5.0: datagrams come one by one
            opened.setsockopt(socket.SOL_UDP, _UDP_GRO, 1)
    try:
        opened.bind((address, 0))
    except OSError as error:
        opened.close()
        raise BenchError(f"{address}: no address of this machine to send from: {error.strerror}") from error
    return opened


def queue_drops(udp: socket.socket) -> int:
    """Datagrams that came when the receive queue was full."""
    return int(_MEMINFO.unpack(udp.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))[8])


class RemoteEnd:
    """Python's half: everything until `connected`, and the goodbye. In between it is bench.load's."""

    def __init__(self, load: Load, *, address: str, gro: bool, profile: int, seed: int) -> None:
        self.socket = open_udp(address, gro=gro)
        # Where the server is, is known when it has been told of this end.
        self.connection = PeerConnection(
            server=Address("udp", address, 0), seed=seed, profiles=(profile,), certificate=shared_certificate()
        )
        self.connected = trio.Event()
        self.failed: str | None = None
        self.due = _NEVER  # when to call handle_timeout
        self.number = -1  # in bench.load
        self.handshake_ns = 0
        self.closed = False
        self._load = load
        self._seed = seed
        self._began = 0
        self._server: ServerEnd | None = None

    @property
    def local(self) -> LocalEnd:
        """What the server is told."""
        address, port = self.socket.getsockname()
        connection = self.connection
        fingerprint = connection.certificate.fingerprint
        return LocalEnd(address, port, connection.username_fragment, connection.password, fingerprint)

    def connect(self, server: ServerEnd, now: int) -> None:
        """Begin ICE's checks."""
        self._server, self._began = server, now
        try:
            self.socket.connect((server.address, server.port))
        except OSError as error:
            raise BenchError(f"{server.address}:{server.port} can't be reached: {error.strerror}") from error
        self.number = self._load.add(self.socket.fileno())
        self.connection.server = Address("udp", server.address, server.port)
        self.connection.connect(server.username_fragment, server.password, server.fingerprint, now)
        self.handle_timeout(now)

    def receive(self, data: bytes, now: int) -> None:
        """A datagram of ICE or DTLS."""
        self.connection.receive(data, now)
        self._drain(now)

    def handle_timeout(self, now: int) -> None:
        """Whatever is due."""
        self.connection.handle_timeout(now)
        self._drain(now)

    def close(self) -> None:
        """Say goodbye; the counts stay in the load's totals."""
        if self.closed:
            return
        self.closed, self.due = True, _NEVER
        if self.number >= 0:
            self.connection.close(monotonic_ns())
            while (datagram := self.connection.poll_transmit()) is not None:
                self._send(datagram)
            self._load.remove(self.number)
        self.socket.close()

    def _send(self, datagram: bytes) -> None:
        # A full buffer loses it, as a network would. A server that has gone is noticed by whoever commands it next.
        with suppress(BlockingIOError, ConnectionRefusedError):
            self.socket.send(datagram)

    def _drain(self, now: int) -> None:
        connection = self.connection
        while (datagram := connection.poll_transmit()) is not None:
            self._send(datagram)
        if connection.failed is not None:
            self.failed = f"DTLS with the server failed: {connection.failed}"
            self.connected.set()
        if connection.keys is not None and not self.connected.is_set():
            self._hand_over(now)
        self.due = _NEVER if self.connected.is_set() else connection.next_timeout() or _NEVER

    def _hand_over(self, now: int) -> None:
        """From here on it is all native."""
        keys, server, connection = self.connection.keys, self._server, self.connection
        assert keys is not None
        assert server is not None
        request = stun.build_request(
            f"{server.username_fragment}:{connection.username_fragment}",
            server.password,
            priority=_PRIORITY,
            ice_controlling=self._seed,
            transaction_id=self._seed.to_bytes(12, "big"),
        )
        profile = SrtpProfile(keys.profile)
        self._load.activate(
            self.number,
            SrtpPolicy(profile, keys.recv, inbound=True),
            SrtpPolicy(profile, keys.send, inbound=False),
            connection.own_ssrc,
            request=request,
            remote_password=server.password.encode(),
            own_password=connection.password.encode(),
            server_address=int(ipaddress.IPv4Address(server.address)),
            server_port=server.port,
        )
        self.handshake_ns = now - self._began
        self.connected.set()
