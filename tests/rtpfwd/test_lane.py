"""The lane on real sockets of the loopback interface, with pylibsrtp as the foreign end."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rtpfwd.lane import Lane
from rtpfwd.params import Address, ConsumerParams, EncodingParams, ProducerParams, SrtpProfile
from rtpfwd.plane import Plane
from tests.rtpfwd.plane_world import VP8, VP8_MAPPING, End, parse_rtp, rtp, vp8

PATIENCE = 10.0  # s; a deadline, never a wait
SO_TIMESTAMPNS = 35  # Linux: the kernel tells when each datagram came, as seconds and ns of the real-time clock


def udp(host: str = "127.0.0.1", *, dual: bool = False) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if dual or ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    if dual:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind((host, 0))
    sock.setblocking(False)
    return sock


def address_of(sock: socket.socket) -> Address:
    host, port = sock.getsockname()[:2]
    return ("udp", host, port)


def receive(sock: socket.socket) -> bytes:
    ready, _, _ = select.select([sock], [], [], PATIENCE)
    assert ready, "nothing came"
    return sock.recv(4096)


def signalled(lane: Lane, poll: Callable[[], Any]) -> Any:
    """What `poll` gives once the lane has signalled it; it signals events too, which may come before."""
    while True:
        ready, _, _ = select.select([lane.handoff_fd], [], [], PATIENCE)
        assert ready, "no signal came"
        os.read(lane.handoff_fd, 8)
        if (found := poll()) is not None:
            return found


@contextmanager
def running(lane: Lane) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=lane.run)
    thread.start()
    try:
        yield thread
    finally:
        lane.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


class Call:
    """A lane with one publisher and viewers, each a real socket with its own SRTP."""

    def __init__(
        self,
        host: str,
        viewers: int,
        profile: SrtpProfile | None,
        *,
        dual: bool = False,
        viewer_socket: Callable[[], socket.socket] | None = None,
        coalesce_us: int = 0,
        cpu: int = -1,
    ) -> None:
        self.plane = Plane(max_transports=64, max_streams=256, seed=1)
        self.lane = Lane(self.plane, index=3, cpu=cpu, coalesce_us=coalesce_us)
        self.server = udp("::" if dual else "0.0.0.0" if viewer_socket else host, dual=dual)
        self.number = self.lane.add_socket(self.server.fileno())
        assert self.number == 0
        self.to = (host, self.server.getsockname()[1])
        self.sockets = [udp(host), *((viewer_socket or (lambda: udp(host)))() for _ in range(viewers))]
        self.publisher, *self.viewers = (End(self.plane, address_of(sock), profile) for sock in self.sockets)
        self.producer = self.plane.add_producer(
            self.publisher.handle, ProducerParams("video", (VP8,), (EncodingParams(ssrc=0x1000, rtx_ssrc=0x1001),))
        )
        for viewer in self.viewers:
            self.plane.add_consumer(viewer.handle, self.producer, ConsumerParams(0x2000, VP8_MAPPING), 0)

    def publish(self, *packets: bytes) -> None:
        for packet in packets:
            self.sockets[0].sendto(self.publisher.protect(packet), self.to)

    def media(self, index: int, count: int) -> list[bytes]:
        """Payloads of the next media packets of one viewer."""
        viewer = self.viewers[index]
        found = len(viewer.rtp) + count
        while len(viewer.rtp) < found:
            viewer.take(receive(self.sockets[index + 1]))
        return [packet.payload for packet in viewer.rtp[-count:]]

    def close(self) -> None:
        self.lane.remove_socket(self.number)
        for sock in (self.server, *self.sockets):
            sock.close()


@contextmanager
def call(
    host: str = "127.0.0.1",
    viewers: int = 2,
    profile: SrtpProfile | None = SrtpProfile.AEAD_AES_128_GCM,
    **options: Any,
) -> Iterator[Call]:
    made = Call(host, viewers, profile, **options)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("profile", list(SrtpProfile), ids=lambda p: p.name)
@pytest.mark.parametrize(("host", "dual"), [("127.0.0.1", False), ("::1", False), ("127.0.0.1", True), ("::1", True)])
def test_it_forwards_over_ipv4_ipv6_and_dual_stack(host, dual, profile):
    with call(host, profile=profile, dual=dual) as made, running(made.lane):
        sent = [vp8(keyframe=n == 0) + bytes([n]) for n in range(20)]
        made.publish(*[rtp(n + 1, payload, ssrc=0x1000) for n, payload in enumerate(sent)])
        assert made.media(0, 20) == sent
        assert made.media(1, 20) == sent


def test_sizes_that_differ_arrive_whole():
    with call(viewers=1) as made, running(made.lane):
        sizes = [1100, 1100, 1100, 1099, 1100, 5, 1100, 1100, 0, 900, 900, 901]
        sent = [vp8(keyframe=n == 0, size=size) for n, size in enumerate(sizes)]
        made.publish(*[rtp(n + 1, payload, ssrc=0x1000) for n, payload in enumerate(sent)])
        assert made.media(0, len(sent)) == sent


def test_bursts_leave_as_segmented_messages_where_the_kernel_can():
    with call(viewers=2) as made:
        sent = [vp8(keyframe=n == 0, size=1000) for n in range(40)]
        made.publish(*[rtp(n + 1, payload, ssrc=0x1000) for n, payload in enumerate(sent)])
        with running(made.lane):
            assert made.media(0, 40) == sent
            assert made.media(1, 40) == sent
        counters = made.lane.counters()
        assert counters["sent_datagrams"] >= 80
        assert counters["gso_fallbacks"] in (0, 1)
        if not counters["gso_fallbacks"]:
            assert counters["sent_messages"] < 20


def test_a_segmented_message_that_the_kernel_refuses_goes_out_singly():
    with call(viewers=1) as made:
        # Without checksums the kernel segments nothing: EIO on IPv4.
        made.server.setsockopt(socket.SOL_SOCKET, 11, 1)  # SO_NO_CHECK
        sent = [vp8(keyframe=n == 0, size=1000) for n in range(10)]
        made.publish(*[rtp(n + 1, payload, ssrc=0x1000) for n, payload in enumerate(sent)])
        with running(made.lane):
            assert made.media(0, 10) == sent
        assert made.lane.counters()["send_errors"] == 0


def test_stun_and_dtls_reach_python_and_its_answers_leave():
    with call(viewers=0) as made, running(made.lane):
        made.sockets[0].sendto(b"\x00\x01hello", made.to)
        number, source, data = signalled(made.lane, made.plane.poll_handoff)
        assert (number, source, data) == (0, address_of(made.sockets[0]), b"\x00\x01hello")
        made.lane.send(number, source, b"\x01\x01answer")
        assert receive(made.sockets[0]) == b"\x01\x01answer"
        made.lane.send(number, ("udp", "::1", 9), b"no such family here")
        assert made.lane.counters()["python_send_errors"] == 1
        with pytest.raises(KeyError):
            made.lane.send(5, source, b"")


def test_a_source_that_cannot_be_answered_is_not_handed_over():
    with call(viewers=0) as made, running(made.lane):
        try:
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
        except PermissionError:
            pytest.skip("raw sockets take root")
        with raw:
            body = b"\x00\x01from port 0"
            raw.sendto(struct.pack("!HHHH", 0, made.to[1], 8 + len(body), 0) + body, (made.to[0], 0))
        made.sockets[0].sendto(b"\x00\x01hello", made.to)
        handed = signalled(made.lane, made.plane.poll_handoff)
        assert handed[2] == b"\x00\x01hello"
        assert made.plane.counters()["drop_unknown_source"] == 1


def test_output_for_tcp_reaches_python():
    with call(viewers=1) as made, running(made.lane):
        tcp = ("tcp", "127.0.0.1", 999)
        made.plane.set_remote(made.viewers[0].handle, 0, tcp)
        made.publish(rtp(1, vp8(keyframe=True), ssrc=0x1000))
        number, address, data = signalled(made.lane, made.plane.poll_transmit)
        assert (number, address) == (0, tcp)
        assert parse_rtp(made.viewers[0].rx.unprotect(data)).payload == vp8(keyframe=True)


def test_what_python_ingests_leaves_after_wake():
    with call(viewers=1) as made, running(made.lane):
        protected = made.publisher.protect(rtp(1, vp8(keyframe=True), ssrc=0x1000))
        made.plane.ingest([(0, made.publisher.address, protected)], time.monotonic_ns())
        made.lane.wake()
        assert made.media(0, 1) == [vp8(keyframe=True)]


def test_timers_run_without_traffic():
    with call(viewers=1) as made, running(made.lane):
        made.publish(rtp(1, vp8(keyframe=True), ssrc=0x1000), rtp(3, vp8(), ssrc=0x1000))
        while not made.publisher.took_rtcp(205, 1):
            made.publisher.take(receive(made.sockets[0]))


def test_an_idle_lane_sleeps():
    with call(viewers=0) as made:
        with running(made.lane):
            for _ in range(3):
                made.lane.wake()
            made.sockets[0].sendto(b"\x00\x01hello", made.to)
            assert select.select([made.lane.handoff_fd], [], [], PATIENCE)[0]
        assert made.lane.counters()["wakeups"] < 12


def test_stop_before_run_and_again_after():
    lane = Lane(Plane(seed=1))
    lane.stop()
    lane.run()
    lane.stop()
    lane.run()


def test_a_lane_is_not_run_twice_at_once_and_a_plane_has_one_lane():
    plane = Plane(seed=1)
    lane = Lane(plane)
    with pytest.raises(ValueError, match="lane already"):
        Lane(plane)
    with running(lane):
        started = time.monotonic()
        while lane.counters()["wakeups"] == 0 and time.monotonic() - started < PATIENCE:
            lane.wake()
        with pytest.raises(RuntimeError, match="running"):
            lane.run()


def test_sockets_come_and_go_while_it_runs():
    with call(viewers=1) as made, running(made.lane):
        for _ in range(50):
            with udp() as extra:
                number = made.lane.add_socket(extra.fileno())
                assert number > 0
                made.sockets[0].sendto(b"\x00\x01x", extra.getsockname())
                made.lane.remove_socket(number)
            with pytest.raises(KeyError):
                made.lane.remove_socket(number)
        made.publish(rtp(1, vp8(keyframe=True), ssrc=0x1000))
        assert made.media(0, 1) == [vp8(keyframe=True)]


def test_what_is_no_udp_socket_is_refused():
    lane = Lane(Plane(seed=1))
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream, pytest.raises(ValueError, match="UDP"):
        lane.add_socket(stream.fileno())
    with pytest.raises(OSError, match="socket"):
        lane.add_socket(lane.handoff_fd)


def test_a_thousand_packets_to_twenty_viewers():
    """A smoke of throughput: everything sent arrives, with no bound on time but the test's patience."""
    with call(viewers=20) as made, running(made.lane):
        for start in range(0, 1000, 20):
            burst = [vp8(keyframe=n == 0, size=900) for n in range(start, start + 20)]
            made.publish(*[rtp(start + n + 1, payload, ssrc=0x1000) for n, payload in enumerate(burst)])
            for index in range(20):
                assert made.media(index, 20) == burst
        assert made.plane.counters()["forwarded_packets"] == 20_000


