"""Which encodings somebody watches: on at once, off late."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.media.dynacast import OFF_NS, UNWATCHED_OFF_NS, Dynacast

SECOND = 1_000_000_000


def test_what_nobody_watches_is_switched_off_late():
    dynacast = Dynacast(3, 0)
    assert not dynacast.need({0, 1}, watched=True, now=0)
    assert dynacast.next_timeout() == OFF_NS
    assert not dynacast.need({0, 1}, watched=True, now=OFF_NS - 1)
    assert dynacast.need({0, 1}, watched=True, now=OFF_NS)
    assert dynacast.wanted == (True, True, False)
    assert dynacast.next_timeout() is None


def test_what_is_needed_again_is_wanted_at_once():
    dynacast = Dynacast(3, 0)
    dynacast.need({0}, watched=True, now=OFF_NS)
    assert dynacast.wanted == (True, False, False)
    assert dynacast.need({2}, watched=True, now=OFF_NS + 1)
    assert dynacast.wanted == (True, True, True)


def test_what_is_below_a_watched_one_stays_and_the_lowest_while_anyone_watches():
    dynacast = Dynacast(3, 0)
    dynacast.need({1}, watched=True, now=100 * SECOND)
    assert dynacast.wanted == (True, True, False)
    dynacast.need((), watched=True, now=101 * SECOND)
    dynacast.need((), watched=True, now=200 * SECOND)
    assert dynacast.wanted == (True, False, False)


def test_without_viewers_all_go_but_later():
    dynacast = Dynacast(2, 0)
    assert not dynacast.need((), watched=False, now=UNWATCHED_OFF_NS - 1)
    assert dynacast.next_timeout() == UNWATCHED_OFF_NS
    assert dynacast.need((), watched=False, now=UNWATCHED_OFF_NS)
    assert dynacast.wanted == (False, False)
    assert dynacast.next_timeout() is None


def test_the_last_viewer_may_come_back_before_all_is_switched_off():
    dynacast = Dynacast(2, 0)
    for now in range(0, 20 * SECOND, SECOND):
        dynacast.need({1}, watched=True, now=now)
    assert not dynacast.need((), watched=False, now=20 * SECOND)
    assert not dynacast.need((), watched=False, now=28 * SECOND)
    assert not dynacast.need({1}, watched=True, now=29 * SECOND)
    assert dynacast.wanted == (True, True)


@given(st.lists(st.tuples(st.sets(st.integers(0, 3)), st.booleans(), st.integers(0, 4 * SECOND)), max_size=30))
def test_what_is_needed_is_wanted_and_nothing_flaps(steps):
    """Nothing is switched off too soon after its last need, and every waiting switch-off has its deadline."""
    dynacast, now = Dynacast(4, 0), 0
    last_needed = [0] * 4
    for needed, watched, wait in steps:
        now += wait
        needed = needed if watched else set()
        before = dynacast.wanted
        dynacast.need(needed, watched=watched, now=now)
        for index in needed | ({0} if watched else set()):
            assert dynacast.wanted[index]
            last_needed[index] = now
        for index, (was, wants) in enumerate(zip(before, dynacast.wanted, strict=True)):
            if was and not wants:
                assert now - last_needed[index] >= UNWATCHED_OFF_NS
            assert was or not wants or index <= max(needed, default=0)
    dynacast.need((), watched=False, now=now)
    due = dynacast.next_timeout()
    while due is not None:
        now = max(due, now + 1)
        dynacast.need((), watched=False, now=now)
        due = dynacast.next_timeout()
    assert dynacast.wanted == (False,) * 4
