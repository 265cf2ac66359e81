"""Deadlines by key."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.media.timers import Timers

KEYS = st.sampled_from("abc")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("at"), KEYS, st.integers(0, 20)),
        st.tuples(st.just("sooner"), KEYS, st.integers(0, 20)),
        st.tuples(st.just("cancel"), KEYS, st.just(0)),
        st.tuples(st.just("take"), st.just(""), st.integers(0, 20)),
    )
)


@given(STEPS)
def test_they_do_what_a_dictionary_would(steps):
    timers: Timers[str] = Timers()
    model: dict[str, int] = {}
    for step, key, when in steps:
        if step == "at":
            timers.at(key, when)
            model[key] = when
        elif step == "sooner":
            timers.sooner(key, when)
            model[key] = min(when, model.get(key, when))
        elif step == "cancel":
            timers.cancel(key)
            model.pop(key, None)
        else:
            due = {key for key, at in model.items() if at <= when}
            assert set(timers.take(when)) == due
            model = {key: at for key, at in model.items() if key not in due}
        assert timers.next() == min(model.values(), default=None)
