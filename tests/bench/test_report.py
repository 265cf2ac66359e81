"""The report: its JSON as bench/README.md and bench/schema.json document it, and its table."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

from bench.conditions import conditions
from bench.figures import Spread
from bench.generator import SyntheticSource
from bench.knee import Point, Verdict, knee_of
from bench.knee_cli import curve_json, print_curve, told
from bench.measurement import MeasureSettings
from bench.options import read_options
from bench.report import FIGURES, SCHEMA, Figure, as_json, cells, print_report, run_conditions, write_json
from tests.bench.reports import COUNTS, check, run

README = Path(__file__).parents[2] / "bench" / "README.md"
GIVEN = {
    "duration": 8.0,
    "warmup": 2.0,
    "profile": "gcm",
    "pin": ((0,), (1,)),
    "seed": 1,
    "repeat": 3,
    "no_gro": False,
    "no_nacks": False,
    "packets": 10,
    "size": 1200,
    "fps": 30,
    "extensions": "mid",
    "trace": None,
    "lanes": 1,
    "srtp_backend": "native",
    "node_options": {"batch": "64"},
    "viewer_extensions": "all",
    "json_file": None,
    "html_file": None,
}


def report() -> dict:
    runs = [run(cpu_us=2.0), run(cpu_us=4.0), run(cpu_us=3.0, invalid=("slow",))]
    return as_json("fanout", read_options(GIVEN, {"subscribers": 50}).given, conditions(), runs)


def test_the_json_report_has_the_documented_shape(tmp_path: Path):
    write_json(tmp_path / "report.json", report())
    read = json.loads((tmp_path / "report.json").read_text())
    check(read)
    assert (read["schema"], read["bench"]) == (SCHEMA, "fanout")
    assert (read["settings"]["subscribers"], read["settings"]["srtp_backend"]) == (50, "native")
    assert read["summary"]["cpu_us"] == {"median": 3.0, "low": 2.0, "high": 4.0}
    assert "instructions_user" not in read["summary"]
    assert [one["invalid"] for one in read["runs"]] == [[], [], ["slow"]]
    assert list(tmp_path.iterdir()) == [tmp_path / "report.json"]


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        ((), "schema", "sightline.bench/1"),
        ((), "knees", []),
        (("runs", 0, "figures"), "cpu_ms", 1.0),
        (("runs", 0, "figures"), "cpu_us", "2"),
        (("summary", "cpu_us"), "mean", 2.0),
    ],
)
def test_the_schema_refuses_what_it_does_not_describe(place: tuple, name: str, value: object):
    changed = report()
    part = changed
    for step in place:
        part = part[step]
    part[name] = value
    with pytest.raises(jsonschema.ValidationError):
        check(changed)


def test_a_figure_that_is_missing_is_refused():
    changed = report()
    del changed["runs"][0]["figures"]["loss"]
    with pytest.raises(jsonschema.ValidationError, match="'loss' is a required property"):
        check(changed)


def test_a_figure_that_is_no_number_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "report.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_every_figure_is_documented():
    text = README.read_text()
    keys = [*(figure.key for figure in FIGURES), *COUNTS]
    assert [key for key in keys if f"`{key}`" not in text] == []


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
    runs = [run(cpu_us=2.0), run(cpu_us=4.0, invalid=("it was slow",))]
    print_report(Console(file=written, width=100), "title", {"kernel": "6.1 [x]"}, runs)
    text = written.getvalue()
    assert re.search(r"server CPU per forwarded packet +3\.00 +2\.00 … 4\.00 +µs", text)
    assert "kernel: 6.1 [x]" in text
    assert "INVALID (run 2): the generator, not the server, was the limit: it was slow" in text


def test_the_conditions_say_server_pinning_and_offloads():
    settings = MeasureSettings(server_cpus=(0, 2), generator_cpus=(1,))
    said = run_conditions(settings, {"cpu": "x"}, [run(datagrams_per_message=9.5)] * 2)
    assert said["server"] == "sightline 0.1.0 (1 lane)"
    assert said["pinning"] == "server on CPU 0, 2, generator on CPU 1"
    assert said["segmentation_offload"] == "used by the server"
    assert said["receive_offload"].startswith("used")
    said = run_conditions(MeasureSettings(gro=False), {}, [run(datagrams_per_message=1.0)])
    assert (said["pinning"], said["segmentation_offload"]) == ("none", "not used by the server")
    assert said["receive_offload"].startswith("not used")
    said = run_conditions(MeasureSettings(), {}, [run(datagrams_per_message=None)])
    assert "segmentation_offload" not in said  # a peer does not tell


def test_a_curve_is_printed_whole_and_its_report_keeps_to_the_schema():
    curve = [Point(1, Verdict.CARRIED, (0,)), Point(2, Verdict.CARRIED, (1,)), Point(3, Verdict.GENERATOR, (2, 3))]
    runs = [run(), run(forwarded_per_s=6000.0), run(invalid=("it was late",)), run(invalid=("it was late",))]
    found = knee_of(curve)
    written = io.StringIO()
    print_curve(Console(file=written, width=200), "title", "rooms", curve, runs)
    rows = [line.split() for line in written.getvalue().splitlines() if re.match(r" *[123] ", line)]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert rows[2][-1] == "generator"
    assert written.getvalue().count("generator-limited: it was late") == 1
    assert told(found, "rooms", curve, runs) == (
        "knee: 2 rooms, 6,000 forwarded packets/s; at 3 the generator was the limit, so the server's knee lies higher"
    )
    more = curve_json(found, "rooms", curve, runs)
    check(as_json("knee", read_options(GIVEN, {}).given, conditions(), runs, summarised=[runs[1]], **more))
    assert [point["load"] for point in more["curve"]] == [1, 2, 3]


def test_options_become_settings_and_a_source():
    options = read_options(GIVEN, {})
    assert (options.settings.server_cpus, options.settings.generator_cpus) == ((0,), (1,))
    assert options.settings.gro
    assert options.source == SyntheticSource(10, 1200, 30, "mid", 1)
    assert options.node_options == {"batch": "64", "srtp_backend": "native"}
