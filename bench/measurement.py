"""One measurement of one running server: what a forwarded packet costs, how long it takes, whether it arrives.

Set up every room, play for the warm-up, fall silent, take the figures, play for the duration, wait until everything has
arrived, take the figures again. So whatever arrived in between was sent in between, and loss is exact. It works with
any bench.target.Target: what a server can't tell (counters) is left out, everything else is seen from outside.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

import trio

from bench.cputime import CpuUse, EventCounter, ThreadTime, busy_ns, countable, cpu_use, open_counter, softirq_ns
from bench.cputime import thread_times as times_of
from bench.errors import BenchError
from bench.figures import percentile
from bench.generator import Generator, Pace, Publisher, Source, SyntheticSource, open_generator
from bench.target import Room, Target
from rtpfwd.params import SrtpProfile
from server.io.clock import monotonic_ns

PROFILES: Final = {"gcm": SrtpProfile.AEAD_AES_128_GCM, "cm": SrtpProfile.AES128_CM_SHA1_80}
SILENCE_SECONDS: Final = 0.3  # between the warm-up and the measured window
ARRIVAL_SECONDS: Final = 1.0  # after the last packet was sent; what has not come then is lost
QUIET_SECONDS: Final = 0.1  # without an arrival, before that: no more will come
GENERATOR_LIMIT: Final = 0.9  # of one core, on one thread, or of the cores that it is pinned to
LATE_LIMIT: Final = 0.02  # of the frames

Figures: TypeAlias = dict[str, float | None]  # bench/report.py names and explains them; None: not available here
Progress: TypeAlias = Callable[[str, float], None]  # what is going on, and which share of that is done, 0 … 1


def silent(stage: str, done: float) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class Load:
    """Who sends what to whom: `rooms` equal rooms of `publishers`, each with every one of `sources`.

    `viewers` of each room watch all its publishers; None: the publishers watch one another, and each room is N x N.
    A source is one more remote end (one transport); so is each viewer, of whatever number of publishers.
    """

    rooms: int = 1
    publishers: int = 1
    viewers: int | None = 50
    sources: tuple[Source, ...] = (SyntheticSource(),)

    def __post_init__(self) -> None:
        if self.rooms < 1 or self.publishers < 1 or not self.sources or (self.viewers is not None and self.viewers < 1):
            raise ValueError("a load needs a room, a publisher, a source and a viewer")
        if self.viewers is None and self.publishers < 2:
            raise ValueError("a room where all watch one another needs two publishers")

    @property
    def ends(self) -> int:
        """How many remote ends that takes."""
        return self.rooms * (self.publishers * len(self.sources) + (self.viewers or self.publishers))

    @property
    def streams_per_room(self) -> int:
        """Sources times those who watch each."""
        watching = self.publishers - 1 if self.viewers is None else self.viewers
        return self.publishers * len(self.sources) * watching


@dataclass(frozen=True, slots=True)
class MeasureSettings:
    """How to measure. The CPUs of the server are set by whoever starts it, and named here for its softirq time."""

    duration: float = 8.0  # seconds measured
    warmup: float = 2.0  # seconds before that
    profile: str = "gcm"  # a key of PROFILES
    server_cpus: tuple[int, ...] = ()  # empty: any
    generator_cpus: tuple[int, ...] = ()
    seed: int = 1
    gro: bool = True  # the generator's sockets take coalesced datagrams (UDP_GRO)
    nacks: bool = True  # viewers ask for what they miss
    repeat: int = 1  # runs, each with a fresh server: for the benches, `measure` makes one
    address: str = "127.0.0.1"  # that the generator sends from


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement. Figures per forwarded packet are over all distinct packets that arrived at viewers."""

    server: str  # the target's name and version
    tuning: str  # how it is set up
    figures: Figures
    counters: dict[str, float]  # of the server, how much each rose in the window; empty when it tells nothing
    load_average: float  # of the machine over the minute before
    invalid: tuple[str, ...]  # why the generator and not the server was the limit; empty: it was not


