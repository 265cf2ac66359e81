"""Percentiles of one run, medians and ranges of several. Pure functions of numbers."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Spread(NamedTuple):
    """One figure over the repeats of a run."""

    median: float
    low: float
    high: float


def percentile(ordered: Sequence[int], share: float) -> float | None:
    """The nearest-rank percentile of ascending values, `share` from 0 to 1. None without values.

    Nearest rank answers a value that was measured, never a mean of two: the tail of a delay is not smooth.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share {share} is not in 0 … 1")
    if not ordered:
        return None
    # The smallest value with at least `share` of all values at or below it; rounded so that 0.999 * 1000 is rank 999.
    rank = -(-round(share * len(ordered), 6) // 1)
    return float(ordered[max(0, int(rank) - 1)])


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def summarise(runs: Sequence[Mapping[str, float | None]]) -> dict[str, Spread]:
    """The spread of each figure over the runs that have it; a figure that none has is left out."""
    summary: dict[str, Spread] = {}
    for key in dict.fromkeys(key for run in runs for key in run):
        values = [value for run in runs if (value := run.get(key)) is not None]
        if values:
            summary[key] = spread(values)
    return summary
