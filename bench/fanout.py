"""`sightline bench fanout`: one publisher to N viewers through a real node."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from rich.console import Console

from bench.conditions import conditions
from bench.measurement import PROFILES, Load
from bench.options import MediaOptions, media_options
from bench.report import as_json, print_report, run_conditions
from bench.running import exit_when_invalid, measure_repeatedly, run_bench, write_outputs


@click.command()
@click.option("--subscribers", default=50, show_default=True, type=click.IntRange(1, 2000), help="Viewers.")
@media_options
def fanout(*, subscribers: int, options: MediaOptions) -> None:
    """One publisher to N viewers: CPU per forwarded packet, delay, loss.

    Exit code 3 when the generator, not the server, was the limit in some run: its figures then say little.

    \b
    Examples:
      sightline bench fanout
      sightline bench fanout --subscribers 100 --profile cm --repeat 5 --json fanout.json
    """
    title = f"1 publisher to {subscribers} viewers: {options.source_title}"
    report_load("fanout", title, Load(viewers=subscribers, sources=(options.source,)), options)


def report_load(bench: str, title: str, load: Load, options: MediaOptions) -> None:
    """Measure one load as often as asked for, and say what came out."""
    console, started, settings = Console(), datetime.now(UTC), options.settings
    runs = run_bench(lambda progress: measure_repeatedly(options, load, progress), console)
    surroundings = run_conditions(settings, conditions(), runs)
    title += f", {PROFILES[settings.profile].name}, {settings.duration:g} s, {settings.repeat} run(s)"
    print_report(console, title, surroundings, runs)
    write_outputs(options, as_json(bench, options.given, surroundings, runs, started=started))
    exit_when_invalid(runs)
