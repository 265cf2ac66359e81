"""`sightline` as a user types it: what it says, and how it ends."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import rtpfwd.srtp
from rtpfwd.srtp import backends
from server.doctor import Verdict, examine
from tests.foreign.sightline_up import command, sightline_up


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*options), capture_output=True, text=True, timeout=60, check=False)


def get(url: str, path: str) -> tuple[int, str]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def refused(*options: str) -> str:
    """Run a command that must be refused: exit code 2 and one line, which is returned."""
    ended = run(*options)
    assert ended.returncode == 2, ended.stderr
    lines = ended.stderr.strip().splitlines()
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith("sightline: ")
    return lines[0]


@pytest.mark.slow
def test_help_names_every_command_and_option():
    assert all(word in run("--help").stdout for word in ("up", "doctor", "bench", "sim"))
    text = run("up", "--help").stdout
    assert all(word in text for word in ("--port", "SIGHTLINE_PORT", "3000", "--announce", "--adaptation", "Examples"))


def test_it_starts_answers_and_stops_within_two_seconds(tmp_path: Path):
    with sightline_up(tmp_path) as sightline:
        assert get(sightline.url, "/readyz")[0] == 200
        assert get(sightline.url, "/healthz")[0] == 200
        status, metrics = get(sightline.url, "/metrics")
        assert status == 200
        assert "sightline_forwarded_packets_total" in metrics
        assert get(sightline.url, "/")[0] == 200
        assert get(sightline.url, "/r/some-room")[0] == 200
        assert json.loads(get(sightline.url, "/api/v1/openapi.json")[1])["openapi"].startswith("3.")
        asked = time.monotonic()
        sightline.process.send_signal(signal.SIGTERM)
        assert sightline.process.wait(timeout=10) == 0
        assert time.monotonic() - asked < 2.0
        assert sightline.tracebacks() == []


def test_a_taken_port_is_one_clear_line(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refused("up", "--port", port, "--media-port", "0", "--data-dir", str(tmp_path))
        assert port in line
        assert "--port" in line


def test_a_taken_media_port_is_one_clear_line(tmp_path: Path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        line = refused(
            "up", "--port", "0", "--media-port", port, "--media-host", "127.0.0.1", "--data-dir", str(tmp_path)
        )
        assert port in line
        assert "--media-port" in line


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["up", "--port", "http"], ["--port", "http"]),
        (["up", "--port", "70000"], ["--port", "70000"]),
        (["up", "--colour"], ["--colour"]),
        (["up", "--announce", "example.org"], ["--announce", "example.org", "IP address"]),
        (["up", "--srtp-backend", "rot13"], ["--srtp-backend", "rot13", "native", "libsrtp"]),
        (["up", "--web-root", "/nonexistent"], ["--web-root", "index.html"]),
        (["up", "--port", "0", "--media-port", "0", "--data-dir", "/proc/sightline"], ["/proc/sightline"]),
        (["fly"], ["fly"]),
    ],
)
def test_a_bad_option_is_one_clear_line(options: list[str], words: list[str]):
    line = refused(*options)
    assert all(word in line for word in words), line


def test_the_doctor_examines_everything_and_says_what_is_wrong(tmp_path: Path):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        probe.listen()
        port = str(probe.getsockname()[1])
        sick = run("doctor", "--port", port, "--data-dir", str(tmp_path))
    assert sick.returncode == 1
    assert port in sick.stdout
    for word in ("UDP GSO", "UDP GRO", "SRTP", "open files", "clock", "media port"):
        assert word in sick.stdout


@pytest.mark.parametrize("backend", ["auto", "libsrtp"])
def test_the_doctor_names_the_srtp_backend_and_its_tier(backend: str):
    said = run("doctor", "--srtp-backend", backend).stdout
    for expected in backends(backend):
        assert f"{expected.profile.name}: {expected.name}" in " ".join(said.split())
        assert (expected.tier or "libsrtp") in said
    assert "libsrtp: that of pylibsrtp" in " ".join(said.split())


@pytest.mark.parametrize(
    ("backend", "verdict"), [("auto", Verdict.NOTE), ("native", Verdict.BAD), ("libsrtp", Verdict.OK)]
)
def test_the_doctor_says_what_a_cpu_without_the_instructions_means(backend, verdict, monkeypatch, tmp_path: Path):
    monkeypatch.setattr(rtpfwd.srtp, "best_tier", lambda _: None)  # no such CPU is at hand
    findings = examine(port=0, media_port=0, data_dir=tmp_path, web_root=None, srtp_backend=backend)
    found = next(finding for finding in findings if finding.what == "SRTP")
    assert found.verdict is verdict
    assert "libsrtp" in found.seen
    assert bool(found.advice) == (verdict is not Verdict.OK)
