"""The load: every remote end of a bench in this process, over real UDP, ICE, DTLS and SRTP.

Setting up and the slow things (consent checks, reports) are Python's, through server.testing.browser; the media itself
is received by bench.sink on a thread of its own, and stamped, protected and sent by bench.burst.
"""

from __future__ import annotations

import functools
import os
import random
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import trio

from bench.burst import Burst
from bench.errors import BenchError
from bench.node_process import NodeProcess
from bench.remote_end import RemoteEnd, open_udp, queue_drops
from bench.sink import Sink
from protos import media_pb2 as pb
from server.control import convert
from server.io.clock import monotonic_ns
from server.rtc.address import Address
from server.rtc.certificate import Fingerprint
from server.testing import rtp
from server.testing.browser import PeerConnection, shared_certificate
from server.testing.streams import MS, SECOND, Source, SourceConfig
from server.testing.world import rtp_parameters

CONNECT_SECONDS = 30
CONNECTING_AT_ONCE = 8  # more would only make each other's handshakes time out
_LONGEST_SLEEP = 20 * MS  # of the task that plays timeouts: a new remote end is noticed after so long at most


@dataclass(slots=True)
class Pace:
    """How well a publisher kept to its frame times."""

    frames: int = 0
    late_frames: int = 0  # by more than half a frame
    latest_ns: int = 0
    refused_packets: int = 0  # that the socket did not take


class Publisher:
    """One remote end with one synthetic source."""

    def __init__(self, end: RemoteEnd, config: SourceConfig, producer_id: str, *, seed: int) -> None:
        self.producer_id = producer_id
        self.source = Source(config, seed=seed)
        self._burst = Burst(end.socket.fileno(), end.policy(inbound=False))
        end.start_rtcp(report=self.source.sender_report, first_at=monotonic_ns(), on_rtcp=self.source.receive_rtcp)

    async def play(self, frames: int) -> Pace:
        """Send so many frames, each at its exact time, and return when the next one would be due."""
        interval = SECOND // self.source.config.frames_per_second
        pace = Pace()
        self.source.start(monotonic_ns())
        for _ in range(frames):
            due = self.source.next_timeout()
            assert due is not None
            await _sleep_until(due)
            late = monotonic_ns() - due
            # `due` and not the time it is: the source would make up for missed frames with a double burst.
            self.source.handle_timeout(due)
            packets = list(iter(self.source.poll_transmit, None))
            pace.refused_packets += len(packets) - self._burst.send(packets)
            pace.frames += 1
            pace.late_frames += late > interval // 2
            pace.latest_ns = max(pace.latest_ns, late)
        await _sleep_until(self.source.next_timeout() or 0)
        return pace


