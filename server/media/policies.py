"""Policies at work: made by name from the registry, guarded, and with a shadow where one is asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from server.media.adaptation_settings import AdaptationSettings
from server.policy.congestion.native import Native
from server.policy.decisions import DecisionLog
from server.policy.guarded import Guard, GuardedAllocator, GuardedController, GuardedDetector
from server.policy.protocols import (
    Allocation,
    AllocationRequest,
    CongestionController,
    Feedback,
    LayerAllocator,
    SpeakerDetector,
    Speakers,
)
from server.policy.registry import DEFAULTS, PolicyRefused, Registry, Role
from server.policy.shadow import ShadowAllocator, ShadowController, ShadowDetector


@dataclass(frozen=True, slots=True)
class Choice:
    """Which policies play a role."""

    name: str  # that decides
    shadow: str = ""  # that only computes; "": none


class Shelf:
    """Makes policies. `stopwatch` (monotonic ns) times their calls; in virtual time it stands still."""

    def __init__(self, registry: Registry, settings: AdaptationSettings, stopwatch: Callable[[], int]) -> None:
        self.registry = registry
        self.settings = settings
        self.stopwatch = stopwatch
        self._fallbacks = {role: functools.partial(self.make, role, name) for role, name in DEFAULTS.items()}
        self.defaults = {role: Choice(settings.policy(role)) for role in Role}
        for role, choice in self.defaults.items():
            self.check(role, choice)

    def check(self, role: Role, choice: Choice) -> None:
        """Raises UnknownPolicy or PolicyRefused when either can't be had."""
        self.make(role, choice.name)
        if choice.shadow:
            if self.registry.is_native(role, choice.shadow):
                raise PolicyRefused(
                    f"{role} policy {choice.shadow!r} can't be a shadow: it is the plane's own and runs there anyway"
                )
            self.make(role, choice.shadow)

    def make(self, role: Role, name: str) -> Any:
        """One policy object, with the node's limits if it takes such."""
        settings = self.settings
        if role is not Role.CONGESTION:
            return self.registry.create(role, name)
        try:
            return self.registry.create(
                role, name, start_bps=settings.start_bps, min_bps=settings.min_bps, max_bps=settings.max_bps
            )
        except PolicyRefused:  # it takes no limits; whatever else is wrong with it is wrong without them too
            return self.registry.create(role, name)

    def guard(self, role: Role, name: str, log: DecisionLog, subject: str) -> Guard[Any]:
        """With the default of the role to fall back to."""
        default = DEFAULTS[role]
        return Guard(
            name,
            self.make(role, name),
            self._fallbacks[role],
            clock=self.stopwatch,
            log=log,
            subject=subject,
            default_name=default,
        )


class Estimator:
    """The congestion controller of one transport, when it is not the plane's, and the shadow of either."""

    __slots__ = ("_name", "_outside", "_shadow")

    def __init__(self, shelf: Shelf, choice: Choice, log: DecisionLog, subject: str, estimate: int, now: int) -> None:
        guard: Guard[CongestionController] = shelf.guard(Role.CONGESTION, choice.name, log, subject)
        self._outside = None if isinstance(guard.policy, Native) else GuardedController(guard, estimate)
        if self._outside is not None:
            self._outside.start(now)
        self._name = choice.name
        self._shadow: ShadowController | None = None
        if choice.shadow:
            policy = shelf.make(Role.CONGESTION, choice.shadow)
            self._shadow = ShadowController(
                choice.shadow, policy, estimate, clock=shelf.stopwatch, log=log, subject=subject
            )

    @property
    def name(self) -> str:
        """Who decides now."""
        return self._name if self._outside is None else self._outside.guard.name

    @property
    def native(self) -> bool:
        """Whether the plane's own estimate holds."""
        return self._outside is None or self._outside.native

    @property
    def needs_feedback(self) -> bool:
        """Whether somebody here is to see each feedback message."""
        return not self.native or (self._shadow is not None and not self._shadow.failure)

    def on_feedback(self, feedback: Feedback) -> None:
        """Of both."""
        if self._outside is not None and not self._outside.native:
            self._outside.on_feedback(feedback)
        if self._shadow is not None:
            self._shadow.on_feedback(feedback)

    def on_tick(self, loss: float, rtt_ns: int | None, remb_bps: int, native_bps: int, now: int) -> None:
        """Every 100 ms: what the viewer reported, and what the plane's own estimate is."""
        for each in (None if self.native else self._outside, self._shadow):
            if each is not None:
                each.on_report(loss, rtt_ns, now)
                if remb_bps:
                    each.on_remb(remb_bps, now)
                each.on_tick(now)
        if self._shadow is not None:
            decided = native_bps if self._outside is None or self.native else self._outside.estimate()
            self._shadow.compare(decided, now)

    def estimate(self) -> int | None:
        """Bit/s; None: the plane's own."""
        return None if self._outside is None or self._outside.native else self._outside.estimate()

    def explain(self) -> dict[str, float | str]:
        """What the outside policy went by."""
        return {} if self._outside is None else dict(self._outside.explain())


class Allocator:
    """The layer allocator of one transport, with its shadow."""

    __slots__ = ("_allocator", "_shadow")

    def __init__(self, shelf: Shelf, choice: Choice, log: DecisionLog, subject: str) -> None:
        guard: Guard[LayerAllocator] = shelf.guard(Role.LAYERS, choice.name, log, subject)
        self._allocator = GuardedAllocator(guard)
        self._shadow: ShadowAllocator | None = None
        if choice.shadow:
            policy = shelf.make(Role.LAYERS, choice.shadow)
            self._shadow = ShadowAllocator(choice.shadow, policy, clock=shelf.stopwatch, log=log, subject=subject)

    @property
    def name(self) -> str:
        """Who decides now."""
        return self._allocator.guard.name

    def allocate(self, request: AllocationRequest) -> dict[str, Allocation]:
        """By consumer id."""
        decided = self._allocator.allocate(request)
        if self._shadow is not None:
            self._shadow.compare(request, decided)
        return {allocation.consumer_id: allocation for allocation in decided}


class Detector:
    """The speaker detector of one router, with its shadow."""

    def __init__(
        self, shelf: Shelf, choice: Choice, log: DecisionLog, subject: str, before: Speakers, now: int
    ) -> None:
        guard: Guard[SpeakerDetector] = shelf.guard(Role.SPEAKERS, choice.name, log, subject)
        self._detector = GuardedDetector(guard, now)
        self._detector.start(before, now)
        self._shadow: ShadowDetector | None = None
        if choice.shadow:
            policy = shelf.make(Role.SPEAKERS, choice.shadow)
            self._shadow = ShadowDetector(choice.shadow, policy, now, clock=shelf.stopwatch, log=log, subject=subject)

    @property
    def name(self) -> str:
        """Who decides now."""
        return self._detector.guard.name

    def on_levels(self, levels: dict[str, int], now: int) -> Speakers:
        """Who speaks, after these levels."""
        self._detector.on_levels(levels, now)
        if self._shadow is not None:
            self._shadow.on_levels(levels, now)
            self._shadow.compare(self._detector.speakers(), now)
        return self._detector.speakers()

    def forget(self, producer_id: str) -> None:
        """It is gone."""
        self._detector.forget(producer_id)
        if self._shadow is not None:
            self._shadow.forget(producer_id)
