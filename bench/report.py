"""What a bench says: a table for people, JSON for programs. bench/README.md documents both."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from bench.fanout import FanoutSettings, Run
from bench.figures import Spread, summarise

SCHEMA = "sightline.bench/1"


class Figure(NamedTuple):
    """How one figure is shown. `scale` turns the stored value into the shown unit."""

    key: str
    title: str
    unit: str
    digits: int
    scale: float = 1.0


FIGURES = (
    Figure("cpu_us", "server CPU per forwarded packet", "µs", 2),
    Figure("cpu_user_us", "  in user mode", "µs", 2),
    Figure("cpu_kernel_us", "  in the kernel", "µs", 2),
    Figure("cpu_lane_us", "  all on lane threads", "µs", 2),
    Figure("instructions_user", "instructions each, user mode", "", 0),
    Figure("instructions_kernel", "instructions each, kernel", "", 0),
    Figure("server_cpu", "server CPU", "% of a core", 1, 100),
    Figure("forwarded_per_s", "forwarded packets", "/s", 0),
    Figure("mbit_per_s", "forwarded", "Mbit/s", 1),
    Figure("datagrams_per_message", "datagrams per message", "", 2),
    Figure("wakeups_per_s", "wake-ups of the lane", "/s", 0),
    Figure("delay_p50_ms", "delay p50", "ms", 3),
    Figure("delay_p99_ms", "delay p99", "ms", 3),
    Figure("delay_p999_ms", "delay p99.9", "ms", 3),
    Figure("delay_max_ms", "delay, longest sample", "ms", 3),
    Figure("loss", "loss", "%", 4, 100),
    Figure("duplicates", "duplicates", "packets", 0),
    Figure("out_of_order", "out of order", "packets", 0),
    Figure("verified_packets", "verified samples", "packets", 0),
    Figure("rejected_packets", "rejected samples", "packets", 0),
    Figure("generator_cpu", "generator CPU", "% of a core", 1, 100),
    Figure("generator_busiest_thread", "  its busiest thread", "% of a core", 1, 100),
    Figure("queue_drops", "viewers' queue drops", "packets", 0),
    Figure("late_frames", "frames sent late", "%", 1, 100),
    Figure("other_cpu", "CPU of other programs", "% of a core", 0, 100),
)


def as_json(
    bench: str,
    settings: Mapping[str, object],
    conditions: Mapping[str, str],
    runs: Sequence[Run],
    *,
    started: datetime | None = None,
) -> dict[str, Any]:
    """The documented report of any bench whose runs have figures."""
    return {
        "schema": SCHEMA,
        "bench": bench,
        "started": (started or datetime.now(UTC)).isoformat(timespec="seconds"),
        "settings": dict(settings),
        "conditions": dict(conditions),
        "runs": [
            {
                "figures": run.figures,
                "counters": run.counters,
                "load_average": run.load_average,
                "invalid": list(run.invalid),
            }
            for run in runs
        ],
        "summary": {key: value._asdict() for key, value in summarise([run.figures for run in runs]).items()},
    }


def write_json(path: Path, report: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


def print_report(
    console: Console,
    title: str,
    conditions: Mapping[str, str],
    runs: Sequence[Run],
    figures: Sequence[Figure] = FIGURES,
) -> None:
    """Conditions, figures and, where a run is invalid, why."""
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
    for name, value in conditions.items():
        console.print(f"[dim]{name}: {value}[/dim]", highlight=False, soft_wrap=True)
    for number, run in enumerate(runs, 1):
        for reason in run.invalid:
            console.print(
                f"[red bold]INVALID[/] (run {number}): the generator, not the server, was the limit: {reason}",
                highlight=False,
                soft_wrap=True,
            )


def cells(figure: Figure, found: Spread | None, *, ranges: bool) -> list[str]:
    """One row of the table."""
    if found is None:
        return [figure.title, "not available", *([""] if ranges else []), ""]

    def shown(value: float) -> str:
        return f"{value * figure.scale:,.{figure.digits}f}"

    between = [f"{shown(found.low)} … {shown(found.high)}"] if ranges else []
    return [figure.title, shown(found.median), *between, figure.unit]


def run_conditions(settings: FanoutSettings, machine: Mapping[str, str], runs: Sequence[Run]) -> dict[str, str]:
    """The machine's conditions and those of these runs, in words."""
    batched = any((run.figures["datagrams_per_message"] or 1) > 1 for run in runs)
    loads = [run.load_average for run in runs]
    pinned = [
        f"{who} on CPU {cpu}"
        for who, cpu in (("server", settings.server_cpu), ("generator", settings.generator_cpu))
        if cpu is not None
    ]
    return {
        **machine,
        "pinning": ", ".join(pinned) or "none",
        "load_average": f"{min(loads):.1f} … {max(loads):.1f}",
        "segmentation_offload": "used by the server" if batched else "not used by the server",
        "receive_offload": "not used by the generator: the server's kernel time includes splitting for its sockets",
    }
