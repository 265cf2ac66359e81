"""One publisher to N viewers through a real node: what a forwarded packet costs, how long it takes, whether it arrives.

A run: start a node, connect everyone, play for the warm-up, fall silent, take the figures, play for the duration, wait
until everything has arrived, take the figures again. Everything that arrives in between was sent in between.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import trio

from bench.cputime import CpuUse, EventCounter, ThreadTime, busy_ns, countable, cpu_use, open_counter, thread_times
from bench.figures import percentile
from bench.generator import Generator, Pace, Publisher, open_generator
from bench.node_process import NodeProcess, open_node
from protos import media_pb2 as pb
from rtpfwd.params import SrtpProfile
from server.io.clock import monotonic_ns
from server.testing.streams import SourceConfig
from server.testing.world import MID_ID

PROFILES = {"gcm": SrtpProfile.AEAD_AES_128_GCM, "cm": SrtpProfile.AES128_CM_SHA1_80}
SILENCE_SECONDS = 0.3  # between the warm-up and the measured window
ARRIVAL_SECONDS = 1.0  # after the last packet was sent; what has not come then is lost
GENERATOR_LIMIT = 0.9  # of one core, on one thread
LATE_LIMIT = 0.02  # of the frames


@dataclass(frozen=True, slots=True)
class FanoutSettings:
    """What to run. Sizes are RTP payload bytes; a frame is `packets` packets sent at once."""

    subscribers: int = 50
    duration: float = 8.0  # seconds
    packets: int = 10
    size: int = 1200
    fps: int = 30
    profile: str = "gcm"
    warmup: float = 2.0  # seconds
    server_cpu: int | None = None
    generator_cpu: int | None = None
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Run:
    """One run. The figures are named and explained in bench/report.py; None: not available here."""

    figures: dict[str, float | None]
    counters: dict[str, float]  # of the node, how much each rose in the window
    load_average: float  # of the machine over the minute before
    invalid: tuple[str, ...]  # why the generator and not the server was the limit; empty: it was not


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that is read before and after the window."""

    at: int
    server: dict[int, ThreadTime]
    generator: dict[int, ThreadTime]
    machine_busy: int
    counters: dict[str, float]
    received: dict[str, int]  # the sink's counts over all viewers
    queue_drops: int
    sent: int  # packets of the publisher


async def measure(settings: FanoutSettings, progress: Callable[[str], None] = lambda stage: None) -> Run:
    """One run in this process (the generator) and a node's. Raises BenchError, perhaps in a group."""
    load_average = os.getloadavg()[0]
    async with AsyncExitStack() as stack:
        progress("starting the node")
        node = await stack.enter_async_context(open_node(cpu=settings.server_cpu))
        profile = PROFILES[settings.profile]
        generator = await stack.enter_async_context(
            open_generator(node, capacity=settings.subscribers + 1, profile=profile, seed=settings.seed)
        )
        progress(f"connecting {settings.subscribers} viewers")
        publisher = await _set_up(node, generator, settings)
        progress("warming up")
        await publisher.play(max(1, round(settings.warmup * settings.fps)))
        await trio.sleep(SILENCE_SECONDS)
        events: EventCounter | None = None
        if countable():
            events = await stack.enter_async_context(open_counter(node.pid))
            await events.enable()
        generator.sink.take_delays()
        before = await _snapshot(node, generator, publisher)
        progress("measuring")
        pace = await publisher.play(max(1, round(settings.duration * settings.fps)))
        expected = (publisher.source.sent - before.sent) * settings.subscribers
        await _arrive(generator, before.received["packets"] + expected)
        after = await _snapshot(node, generator, publisher)
        instructions = await events.disable() if events else {}
        progress("done")
        packets = after.received["packets"] - before.received["packets"]
        figures = _figures(settings, node.pid, before, after)
        figures |= _delays(generator) | _instructions(instructions, packets)
        figures["late_frames"] = pace.late_frames / pace.frames
        counters = {name: value - before.counters.get(name, 0) for name, value in after.counters.items()}
        return Run(figures, counters, load_average, _limits_of_generator(figures, pace, generator))


async def _set_up(node: NodeProcess, generator: Generator, settings: FanoutSettings) -> Publisher:
    """A router, a publisher and its viewers, all connected and consuming."""
    router = await node.call("create_router", pb.CreateRouterRequest(), pb.RouterInfo)
    source = SourceConfig(
        ssrc=0x5EED0001,
        payload_type=96,
        clock_rate=90_000,
        video=True,
        frames_per_second=settings.fps,
        packets=settings.packets,
        size=settings.size,
        rtx_ssrc=0x5EED0002,
        rtx_payload_type=97,
        extensions=((MID_ID, b"0"),),
    )
    publisher = await generator.publish(await generator.connect(router.id), source)

    async def join() -> None:
        end = await generator.connect(router.id)
        await generator.watch(end, publisher.producer_id, router.rtp_capabilities)

    async with trio.open_nursery() as nursery:
        for _ in range(settings.subscribers):
            nursery.start_soon(join)
    return publisher


