"""`sightline bench join`: DTLS handshakes per core, and what a storm of newcomers does to those who are in a call.

Two load generators in this process, each with a native thread of its own: one plays the call whose forwarding delay is
judged, the other the newcomers. So what the newcomers receive is not among the delays.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import trio

from bench.cputime import cpu_use, thread_times
from bench.errors import BenchError
from bench.figures import percentile
from bench.generator import Generator, Publisher, SyntheticSource, Viewer, open_generator
from bench.measurement import PROFILES, Figures, Progress, Run, delay_figures, pinned, silent
from bench.report import Figure
from bench.sightline_target import Sightline, open_sightline
from bench.target import Room
from server.io.clock import monotonic_ns
from server.rtc.certificate import Certificate
from server.rtc.dtls import DtlsEndpoint, DtlsRole, DtlsState

TARGET_RATIO: Final = 3  # p99 delay of the others in the storm over its calm value
FIRST_MEDIA_SECONDS: Final = 10.0  # without a packet for so long, a newcomer has failed
NEWCOMERS_SOURCE: Final = SyntheticSource(packets=1, size=200, fps=20)
FIGURES: Final = (
    Figure("handshake_memory_us", "server CPU of a DTLS handshake, in memory", "µs", 0),
    Figure("handshakes_per_core", "  so many a second on one core", "/s", 0),
    Figure("join_cpu_us", "CPU of the node for a newcomer, all of it", "µs", 0),
    Figure("joins_per_core", "  so many a second on one core", "/s", 0),
    Figure("calm_delay_p50_ms", "delay of the others, calm, p50", "ms", 3),
    Figure("calm_delay_p99_ms", "  p99", "ms", 3),
    Figure("calm_delay_p999_ms", "  p99.9", "ms", 3),
    Figure("storm_delay_p50_ms", "delay of the others, storm, p50", "ms", 3),
    Figure("storm_delay_p99_ms", "  p99", "ms", 3),
    Figure("storm_delay_p999_ms", "  p99.9", "ms", 3),
    Figure("delay_ratio", f"p99, storm over calm (target: at most {TARGET_RATIO})", "", 2),
    Figure("connect_p50_ms", "newcomers: first ICE check to keys, p50", "ms", 1),
    Figure("connect_p99_ms", "  p99", "ms", 1),
    Figure("join_p50_ms", "newcomers: asking for a transport to first media, p50", "ms", 1),
    Figure("join_p99_ms", "  p99", "ms", 1),
    Figure("joined", "newcomers that got media", "", 0),
    Figure("failures", "newcomers that did not", "", 0),
    Figure("storm_seconds", "the storm took", "s", 1),
    Figure("storm_server_cpu", "CPU of the node in the storm", "% of a core", 0, 100),
    Figure("storm_python_cpu", "  on its Python thread", "% of a core", 0, 100),
    Figure("storm_generator_cpu", "CPU of the generators in the storm", "% of a core", 0, 100),
    Figure("lock_waits_over_50us", "the lane waited over 50 µs for its plane", "times", 0),
    Figure("lock_wait_max_us", "  its longest wait since the node began", "µs", 1),
)


@dataclass(frozen=True, slots=True)
class JoinSettings:
    """How large, and how."""

    newcomers: int = 500
    seconds: float = 10.0  # in which they come, at random times
    viewers: int = 20  # of the call that is judged
    calm: float = 10.0  # seconds before the storm
    handshakes: int = 200  # in memory
    profile: str = "gcm"
    repeat: int = 1
    seed: int = 1
    server_cpus: tuple[int, ...] = ()
    generator_cpus: tuple[int, ...] = ()


async def measure_join(settings: JoinSettings, progress: Progress = silent) -> list[Run]:
    """As many runs as asked for, each with a fresh node. Raises BenchError, perhaps in a group."""
    runs = []
    for number in range(settings.repeat):
        load = os.getloadavg()[0]
        progress("handshakes in memory", 0)
        spent = handshake_cpu(settings.handshakes)
        figures: Figures = {"handshake_memory_us": spent / 1000, "handshakes_per_core": 1e9 / spent}
        async with open_sightline(cpus=settings.server_cpus) as node:
            storm, counters = await _storm(node, settings, settings.seed + number, progress)
            runs.append(Run(f"{node.name} {node.version}", node.tuning, figures | storm, counters, load, ()))
    return runs


def handshake_cpu(count: int) -> float:
    """CPU ns of the server's side of one handshake: from `start` to the keys, client and transport not counted."""
    ours, theirs = Certificate.generate(), Certificate.generate()
    spent = [_shake_hands(ours, theirs) for _ in range(count)]
    return sum(spent) / count


def _shake_hands(ours: Certificate, theirs: Certificate) -> int:
    server, client = DtlsEndpoint(ours), DtlsEndpoint(theirs)
    now = monotonic_ns()
    spent = -time.thread_time_ns()
    server.start(DtlsRole.SERVER, [theirs.fingerprint], now)
    spent += time.thread_time_ns()
    client.start(DtlsRole.CLIENT, [ours.fingerprint], now)
    while DtlsState.CONNECTING in (client.state, server.state):
        flight = list(iter(client.poll_transmit, None))
        if not flight:
            break
        spent -= time.thread_time_ns()
        for datagram in flight:
            server.receive_untrusted(datagram, now)
        answers = list(iter(server.poll_transmit, None))
        spent += time.thread_time_ns()
        for datagram in answers:
            client.receive_untrusted(datagram, now)
    if server.state is not DtlsState.CONNECTED:
        raise BenchError(f"a DTLS handshake in memory ended as {server.state.value}")
    return spent


