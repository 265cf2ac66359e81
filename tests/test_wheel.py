"""What a stranger installs: the wheel alone, without the checkout, a compiler or Node.js."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest

from tests.foreign.sightline_up import command, sightline_up
from tests.rtpfwd.test_outside_selector import SOURCE, build

ROOT = Path(__file__).parent.parent

# What an outside package compiles a selector against.
HEADERS = (
    "rtpfwd/__init__.pxd",
    "rtpfwd/selector.pxd",
    "rtpfwd/types.pxd",
    "rtpfwd/selectors/levels.pxd",
    "rtpfwd/congestion/__init__.pxd",
    "rtpfwd/congestion/controller.pxd",
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make wheel` builds it, but with what is installed already."""
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return next(folder.glob("sightline-*.whl"))


def test_it_carries_the_compiled_plane_the_web_client_and_the_headers(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.startswith("rtpfwd/lane.") and name.endswith(".so") for name in names)
    for needed in ("signaling/web_client/index.html", "signaling/web_client/r/index.html", *HEADERS):
        assert needed in names
    assert any(name.startswith("signaling/store/migrations/versions/") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "web/"))]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that it is unpacked in."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), str(wheel)],
        check=True,
    )
    return folder


def test_another_package_compiles_a_selector_against_it(installed: Path, tmp_path: Path):
    build(tmp_path, SOURCE, installed)


def test_it_simulates_calls_away_from_the_checkout(installed: Path, tmp_path: Path):
    """With its own scenarios, of which one reads a trace."""
    options = ["lte", "--duration", "3", "--compare", "gcc,nada", "--json", str(tmp_path / "out.json")]
    ended = subprocess.run(
        command("sim", *options),
        cwd=installed,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert json.loads((tmp_path / "out.json").read_text())


def test_it_serves_calls_away_from_the_checkout(installed: Path, tmp_path: Path):
    with sightline_up(tmp_path / "data", folder=installed, environment={"PYTHONPATH": str(installed)}) as sightline:
        with urllib.request.urlopen(f"{sightline.url}/readyz") as ready:
            assert ready.status == 200
        with urllib.request.urlopen(f"{sightline.url}/r/demo") as page:
            assert b"Sightline" in page.read()
