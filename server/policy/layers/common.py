"""What all allocators share: which options of a source are worth sending, and when a step up may be taken.

An allocator here is an order: a list of steps, the most wanted first. `climb` walks the list once and takes each
step that fits. A step that keeps what flows now may use the whole budget; a step up needs headroom and patience.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from server.policy.protocols import Allocation, AllocationRequest, LayerOption, Wish

SECOND = 1_000_000_000  # ns
PAUSED = -1  # a level; 0 and up count the steps of a ladder

COVERS = 0.9  # of a tile's width is as good as all of it
WASTED = 1.5  # times the tile's width, and nobody sees the difference
SMOOTH_FPS = 20.0  # below this motion stutters, whatever the resolution
SMOOTH_SHARE = 0.6  # of the source's own rate, when that is low or unknown

HEADROOM = 0.95  # of the budget: what may be spent when something goes up
WAIT_NS = 5 * SECOND // 2  # after a change, before something goes up
LONGEST_WAIT_NS = 40 * SECOND
REGRET_NS = 10 * SECOND  # a step up that had to be taken back sooner doubles the wait
SETTLED_NS = 20 * SECOND  # a step up that lasts so long makes the wait the first one again
NOISE = 0.95  # a layer that flows may cost so much more than the budget: both are measured
DIP = 0.85  # and this much, for a while: an estimate dips after each overuse and comes back, and a layer begins with a
DIP_NS = 2 * SECOND  # keyframe, which makes it look dear
GROWN = 1.25  # times what the last step up was taken at: probes are still finding more
GLANCE_NS = SECOND // 2  # how far back the budget must have been good when the viewer's wishes change


@dataclass(frozen=True, slots=True)
class Ladder:
    """The options of one wish that are worth sending: each step is better than the one below, and costs more."""

    wish: Wish
    steps: tuple[LayerOption, ...]  # one at least
    limit: str  # why there is nothing above the last: "fits" (nothing better exists), "preferred", "tile", "hidden"
    current: int  # the step that flows now, or the best below it; PAUSED

    def cost(self, level: int) -> int:
        """Bit/s."""
        return 0 if level == PAUSED else self.steps[level].bps


def ladder(wish: Wish) -> Ladder:
    """Sort out what is not worth sending. Moving pictures go for frame rate first, screens for detail."""
    steps, limit = _steps(wish.options, wish.preferred, wish.tile_width, wish.hidden, wish.screen)
    return Ladder(wish, steps, limit, _level_of(wish.target, steps))


@lru_cache(maxsize=256)
def _steps(
    offered: tuple[LayerOption, ...], preferred: tuple[int, int] | None, tile_width: int, hidden: bool, screen: bool
) -> tuple[tuple[LayerOption, ...], str]:
    """Remembered: one turn of a viewer asks for each three times, and those who are shown the same share it."""
    options, limit = list(offered), "fits"
    if preferred is not None:
        options, limit = _narrow(options, limit, "preferred", _not_above(preferred))
    if tile_width:
        options, limit = _narrow(options, limit, "tile", _worth_its_width(options, tile_width))
    if hidden:
        options, limit = [min(options, key=lambda option: option.bps)], "hidden"
    return _rising(_by_worth(options, screen)), limit


def _narrow(
    options: list[LayerOption], limit: str, reason: str, allowed: Callable[[LayerOption], bool]
) -> tuple[list[LayerOption], str]:
    kept = [option for option in options if allowed(option)] or [min(options, key=lambda option: option.bps)]
    return kept, limit if len(kept) == len(options) else reason


def _not_above(preferred: tuple[int, int]) -> Callable[[LayerOption], bool]:
    return lambda option: option.spatial <= preferred[0] and option.temporal <= preferred[1]


def _worth_its_width(options: Sequence[LayerOption], tile: int) -> Callable[[LayerOption], bool]:
    """Unknown widths are worth it."""
    covering = min((option.width for option in options if option.width >= COVERS * tile), default=0)
    most = max(WASTED * tile, covering)
    return lambda option: option.width <= most


def _by_worth(options: Sequence[LayerOption], screen: bool) -> list[LayerOption]:
    """The worst first. Of a screen detail counts; of anything else detail only where motion is smooth, so what stutters
    is left out above the lowest resolution."""
    fastest = max(option.frames_per_second for option in options)
    lowest = min(option.spatial for option in options)
    most_temporal: dict[int, int] = {}
    for option in options:
        most_temporal[option.spatial] = max(option.temporal, most_temporal.get(option.spatial, 0))

    def smooth(option: LayerOption) -> bool:
        if option.temporal == most_temporal[option.spatial]:
            return True  # all that there is of it, and what has only just begun to flow measures too low for a second
        if option.frames_per_second:
            return option.frames_per_second >= min(SMOOTH_FPS, SMOOTH_SHARE * fastest)
        # Each temporal layer doubles the rate of those below it.
        return bool(2.0 ** (option.temporal - most_temporal[option.spatial]) >= SMOOTH_SHARE)

    kept = [option for option in options if screen or option.spatial == lowest or smooth(option)]
    return sorted(kept, key=lambda option: (option.spatial, option.temporal))


def _rising(ranked: Sequence[LayerOption]) -> tuple[LayerOption, ...]:
    """Leave out what costs as much as something better."""
    steps: list[LayerOption] = []
    for option in reversed(ranked):
        if not steps or option.bps < steps[-1].bps:
            steps.append(option)
    return tuple(reversed(steps))


def _level_of(target: LayerOption | None, steps: Sequence[LayerOption]) -> int:
    if target is None:
        return PAUSED
    for level, step in enumerate(steps):
        if (step.spatial, step.temporal) == (target.spatial, target.temporal):
            return level
    below = [level for level, step in enumerate(steps) if (step.spatial, step.temporal) < target[:2]]
    return max(below, default=0)


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be spent, bit/s."""

    budget: int
    keep: int  # by steps that flow already, as long as nothing rises: a little more, as the budget may only dip
    rise: int  # when a step is taken that doesn't; -1: none may
    steady: int  # the least budget of the last 2.5 s


