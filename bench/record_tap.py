"""A media node of one publisher whose every packet passes Python, and the tap that keeps a copy of each in the clear.

    browser ──UDP──> TapShell ──> Tap: decrypt a copy, note when it arrived
                        └───────> Plane.ingest, as a lane would: RRs, NACKs, transport-cc, … go back to the browser

The node is the real core on a real plane; only the lane's thread is missing. Keys live in libsrtp's sessions and are
neither kept nor shown.
"""

from __future__ import annotations

import secrets
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable

import pylibsrtp
import trio

from bench.errors import BenchError
from rtpfwd.params import Address, Handle, SrtpProfile
from rtpfwd.plane import Plane
from server.io.drive import Drive
from server.media.core import ICE_SOCKET
from server.rtc.demux import Kind, classify
from server.testing import rtp
from server.testing.browser import srtp_session

RECEIVE_BUFFER = 4 << 20  # bytes asked for
MOST_PACKETS = 1_000_000  # of one recording, whatever the browser sends
LARGEST_DATAGRAM = 65535
_BATCH = 64  # datagrams between two turns of everything else
_SO_TIMESTAMPNS = 35  # asm-generic/socket.h; its control message has the same number
_TIMESPEC = struct.Struct("=qq")


class Tap:
    """Copies of what the browser sent: (monotonic ns of arrival, the packet in the clear)."""

    def __init__(self) -> None:
        self.received: Counter[int] = Counter()  # bytes, by SSRC, since the beginning
        self.newest: dict[int, int] = {}  # sequence number, by SSRC
        self.undecipherable = 0  # packets: late, repeated or forged
        self.on_packet: Callable[[bytes], None] | None = None  # called with each RTP packet
        self._kept: list[tuple[int, bytes]] | None = None
        self._inbound: pylibsrtp.Session | None = None
        self._outbound: pylibsrtp.Session | None = None
        self._ssrc = secrets.randbits(32)  # of our own requests; the plane's have another one

    def set_keys(self, profile: SrtpProfile, send_key: bytes, recv_key: bytes) -> None:
        """Called by the plane of this tap when DTLS is done."""
        self._inbound = srtp_session(int(profile), recv_key, outbound=False)
        self._outbound = srtp_session(int(profile), send_key, outbound=True)

    @property
    def connected(self) -> bool:
        """Whether DTLS is done."""
        return self._inbound is not None

    def take(self, datagram: bytes, at: int) -> None:
        """A datagram as it came from the network; anything may be in it."""
        kind = classify(datagram)
        if self._inbound is None or kind not in {Kind.RTP, Kind.RTCP}:
            return
        unprotect = self._inbound.unprotect if kind is Kind.RTP else self._inbound.unprotect_rtcp
        try:
            packet = unprotect(datagram)
        except pylibsrtp.Error:
            self.undecipherable += 1
            return
        if kind is Kind.RTP:
            ssrc = int.from_bytes(packet[8:12], "big")
            self.received[ssrc] += len(packet)
            self.newest[ssrc] = int.from_bytes(packet[2:4], "big")
            if self.on_packet is not None:
                self.on_packet(packet)
        if self._kept is not None and len(self._kept) < MOST_PACKETS:
            self._kept.append((at, packet))

    def begin(self) -> None:
        """Keep what comes from now on."""
        self._kept = []

    def end(self) -> list[tuple[int, bytes]]:
        """What came since `begin`."""
        kept, self._kept = self._kept or [], None
        return kept

    def keyframe_request(self, ssrc: int) -> bytes:
        """A PLI for the browser, protected."""
        return self._protected(rtp.pli(self._ssrc, ssrc))

    def retransmission_request(self, ssrc: int) -> bytes:
        """A NACK of the newest packet, protected."""
        return self._protected(rtp.nack(self._ssrc, ssrc, [self.newest[ssrc]]))

    def _protected(self, packet: bytes) -> bytes:
        # SRTCP counts packets per sender's SSRC (RFC 3711 section 3.4), so ours don't clash with the plane's.
        assert self._outbound is not None, "only a browser that is connected is asked for something"
        return self._outbound.protect_rtcp(packet)


