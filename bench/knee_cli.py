"""`sightline bench knee`: raise the load until delay or loss bends. The search itself is bench/knee.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from bench.conditions import conditions
from bench.figures import summarise
from bench.knee import DELAY_LIMIT_MS, LOSS_LIMIT, Knee, Point, Verdict, judge, knee_of, next_load
from bench.measurement import PROFILES, Load, Progress, Run
from bench.options import INVALID_EXIT, MediaOptions, media_options
from bench.report import Figure, as_json, cells, print_conditions, run_conditions, summary_json
from bench.running import measure_repeatedly, run_bench, titled, write_outputs

ATTEMPTS: Final = 2  # at a load that the generator could not make: the cause may have been another program
COLUMNS: Final = (
    Figure("forwarded_per_s", "packets", "/s", 0),
    Figure("delay_p50_ms", "p50", "ms", 2),
    Figure("delay_p99_ms", "p99", "ms", 2),
    Figure("delay_p999_ms", "p99.9", "ms", 2),
    Figure("loss", "loss", "%", 2, 100),
    Figure("cpu_us", "CPU", "µs", 2),
    Figure("server_cpu", "server", "%", 0, 100),
    Figure("generator_headroom", "spare", "%", 0, 100),
    Figure("other_cpu", "others", "%", 0, 100),
    Figure("stolen_cpu", "stolen", "%", 1, 100),
)


@click.command()
@click.option("--viewers", default=10, show_default=True, type=click.IntRange(1, 2000), help="In each room.")
@click.option(
    "--raise",
    "raised",
    default="rooms",
    show_default=True,
    type=click.Choice(["rooms", "publishers"]),
    help="Rooms of one publisher each, or publishers in one room.",
)
@click.option("--first", default=1, show_default=True, type=click.IntRange(1, 2000), help="The load to begin with.")
@click.option("--most", default=200, show_default=True, type=click.IntRange(1, 2000), help="The greatest to try.")
@media_options
def knee(*, viewers: int, raised: str, first: int, most: int, options: MediaOptions) -> None:
    """Raise the load until the p99 delay passes 1 ms or the loss 0.1 %: the whole curve.

    Doubles the load until it is too much, then halves the gap down to 5 %. Every load meets a fresh node. Exit code 3
    when the generator, not the server, set the end of the curve.

    \b
    Examples:
      sightline bench knee --pin 0,1 --duration 4 --html knee.html
      sightline bench knee --viewers 50 --trace vp8-simulcast-720p --lanes 2
    """
    console, started = Console(), datetime.now(UTC)
    shape = partial(load_of, raised=raised, viewers=viewers, options=options)
    curve, runs = run_bench(lambda progress: climb(options, shape, first, most, progress), console)
    found = knee_of(curve)
    surroundings = run_conditions(options.settings, conditions(), runs)
    each = "rooms of 1 publisher" if raised == "rooms" else "publishers in 1 room"
    title = f"{each} to {viewers} viewers: {options.source_title}, {PROFILES[options.settings.profile].name}"
    print_curve(console, title, raised, curve, runs)
    console.print(told(found, raised, curve, runs), style="bold", highlight=False, soft_wrap=True)
    print_conditions(console, surroundings)
    at_knee = [run for point in curve if point.load == found.load for run in _of(point, runs)]
    more = curve_json(found, raised, curve, runs)
    report = as_json("knee", options.given, surroundings, runs, summarised=at_knee, started=started, **more)
    write_outputs(options, report)
    if found.limited_by == Verdict.GENERATOR:
        raise SystemExit(INVALID_EXIT)


def load_of(number: int, *, raised: str, viewers: int, options: MediaOptions) -> Load:
    """So many rooms, or so many publishers."""
    rooms, publishers = (number, 1) if raised == "rooms" else (1, number)
    return Load(rooms, publishers, viewers, (options.source,))


async def climb(
    options: MediaOptions, shape: Callable[[int], Load], first: int, most: int, progress: Progress
) -> tuple[list[Point], list[Run]]:
    """Measure load after load. Answers the points by load, and every run that was made."""
    points: list[Point] = []
    runs: list[Run] = []
    seed = options.settings.seed
    while (load := next_load(points, first=first, most=most)) is not None:
        point = Point(load, Verdict.GENERATOR, ())
        for _ in range(ATTEMPTS):
            one = replace(options, settings=replace(options.settings, seed=seed))
            made = await measure_repeatedly(one, shape(load), titled(progress, f"load {load}"))
            seed += len(made)
            point = Point(load, judge(made), (*point.runs, *range(len(runs), len(runs) + len(made))))
            runs += made
            if point.verdict is not Verdict.GENERATOR:
                break
        points.append(point)
    return sorted(points, key=lambda point: point.load), runs


def _of(point: Point, runs: Sequence[Run]) -> list[Run]:
    """The runs that the point's figures are of: the valid ones where there are any."""
    own = [runs[number] for number in point.runs]
    return [run for run in own if not run.invalid] or own


def print_curve(console: Console, title: str, raised: str, curve: Sequence[Point], runs: Sequence[Run]) -> None:
    """One row for each load."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), collapse_padding=True)
    table.add_column("load", justify="right", no_wrap=True)
    for figure in COLUMNS:
        table.add_column(f"{figure.title}\n{figure.unit}", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for point in curve:
        summary = summarise([run.figures for run in _of(point, runs)])
        shown = [cells(figure, summary.get(figure.key), ranges=False)[1] for figure in COLUMNS]
        table.add_row(
            str(point.load), *shown, "" if point.verdict is Verdict.CARRIED else point.verdict.value.partition("-")[0]
        )
    console.print(title, style="bold", soft_wrap=True, highlight=False)
    console.print(table)
    for point in curve:
        if point.verdict is Verdict.GENERATOR:
            for reason in dict.fromkeys(reason for run in _of(point, runs) for reason in run.invalid):
                console.print(f"{raised} {point.load}: generator-limited: {reason}", highlight=False, soft_wrap=True)


def told(found: Knee, raised: str, curve: Sequence[Point], runs: Sequence[Run]) -> str:
    """The knee in one sentence."""
    why = {
        Verdict.DELAYED.value: f"at {found.above} the p99 delay is above {DELAY_LIMIT_MS:g} ms",
        Verdict.LOST.value: f"at {found.above} more than {LOSS_LIMIT:.1%} is lost",
        Verdict.GENERATOR.value: f"at {found.above} the generator was the limit, so the server's knee lies higher",
        "range": "the greatest load that --most allows; the knee lies higher",
    }[found.limited_by]
    if found.load is None:
        return f"knee: below the smallest load: {why}"
    at = next(point for point in curve if point.load == found.load)
    rate = summarise([run.figures for run in _of(at, runs)])["forwarded_per_s"].median
    return f"knee: {found.load} {raised}, {rate:,.0f} forwarded packets/s; {why}"


def curve_json(found: Knee, raised: str, curve: Sequence[Point], runs: Sequence[Run]) -> dict[str, Any]:
    """What only this report has. Its `runs` are those of the whole curve, its `summary` is of the load at the knee."""
    return {
        "knee": {"load": found.load, "above": found.above, "limited_by": found.limited_by, "raised": raised},
        "limits": {"delay_p99_ms": DELAY_LIMIT_MS, "loss": LOSS_LIMIT},
        "curve": [
            {
                "load": point.load,
                "verdict": point.verdict.value,
                "runs": list(point.runs),
                "summary": summary_json(_of(point, runs)),
            }
            for point in curve
        ],
    }
