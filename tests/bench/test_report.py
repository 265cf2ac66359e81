"""The report: its JSON as bench/README.md documents it, and its table."""

from __future__ import annotations

import io
import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console

from bench.fanout import FanoutSettings, Run
from bench.figures import Spread
from bench.report import FIGURES, SCHEMA, Figure, as_json, cells, print_report, run_conditions, write_json

README = Path(__file__).parents[2] / "bench" / "README.md"


def run(cpu_us: float, *, invalid: tuple[str, ...] = (), datagrams: float | None = 9.5) -> Run:
    figures: dict[str, float | None] = {figure.key: 1.0 for figure in FIGURES}
    figures |= {"cpu_us": cpu_us, "instructions_user": None, "instructions_kernel": None}
    figures["datagrams_per_message"] = datagrams
    return Run(figures, {"sightline_forwarded_packets_total": 900.0}, 0.5, invalid)


def test_the_json_report_has_the_documented_shape(tmp_path: Path):
    report = as_json(
        "fanout", asdict(FanoutSettings()), {"cpu": "x"}, [run(2.0), run(4.0), run(3.0, invalid=("slow",))]
    )
    write_json(tmp_path / "report.json", report)
    read = json.loads((tmp_path / "report.json").read_text())
    assert read == report
    assert set(read) == {"schema", "bench", "started", "settings", "conditions", "runs", "summary"}
    assert (read["schema"], read["bench"]) == (SCHEMA, "fanout")
    assert read["settings"]["subscribers"] == 50
    assert read["summary"]["cpu_us"] == {"median": 3.0, "low": 2.0, "high": 4.0}
    assert "instructions_user" not in read["summary"]
    assert [one["invalid"] for one in read["runs"]] == [[], [], ["slow"]]
    assert set(read["runs"][0]) == {"figures", "counters", "load_average", "invalid"}
    assert list(tmp_path.iterdir()) == [tmp_path / "report.json"]


def test_a_figure_that_is_no_number_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "report.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_every_figure_is_documented():
    text = README.read_text()
    assert [figure.key for figure in FIGURES if f"`{figure.key}`" not in text] == []


@pytest.mark.parametrize(
    ("found", "ranges", "row"),
    [
        (Spread(0.0123, 0.01, 0.02), True, ["loss", "1.23", "1.00 … 2.00", "%"]),
        (Spread(0.0123, 0.01, 0.02), False, ["loss", "1.23", "%"]),
        (None, True, ["loss", "not available", "", ""]),
        (None, False, ["loss", "not available", ""]),
    ],
)
def test_a_row_scales_and_says_what_is_not_available(found: Spread | None, ranges: bool, row: list[str]):
    assert cells(Figure("loss", "loss", "%", 2, 100), found, ranges=ranges) == row


def test_the_table_says_conditions_ranges_and_why_a_run_is_invalid():
    written = io.StringIO()
    print_report(
        Console(file=written, width=100), "title", {"kernel": "6.1"}, [run(2.0), run(4.0, invalid=("it was slow",))]
    )
    text = written.getvalue()
    assert re.search(r"server CPU per forwarded packet +3\.00 +2\.00 … 4\.00 +µs", text)
    assert "kernel: 6.1" in text
    assert "INVALID (run 2): the generator, not the server, was the limit: it was slow" in text


def test_the_conditions_say_pinning_and_offloads():
    said = run_conditions(FanoutSettings(server_cpu=0, generator_cpu=1), {"cpu": "x"}, [run(1.0)])
    assert said["pinning"] == "server on CPU 0, generator on CPU 1"
    assert said["segmentation_offload"] == "used by the server"
    said = run_conditions(FanoutSettings(), {}, [run(1.0, datagrams=1.0)])
    assert (said["pinning"], said["segmentation_offload"]) == ("none", "not used by the server")