async def measure(target: Target, load: Load, settings: MeasureSettings, progress: Progress = silent) -> Run:
    """One run against a fresh, running server. This process is the generator. Raises BenchError, perhaps in a group."""
    load_average = os.getloadavg()[0]
    async with AsyncExitStack() as stack:
        stack.enter_context(pinned(settings.generator_cpus))
        opened = open_generator(
            target,
            capacity=load.ends,
            profile=PROFILES[settings.profile],
            seed=settings.seed,
            address=settings.address,
            gro=settings.gro,
            nacks=settings.nacks,
        )
        generator = await stack.enter_async_context(opened)
        publishers = await _set_up(target, generator, load, progress)
        await _play(generator, publishers, settings.warmup, "warming up", progress)
        await trio.sleep(SILENCE_SECONDS)
        events: EventCounter | None = None
        if countable():
            events = await stack.enter_async_context(open_counter(target.pid))
            await events.enable()
        generator.take_delays()
        before = await _snapshot(target, generator, settings)
        pace = await _play(generator, publishers, settings.duration, "measuring", progress)
        played = monotonic_ns() - before.at
        await _arrive(generator)
        after = await _snapshot(target, generator, settings)
        instructions = await events.disable() if events else {}
        figures = _figures(target.pid, settings, before, after, played)
        figures |= delay_figures(generator.take_delays())
        figures |= _instructions(instructions, after.received["packets"] - before.received["packets"])
        figures["late_frames"] = pace.late_frames / pace.frames if pace.frames else None
        counted = {name: value - before.counters.get(name, 0) for name, value in after.counters.items()}
        overflows = after.overflows - before.overflows
        server = f"{target.name} {target.version}"
        return Run(server, target.tuning, figures, counted, load_average, limits_of_generator(figures, pace, overflows))


@contextmanager
def pinned(cpus: tuple[int, ...]) -> Iterator[None]:
    """Every thread of this process, and those that it starts meanwhile, on these CPUs; on any when there are none."""
    if not cpus:
        yield
        return
    before = os.sched_getaffinity(0)
    try:
        _pin_all(set(cpus))
        yield
    finally:
        _pin_all(before)


def _pin_all(cpus: set[int]) -> None:
    for task in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):  # it ended just now
            os.sched_setaffinity(int(task.name), cpus)


async def _set_up(target: Target, generator: Generator, load: Load, progress: Progress) -> list[Publisher]:
    """All rooms, with everyone connected and watching."""
    publishers: list[Publisher] = []
    connected = 0

    def note() -> None:
        nonlocal connected
        connected += 1
        progress(f"connecting {connected} of {load.ends}", connected / load.ends)

    async def publish(room: Room, source: Source, own: list[Publisher]) -> None:
        own.append(await generator.publish(room, source))
        note()

    async def watch(room: Room, watched: list[Publisher]) -> None:
        await generator.watch(room, watched)
        note()

    async def fill(room_number: int) -> None:
        room = await target.open_room()
        sending: list[list[Publisher]] = [[] for _ in range(load.publishers)]
        async with trio.open_nursery() as nursery:
            for number, own in enumerate(sending):
                for place, source in enumerate(load.sources):
                    # Numbers of their own, so that no two publishers send alike.
                    apart = (room_number * load.publishers + number) * len(load.sources) + place
                    nursery.start_soon(publish, room, replace(source, seed=source.seed + apart), own)
        async with trio.open_nursery() as nursery:
            for number in range(load.viewers or load.publishers):
                others = [own for at, own in enumerate(sending) if load.viewers is not None or at != number]
                nursery.start_soon(watch, room, [publisher for own in others for publisher in own])
        publishers.extend(publisher for own in sending for publisher in own)

    progress(f"connecting {load.ends}", 0)
    async with trio.open_nursery() as nursery:
        for room_number in range(load.rooms):
            nursery.start_soon(fill, room_number)
    return publishers


async def _play(
    generator: Generator, publishers: list[Publisher], seconds: float, stage: str, progress: Progress
) -> Pace:
    """Play, and say twice a second how far that is."""
    progress(stage, 0)
    if seconds <= 0:
        return Pace()
    started = trio.current_time()

    async def tick() -> None:
        while True:
            await trio.sleep(0.5)
            progress(stage, min(1.0, (trio.current_time() - started) / seconds))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        pace = await generator.play(publishers, seconds)
        nursery.cancel_scope.cancel()
    progress(stage, 1)
    return pace