class Generator:
    """All remote ends of one node, and the sink for what they receive."""

    def __init__(self, node: NodeProcess, *, capacity: int, profile: int, seed: int) -> None:
        self.sink = Sink(capacity)
        self.ends: list[RemoteEnd] = []
        self._node = node
        self._profile = profile
        self._random = random.Random(seed)
        self._connecting = trio.CapacityLimiter(CONNECTING_AT_ONCE)

    async def connect(self, router_id: str) -> RemoteEnd:
        """One more remote end, connected to a transport of its own."""
        async with self._connecting:
            info = await self._node.call(
                "create_web_rtc_transport", pb.CreateWebRtcTransportRequest(router_id=router_id), pb.WebRtcTransportInfo
            )
            end = await self._open_end(info)
            with trio.move_on_after(CONNECT_SECONDS):
                await end.connected.wait()
                return end
        raise BenchError(f"a connection was not made within {CONNECT_SECONDS} s")

    async def publish(self, end: RemoteEnd, config: SourceConfig) -> Publisher:
        """Produce a source; it sends when played."""
        parameters = rtp_parameters(config, mid=config.extensions[0][1].decode())
        request = pb.ProduceRequest(
            transport_id=end.transport_id,
            kind=pb.VIDEO if config.video else pb.AUDIO,
            rtp_parameters=convert.rtp_parameters_to_pb(parameters),
        )
        info = await self._node.call("produce", request, pb.ProducerInfo)
        return Publisher(end, config, info.id, seed=self._random.getrandbits(32))

    async def watch(self, end: RemoteEnd, producer_id: str, capabilities: pb.RtpCapabilities) -> None:
        """Consume a producer; what arrives is counted by the sink under the end's number."""
        request = pb.ConsumeRequest(
            transport_id=end.transport_id, producer_id=producer_id, rtp_capabilities=capabilities
        )
        # Paused until the sink knows the SSRC, so that the first packet is counted too.
        request.paused = True
        info = await self._node.call("consume", request, pb.ConsumerInfo)
        number, ssrc = self.ends.index(end), info.rtp_parameters.encodings[0].ssrc
        self.sink.watch(number, ssrc, end.policy(inbound=True))
        # Spread over the second, as those of people who came one by one are.
        first_at = monotonic_ns() + self._random.randrange(SECOND)
        report = functools.partial(self._receiver_report, end, number, ssrc)
        end.start_rtcp(report=report, first_at=first_at, on_rtcp=None)
        await self._node.call("resume", pb.ResumeRequest(kind=pb.CONSUMER, id=info.id), pb.Empty)

    def queue_drops(self) -> int:
        """Datagrams that the kernel dropped because the sink was too slow."""
        return sum(queue_drops(end.socket) for end in self.ends)

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Receive and play timeouts until cancelled."""
        async with trio.open_nursery() as nursery:
            try:
                limiter = trio.CapacityLimiter(1)
                nursery.start_soon(functools.partial(trio.to_thread.run_sync, self.sink.run, limiter=limiter))
                task_status.started()
                await self._serve_ends()
            finally:
                self.sink.stop()

    def close(self) -> None:
        """Close the sockets; the sink must have stopped."""
        for end in self.ends:
            end.socket.close()

    async def _open_end(self, info: pb.WebRtcTransportInfo) -> RemoteEnd:
        candidate = info.ice_candidates[0]
        udp = open_udp((candidate.address, candidate.port))
        connection = PeerConnection(
            server=Address("udp", candidate.address, candidate.port),
            seed=self._random.getrandbits(32),
            profiles=(self._profile,),
            certificate=shared_certificate(),
        )
        end = RemoteEnd(udp, info.id, connection)
        self.ends.append(end)
        self.sink.add_socket(udp.fileno())
        fingerprint = pb.DtlsFingerprint(algorithm="sha-256", value=connection.certificate.fingerprint.value)
        await self._node.call(
            "connect_web_rtc_transport",
            pb.ConnectWebRtcTransportRequest(
                transport_id=info.id,
                dtls_parameters=pb.DtlsParameters(role=connection.role.value, fingerprints=[fingerprint]),
            ),
            pb.ConnectWebRtcTransportReply,
        )
        theirs = info.dtls_parameters.fingerprints[0]
        connection.connect(
            info.ice_parameters.username_fragment,
            info.ice_parameters.password,
            Fingerprint(theirs.algorithm, theirs.value),
            monotonic_ns(),
        )
        end.handle_timeout(monotonic_ns())
        return end

    def _receiver_report(self, end: RemoteEnd, number: int, ssrc: int, now: int) -> bytes | None:
        highest = self.sink.counts(number)["highest"]
        if highest < 0:
            return None
        block = struct.pack("!IIIIII", ssrc, 0, highest & 0xFFFFFFFF, 0, 0, 0)
        return rtp.rtcp(rtp.RR, 1, struct.pack("!I", end.connection.own_ssrc) + block)

    async def _serve_ends(self) -> None:
        handoff = self.sink.handoff_fd
        while True:
            now = monotonic_ns()
            due = min((end.due for end in self.ends), default=now + _LONGEST_SLEEP)
            with trio.move_on_after(max(0, min(due - now, _LONGEST_SLEEP)) / SECOND):
                await trio.lowlevel.wait_readable(handoff)
            with suppress(BlockingIOError):
                os.read(handoff, 8)
            now = monotonic_ns()
            while (handed := self.sink.poll()) is not None:
                number, data = handed
                self.ends[number].receive(data, now)
            for end in self.ends:
                if end.due <= now:
                    end.handle_timeout(now)


@asynccontextmanager
async def open_generator(node: NodeProcess, *, capacity: int, profile: int, seed: int) -> AsyncIterator[Generator]:
    """A load generator for at most `capacity` remote ends, for as long as the context lasts."""
    generator = Generator(node, capacity=capacity, profile=profile, seed=seed)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(generator.serve)
            yield generator
            nursery.cancel_scope.cancel()
    finally:
        generator.close()


async def _sleep_until(at: int) -> None:
    await trio.sleep(max(0, at - monotonic_ns()) / SECOND)
