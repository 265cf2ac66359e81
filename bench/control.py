"""`sightline bench control`: how long each command of a media node takes, inside the node, in several states of it.

The pipe between bench and node is not measured: the node calls itself (bench/node_commands.py). What is measured is
what a session in the same process waits: decoding, the domain, the plane, encoding, and the node's other work.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Final

import trio

from bench.figures import percentile
from bench.generator import Generator, Publisher, SyntheticSource, open_generator
from bench.measurement import PROFILES, Figures, Progress, Run, pinned, silent
from bench.report import Figure
from bench.sightline_target import Sightline, open_sightline
from bench.stages import LockProbe
from rtpfwd.params import (
    CodecParams,
    ConsumerParams,
    EncodingParams,
    PayloadMapping,
    ProducerParams,
    SrtpProfile,
)
from rtpfwd.plane import Plane

CALLS: Final = (
    *("CreateRouter", "GetRouterCapabilities", "CreateWebRtcTransport", "ConnectWebRtcTransport", "Produce", "Consume"),
    *("Pause", "Resume", "GetStats", "CloseConsumer", "CloseProducer", "CloseTransport", "CloseRouter"),
)
TARGETS_MS: Final[Mapping[str, float]] = {
    "GetRouterCapabilities": 3,
    "CreateWebRtcTransport": 5,
    "Produce": 2,
    "Consume": 2,
}  # the design's, for p99 in process
SHARES: Final = (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
LOCK_FIGURES: Final = (
    Figure("lock_waits_over_50us", "the lane waited over 50 µs for its plane", "times", 0),
    Figure("lock_wait_max_us", "  its longest wait since the node began", "µs", 1),
    Figure("lock_wait_total_us", "  all its waits", "µs", 0),
    Figure("forwarded_per_s", "forwarded meanwhile", "/s", 0),
)
SESSIONS_AT_ONCE: Final = 20  # sessions that one request to the node makes: it must answer in seconds
COMMANDS: Final = (
    *("add_transport", "set_keys", "set_remote", "admit", "add_producer", "add_consumer", "pause_consumer"),
    *("resume_consumer", "consumer_stats", "remove_consumer", "remove_producer", "remove_transport"),
)
HOLDS: Final = tuple(
    Figure(f"{name}_{kind}", f"{name}: {title}", unit, digits)
    for name in COMMANDS
    for kind, title, unit, digits in (
        ("p50_us", "whole call, p50", "µs", 2),
        ("p99_us", "whole call, p99", "µs", 2),
        ("longest_wait_us", "longest wait of a lane", "µs", 1),
        ("waits_over_50us", "waits over 50 µs", "", 0),
    )
)


@dataclass(frozen=True, slots=True)
class State:
    """What the node has to do besides."""

    name: str
    consumers: int = 0  # that exist, without media
    packets_per_s: int = 0  # forwarded while the calls are made

    @property
    def title(self) -> str:
        """In words."""
        if self.packets_per_s:
            return f"while {self.packets_per_s:,} packets/s are forwarded"
        return f"with {self.consumers:,} consumers" if self.consumers else "empty"


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """How to measure."""

    sessions: int = 200  # of each run: two transports, a producer and a consumer each
    repeat: int = 3
    profile: str = "gcm"
    seed: int = 1
    server_cpus: tuple[int, ...] = ()
    generator_cpus: tuple[int, ...] = ()
    viewers: int = 50  # while media flows


def states(consumers: tuple[int, ...], rate: int) -> tuple[State, ...]:
    """Empty, with so many consumers, and under load."""
    busy = (State(f"media_{rate}", packets_per_s=rate),) if rate else ()
    return (State("empty"), *(State(f"consumers_{count}", count) for count in consumers), *busy)


def figures_of(state: State) -> list[Figure]:
    """The rows of one state's table."""
    rows = []
    for call in CALLS:
        target = f" (target p99 < {TARGETS_MS[call]:g} ms)" if call in TARGETS_MS else ""
        for name, _ in SHARES:
            title = f"{call}{target}" if name == "p50" else f"  {name}"
            rows.append(Figure(f"{state.name}_{call}_{name}_ms", f"{title}, p50" if name == "p50" else title, "ms", 3))
    return rows + [Figure(f"{state.name}_{one.key}", *one[1:]) for one in LOCK_FIGURES]