async def _arrive(generator: Generator) -> None:
    """Wait for the last packets: until all that were sent have come, or no more do."""
    now = quiet_since = trio.current_time()
    deadline, seen = now + ARRIVAL_SECONDS, -1
    # They are counted by a thread that knows no trio.
    while now < deadline and now < quiet_since + QUIET_SECONDS:
        packets = generator.received()["packets"]
        if packets != seen:
            seen, quiet_since = packets, now
        if packets >= generator.expected():
            return
        await trio.sleep(0.005)
        now = trio.current_time()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that is read before and after the window."""

    at: int  # ns
    server: dict[int, ThreadTime]
    generator: dict[int, ThreadTime]
    machine_busy: int  # ns
    stolen: int  # ns that the host took
    softirq: int | None  # ns of the server's CPUs
    counters: dict[str, float]
    received: dict[str, int]
    expected: int
    queue_drops: int
    overflows: int


async def _snapshot(target: Target, generator: Generator, settings: MeasureSettings) -> Snapshot:
    counters = await target.counters()
    try:
        server = times_of(target.pid)
    except OSError:
        raise BenchError(f"the process of {target.name} ended; what it said is above") from None
    busy, stolen = busy_ns()
    return Snapshot(
        at=monotonic_ns(),
        server=server,
        generator=times_of(os.getpid()),
        machine_busy=busy,
        stolen=stolen,
        softirq=softirq_ns(settings.server_cpus),
        counters=counters,
        received=dict(generator.received()),
        expected=generator.expected(),
        queue_drops=generator.queue_drops(),
        overflows=generator.overflows,
    )


def _figures(pid: int, settings: MeasureSettings, before: Snapshot, after: Snapshot, played: int) -> Figures:
    """All but delays, instructions and pace."""
    window = after.at - before.at
    received = {name: value - before.received[name] for name, value in after.received.items()}
    packets, expected = received["packets"], after.expected - before.expected
    server = cpu_use(pid, before.server, after.server)
    generator = cpu_use(os.getpid(), before.generator, after.generator)
    pinned_share = generator.total / window / len(settings.generator_cpus) if settings.generator_cpus else 0.0
    other = after.machine_busy - before.machine_busy - server.total - generator.total
    return {
        **_cpu_figures(server, packets, window),
        **_softirq(before, after, packets),
        "forwarded_per_s": packets * 1e9 / played,
        "mbit_per_s": received["bytes"] * 8e3 / played,
        "expected_packets": expected,
        "received_packets": packets,
        "repaired_packets": received["repaired"],
        "loss": 1 - (packets - received["repaired"]) / expected if expected else None,
        "duplicates": received["duplicates"],
        "out_of_order": received["late"],
        "verified_packets": received["verified"],
        "rejected_packets": received["rejected"] + received["foreign"],
        **_lane_figures(before, after, window),
        "generator_cpu": generator.total / window,
        "generator_busiest_thread": generator.busiest_thread / window,
        "generator_headroom": 1 - max(generator.busiest_thread / window, pinned_share),
        "queue_drops": after.queue_drops - before.queue_drops,
        "other_cpu": max(0, other) / window,
        "stolen_cpu": (after.stolen - before.stolen) / window,
    }


def _cpu_figures(server: CpuUse, packets: int, window: int) -> Figures:
    def each(nanoseconds: int) -> float | None:
        return nanoseconds / 1000 / packets if packets else None

    return {
        "cpu_us": each(server.total),
        "cpu_user_us": each(server.user),
        "cpu_kernel_us": each(server.system),
        "cpu_main_thread_us": each(server.main_thread),
        "server_cpu": server.total / window,
    }


def _softirq(before: Snapshot, after: Snapshot, packets: int) -> Figures:
    if before.softirq is None or after.softirq is None or not packets:
        return {"softirq_us": None}
    return {"softirq_us": (after.softirq - before.softirq) / 1000 / packets}


def _lane_figures(before: Snapshot, after: Snapshot, window: int) -> Figures:
    """What our own node counts; not available from others."""

    def rise(name: str) -> float | None:
        return after.counters[name] - before.counters.get(name, 0) if name in after.counters else None

    messages = rise("sightline_lane_sent_messages_total")
    datagrams = rise("sightline_lane_sent_datagrams_total")
    wakeups = rise("sightline_lane_wakeups_total")
    return {
        "datagrams_per_message": datagrams / messages if messages and datagrams is not None else None,
        "wakeups_per_s": None if wakeups is None else wakeups * 1e9 / window,
    }


def delay_figures(delays: Iterable[int]) -> Figures:
    """Percentiles of delays in ns."""
    ordered = sorted(delays)

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


def _instructions(counted: Mapping[str, int], packets: int) -> Figures:
    def each(event: str) -> float | None:
        return counted[event] / packets if packets and event in counted else None

    return {"instructions_user": each("instructions:u"), "instructions_kernel": each("instructions:k")}


def limits_of_generator(figures: Mapping[str, float | None], pace: Pace, overflows: int) -> tuple[str, ...]:
    """Why the run says nothing of the server; empty when it does."""
    reasons = []
    busiest, headroom = figures["generator_busiest_thread"] or 0, figures["generator_headroom"] or 0
    if busiest >= GENERATOR_LIMIT:
        reasons.append(f"a thread of the generator used {busiest:.0%} of a core")
    elif 1 - headroom >= GENERATOR_LIMIT:
        reasons.append(f"the generator used {1 - headroom:.0%} of the CPUs that it is pinned to")
    if figures["queue_drops"]:
        reasons.append(
            f"the generator's receive queues overflowed: {figures['queue_drops']:.0f} datagrams were dropped"
        )
    if pace.late_frames > LATE_LIMIT * pace.frames:
        late = f"{pace.late_frames} of {pace.frames} frames were late, the worst by {pace.latest_ns / 1e6:.1f} ms"
        reasons.append(f"the publishers did not keep their pace: {late}")
    if pace.refused_packets:
        reasons.append(f"the publishers' sockets refused {pace.refused_packets} packets")
    if overflows:
        reasons.append(f"the generator had no room for {overflows} datagrams that were no media")
    return tuple(reasons)
