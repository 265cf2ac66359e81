"""server.media.placement: pure functions of loads."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.media.placement import STAY, least_loaded, place

LOADS = st.lists(st.integers(0, 1000), min_size=1, max_size=64)


def test_a_call_stays_at_home_until_home_carries_much_more():
    assert place([STAY, 0], home=0) == 0
    assert place([STAY + 1, 0], home=0) == 1
    assert place([5, 0, 3], home=2) == 2


@given(LOADS, st.data())
def test_no_lane_is_chosen_that_carries_much_more_than_another(loads, data):
    home = data.draw(st.integers(0, len(loads) - 1))
    chosen = place(loads, home)
    assert loads[chosen] - min(loads) <= STAY
    assert chosen in {home, least_loaded(loads)}


@given(st.integers(1, 8), st.integers(0, 500))
def test_one_large_call_spreads_evenly(lanes, transports):
    loads = [0] * lanes
    for _ in range(transports):
        loads[place(loads, 0)] += 2
    assert max(loads) - min(loads) <= STAY + 2