class TappedPlane(Plane):
    """A plane that tells its tap the keys of its one transport."""

    tap: Tap

    def set_keys(self, transport: Handle, profile: SrtpProfile, send_key: bytes, recv_key: bytes) -> None:
        """As the plane does."""
        super().set_keys(transport, profile, send_key, recv_key)
        self.tap.set_keys(profile, send_key, recv_key)


class TapShell:
    """The Outlet of a plane without a lane: one UDP socket on 127.0.0.1, served by trio."""

    def __init__(self, plane: TappedPlane, tap: Tap) -> None:
        self.plane = plane
        self.tap = tap
        plane.tap = tap
        self.refused = 0  # datagrams that the socket did not take
        self._changed = trio.Event()
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._udp.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._remote: Address | None = None
        try:
            self._udp.bind(("127.0.0.1", 0))
        except OSError as error:
            self._udp.close()
            raise BenchError(f"no UDP port on 127.0.0.1: {error.strerror}") from error

    @property
    def port(self) -> int:
        """Of the socket."""
        return int(self._udp.getsockname()[1])

    def send(self, socket: int, address: Address, data: bytes) -> None:
        """A datagram of the core's or the plane's."""
        try:
            self._udp.sendto(data, address[1:])
            self._remote = address
        except OSError:  # a full buffer loses it, as a network would
            self.refused += 1

    def wake(self) -> None:
        """The plane was commanded."""
        self._changed.set()

    def path_closed(self, address: Address) -> None:
        """Nothing of UDP's has to be closed."""

    def release(self, socket: int) -> None:
        """There is one socket, and it stays."""

    def ask(self, request: bytes) -> None:
        """Send a request of the tap's to the browser."""
        if self._remote is not None:
            self.send(ICE_SOCKET, self._remote, request)

    async def serve(self, drive: Drive, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Receive and play the plane's timeouts until cancelled; the socket is closed then."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._serve_timeouts, drive)
                task_status.started()
                while True:
                    await trio.lowlevel.wait_readable(self._udp)
                    self._receive(drive)
                    self._pump(drive)
        finally:
            self._udp.close()

    async def _serve_timeouts(self, drive: Drive) -> None:
        while True:
            self._changed = trio.Event()
            due = self.plane.next_timeout()
            wait = float("inf") if due is None else (due - drive.clock()) / 1e9
            with trio.move_on_after(max(wait, 0)):
                await self._changed.wait()
            self.plane.handle_timeout(drive.clock())
            self._pump(drive)

    def _receive(self, drive: Drive) -> None:
        for _ in range(_BATCH):
            try:
                datagram, control, _, source = self._udp.recvmsg(LARGEST_DATAGRAM, 128)
            except BlockingIOError:
                return
            except ConnectionError:  # the browser's port is closed (ICMP): the browser has gone, or comes back
                continue
            now = drive.clock()
            self.tap.take(datagram, now - _age(control))
            self.plane.ingest([(ICE_SOCKET, ("udp", source[0], source[1]), datagram)], now)

    def _pump(self, drive: Drive) -> None:
        """Everything that the plane has for others."""
        while (event := self.plane.poll_event()) is not None:
            drive.core.plane_event(0, event)
        while (handed := self.plane.poll_handoff()) is not None:
            drive.receive(0, *handed)
        while (output := self.plane.poll_transmit()) is not None:
            self.send(*output)
        self._changed.set()  # what was received may have brought the next timeout nearer


def _age(control: list[tuple[int, int, bytes]]) -> int:
    """How long ago the kernel received this datagram, ns: this process may have been kept waiting for a CPU."""
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            stamp: int = seconds * 1_000_000_000 + nanoseconds
            return max(0, time.time_ns() - stamp)
    return 0
