"""Scenarios as data: every one that is shipped can be right, and one that can't is refused with its field."""

from __future__ import annotations

import itertools

import pytest

from server.testing.netem import MS, SECOND
from server.testing.sim import scenario
from server.testing.sim.scenario import ScenarioRefused

ASKED = {
    "steady", "step_down", "step_up", "lte", "bursty_loss", "bufferbloat", "one_slow_viewer", "screen_share_1mbit",
    "audio_under_congestion", "join_into_congestion", "asymmetric_loss", "network_change", "two_behind_one_link",
    "chromium_a", "chromium_b", "chromium_c", "four_party",
}  # fmt: skip


def test_all_scenarios_are_there_and_can_be_read():
    assert set(scenario.names()) == ASKED
    for name in scenario.names():
        loaded = scenario.load(name)
        assert loaded.name == name
        assert loaded.about
        assert any(visitor.watches for visitor in loaded.visitors)


def test_a_change_keeps_what_it_does_not_name():
    before = scenario.LinkSpec(kbps=3000, delay_ms=30, queue_ms=80).config()
    after = scenario.LinkSpec(kbps=500).config(before)
    assert (after.rate_bps, after.delay_ns, after.queue_ns) == (500_000, 30 * MS, 80 * MS)


def test_a_trace_is_rates_over_time():
    steps = scenario.trace("lte")
    assert steps[0][0] == 0
    assert all(later[0] > earlier[0] for earlier, later in itertools.pairwise(steps))
    assert steps[-1][0] > 60 * SECOND
    assert all(100_000 < rate < 10_000_000 for _, rate in steps)


HEAD = 'title = "t"\nabout = "a"\nduration_s = 5\n'


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("title = 3", "title"),
        (HEAD, "visitors"),
        (HEAD + '[[visitors]]\nname = "a"\nspeed = 3', "speed"),
        (HEAD + '[[visitors]]\nname = "a"\n[[visitors]]\nname = "a"', "same name"),
        (HEAD + '[[visitors]]\nname = "a"\nsends = ["smell"]', "smell"),
        (HEAD + '[[visitors]]\nname = "a"\nbehind = "wall"', "wall"),
        (HEAD + '[[visitors]]\nname = "a"\n[[changes]]\nat_s = 3\nvisitor = "b"', "at 3"),
        ("title = ", "scenario mine"),
    ],
)
def test_what_cannot_be_right_is_refused_by_name(text: str, named: str):
    with pytest.raises(ScenarioRefused, match=named):
        scenario.parse(text.encode(), "mine")


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ScenarioRefused, match="step_down"):
        scenario.load("stepdown")
