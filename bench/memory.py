"""`sightline bench memory`: what a transport, a producer and a consumer cost a node, and whether that stays so.

Two views. The plane's share is exact: rtpfwd.memory sums the structs that there are. The process's share is measured:
how much RSS and PSS grew over what was added, which holds everything else too (SRTP sessions, OpenSSL, Python).
"""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import trio

from bench.generator import SyntheticSource, open_generator
from bench.measurement import PROFILES, Figures, Progress, Run, pinned, silent
from bench.report import Figure
from bench.sightline_target import Sightline, open_sightline
from server.io.clock import monotonic_ns

TARGET_KIB: Final = 30  # of a consumer in a room of 1,000
SETTLE_SECONDS: Final = 0.5  # after everybody has connected: handshakes' leftovers go
SAMPLE_SECONDS: Final = 2.0
Shape: TypeAlias = Literal["viewers", "transports", "consumers"]

FIGURES: Final = (
    Figure("per_unit_kib", f"each consumer (target: {TARGET_KIB} KiB)", "KiB of RSS", 2),
    Figure("per_unit_pss_kib", "  the same as PSS", "KiB", 2),
    Figure("per_unit_second_half_kib", "  each of the second half", "KiB of RSS", 2),
    Figure("plane_per_unit_kib", "  of it in the plane's structs", "KiB", 2),
    Figure("transport_kib", "plane: a transport, with its SRTP windows", "KiB", 2),
    Figure("adaptation_kib", "  of it for the estimate and the pacer", "KiB", 2),
    Figure("consumer_kib", "plane: a consumer without what it sent", "KiB", 2),
    Figure("sent_ring_kib", "plane: what a consumer can be asked for again", "KiB", 2),
    Figure("producer_kib", "plane: a producer with its encodings", "KiB", 2),
    Figure("history_slots_mib", "plane: packets kept, all producers", "MiB", 2),
    Figure("plane_fixed_mib", "plane: shared by all", "MiB", 2),
    Figure("process_before_mib", "process before", "MiB of RSS", 1),
    Figure("process_after_mib", "process after", "MiB of RSS", 1),
    Figure("slope_kib_per_minute", "growth while media flows", "KiB a minute", 1),
    Figure("media_minutes", "  measured for, warm-up not counted", "minutes", 2),
)


@dataclass(frozen=True, slots=True)
class MemorySettings:
    """What to add. viewers: consumers on transports of their own that really connect and receive media; transports: the
    same without ever connecting; consumers: over ten transports for each room of 500, that never connect."""

    shape: Shape = "viewers"
    consumers: int = 1000
    minutes: float = 0.0  # of media, after as long a warm-up as a quarter of them
    profile: str = "gcm"
    repeat: int = 1
    seed: int = 1
    server_cpus: tuple[int, ...] = ()
    generator_cpus: tuple[int, ...] = ()
    adaptation: bool = False


async def measure_memory(settings: MemorySettings, progress: Progress = silent) -> list[Run]:
    """As many runs as asked for, each with a fresh node. Raises BenchError."""
    runs = []
    for number in range(settings.repeat):
        load = os.getloadavg()[0]
        options = {"adaptation": "on"} if settings.adaptation else {}
        async with open_sightline(cpus=settings.server_cpus, options=options) as node:
            figures = await _measure(node, settings, settings.seed + number, progress)
            runs.append(Run(f"{node.name} {node.version}", node.tuning, figures, {}, load, ()))
    return runs


async def _measure(node: Sightline, settings: MemorySettings, seed: int, progress: Progress) -> Figures:
    half = settings.consumers // 2
    async with AsyncExitStack() as stack:
        stack.enter_context(pinned(settings.generator_cpus))
        if settings.shape != "viewers":
            few = 10 if settings.shape == "consumers" else 0
            # What is made once is made before.
            await node.node.ask("populate", consumers=1, transports=0, seed=seed)
            before = await node.node.ask("memory")
            await _populate(node, half, few, seed + 1, progress)
            middle = await node.node.ask("memory")
            await _populate(node, settings.consumers - half, few, seed + 1 + half, progress)
            after = await node.node.ask("memory")
            return _figures(settings, before, middle, half, after)
        opened = open_generator(node, capacity=settings.consumers + 2, profile=PROFILES[settings.profile], seed=seed)
        generator = await stack.enter_async_context(opened)
        room = await node.open_room()
        publisher = await generator.publish(room, SyntheticSource(packets=2, size=1000, fps=5))
        connected = 0

        async def watch() -> None:
            nonlocal connected
            await generator.watch(room, [publisher])
            connected += 1
            progress(f"connected {connected} of {settings.consumers}", connected / settings.consumers)

        async def add(count: int) -> dict[str, Any]:
            async with trio.open_nursery() as nursery:
                for _ in range(count):
                    nursery.start_soon(watch)
            await trio.sleep(SETTLE_SECONDS)
            return await node.node.ask("memory")

        await add(1)
        await generator.play([publisher], 1.0)
        before = await node.node.ask("memory")
        middle = await add(half)
        await add(settings.consumers - half)
        await generator.play([publisher], 1.0)
        after = await node.node.ask("memory")
        figures = _figures(settings, before, middle, half, after)
        if settings.minutes:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(generator.play, [publisher], 1e6)
                figures |= await _watch_growth(node, settings.minutes, progress)
                nursery.cancel_scope.cancel()
        return figures


