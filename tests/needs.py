"""What a test needs from the machine. Missing: skipped by name and reason here, failed in CI (CI=true)."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest


def _missing(what: str, how: str) -> None:
    reason = f"{what} is not available on this machine. {how}"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} In CI nothing may be missing.")
    pytest.skip(reason)


def need_program(name: str, package: str | None = None) -> str:
    """The path of a program on PATH or in the venv. `package`: Debian's name for it where it differs."""
    beside_python = str(Path(sys.executable).parent)
    path = shutil.which(name) or shutil.which(name, path=beside_python)
    if path is None:
        _missing(name, f"On Debian: apt-get install {package or name}.")
    assert path is not None
    return path


def need_file(path: str, package: str) -> None:
    """A file of another package. `package`: Debian's name for that."""
    if not Path(path).exists():
        _missing(path, f"On Debian: apt-get install {package}.")


def need_network_namespaces() -> None:
    """Root, `ip`, TUN devices and the right to make network namespaces."""
    need_program("ip", "iproute2")
    if os.geteuid() != 0:
        _missing("making network namespaces", "It takes root.")
    if not Path("/dev/net/tun").exists():
        _missing("/dev/net/tun", "The kernel needs the tun module.")
