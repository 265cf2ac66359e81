"""Plots of bench reports on one page: self-contained, without scripts, readable in light and in dark.

matplotlib draws SVG, which stands in the page itself. The colours in it are style sheet variables, so that the page
follows the reader's scheme; every number that is plotted also stands in a table or in the SVG as text.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from bench.report import FIGURES

# Stand-ins that matplotlib writes and the page replaces. They are colours that nothing else in a drawing has.
_COLOURS: Final = {
    "#010203": "var(--ink)",
    "#040506": "var(--line)",
    "#0a0001": "var(--s1)",
    "#0a0002": "var(--s2)",
    "#0a0003": "var(--s3)",
    "#0a0004": "var(--s4)",
    "#0a0005": "var(--s5)",
}
_INK, _LINE, *_SERIES = _COLOURS
_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",  # text stays text
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
}
_SHEET: Final = """
:root { color-scheme: light dark; --ink: #1c2430; --line: #d8dde4; --paper: #ffffff;
  --s1: #2563c9; --s2: #c2570c; --s3: #15803d; --s4: #9333a8; --s5: #a16207; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e7ee; --line: #3a4350; --paper: #14181e;
  --s1: #7db0ff; --s2: #ff9e5e; --s3: #6ddb8f; --s4: #dd9bf0; --s5: #e9c46a; } }
body { background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 60rem; padding: 0 1rem; }
svg { height: auto; max-width: 100%; }
figure { margin: 1.5rem 0; overflow-x: auto; }
figcaption { font-weight: 600; }
table { border-collapse: collapse; display: block; font-size: .9rem; overflow-x: auto; }
th, td { border-bottom: 1px solid var(--line); padding: .2rem .8rem .2rem 0; text-align: right; }
th:first-child, td:first-child { text-align: left; }
.invalid { color: var(--s2); font-weight: 600; }
"""
_DELAYS: Final = {"delay_p50_ms": "p50", "delay_p99_ms": "p99", "delay_p999_ms": "p99.9", "delay_max_ms": "longest"}

Report = Mapping[str, Any]
Row = tuple[str, Mapping[str, Mapping[str, float]]]  # a label, and the summary of what has it


def page(reports: Sequence[Report]) -> str:
    """The whole document, of reports of any bench."""
    curves = [report for report in reports if report.get("curve")]
    rows = [row for report in reports for row in rows_of(report)]
    parts = ["<h1>Sightline bench</h1>", *map(_heading, reports)]
    if curves:
        parts += [_plot("The knee: p99 delay over the load", lambda axes: _knee(axes, curves))]
        parts += [_curve_table(report) for report in curves]
    if any(_has(row, "cpu_us") for row in rows):
        parts.append(_plot("Server CPU per forwarded packet", lambda axes: _cpu(axes, rows), rows=len(rows)))
    if any(_has(row, "delay_p50_ms") for row in rows):
        parts.append(_plot("Forwarding delay", lambda axes: _delays(axes, rows)))
    parts += [_ratios(report) for report in reports if report.get("ratio")]
    if rows:
        parts.append(_table(rows))
    body = "\n".join(_numbered(parts))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Sightline bench</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_SHEET}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def rows_of(report: Report) -> list[Row]:
    """One for each server of a comparison; else one for the report, if it has figures."""
    name = label(report)
    if "servers" in report:
        return [(str(server["label"]), server["summary"]) for server in report["servers"]]
    return [(name, report["summary"])] if report.get("summary") else []


def label(report: Report) -> str:
    """What to call it among others."""
    if "file" in report:
        return str(report["file"]).removesuffix(".json")
    return str(report["bench"])


def _heading(report: Report) -> str:
    said = {**report.get("settings", {}), **report.get("conditions", {})}
    shown = [f"{name} {value}" for name, value in said.items() if value not in (None, [], "")]
    refused = {reason for run in report.get("runs", ()) for reason in run["invalid"]}
    lines = [f"<h2>{_text(label(report))}</h2>", f"<p>{_text(report['started'])}: {_text('; '.join(shown))}</p>"]
    lines += [f'<p class="invalid">A run was limited by the generator: {_text(why)}</p>' for why in sorted(refused)]
    return "\n".join(lines)


def _knee(axes: Axes, curves: Sequence[Report]) -> None:
    for number, report in enumerate(curves):
        points = [
            (point["summary"]["forwarded_per_s"]["median"], point["summary"]["delay_p99_ms"]["median"], point)
            for point in report["curve"]
            if _has(("", point["summary"]), "forwarded_per_s") and _has(("", point["summary"]), "delay_p99_ms")
        ]
        colour = _SERIES[number % len(_SERIES)]
        axes.plot([x for x, _, _ in points], [y for _, y, _ in points], "-", color=colour, label=label(report))
        for carried, marker in ((True, "o"), (False, "x")):
            some = [(x, y) for x, y, point in points if (point["verdict"] == "carried") is carried]
            axes.plot([x for x, _ in some], [y for _, y in some], marker, color=colour)
    limit = curves[0]["limits"]["delay_p99_ms"]
    axes.axhline(limit, color=_INK, linestyle="--", linewidth=1)
    axes.annotate(f"limit {limit:g} ms", (0.01, limit), xycoords=("axes fraction", "data"), va="bottom")
    _milliseconds(axes)
    axes.set_xlim(left=0)
    axes.set_xlabel("forwarded packets per second (x: not carried)")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.legend()


def _milliseconds(axes: Axes) -> None:
    """A logarithmic axis with plain numbers: at its decades, and between them where they are few."""
    axes.set_yscale("log")
    axes.set_ylabel("ms")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    few = high < 100 * low
    axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if few and f"{value:e}"[0] in "25" else "")


def _cpu(axes: Axes, rows: Sequence[Row]) -> None:
    """Bars, user and kernel; the whole and its range as text at their ends."""
    names = [name for name, _ in rows]
    left = [0.0] * len(rows)
    for key, said, colour in (("cpu_user_us", "user", _SERIES[0]), ("cpu_kernel_us", "kernel", _SERIES[1])):
        values = [_median(row, key) for row in rows]
        axes.barh(range(len(rows)), values, left=left, color=colour, label=said, height=0.6)
        left = [low + value for low, value in zip(left, values, strict=True)]
    for number, (_, summary) in enumerate(rows):
        if (whole := summary.get("cpu_us")) is not None:
            said = f" {whole['median']:.2f} µs ({whole['low']:.2f} … {whole['high']:.2f})"
            axes.annotate(said, (left[number], number), va="center")
    axes.set_yticks(range(len(rows)), names)
    axes.set_xlim(0, 1.5 * (max(left) or 1))
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("µs")
    axes.legend(loc="lower right")


def _delays(axes: Axes, rows: Sequence[Row]) -> None:
    for number, (name, summary) in enumerate(rows):
        found = [(said, summary[key]["median"]) for key, said in _DELAYS.items() if key in summary]
        colour = _SERIES[number % len(_SERIES)]
        axes.plot([said for said, _ in found], [value for _, value in found], "o-", color=colour, label=name)
        for said, value in found:
            axes.annotate(f"{value:.3g}", (said, value), xytext=(0, 6), textcoords="offset points", ha="center")
    _milliseconds(axes)
    axes.legend()


def _plot(title: str, draw: Callable[[Axes], None], *, rows: int = 4) -> str:
    """One drawing with its title."""
    with mpl.rc_context({**_STYLE, "svg.hashsalt": title}):
        drawing = Drawing(figsize=(8.5, max(2.2, 1.0 + 0.6 * rows)), layout="constrained")
        drawing.patch.set_alpha(0)
        axes = drawing.add_subplot()
        axes.patch.set_alpha(0)
        draw(axes)
        written = io.StringIO()
        drawing.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    svg = written.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    for stand_in, colour in _COLOURS.items():
        svg = svg.replace(stand_in, colour)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{_text(title)}"', 1)
    return f"<figure><figcaption>{_text(title)}</figcaption>\n{svg}</figure>"


def _numbered(parts: Sequence[str]) -> list[str]:
    """Ids in a drawing refer within it: on one page each needs its own."""
    numbered = []
    for number, part in enumerate(parts):
        own = re.sub(r'\bid="([^"]+)"', rf'id="d{number}-\1"', part)
        own = re.sub(r"url\(#([^)]+)\)", rf"url(#d{number}-\1)", own)
        numbered.append(re.sub(r'href="#([^"]+)"', rf'href="#d{number}-\1"', own))
    return numbered


def _curve_table(report: Report) -> str:
    keys = ("forwarded_per_s", "delay_p50_ms", "delay_p99_ms", "delay_p999_ms", "loss", "cpu_us", "server_cpu")
    figures = [figure for figure in FIGURES if figure.key in keys]
    head = "".join(f"<th>{_text(figure.title.strip())}, {_text(figure.unit)}</th>" for figure in figures)
    lines = [f"<tr><th>{_text(report['knee']['raised'])}</th>{head}<th></th></tr>"]
    for point in report["curve"]:
        found = "".join(f"<td>{_cell(point['summary'], figure.key)}</td>" for figure in figures)
        lines.append(f"<tr><td>{point['load']}</td>{found}<td>{_text(point['verdict'])}</td></tr>")
    return f"<h3>{_text(label(report))}: the curve</h3>\n<table>\n" + "\n".join(lines) + "\n</table>"


def _table(rows: Sequence[Row]) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name, _ in rows)
    lines = [f"<tr><th>figure (median)</th>{head}</tr>"]
    for figure in FIGURES:
        if any(_has(row, figure.key) for row in rows):
            found = "".join(f"<td>{_cell(summary, figure.key)}</td>" for _, summary in rows)
            unit = f", {figure.unit}" if figure.unit else ""
            lines.append(f"<tr><td>{_text(figure.title.strip() + unit)}</td>{found}</tr>")
    return "<h3>All figures</h3>\n<table>\n" + "\n".join(lines) + "\n</table>"


def _ratios(report: Report) -> str:
    """Of a comparison: what the peer needs over what we need."""
    said = [
        f"<li>{_text(name)}: {report[name]['median']:.2f} ({report[name]['low']:.2f} … {report[name]['high']:.2f})</li>"
        for name in report
        if name.startswith("ratio") and report[name]
    ]
    return f"<h3>{_text(label(report))}: the peer over us</h3>\n<ul>{''.join(said)}</ul>"


def _cell(summary: Mapping[str, Mapping[str, float]], key: str) -> str:
    figure = next(figure for figure in FIGURES if figure.key == key)
    found = summary.get(key)
    return "" if found is None else f"{found['median'] * figure.scale:,.{figure.digits}f}"


def _has(row: Row, key: str) -> bool:
    return key in row[1]


def _median(row: Row, key: str) -> float:
    return row[1][key]["median"] if key in row[1] else 0.0


def _text(value: object) -> str:
    return html.escape(str(value))
