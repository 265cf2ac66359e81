"""The load: every remote end of a bench in this process, over real UDP, ICE, DTLS and SRTP.

Python sets up: it tells the server of each remote end, makes the first ICE checks and the DTLS handshake. From then on
bench.load, one native thread, does everything: frames, consent checks, reports, feedback, and counting what arrives.
"""

from __future__ import annotations

import functools
import ipaddress
import os
import random
import resource
from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import trio

from bench.errors import BenchError
from bench.load import Load
from bench.remote_end import RemoteEnd, queue_drops
from bench.sources import Script, Source, SyntheticSource, TraceSource, write_script
from bench.target import Room, Stream, Subscription, Target
from server.io.clock import monotonic_ns
from server.rtc import uris
from server.rtc.parameters import RtpParameters, is_rtx
from server.testing.streams import MS, SECOND

__all__ = ["Generator", "Pace", "Publisher", "Source", "SyntheticSource", "TraceSource", "Viewer", "open_generator"]

CONNECT_SECONDS = 30
CONNECTING_AT_ONCE = 8  # more would only make each other's handshakes time out
_LONGEST_SLEEP = 20 * MS  # of the task that plays timeouts: a new remote end is noticed after so long at most
_OTHER_FILES = 256  # open beside the remote ends' sockets
_LEAD = 2 * MS  # from the call of `play` to the earliest frame


@dataclass(slots=True)
class Pace:
    """How well publishers kept to their frame times; sums over them, and the worst `latest_ns`."""

    frames: int = 0
    late_frames: int = 0  # by more than half a frame
    latest_ns: int = 0
    refused_packets: int = 0  # that the sockets did not take


class Publisher:
    """One remote end with one source."""

    def __init__(self, end: RemoteEnd, load: Load, source: Source, script: Script, identity: str) -> None:
        self.id = identity  # the server's
        self.source = source
        self.script = script
        self.exact = script.exact  # whether the server is expected to forward every packet: not so with layers
        self.end = end
        self._load = load
        self._final: Mapping[int, int] | None = None

    @property
    def sent(self) -> int:
        """Media packets, without retransmissions."""
        return sum(self.sent_by_ssrc.values())

    @property
    def sent_by_ssrc(self) -> Mapping[int, int]:
        """The same, by the SSRC that this publisher sends."""
        return self._load.source(self.end.number)["sent"] if self._final is None else self._final

    def close(self) -> None:
        """Leave: say close_notify and close the socket."""
        if self._final is None:
            self._final = self.sent_by_ssrc
            self.end.close()


class Viewer:
    """One remote end that watches any number of publishers over one transport."""

    def __init__(self, end: RemoteEnd, load: Load, subscription: Subscription, publishers: Sequence[Publisher]) -> None:
        self.subscription = subscription
        self.end = end
        self._load = load
        self._publishers = tuple(publishers)
        self._sent_before = {publisher: publisher.sent for publisher in self._publishers}
        self._inexact = {
            stream.parameters.encodings[0].ssrc
            for stream in subscription.streams
            if not next(publisher.exact for publisher in publishers if publisher.id == stream.publisher)
        }
        self._final: tuple[int, int] | None = None

    def expected(self, sent: Mapping[Publisher, int]) -> int:
        """As Generator.expected, of this viewer, when its publishers have `sent` so much."""
        if self._final is not None:
            return self._final[0]
        exact = sum(sent[publisher] - before for publisher, before in self._sent_before.items() if publisher.exact)
        if not self._inexact:
            return exact
        streams = self._load.streams(self.end.number)
        return exact + sum(one["packets"] + one["gaps"] for one in streams if one["ssrc"] in self._inexact)

    @property
    def queue_drops(self) -> int:
        """Datagrams that the kernel dropped at its socket."""
        return queue_drops(self.end.socket) if self._final is None else self._final[1]

    def close(self) -> None:
        """Leave: say close_notify and close the socket. Its counts stay in the generator's totals."""
        if self._final is None:
            sent = {publisher: publisher.sent for publisher in self._publishers}
            self._final = (self.expected(sent), self.queue_drops)
            self.end.close()