async def _populate(node: Sightline, consumers: int, transports: int, seed: int, progress: Progress) -> None:
    """In steps: the node must answer each within seconds."""
    for first in range(0, consumers, 500):
        progress(f"adding {consumers} consumers", first / consumers)
        count = min(500, consumers - first)
        await node.node.ask("populate", consumers=count, transports=transports, seed=seed + first)


async def _watch_growth(node: Sightline, minutes: float, progress: Progress) -> Figures:
    """RSS over time: the slope of the line that fits best (least squares)."""
    await trio.sleep(minutes * 60 / 4)
    begun = monotonic_ns()
    samples: list[tuple[float, float]] = []
    while not samples or samples[-1][0] < minutes or len(samples) < 3:
        rss = (await node.node.ask("memory"))["process"]["rss"]
        samples.append(((monotonic_ns() - begun) / 60e9, rss / 1024))
        progress("watching it grow", min(1.0, samples[-1][0] / minutes))
        await trio.sleep(min(SAMPLE_SECONDS, minutes * 60 / 10))
    mean_at = sum(at for at, _ in samples) / len(samples)
    mean = sum(size for _, size in samples) / len(samples)
    spread = sum((at - mean_at) ** 2 for at, _ in samples)
    slope = sum((at - mean_at) * (size - mean) for at, size in samples) / spread
    return {"slope_kib_per_minute": slope, "media_minutes": samples[-1][0], "samples": len(samples)}


def _figures(
    settings: MemorySettings, before: dict[str, Any], middle: dict[str, Any], half: int, after: dict[str, Any]
) -> Figures:
    count = settings.consumers
    (first,), (last,) = before["planes"], after["planes"]
    old, new = before["process"], after["process"]
    second = count - half
    transports, producers, consumers = last["transports"], last["producers"], last["consumers"]
    in_plane = _structs(last) - _structs(first)
    return {
        "consumers": consumers["count"],
        "transports": transports["count"],
        "per_unit_kib": (new["rss"] - old["rss"]) / count / 1024,
        "per_unit_pss_kib": (new["pss"] - old["pss"]) / count / 1024,
        "per_unit_second_half_kib": ((new["rss"] - middle["process"]["rss"]) / second / 1024 if second else None),
        "plane_per_unit_kib": in_plane / count / 1024,
        "transport_kib": _bytes(transports) / transports["count"] / 1024,
        "adaptation_kib": (transports["pacers"] + transports["congestion"]) / transports["count"] / 1024,
        "consumer_kib": consumers["structs"] / consumers["count"] / 1024,
        "sent_ring_kib": consumers["sent_rings"] / consumers["count"] / 1024,
        "producer_kib": (_bytes(producers) - producers["encodings"]) / producers["count"] / 1024,
        "history_slots_mib": last["history"]["bytes"] / (1 << 20),
        "plane_fixed_mib": sum(last["fixed"].values()) / (1 << 20),
        "process_before_mib": old["rss"] / (1 << 20),
        "process_after_mib": new["rss"] / (1 << 20),
        "slope_kib_per_minute": None,
        "media_minutes": 0.0,
    }


def _bytes(part: dict[str, int]) -> int:
    """All of it but the count."""
    return sum(part.values()) - part["count"]


def _structs(plane: dict[str, dict[str, int]]) -> int:
    """What was added to the plane."""
    parts = (plane["transports"], plane["consumers"], plane["producers"])
    return sum(_bytes(part) for part in parts) - plane["producers"]["encodings"] + plane["history"]["bytes"]
