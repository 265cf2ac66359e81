"""The micro bench: every figure is there, and what the stages are said to do, they did. No time is judged."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import micro
from bench.cold_cli import micro as command
from bench.stages import CryptoStage, LockProbe, copy, loopback
from rtpfwd.params import SrtpProfile
from rtpfwd.plane import Plane
from rtpfwd.srtp import SrtpPolicy
from tests.bench import reports


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(micro._udp()) for _ in range(3)]


def test_every_cell_is_measured_and_every_key_is_once():
    with micro.open_cells(seed=1) as cells:
        keys = [cell.figure.key for cell in cells]
        assert len(set(keys)) == len(keys)
        runs = micro.measure_cells(cells, repeat=2, effort=2)
    assert [list(run.figures) for run in runs] == [keys, keys]
    # A loop of two rounds may be shorter than the clock's steps, but never negative.
    assert all(value is not None and value >= 0 for run in runs for value in run.figures.values())
    expected = {
        "parse_ns",
        "describe_av1_ns",
        "protect_cm_libsrtp_600_x10_ns",
        "egress_gcm_run40_gro_ns",
        "memcpy_1200_ns",
    }
    assert expected <= set(keys)


@pytest.mark.parametrize("burst", [1, 10, 40])
def test_each_packet_of_a_burst_goes_to_each_viewer_as_one_message_each(sockets: list[socket.socket], burst: int):
    sender, *receivers = sockets
    stage = micro._plane_stage(SrtpProfile.AEAD_AES_128_GCM, 1, "auto", sender, receivers)
    _ns, forwarded, datagrams, messages = stage.forward(burst, 1000, 3)
    assert forwarded == 3 * burst * len(receivers)
    # Beside the media there may be RTCP: keyframe requests and reports.
    assert forwarded <= datagrams <= forwarded + 3 * (len(receivers) + 1)
    assert messages <= 3 * (2 * len(receivers) + 1) + (datagrams - forwarded)
    assert forwarded <= stage.received <= datagrams


def test_a_plane_without_a_socket_forwards_to_nobody_s_socket():
    stage = micro._plane_stage(SrtpProfile.AES128_CM_SHA1_80, 1, "auto", None, ())
    _ns, forwarded, datagrams, _messages = stage.forward(10, 200, 5)
    assert (forwarded, datagrams) == (10 * 5 * micro.VIEWERS, 0)
    assert stage.sent >= forwarded


@pytest.mark.parametrize("segments", [1, 10])
def test_the_loopback_brings_what_was_sent(sockets: list[socket.socket], segments: int):
    sender, receiver, _ = sockets
    sender.connect(receiver.getsockname())
    _sending, _receiving, sent, received = loopback(sender.fileno(), receiver.fileno(), 1200, segments, 4, 5)
    assert sent == received == segments * 4 * 5


def test_what_can_not_be_is_refused(sockets: list[socket.socket]):
    with pytest.raises(ValueError, match="65000"):
        loopback(sockets[0].fileno(), sockets[1].fileno(), 1200, 64, 1, 1)
    with pytest.raises(ValueError, match="bytes"):
        copy(0, 1)
    policy = SrtpPolicy(SrtpProfile.AEAD_AES_128_GCM, bytes(28), inbound=False)
    with pytest.raises(ValueError, match="50 policies"):
        CryptoStage([policy], policy)


def test_the_lock_probe_takes_the_lock_until_it_is_stopped():
    probe = LockProbe(Plane(max_transports=2, max_streams=2))
    probe.stop()
    probe.run()
    assert probe.take() == (0, 0, 0)


def test_the_command_writes_a_report_of_what_was_asked_for(tmp_path: Path):
    report = tmp_path / "micro.json"
    ended = CliRunner().invoke(
        command, ["--only", "describe", "--repeat", "3", "--effort", "1", "--json", str(report)], catch_exceptions=False
    )
    assert ended.exit_code == 0, ended.output
    read = json.loads(report.read_text())
    reports.check(read)
    assert read["bench"] == "micro"
    assert len(read["runs"]) == 3
    assert set(read["summary"]) == {f"describe_{codec}_ns" for codec in ("vp8", "vp9", "h264", "av1", "opus")}
    assert "describe the payload, vp9" in ended.output


def test_nothing_to_measure_is_refused():
    ended = CliRunner().invoke(command, ["--only", "no-such-figure"])
    assert ended.exit_code == 2
    assert "no figure begins" in ended.output