def test_commands_while_it_forwards():
    with call(viewers=2) as made, running(made.lane):
        failures: list[BaseException] = []
        done = threading.Event()

        def command() -> None:
            try:
                while not done.is_set():
                    now = time.monotonic_ns()
                    transport = made.plane.add_transport(srtp=True)
                    made.plane.set_keys(transport, SrtpProfile.AEAD_AES_128_GCM, bytes(28), bytes(28))
                    made.plane.set_remote(transport, 0, ("udp", "127.0.0.1", 9))
                    consumer = made.plane.add_consumer(
                        transport, made.producer, ConsumerParams(0x7000, VP8_MAPPING, rtx_ssrc=0x7001), now
                    )
                    made.plane.pause_consumer(consumer)
                    made.plane.resume_consumer(consumer, now)
                    made.plane.consumer_stats(consumer)
                    made.plane.producer_stats(made.producer)
                    made.plane.counters()
                    made.lane.wake()
                    made.plane.remove_transport(transport)
            except BaseException as error:  # told to the test's own thread
                failures.append(error)

        threads = [threading.Thread(target=command) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for start in range(0, 600, 10):
                burst = [vp8(keyframe=n == 0, size=500) + bytes([n & 255]) for n in range(start, start + 10)]
                made.publish(*[rtp(start + n + 1, payload, ssrc=0x1000) for n, payload in enumerate(burst)])
                for index in range(2):
                    assert made.media(index, 10) == burst
        finally:
            done.set()
            for thread in threads:
                thread.join(PATIENCE)
        assert failures == []
        assert made.plane.counters()["streams"] == 3


def test_large_rooms_go_while_they_are_served():
    """Producers and viewers of which a part has been served; what is left of them must not be touched again."""
    with call(viewers=2) as made, running(made.lane):
        sink = udp()
        viewers = [End(made.plane, ("udp", f"127.2.0.{1 + n}", sink.getsockname()[1]), None) for n in range(60)]
        sender = udp()
        publisher = End(made.plane, address_of(sender), None)
        for turn in range(40):
            source = made.plane.add_producer(
                publisher.handle, ProducerParams("video", (VP8,), (EncodingParams(ssrc=0x5000),))
            )
            consumers = [
                made.plane.add_consumer(viewer.handle, source, ConsumerParams(0x6000 + n, VP8_MAPPING), 0)
                for n, viewer in enumerate(viewers * 3)
            ]
            for n in range(4):
                sender.sendto(rtp(n + 1, vp8(keyframe=True), ssrc=0x5000), made.to)
            deadline = time.monotonic() + PATIENCE
            while made.plane.producer_stats(source)[0]["packets"] == 0:
                assert time.monotonic() < deadline, "nothing came"
            for consumer in consumers[turn::2]:
                made.plane.remove_consumer(consumer)
            made.plane.remove_producer(source)
            burst = [vp8(keyframe=True, size=500) + bytes([turn])]
            made.publish(rtp(turn + 1, burst[0], ssrc=0x1000))
            assert [made.media(index, 1) for index in range(2)] == [burst, burst]
        assert made.plane.counters()["streams"] == 3
        sink.close()
        sender.close()


def test_a_flood_that_python_ingests_leaves_room_for_what_the_lane_receives():
    with call(viewers=1) as made:
        other = udp()
        visitor = End(made.plane, address_of(other), SrtpProfile.AEAD_AES_128_GCM)
        camera = made.plane.add_producer(
            visitor.handle, ProducerParams("video", (VP8,), (EncodingParams(ssrc=0x3000, rtx_ssrc=0x3001),))
        )
        made.plane.add_consumer(made.viewers[0].handle, camera, ConsumerParams(0x4000, VP8_MAPPING), 0)
        flood = [made.publisher.protect(rtp(n + 1, vp8(keyframe=n == 0), ssrc=0x1000)) for n in range(2000)]
        made.plane.ingest([(0, made.publisher.address, packet) for packet in flood], time.monotonic_ns())
        sent = [vp8(keyframe=n == 0) + bytes([n]) for n in range(20)]
        for n, payload in enumerate(sent):
            other.sendto(visitor.protect(rtp(n + 1, payload, ssrc=0x3000)), made.to)
        with running(made.lane), other:
            found: list[bytes] = []
            deadline = time.monotonic() + PATIENCE
            while len(found) < len(sent) and time.monotonic() < deadline:
                made.viewers[0].take(receive(made.sockets[1]))
                found = [packet.payload for packet in made.viewers[0].rtp if packet.ssrc == 0x4000]
            assert found == sent


def test_a_python_that_stalls_does_not_stop_forwarding():
    """
    Packets are sent and forwarded in a stretch in which this thread never lets go of the GIL. The counts are read right
    after it, and the kernel's time of arrival of every forwarded packet is before its end.
    """
    count = 40
    with call(viewers=1) as made, running(made.lane):
        made.sockets[1].setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        packets = [
            made.publisher.protect(rtp(n + 1, vp8(keyframe=n == 0, size=200), ssrc=0x1000)) for n in range(count)
        ]
        libc = ctypes.PyDLL(None)  # unlike socket.send, its functions are called with the GIL held
        made.sockets[0].connect(made.to)
        descriptor = made.sockets[0].fileno()
        interval = sys.getswitchinterval()
        sys.setswitchinterval(60.0)  # nobody else is given the GIL, however long they ask
        try:
            for packet in packets:
                assert libc.send(descriptor, packet, len(packet), 0) == len(packet)
                end = time.monotonic() + 0.01
                while time.monotonic() < end:
                    pass
            end = time.monotonic() + 0.2
            while time.monotonic() < end:
                pass
            stalled_until = time.time_ns()
            forwarded = made.plane.counters()["forwarded_packets"]
        finally:
            sys.setswitchinterval(interval)
        assert forwarded == count
        arrivals = []
        while len(arrivals) < count:
            assert select.select([made.sockets[1]], [], [], PATIENCE)[0], "nothing came"
            data, ancillary, _, _ = made.sockets[1].recvmsg(4096, 256)
            if not 192 <= data[1] <= 223:
                stamp = next(value for _, kind, value in ancillary if kind == SO_TIMESTAMPNS)
                seconds, rest = struct.unpack("@qq", stamp[:16])
                arrivals.append(seconds * 1_000_000_000 + rest)
        # The kernel may begin to stamp a moment after it was asked to; what came before is stamped as it is read.
        assert max(arrivals[1:]) < stalled_until
