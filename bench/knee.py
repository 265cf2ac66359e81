"""Where a server's delay or loss bends: loads, tried by doubling and then by halving the gap, as a pure search.

`next_load` looks at what was measured so far and names the next load to try, or none when the knee is found. It ends
whatever it is told: it doubles up to a limit, then each answer lies strictly between two measured loads.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from bench.measurement import Run

DELAY_LIMIT_MS: Final = 1.0  # of the 99th percentile
LOSS_LIMIT: Final = 0.001  # of the packets
RESOLUTION: Final = 0.05  # of the load: a gap this small is not halved again


class Verdict(enum.StrEnum):
    """Of one load."""

    CARRIED = "carried"
    DELAYED = "delayed"  # p99 above the limit
    LOST = "lost"  # too much loss, or nothing came
    GENERATOR = "generator-limited"  # it says nothing of the server


@dataclass(frozen=True, slots=True)
class Point:
    """One load and what became of it. `runs` are numbers in the report's list."""

    load: int
    verdict: Verdict
    runs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Knee:
    """The greatest load carried, and the smallest one above it that was not. None: there is no such load."""

    load: int | None
    above: int | None
    limited_by: str  # a Verdict's value, or "range": even the greatest load that was allowed is carried


def judge(runs: Sequence[Run]) -> Verdict:
    """Of the repeats of one load, by the medians of those that count."""
    figures = [run.figures for run in runs if not run.invalid]
    if not figures:
        return Verdict.GENERATOR
    if (_median(figures, "loss", 1.0)) > LOSS_LIMIT:
        return Verdict.LOST
    return Verdict.DELAYED if _median(figures, "delay_p99_ms", float("inf")) > DELAY_LIMIT_MS else Verdict.CARRIED


def _median(figures: Sequence[Mapping[str, float | None]], key: str, otherwise: float) -> float:
    values = [one.get(key) for one in figures]
    return median(otherwise if value is None else value for value in values)


def next_load(points: Sequence[Point], *, first: int, most: int) -> int | None:
    """The load to try next, in 1 … most; None: the knee is as near as it need be."""
    if not points:
        return min(first, most)
    carried, failed = _bracket(points)
    if failed is None:
        assert carried is not None  # some point is either
        return None if carried >= most else min(2 * carried, most)
    low = carried or 0
    if failed - low <= max(1, RESOLUTION * failed):
        return None
    return (low + failed) // 2


def knee_of(points: Sequence[Point]) -> Knee:
    """What the points say, at least one."""
    carried, failed = _bracket(points)
    limited_by = "range" if failed is None else next(point.verdict.value for point in points if point.load == failed)
    return Knee(carried, failed, limited_by)


def _bracket(points: Sequence[Point]) -> tuple[int | None, int | None]:
    """The smallest load that failed, and the greatest one below it that did not."""
    failed = min((point.load for point in points if point.verdict is not Verdict.CARRIED), default=None)
    below = [point.load for point in points if failed is None or point.load < failed]
    return max(below, default=None), failed
