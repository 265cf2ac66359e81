"""`sightline sim` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from server.__main__ import cli


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["sim", *words])
    return result.exit_code, result.output


def test_the_list_names_every_scenario_and_says_what_happens():
    code, output = run("list")
    assert code == 0
    assert "chromium_a" in output
    assert "3 Mbit/s, 500 kbit/s" in output


def test_a_run_prints_figures_and_a_plot_and_writes_the_same_file_each_time(tmp_path: Path):
    files = [tmp_path / "first.json", tmp_path / "second.json"]
    for file in files:
        code, output = run("chromium_c", "--seed", "7", "--duration", "5", "--json", str(file))
        assert code == 0
        assert "anna's camera" in output
        assert "estimate" in output
    assert files[0].read_bytes() == files[1].read_bytes()
    figures = json.loads(files[0].read_text())
    assert (figures["scenario"], figures["seed"], figures["duration_s"]) == ("chromium_c", 7, 5.0)
    series = figures["visitors"]["bert"]["series"]
    assert len(series["t_s"]) == len(series["estimate_kbps"]) == 10


def test_policies_are_compared_side_by_side(tmp_path: Path):
    file = tmp_path / "both.json"
    code, output = run("chromium_c", "--duration", "3", "--compare", "gcc,fixed", "--json", str(file))
    assert code == 0
    assert output.count("anna's camera") == 2
    both = json.loads(file.read_text())
    assert [figures["policies"]["congestion"] for figures in both] == ["gcc", "fixed"]


def test_a_scenario_of_ones_own_and_a_picture(tmp_path: Path):
    file, picture = tmp_path / "mine.toml", tmp_path / "mine.png"
    file.write_text(
        'title = "Mine"\nabout = "Two."\nduration_s = 3\n'
        '[[visitors]]\nname = "eva"\nsends = ["camera"]\n[[visitors]]\nname = "finn"\n'
    )
    code, output = run(str(file), "--plot", str(picture))
    assert code == 0, output
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_what_is_unknown_is_answered_with_what_there_is():
    for words in (["nowhere"], ["steady", "--cc", "magic"], ["steady", "--compare", "gcc,magic"]):
        code, output = run(*words)
        assert code == 1
        assert "there are:" in output
