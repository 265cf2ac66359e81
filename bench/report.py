"""What a bench says: a table for people, JSON for programs. bench/README.md and bench/schema.json document both."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.table import Table

from bench.figures import Spread, summarise
from bench.measurement import MeasureSettings, Run

SCHEMA: Final = "sightline.bench/2"


class Figure(NamedTuple):
    """How one figure is shown. `scale` turns the stored value into the shown unit."""

    key: str
    title: str
    unit: str
    digits: int
    scale: float = 1.0


FIGURES: Final = (
    Figure("cpu_us", "server CPU per forwarded packet", "µs", 2),
    Figure("cpu_user_us", "  in user mode", "µs", 2),
    Figure("cpu_kernel_us", "  in the kernel", "µs", 2),
    Figure("cpu_main_thread_us", "  all on its main thread", "µs", 2),
    Figure("softirq_us", "beside: softirq of its CPUs", "µs", 2),
    Figure("instructions_user", "instructions each, user mode", "", 0),
    Figure("instructions_kernel", "instructions each, kernel", "", 0),
    Figure("server_cpu", "server CPU", "% of a core", 1, 100),
    Figure("forwarded_per_s", "forwarded packets", "/s", 0),
    Figure("mbit_per_s", "forwarded", "Mbit/s", 1),
    Figure("datagrams_per_message", "datagrams per message", "", 2),
    Figure("wakeups_per_s", "wake-ups of the lanes", "/s", 0),
    Figure("delay_p50_ms", "delay p50", "ms", 3),
    Figure("delay_p99_ms", "delay p99", "ms", 3),
    Figure("delay_p999_ms", "delay p99.9", "ms", 3),
    Figure("delay_max_ms", "delay, longest sample", "ms", 3),
    Figure("loss", "loss", "%", 4, 100),
    Figure("repaired_packets", "lost but repaired", "packets", 0),
    Figure("duplicates", "duplicates", "packets", 0),
    Figure("out_of_order", "out of order", "packets", 0),
    Figure("verified_packets", "verified samples", "packets", 0),
    Figure("rejected_packets", "rejected samples", "packets", 0),
    Figure("generator_cpu", "generator CPU", "% of a core", 1, 100),
    Figure("generator_busiest_thread", "  its busiest thread", "% of a core", 1, 100),
    Figure("generator_headroom", "  what it has left", "%", 1, 100),
    Figure("queue_drops", "viewers' queue drops", "packets", 0),
    Figure("late_frames", "frames sent late", "%", 1, 100),
    Figure("other_cpu", "CPU of other programs", "% of a core", 0, 100),
    Figure("stolen_cpu", "taken by the host", "% of a core", 1, 100),
)


def as_json(
    bench: str,
    settings: Mapping[str, object],
    conditions: Mapping[str, str],
    runs: Sequence[Run],
    *,
    summarised: Sequence[Run] | None = None,
    started: datetime | None = None,
    **more: object,
) -> dict[str, Any]:
    """The documented report of any bench whose runs have figures.

    `summarised`: the runs that the summary is of, if not all. `more`: what only this bench has.
    """
    return {
        "schema": SCHEMA,
        "bench": bench,
        "started": (started or datetime.now(UTC)).isoformat(timespec="seconds"),
        "settings": dict(settings),
        "conditions": dict(conditions),
        "runs": [run_json(run) for run in runs],
        "summary": summary_json(runs if summarised is None else summarised),
        **more,
    }


def run_json(run: Run) -> dict[str, Any]:
    """One run, as in `runs`."""
    return {
        "server": run.server,
        "figures": run.figures,
        "counters": run.counters,
        "load_average": run.load_average,
        "invalid": list(run.invalid),
    }


def summary_json(runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    """Median and range of every figure that is available."""
    return {key: found._asdict() for key, found in summarise([run.figures for run in runs]).items()}


def write_json(path: Path, report: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    write_whole(path, json.dumps(report, indent=2, allow_nan=False) + "\n")


def write_whole(path: Path, text: str) -> None:
    """A reader sees the old file or the new one, never a part."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def print_report(
    console: Console,
    title: str,
    conditions: Mapping[str, str],
    runs: Sequence[Run],
    figures: Sequence[Figure] = FIGURES,
) -> None:
    """Figures, conditions and, where a run is invalid, why."""
    summary = summarise([run.figures for run in runs])
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("median" if len(runs) > 1 else "", justify="right")
    if len(runs) > 1:
        table.add_column("range", justify="right")
    table.add_column("")
    for figure in figures:
        table.add_row(*cells(figure, summary.get(figure.key), ranges=len(runs) > 1))
    console.print(title, style="bold", soft_wrap=True, highlight=False)
    console.print(table)
    print_conditions(console, conditions)
    for number, run in enumerate(runs, 1):
        for reason in run.invalid:
            console.print(
                f"[red bold]INVALID[/] (run {number}): the generator, not the server, was the limit: {reason}",
                highlight=False,
                soft_wrap=True,
            )


def print_conditions(console: Console, conditions: Mapping[str, str]) -> None:
    """One dim line each."""
    for name, value in conditions.items():
        console.print(f"{name}: {value}", style="dim", highlight=False, soft_wrap=True, markup=False)


def cells(figure: Figure, found: Spread | None, *, ranges: bool) -> list[str]:
    """One row of the table."""
    if found is None:
        return [figure.title, "not available", *([""] if ranges else []), ""]

    def shown(value: float) -> str:
        return f"{value * figure.scale:,.{figure.digits}f}"

    between = [f"{shown(found.low)} … {shown(found.high)}"] if ranges else []
    return [figure.title, shown(found.median), *between, figure.unit]


def run_conditions(settings: MeasureSettings, machine: Mapping[str, str], runs: Sequence[Run]) -> dict[str, str]:
    """The machine's conditions and those of these runs, in words."""
    loads = [run.load_average for run in runs]
    conditions = {
        **machine,
        "server": "; ".join(dict.fromkeys(f"{run.server} ({run.tuning})" for run in runs)),
        "pinning": _pinning(settings),
        "load_average": f"{min(loads):.1f} … {max(loads):.1f}",
        "receive_offload": (
            "used by the generator: coalesced datagrams reach its sockets whole (UDP_GRO)"
            if settings.gro
            else "not used by the generator: the server's kernel time includes splitting for its sockets"
        ),
    }
    ratios = [ratio for run in runs if (ratio := run.figures.get("datagrams_per_message")) is not None]
    if ratios:
        conditions["segmentation_offload"] = f"{'' if max(ratios) > 1 else 'not '}used by the server"
    return conditions


def _pinning(settings: MeasureSettings) -> str:
    pinned = [
        f"{who} on CPU {', '.join(map(str, cpus))}"
        for who, cpus in (("server", settings.server_cpus), ("generator", settings.generator_cpus))
        if cpus
    ]
    return ", ".join(pinned) or "none"
