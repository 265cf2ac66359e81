"""What a figure depends on: the machine, the kernel, the versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

from server import __version__


def conditions() -> dict[str, str]:
    """Of this process and machine, for people and for comparing reports."""
    return {
        "cpu": _cpu_model(),
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sightline": __version__,
        "pylibsrtp": importlib.metadata.version("pylibsrtp"),  # with a libsrtp and an OpenSSL of its own
        "receive_buffer_limit": _read("/proc/sys/net/core/rmem_max"),
    }


def _cpu_model() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.machine()


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return "unknown"
