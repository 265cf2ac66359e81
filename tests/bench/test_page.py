"""The page with plots: well formed, self-contained, and it holds the figures that it plots."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from typing import Any

import pytest

from bench.conditions import conditions
from bench.knee import Point, Verdict, knee_of
from bench.knee_cli import curve_json
from bench.page import page
from bench.report import as_json, summary_json
from tests.bench.reports import run

VOID = {"meta", "link", "br", "img"}


class Structure(HTMLParser):
    """Tags must close in the order in which they opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"

    def _note(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "xlink:href"):
                self.links.append(value or "")


def parsed(text: str) -> Structure:
    structure = Structure()
    structure.feed(text)
    structure.close()
    assert structure.open == []
    return structure


def fanout(**figures: float) -> dict[str, Any]:
    settings = {"subscribers": 50, "trace": None}
    return as_json("fanout", settings, conditions(), [run(**figures), run(**figures, invalid=("<slow & late>",))])


def knee(scale: float) -> dict[str, Any]:
    curve = [Point(1, Verdict.CARRIED, (0,)), Point(2, Verdict.CARRIED, (1,)), Point(4, Verdict.DELAYED, (2,))]
    runs = [
        run(forwarded_per_s=scale * 3123, delay_p99_ms=0.21),
        run(forwarded_per_s=scale * 6456, delay_p99_ms=0.43),
        run(forwarded_per_s=scale * 12789, delay_p99_ms=6.5),
    ]
    return as_json(
        "knee", {}, conditions(), runs, summarised=[runs[1]], **curve_json(knee_of(curve), "rooms", curve, runs)
    )


def compare() -> dict[str, Any]:
    servers = [
        {"label": "sightline", "summary": summary_json([run(cpu_us=1.52, delay_p99_ms=0.456)])},
        {"label": "janus <best>", "summary": summary_json([run(cpu_us=27.31, delay_p99_ms=1.23)])},
    ]
    ratio = {"median": 17.97, "low": 15.0, "high": 19.0}
    return as_json("compare", {}, conditions(), [run()], ratio=ratio, servers=servers)


@pytest.mark.parametrize("reports", [[fanout()], [knee(1)], [compare()], [fanout(), knee(1), knee(2), compare()]])
def test_it_is_well_formed_asks_nobody_and_follows_the_scheme(reports: list[dict[str, Any]]):
    text = page(reports)
    structure = parsed(text)
    assert len(structure.ids) == len(set(structure.ids))
    assert all(link.startswith("#") and link[1:] in structure.ids for link in structure.links)
    assert "<script" not in text
    assert "@import" not in text
    assert "prefers-color-scheme: dark" in text
    drawings = [part.partition("</svg>")[0] for part in text.split("<svg")[1:]]
    assert drawings
    for drawing in drawings:
        ET.fromstring(f"<svg{drawing}</svg>")
        assert "#0" not in drawing.replace("url(#", "")  # no colour but the style sheet's
        assert "var(--ink)" in drawing


def test_every_figure_that_is_plotted_stands_in_it_as_text():
    text = parsed(page([fanout(cpu_us=2.345, delay_p50_ms=0.321, delay_p99_ms=0.987, delay_p999_ms=1.23)])).text
    for figure in ("2.35 µs", "0.321", "0.987", "1.23"):
        assert figure in text, figure
    assert "<slow & late>" in text  # escaped: the parser gave it back
    text = parsed(page([knee(1), knee(2)])).text
    for figure in ("3,123", "6,456", "12,789", "6,246", "25,578", "0.210", "0.430", "6.500", "delayed"):
        assert figure in text, figure
    text = parsed(page([compare()])).text
    for figure in ("1.52 µs", "27.31 µs", "0.456", "janus <best>", "17.97"):
        assert figure in text, figure


def test_a_machine_that_measured_nothing_gets_a_page_all_the_same():
    report = as_json("fanout", {}, conditions(), [run(**dict.fromkeys(run().figures))])
    parsed(page([report]))


def test_without_matplotlib_it_says_how_to_get_it():
    # Not installed is what an import that is None says.
    script = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from bench.running import write_page\n"
        "import click, pathlib\n"
        "try: write_page(pathlib.Path('/nonexistent/x.html'), [])\n"
        "except click.ClickException as e: print(e.message)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout.strip() == "plots need matplotlib: pip install 'sightline[bench]'", ended.stderr
