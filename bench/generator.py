"""The load: every remote end of a bench in this process, over real UDP, ICE, DTLS and SRTP.

Python sets up: it tells the server of each remote end, makes the first ICE checks and the DTLS handshake. From then on
bench.load, one native thread, does everything: frames, consent checks, reports, feedback, and counting what arrives.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bench.target import Room, Subscription, Target
from bench.trace import Trace


@dataclass(frozen=True, slots=True)
class SyntheticSource:
    """VP8-like video at exact frame times: `packets` packets of `size` payload bytes sent at once, `fps` times a second.

    `extensions` are those on every packet: "mid", or "webrtc": what Chromium sends (MID, abs-send-time, transport-wide
    sequence number, transmission time offset).
    """

    packets: int = 10
    size: int = 1200
    fps: int = 30
    extensions: Literal["mid", "webrtc"] = "mid"
    seed: int = 1


@dataclass(frozen=True, slots=True)
class TraceSource:
    """A recorded trace in a loop: its sizes and times, under SSRCs of its own for each publisher."""

    trace: Trace
    seed: int = 1


Source: TypeAlias = SyntheticSource | TraceSource


@dataclass(slots=True)
class Pace:
    """How well publishers kept to their frame times; sums over them, and the worst `latest_ns`."""

    frames: int = 0
    late_frames: int = 0  # by more than half a frame
    latest_ns: int = 0
    refused_packets: int = 0  # that the sockets did not take


class Publisher:
    """One remote end with one source."""

    id: str  # the server's
    source: Source
    exact: bool  # whether the server is expected to forward every packet: not so with simulcast or SVC

    @property
    def sent(self) -> int:
        """Media packets, without retransmissions."""
        raise NotImplementedError

    @property
    def sent_by_ssrc(self) -> Mapping[int, int]:
        """The same, by the SSRC that this publisher sends."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave: say close_notify and close the socket."""
        raise NotImplementedError


class Viewer:
    """One remote end that watches any number of publishers over one transport."""

    subscription: Subscription

    def close(self) -> None:
        """Leave: say close_notify and close the socket. Its counts stay in the generator's totals."""
        raise NotImplementedError


class Generator:
    """All remote ends of one server."""

    async def publish(self, room: Room, source: Source) -> Publisher:
        """One more remote end, connected and produced; it sends when played."""
        raise NotImplementedError

    async def watch(self, room: Room, publishers: Sequence[Publisher]) -> Viewer:
        """One more remote end that receives these publishers: returns when its media was started."""
        raise NotImplementedError

    async def play(self, publishers: Sequence[Publisher], seconds: float) -> Pace:
        """Let these send for so long (whole frames), their phases spread over a frame interval by the seed.

        Returns when the next frame would be due. Others may join, leave and play meanwhile.
        """
        raise NotImplementedError

    def received(self) -> dict[str, int]:
        """Totals over all viewers, also those that left: packets (distinct), bytes (of them: UDP payload), duplicates,
        late (out of order), repaired (came after a NACK), verified (sampled, authentic, in place), rejected (sampled,
        but not so), foreign (of no SSRC that was announced)."""
        raise NotImplementedError

    def expected(self) -> int:
        """Media packets that viewers should have got by now: of exact publishers, each packet sent since the viewer
        started; of others, what came plus the gaps in the numbers of what came."""
        raise NotImplementedError

    def gaps(self) -> int:
        """Sequence numbers missing at viewers between the first and the highest that came."""
        raise NotImplementedError

    def take_delays(self) -> array[int]:
        """Of the sampled packets since the last call: ns from just before protecting to receipt."""
        raise NotImplementedError

    def queue_drops(self) -> int:
        """Datagrams that the kernel dropped because the generator was too slow."""
        raise NotImplementedError

    def feedback(self) -> dict[str, int]:
        """What viewers and publishers said and heard besides media, by name."""
        raise NotImplementedError

    @property
    def overflows(self) -> int:
        """Datagrams for Python (ICE and DTLS at set-up) for which there was no room."""
        raise NotImplementedError

    @property
    def handshakes(self) -> Sequence[int]:
        """Of each connection made: ns from its first ICE check to its keys."""
        raise NotImplementedError


@asynccontextmanager
async def open_generator(
    target: Target,
    *,
    capacity: int,
    profile: int,
    seed: int,
    address: str = "127.0.0.1",
    gro: bool = True,
    nacks: bool = True,
) -> AsyncIterator[Generator]:
    """A load generator for at most `capacity` remote ends at a time, on this IPv4 address, while the context lasts.

    `profile` is the one SRTP profile offered. `gro`: receive coalesced datagrams (UDP_GRO). `nacks`: ask for what is
    missing, as a browser does; without it what is lost stays lost.
    """
    raise NotImplementedError
    yield Generator()