class Generator:
    """All remote ends of one server."""

    def __init__(self, *, capacity: int, profile: int, seed: int, address: str, gro: bool, nacks: bool) -> None:
        self.load = Load(capacity, nacks=nacks, seed=seed)
        self.viewers: list[Viewer] = []
        self.handshakes: list[int] = []  # of each connection made: ns from its first ICE check to its keys
        self._publishers: list[Publisher] = []
        self._address = address
        self._gro = gro
        self._profile = profile
        self._random = random.Random(seed)
        self._ends: dict[int, RemoteEnd] = {}
        self._opened: list[RemoteEnd] = []
        self._connecting = trio.CapacityLimiter(CONNECTING_AT_ONCE)

    async def publish(self, room: Room, source: Source) -> Publisher:
        """One more remote end, connected and produced; it sends when played."""
        script = write_script(source, str(self._random.getrandbits(64)))
        async with self._connecting:
            end = self._open_end()
            identity, server = await room.publish(end.local, script.media)
            end.connect(server, monotonic_ns())
            await self._connected(end)
        self.load.publish(
            end.number,
            script.sents,
            script.steps,
            script.data,
            duration=script.duration,
            frame=script.frame,
            transport_seq=script.transport_seq,
        )
        publisher = Publisher(end, self.load, source, script, identity)
        self._publishers.append(publisher)
        return publisher

    async def watch(self, room: Room, publishers: Sequence[Publisher]) -> Viewer:
        """One more remote end that receives these publishers: returns when its media was started."""
        by_id = {publisher.id: publisher for publisher in publishers}
        async with self._connecting:
            end = self._open_end()
            subscription = await room.subscribe(end.local, list(by_id))
            for stream in subscription.streams:
                if stream.publisher not in by_id:
                    raise BenchError(f"the server sends {stream.publisher}, which this viewer did not ask for")
            end.connect(subscription.server, monotonic_ns())
            await self._connected(end)
        self.load.watch(
            end.number,
            [_watched(stream, by_id[stream.publisher].script) for stream in subscription.streams],
            _transport_id(subscription),
        )
        viewer = Viewer(end, self.load, subscription, publishers)
        self.viewers.append(viewer)
        await room.start(subscription)
        self.load.started(end.number)
        return viewer

    async def play(self, publishers: Sequence[Publisher], seconds: float) -> Pace:
        """Let these send for so long (whole frames), their phases spread over a frame interval by the seed.

        Returns when the next frame would be due. Others may join, leave and play meanwhile.
        """
        before = [self.load.source(publisher.end.number) for publisher in publishers]
        begin = last = monotonic_ns() + _LEAD
        for publisher in publishers:
            frame = publisher.script.frame
            start = begin + (self._random.randrange(frame) if len(publishers) > 1 else 0)
            duration = max(1, round(seconds * SECOND / frame)) * frame
            self.load.play(publisher.end.number, start, duration)
            last = max(last, start + duration)
        await trio.sleep(max(0, last - monotonic_ns()) / SECOND)
        # A thread that knows no trio plays them; they end in time, or a little late.
        while any(publisher.end.number >= 0 and self._playing(publisher) for publisher in publishers):  # noqa: ASYNC110
            await trio.sleep(0.002)
        pace = Pace()
        for publisher, earlier in zip(publishers, before, strict=True):
            if publisher.end.closed:
                continue
            now = self.load.source(publisher.end.number)
            pace.frames += now["frames"] - earlier["frames"]
            pace.late_frames += now["late_frames"] - earlier["late_frames"]
            pace.refused_packets += now["refused"] - earlier["refused"]
            pace.latest_ns = max(pace.latest_ns, now["latest"])
        return pace

    def received(self) -> dict[str, int]:
        """Totals over all viewers, also those that left: packets (distinct), bytes (of them: UDP payload), duplicates,
        late (out of order), repaired (came after a NACK), verified (sampled, authentic, in place), rejected (sampled,
        but not so), foreign (of no SSRC that was announced)."""
        counts = self.load.counts()
        names = ("packets", "bytes", "duplicates", "late", "repaired", "verified", "rejected", "foreign")
        return {name: counts[name] for name in names}

    def feedback(self) -> dict[str, int]:
        """What viewers and publishers said and heard besides media, by the names of bench/load.pyx."""
        counts = self.load.counts()
        return {name: value for name, value in counts.items() if name not in self.received() and name != "gaps"}

    def expected(self) -> int:
        """Media packets that viewers should have got by now: of exact publishers, each packet sent since the viewer
        started; of others, what came plus the gaps in the numbers of what came."""
        sent = {publisher: publisher.sent for publisher in self._publishers}
        return sum(viewer.expected(sent) for viewer in self.viewers)

    def gaps(self) -> int:
        """Sequence numbers missing at viewers between the first and the highest that came."""
        return self.load.counts()["gaps"]

    def take_delays(self) -> array[int]:
        """Of the sampled packets since the last call: ns from just before protecting to receipt."""
        return self.load.take_delays()

    def queue_drops(self) -> int:
        """Datagrams that the kernel dropped because the generator was too slow."""
        return sum(viewer.queue_drops for viewer in self.viewers)

    @property
    def overflows(self) -> int:
        """Datagrams for Python (ICE and DTLS at set-up) for which there was no room."""
        return self.load.overflows

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Receive and play timeouts until cancelled."""
        async with trio.open_nursery() as nursery:
            try:
                limiter = trio.CapacityLimiter(1)
                nursery.start_soon(functools.partial(trio.to_thread.run_sync, self.load.run, limiter=limiter))
                task_status.started()
                await self._serve_ends()
            finally:
                self.load.stop()

    def close(self) -> None:
        """Close the sockets; the load must have stopped."""
        for end in self._opened:
            end.close()

    def _playing(self, publisher: Publisher) -> bool:
        return not publisher.end.closed and self.load.source(publisher.end.number)["playing"]

    def _open_end(self) -> RemoteEnd:
        seed = self._random.getrandbits(32)
        end = RemoteEnd(self.load, address=self._address, gro=self._gro, profile=self._profile, seed=seed)
        self._opened = [one for one in self._opened if not one.closed] + [end]
        return end

    async def _connected(self, end: RemoteEnd) -> None:
        self._ends[end.number] = end
        with trio.move_on_after(CONNECT_SECONDS):
            await end.connected.wait()
        if end.failed is not None:
            raise BenchError(end.failed)
        if not end.connected.is_set():
            raise BenchError(f"a connection was not made within {CONNECT_SECONDS} s")
        self.handshakes.append(end.handshake_ns)

    async def _serve_ends(self) -> None:
        handoff = self.load.handoff_fd
        while True:
            now = monotonic_ns()
            waiting = [end for end in self._ends.values() if not end.connected.is_set()]
            due = min((end.due for end in waiting), default=now + _LONGEST_SLEEP)
            with trio.move_on_after(max(0, min(due - now, _LONGEST_SLEEP)) / SECOND):
                await trio.lowlevel.wait_readable(handoff)
            with suppress(BlockingIOError):
                os.read(handoff, 8)
            now = monotonic_ns()
            while (handed := self.load.poll()) is not None:
                number, data = handed
                end = self._ends.get(number)
                if end is not None and not end.closed:
                    end.receive(data, now)
            for end in waiting:
                if end.due <= now and not end.closed:
                    end.handle_timeout(now)


def _watched(stream: Stream, script: Script) -> tuple[int, int, int, bool, bool, bool, int]:
    """As bench.load is told of it."""
    parameters = stream.parameters
    encoding, codec = parameters.encodings[0], parameters.codecs[0]
    if encoding.ssrc is None:
        raise BenchError("the server did not say which SSRC it forwards a stream under")
    nack = any(feedback.type == "nack" and not feedback.parameter for feedback in codec.rtcp_feedback)
    rtx = encoding.rtx.ssrc if encoding.rtx is not None and any(is_rtx(one) for one in parameters.codecs) else 0
    video = codec.mime_type.lower().startswith("video/")
    return encoding.ssrc, rtx, codec.clock_rate, video, nack, script.exact, script.stamped_from


def _transport_id(subscription: Subscription) -> int:
    """The id of the transport-wide sequence number extension, 0 when nobody wants feedback about it."""

    def wanted(parameters: RtpParameters) -> bool:
        return any(feedback.type == "transport-cc" for codec in parameters.codecs for feedback in codec.rtcp_feedback)

    for stream in subscription.streams:
        for extension in stream.parameters.header_extensions:
            if extension.uri == uris.TRANSPORT_CC and wanted(stream.parameters):
                return extension.id
    return 0


def _allow_files(capacity: int) -> None:
    """Raise this process's own limit of open files for so many sockets, as far as it may be raised."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = capacity + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


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
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        raise BenchError(f"{address}: the generator sends from an IPv4 address of this machine") from None
    _allow_files(capacity)
    generator = Generator(capacity=capacity, profile=profile, seed=seed, address=address, gro=gro, nacks=nacks)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(generator.serve)
            yield generator
            nursery.cancel_scope.cancel()
    finally:
        generator.close()
