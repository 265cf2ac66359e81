"""The same for everybody: equal shares of the budget (max-min), and what the steps leave over is spent in turn."""

from __future__ import annotations

from collections.abc import Sequence

from server.policy.layers.common import PAUSED, Ladder, Limits, Patience, fit, ladder, report
from server.policy.protocols import Allocation, AllocationRequest


def shares(needs: Sequence[int], budget: int) -> list[int]:
    """Max-min fairness: whoever needs less than an equal share gives the rest back. Bit/s, in the order of needs."""
    share = [0] * len(needs)
    left = budget
    for position, index in enumerate(sorted(range(len(needs)), key=lambda index: needs[index])):
        share[index] = min(needs[index], left // (len(needs) - position))
        left -= share[index]
    return share


def _within(each: Ladder, share: int) -> int:
    """The best level that the share pays."""
    return max((level for level, step in enumerate(each.steps) if step.bps <= share), default=PAUSED)


class Fair:
    """Nobody is more important: neither screens nor speakers nor priorities count."""

    def __init__(self) -> None:
        self._patience = Patience()

    def allocate(self, request: AllocationRequest) -> list[Allocation]:
        ladders = [ladder(wish) for wish in request.wishes]
        limits = self._patience.limits(request, ladders)
        levels, stopped = fit(ladders, self._order(ladders, limits), limits)
        self._patience.decided(request, ladders, levels)
        return report(ladders, levels, stopped)

    def _order(self, ladders: Sequence[Ladder], limits: Limits) -> list[tuple[int, int]]:
        """First everyone's share, then the rest step by step, the cheapest next step first."""
        share = shares([each.steps[-1].bps for each in ladders], limits.steady)
        fits = [_within(each, part) for each, part in zip(ladders, share, strict=True)]
        floors = [(index, 0) for index in range(len(ladders))]
        first = [(index, level) for index, fit in enumerate(fits) for level in range(1, fit + 1)]
        rest = [
            (index, level)
            for index, fit in enumerate(fits)
            for level in range(max(fit + 1, 1), len(ladders[index].steps))
        ]
        first.sort(key=lambda step: step[1])
        # What flows already comes first, or two equals would take a step that only one can have from each other.
        rest.sort(key=lambda step: (step[1] > ladders[step[0]].current, ladders[step[0]].cost(step[1])))
        return floors + first + rest