async def _arrive(generator: Generator, packets: int) -> None:
    """Wait for the last ones."""
    deadline = trio.current_time() + ARRIVAL_SECONDS
    # They are counted by a thread that knows no trio.
    while generator.sink.packets < packets and trio.current_time() < deadline:  # noqa: ASYNC110
        await trio.sleep(0.002)


async def _snapshot(node: NodeProcess, generator: Generator, publisher: Publisher) -> Snapshot:
    counters = await node.counters()
    return Snapshot(
        at=monotonic_ns(),
        server=thread_times(node.pid),
        generator=thread_times(os.getpid()),
        machine_busy=busy_ns(),
        counters=counters,
        received=_received(generator),
        queue_drops=generator.queue_drops(),
        sent=publisher.source.sent,
    )


def _received(generator: Generator) -> dict[str, int]:
    totals: dict[str, int] = {}
    for number in range(len(generator.ends)):
        for name, value in generator.sink.counts(number).items():
            totals[name] = totals.get(name, 0) + value
    return totals


def _figures(settings: FanoutSettings, pid: int, before: Snapshot, after: Snapshot) -> dict[str, float | None]:
    """All but delays and instructions."""
    window = after.at - before.at
    received = {name: value - before.received[name] for name, value in after.received.items()}
    packets = received["packets"]
    expected = (after.sent - before.sent) * settings.subscribers
    server = cpu_use(pid, before.server, after.server)
    generator = cpu_use(os.getpid(), before.generator, after.generator)
    counted = {name: value - before.counters.get(name, 0) for name, value in after.counters.items()}
    messages = counted.get("sightline_lane_sent_messages_total", 0)
    return {
        **_cpu_figures(server, packets, window),
        "forwarded_per_s": packets * 1e9 / window,
        "mbit_per_s": received["bytes"] * 8e3 / window,
        "expected_packets": expected,
        "received_packets": packets,
        "loss": 1 - packets / expected,
        "duplicates": received["duplicates"],
        "out_of_order": received["late"],
        "verified_packets": received["verified"],
        "rejected_packets": received["rejected"] + received["foreign"],
        "datagrams_per_message": counted["sightline_lane_sent_datagrams_total"] / messages if messages else None,
        "wakeups_per_s": counted.get("sightline_lane_wakeups_total", 0) * 1e9 / window,
        "generator_cpu": generator.total / window,
        "generator_busiest_thread": generator.busiest_thread / window,
        "queue_drops": after.queue_drops - before.queue_drops,
        "other_cpu": max(0, after.machine_busy - before.machine_busy - server.total - generator.total) / window,
    }


def _cpu_figures(server: CpuUse, packets: int, window: int) -> dict[str, float | None]:
    def each(nanoseconds: int) -> float | None:
        return nanoseconds / 1000 / packets if packets else None

    return {
        "cpu_us": each(server.total),
        "cpu_user_us": each(server.user),
        "cpu_kernel_us": each(server.system),
        "cpu_lane_us": each(server.total - server.main_thread),
        "server_cpu": server.total / window,
    }


def _delays(generator: Generator) -> dict[str, float | None]:
    ordered = sorted(generator.sink.take_delays())

    def at(share: float) -> float | None:
        found = percentile(ordered, share)
        return None if found is None else found / 1e6

    return {
        "delay_p50_ms": at(0.5),
        "delay_p99_ms": at(0.99),
        "delay_p999_ms": at(0.999),
        "delay_max_ms": at(1),
        "delay_samples": len(ordered),
    }


def _instructions(counted: dict[str, int], packets: int) -> dict[str, float | None]:
    def each(event: str) -> float | None:
        return counted[event] / packets if packets and event in counted else None

    return {"instructions_user": each("instructions:u"), "instructions_kernel": each("instructions:k")}


def _limits_of_generator(figures: dict[str, float | None], pace: Pace, generator: Generator) -> tuple[str, ...]:
    """Why the run says nothing of the server; empty when it does."""
    reasons = []
    busiest, drops = figures["generator_busiest_thread"] or 0, figures["queue_drops"]
    if busiest >= GENERATOR_LIMIT:
        reasons.append(f"a thread of the generator used {busiest:.0%} of a core")
    if drops:
        reasons.append(f"the generator's receive queues overflowed: {drops:.0f} datagrams were dropped")
    if pace.late_frames > LATE_LIMIT * pace.frames:
        late = f"{pace.late_frames} of {pace.frames} frames were late, the worst by {pace.latest_ns / 1e6:.1f} ms"
        reasons.append(f"the publisher did not keep its pace: {late}")
    if pace.refused_packets:
        reasons.append(f"the publisher's socket refused {pace.refused_packets} packets")
    if generator.sink.overflows:
        reasons.append(f"the generator had no room for {generator.sink.overflows} datagrams that were no media")
    return tuple(reasons)
