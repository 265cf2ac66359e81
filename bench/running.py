"""What every bench command does around its measurements: run them, show how far they are, and say what came out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import trio
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from bench.errors import BenchError, first_refusal
from bench.measurement import Load, Progress, Run, measure, silent
from bench.options import INVALID_EXIT, MediaOptions
from bench.report import write_json, write_whole
from bench.sightline_target import open_sightline
from bench.target import Target

REDRAWN_PER_SECOND: Final = 2  # rarely: it is the generator's CPU that draws
T = TypeVar("T")


def run_bench(bench: Callable[[Progress], Awaitable[T]], console: Console) -> T:
    """A trio function, with its progress shown. BenchError becomes one line and exit code 1."""
    refusal: BenchError | None = None
    with shown_progress(console) as progress:
        try:
            return trio.run(bench, progress)
        except* BenchError as refused:
            refusal = first_refusal(refused)  # raising in here would wrap the exit in a group
    raise click.ClickException(str(refusal))


@contextmanager
def shown_progress(console: Console) -> Iterator[Progress]:
    """Says what is going on, on a terminal only."""
    if not console.is_terminal:
        yield silent
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Bar(*columns, console=console, refresh_per_second=REDRAWN_PER_SECOND, transient=True) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda stage, done: bar.update(task, description=stage, completed=done)


def titled(progress: Progress, title: str) -> Progress:
    """The same with a title before each stage."""
    return lambda stage, done: progress(f"{title}: {stage}", done)


def open_node(options: MediaOptions) -> AbstractAsyncContextManager[Target]:
    """A fresh node of ours, as the options say."""
    return open_sightline(
        address=options.settings.address,
        lanes=options.lanes,
        cpus=options.settings.server_cpus,
        options=options.node_options,
        viewer_extensions=options.viewer_extensions,
    )


async def measure_repeatedly(options: MediaOptions, load: Load, progress: Progress) -> list[Run]:
    """As many runs as asked for, each with a fresh node and another seed."""
    runs = []
    settings = options.settings
    for number in range(settings.repeat):
        watched = titled(progress, f"run {number + 1} of {settings.repeat}") if settings.repeat > 1 else progress
        watched("starting the node", 0)
        async with open_node(options) as target:
            runs.append(await measure(target, load, replace(settings, seed=settings.seed + number), watched))
    return runs


def write_outputs(options: MediaOptions, report: Mapping[str, Any]) -> None:
    """The files that were asked for."""
    if options.json is not None:
        write_json(options.json, report)
    if options.html is not None:
        write_page(options.html, [report])


def write_page(path: Path, reports: Sequence[Mapping[str, Any]]) -> None:
    """The page with plots of these reports. ClickException where matplotlib is missing."""
    try:
        from bench.page import page  # matplotlib is optional, and slow to import
    except ModuleNotFoundError as missing:
        if missing.name != "matplotlib":
            raise
        raise click.ClickException("plots need matplotlib: pip install 'sightline[bench]'") from None
    write_whole(path, page(reports))


def exit_when_invalid(runs: Sequence[Run]) -> None:
    """Exit code 3: the figures of some run say little of the server."""
    if any(run.invalid for run in runs):
        raise SystemExit(INVALID_EXIT)
