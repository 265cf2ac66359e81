"""`sightline bench`: measures a real node on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click
import trio
from rich.console import Console

from bench.conditions import conditions
from bench.errors import BenchError
from bench.fanout import PROFILES, FanoutSettings, Run, measure
from bench.record_cli import record
from bench.report import as_json, print_report, run_conditions, write_json

INVALID_EXIT = 3


@click.group()
def bench() -> None:
    """Measure a real media node on this machine. Prints figures and their conditions; judges nothing."""


bench.add_command(record)


def cpu_pair(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """SERVER,GENERATOR: only CPUs that this process may run on."""
    if value is None:
        return None
    allowed = os.sched_getaffinity(0)
    numbers = [int(part) for part in value.split(",") if part.strip().isdecimal()]
    if len(numbers) != 2 or value.count(",") != 1 or not set(numbers) <= allowed:
        some = ", ".join(map(str, sorted(allowed)))
        raise click.BadParameter(f"{value!r} is no pair of CPUs like 0,1; this process may use {some}", ctx, param)
    return numbers[0], numbers[1]


@bench.command()
@click.option("--subscribers", default=50, show_default=True, type=click.IntRange(1, 2000), help="Viewers.")
@click.option("--duration", default=8.0, show_default=True, type=click.FloatRange(0.1, 3600), help="Seconds measured.")
@click.option("--packets", default=10, show_default=True, type=click.IntRange(1, 64), help="Packets per frame.")
@click.option("--size", default=1200, show_default=True, type=click.IntRange(32, 1400), help="RTP payload bytes.")
@click.option("--fps", default=30, show_default=True, type=click.IntRange(1, 1000), help="Frames per second.")
@click.option("--profile", default="gcm", show_default=True, type=click.Choice(sorted(PROFILES)), help="SRTP profile.")
@click.option("--warmup", default=2.0, show_default=True, type=click.FloatRange(0, 600), help="Seconds before that.")
@click.option(
    "--pin", metavar="CPU,CPU", callback=cpu_pair, help="The one CPU of the server and the one of the generator."
)
@click.option("--seed", default=1, show_default=True, type=int, help="Of everything random in the generator.")
@click.option("--repeat", default=1, show_default=True, type=click.IntRange(1, 1000), help="Runs, each from scratch.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Also write a report here.")
def fanout(*, pin: tuple[int, int] | None, repeat: int, json_file: Path | None, **options: float | str) -> None:
    """One publisher to N viewers: CPU per forwarded packet, delay, loss.

    Exit code 3 when the generator, not the server, was the limit in some run: its figures then say little.

    \b
    Examples:
      sightline bench fanout
      sightline bench fanout --subscribers 100 --profile cm --repeat 5 --json fanout.json
    """
    settings = FanoutSettings(
        **options,  # type: ignore[arg-type]  # the options above have the names and types of the fields
        server_cpu=pin[0] if pin else None,
        generator_cpu=pin[1] if pin else None,
    )
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise click.BadParameter(f"{json_file.parent} is no directory", param_hint="--json")
    console = Console()
    started = datetime.now(UTC)
    runs = [_run(settings, console, number, repeat) for number in range(1, repeat + 1)]
    surroundings = run_conditions(settings, conditions(), runs)
    title = (
        f"1 publisher to {settings.subscribers} viewers, {settings.fps} frames/s of {settings.packets} packets of "
        f"{settings.size} bytes, {PROFILES[settings.profile].name}, {settings.duration:g} s, {repeat} run(s)"
    )
    print_report(console, title, surroundings, runs)
    if json_file is not None:
        write_json(json_file, as_json("fanout", asdict(settings), surroundings, runs, started=started))
    if any(run.invalid for run in runs):
        raise SystemExit(INVALID_EXIT)


def _run(settings: FanoutSettings, console: Console, number: int, repeat: int) -> Run:
    refusal: BenchError | None = None
    with _pinned(settings.generator_cpu), _progress(console, f"run {number} of {repeat}") as progress:
        try:
            return trio.run(measure, settings, progress)
        except* BenchError as refused:
            refusal = first_refusal(refused)  # raising in here would wrap the exit in a group
    raise click.ClickException(str(refusal))


@contextmanager
def _pinned(cpu: int | None) -> Iterator[None]:
    """This process on one CPU, for a while. The node sets its own."""
    before = os.sched_getaffinity(0)
    try:
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _progress(console: Console, title: str) -> Iterator[Callable[[str], None]]:
    """Says what is going on, on a terminal only. It redraws rarely: its time is the generator's."""
    if not console.is_terminal:
        yield lambda stage: None
        return
    with console.status(title, refresh_per_second=2) as status:
        yield lambda stage: status.update(f"{title}: {stage}")


def first_refusal(group: BaseExceptionGroup[BenchError]) -> BenchError:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, BenchError)
    return found
