"""One browser of a load generator: a PeerConnection on a UDP socket of its own."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import suppress

import trio

from bench.errors import BenchError
from rtpfwd.params import SrtpProfile
from rtpfwd.srtp import SrtpPolicy
from server.rtc.demux import Kind, classify
from server.rtc.dtls import SrtpKeys
from server.testing import rtp
from server.testing.browser import PeerConnection, srtp_session
from server.testing.streams import SECOND

RECEIVE_BUFFER = 4 * 1024 * 1024  # bytes asked for
REPORT_INTERVAL = SECOND
_NEVER = 1 << 62
_SO_MEMINFO = 55  # linux/socket.h: nine 32-bit figures, of which the last counts the datagrams dropped for want of room
_MEMINFO = struct.Struct("=9I")


def open_udp(server: tuple[str, int]) -> socket.socket:
    """A socket that receives from the server only. SO_RCVBUF is granted up to net.core.rmem_max."""
    try:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    except OSError as error:
        raise BenchError(f"no more sockets: {error.strerror}; raise `ulimit -n`, or use fewer viewers") from error
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    opened.bind(("127.0.0.1", 0))
    opened.connect(server)
    return opened


def queue_drops(udp: socket.socket) -> int:
    """Datagrams that came when the receive queue was full."""
    return int(_MEMINFO.unpack(udp.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))[8])


class RemoteEnd:
    """ICE, DTLS and RTCP of one PeerConnection. Its media is the sink's and the burst's, under the same keys."""

    def __init__(self, udp: socket.socket, transport_id: str, connection: PeerConnection) -> None:
        self.socket = udp
        self.transport_id = transport_id
        self.connection = connection
        self.connected = trio.Event()
        self.due = _NEVER  # when to call handle_timeout
        self._on_rtcp: Callable[[rtp.RtcpPacket], None] | None = None
        self._report: Callable[[int], bytes | None] | None = None
        self._report_at = 0

    @property
    def keys(self) -> SrtpKeys:
        """BenchError before `connected`."""
        if self.connection.keys is None:
            raise BenchError("this connection has no keys yet")
        return self.connection.keys

    def policy(self, *, inbound: bool) -> SrtpPolicy:
        """The keys of one direction, for bench.sink or bench.burst."""
        keys = self.keys
        return SrtpPolicy(SrtpProfile(keys.profile), keys.recv if inbound else keys.send, inbound=inbound)

    def start_rtcp(
        self, *, report: Callable[[int], bytes | None], first_at: int, on_rtcp: Callable[[rtp.RtcpPacket], None] | None
    ) -> None:
        """Send what `report(now)` answers, in the clear, each second from `first_at` on; hear of what is received."""
        keys = self.keys
        self._send_session = srtp_session(keys.profile, keys.send, outbound=True)
        self._recv_session = srtp_session(keys.profile, keys.recv, outbound=False)
        self._report, self._report_at, self._on_rtcp = report, first_at, on_rtcp
        self.due = min(self.due, first_at)

    def receive(self, data: bytes, now: int) -> None:
        """A datagram that is no RTP."""
        if classify(data) is not Kind.RTCP:
            self.connection.receive(data, now)
            self._drain()
        elif self._on_rtcp is not None:
            for packet in rtp.parse_rtcp(self._recv_session.unprotect_rtcp(data)):
                self._on_rtcp(packet)

    def handle_timeout(self, now: int) -> None:
        """Whatever is due."""
        self.connection.handle_timeout(now)
        if self._report is not None and self._report_at <= now:
            self._report_at = now + REPORT_INTERVAL
            if (packet := self._report(now)) is not None:
                self._send(self._send_session.protect_rtcp(packet))
        self._drain()

    def _send(self, datagram: bytes) -> None:
        # A full buffer loses it, as a network would. A server that has gone is noticed by whoever commands it next.
        with suppress(BlockingIOError, ConnectionRefusedError):
            self.socket.send(datagram)

    def _drain(self) -> None:
        connection = self.connection
        while (datagram := connection.poll_transmit()) is not None:
            self._send(datagram)
        if connection.failed is not None:
            raise BenchError(f"DTLS with the server failed: {connection.failed}")
        if connection.keys is not None:
            self.connected.set()
        due = [at for at in (connection.next_timeout(), self._report and self._report_at) if at is not None]
        self.due = min(due, default=_NEVER)
