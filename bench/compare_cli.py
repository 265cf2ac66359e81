"""`sightline bench compare`: the command around compare.py."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from bench.compare import CPU, Contender, Results, in_json, play_rounds, ratio
from bench.conditions import conditions
from bench.errors import BenchError
from bench.figures import Spread
from bench.measurement import PROFILES, Load, Progress, Run, measure
from bench.namespace import ADDRESS, enter, inside
from bench.options import INVALID_EXIT, MediaOptions, media_options
from bench.peers.contenders import PEERS, TUNINGS, check, contenders
from bench.report import FIGURES, Figure, as_json, print_conditions, run_conditions
from bench.running import run_bench, write_outputs
from bench.target import Target

FIXED: Final[dict[str, object]] = {"viewer_extensions": "mid"}  # options of other benches that nobody may choose here
LEFT_OUT: Final = frozenset({"datagrams_per_message", "wakeups_per_s", "cpu_main_thread_us"})  # only ours has them


def shared_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of other benches, but that repeats are called rounds, and without those that are fixed."""
    shared = media_options(command)

    @functools.wraps(shared)
    def called(**given: Any) -> None:
        shared(repeat=given["rounds"], **FIXED, **given)

    params: list[click.Parameter] = vars(shared)["__click_params__"]  # where click's decorators collect them
    vars(called)["__click_params__"] = [param for param in params if param.name not in ("repeat", *FIXED)]
    return called


@click.command()
@click.option("--peer", required=True, type=click.Choice(PEERS), help="The server to compare with.")
@click.option("--tuning", default="both", show_default=True, type=click.Choice(TUNINGS), help="Of Janus.")
@click.option("--subscribers", default=50, show_default=True, type=click.IntRange(1, 2000), help="Viewers.")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1, 1000), help="Turns of all servers.")
@shared_options
def compare(*, options: MediaOptions, peer: str, tuning: str, subscribers: int, rounds: int) -> None:
    """Our node and another SFU under one load, in turns, and the ratio of their CPU time per forwarded packet.

    Everything runs in a network namespace of its own: as root, or where user namespaces are permitted. bench/PEERS.md
    tells how each peer is obtained and tuned. Exit code 3 when the generator, not a server, was the limit.

    \b
    Examples:
      sightline bench compare --peer janus --subscribers 50 --duration 8 --json out.json
      sightline bench compare --peer janus --trace vp8-simulcast-720p --pin 0,1
    """
    try:
        check(peer)
        if not inside():
            enter(sys.argv[1:])
    except BenchError as refused:
        raise click.ClickException(str(refused)) from refused
    console, started = Console(), datetime.now(UTC)
    everyone = contenders(
        peer,
        tuning,
        address=ADDRESS,
        cpus=options.settings.server_cpus,
        lanes=options.lanes,
        options=options.node_options,
    )
    load = Load(viewers=subscribers, sources=(options.source,))
    results = run_bench(lambda progress: _play(everyone, rounds, options, load, progress), console)
    runs = [run for result in results for run in result.runs]
    surroundings = run_conditions(options.settings, conditions(), runs)
    surroundings["network"] = f"a namespace of its own, {ADDRESS} over lo"
    found = in_json(results, has_default=peer == "janus" and tuning != "best")
    _print(console, options, subscribers, rounds, surroundings, results)
    report = as_json("compare", options.given, surroundings, results[0].runs, started=started, **found)
    write_outputs(options, report)
    if not found["valid"]:
        raise SystemExit(INVALID_EXIT)


async def _play(
    everyone: Sequence[Contender], rounds: int, options: MediaOptions, load: Load, progress: Progress
) -> tuple[Results, ...]:
    settings = replace(options.settings, address=ADDRESS)
    title = ""

    def note(stage: str) -> None:
        nonlocal title
        title = stage
        progress(f"{stage}: starting", 0)

    async def measured(target: Target) -> Run:
        return await measure(target, load, settings, lambda stage, done: progress(f"{title}: {stage}", done))

    return await play_rounds(everyone, rounds, measured, note)


def _print(
    console: Console,
    options: MediaOptions,
    subscribers: int,
    rounds: int,
    surroundings: dict[str, str],
    results: Sequence[Results],
) -> None:
    profile, seconds = PROFILES[options.settings.profile].name, options.settings.duration
    say: dict[str, Any] = {"highlight": False, "soft_wrap": True}
    title = f"1 publisher to {subscribers} viewers, {options.source_title}, {profile}, {seconds:g} s, {rounds} round(s)"
    console.print(title, style="bold", **say)
    console.print(_table(results))
    print_conditions(console, surroundings)
    for result in results:
        for line in _remarks(result):
            console.print(line, **say)
    for result in results:
        console.print(_verdict(results[0], result), style="bold", **say)


def _table(results: Sequence[Results]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("medians of the valid rounds")
    for result in results:
        table.add_column(result.label, justify="right")
    table.add_column("")
    summaries = [result.summary for result in results]
    for figure in FIGURES:
        found = [summary.get(figure.key) for summary in summaries]
        if figure.key not in LEFT_OUT and any(each is not None for each in found):
            table.add_row(figure.title, *(_cell(figure, each) for each in found), figure.unit)
    return table


def _cell(figure: Figure, found: Spread | None) -> str:
    return "" if found is None else f"{found.median * figure.scale:,.{figure.digits}f}"


def _verdict(ours: Results, result: Results) -> str:
    cpu = result.summary.get(CPU)
    if cpu is None:
        return f"{result.label}: no round was valid"
    said = f"{result.label}: {_range(cpu, 2)} µs of CPU per forwarded packet"
    found = None if result is ours else ratio(ours, result)
    return said if found is None else f"{said}, {_range(found, 1)} × ours"


def _range(found: Spread, digits: int) -> str:
    median, low, high = (f"{value:,.{digits}f}" for value in found)
    return f"{median} ({low} … {high})" if low != high else median


def _remarks(result: Results) -> Iterator[str]:
    if not result.keeps_up:
        yield f"[red bold]{result.label} lost more than 0.1 %[/]: it did less work than it was given"
    for number, run in enumerate(result.runs, 1):
        for reason in run.invalid:
            said = f"({result.label}, round {number}): the generator, not the server, was the limit: {reason}"
            yield f"[red bold]INVALID[/] {said}"
    if result.refused:
        yield f"[dim]{result.label}: {len(result.refused)} measurement(s) refused and made again[/]"
