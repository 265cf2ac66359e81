"""Two lanes, real sockets, and producers that cross from one to the other."""

from __future__ import annotations

import random
import select
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from rtpfwd.lane import Lane
from rtpfwd.params import ConsumerParams, EncodingParams, Handle, ProducerParams, SrtpProfile
from rtpfwd.plane import Plane, link_planes
from tests.rtpfwd.plane_world import VP8, VP8_MAPPING, End, nack, parse_rtp, rtp, vp8
from tests.rtpfwd.test_lane import PATIENCE, address_of, receive, running, udp

STRESS_S = 5.0  # how long the stress test goes on
IDLE_S = 1.0  # a lane that nobody wakes looks up after this time


class Side:
    """One lane with a publisher and some viewers."""

    def __init__(self, viewers: int) -> None:
        self.plane = Plane(max_transports=64, max_streams=256)
        self.lane = Lane(self.plane)
        self.server = udp()
        self.lane.add_socket(self.server.fileno())
        self.to = self.server.getsockname()
        self.sockets = [udp() for _ in range(viewers + 1)]
        profile = SrtpProfile.AEAD_AES_128_GCM
        self.publisher, *self.viewers = (End(self.plane, address_of(sock), profile) for sock in self.sockets)
        self.producer = self.plane.add_producer(
            self.publisher.handle, ProducerParams("video", (VP8,), (EncodingParams(ssrc=0x1000, rtx_ssrc=0x1001),))
        )

    def publish(self, *packets: bytes) -> None:
        for packet in packets:
            self.sockets[0].sendto(self.publisher.protect(packet), self.to)

    def watch(self, viewer: int, producer: Handle, ssrc: int) -> Handle:
        return self.plane.add_consumer(
            self.viewers[viewer].handle,
            producer,
            ConsumerParams(ssrc, VP8_MAPPING, rtx_ssrc=ssrc + 1),
            time.monotonic_ns(),
        )

    def close(self) -> None:
        self.lane.remove_socket(0)
        for sock in (self.server, *self.sockets):
            sock.close()


@contextmanager
def two_lanes(viewers: int) -> Iterator[tuple[Side, Side]]:
    sides = Side(viewers), Side(viewers)
    link_planes([side.plane for side in sides])
    try:
        with ExitStack() as stack:
            for side in sides:
                stack.enter_context(running(side.lane))
            yield sides
    finally:
        for side in sides:
            side.close()


def test_every_single_packet_wakes_the_other_lane() -> None:
    with two_lanes(1) as (near, far):
        mirror = far.plane.mirror_producer(near.plane, near.producer, time.monotonic_ns())
        far.watch(0, mirror, 0x2000)
        for seq in range(2_000):
            body = vp8(keyframe=True) + struct.pack("!I", seq)
            began = time.monotonic()
            near.publish(rtp(seq, body, ssrc=0x1000))
            data = b""
            while not data or 192 <= data[1] <= 223:
                data = receive(far.sockets[1])
            assert time.monotonic() - began < IDLE_S * 0.8, "a wake-up was lost"
            assert parse_rtp(far.viewers[0].rx.unprotect(data)).payload == body
        assert near.plane.counters()["drop_link_full"] == 0


def test_nacks_and_keyframe_requests_cross_real_lanes() -> None:
    with two_lanes(1) as (near, far):
        mirror = far.plane.mirror_producer(near.plane, near.producer, time.monotonic_ns())
        consumer = far.watch(0, mirror, 0x2000)
        bodies = [vp8(keyframe=True) + bytes([n]) for n in range(20)]
        near.publish(*(rtp(seq, body, ssrc=0x1000) for seq, body in enumerate(bodies)))
        viewer = far.viewers[0]
        while len(viewer.rtp) < 20:
            viewer.take(receive(far.sockets[1]))
        far.sockets[1].sendto(viewer.protect(nack(1, 0x2000, viewer.rtp[7].seq)), far.to)
        while len(viewer.rtp) < 21:
            viewer.take(receive(far.sockets[1]))
        assert viewer.rtp[20].payload == struct.pack("!H", viewer.rtp[7].seq) + bodies[7]
        far.plane.request_keyframe(consumer, time.monotonic_ns())
        far.lane.wake()
        while not near.publisher.took_rtcp(206, 1):
            near.publisher.take(receive(near.sockets[0]))


def tagged(who: int, seq: int) -> bytes:
    body = vp8(keyframe=True, size=seq * 37 % 1_100) + struct.pack("!BI", who, seq)
    return body + struct.pack("!I", zlib.crc32(body))


