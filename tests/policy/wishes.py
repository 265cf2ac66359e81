"""Wishes as tests want them: a camera with three encodings of three temporal layers, at 150, 400 and 1500 kbit/s."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence

from server.policy.protocols import Allocation, AllocationRequest, LayerAllocator, LayerOption, Wish

SECOND = 1_000_000_000
CAMERA = tuple(
    LayerOption(spatial, temporal, rate * share // 100, 320 << spatial, 25 / 2 ** (2 - temporal))
    for spatial, rate in enumerate((150_000, 400_000, 1_500_000))
    for temporal, share in enumerate((50, 70, 100))
)
SCREEN = tuple(
    LayerOption(spatial, temporal, rate * share // 100, 960 << spatial, 30 / 2 ** (1 - temporal))
    for spatial, rate in enumerate((300_000, 900_000))
    for temporal, share in enumerate((60, 100))
)


def wish(consumer_id: str = "a", **changes) -> Wish:
    return dataclasses.replace(Wish(consumer_id, CAMERA, None, 0), **changes)


def names(allocations: Sequence[Allocation]) -> dict[str, str]:
    return {a.consumer_id: "-" if a.option is None else f"{a.option.spatial}/{a.option.temporal}" for a in allocations}


def reasons(allocations: Sequence[Allocation]) -> dict[str, str]:
    return {a.consumer_id: a.reason for a in allocations}


def spent(allocations: Sequence[Allocation]) -> int:
    return sum(a.option.bps for a in allocations if a.option is not None)


@dataclasses.dataclass
class Viewer:
    """Keeps the targets between calls, as a transport does, and counts what changes."""

    allocator: LayerAllocator
    wishes: list[Wish]
    now: int = SECOND
    changes: list[tuple[int, str, str]] = dataclasses.field(default_factory=list)

    def ask(self, budget: float) -> list[Allocation]:
        request = AllocationRequest("t", int(budget), self.now, tuple(self.wishes))
        answer = {allocation.consumer_id: allocation for allocation in self.allocator.allocate(request)}
        assert set(answer) == {each.consumer_id for each in self.wishes}
        for index, each in enumerate(self.wishes):
            option = answer[each.consumer_id].option
            assert option is None or option in each.options
            before = each.target[:2] if each.target else None
            if before != (option[:2] if option else None):
                self.changes.append((self.now, each.consumer_id, answer[each.consumer_id].reason))
                self.wishes[index] = dataclasses.replace(each, target=option, target_since=self.now)
        return [answer[each.consumer_id] for each in self.wishes]

    def run(self, seconds: float, budget: Callable[[float], float], every: float = 0.1) -> list[list[Allocation]]:
        """Ask ten times a second; the budget is a function of the seconds since the start of this run."""
        start, answers = self.now, []
        for step in range(1, round(seconds / every) + 1):
            self.now = start + int(step * every * SECOND)
            answers.append(self.ask(budget(step * every)))
        return answers


def noisy(budget: float, seed: int, share: float = 0.1) -> Callable[[float], float]:
    source = random.Random(seed)
    return lambda _: budget * source.uniform(1 - share, 1 + share)
