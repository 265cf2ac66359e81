"""A policy on probation: when it raises, gives nonsense or takes too long, the default of its role takes over.

Nothing glitches then: the last good answer stands until the default has one of its own, and the default is told of it
(`inherit`, where it has that). The decision log gets a "fallback" with the reason. The clock is an argument, because
nothing here reads one: give monotonic nanoseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from server.policy.congestion.native import Native
from server.policy.decisions import DecisionLog
from server.policy.protocols import (
    Allocation,
    AllocationRequest,
    CongestionController,
    Feedback,
    LayerAllocator,
    SpeakerDetector,
    Speakers,
)

Clock = Callable[[], int]
P = TypeVar("P")
R = TypeVar("R")

BUDGET_NS = 2_000_000  # one call
IN_A_ROW = 3  # so many calls over the budget cost a policy its place
FAR_OVER = 10  # and so does one that takes so many times the budget
HIGHEST_BPS = 100_000_000_000


class Misbehaved(Exception):
    """A policy answered what makes no sense."""


class Guard(Generic[P]):
    """Calls one policy, and replaces it once. The default itself is replaced by a new one when it raises."""

    # Every viewer has these objects, so they are small.
    __slots__ = (
        "_budget",
        "_clock",
        "_default",
        "_default_name",
        "_log",
        "_slow",
        "_subject",
        "failure",
        "name",
        "policy",
        "slowest_ns",
    )

    def __init__(
        self,
        name: str,
        policy: P,
        default: Callable[[], P],
        *,
        clock: Clock,
        log: DecisionLog,
        subject: str,
        default_name: str = "default",
        budget_ns: int = BUDGET_NS,
    ) -> None:
        """`subject`: the id of the transport or router, for the log."""
        self.name = name  # of what decides now
        self.policy = policy
        self.failure = ""  # why the first one lost its place; "": it did not
        self.slowest_ns = 0
        self._default, self._default_name = default, default_name
        self._clock, self._budget = clock, budget_ns
        self._log, self._subject = log, subject
        self._slow = 0

    def call(self, ask: Callable[[P], R], last: R, now: int, inherit: Callable[[P], None]) -> R:
        """What the policy answers to `ask`; when it fails, what the default does, and `last` when that fails too.
        `inherit` tells a new policy what held before it."""
        started = self._clock()
        try:
            answer = ask(self.policy)
        except Exception as why:  # code of strangers: whatever it raises costs it its place
            self._replace(f"raised {type(why).__name__}: {why}", now, inherit)
            try:
                return ask(self.policy)
            except Exception as worse:  # our own default: keep what held, and say so
                self._note(self._default_name, f"the default raised {type(worse).__name__}: {worse}", now)
                return last
        self._weigh(self._clock() - started, now, inherit)
        return answer

    def _weigh(self, took: int, now: int, inherit: Callable[[P], None]) -> None:
        self.slowest_ns = max(self.slowest_ns, took)
        self._slow = self._slow + 1 if took > self._budget else 0
        if self.name == self._default_name:  # there is nothing quicker to put in its place
            return
        if took > FAR_OVER * self._budget or self._slow >= IN_A_ROW:
            times = f"{self._slow} times in a row, the last" if self._slow > 1 else "once"
            self._replace(
                f"overran {self._budget / 1e6:g} ms {times} with {took / 1e6:.1f} ms", now, inherit, took_ms=took / 1e6
            )

    def _replace(self, why: str, now: int, inherit: Callable[[P], None], **inputs: float) -> None:
        self._note(self._default_name, why, now, inputs)
        self.failure = self.failure or why
        self.policy, self.name, self._slow = self._default(), self._default_name, 0
        inherit(self.policy)

    def _note(self, after: str, why: str, now: int, inputs: Mapping[str, float] | None = None) -> None:
        self._log.note(now, "fallback", self._subject, before=self.name, after=after, reason=why, inputs=inputs)


def pass_on(policy: object, held: object, now: int) -> None:
    """Tell a policy that takes over what held before it: `inherit(estimate or speakers, now)`, when it has that."""
    inherit = getattr(policy, "inherit", None)
    if callable(inherit):
        inherit(held, now)


class GuardedController:
    """A CongestionController. When `native` is true (after a fallback to the plane's own), the plane must be asked to
    go on from `estimate()`, which stays the last good one."""

    __slots__ = ("_estimate", "_explained", "guard")

    def __init__(self, guard: Guard[CongestionController], estimate_bps: int) -> None:
        """`estimate_bps` holds until the policy says something."""
        self.guard = guard
        self._estimate = estimate_bps
        self._explained: Mapping[str, float | str] = {"cause": "start"}

    @property
    def native(self) -> bool:
        return isinstance(self.guard.policy, Native)

    def start(self, now: int) -> None:
        """Tell a policy that was put in another's place what the estimate is."""
        self._run(lambda policy: pass_on(policy, self._estimate, now), now)

    def on_feedback(self, feedback: Feedback) -> None:
        self._run(lambda policy: policy.on_feedback(feedback), feedback.at)

    def on_report(self, loss: float, rtt_ns: int | None, now: int) -> None:
        self._run(lambda policy: policy.on_report(loss, rtt_ns, now), now)

    def on_remb(self, bps: int, now: int) -> None:
        self._run(lambda policy: policy.on_remb(bps, now), now)

    def on_tick(self, now: int) -> None:
        self._run(lambda policy: policy.on_tick(now), now)

    def estimate(self) -> int:
        return self._estimate

    def explain(self) -> Mapping[str, float | str]:
        return self._explained

    def _run(self, tell: Callable[[CongestionController], None], now: int) -> None:
        def ask(policy: CongestionController) -> tuple[int, Mapping[str, float | str]]:
            if isinstance(policy, Native):
                return self._estimate, policy.explain()
            tell(policy)
            return _checked_estimate(policy.estimate()), dict(policy.explain())

        last = self._estimate
        held = (last, self._explained)
        self._estimate, self._explained = self.guard.call(ask, held, now, lambda policy: pass_on(policy, last, now))


class GuardedAllocator:
    """A LayerAllocator. The targets that held are in each request, so a default that takes over knows them."""

    __slots__ = ("guard",)

    def __init__(self, guard: Guard[LayerAllocator]) -> None:
        self.guard = guard

    def allocate(self, request: AllocationRequest) -> Sequence[Allocation]:
        last: Sequence[Allocation] = [
            Allocation(wish.consumer_id, wish.target, "hysteresis") for wish in request.wishes
        ]
        return self.guard.call(
            lambda policy: _checked_allocations(request, policy.allocate(request)),
            last,
            request.now,
            lambda policy: None,
        )


class GuardedDetector:
    """A SpeakerDetector."""

    def __init__(self, guard: Guard[SpeakerDetector], now: int) -> None:
        self.guard = guard
        self._now = now
        self._speakers = Speakers(None, ())

    def start(self, speakers: Speakers, now: int) -> None:
        """Tell a policy that was put in another's place who speaks."""
        self._speakers = speakers
        self._run(lambda policy: pass_on(policy, speakers, now), now)

    def on_levels(self, levels: Mapping[str, int], now: int) -> None:
        self._run(lambda policy: policy.on_levels(levels, now), now)

    def forget(self, producer_id: str) -> None:
        dominant = None if self._speakers.dominant == producer_id else self._speakers.dominant
        self._speakers = Speakers(dominant, tuple(p for p in self._speakers.active if p != producer_id))
        self._run(lambda policy: policy.forget(producer_id), self._now)

    def speakers(self) -> Speakers:
        return self._speakers

    def _run(self, tell: Callable[[SpeakerDetector], None], now: int) -> None:
        def ask(policy: SpeakerDetector) -> Speakers:
            tell(policy)
            return _checked_speakers(policy.speakers())

        self._now = now
        last = self._speakers
        self._speakers = self.guard.call(ask, last, now, lambda policy: pass_on(policy, last, now))


def _checked_estimate(bps: Any) -> int:
    if not isinstance(bps, (int, float)) or not 0 < bps <= HIGHEST_BPS:
        raise Misbehaved(f"an estimate is bit/s above 0, not {bps!r}")
    return int(bps)


def _checked_allocations(request: AllocationRequest, answer: Any) -> Sequence[Allocation]:
    allocations = list(answer)
    wishes = {wish.consumer_id: wish for wish in request.wishes}
    for allocation in allocations:
        wish = wishes.pop(allocation.consumer_id, None)
        if wish is None:
            raise Misbehaved(f"{allocation.consumer_id!r} is allocated twice, or was not asked for")
        if allocation.option is not None and allocation.option not in wish.options:
            raise Misbehaved(f"{allocation.consumer_id!r} gets {allocation.option!r}, which is not one of its options")
        if allocation.option is None and not wish.pausable:
            raise Misbehaved(f"{allocation.consumer_id!r} gets nothing, and can't be paused")
    if wishes:
        raise Misbehaved(f"nothing is said of {', '.join(wishes)}")
    return allocations


def _checked_speakers(answer: Any) -> Speakers:
    if not isinstance(answer, Speakers):
        raise Misbehaved(f"speakers() gives Speakers, not {answer!r}")
    return answer
