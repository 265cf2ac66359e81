"""CPU time of a process by thread, and instructions where the machine counts them. Works on any process, not only ours.

Run time is the scheduler's own, in nanoseconds (/proc/PID/task/TID/schedstat). How much of it was user and how much
kernel time is known in clock ticks of 10 ms only (/proc/PID/task/TID/stat), so that split is coarse in short windows.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
INSTRUCTIONS = ("instructions:u", "instructions:k")


@dataclass(frozen=True, slots=True)
class ThreadTime:
    """Of one thread since its start, nanoseconds."""

    run: int
    user: int
    system: int


@dataclass(frozen=True, slots=True)
class CpuUse:
    """Of one process within a window, nanoseconds. Threads that ended within it are not counted."""

    total: int
    user: int
    system: int
    main_thread: int
    busiest_thread: int


def thread_times(pid: int) -> dict[int, ThreadTime]:
    """Of every thread that there is now, by its id."""
    times: dict[int, ThreadTime] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            stat = (task / "stat").read_text()
            run = int((task / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended just now
        fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
        times[int(task.name)] = ThreadTime(run, int(fields[11]) * TICK_NS, int(fields[12]) * TICK_NS)
    return times


def cpu_use(pid: int, before: Mapping[int, ThreadTime], after: Mapping[int, ThreadTime]) -> CpuUse:
    """What happened between two answers of `thread_times`."""
    none = ThreadTime(0, 0, 0)
    runs = {thread: time.run - before.get(thread, none).run for thread, time in after.items()}
    total = sum(runs.values())
    user = sum(time.user - before.get(thread, none).user for thread, time in after.items())
    system = sum(time.system - before.get(thread, none).system for thread, time in after.items())
    user_share = user / (user + system) if user + system else 0.0
    in_user = round(total * user_share)
    return CpuUse(total, in_user, total - in_user, runs.get(pid, 0), max(runs.values(), default=0))


def busy_ns(stat: Path = Path("/proc/stat")) -> tuple[int, int]:
    """CPU time that the whole machine has spent on anything since it started, and beside it what the host took from it
    while it wanted to run ("steal"; 0 where there is no host)."""
    fields = [int(field) for field in stat.read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _iowait, interrupt, softirq, steal = fields[:8]
    return (user + nice + system + interrupt + softirq) * TICK_NS, steal * TICK_NS


def softirq_ns(cpus: Sequence[int], stat: Path = Path("/proc/stat")) -> int | None:
    """Time that these CPUs have spent in soft interrupts, in clock ticks of 10 ms; None without CPUs or where untold.

    The receiving half of loopback runs there, on the sender's CPU. Whether the sending thread's own time holds it as
    well depends on the kernel (CONFIG_IRQ_TIME_ACCOUNTING): so it is shown beside that time and never added to it.
    """
    ticks: dict[str, int] = {}
    try:
        for line in stat.read_text().splitlines():
            name, *fields = line.split()
            if name.startswith("cpu") and len(fields) > 6:
                ticks[name] = int(fields[6])
    except OSError:
        return None
    if not cpus or any(f"cpu{cpu}" not in ticks for cpu in cpus):
        return None
    return sum(ticks[f"cpu{cpu}"] for cpu in cpus) * TICK_NS


class EventCounter:
    """Counts hardware events of one process while enabled, through perf(1)."""

    def __init__(self, process: trio.Process, control: int, acknowledged: int) -> None:
        self._process = process
        self._control = control
        self._acknowledged = acknowledged

    async def enable(self) -> None:
        """Returns once it counts."""
        await self._say(b"enable\n")

    async def disable(self) -> dict[str, int]:
        """Stop, and answer what was counted, by event."""
        await self._say(b"disable\n")
        self._process.send_signal(signal.SIGINT)  # the signal on which it prints
        assert self._process.stderr is not None
        printed = b"".join([chunk async for chunk in self._process.stderr])
        return parse_perf(printed.decode(errors="replace"))

    async def _say(self, command: bytes) -> None:
        os.write(self._control, command)
        with trio.move_on_after(5):
            await trio.lowlevel.wait_readable(self._acknowledged)
            os.read(self._acknowledged, 64)


def parse_perf(printed: str) -> dict[str, int]:
    """The output of `perf stat -x,`: value, unit, event, …; events that can't be counted are left out."""
    found: dict[str, int] = {}
    for line in printed.splitlines():
        fields = line.split(",")
        if len(fields) > 2 and fields[0].replace(".", "", 1).isdigit():
            found[fields[2]] = int(float(fields[0]))
    return found


@functools.cache
def countable(events: tuple[str, ...] = INSTRUCTIONS) -> bool:
    """Whether perf is installed, permitted, and this machine (often not a virtual one) counts the events."""
    if shutil.which("perf") is None:
        return False
    tried = subprocess.run(
        ["perf", "stat", "-x,", "-e", ",".join(events), "--", "true"], capture_output=True, text=True, check=False
    )
    return set(parse_perf(tried.stderr)) >= set(events)


@asynccontextmanager
async def open_counter(pid: int, events: tuple[str, ...] = INSTRUCTIONS) -> AsyncIterator[EventCounter]:
    """Attached to every thread that the process has now, not counting yet."""
    control_out, control_in = os.pipe()
    done_out, done_in = os.pipe()
    command = ["perf", "stat", "-x,", "-e", ",".join(events), "-p", str(pid), "-D", "-1"]
    command += ["--control", f"fd:{control_out},{done_in}"]
    process = await trio.lowlevel.open_process(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=(control_out, done_in)
    )
    os.set_blocking(done_out, False)
    try:
        yield EventCounter(process, control_in, done_out)
    finally:
        with trio.CancelScope(shield=True):
            process.terminate()
            await process.wait()
        for fd in (control_out, control_in, done_out, done_in):
            os.close(fd)
