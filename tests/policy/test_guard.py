"""What happens to a policy that raises, answers nonsense or takes too long; and to one in the shadow."""

from __future__ import annotations

import pytest

from server.policy.congestion.fixed import Fixed
from server.policy.congestion.nada import Nada
from server.policy.congestion.native import Native
from server.policy.decisions import DecisionLog
from server.policy.guarded import Guard, GuardedAllocator, GuardedController, GuardedDetector
from server.policy.layers.fair import Fair
from server.policy.layers.speaker_first import SpeakerFirst
from server.policy.protocols import Allocation, AllocationRequest, Feedback, PacketResult, Speakers
from server.policy.shadow import ShadowAllocator, ShadowController, ShadowDetector
from server.policy.speakers.dominant import Dominant
from server.policy.speakers.loudest import Loudest
from tests.policy.wishes import CAMERA, SECOND, Viewer, names, wish

MS = 1_000_000


class Clock:
    """Stands still, but for what a policy takes."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now


class Slow(Fixed):
    """A constant that takes its time."""

    def __init__(self, clock, *took_ms):
        super().__init__(700_000)
        self.clock, self.took = clock, list(took_ms)

    def on_tick(self, now):
        self.clock.now += int(self.took.pop(0) * MS)


class Raises(Fixed):
    def on_tick(self, now):
        raise RuntimeError("lost my marbles")


class Nonsense(Fixed):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def estimate(self):
        return self.answer


def guarded(policy, log, clock=None, default=Native, default_name="gcc"):
    guard = Guard("mine", policy, default, clock=clock or Clock(), log=log, subject="t1", default_name=default_name)
    return GuardedController(guard, 500_000)


def test_a_policy_that_behaves_keeps_its_place():
    log = DecisionLog()
    controller = guarded(Fixed(800_000), log)
    for tick in range(100):
        controller.on_tick(tick * SECOND)
    assert controller.estimate() == 800_000
    assert (controller.guard.name, controller.guard.failure, controller.native) == ("mine", "", False)
    assert len(log) == 0


def test_one_that_raises_gives_way_to_the_planes_own_and_the_estimate_stays():
    log = DecisionLog()
    controller = guarded(Raises(800_000), log)
    controller.on_remb(1, SECOND)
    assert controller.estimate() == 800_000
    controller.on_tick(2 * SECOND)
    assert controller.native
    assert controller.estimate() == 800_000
    (entry,) = log.entries()
    assert (entry.at, entry.what, entry.subject) == (2 * SECOND, "fallback", "t1")
    assert (entry.before, entry.after) == ("mine", "gcc")
    assert entry.reason == "raised RuntimeError: lost my marbles"
    controller.on_tick(3 * SECOND)
    assert len(log) == 1


@pytest.mark.parametrize("answer", [0, -5, float("nan"), float("inf"), None, "much", 10**15])
def test_an_estimate_that_is_none_counts_as_raising(answer):
    log = DecisionLog()
    controller = guarded(Nonsense(answer), log)
    controller.on_tick(SECOND)
    assert controller.native
    assert controller.estimate() == 500_000  # the last good one: there was none but the first
    assert "bit/s above 0" in log.entries()[0].reason


@pytest.mark.parametrize(
    ("took_ms", "falls"),
    [([1, 1, 1, 1], False), ([3, 3, 1, 3, 3], False), ([3, 3, 3], True), ([19], False), ([21], True)],
)
def test_three_overruns_in_a_row_or_one_by_ten_times_cost_the_place(took_ms, falls):
    log, clock = DecisionLog(), Clock()
    controller = guarded(Slow(clock, *took_ms), log, clock)
    for tick in range(len(took_ms)):
        controller.on_tick(tick * SECOND)
    assert controller.native == falls
    assert controller.estimate() == 700_000
    assert controller.guard.slowest_ns == max(took_ms) * MS
    if falls:
        assert log.entries()[0].reason.startswith("overran 2 ms")
        assert log.entries()[0].inputs == {"took_ms": float(took_ms[-1])}


def test_a_default_in_python_goes_on_from_the_last_estimate():
    log = DecisionLog()
    controller = guarded(Raises(2_000_000), log, default=Nada, default_name="nada")
    controller.on_remb(1, SECOND)
    controller.on_tick(2 * SECOND)
    assert not controller.native
    assert controller.estimate() == 2_000_000
    assert isinstance(controller.guard.policy, Nada)


def test_a_policy_swapped_in_is_told_the_estimate():
    controller = guarded(Nada(), DecisionLog())
    controller.start(SECOND)
    assert controller.estimate() == 500_000


def test_a_default_that_raises_too_leaves_the_last_answer():
    log = DecisionLog()
    controller = guarded(Raises(1), log, default=lambda: Raises(1), default_name="also")
    controller.on_tick(SECOND)
    assert controller.estimate() == 500_000
    assert [entry.reason.partition(" raised")[0] for entry in log.entries()] == [
        "raised RuntimeError: lost my marbles",
        "the default",
    ]


def test_a_slow_default_keeps_its_place():
    log, clock = DecisionLog(), Clock()
    guard = Guard("gcc", Slow(clock, 50), Native, clock=clock, log=log, subject="t1", default_name="gcc")
    GuardedController(guard, 1).on_tick(SECOND)
    assert guard.slowest_ns == 50 * MS
    assert len(log) == 0


class Allocates:
    def __init__(self, answer):
        self.answer = answer

    def allocate(self, request):
        return self.answer(request)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda _: 1 / 0, "ZeroDivisionError"),
        (lambda _: [], "nothing is said of a"),
        (lambda _: [Allocation("a", CAMERA[0], "")] * 2, "twice"),
        (lambda _: [Allocation("z", CAMERA[0], "")], "not asked for"),
        (lambda _: [Allocation("a", CAMERA[0]._replace(spatial=7), "")], "not one of its options"),
        (lambda _: [Allocation("a", None, "")], "can't be paused"),
        (lambda _: None, "TypeError"),
    ],
)
def test_an_allocator_that_fails_is_replaced_within_the_same_call_and_nothing_flickers(answer, why):
    log = DecisionLog()
    viewer = Viewer(SpeakerFirst(), [wish(pausable=False)])
    viewer.run(10, lambda _: 1_600_000)
    held = names(viewer.ask(1_600_000))
    guard = Guard("mine", Allocates(answer), SpeakerFirst, clock=Clock(), log=log, subject="t", default_name="std")
    viewer.allocator = GuardedAllocator(guard)
    viewer.changes.clear()
    assert names(viewer.ask(1_600_000)) == held
    viewer.run(10, lambda _: 1_600_000)
    assert viewer.changes == []
    assert [entry.what for entry in log.entries()] == ["fallback"]
    assert why in log.entries()[0].reason


class ForgetsToAnswer(Loudest):
    broken = False

    def speakers(self):
        return None if self.broken else super().speakers()


def test_a_detector_that_fails_hands_over_who_speaks():
    log = DecisionLog()
    guard = Guard("mine", ForgetsToAnswer(), Dominant, clock=Clock(), log=log, subject="r", default_name="dominant")
    detector = GuardedDetector(guard, 0)
    for tick in range(20):
        detector.on_levels({"a": 20}, tick * 100 * MS)
    before = detector.speakers()
    assert before == Speakers("a", ("a",))
    guard.policy.on_levels = lambda levels, now: setattr(guard.policy, "broken", True)
    detector.on_levels({"a": 20}, 2 * SECOND)
    assert guard.name == "dominant"
    assert detector.speakers() == before
    assert "speakers() gives Speakers" in log.entries()[0].reason
    detector.forget("a")
    assert detector.speakers() == Speakers(None, ())


# ---- shadows ----


def test_a_shadow_controller_logs_when_it_is_far_off_and_once_a_second():
    log = DecisionLog()
    shadow = ShadowController("mine", Fixed(900_000), 1_000_000, clock=Clock(), log=log, subject="t1")
    for tick in range(30):
        now = SECOND + tick * 100 * MS
        shadow.on_tick(now)
        shadow.on_report(0.0, None, now)
        shadow.on_remb(5, now)
        shadow.on_feedback(Feedback(now, [PacketResult(0, 1, 100)]))
        shadow.compare(950_000, now)  # 5 % away is near enough
    assert len(log) == 0
    for tick in range(30):
        shadow.compare(2_000_000, 5 * SECOND + tick * 100 * MS)
    assert len(log) == 3
    entry = log.entries()[0]
    assert (entry.what, entry.before, entry.after, entry.reason) == ("shadow", "2000000", "900000", "mine: set")


def test_a_shadow_that_raises_is_dropped():
    log = DecisionLog()
    shadow = ShadowController("mine", Raises(1), 1_000_000, clock=Clock(), log=log, subject="t1")
    shadow.on_tick(SECOND)
    shadow.compare(5_000_000, SECOND)
    shadow.on_tick(2 * SECOND)
    assert shadow.failure == "raised RuntimeError: lost my marbles"
    assert [(entry.what, entry.before, entry.after) for entry in log.entries()] == [("fallback", "mine", "none")]


def test_a_shadow_allocator_logs_each_difference_once():
    log = DecisionLog()
    shadow = ShadowAllocator("fair", Fair(), clock=Clock(), log=log, subject="t1")
    wishes = (wish("a", speaker=True), wish("b"))
    request = AllocationRequest("t1", 1_750_000, SECOND, wishes)
    decided = SpeakerFirst().allocate(request)
    assert names(decided) == {"a": "2/2", "b": "0/2"}
    shadow.compare(request, decided)
    shadow.compare(request, decided)
    assert [(e.what, e.subject, e.before, e.after, e.reason) for e in log.entries()] == [
        ("shadow", "a", "2/2", "1/2", "fair: budget"),
        ("shadow", "b", "0/2", "1/2", "fair: budget"),
    ]
    assert log.entries()[0].inputs == {"budget_bps": 1_750_000.0}


def test_a_shadow_allocator_that_fails_says_so_and_no_more():
    log = DecisionLog()
    shadow = ShadowAllocator("mine", Allocates(lambda _: []), clock=Clock(), log=log, subject="t1")
    request = AllocationRequest("t1", 2_000_000, SECOND, (wish(),))
    for _ in range(2):
        shadow.compare(request, SpeakerFirst().allocate(request))
    assert [entry.what for entry in log.entries()] == ["fallback"]


def test_a_shadow_detector_logs_whom_it_would_have_chosen():
    log = DecisionLog()
    shadow = ShadowDetector("loudest", Loudest(), 0, clock=Clock(), log=log, subject="r1")
    for tick in range(20):
        shadow.on_levels({"a": 20}, tick * 100 * MS)
        shadow.compare(Speakers("b", ("b",)), tick * 100 * MS)
    assert shadow.speakers().dominant == "a"
    shadow.forget("a")
    last = log.entries()[-1]
    assert (last.what, last.before, last.after) == ("shadow", "b", "a")
    assert len(log) == 2  # nobody, then a