class _Newcomers:
    """The storm: who comes, and how long each of them took."""

    def __init__(self, generator: Generator, room: Room, publisher: Publisher) -> None:
        self.times: list[int] = []  # ns
        self.failures = 0
        self._generator = generator
        self._room = room
        self._publisher = publisher

    async def come_all(self, count: int, seconds: float, seed: int) -> None:
        """So many, at random times within so many seconds."""
        rng = random.Random(seed)
        async with trio.open_nursery() as storm:
            for _ in range(count):
                storm.start_soon(self.come, rng.uniform(0, seconds))

    async def come(self, delay: float) -> None:
        """After so many seconds."""
        await trio.sleep(delay)
        begun = monotonic_ns()
        try:
            viewer = await self._generator.watch(self._room, [self._publisher])
        except BenchError:
            self.failures += 1
            return
        if await self._first_media(viewer):
            self.times.append(monotonic_ns() - begun)
        else:
            self.failures += 1

    async def _first_media(self, viewer: Viewer) -> bool:
        with trio.move_on_after(FIRST_MEDIA_SECONDS):
            # A thread that knows no trio receives it.
            while not any(one["packets"] for one in self._generator.load.streams(viewer.end.number)):  # noqa: ASYNC110
                await trio.sleep(0.005)
            return True
        return False


@contextmanager
def _stepped_back() -> Iterator[None]:
    """Python below the generator's native threads: its own handshakes must not make the judged viewers read late."""
    thread = threading.get_native_id()
    before = os.getpriority(os.PRIO_PROCESS, thread)
    os.setpriority(os.PRIO_PROCESS, thread, before + 10)
    try:
        yield
    finally:
        with suppress(PermissionError):  # only a privileged user gets it back: then later runs begin further down
            os.setpriority(os.PRIO_PROCESS, thread, before)


async def _storm(
    node: Sightline, settings: JoinSettings, seed: int, progress: Progress
) -> tuple[Figures, dict[str, float]]:
    profile = PROFILES[settings.profile]
    async with AsyncExitStack() as stack:
        stack.enter_context(pinned(settings.generator_cpus))
        call = await stack.enter_async_context(
            open_generator(node, capacity=settings.viewers + 1, profile=profile, seed=seed)
        )
        crowd = await stack.enter_async_context(
            open_generator(node, capacity=settings.newcomers + 1, profile=profile, seed=seed + 1)
        )
        stack.enter_context(_stepped_back())
        room, other = await node.open_room(), await node.open_room()
        publisher = await call.publish(room, SyntheticSource())
        for number in range(settings.viewers):
            progress("connecting the call", number / settings.viewers)
            await call.watch(room, [publisher])
        host = await crowd.publish(other, NEWCOMERS_SOURCE)
        nursery = await stack.enter_async_context(trio.open_nursery())
        nursery.start_soon(call.play, [publisher], 1e5)
        nursery.start_soon(crowd.play, [host], 1e5)
        progress("calm", 0.2)
        await trio.sleep(1)
        call.take_delays()
        calm_before, calm_at = thread_times(node.pid), monotonic_ns()
        await trio.sleep(settings.calm)
        calm = delay_figures(call.take_delays())
        quiet = cpu_use(node.pid, calm_before, thread_times(node.pid)).total / (monotonic_ns() - calm_at)

        progress("storm", 0.5)
        counted = await node.counters()
        before, ours, begun = thread_times(node.pid), thread_times(os.getpid()), monotonic_ns()
        crowd.handshakes.clear()
        newcomers = _Newcomers(crowd, other, host)
        await newcomers.come_all(settings.newcomers, settings.seconds, seed)
        took = monotonic_ns() - begun
        delays = delay_figures(call.take_delays())
        server = cpu_use(node.pid, before, thread_times(node.pid))
        generator = cpu_use(os.getpid(), ours, thread_times(os.getpid()))
        after = await node.counters()
        nursery.cancel_scope.cancel()
    rise = {name: value - counted.get(name, 0) for name, value in after.items()}
    join_cpu = max(0.0, server.total - quiet * took) / settings.newcomers
    longest = after.get("sightline_lane_lock_wait_max_ns")
    figures = _delay_figures(calm, delays) | {
        "join_cpu_us": join_cpu / 1000,
        "joins_per_core": 1e9 / join_cpu if join_cpu else None,
        **_times("connect", crowd.handshakes),
        **_times("join", newcomers.times),
        "joined": len(newcomers.times),
        "failures": newcomers.failures,
        "storm_seconds": took / 1e9,
        "storm_server_cpu": server.total / took,
        "storm_python_cpu": server.main_thread / took,
        "storm_generator_cpu": generator.total / took,
        "lock_waits_over_50us": rise.get("sightline_lane_lock_waits_over_50us_total"),
        "lock_wait_max_us": None if longest is None else longest / 1000,
    }
    return figures, rise


def _delay_figures(calm: Figures, storm: Figures) -> Figures:
    """Both, and how much the one is above the other."""
    p99, calm_p99 = storm["delay_p99_ms"], calm["delay_p99_ms"]
    ratio = p99 / calm_p99 if p99 is not None and calm_p99 else None
    named = {f"calm_{key}": value for key, value in calm.items()}
    return named | {f"storm_{key}": value for key, value in storm.items()} | {"delay_ratio": ratio}


def _times(name: str, taken: Sequence[int]) -> Figures:
    ordered = sorted(taken)
    found = ((label, percentile(ordered, share)) for label, share in (("p50", 0.5), ("p99", 0.99)))
    return {f"{name}_{label}_ms": None if value is None else value / 1e6 for label, value in found}