async def measure_control(
    settings: ControlSettings, chosen: tuple[State, ...], progress: Progress = silent
) -> list[Run]:
    """Every state, each with a fresh node, `repeat` times. Raises BenchError."""
    runs = []
    for number in range(settings.repeat):
        figures: Figures = {}
        load = os.getloadavg()[0]
        server = tuning = ""
        counters: dict[str, float] = {}
        for index, state in enumerate(chosen):
            progress(f"run {number + 1}: {state.title}", (number + index / len(chosen)) / settings.repeat)
            async with open_sightline(cpus=settings.server_cpus) as node:
                server, tuning = f"{node.name} {node.version}", node.tuning
                found, counted = await _measure(node, state, settings, settings.seed + number)
                figures |= found
                counters |= {f"{state.name}:{name}": value for name, value in counted.items()}
        figures |= measure_holds(settings.sessions, settings.seed)
        runs.append(Run(server, tuning, figures, counters, load, ()))
    return runs


async def _measure(
    node: Sightline, state: State, settings: ControlSettings, seed: int
) -> tuple[Figures, dict[str, float]]:
    async with AsyncExitStack() as stack:
        stack.enter_context(pinned(settings.generator_cpus))
        if state.consumers:
            await node.node.ask("populate", consumers=state.consumers, transports=0, seed=seed)
        await _sessions(node, 5, seed)  # what is made once is made now
        nursery = await stack.enter_async_context(trio.open_nursery())
        if state.packets_per_s:
            generator = await stack.enter_async_context(
                open_generator(node, capacity=settings.viewers + 1, profile=PROFILES[settings.profile], seed=seed)
            )
            publisher = await _set_up(node, generator, state, settings)
            nursery.start_soon(generator.play, [publisher], 3600.0)
            await trio.sleep(1)
        before, at = await node.counters(), trio.current_time()
        taken = await _sessions(node, settings.sessions, seed + 1)
        if state.packets_per_s:
            await trio.sleep(0.5)  # so that a few sessions say something of the rate too
        after, seconds = await node.counters(), trio.current_time() - at
        nursery.cancel_scope.cancel()
    rise = {name: value - before.get(name, 0) for name, value in after.items()}
    figures: Figures = {}
    for call in CALLS:
        ordered = sorted(taken[call])
        for name, share in SHARES:
            value = percentile(ordered, share)
            figures[f"{state.name}_{call}_{name}_ms"] = None if value is None else value / 1e6
        figures[f"{state.name}_{call}_calls"] = len(ordered)
    lane = "sightline_lane_lock_wait"
    longest = after.get(f"{lane}_max_ns")
    total = rise.get(f"{lane}_total_ns_total", rise.get(f"{lane}_total_ns"))
    figures[f"{state.name}_lock_waits_over_50us"] = rise.get("sightline_lane_lock_waits_over_50us_total")
    figures[f"{state.name}_lock_wait_max_us"] = None if longest is None else longest / 1000
    figures[f"{state.name}_lock_wait_total_us"] = None if total is None else total / 1000
    figures[f"{state.name}_forwarded_per_s"] = rise["sightline_forwarded_packets_total"] / seconds
    return figures, rise


async def _set_up(node: Sightline, generator: Generator, state: State, settings: ControlSettings) -> Publisher:
    room = await node.open_room()
    frames = max(1, round(state.packets_per_s / settings.viewers / 10))
    publisher = await generator.publish(room, SyntheticSource(packets=10, size=1200, fps=min(1000, frames)))
    async with trio.open_nursery() as nursery:
        for _ in range(settings.viewers):
            nursery.start_soon(generator.watch, room, [publisher])
    return publisher


