"""The npm package mediasoup, without its worker: its negotiation is an oracle, its types check a script of ours."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.needs import need_program

HERE = Path(__file__).parent / "ortc_oracle"


def installed() -> Path:
    """The directory that has it in node_modules, as its lock file names it."""
    stamp = HERE / "node_modules" / ".installed"
    locked = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != locked:
        npm = need_program("npm")
        done = subprocess.run([npm, "ci", "--ignore-scripts"], cwd=HERE, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            shutil.rmtree(HERE / "node_modules", ignore_errors=True)
            pytest.fail(f"npm ci in {HERE} failed:\n{done.stderr}")
        stamp.write_text(locked)
    return HERE
