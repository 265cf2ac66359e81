"""The mediasoup adapter as far as it runs without a worker: its script's types, what it refuses, what it reads."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import msgspec
import pytest

from bench.errors import BenchError
from bench.peers.mediasoup import SCRIPT, Transport, check_installed, open_mediasoup
from bench.peers.missing import PeerMissing
from tests.foreign.mediasoup_package import installed
from tests.needs import need_program

ROOT = Path(__file__).parents[2]
DIGEST = ":".join(f"{number:02X}" for number in range(32))

# What mediasoup 3.27 answers to createWebRtcTransport, shortened to what counts and to what must be passed over.
TRANSPORT = {
    "id": "6f1d2c52-4b3f-4f0e-9b8e-0b7a1f7a2c11",
    "iceParameters": {"usernameFragment": "abcd1234", "password": "efgh5678efgh5678efgh5678", "iceLite": True},
    "iceCandidates": [
        {
            "foundation": "udpcandidate",
            "priority": 1076302079,
            "ip": "10.11.12.1",
            "address": "10.11.12.1",
            "protocol": "udp",
            "port": 44444,
            "type": "host",
        }
    ],
    "dtlsParameters": {
        "role": "auto",
        "fingerprints": [
            {"algorithm": "sha-1", "value": ":".join(["00"] * 20)},
            {"algorithm": "sha-256", "value": DIGEST},
        ],
    },
}


def read(transport: dict[str, object]) -> Transport:
    return msgspec.json.decode(json.dumps(transport), type=Transport)


def test_where_a_transport_is_reached():
    end = read(TRANSPORT).server_end()
    assert (end.address, end.port) == ("10.11.12.1", 44444)
    assert (end.username_fragment, end.password) == ("abcd1234", "efgh5678efgh5678efgh5678")
    assert (end.fingerprint.algorithm, end.fingerprint.value) == ("sha-256", DIGEST)


@pytest.mark.parametrize(
    "spoilt",
    [
        {**TRANSPORT, "iceCandidates": []},
        {**TRANSPORT, "dtlsParameters": {"fingerprints": []}},
        {**TRANSPORT, "dtlsParameters": {"fingerprints": [{"algorithm": "sha-256", "value": "00"}]}},
    ],
)
def test_a_transport_that_can_not_be_reached_is_refused(spoilt: dict[str, object]):
    with pytest.raises(BenchError, match="mediasoup"):
        read(spoilt).server_end()


def test_a_missing_package_or_worker_is_told_how_to_get_it(tmp_path: Path):
    need_program("node", "nodejs")
    with pytest.raises(PeerMissing, match=r"not installed in .*npm install mediasoup"):
        check_installed({"MEDIASOUP_DIR": str(tmp_path)})
    package = tmp_path / "node_modules/mediasoup"
    package.mkdir(parents=True)
    (package / "package.json").write_text("{}")
    with pytest.raises(PeerMissing, match=r"worker binary .* does not exist\. .*MEDIASOUP_WORKER_BIN"):
        check_installed({"MEDIASOUP_DIR": str(tmp_path)})
    (tmp_path / "worker").write_text("")
    environment = {"MEDIASOUP_DIR": str(tmp_path), "MEDIASOUP_WORKER_BIN": str(tmp_path / "worker")}
    assert check_installed(environment)[1] == tmp_path


def test_a_missing_node_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(PeerMissing, match="node is not on PATH"):
        check_installed({})


@pytest.mark.slow
async def test_the_script_runs_up_to_its_worker(monkeypatch: pytest.MonkeyPatch):
    """With a program in the worker's place that ends at once, which is as far as it goes without the real one."""
    monkeypatch.setenv("MEDIASOUP_DIR", str(installed()))
    monkeypatch.setenv("MEDIASOUP_WORKER_BIN", need_program("false", "coreutils"))
    with pytest.raises(PeerMissing, match=r"could not be started: \[pid:\d+, code:1"):
        async with open_mediasoup(address="127.0.0.1"):
            pass


@pytest.mark.slow
@pytest.mark.parametrize("spoilt", [False, True])
def test_the_script_fits_the_types_of_mediasoup(tmp_path: Path, spoilt: bool):
    compiler = ROOT / "web/node_modules/.bin/tsc"
    if not compiler.exists():
        need_program("tsc", "node-typescript")  # `make test` installs the web client's
    script = tmp_path / SCRIPT.name
    text = SCRIPT.read_text()
    script.write_text(text.replace("enableTcp: false", "enableTcp: 'no'") if spoilt else text)
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules/mediasoup").symlink_to(installed() / "node_modules/mediasoup")
    (tmp_path / "node_modules/@types").symlink_to(ROOT / "web/node_modules/@types")
    options = {
        "allowJs": True,
        "checkJs": True,
        "strict": True,
        "noEmit": True,
        "skipLibCheck": True,
        "target": "es2022",
        "module": "nodenext",
        "types": ["node"],
    }
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": [SCRIPT.name]}))
    done = subprocess.run([compiler, "-p", tmp_path], capture_output=True, text=True, timeout=120, check=False)
    assert "TS2322" in done.stdout if spoilt else done.returncode == 0, done.stdout