async def _sessions(node: Sightline, count: int, seed: int) -> dict[str, list[int]]:
    """The times of so many sessions' calls, ns."""
    taken: dict[str, list[int]] = {}
    for first in range(0, count, SESSIONS_AT_ONCE):
        rounds = min(SESSIONS_AT_ONCE, count - first)
        part = await node.node.ask("time_calls", rounds=rounds, seed=seed * 1000 + first)
        for name, times in part.items():
            taken.setdefault(name, []).extend(times)
    return taken


class _Holds:
    """Calls a plane while a probe wants its lock, as a busy lane does."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.probe = LockProbe(plane)
        self.times: dict[str, list[int]] = {}
        self.waits: dict[str, tuple[int, int]] = {}

    def call(self, name: str, *arguments: object, **named: object) -> int:
        self.probe.take()
        begun = perf_counter_ns()
        made = getattr(self.plane, name)(*arguments, **named)
        self.times.setdefault(name, []).append(perf_counter_ns() - begun)
        longest, over, _turns = self.probe.take()
        before = self.waits.get(name, (0, 0))
        self.waits[name] = max(before[0], longest), before[1] + over
        return int(made) if isinstance(made, int) else 0


def measure_holds(rounds: int, seed: int) -> Figures:
    """The plane's own commands, in a plane of 1,000 consumers.

    The time of each call, which holds the lock for a part of it; and the longest that a thread on another core, which
    takes the lock all the time, had to wait meanwhile.

    The wait also counts when the system takes the command's core away from it while it holds the lock.
    """
    rng = random.Random(seed)
    plane = Plane(max_transports=8192, seed=seed)
    codec = CodecParams(96, "video/vp8", 90000, rtx_payload_type=97, nack=True, pli=True)
    holds = _Holds(plane)

    def producer(ssrc: int) -> ProducerParams:
        return ProducerParams("video", (codec,), (EncodingParams(ssrc=ssrc, rtx_ssrc=ssrc + 1),), mid="0")

    def consumer(ssrc: int) -> ConsumerParams:
        return ConsumerParams(ssrc=ssrc, rtx_ssrc=ssrc + 1, payload_types=(PayloadMapping(96, 96, 97),))

    first = plane.add_producer(plane.add_transport(srtp=True), producer(1))
    for number in range(1000):
        transport = plane.add_transport(srtp=True)
        plane.admit(transport, 0, ("udp", "127.0.0.1", 20000 + number))
        plane.add_consumer(transport, first, consumer(10), 0)
    prober = threading.Thread(target=holds.probe.run)
    prober.start()
    try:
        for number in range(rounds):
            _hold_round(holds.call, producer, consumer, first, number, rng)
    finally:
        holds.probe.stop()
        prober.join()
    figures: Figures = {}
    for name in COMMANDS:
        ordered = sorted(holds.times[name])
        for label, share in (("p50", 0.5), ("p99", 0.99)):
            value = percentile(ordered, share)
            figures[f"{name}_{label}_us"] = None if value is None else value / 1000
        figures[f"{name}_longest_wait_us"] = holds.waits[name][0] / 1000
        figures[f"{name}_waits_over_50us"] = holds.waits[name][1]
    return figures


def _hold_round(
    call: Callable[..., int],
    producer: Callable[[int], ProducerParams],
    consumer: Callable[[int], ConsumerParams],
    first: int,
    number: int,
    rng: random.Random,
) -> None:
    address = ("udp", "127.0.0.2", 1 + number % 65000)
    transport = call("add_transport", srtp=True)
    call("set_keys", transport, SrtpProfile.AEAD_AES_128_GCM, rng.randbytes(28), rng.randbytes(28))
    call("set_remote", transport, 0, address)
    call("admit", transport, 0, address)
    own = call("add_producer", transport, producer(1))
    made = call("add_consumer", transport, first, consumer(10), 1)
    call("pause_consumer", made)
    call("resume_consumer", made, 1)
    call("consumer_stats", made)
    call("remove_consumer", made)
    call("remove_producer", own)
    call("remove_transport", transport)