class Traffic(threading.Thread):
    """Both publishers send bursts; everything that any viewer gets is checked, and some of it asked for again."""

    def __init__(self, sides: tuple[Side, Side]) -> None:
        super().__init__()
        self.sides = sides
        self.over = threading.Event()
        self.received = [0, 0]  # by publisher
        self.again = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        try:
            rng = random.Random(1)
            seq = 0
            while not self.over.is_set():
                for who, side in enumerate(self.sides):
                    side.publish(*(rtp(seq + n, tagged(who, seq + n), ssrc=0x1000) for n in range(20)))
                seq += 20
                for side in self.sides:
                    for index in range(len(side.viewers)):
                        self.take(side, index, rng)
        except Exception as failure:  # told by the test, which fails on it
            self.wrong.append(repr(failure))

    def take(self, side: Side, index: int, rng: random.Random) -> None:
        sock, viewer = side.sockets[index + 1], side.viewers[index]
        while select.select([sock], [], [], 0)[0]:
            data = sock.recv(4_096)
            if 192 <= data[1] <= 223:
                viewer.rx.unprotect_rtcp(data)
                continue
            clear = viewer.rx.unprotect(data)  # raises for what is not authentic, or sent twice
            padding = clear[-1] if clear[0] & 0x20 else 0
            packet = parse_rtp(bytes([clear[0] & 0xDF]) + clear[1 : len(clear) - padding])
            payload = packet.payload
            if packet.ssrc & 1:
                payload = payload[2:]
                self.again += 1
            elif rng.random() < 0.02:
                sock.sendto(viewer.protect(nack(1, packet.ssrc, packet.seq)), side.to)
            who, _seq, check = struct.unpack("!BII", payload[-9:])
            if zlib.crc32(payload[:-4]) != check:
                self.wrong.append(f"a payload that nobody sent: {payload!r}")
            self.received[who] += 1


@pytest.mark.slow
def test_cross_traffic_while_mirrors_and_viewers_come_and_go() -> None:
    """About five seconds; the two lanes, the traffic and this thread share the cores, so they meet everywhere."""
    rng = random.Random(2)
    with two_lanes(3) as sides:
        traffic = Traffic(sides)
        traffic.start()
        try:
            churn(sides, rng, time.monotonic() + STRESS_S)
        finally:
            traffic.over.set()
            traffic.join(PATIENCE)
        assert traffic.wrong == []
        assert min(traffic.received) > 1_000
        assert traffic.again > 0
        for side in sides:
            side.plane.remove_transport(side.publisher.handle)
        deadline = time.monotonic() + PATIENCE
        while any(left := [held_buffers(side.plane) for side in sides]):
            assert time.monotonic() < deadline, f"buffers that never come back: {left}"
        for side in sides:
            assert side.plane.counters()["link_packets_received"] > 0


def held_buffers(plane: Plane) -> int:
    figures = plane.counters()
    return figures["buffers"] - figures["buffers_free"]


def churn(sides: tuple[Side, Side], rng: random.Random, until: float) -> None:
    mirrors: list[Handle | None] = [None, None]  # of the other side's producer, by side
    consumers: list[list[Handle]] = [[], []]
    ssrc = 0x10000
    while time.monotonic() < until:
        here = rng.randrange(2)
        side, other = sides[here], sides[1 - here]
        mirror = mirrors[here]
        now = time.monotonic_ns()
        action = rng.random()
        if mirror is None:
            mirrors[here] = side.plane.mirror_producer(other.plane, other.producer, now)
        elif action < 0.05:
            side.plane.remove_producer(mirror)
            mirrors[here] = None
            consumers[here] = [handle for handle in consumers[here] if is_alive(side.plane, handle)]
        elif action < 0.5 and len(consumers[here]) < 6:
            source = mirror if rng.random() < 0.7 else side.producer
            ssrc += 2
            consumers[here].append(side.watch(rng.randrange(len(side.viewers)), source, ssrc))
        elif action < 0.7 and consumers[here]:
            side.plane.remove_consumer(consumers[here].pop(rng.randrange(len(consumers[here]))))
        elif action < 0.8:
            side.plane.pause_producer(mirror)
            side.plane.resume_producer(mirror, now)
        elif consumers[here]:
            side.plane.request_keyframe(rng.choice(consumers[here]), now)
        side.lane.wake()
        other.lane.wake()


def is_alive(plane: Plane, consumer: Handle) -> bool:
    with suppress(KeyError):
        plane.consumer_stats(consumer)
        return True
    return False


def test_a_lane_may_end_while_the_other_one_goes_on() -> None:
    with two_lanes(1) as (near, far):
        far.watch(0, far.plane.mirror_producer(near.plane, near.producer, time.monotonic_ns()), 0x2000)
        near.watch(0, near.producer, 0x3000)
        far.lane.stop()
        for first in range(0, 3_000, 50):
            bodies = [tagged(0, seq) for seq in range(first, first + 50)]
            near.publish(*(rtp(seq, body, ssrc=0x1000) for seq, body in enumerate(bodies, first)))
            for _ in bodies:
                receive(near.sockets[1])
        assert near.plane.counters()["drop_link_full"] > 0
        assert near.plane.counters()["drop_no_buffer"] == 0
