"""Who gets which layer: the ladder of one source, and the four allocators, with examples and with properties."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.policy.layers.common import DIP, HEADROOM, NOISE, ladder
from server.policy.layers.fair import Fair, shares
from server.policy.layers.marginal import Marginal
from server.policy.layers.priority import Priority
from server.policy.layers.speaker_first import SpeakerFirst
from server.policy.protocols import AllocationRequest, LayerOption, Wish
from tests.policy.wishes import CAMERA, SCREEN, SECOND, Viewer, names, noisy, reasons, spent, wish

ALL = [SpeakerFirst, Fair, Priority, Marginal]
each_allocator = pytest.mark.parametrize("allocator", ALL, ids=lambda kind: kind.__name__)


def steps(asked: Wish) -> list[str]:
    return [f"{step.spatial}/{step.temporal}" for step in ladder(asked).steps]


def first(allocator, budget, *wishes):
    return allocator().allocate(AllocationRequest("t", int(budget), SECOND, tuple(wishes)))


# ---- what is worth sending ----


@pytest.mark.parametrize(
    ("changes", "expected", "limit"),
    [
        ({}, ["0/0", "0/1", "0/2", "1/2", "2/2"], "fits"),  # detail never at the price of motion
        ({"screen": True}, ["0/0", "0/1", "0/2", "1/0", "1/1", "1/2", "2/0", "2/1", "2/2"], "fits"),
        ({"preferred": (1, 2)}, ["0/0", "0/1", "0/2", "1/2"], "preferred"),
        ({"preferred": (2, 0)}, ["0/0", "1/0", "2/0"], "preferred"),  # few frames are what was asked for
        ({"tile_width": 300}, ["0/0", "0/1", "0/2"], "tile"),
        ({"tile_width": 340}, ["0/0", "0/1", "0/2"], "tile"),  # 320 covers 340 well enough
        ({"tile_width": 400}, ["0/0", "0/1", "0/2", "1/2"], "tile"),  # the smallest that covers it
        ({"tile_width": 10}, ["0/0", "0/1", "0/2"], "tile"),
        ({"tile_width": 5000}, ["0/0", "0/1", "0/2", "1/2", "2/2"], "fits"),
        ({"hidden": True}, ["0/0"], "hidden"),
        ({"hidden": True, "tile_width": 1280}, ["0/0"], "hidden"),
    ],
)
def test_the_ladder_holds_what_is_worth_sending(changes, expected, limit):
    asked = wish(**changes)
    assert steps(asked) == expected
    assert ladder(asked).limit == limit


def test_unknown_widths_and_rates_leave_the_order_of_layers():
    plain = tuple(option._replace(width=0, frames_per_second=0.0) for option in CAMERA)
    assert steps(wish(options=plain, tile_width=100)) == ["0/0", "0/1", "0/2", "1/2", "2/2"]


def test_an_encoding_that_has_only_just_begun_keeps_its_place():
    """Its rate over the last second is measured as a few frames."""
    begun = tuple(option._replace(frames_per_second=3.0) if option.spatial == 2 else option for option in CAMERA)
    assert steps(wish(options=begun)) == ["0/0", "0/1", "0/2", "1/2", "2/2"]


def test_what_costs_as_much_as_something_better_is_left_out():
    dear = (LayerOption(0, 0, 300_000, 320), LayerOption(1, 0, 200_000, 640), LayerOption(2, 0, 900_000, 1280))
    assert steps(wish(options=dear)) == ["1/0", "2/0"]


def test_a_target_that_is_no_step_counts_as_the_step_below_it():
    assert ladder(wish(target=CAMERA[3])).current == 2  # 1/0 flows after a swap of policies: 0/2 is below
    assert ladder(wish(target=CAMERA[8], tile_width=300)).current == 2
    assert ladder(wish(target=None)).current == -1


# ---- each allocator on one camera ----


@each_allocator
@pytest.mark.parametrize(
    ("budget", "expected"),
    [(5_000_000, "2/2"), (2_000_000, "2/2"), (1_000_000, "1/2"), (200_000, "0/2"), (100_000, "0/0"), (50_000, "-")],
)
def test_one_camera_gets_the_best_that_fits_at_once(allocator, budget, expected):
    assert names(first(allocator, budget, wish())) == {"a": expected}


@each_allocator
def test_it_goes_down_at_once_and_up_when_the_budget_has_been_good_for_a_while(allocator):
    viewer = Viewer(allocator(), [wish()])
    assert names(viewer.run(3, lambda _: 3_000_000)[-1]) == {"a": "2/2"}
    assert names(viewer.run(0.1, lambda _: 500_000)[-1]) == {"a": "1/2"}
    assert names(viewer.run(5, lambda _: 500_000)[-1]) == {"a": "1/2"}
    assert names(viewer.run(0.1, lambda _: 900_000)[-1]) == {"a": "1/2"}
    assert names(viewer.run(0.1, lambda _: 3_000_000)[-1]) == {"a": "2/2"}  # more than doubled: no waiting


@each_allocator
def test_a_small_gain_waits(allocator):
    viewer = Viewer(allocator(), [wish()])
    viewer.run(10, lambda _: 1_200_000)
    rising = viewer.run(4, lambda _: 2_000_000)  # not doubled
    got = [names(answer)["a"] for answer in rising]
    assert got[0] == "1/2"
    assert got[-1] == "2/2"
    assert 20 <= got.index("2/2") <= 27  # two and a half seconds
    assert [reason for _, _, reason in viewer.changes] == ["budget", "fits"]


@each_allocator
def test_a_target_in_flight_is_kept_within_the_budget_without_headroom(allocator):
    kept = first(allocator, 1_510_000, wish(target=CAMERA[8], target_since=1))
    assert names(kept) == {"a": "2/2"}
    assert names(first(allocator, 1_510_000, wish())) == {"a": "1/2"}


@each_allocator
def test_a_policy_that_takes_over_keeps_what_flows(allocator):
    before = Viewer(SpeakerFirst(), [wish("a"), wish("b"), wish("c")])
    held = names(before.run(5, lambda _: 1_000_000)[-1])
    after = Viewer(allocator(), before.wishes, before.now)
    assert names(after.ask(1_000_000)) == held


@each_allocator
def test_what_does_not_fit_is_paused_and_comes_back_with_headroom(allocator):
    viewer = Viewer(allocator(), [wish(name) for name in "abc"])
    viewer.run(3, lambda _: 600_000)
    assert names(viewer.run(2.5, lambda _: 160_000)[-1]) == {"a": "0/0", "b": "0/0", "c": "-"}
    assert reasons(viewer.ask(160_000))["c"] == "no room"
    assert names(viewer.run(6, lambda _: 230_000)[-1])["c"] == "-"  # 225 000 fits, without headroom
    assert names(viewer.run(6, lambda _: 260_000)[-1])["c"] == "0/0"


@each_allocator
def test_what_can_not_be_paused_is_sent_whatever_the_budget(allocator):
    got = first(allocator, 10_000, wish("a", pausable=False), wish("b"), wish("c", pausable=False))
    assert names(got) == {"a": "0/0", "b": "-", "c": "0/0"}


@each_allocator
def test_nothing_to_decide(allocator):
    assert list(first(allocator, 1_000_000)) == []
    assert names(first(allocator, -5, wish())) == {"a": "-"}


@each_allocator
def test_a_wish_that_is_made_smaller_is_followed_at_once(allocator):
    viewer = Viewer(allocator(), [wish("a"), wish("b")])
    viewer.run(5, lambda _: 4_000_000)
    viewer.wishes[0] = dataclasses.replace(viewer.wishes[0], tile_width=300)
    viewer.wishes[1] = dataclasses.replace(viewer.wishes[1], hidden=True)
    got = viewer.run(0.1, lambda _: 4_000_000)[-1]
    assert names(got) == {"a": "0/2", "b": "0/0"}
    assert reasons(got) == {"a": "tile", "b": "hidden"}


@each_allocator
@pytest.mark.parametrize("budget", [450_000, 1_000_000, 1_700_000, 3_300_000])
@pytest.mark.parametrize("seed", range(3))
def test_noise_of_ten_percent_causes_no_more_than_a_change_in_ten_seconds(allocator, budget, seed):
    viewer = Viewer(allocator(), [wish(name) for name in "abc"])
    viewer.run(20, noisy(budget, seed))
    viewer.changes.clear()
    viewer.run(60, noisy(budget, seed + 100))
    assert len({at for at, _, _ in viewer.changes}) <= 2


@each_allocator
def test_a_budget_that_swings_across_a_step_costs_fewer_and_fewer_changes(allocator):
    """The worst case for a wait of fixed length: good for 5 s, bad for 1 s, for ever."""
    viewer = Viewer(allocator(), [wish()])
    viewer.run(180, lambda t: 1_200_000 if t % 6 < 1 else 1_900_000)
    late = [at for at, _, _ in viewer.changes if at > 90 * SECOND]
    assert len(viewer.changes) > 2
    assert len(late) <= 9


@each_allocator
def test_a_dip_of_a_second_or_two_costs_no_layer(allocator):
    viewer = Viewer(allocator(), [wish()])
    viewer.run(10, lambda _: 1_800_000)
    assert {names(answer)["a"] for answer in viewer.run(1.8, lambda _: 1_300_000)} == {"2/2"}
    assert names(viewer.run(0.5, lambda _: 1_300_000)[-1]) == {"a": "1/2"}  # it was no dip


@each_allocator
def test_what_falls_deep_is_answered_at_once(allocator):
    viewer = Viewer(allocator(), [wish()])
    viewer.run(10, lambda _: 1_800_000)
    assert names(viewer.run(0.1, lambda _: 1_200_000)[-1]) == {"a": "1/2"}


# ---- what tells them apart ----


def test_speaker_first_goes_by_screen_then_speaker_then_priority():
    screen = wish("screen", options=SCREEN, screen=True)
    people = [wish("low"), wish("high", priority=9), wish("speaker", speaker=True)]
    assert names(first(SpeakerFirst, 1_190_000, *people, screen)) == {
        "screen": "1/1", "low": "0/0", "high": "0/0", "speaker": "0/0",
    }  # fmt: skip
    assert names(first(SpeakerFirst, 1_700_000, *people, screen))["speaker"] == "1/2"
    assert names(first(SpeakerFirst, 2_000_000, *people, screen))["high"] == "1/2"
    assert names(first(SpeakerFirst, 200_000, *people, screen)) == {
        "screen": "0/0", "low": "-", "high": "-", "speaker": "-",
    }  # fmt: skip


def test_the_next_speaker_gets_the_picture_at_once():
    viewer = Viewer(SpeakerFirst(), [wish("a", speaker=True), wish("b"), wish("c")])
    assert names(viewer.run(5, lambda _: 1_900_000)[-1]) == {"a": "2/2", "b": "0/2", "c": "0/2"}
    viewer.wishes = [dataclasses.replace(w, speaker=w.consumer_id == "b") for w in viewer.wishes]
    assert names(viewer.run(0.1, lambda _: 1_900_000)[-1]) == {"a": "0/2", "b": "2/2", "c": "0/2"}


def test_priority_goes_by_number_then_by_age():
    assert names(first(Priority, 660_000, wish("a"), wish("b"), wish("c", priority=7))) == {
        "a": "0/2", "b": "0/0", "c": "1/2",
    }  # fmt: skip


def test_fair_gives_everybody_the_same_and_spends_the_rest():
    assert names(first(Fair, 1_400_000, wish("a", priority=200), wish("b", speaker=True), wish("c"))) == {
        "a": "1/2", "b": "1/2", "c": "1/2",
    }  # fmt: skip
    assert names(first(Fair, 950_000, wish("a"), wish("b"), wish("c"))) == {"a": "1/2", "b": "0/2", "c": "0/2"}


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=8), st.integers(0, 4000))
def test_shares_are_max_min_fair(needs, budget):
    share = shares(needs, budget)
    assert sum(share) <= budget
    assert all(part <= need for part, need in zip(share, needs, strict=True))
    unmet = [part for part, need in zip(share, needs, strict=True) if part < need]
    if unmet:  # nobody who wants more has less than anybody, but for rounding
        assert min(unmet) >= max(share) - len(needs)
        assert sum(share) > budget - len(needs)


def test_marginal_lets_many_small_gains_win_over_one_large():
    people = [wish("speaker", speaker=True), *[wish(name) for name in "abc"]]
    budget = 2_270_000
    assert names(first(SpeakerFirst, budget, *people)) == {"speaker": "2/2", "a": "0/2", "b": "0/2", "c": "0/2"}
    assert names(first(Marginal, budget, *people)) == {"speaker": "1/2", "a": "1/2", "b": "1/2", "c": "1/2"}


def test_marginal_spends_more_of_an_estimate_that_stands_still():
    viewer = Viewer(Marginal(), [wish()])
    answers = viewer.run(60, lambda _: 1_650_000)  # 1.5 Mbit/s is 91 % of it
    got = [names(answer)["a"] for answer in answers]
    assert got[0] == "1/2"
    assert got[-1] == "2/2"
    assert 8 < got.index("2/2") / 10 < 20
    assert len(viewer.changes) == 2


# ---- properties ----


@st.composite
def sources(draw, consumer_id):
    spatials = draw(st.integers(1, 3))
    temporals = draw(st.integers(1, 3))
    bps, options = draw(st.integers(20_000, 200_000)), []
    for spatial in range(spatials):
        for temporal in range(temporals):
            options.append(LayerOption(spatial, temporal, bps, 320 << spatial, 25 / 2 ** (temporals - 1 - temporal)))
            bps = bps * draw(st.integers(90, 250)) // 100
    return Wish(
        consumer_id,
        tuple(options),
        draw(st.sampled_from([None, *options])),
        0,
        draw(st.none() | st.tuples(st.integers(0, 2), st.integers(0, 2))),
        draw(st.sampled_from([1, 1, 1, 100, 255])),
        draw(st.sampled_from([0, 0, 200, 640, 1280])),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.sampled_from([True, True, True, False])),
        draw(st.sampled_from([False, False, False, True])),
    )


@st.composite
def calls(draw):
    return tuple(draw(sources(name)) for name in "abcdef"[: draw(st.integers(1, 6))])


@each_allocator
@given(wishes=calls(), budgets=st.lists(st.integers(0, 6_000_000), min_size=1, max_size=6))
@settings(max_examples=120, deadline=None)
def test_never_over_budget_but_for_what_can_not_be_paused(allocator, wishes, budgets):
    viewer = Viewer(allocator(), list(wishes))
    floor = sum(ladder(w).steps[0].bps for w in wishes if not w.pausable)
    for budget in budgets:
        viewer.now += SECOND // 2
        got = viewer.ask(budget)
        assert spent(got) <= max(round(budget / DIP), floor)
        for each, asked in zip(got, wishes, strict=True):
            if each.option is None:
                assert asked.pausable
            elif asked.preferred is not None and any(o[:2] == (0, 0) for o in asked.options):
                assert each.option.spatial <= asked.preferred[0]
                assert each.option.temporal <= asked.preferred[1]
    assert spent(viewer.run(3, lambda _: budgets[-1])[-1]) <= max(round(budgets[-1] / NOISE), floor)


def levels(answer, wishes):
    """By consumer id: the step that it got, counted from 0; -1 paused."""
    found = {}
    for each, asked in zip(answer, wishes, strict=True):
        ladder_of = ladder(asked).steps
        found[asked.consumer_id] = -1 if each.option is None else ladder_of.index(each.option)
    return found


def rank(asked: Wish):
    return (asked.hidden, not asked.screen, not asked.speaker, -asked.priority)


@given(wishes=calls(), budget=st.integers(0, 6_000_000), more=st.integers(0, 3_000_000))
@settings(max_examples=300, deadline=None)
def test_more_budget_never_gives_a_worse_vector(wishes, budget, more):
    """Of the default, on a first call (no hysteresis). Worse: fewer of the most important are seen at all, or, as many
    being seen, the most important class gets less, class by class."""
    wishes = tuple(dataclasses.replace(w, target=None) for w in wishes)
    order = sorted(range(len(wishes)), key=lambda i: (rank(wishes[i]), i))

    def vector(limit):
        got = levels(first(SpeakerFirst, limit, *wishes), wishes)
        seen = [got[wishes[i].consumer_id] >= 0 for i in order]
        by_class = []
        for which in sorted({rank(w) for w in wishes}):
            members = [w for w in wishes if rank(w) == which]
            height = max(len(ladder(w).steps) for w in members)
            by_class.append([got[w.consumer_id] >= level for level in range(1, height) for w in members])
        return seen, by_class

    assert vector(budget + more) >= vector(budget)


@given(wishes=calls(), budget=st.integers(0, 6_000_000))
@settings(max_examples=200, deadline=None)
def test_equals_are_within_one_step_of_each_other(wishes, budget):
    """Unless what the others have beyond that would not pay the next step of the one behind."""
    same = tuple(dataclasses.replace(wishes[0], consumer_id=w.consumer_id, target=None) for w in wishes)
    costs = [step.bps for step in ladder(same[0]).steps]
    for allocator in (SpeakerFirst, Fair):
        got = levels(first(allocator, budget, *same), same).values()
        seen = [level for level in got if level >= 0]
        if seen and max(seen) - min(seen) > 1:
            level = [costs[min(each, min(seen) + 1)] for each in seen]
            assert sum(level) + costs[min(seen) + 1] - costs[min(seen)] > HEADROOM * budget


@given(wishes=calls(), budget=st.integers(0, 6_000_000))
@settings(max_examples=200, deadline=None)
def test_the_more_important_is_never_worse_off_than_its_twin(wishes, budget):
    """The first wish once more with a higher priority: it gets as much or more, whichever comes first."""
    one = dataclasses.replace(wishes[0], consumer_id="one", priority=1, target=None, pausable=True)
    two = dataclasses.replace(one, consumer_id="two", priority=2)
    rest = [dataclasses.replace(w, target=None) for w in wishes[1:]]
    for allocator in (SpeakerFirst, Priority):
        asked = (one, *rest, two)
        got = levels(first(allocator, budget, *asked), asked)
        assert got["two"] >= got["one"]


@each_allocator
@given(wishes=calls(), budget=st.integers(100_000, 6_000_000), seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_a_steady_call_stays_steady_under_noise(allocator, wishes, budget, seed):
    viewer = Viewer(allocator(), list(wishes))
    viewer.run(30, noisy(budget, seed), every=0.25)
    viewer.changes.clear()
    viewer.run(40, noisy(budget, seed + 1), every=0.25)
    assert len({at for at, _, _ in viewer.changes}) <= 4
