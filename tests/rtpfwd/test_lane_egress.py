"""The lane against kernels that merge, segment or refuse. The refusals are the kernel's own, not a stand-in's."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable

import pytest

from rtpfwd.lane import Lane
from rtpfwd.params import ConsumerParams, SrtpProfile
from rtpfwd.plane import Plane, link_planes
from tests.needs import need_network_namespaces, need_program
from tests.rtpfwd.plane_world import VP8_MAPPING, parse_rtp, rtp, vp8
from tests.rtpfwd.refusals import GETSOCKOPT, SENDMMSG, SETSOCKOPT, command, enter_namespace, in_thread, refuse
from tests.rtpfwd.test_lane import PATIENCE, Call, call, receive, running, udp

SOL_UDP, UDP_SEGMENT, UDP_GRO = 17, 103, 104
IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2


def burst(made: Call, count: int, *, size: int = 1000, first: int = 0) -> list[bytes]:
    """Payloads published, keyframe first."""
    sent = [vp8(keyframe=n == 0, size=size - 2) + n.to_bytes(2, "big") for n in range(first, first + count)]
    made.publish(*[rtp(first + n + 1, payload, ssrc=0x1000) for n, payload in enumerate(sent)])
    return sent


def publish_merged(made: Call, payloads: list[bytes], first: int) -> None:
    """All in one segmented message, which arrives at the lane in one piece if its socket takes that."""
    packets = [made.publisher.protect(rtp(first + n + 1, each, ssrc=0x1000)) for n, each in enumerate(payloads)]
    segment = struct.pack("=H", len(packets[0]))
    made.sockets[0].sendmsg(packets, [(SOL_UDP, UDP_SEGMENT, segment)], 0, made.to)


def until(made: Call, condition: Callable[[dict[str, int]], bool]) -> dict[str, int]:
    deadline = time.monotonic() + PATIENCE
    while not condition(counters := made.lane.counters()):
        assert time.monotonic() < deadline, counters
        time.sleep(0.001)
    return counters


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_merged_datagrams_are_taken_apart(host):
    with call(host) as made, running(made.lane):
        sent: list[bytes] = []
        for first in range(0, 200, 40):
            payloads = [vp8(keyframe=first + n == 0, size=900) + bytes([first + n]) for n in range(40)]
            payloads[-1] = payloads[-1][:1] + payloads[-1][700:]  # the last of a message may be shorter
            publish_merged(made, payloads, first)
            assert made.media(0, 40) == payloads
            assert made.media(1, 40) == payloads
            sent += payloads
        counters = made.lane.counters()
    assert counters["received_datagrams"] == made.plane.counters()["received_packets"] >= len(sent)
    assert counters["received_messages"] <= counters["received_datagrams"] - 5 * 39


def test_more_merged_datagrams_than_the_plane_has_places_for_are_all_forwarded():
    with call(viewers=1) as made:
        sent: list[bytes] = []
        for first in range(0, 1500, 60):
            payloads = [vp8(keyframe=first + n == 0, size=100) + n.to_bytes(2, "big") for n in range(60)]
            publish_merged(made, payloads, first)
            sent += payloads
        with running(made.lane):
            assert made.media(0, len(sent)) == sent
        counters = made.plane.counters()
        assert counters["forwarded_packets"] == len(sent)
        assert not any(value for name, value in counters.items() if name.startswith("drop_"))


def test_a_kernel_that_does_not_merge():
    def work() -> None:
        refuse(SETSOCKOPT, errno.ENOPROTOOPT, third_argument=UDP_GRO)
        with call(viewers=1) as made:
            payloads = [vp8(keyframe=n == 0, size=900) + bytes([n]) for n in range(40)]
            publish_merged(made, payloads, 0)
            with running(made.lane):
                assert made.media(0, 40) == payloads
            counters = made.lane.counters()
            assert counters["received_messages"] == counters["received_datagrams"] >= 40

    in_thread(work)


def test_a_kernel_that_does_not_segment():
    def work() -> None:
        refuse(GETSOCKOPT, errno.ENOPROTOOPT, third_argument=UDP_SEGMENT)
        with call(viewers=1) as made:
            sent = burst(made, 40)
            with running(made.lane):
                assert made.media(0, 40) == sent
            counters = made.lane.counters()
            assert counters["sent_messages"] == counters["sent_datagrams"] >= 40
            assert counters["send_errors"] == 0

    in_thread(work)


@pytest.mark.parametrize(
    ("error", "counter"),
    [(errno.ENOBUFS, "send_no_buffers"), (errno.ENOMEM, "send_no_buffers"), (errno.ENETUNREACH, "send_errors")],
)
def test_what_the_kernel_refuses_is_dropped_and_counted_once(error, counter):
    """Every sendmmsg fails. Only what may be the fault of segmentation is tried again, datagram by datagram."""
    with call(viewers=1) as made:
        sent = burst(made, 40)

        def work() -> dict[str, int]:
            refuse(SENDMMSG, error)
            made.lane.run()
            return made.lane.counters()

        stopper = threading.Thread(target=lambda: (until(made, lambda c: c["send_calls"] > 0), made.lane.stop()))
        stopper.start()
        counters = in_thread(work)
        stopper.join()
        if error == errno.ENETUNREACH:
            assert made.media(0, 40) == sent
        else:
            assert counters[counter] == counters["send_errors"] >= 40
            assert counters["sent_datagrams"] == 0
        assert counters["send_waiting"] == 0


def test_a_firewall_that_forbids_one_destination_costs_only_that():
    need_network_namespaces()
    need_program("nft", "nftables")

    def work() -> None:
        enter_namespace()
        with call(viewers=2) as made:
            port = made.sockets[2].getsockname()[1]
            command("nft", "add table ip t; add chain ip t o { type filter hook output priority 0; }")
            command("nft", f"add rule ip t o udp dport {port} drop")
            sent = burst(made, 40)
            with running(made.lane):
                assert made.media(0, 40) == sent
                counters = until(made, lambda c: c["send_forbidden"] >= 40)
            assert counters["send_forbidden"] == counters["send_errors"]
            assert counters["gso_fallbacks"] == 0
            assert counters["gso_small_paths"] == 0
            # One try for each message, and one for each message's first datagram.
            assert counters["send_calls"] < 20

    in_thread(work)


def test_a_path_too_narrow_for_segments_gets_fragments_and_is_remembered():
    need_network_namespaces()

    def work() -> None:
        enter_namespace()
        command("ip", "link", "set", "lo", "mtu", "700")
        with call(viewers=1) as made:
            sent = burst(made, 40)  # before the lane looks, so that it finds several to join
            with running(made.lane):
                assert made.media(0, 40) == sent
                found = made.lane.counters()["gso_small_paths"]
                assert found >= 1
                assert burst(made, 40, first=40) == made.media(0, 40)
                small = burst(made, 40, first=80, size=500)
                assert made.media(0, 40) == small
                counters = made.lane.counters()
                assert counters["gso_small_paths"] == found
                assert counters["gso_fallbacks"] == counters["send_errors"] == 0

    in_thread(work)


def test_what_is_too_long_for_a_path_and_may_not_be_cut_is_counted():
    need_network_namespaces()

    def work() -> None:
        enter_namespace()
        command("ip", "link", "set", "lo", "mtu", "700")
        with call(viewers=1) as made:
            made.server.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
            burst(made, 10)
            with running(made.lane):
                counters = until(made, lambda c: c["send_too_long"] >= 10)
                small = burst(made, 10, first=10, size=400)
                assert made.media(0, 10) == small
            assert counters["send_errors"] == counters["send_too_long"] == 10

    in_thread(work)


def slow_link(rate: str, work: Callable[[Callable[[], socket.socket]], None]) -> None:
    """Run `work` where the way to its viewers (made by its argument) is a device of that rate with a long queue."""
    need_network_namespaces()
    need_program("tc", "iproute2")
    ready, over = threading.Event(), threading.Event()
    far: list[int] = []

    def beyond() -> None:
        try:
            enter_namespace()
            far.append(threading.get_native_id())
        finally:
            ready.set()
        over.wait()

    def near() -> None:
        enter_namespace()
        command("ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", str(far[0]))
        command("ip", "address", "add", "10.9.8.1/24", "dev", "near")
        command("ip", "link", "set", "near", "up")
        command("nsenter", f"--net=/proc/{far[0]}/ns/net", "ip", "address", "add", "10.9.8.2/24", "dev", "far")
        command("nsenter", f"--net=/proc/{far[0]}/ns/net", "ip", "link", "set", "far", "up")
        command("tc", "qdisc", "add", "dev", "near", "root", "tbf", "rate", rate, "burst", "16kb", "limit", "4mb")
        work(lambda: in_namespace(far[0], lambda: udp("10.9.8.2")))

    keeper = threading.Thread(target=beyond)
    keeper.start()
    try:
        ready.wait()
        if not far:
            pytest.skip("making network namespaces takes root")
        in_thread(near)
    finally:
        over.set()
        keeper.join()


def in_namespace(thread: int, make: Callable[[], socket.socket]) -> socket.socket:
    """What `make` opens, opened in the network namespace of another thread."""

    def work() -> socket.socket:
        descriptor = os.open(f"/proc/{thread}/ns/net", os.O_RDONLY)
        try:
            assert ctypes.CDLL(None).setns(descriptor, 0) == 0
        finally:
            os.close(descriptor)
        return make()

    return in_thread(work)


def test_a_full_socket_buffer_is_not_waited_for_and_nothing_is_lost_or_reordered():
    def work(viewer_socket: Callable[[], socket.socket]) -> None:
        with call(viewers=2, viewer_socket=viewer_socket) as made:
            made.server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
            sent = burst(made, 200)
            with running(made.lane):
                counters = until(made, lambda c: c["send_waiting"] > 50)
                assert counters["send_would_block"] > 0
                # Meanwhile the lane goes on: it receives, and hands over.
                made.sockets[0].sendto(b"\x00\x01hello", made.to)
                assert select.select([made.lane.handoff_fd], [], [], PATIENCE)[0]
                assert made.lane.counters()["send_waiting"] > 0
                sent += burst(made, 60, first=200)  # behind what waits
                assert made.media(0, len(sent)) == sent
                assert made.media(1, len(sent)) == sent
                counters = until(made, lambda c: c["send_waiting"] == 0)
            assert counters["send_errors"] == 0
            assert not any(value for name, value in counters.items() if name.startswith("send_dropped"))
            # An idle lane sleeps again: EPOLLOUT is not asked for any more.
            wakeups = counters["wakeups"]
            assert wakeups < 2000

    slow_link("8mbit", work)


def test_when_the_backlog_is_full_video_goes_and_what_comes_later_arrives():
    def work(viewer_socket: Callable[[], socket.socket]) -> None:
        with call(viewers=1, profile=None, viewer_socket=viewer_socket) as made:
            made.server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
            sent: list[bytes] = []
            with running(made.lane):
                for first in range(0, 1600, 40):
                    sent += burst(made, 40, first=first, size=600)
                    until(made, lambda c, due=first + 40: c["received_datagrams"] >= due)
                counters = until(made, lambda c: c["send_dropped_video"] > 0)
                found: list[bytes] = []
                while not found or found[-1] != sent[-1]:
                    packet = receive(made.sockets[1])
                    if not 192 <= packet[1] <= 223:
                        found.append(parse_rtp(packet).payload)
                counters = until(made, lambda c: c["send_waiting"] == 0)
            assert counters["send_dropped_audio"] == counters["send_dropped_other"] == 0
            assert len(found) == len(sent) - counters["send_dropped_video"]
            places = [sent.index(payload) for payload in found]
            assert places == sorted(places)

    slow_link("5mbit", work)  # 1 MB in 1.6 s: a busy machine sends it in less


def test_a_socket_that_is_removed_takes_its_backlog_with_it():
    def work(viewer_socket: Callable[[], socket.socket]) -> None:
        with call(viewers=1, viewer_socket=viewer_socket) as made:
            made.server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
            burst(made, 200)
            with running(made.lane):
                until(made, lambda c: c["send_waiting"] > 50)
                made.lane.remove_socket(0)
                counters = made.lane.counters()
                assert counters["send_waiting"] == 0
                assert counters["send_dropped_video"] > 50
                made.number = made.lane.add_socket(made.server.fileno())
                assert made.number == 1
                made.sockets[0].sendto(b"\x00\x01hello", made.to)
                assert select.select([made.lane.handoff_fd], [], [], PATIENCE)[0]

    slow_link("1mbit", work)


def test_a_hundred_thousand_datagrams():
    with call(viewers=20, profile=None) as made, running(made.lane):
        for first in range(0, 5000, 50):
            payloads = [vp8(keyframe=first + n == 0, size=200) for n in range(50)]
            packets = [rtp(first + n + 1, each, ssrc=0x1000) for n, each in enumerate(payloads)]
            made.sockets[0].sendmsg(packets, [(SOL_UDP, UDP_SEGMENT, struct.pack("=H", len(packets[0])))], 0, made.to)
            for viewer in made.sockets[1:]:
                left = 50
                while left:
                    left -= not 192 <= receive(viewer)[1] <= 223
        assert made.plane.counters()["forwarded_packets"] == 100_000
        counters = made.lane.counters()
        assert counters["send_errors"] == counters["send_would_block"] == 0


def test_it_waits_for_the_rest_of_a_burst_only_when_told_to():
    for coalesce_us in (0, 200):
        with call(viewers=1, coalesce_us=coalesce_us) as made, running(made.lane):
            assert burst(made, 1) == made.media(0, 1)
            # The next comes to a lane that sleeps, or is about to.
            time.sleep(0.05)
            assert burst(made, 1, first=1) == made.media(0, 1)
            counters = made.lane.counters()
            assert (counters["coalesced_wakeups"] > 0) == (coalesce_us > 0)


def test_its_thread_has_a_name_and_a_cpu_while_it_runs():
    cpu = min(os.sched_getaffinity(0))
    before = os.sched_getaffinity(0)
    with call(viewers=1, cpu=cpu) as made:
        seen: list[tuple[str, set[int]]] = []

        def work() -> None:
            made.lane.run()
            seen.append((name_of(threading.get_native_id()), os.sched_getaffinity(0)))

        thread = threading.Thread(target=work, name="whoever")
        thread.start()
        assert burst(made, 1) == made.media(0, 1)
        assert thread.native_id is not None
        assert name_of(thread.native_id) == "sl-lane-3"
        assert os.sched_getaffinity(thread.native_id) == {cpu}
        made.lane.stop()
        thread.join(PATIENCE)
        assert seen[0][0] != "sl-lane-3"
        assert seen[0][1] == before


def name_of(thread: int) -> str:
    with open(f"/proc/self/task/{thread}/comm") as file:
        return file.read().strip()


def test_options_that_cannot_be_right_are_refused():
    for options in ({"coalesce_us": 201}, {"coalesce_us": -1}, {"cpu": -2}, {"cpu": 1 << 20}):
        with pytest.raises(ValueError, match=next(iter(options))):
            Lane(Plane(seed=1), **options)
    lane = Lane(Plane(seed=1), index=2, cpu=1023)
    with pytest.raises(OSError, match="lane 2 may not run on CPU 1023"):
        lane.run()
    lane.stop()


def test_how_long_commands_made_it_wait_is_counted():
    with call(viewers=1, profile=SrtpProfile.AES128_CM_SHA1_80) as made, running(made.lane):
        assert burst(made, 10) == made.media(0, 10)
        counters = made.lane.counters()
        assert 0 < counters["lock_wait_max_ns"] <= counters["lock_wait_total_ns"]
        assert counters["lock_waits_over_50us"] * 50_000 <= counters["lock_wait_total_ns"]


def test_a_lane_wakes_another_one_whose_plane_it_gave_packets():
    with call(viewers=1) as near, call(viewers=1) as far:
        link_planes([near.plane, far.plane])
        mirror = far.plane.mirror_producer(near.plane, near.producer, 0)
        far.plane.add_consumer(far.viewers[0].handle, mirror, ConsumerParams(0x5000, VP8_MAPPING), 0)
        with running(near.lane), running(far.lane):
            for first in range(0, 200, 10):
                sent = burst(near, 10, first=first)
                assert near.media(0, 10) == sent
                assert far.media(0, 10) == sent
        assert near.lane.counters()["lane_wakes"] > 0