class Patience:
    """When something may go up: a memory of the budget and of the last changes, of one transport."""

    __slots__ = ("_asked", "_budgets", "_changed", "_changed_at_budget", "_fitted", "_rising", "_rose", "_wait")

    def __init__(self) -> None:
        # (when, bit/s), no older than WAIT_NS. A few: a list, because an empty deque takes 700 bytes of each viewer.
        self._budgets: list[tuple[int, int]] = []
        self._fitted: int | None = None  # when what flows last did
        self._changed: int | None = None
        self._changed_at_budget = 0
        self._rose: int | None = None
        self._rising = False  # the last change was for the better
        self._wait = WAIT_NS
        self._asked: object = None

    def limits(self, request: AllocationRequest, ladders: Sequence[Ladder], headroom: float = HEADROOM) -> Limits:
        """A step up must fit below the least budget of the last 2.5 s, so noise can't cause one. A budget that has
        doubled since the last change, or grown by a quarter right after a step up, or other wishes than last time,
        need not wait."""
        now, budget = request.now, max(request.budget_bps, 0)
        self._remember(now, budget)
        rise = self._rise(request, budget, headroom)
        flows = sum(each.cost(each.current) for each in ladders)
        if flows * NOISE <= budget:
            self._fitted = now
        dips = self._fitted is not None and now - self._fitted < DIP_NS
        keep = round(budget / (DIP if dips else NOISE))
        return Limits(budget, keep, rise, self._least(now - WAIT_NS))

    def _rise(self, request: AllocationRequest, budget: int, headroom: float) -> int:
        now = request.now
        asked, self._asked = self._asked, _asked(request.wishes)
        if self._changed is None:
            if any(wish.target is not None for wish in request.wishes):  # we take over from another policy
                self._changed, self._changed_at_budget = now, budget
                return -1
            return int(budget * headroom)
        climbing = self._rising and now - self._changed < WAIT_NS
        if budget >= (GROWN if climbing else 2) * self._changed_at_budget:
            return int(budget * headroom)
        if asked != self._asked:
            return int(self._least(now - GLANCE_NS) * headroom)
        if now - self._changed < self._wait:
            return -1
        return int(self._least(now - WAIT_NS) * headroom)

    def decided(self, request: AllocationRequest, ladders: Sequence[Ladder], levels: Sequence[int]) -> None:
        """What came of it."""
        now = request.now
        rose = any(level > each.current for each, level in zip(ladders, levels, strict=True))
        fell = any(level < each.current for each, level in zip(ladders, levels, strict=True))
        if fell and not rose and self._rose is not None and now - self._rose < REGRET_NS:
            self._wait = min(self._wait * 2, LONGEST_WAIT_NS)
            self._rose = None
        elif self._rose is not None and now - self._rose > SETTLED_NS:
            self._wait = WAIT_NS
        if rose:
            self._rose = now
        if rose or fell:
            self._fitted = now
            self._rising = rose and not fell
        if rose or fell or self._changed is None:
            self._changed, self._changed_at_budget = now, max(request.budget_bps, 0)

    def _remember(self, now: int, budget: int) -> None:
        while self._budgets and self._budgets[0][0] < now - WAIT_NS:
            self._budgets.pop(0)
        # A falling minimum: what is older and larger can never be the least again.
        while self._budgets and self._budgets[-1][1] >= budget:
            self._budgets.pop()
        self._budgets.append((now, budget))

    def _least(self, since: int) -> int:
        return next(budget for when, budget in self._budgets if when >= since)


