"""Viewer: what one transport is sent, fitted to what its path carries.

    estimate (the plane's, or a policy's) -> budget for video -> layer allocator -> targets, holds, what is wanted

It runs when something that matters has changed, at most every 100 ms, and at least every second while video flows. When
nothing has changed and everybody has all that they can use, it does nothing but look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rtpfwd.events import CongestionFigures
from rtpfwd.params import CongestionParams
from server.media import wishes as pure
from server.media.consumer import Consumer
from server.media.events import ConsumerHeld
from server.media.playout import least_delay
from server.media.policies import Allocator, Choice, Estimator, Shelf
from server.media.producer import Producer
from server.media.wishes import Decided
from server.policy.protocols import Allocation, AllocationRequest, Feedback, PacketResult, Wish
from server.policy.registry import Role
from server.policy.shadow import layer_name

if TYPE_CHECKING:
    from server.media.transport import Shared, Transport

MS = 1_000_000
LEAST_GAP_NS = 100 * MS  # between two allocations
SATISFIED_NS, HUNGRY_NS = 1000 * MS, 500 * MS  # until the next look: everybody has all, or somebody has not
TICK_NS = 100 * MS  # of a congestion controller of Python
UNLIMITED_BPS = 1_000_000_000  # where nothing is estimated
MOVED = 0.03  # of the budget: less is noise
LOGGED = 0.10  # of the estimate
BEGIN_NS = 500 * MS  # at most, until something is known of the path: so long it gets the least
UNTRIED = frozenset({"start", "hold", "increase"})  # causes of an estimate that only say how we began
FULL = frozenset({"fits", "preferred", "tile", "hidden"})  # reasons for which more bandwidth would change nothing


class Viewer:
    """Of one transport that has consumers. `speaks` says whether a video belongs to the dominant speaker."""

    # Of a thousand viewers: without a dictionary each.
    __slots__ = (
        "_allocator",
        "_begins_until",
        "_choices",
        "_dirty",
        "_estimator",
        "_log",
        "_logged",
        "_shared",
        "_shelf",
        "_speaks",
        "_trial",
        "_versions",
        "_watching",
        "budget_bps",
        "controlled",
        "decided",
        "estimate_bps",
        "figures",
        "media",
        "needs",
        "playout_ms",
        "ran",
        "satisfied",
        "wanted_bps",
    )

    def __init__(
        self,
        media: Transport,
        shared: Shared,
        shelf: Shelf,
        choices: Callable[[Role], Choice],
        speaks: Callable[[Producer], bool],
        now: int,
    ) -> None:
        self.media = media
        self.controlled = False
        self._begins_until: int | None = None  # None: the path is known, or nothing is estimated
        self.estimate_bps = shelf.settings.start_bps
        self.figures: CongestionFigures | None = None
        self.budget_bps = UNLIMITED_BPS
        self.decided: dict[str, Decided] = {}  # by consumer id
        self.needs: dict[str, frozenset[int]] = {}  # by consumer id: spatial layers
        self.ran: int | None = None
        self.satisfied = False
        self._shared, self._shelf, self._choices, self._speaks = shared, shelf, choices, speaks
        self._log = media.decisions
        self._allocator = Allocator(shelf, choices(Role.LAYERS), self._log, media.id)
        self._estimator: Estimator | None = None
        self._watching = False
        self._trial = pure.Trial()
        self._dirty = True
        self._versions: tuple[object, ...] = ()
        self.wanted_bps = 0
        self.playout_ms = 0  # that frames are to be kept back, on a lossy path
        self._logged = (0, "")  # estimate and cause

    # ---- what it goes by ----

    @property
    def running(self) -> list[Consumer]:
        """The video consumers that neither side has paused."""
        return [
            consumer
            for consumer in self.media.consumers.values()
            if consumer.producer.kind == "video" and not (consumer.paused or consumer.producer_paused)
        ]

    @property
    def ticking(self) -> bool:
        """Whether a congestion controller of Python wants `tick`."""
        return self._estimator is not None and self._estimator.needs_feedback

    def policy(self, role: Role) -> str:
        """The name of what decides now."""
        if role is Role.LAYERS:
            return self._allocator.name
        return self._estimator.name if self._estimator is not None else self._choices(role).name

    def touch(self) -> None:
        """Something that matters has changed: allocate anew at the next turn."""
        self._dirty = True

    def soonest(self, now: int) -> int:
        """When the next turn may be."""
        return now if self.ran is None else max(now, self.ran + LEAST_GAP_NS)

    def control(self, now: int) -> None:
        """Have the plane estimate, pace and probe, from the first consumer on whose viewer tells what arrives."""
        if self.controlled or not self._shelf.settings.on:
            return
        if not any(consumer.measured for consumer in self.media.consumers.values()):
            return
        settings = self._shelf.settings
        limits = CongestionParams(settings.start_bps, settings.min_bps, settings.max_bps)
        self.media.plane.control_congestion(self.media.handle, limits, now)
        self.controlled = True
        self._begins_until = now + BEGIN_NS
        self._make_estimator(self._choices(Role.CONGESTION), now)

    def forget(self, consumer: Consumer) -> None:
        """It is gone."""
        self.decided.pop(consumer.id, None)
        self.needs.pop(consumer.id, None)
        self._dirty = True

    # ---- the estimate ----

    def estimated(self, figures: CongestionFigures, at: int) -> bool:
        """The plane's estimate has changed. True when a new allocation is due."""
        self.figures = figures
        if self._estimator is None or self._estimator.native:
            return self._estimate(figures.estimate_bps, figures.cause, at)
        return False

    def feedback(self, packets: Sequence[tuple[int, int | None, int, int]], at: int) -> bool:
        """For a controller of Python. True when a new allocation is due."""
        if self._estimator is None:
            return False
        self._estimator.on_feedback(Feedback(at, tuple(PacketResult(*packet) for packet in packets)))
        return self._follow(at)

    def tick(self, now: int) -> bool:
        """Every 100 ms while `ticking`. True when a new allocation is due."""
        figures = self.media.plane.congestion(self.media.handle)
        if self._estimator is None or figures is None:
            return False
        self.figures = figures
        rtt = round(figures.rtt_ms * MS) or None
        self._estimator.on_tick(figures.loss, rtt, figures.remb_bps, figures.estimate_bps, now)
        return self._follow(now)

    def use(self, role: Role, choice: Choice, now: int) -> None:
        """Another policy from now on. What flows goes on as it is until the new one decides otherwise."""
        self._log.note(now, "policy", self.media.id, before=self.policy(role), after=choice.name, reason="requested")
        if role is Role.LAYERS:
            self._allocator = Allocator(self._shelf, choice, self._log, self.media.id)
        elif self.controlled:
            self._make_estimator(choice, now)
        self._dirty = True

    def _make_estimator(self, choice: Choice, now: int) -> None:
        self._estimator = Estimator(self._shelf, choice, self._log, self.media.id, self.estimate_bps, now)
        self._follow(now)
        if self._estimator.native:
            self.media.plane.set_estimate(self.media.handle, None, now)

    def _follow(self, now: int) -> bool:
        """Do as the controller of Python says; hand back to the plane when it has failed."""
        estimator = self._estimator
        assert estimator is not None, "only a controlled transport has a controller"
        if estimator.needs_feedback != self._watching:
            self._watching = estimator.needs_feedback
            self.media.plane.watch_feedback(self.media.handle, on=self._watching)
            if estimator.native:
                self.media.plane.set_estimate(self.media.handle, None, now)
        estimate = estimator.estimate()
        if estimate is None:
            return False
        settings = self._shelf.settings
        estimate = min(max(estimate, settings.min_bps), settings.max_bps)
        if estimate != self.estimate_bps:
            self.media.plane.set_estimate(self.media.handle, estimate, now)
        return self._estimate(estimate, str(estimator.explain().get("cause", "set")), now)

    def _estimate(self, bps: int, cause: str, at: int) -> bool:
        """Take it in, and log it when it says something new."""
        self.estimate_bps = bps
        known = self._begins_until is not None and cause not in UNTRIED
        if known:
            self._begins_until = None
        logged, known_cause = self._logged
        if abs(bps - logged) >= LOGGED * logged or cause != known_cause:
            self._logged = bps, cause
            self._log.note(
                at,
                "estimate",
                self.media.id,
                before=str(logged) if logged else "",
                after=str(bps),
                reason=cause,
                inputs=self._inputs(),
            )
        budget = self._budget()
        return known or abs(budget - self.budget_bps) > MOVED * self.budget_bps

    def _inputs(self) -> dict[str, float | str]:
        figures = self.figures
        outside = self._estimator.explain() if self._estimator is not None else {}
        if figures is None:
            return dict(outside)
        return {
            "acked_bps": figures.acked_bps,
            "delay_bps": figures.delay_bps,
            "loss_bps": figures.loss_bps,
            "remb_bps": figures.remb_bps,
            "rtt_ms": figures.rtt_ms,
            "loss": figures.loss,
            "trend": figures.trend,
            "queued_ms": figures.queued_ms,
            **outside,
        }

    def _budget(self) -> int:
        if not self.controlled:
            return UNLIMITED_BPS
        loss = self.figures.loss if self.figures is not None else 0.0
        return pure.video_budget(self.estimate_bps, self._audio(), loss)

    def _audio(self) -> int:
        """What this viewer's audio takes of the estimate: of everything where packets are numbered, while a REMB is of
        the streams for which it was negotiated."""
        consumers = self.media.consumers.values()
        of_all = any(consumer.numbered for consumer in consumers)
        rates = [
            consumer.producer.rates.flowing_bps()
            for consumer in consumers
            if consumer.producer.kind == "audio"
            and (of_all or consumer.measured)
            and not (consumer.paused or consumer.producer_paused)
        ]
        most = self._shelf.settings.audio_forwarding
        return sum(sorted(rates, reverse=True)[:most] if most else rates)

    # ---- the allocation ----

    def allocate(self, now: int) -> None:
        """One turn: decide anew if anything has changed."""
        self.ran = now
        if self.controlled:
            # An event tells of the estimate, not of a loss that is over.
            self.figures = self.media.plane.congestion(self.media.handle) or self.figures
        self.budget_bps, before = self._budget(), self.budget_bps
        running = self.running
        self._await_repairs(running, now)
        offered = [consumer.producer.rates.offered() for consumer in running]
        versions = tuple((consumer.id, consumer.producer.rates.version) for consumer in running)
        moved = abs(self.budget_bps - before) > MOVED * before
        if self.satisfied and not (self._dirty or moved or versions != self._versions):
            return
        self._dirty, self._versions = False, versions
        if not running:
            self.satisfied, self.needs = True, {}
            self._tell_wanted(0, now)
            return
        asked = pure.let_pause(
            [
                pure.wish(consumer, self.decided.get(consumer.id), options, speaker=self._speaks(consumer.producer))
                for consumer, options in zip(running, offered, strict=True)
            ],
            self.budget_bps,
        )
        could_use = pure.could_use(asked)
        begins = self._begins_until is not None and now < self._begins_until
        if begins:
            asked = pure.let_begin(asked)
        trying = self._trial.on(now)
        if trying:
            asked = pure.let_try(asked)
        given = self._allocator.allocate(AllocationRequest(self.media.id, self.budget_bps, now, asked))
        if begins:
            given = {each: replace(got, reason="start") if got.option else got for each, got in given.items()}
        # What is given up goes first, so that what comes new finds the room.
        pairs = zip(running, asked, strict=True)
        for consumer, each in sorted(pairs, key=lambda pair: given[pair[0].id].option is not None):
            self._apply(consumer, each, given[consumer.id], now)
        spent = sum(allocation.option.bps for allocation in given.values() if allocation.option is not None)
        left = self.budget_bps - spent
        if not spent:
            self._trial.starve(now)
        elif not trying or left >= 0:
            self._trial.succeed()
        self.satisfied = not trying and all(a.option is not None and a.reason in FULL for a in given.values())
        self.needs = {
            each.consumer_id: pure.needed(each, given[each.consumer_id].option, left, self.budget_bps) for each in asked
        }
        self._tell_wanted(could_use, now)

    def _await_repairs(self, running: Sequence[Consumer], now: int) -> None:
        """On a path that loses by its nature, have the viewer keep frames back until repairs can be there."""
        repaired = [consumer for consumer in running if consumer.repaired]
        figures = self.figures
        if figures is None or not repaired:
            return
        before, most = self.playout_ms, self._shelf.settings.most_playout_delay_ms
        self.playout_ms = least_delay(before, figures.inherent_loss, figures.rtt_ms, most)
        for consumer in repaired:
            if consumer.playout_ms != self.playout_ms:
                consumer.playout_ms = self.playout_ms
                self.media.plane.set_playout_delay(consumer.handle, self.playout_ms)
        if self.playout_ms != before:
            self._log.note(
                now,
                "playout",
                self.media.id,
                before=str(before),
                after=str(self.playout_ms),
                reason="repairs are awaited" if self.playout_ms else "no repairs to await",
                inputs={"inherent_loss": figures.inherent_loss, "rtt_ms": figures.rtt_ms},
            )

    def _apply(self, consumer: Consumer, asked: Wish, given: Allocation, now: int) -> None:
        before = self.decided.get(consumer.id)
        option = given.option
        changed = before is None or layer_name(before.option) != layer_name(option)
        since = now if before is None or changed else before.since
        self.decided[consumer.id] = Decided(option, since, given.reason)
        if option is None:
            if consumer.hold():
                self._note("pause", consumer, before, given, now)
                self._shared.events.append(ConsumerHeld(consumer.id, held=True))
            return
        if consumer.layered:
            # The same option may have to be named anew, when its sender turned out to have more layers.
            target = pure.target_of(option, asked.options)
            if target != consumer.target:
                consumer.target = target
                self.media.plane.set_target(consumer.handle, *target, now)
            if changed:
                self._note("layer", consumer, before, given, now)
        if consumer.release(now):
            self._note("resume", consumer, before, given, now)
            self._shared.events.append(ConsumerHeld(consumer.id, held=False))

    def _note(self, what: str, consumer: Consumer, before: Decided | None, given: Allocation, now: int) -> None:
        inputs: dict[str, float | str] = {"budget_bps": self.budget_bps, "estimate_bps": self.estimate_bps}
        if given.option is not None:
            inputs["layer_bps"] = given.option.bps
        if consumer.tile.width:
            inputs["tile_width"] = consumer.tile.width
        self._log.note(
            now,
            what,
            consumer.id,
            before=layer_name(before.option) if before is not None else "",
            after=layer_name(given.option),
            reason=given.reason,
            inputs=inputs,
        )

    def _tell_wanted(self, video: int, now: int) -> None:
        """How far probing is of use."""
        if not self.controlled:
            return
        wanted = round(pure.WANTED_ROOM * (video + self._audio()))
        if abs(wanted - self.wanted_bps) > 0.05 * self.wanted_bps:
            self.wanted_bps = wanted
            self.media.plane.set_wanted(self.media.handle, wanted, now)
