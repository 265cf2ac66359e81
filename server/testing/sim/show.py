"""Figures of simulations on a terminal and in a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from server.errors import LocalError
from server.testing.sim.results import Figures

_BLOCKS = " ▁▂▃▄▅▆▇█"
_WIDTH = 72  # columns of a plot


class NoPlots(LocalError):
    """matplotlib is not installed."""


def show(console: Console, runs: Sequence[tuple[str, Figures]]) -> None:
    """A table of every picture and sound of every viewer, the runs side by side, then plots."""
    console.print(_pictures(runs))
    sounds = _sounds(runs)
    if sounds.row_count:
        console.print(sounds)
    for label, figures in runs:
        for name, visitor in figures["visitors"].items():
            if visitor["views"]:
                _plot(console, f"{name}  {label}".rstrip(), visitor["series"])


def _pictures(runs: Sequence[tuple[str, Figures]]) -> Table:
    table = Table(title="Pictures", title_justify="left")
    columns = "viewer", "source", "policy", "kbit/s", "layers", "changes", "fps", "freezes", "gap ms", "delay ms"
    for column in (*columns, "queue ms", "lost", "estimate"):
        text = column in {"viewer", "source", "policy", "layers"}
        table.add_column(column, justify="left" if text else "right", no_wrap=not text)
    names = [(visitor, source) for visitor, seen in runs[0][1]["visitors"].items() for source in seen["views"]]
    for visitor, source in names:
        for label, figures in runs:
            seen = figures["visitors"][visitor]
            view = seen["views"][source]
            if "frames" not in view:
                continue
            link = seen["link"]
            lost = (link["lost"] + link["overflowed"]) / max(1, link["sent"])
            layers = " ".join(f"{height} {share:.0%}" for height, share in view["layers"].items())
            table.add_row(
                visitor,
                source,
                label,
                f"{view['kbps']:.0f}",
                layers or "none",
                str(view["layer_changes"]),
                f"{view['fps']:.1f}",
                f"{view['freezes']} ({view['freeze_s']:.1f} s)",
                f"{view['longest_gap_ms']:.0f}",
                "-" if view["delay_ms_p50"] is None else f"{view['delay_ms_p50']:.0f}/{view['delay_ms_p95']:.0f}",
                f"{link['queue_ms']:.0f}",
                f"{lost:.1%}",
                _against_capacity(seen["series"]),
            )
    return table


def _sounds(runs: Sequence[tuple[str, Figures]]) -> Table:
    table = Table("viewer", "source", "policy", "lost", "transit ms", title="Sound", title_justify="left")
    for label, figures in runs:
        for visitor, seen in figures["visitors"].items():
            for source, view in seen["views"].items():
                if "loss" in view:
                    transit = f"{view['transit_ms_p50']}/{view['transit_ms_p95']}"
                    table.add_row(visitor, source, label, f"{view['loss']:.2%}", transit)
    return table


def _against_capacity(series: Figures) -> str:
    """Mean of the estimate against the link's rate, of all samples past the first ten seconds."""
    shares = [
        estimate / capacity
        for at, estimate, capacity in zip(series["t_s"], series["estimate_kbps"], series["capacity_kbps"], strict=True)
        if at > 10 and estimate and capacity
    ]
    return f"{sum(shares) / len(shares):.0%}" if shares else "-"


def _plot(console: Console, title: str, series: Figures) -> None:
    """One line of bars for each: capacity, estimate, received, queue, layer. All rates have one scale."""
    rates = [[value or 0 for value in series[name]] for name in ("capacity_kbps", "estimate_kbps", "received_kbps")]
    top = max((max(rate, default=0) for rate in rates), default=0) or 1
    console.print(f"\n[bold]{title}[/bold]  ({series['t_s'][-1]:.0f} s, full height {top:.0f} kbit/s)")
    for name, rate in zip(("link", "estimate", "received"), rates, strict=True):
        console.print(f"  {name:9}{_bars(rate, top)}", highlight=False)
    queue = series["queue_ms"]
    console.print(f"  {'queue':9}{_bars(queue, max(100.0, *queue))}  at most {max(queue):.0f} ms", highlight=False)
    heights = [max(shown, default=0) for shown in series["heights"]]
    if any(heights):
        console.print(f"  {'layer':9}{_bars(heights, max(heights))}  {max(heights)}p", highlight=False)


def _bars(values: Sequence[float], top: float) -> str:
    if not values or top <= 0:
        return ""
    columns = min(_WIDTH, len(values))
    bars = []
    for column in range(columns):
        part = values[column * len(values) // columns : (column + 1) * len(values) // columns]
        share = sum(part) / len(part) / top
        bars.append(_BLOCKS[min(8, round(share * 8))])
    return "".join(bars)


def save_plot(path: Path, runs: Sequence[tuple[str, Figures]]) -> None:
    """A PNG (or what the suffix says) with one row for each viewer. Raises NoPlots."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise NoPlots("--plot needs matplotlib: install the bench extra (pip install 'sightline[bench]')") from None
    viewers = [name for name, visitor in runs[0][1]["visitors"].items() if visitor["views"]]
    figure = Figure(figsize=(11, 3.2 * len(viewers)), layout="constrained")
    axes = figure.subplots(len(viewers), 2, squeeze=False, sharex=True)
    for row, name in zip(axes, viewers, strict=True):
        for label, figures in runs:
            series = figures["visitors"][name]["series"]
            at = series["t_s"]
            row[0].plot(at, series["received_kbps"], label=f"received {label}")
            row[0].plot(at, series["estimate_kbps"], "--", label=f"estimate {label}")
            row[1].plot(at, series["queue_ms"], label=f"queue, ms {label}")
            row[1].step(at, [max(shown, default=0) for shown in series["heights"]], label=f"height {label}")
        capacity = [value if value is not None else float("nan") for value in series["capacity_kbps"]]
        row[0].plot(at, capacity, color="black", linewidth=0.8, label="link")
        row[0].set_title(f"{name}: kbit/s")
        row[1].set_title(f"{name}: queue and picture")
        for axis in row:
            axis.legend(fontsize="x-small")
            axis.set_xlabel("s")
    figure.savefig(path)
