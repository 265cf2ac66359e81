"""Real sockets of real processes across the emulated link."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from server.testing.emulator import NetworkPair
from server.testing.netem import MS, LinkConfig
from tests.needs import need_network_namespaces

ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 7007))
print("bound", flush=True)
while True:
    data, source = s.recvfrom(2000)
    s.sendto(data, source)
"""

SEND_TEN = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(10):
    s.sendto(bytes(100), (sys.argv[1], 7009))
"""

ASK = """
import select, socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
trips = []
for number in range(400):
    sent = time.monotonic()
    s.sendto(number.to_bytes(4, "big") * 100, (sys.argv[1], 7007))
    while select.select([s], [], [], 0.06)[0]:
        if s.recvfrom(2000)[0][:4] == number.to_bytes(4, "big"):
            trips.append(time.monotonic() - sent)
            break
print(len(trips), min(trips))
"""


@pytest.mark.slow
def test_loss_and_delay_reach_real_programs():
    need_network_namespaces()
    with NetworkPair(LinkConfig(loss=0.05, delay_ns=10 * MS), seed=3) as pair:
        server = subprocess.Popen(pair.inside("b", [sys.executable, "-c", ECHO]), stdout=subprocess.PIPE)
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == b"bound\n"
            asked = subprocess.run(
                pair.inside("a", [sys.executable, "-c", ASK, pair.address("b")]),
                capture_output=True,
                check=True,
                timeout=60,
            )
        finally:
            server.kill()
            server.communicate()
    answered, shortest = asked.stdout.split()
    assert 400 * 0.8 < int(answered) < 400  # 0.95 squared is 0.90
    assert float(shortest) >= 0.020
    assert 5 <= pair.counters["a_to_b"]["lost"] <= 45
    assert pair.counters["a_to_b"]["sent"] >= 400


def test_a_link_changes_while_it_carries():
    """Datagrams that nobody takes: the emulator's counters tell what became of them."""
    need_network_namespaces()
    with NetworkPair(LinkConfig(), seed=6) as pair:
        send = pair.inside("a", [sys.executable, "-c", SEND_TEN, pair.address("b")])
        taken = 0

        def ten_more() -> dict[str, int]:
            nonlocal taken
            subprocess.run(send, check=True)
            taken += 10
            deadline = time.monotonic() + 5
            while (counters := pair.read()["a_to_b"])["sent"] < taken and time.monotonic() < deadline:
                pass
            return counters

        assert ten_more()["lost"] == 0
        pair.change([(0.0, LinkConfig(loss=1.0), LinkConfig()), (1.5, LinkConfig(), LinkConfig())])
        counters = ten_more()
        assert counters["lost"] >= 9  # the kernel's own IPv6 solicitations come between
        assert 20 * 128 <= counters["sent_bytes"] <= 24 * 128
        while (following := ten_more())["lost"] > counters["lost"]:  # until the second change has come
            assert taken < 2000
            counters = following
        assert following["delivered"] >= 19


def test_nothing_is_left_behind_when_the_path_closes():
    need_network_namespaces()
    with NetworkPair(LinkConfig(), seed=4) as pair:
        name = pair.name("a")
        listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
        assert name in listed
    assert name not in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout


def test_an_error_inside_closes_the_path_too():
    need_network_namespaces()
    pair = NetworkPair(LinkConfig(), seed=5)
    with pytest.raises(RuntimeError, match="on purpose"), pair:
        raise RuntimeError("on purpose")
    assert (
        pair.name("b") not in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    )
