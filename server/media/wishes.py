"""From a viewer's consumers to what a layer allocator is asked, and from its answer to what dynacast keeps. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from server.media.consumer import MOST_TEMPORAL, Consumer
from server.policy.layers.common import ladder
from server.policy.protocols import LayerOption, Wish

REPAIR_SHARE = 1.2  # of the loss is kept back: retransmissions are lost too
MOST_REPAIR = 0.15  # of the estimate
HOPELESS = 0.5  # of its smallest option is not enough for any picture
FIRST_WAIT_NS, LONGEST_WAIT_NS = 4_000_000_000, 32_000_000_000  # until what is held is tried again
TRIAL_NS = 6_000_000_000  # probes need a few seconds of something that flows
SOON = 1.3  # times the budget: what may be affordable in a moment
WANTED_ROOM = 1.2  # times what could be used


@dataclass(frozen=True, slots=True)
class Decided:
    """What one consumer was given last."""

    option: LayerOption | None  # None: held
    since: int  # ns
    reason: str


def wish(consumer: Consumer, decided: Decided | None, options: tuple[LayerOption, ...], *, speaker: bool) -> Wish:
    """Of one consumer. A single-layer source can't be paused, until `let_pause` finds that it must."""
    return Wish(
        consumer_id=consumer.id,
        options=options,
        target=as_it_costs(decided.option, options) if decided is not None else None,
        target_since=decided.since if decided is not None else 0,
        preferred=consumer.preferred,
        priority=consumer.priority,
        tile_width=consumer.tile.width,
        screen=consumer.producer.screen,
        speaker=speaker,
        pausable=consumer.layered,
        hidden=consumer.tile.hidden,
    )


def as_it_costs(option: LayerOption | None, options: Sequence[LayerOption]) -> LayerOption | None:
    """The same layer with its present rate, if it is still there."""
    if option is None:
        return None
    return next((each for each in options if each[:2] == option[:2]), option)


def let_pause(wishes: Sequence[Wish], budget: int) -> tuple[Wish, ...]:
    """Single-layer sources go without bandwidth only when otherwise others (audio among them) could not be served. A
    picture that is the only one is better poor than gone, until there is no hope for it."""
    floors = sum(min(option.bps for option in each.options) for each in wishes)
    if (len(wishes) > 1 and floors > budget) or budget <= 0:
        return tuple(replace(each, pausable=True) for each in wishes)
    if len(wishes) == 1 and floors * HOPELESS <= budget:
        return (replace(wishes[0], pausable=False),)
    return tuple(wishes)


def let_begin(wishes: Sequence[Wish]) -> tuple[Wish, ...]:
    """The least that is a moving picture, until the path is known: its keyframe is small, and arrives on any."""
    return tuple(replace(each, preferred=(0, MOST_TEMPORAL)) for each in wishes)


def let_try(wishes: Sequence[Wish]) -> tuple[Wish, ...]:
    """With one that can't be paused: what is tried already, else the cheapest of those that count most."""

    def rank(each: Wish) -> tuple[bool, bool, int, int]:
        return each.target is None, each.hidden, -each.priority, min(option.bps for option in each.options)

    first = min(wishes, key=rank)
    return tuple(replace(each, pausable=False) if each is first else each for each in wishes)


class Trial:
    """A path that carries no video tells nothing about itself: what is held for good is tried again now and then.

    For TRIAL_NS one smallest layer flows; when that was not enough to change anything, the next wait is twice as long.
    """

    __slots__ = ("_starved", "_until", "_wait")

    def __init__(self) -> None:
        self._wait = FIRST_WAIT_NS
        self._starved: int | None = None  # since when nothing flows
        self._until: int | None = None  # the end of the trial that is on

    def on(self, now: int) -> bool:
        """Whether something is to be tried now."""
        if self._until is not None and now >= self._until:
            self._until, self._wait = None, min(2 * self._wait, LONGEST_WAIT_NS)
            self._starved = now
        if self._until is None and self._starved is not None and now - self._starved >= self._wait:
            self._until = now + TRIAL_NS
        return self._until is not None

    def starve(self, now: int) -> None:
        """Nothing flows, for want of bandwidth."""
        if self._starved is None and self._until is None:
            self._starved = now

    def succeed(self) -> None:
        """There is room for something."""
        self._until, self._starved, self._wait = None, None, FIRST_WAIT_NS


def video_budget(estimate: int, audio: int, loss: float) -> int:
    """Bit/s for video: the estimate without audio, and without what repairs will take."""
    repairs = estimate * min(max(loss, 0.0) * REPAIR_SHARE, MOST_REPAIR)
    return max(round(estimate - audio - repairs), 0)


def target_of(option: LayerOption, options: Sequence[LayerOption]) -> tuple[int, int]:
    """(spatial, temporal) for the plane. The highest temporal layer heard so far means every one."""
    higher = any(each.spatial == option.spatial and each.temporal > option.temporal for each in options)
    return option.spatial, option.temporal if higher else MOST_TEMPORAL


def could_use(wishes: Sequence[Wish]) -> int:
    """Bit/s of video that all of these could use together, were there room for everything."""
    return sum(ladder(each).steps[-1].bps for each in wishes)


def needed(each: Wish, given: LayerOption | None, left: int, budget: int) -> frozenset[int]:
    """The spatial layers that this wish has a use for: what it is given, and what it may be given soon, when `left`
    (what nobody got of `budget`) grows a little. Held: the smallest."""
    if given is None:
        return _known(frozenset({each.options[0].spatial}))
    soon = left + round((SOON - 1) * budget)
    upper = (step for step in ladder(each).steps if step.spatial > given.spatial)
    return _known(frozenset({given.spatial, *(step.spatial for step in upper if step.bps - given.bps <= soon)}))


@lru_cache(maxsize=256)
def _known(layers: frozenset[int]) -> frozenset[int]:
    """The same set for the same layers: there are few, and every consumer keeps one."""
    return layers


def receive_limit(wanted: Sequence[tuple[Sequence[bool], Sequence[int | None]]], other_bps: int) -> int | None:
    """What a publisher may send us, bit/s. `wanted`: for each simulcast producer of it, which encodings, and what each
    may cost. None: it need not be told, as all is wanted, or the cost of something wanted is not known."""
    if all(all(flags) for flags, _ in wanted):
        return None
    total = other_bps
    for flags, costs in wanted:
        for flag, cost in zip(flags, costs, strict=True):
            if flag and cost is None:
                return None
            total += (cost or 0) if flag else 0
    return round(1.5 * total)


def union(needs: Mapping[str, Collection[int]], consumer_ids: Collection[str]) -> set[int]:
    """What any of these consumers needs."""
    return {index for consumer_id in consumer_ids for index in needs.get(consumer_id, ())}
