"""A bad network between two network namespaces, for kernels without netem: real programs, a seeded link of ours.

`NetworkPair` makes two namespaces, each with a TUN device; a child process carries IP packets between them through two
`netem.Link`s. Needs root. The child is a program of its own, so that its timing does not hang on the test's:

    with NetworkPair(LinkConfig(loss=0.05, delay_ns=20 * MS), seed=1) as pair:
        subprocess.run(pair.inside("a", ["ping", "-c1", pair.address("b")]))
        pair.change([(0.0, narrow, narrow), (20.0, wide, wide)])  # now, and 20 s from now
        print(pair.read())    # the counters so far
    print(pair.counters)      # after the exit: {"a_to_b": {"sent": …, "lost": …}, "b_to_a": {…}}

The child takes orders as JSON lines on its standard input, `{"plan": [[seconds, config, config], …]}` or
`{"read": true}`, and answers each with one line.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from server.testing.netem import SECOND, Link, LinkConfig

TUNSETIFF = 0x400454CA  # linux/if_tun.h
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
CLONE_NEWNET = 0x40000000
MTU = 1500
SUBNET = "10.213.77"


class NetworkPair:
    """Two namespaces, `a` and `b`, and the path between them. Everything is gone after the exit."""

    def __init__(
        self, a_to_b: LinkConfig, b_to_a: LinkConfig | None = None, *, seed: int, blocks_udp: bool = False
    ) -> None:
        """`blocks_udp`: as the firewalls of some offices do."""
        self._configs = (a_to_b, b_to_a or a_to_b)
        self._blocks_udp = blocks_udp
        self._seed = seed
        self._tag = f"sl{os.getpid() % 100_000}x{seed % 1000}"
        self._child: subprocess.Popen[str] | None = None
        self.counters: dict[str, dict[str, int]] = {}

    def name(self, side: str) -> str:
        """The namespace's name, for `ip netns exec`."""
        return f"{self._tag}{side}"

    def address(self, side: str) -> str:
        """The IPv4 address of a side, reachable from the other."""
        return f"{SUBNET}.{1 if side == 'a' else 2}"

    def inside(self, side: str, command: list[str]) -> list[str]:
        """The command line that runs `command` in a side's namespace."""
        return ["ip", "netns", "exec", self.name(side), *command]

    def change(self, plan: Sequence[tuple[float, LinkConfig, LinkConfig]]) -> None:
        """What the two directions become, and how many seconds from now, ascending. Packets that wait, wait on."""
        self._order({"plan": [[seconds, asdict(a_to_b), asdict(b_to_a)] for seconds, a_to_b, b_to_a in plan]})

    def read(self) -> dict[str, dict[str, int]]:
        """The counters of both directions so far."""
        return self._order({"read": True})

    def _order(self, order: dict[str, Any]) -> dict[str, dict[str, int]]:
        assert self._child is not None, "only while the pair is open"
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps(order) + "\n")
        self._child.stdin.flush()
        answer: dict[str, dict[str, int]] = json.loads(self._child.stdout.readline())
        return answer

    def __enter__(self) -> Self:
        try:
            for side in "ab":
                _ip("netns", "add", self.name(side))
                _ip("-n", self.name(side), "link", "set", "lo", "up")
            arguments = json.dumps(
                {
                    "namespaces": [self.name("a"), self.name("b")],
                    "links": [asdict(config) for config in self._configs],
                    "seed": self._seed,
                    "blocks_udp": self._blocks_udp,
                }
            )
            self._child = subprocess.Popen(
                [sys.executable, "-m", "server.testing.emulator", arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=Path(__file__).parents[2],
            )
            assert self._child.stdout is not None
            if self._child.stdout.readline().strip() != "ready":
                raise RuntimeError("the link emulator did not start; its error is above")
            for side in "ab":
                namespace = ("-n", self.name(side))
                _ip(*namespace, "address", "add", f"{self.address(side)}/24", "dev", "tun0")
                _ip(*namespace, "link", "set", "tun0", "mtu", str(MTU), "up")
                _ip(*namespace, "route", "add", "default", "dev", "tun0")
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._child is not None:
            self._child.send_signal(signal.SIGTERM)
            output, _ = self._child.communicate(timeout=10)
            self.counters = json.loads(output.splitlines()[-1]) if output.strip() else {}
            self._child = None
        for side in "ab":
            subprocess.run(["ip", "netns", "delete", self.name(side)], check=False, stderr=subprocess.DEVNULL)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


# ---- the child process ----


@contextmanager
def within(namespace: str) -> Iterator[None]:
    """Run the block's system calls in a network namespace: sockets and devices opened in it stay there. This thread."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/var/run/netns/{namespace}", os.O_RDONLY)
    try:
        if libc.setns(there, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"can't enter the network namespace {namespace}")
        yield
    finally:
        libc.setns(home, CLONE_NEWNET)
        os.close(home)
        os.close(there)


def open_tun(namespace: str) -> int:
    """A TUN device `tun0` in a namespace; its file descriptor works from outside."""
    with within(namespace):
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"tun0", IFF_TUN | IFF_NO_PI))
    return device


def carry(devices: tuple[int, int], links: tuple[Link, Link], *, blocks_udp: bool) -> None:
    """Move packets until SIGTERM. links[0] leads from devices[0] to devices[1], links[1] back."""
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopping.append(number))
    poller = select.poll()
    for device in devices:
        poller.register(device, select.POLLIN)
    orders = Orders(links)
    poller.register(orders.source, select.POLLIN)
    while not stopping:
        due = [timeout for link in links if (timeout := link.next_timeout()) is not None]
        wait_ms = 100.0 if not due else max(0.0, (min(due) - time.monotonic_ns()) / 1_000_000)
        ready = poller.poll(min(wait_ms, 100.0))
        if any(descriptor == orders.source for descriptor, _ in ready) and not orders.carry_out():
            poller.unregister(orders.source)
        for source, link in zip(devices, links, strict=True):
            _take(source, link, blocks_udp=blocks_udp)
        for target, link in zip(reversed(devices), links, strict=True):
            _give(target, link)


class Orders:
    """What the parent asks for, a JSON line each. `source` is the file descriptor that they come from."""

    def __init__(self, links: tuple[Link, Link]) -> None:
        self.source = sys.stdin.fileno()
        self._links = links
        self._unread = b""

    def carry_out(self) -> bool:
        """All that has come. False: the parent will send no more."""
        received = os.read(self.source, 65_536)
        *lines, self._unread = (self._unread + received).split(b"\n")
        for line in lines:
            order = json.loads(line)
            now = time.monotonic_ns()
            for seconds, *configs in order.get("plan", []):
                for link, config in zip(self._links, configs, strict=True):
                    link.plan([(now + round(seconds * SECOND), LinkConfig(**config))])
            print(json.dumps(counters(self._links)), flush=True)
        return bool(received)


def counters(links: tuple[Link, Link]) -> dict[str, dict[str, int]]:
    """By direction."""
    return {"a_to_b": asdict(links[0].counters), "b_to_a": asdict(links[1].counters)}


def _take(device: int, link: Link, *, blocks_udp: bool) -> None:
    for _ in range(64):
        try:
            packet = os.read(device, MTU + 64)
        except BlockingIOError:
            return
        if blocks_udp and packet[0] >> 4 == 4 and packet[9] == socket.IPPROTO_UDP:
            continue
        link.send(packet, len(packet), time.monotonic_ns())


def _give(device: int, link: Link) -> None:
    now = time.monotonic_ns()
    while (packet := link.poll(now)) is not None:
        try:
            os.write(device, packet)
        except OSError:
            link.counters.overflowed += 1  # the device is down or full


def _main(arguments: dict[str, Any]) -> None:
    first, second = (open_tun(namespace) for namespace in arguments["namespaces"])
    links = [
        Link(LinkConfig(**config), seed=arguments["seed"] * 2 + index)
        for index, config in enumerate(arguments["links"])
    ]
    print("ready", flush=True)
    pair = (links[0], links[1])
    carry((first, second), pair, blocks_udp=arguments["blocks_udp"])
    print(json.dumps(counters(pair)), flush=True)


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