def _asked(wishes: Iterable[Wish]) -> object:
    """What a viewer's wishes are apart from what they cost: who speaks, what is shown how large, what there is."""
    return [
        (w.consumer_id, w.preferred, w.priority, w.tile_width, w.screen, w.speaker, w.hidden, w.options[-1].spatial)
        for w in wishes
    ]


Step = tuple[int, int]  # index of the ladder, level to reach


def fit(ladders: Sequence[Ladder], order: Sequence[Step], limits: Limits) -> tuple[list[int], list[str]]:
    """`climb`, with no more than the budget for what flows when something else rises: that would be paid with a dip."""
    levels, stopped = climb(ladders, order, limits)
    if any(level > each.current for each, level in zip(ladders, levels, strict=True)):
        levels, stopped = climb(ladders, order, replace(limits, keep=limits.budget))
    return levels, stopped


def climb(ladders: Sequence[Ladder], order: Iterable[Step], limits: Limits) -> tuple[list[int], list[str]]:
    """Take every step that fits, in order; levels and, for each, why it went no further.

    Smallest options that can't be paused are paid first, whatever the budget. For limits that do not depend on what
    flows, more budget never takes back a step to take one further behind: the taken steps grow lexicographically.
    """
    levels, stopped = [PAUSED] * len(ladders), [""] * len(ladders)
    spent = 0
    for index, each in enumerate(ladders):
        if not each.wish.pausable:
            levels[index] = 0
            spent += each.cost(0)
    for index, level in order:
        each = ladders[index]
        if stopped[index] or level != levels[index] + 1 or level >= len(each.steps):
            continue
        cost = spent + each.cost(level) - each.cost(level - 1)
        if cost <= (limits.keep if level <= each.current else limits.rise):
            levels[index], spent = level, cost
        else:
            stopped[index] = "hysteresis" if cost <= limits.budget else "budget"
    return levels, stopped


def report(ladders: Sequence[Ladder], levels: Sequence[int], stopped: Sequence[str]) -> list[Allocation]:
    """With the reasons that the decision log shows."""
    told = []
    for each, level, why in zip(ladders, levels, stopped, strict=True):
        if level == PAUSED:
            told.append(Allocation(each.wish.consumer_id, None, "no room" if why != "hysteresis" else why))
        elif level == len(each.steps) - 1:
            told.append(Allocation(each.wish.consumer_id, each.steps[level], each.limit))
        else:
            told.append(Allocation(each.wish.consumer_id, each.steps[level], why or "budget"))
    return told


def floors_first(ladders: Sequence[Ladder], groups: Sequence[Sequence[int]]) -> list[Step]:
    """Something for everyone, then all that each group can use, one group after the other; within one, step by step."""
    order = [(index, 0) for group in groups for index in group]
    for group in groups:
        height = max((len(ladders[index].steps) for index in group), default=0)
        order += [(index, level) for level in range(1, height) for index in group if level < len(ladders[index].steps)]
    return order


class Ordered(ABC):
    """An allocator that is an order of steps."""

    def __init__(self) -> None:
        self._patience = Patience()

    @abstractmethod
    def order(self, ladders: Sequence[Ladder]) -> Sequence[Step]:
        """The steps, the most wanted first."""

    def allocate(self, request: AllocationRequest) -> list[Allocation]:
        ladders = [ladder(wish) for wish in request.wishes]
        levels, stopped = fit(ladders, self.order(ladders), self._patience.limits(request, ladders))
        self._patience.decided(request, ladders, levels)
        return report(ladders, levels, stopped)
