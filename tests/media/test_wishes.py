"""From consumers to what an allocator is asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.media import wishes as pure
from server.media.consumer import MOST_TEMPORAL
from server.policy.protocols import LayerOption, Wish

SMALL, MIDDLE, LARGE = LayerOption(0, 0, 150_000), LayerOption(1, 0, 400_000), LayerOption(2, 0, 1_500_000)
SECOND = 1_000_000_000
ALL = (SMALL, MIDDLE, LARGE)


def wish(name: str, options=ALL, **more) -> Wish:
    return Wish(name, options, None, 0, **more)


@pytest.mark.parametrize(
    ("wishes", "budget", "pausable"),
    [
        pytest.param([wish("a", (LARGE,), pausable=False)], 300_000, [False], id="one alone goes on, however poor"),
        pytest.param([wish("a", (LARGE,), pausable=False)], 0, [True], id="but not against audio"),
        pytest.param([wish("a", (LARGE,), pausable=False), wish("b")], 1_700_000, [False, True], id="there is room"),
        pytest.param([wish("a", (LARGE,), pausable=False), wish("b")], 900_000, [True, True], id="others would starve"),
        pytest.param([wish("a")], 80_000, [False], id="a lone picture is better poor than gone"),
        pytest.param([wish("a")], 70_000, [True], id="until there is no hope"),
    ],
)
def test_who_may_be_paused(wishes, budget, pausable):
    assert [each.pausable for each in pure.let_pause(wishes, budget)] == pausable


def test_what_is_held_is_tried_again_and_less_and_less_often():
    trial = pure.Trial()
    tried, before = [], False
    for now in range(0, 200 * SECOND, SECOND // 2):
        trial.starve(now)
        if trial.on(now) and not before:
            tried.append(now // SECOND)
        before = trial.on(now)
    assert tried == [4, 18, 40, 78, 116, 154, 192]
    trial.succeed()
    trial.starve(200 * SECOND)
    assert not trial.on(203 * SECOND)
    assert trial.on(204 * SECOND)


def test_the_cheapest_of_what_counts_most_is_tried():
    wishes = [wish("a", hidden=True, priority=9), wish("b"), wish("c", (MIDDLE,), priority=2), wish("d", priority=2)]
    assert [each.pausable for each in pure.let_try(wishes)] == [True, True, True, False]


@given(st.integers(0, 10_000_000), st.integers(0, 500_000), st.floats(-1, 1))
def test_video_gets_what_audio_and_repairs_leave(estimate, audio, loss):
    budget = pure.video_budget(estimate, audio, loss)
    assert 0 <= budget <= max(estimate - audio, 0)
    assert budget >= estimate * (1 - pure.MOST_REPAIR) - audio - 1


def test_the_highest_temporal_layer_means_every_one():
    options = (LayerOption(0, 0, 1), LayerOption(0, 1, 2), LayerOption(1, 0, 3))
    assert [pure.target_of(option, options) for option in options] == [(0, 0), (0, MOST_TEMPORAL), (1, MOST_TEMPORAL)]


def test_a_layer_that_may_fit_soon_is_needed():
    each = wish("a")
    assert pure.needed(each, None, 0, 100_000) == {0}
    assert pure.needed(each, SMALL, 50_000, 200_000) == {0}
    assert pure.needed(each, SMALL, 150_000, 350_000) == {0, 1}
    assert pure.needed(each, MIDDLE, 800_000, 1_200_000) == {1, 2}
    assert pure.needed(wish("a", tile_width=10, preferred=(1, 9)), MIDDLE, 800_000, 1_200_000) == {1}


def test_what_all_could_use_is_capped_by_what_they_asked_for():
    assert pure.could_use([wish("a"), wish("b", preferred=(1, 9)), wish("c", hidden=True)]) == 2_050_000


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param([((True, True), (100, 200))], None, id="all is wanted"),
        pytest.param([((True, False), (100_000, 200_000))], 225_000, id="some is"),
        pytest.param([((True, False), (None, 200_000))], None, id="nobody knows what it costs"),
        pytest.param([((True, False), (100_000, None)), ((True,), (100_000,))], 375_000, id="two sources"),
        pytest.param([((False, False), (100_000, 200_000))], 75_000, id="nothing is"),
    ],
)
def test_publishers_are_told_what_is_wanted_and_half_as_much_again(wanted, expected):
    assert pure.receive_limit(wanted, 50_000) == expected
