"""`sightline bench compare` as a command: what it refuses, and, once, our node beside a real Janus."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.reports import check
from tests.needs import need_network_namespaces, need_program


def compare(*options: str, path: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "server", "bench", "compare", *options]
    variables = {**os.environ, **environment} | ({"PATH": path} if path is not None else {})
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=variables)


@pytest.mark.parametrize(
    ("options", "environment", "told"),
    [
        (["--peer", "janus"], {"PATH": "/nowhere"}, "apt-get install --no-install-recommends janus"),
        (["--peer", "mediasoup"], {"MEDIASOUP_DIR": "/nowhere"}, "npm install mediasoup"),
        (["--peer", "nobody"], {}, "'nobody' is not one of"),
        (["--peer", "janus", "--json", "/nowhere/out.json"], {}, "/nowhere is no directory"),
        (["--peer", "janus", "--trace", "/nowhere/trace.pcapng.gz"], {}, "/nowhere/trace.pcapng.gz"),
    ],
)
def test_what_can_not_be_compared_is_told_in_one_line(options: list[str], environment: dict[str, str], told: str):
    if "mediasoup" in options:
        need_program("node", "nodejs")
    ended = compare(*options, **environment)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert told in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_our_node_and_janus_forward_the_same_load(tmp_path: Path):
    need_program("janus")
    need_network_namespaces()
    report = tmp_path / "out.json"
    page = tmp_path / "out.html"
    small = ["--subscribers", "3", "--duration", "1", "--warmup", "0.3", "--rounds", "1"]
    small += ["--json", str(report), "--html", str(page)]
    ended = compare("--peer", "janus", *small)
    # 3 is a busy machine's: the generator kept no pace, twice. What arrived must be right all the same.
    assert ended.returncode in (0, 3), ended.stdout + ended.stderr
    read = json.loads(report.read_text())
    check(read)
    assert (read["bench"], read["settings"]["peer"], read["settings"]["subscribers"]) == ("compare", "janus", 3)
    assert [server["label"] for server in read["servers"]] == ["sightline", "janus", "janus, default"]
    assert read["valid"] == (ended.returncode == 0)
    for server in read["servers"]:
        (run,) = server["runs"]
        figures = run["figures"]
        assert figures["expected_packets"] == figures["received_packets"] == 900, server["label"]
        assert figures["rejected_packets"] == 0
        assert figures["verified_packets"] > 0
        assert figures["cpu_us"] > 0
        assert server["keeps_up"]
    assert [server["version"][:2] for server in read["servers"][1:]] == ["1."] * 2
    assert all(server["label"] in page.read_text() for server in read["servers"])
    if read["valid"]:
        assert 0 < read["ratio"]["low"] <= read["ratio"]["median"] <= read["ratio"]["high"]
        assert read["ratio_default"]["median"] > 0
        assert "× ours" in ended.stdout
