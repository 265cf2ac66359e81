"""The fan-out bench against a real node. No time is judged here: the figures must be there and add up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import first_refusal
from bench.errors import BenchError
from bench.fanout import PROFILES
from bench.generator import open_generator
from bench.node_process import open_node
from bench.report import FIGURES, SCHEMA
from protos import media_pb2 as pb

NOT_EVERYWHERE = {"instructions_user", "instructions_kernel"}


def fanout(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "server", "bench", "fanout", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["gcm", "cm"])
def test_three_viewers_get_every_packet(tmp_path: Path, profile: str):
    report = tmp_path / "report.json"
    ended = fanout(
        "--subscribers", "3", "--duration", "1", "--warmup", "0.5", "--profile", profile, "--json", str(report)
    )
    # 3 is a busy machine's: the publisher kept no pace. The packets must have arrived all the same.
    assert ended.returncode in (0, 3), ended.stdout + ended.stderr
    read = json.loads(report.read_text())
    assert read["schema"] == SCHEMA
    (run,) = read["runs"]
    figures = run["figures"]
    assert [key for figure in FIGURES if (key := figure.key) not in NOT_EVERYWHERE and figures[key] is None] == []
    assert figures["expected_packets"] == figures["received_packets"] == 900
    assert (figures["loss"], figures["duplicates"], figures["rejected_packets"]) == (0, 0, 0)
    assert figures["verified_packets"] > 20
    assert figures["cpu_us"] >= figures["cpu_lane_us"] > 0
    assert 0 < figures["delay_p50_ms"] <= figures["delay_p99_ms"] <= figures["delay_p999_ms"] <= figures["delay_max_ms"]
    assert run["counters"]["sightline_forwarded_packets_total"] == 900
    assert "server CPU per forwarded packet" in ended.stdout
    assert ("INVALID" in ended.stdout) == (ended.returncode == 3)


async def test_a_node_that_dies_is_reported_as_such():
    with pytest.RaisesGroup(BenchError, flatten_subgroups=True, allow_unwrapped=True) as raised:
        async with open_node() as node, open_generator(node, capacity=2, profile=PROFILES["gcm"], seed=1) as generator:
            router = await node.call("create_router", pb.CreateRouterRequest(), pb.RouterInfo)
            await generator.connect(router.id)
            os.kill(node.pid, signal.SIGKILL)
            await node.counters()
    assert "process ended" in str(first_refusal(raised.value))


async def test_a_refused_command_says_which_and_why():
    async with open_node() as node:
        request = pb.PauseRequest(kind=pb.CONSUMER, id="no-such-consumer")
        with pytest.raises(BenchError, match=r"refused pause: .*no-such-consumer"):
            await node.call("pause", request, pb.Empty)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--pin", "0"], "no pair of CPUs"),
        (["--pin", "0,99999"], "this process may use"),
        (["--json", "no/such/directory/report.json"], "no directory"),
        (["--subscribers", "0"], "--subscribers"),
    ],
)
def test_what_can_not_be_run_is_refused_in_one_line(options: list[str], says: str):
    ended = fanout(*options)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
