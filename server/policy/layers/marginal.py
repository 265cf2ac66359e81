"""Where does the next bit do most good? Marginal utility per bit on concave quality curves, with earned trust.

Each source has a quality curve that flattens with its bit rate and ends where its tile does; each step is worth
its gain in quality, weighted by who is seen, divided by what it costs. The budget goes to the steepest
step first, wherever it is, so a fourth small picture may win over a sharper large one.

The second half is trust. How much of the estimate may be spent on going up, and how much better a new division must be
before the old one is given up, depend on how long the estimate has stood still: after 30 quiet seconds nearly all of
it is spent, right after a jump little. docs/policies.md compares it with the default.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from server.policy.layers.common import PAUSED, SECOND, Ladder, Limits, Patience, Step, climb, ladder, report
from server.policy.protocols import Allocation, AllocationRequest, Wish

KNEE_BPS = 100_000  # where the curve of an ordinary camera bends
SCREEN_WEIGHT, SPEAKER_WEIGHT, HIDDEN_WEIGHT = 6.0, 2.5, 0.1
QUIET = 0.15  # an estimate that strays no further than this from where it was stands still
TRUST_NS = 10 * SECOND
LEAST_HEADROOM, MOST_HEADROOM = 0.80, 0.96
DEAREST_CHANGE, CHEAPEST_CHANGE = 0.25, 0.05  # of the quality of what it changes: what a new division must gain


def weight(wish: Wish) -> float:
    """How much its quality counts."""
    if wish.hidden:
        return HIDDEN_WEIGHT
    kind = SCREEN_WEIGHT if wish.screen else SPEAKER_WEIGHT if wish.speaker else 1.0
    return kind * math.sqrt(wish.priority)


def quality(each: Ladder, level: int) -> float:
    """0 when paused, then 1 and a concave rest: a picture at all is worth more than any refinement of it."""
    if level == PAUSED:
        return 0.0
    return weight(each.wish) * (1.0 + math.log2(1.0 + each.steps[level].bps / KNEE_BPS))


class Trust:
    """How long the estimate has stood still, as 0 … 1."""

    def __init__(self) -> None:
        self._about = 0.0
        self._since = 0

    def look(self, budget: int, now: int) -> float:
        """1 - e^(-t / 10 s), t being the time since the estimate last left its band."""
        if not self._about or abs(budget - self._about) > QUIET * self._about:
            self._about, self._since = float(max(budget, 1)), now
        else:  # it may creep: the middle of the band follows slowly
            self._about += 0.05 * (budget - self._about)
        return 1.0 - math.exp(-(now - self._since) / TRUST_NS)


class Marginal:
    """The steepest step first."""

    def __init__(self) -> None:
        self._patience = Patience()
        self._trust = Trust()

    def allocate(self, request: AllocationRequest) -> list[Allocation]:
        ladders = [ladder(wish) for wish in request.wishes]
        trust = self._trust.look(request.budget_bps, request.now)
        headroom = LEAST_HEADROOM + (MOST_HEADROOM - LEAST_HEADROOM) * trust
        limits = self._patience.limits(request, ladders, headroom)
        levels, stopped = self._present(ladders, limits)
        if limits.rise > 0:
            new, why = climb(ladders, _steepest(ladders), replace(limits, keep=limits.rise))
            price = DEAREST_CHANGE + (CHEAPEST_CHANGE - DEAREST_CHANGE) * trust
            if _gain(ladders, levels, new) > price * _at_stake(ladders, levels, new):
                levels, stopped = new, why
        self._patience.decided(request, ladders, levels)
        return report(ladders, levels, stopped)

    def _present(self, ladders: Sequence[Ladder], limits: Limits) -> tuple[list[int], list[str]]:
        """What flows now, less what no longer fits: the flattest steps go."""
        levels, stopped = climb(ladders, _steepest(ladders), replace(limits, rise=-1))
        return levels, stopped


def _gain(ladders: Sequence[Ladder], before: Sequence[int], after: Sequence[int]) -> float:
    return sum(quality(each, new) - quality(each, old) for each, old, new in zip(ladders, before, after, strict=True))


def _at_stake(ladders: Sequence[Ladder], before: Sequence[int], after: Sequence[int]) -> float:
    """The present quality of those that would change: each change disturbs what it changes."""
    return sum(quality(each, old) for each, old, new in zip(ladders, before, after, strict=True) if old != new)


def _steepest(ladders: Sequence[Ladder]) -> list[Step]:
    """All steps by gain per bit. A step that is steeper than the one below it can't come before it: both then count as
    one with their common slope (the upper concave hull of the curve)."""
    found: list[tuple[float, int, int]] = []
    for index, each in enumerate(ladders):
        hull: list[tuple[int, int]] = []  # (from level, to level)
        for level in range(len(each.steps)):
            hull.append((level - 1, level))
            while len(hull) > 1 and _slope(each, *hull[-1]) >= _slope(each, *hull[-2]):
                (_, to), (start, _) = hull.pop(), hull.pop()
                hull.append((start, to))
        for start, to in hull:
            slope = _slope(each, start, to)
            found += [(-slope, index, level) for level in range(start + 1, to + 1)]
    found.sort()
    return [(index, level) for _, index, level in found]


def _slope(each: Ladder, start: int, to: int) -> float:
    return (quality(each, to) - quality(each, start)) / max(each.cost(to) - each.cost(start), 1)
