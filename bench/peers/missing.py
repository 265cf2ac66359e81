"""What a peer needs and does not have."""

from __future__ import annotations

import shutil

from bench.errors import BenchError


class PeerMissing(BenchError):
    """A peer, or something that drives it, is not installed. The message says how to get it."""


def require_program(name: str, how: str) -> str:
    """The path of a program on PATH. `how`: a sentence on how to get it."""
    path = shutil.which(name)
    if path is None:
        raise PeerMissing(f"{name} is not on PATH. {how}")
    return path
