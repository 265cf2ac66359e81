"""A second policy beside the one that decides: same inputs, no say, and a log entry whenever it would have differed.

Each is fed with what the deciding policy is fed with and then told what was decided, whoever decided it: the first
policy may be the plane's own. A shadow that raises, gives nonsense or takes too long is
dropped, which is logged as a "fallback".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from server.policy.congestion.fixed import Fixed
from server.policy.decisions import DecisionLog
from server.policy.guarded import BUDGET_NS, Clock, Guard, GuardedAllocator, GuardedController, GuardedDetector
from server.policy.layers.speaker_first import SpeakerFirst
from server.policy.protocols import (
    Allocation,
    AllocationRequest,
    CongestionController,
    Feedback,
    LayerAllocator,
    LayerOption,
    SpeakerDetector,
    Speakers,
    Wish,
)
from server.policy.speakers.loudest import Loudest

P = TypeVar("P")

FAR = 0.10  # estimates that differ by no more are the same
QUIET_NS = 1_000_000_000  # between two entries on estimates
NOBODY = "none"


class _Shadow(Generic[P]):
    """What the three have in common."""

    def __init__(
        self,
        name: str,
        policy: P,
        idle: Callable[[], P],
        *,
        clock: Clock,
        log: DecisionLog,
        subject: str,
        budget_ns: int,
    ) -> None:
        self.name = name
        self._log, self._subject = log, subject
        self._guard = Guard(
            name, policy, idle, clock=clock, log=log, subject=subject, default_name=NOBODY, budget_ns=budget_ns
        )

    @property
    def failure(self) -> str:
        """Why it was dropped; "": it runs."""
        return self._guard.failure

    def _note(
        self, at: int, decided: str, otherwise: str, subject: str, why: str, inputs: Mapping[str, float | str]
    ) -> None:
        """before: what was decided; after: what the shadow would have."""
        reason = f"{self.name}: {why}"
        self._log.note(at, "shadow", subject, before=decided, after=otherwise, reason=reason, inputs=inputs)


class ShadowController(_Shadow[CongestionController]):
    """Beside a congestion controller."""

    def __init__(
        self,
        name: str,
        policy: CongestionController,
        estimate_bps: int,
        *,
        clock: Clock,
        log: DecisionLog,
        subject: str,
        budget_ns: int = BUDGET_NS,
    ) -> None:
        super().__init__(name, policy, Fixed, clock=clock, log=log, subject=subject, budget_ns=budget_ns)
        self._controller = GuardedController(self._guard, estimate_bps)
        self._noted: int | None = None

    def on_feedback(self, feedback: Feedback) -> None:
        self._controller.on_feedback(feedback)

    def on_report(self, loss: float, rtt_ns: int | None, now: int) -> None:
        self._controller.on_report(loss, rtt_ns, now)

    def on_remb(self, bps: int, now: int) -> None:
        self._controller.on_remb(bps, now)

    def on_tick(self, now: int) -> None:
        self._controller.on_tick(now)

    def estimate(self) -> int:
        """Bit/s."""
        return self._controller.estimate()

    def compare(self, decided_bps: int, now: int) -> None:
        """After each tick: what the estimate is. Logged when 10 % off, once a second at most."""
        mine = self._controller.estimate()
        if self.failure or abs(mine - decided_bps) <= FAR * decided_bps:
            return
        if self._noted is None or now - self._noted >= QUIET_NS:
            self._noted = now
            explained = self._controller.explain()
            self._note(now, str(decided_bps), str(mine), self._subject, str(explained.get("cause", "")), explained)


class ShadowAllocator(_Shadow[LayerAllocator]):
    """Beside a layer allocator."""

    def __init__(
        self,
        name: str,
        policy: LayerAllocator,
        *,
        clock: Clock,
        log: DecisionLog,
        subject: str,
        budget_ns: int = BUDGET_NS,
    ) -> None:
        super().__init__(name, policy, SpeakerFirst, clock=clock, log=log, subject=subject, budget_ns=budget_ns)
        self._allocator = GuardedAllocator(self._guard)
        self._differed: dict[str, tuple[str, str]] = {}  # by consumer id: what was logged last
        self._targets: dict[str, tuple[LayerOption | None, int]] = {}  # its own, and since when

    def compare(self, request: AllocationRequest, decided: Sequence[Allocation]) -> None:
        """After each allocation. Logged for each consumer once, until either side changes its mind."""
        if self.failure:
            return
        own = dataclasses.replace(request, wishes=tuple(self._as_if(wish) for wish in request.wishes))
        mine = {allocation.consumer_id: allocation for allocation in self._allocator.allocate(own)}
        if self._guard.failure:
            return
        self._targets = {wish.consumer_id: self._target(wish, mine[wish.consumer_id], own.now) for wish in own.wishes}
        differ = {}
        for allocation in decided:
            other = mine[allocation.consumer_id]
            pair = layer_name(allocation.option), layer_name(other.option)
            if pair[0] == pair[1]:
                continue
            differ[allocation.consumer_id] = pair
            if self._differed.get(allocation.consumer_id) != pair:
                inputs = {"budget_bps": request.budget_bps}
                self._note(request.now, *pair, allocation.consumer_id, other.reason, inputs)
        self._differed = differ

    def _as_if(self, wish: Wish) -> Wish:
        """As it would be if the shadow had decided all along: its own target, at today's price."""
        if wish.consumer_id not in self._targets:
            return wish
        target, since = self._targets[wish.consumer_id]
        now = [option for option in wish.options if target is not None and option[:2] == target[:2]]
        return dataclasses.replace(wish, target=now[0] if now else target, target_since=since)

    def _target(self, wish: Wish, given: Allocation, now: int) -> tuple[LayerOption | None, int]:
        same = layer_name(wish.target) == layer_name(given.option)
        return given.option, wish.target_since if same else now


class ShadowDetector(_Shadow[SpeakerDetector]):
    """Beside a speaker detector."""

    def __init__(
        self,
        name: str,
        policy: SpeakerDetector,
        now: int,
        *,
        clock: Clock,
        log: DecisionLog,
        subject: str,
        budget_ns: int = BUDGET_NS,
    ) -> None:
        super().__init__(name, policy, Loudest, clock=clock, log=log, subject=subject, budget_ns=budget_ns)
        self._detector = GuardedDetector(self._guard, now)
        self._differed: tuple[str, str] | None = None

    def on_levels(self, levels: Mapping[str, int], now: int) -> None:
        self._detector.on_levels(levels, now)

    def forget(self, producer_id: str) -> None:
        self._detector.forget(producer_id)

    def speakers(self) -> Speakers:
        return self._detector.speakers()

    def compare(self, decided: Speakers, now: int) -> None:
        """After each tick: who is dominant. Logged once, until either side changes its mind."""
        pair = decided.dominant or "", self._detector.speakers().dominant or ""
        if pair != self._differed and pair[0] != pair[1] and not self.failure:
            self._note(now, *pair, self._subject, "dominant speaker", {})
        self._differed = pair


def layer_name(option: LayerOption | None) -> str:
    """As the decision log writes a layer: "2/1" is spatial 2, temporal 1; "" is nothing."""
    return f"{option.spatial}/{option.temporal}" if option is not None else ""
