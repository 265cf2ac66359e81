"""The only place where the node reads a clock (a lane reads the same monotonic one natively)."""

from __future__ import annotations

import time


def monotonic_ns() -> int:
    """CLOCK_MONOTONIC in nanoseconds: the `now` of every core object."""
    return time.monotonic_ns()


def unix_ms() -> int:
    """Wall time in milliseconds since 1970, for what people read."""
    return time.time_ns() // 1_000_000
