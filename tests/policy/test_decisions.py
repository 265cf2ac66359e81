"""The decision log: bounded, and readable by time."""

from __future__ import annotations

import dataclasses

import pytest

from protos import media_pb2 as pb
from server.policy.decisions import MOST_ENTRIES, Decision, DecisionLog


def test_it_keeps_the_newest_and_counts_the_rest():
    log = DecisionLog()
    for at in range(MOST_ENTRIES + 10):
        log.note(at, "layer", "c1")
    assert len(log) == MOST_ENTRIES
    assert log.forgotten == 10
    assert [entry.at for entry in log.entries()] == list(range(10, MOST_ENTRIES + 10))


@pytest.mark.parametrize(
    ("since", "most", "expected"),
    [(0, 0, [1, 2, 3, 4]), (3, 0, [3, 4]), (0, 2, [3, 4]), (2, 1, [4]), (9, 5, []), (0, 9, [1, 2, 3, 4])],
)
def test_it_is_asked_by_time_and_number(since, most, expected):
    log = DecisionLog(room=4)
    for at in range(1, 5):
        log.note(at, "layer", "c1")
    assert [entry.at for entry in log.entries(since, most)] == expected
    assert log.forgotten == 0


def test_a_stranger_can_not_make_an_entry_large():
    decision = DecisionLog().note(
        1,
        "w" * 999,
        "s" * 999,
        before="b" * 999,
        after="a" * 999,
        reason="r" * 999,
        inputs=dict.fromkeys(map(str, range(99)), 1.0),
    )
    assert {len(getattr(decision, name)) for name in ("what", "subject", "before", "after", "reason")} == {200}
    assert len(decision.inputs) == 16


def test_inputs_are_the_finite_numbers():
    explained = {"loss": 0.5, "n": 3, "cause": "x", "bad": float("nan"), "worse": float("inf")}
    assert DecisionLog().note(1, "estimate", "t", inputs=explained).inputs == {"loss": 0.5, "n": 3.0}


def test_room_for_nothing_is_refused():
    with pytest.raises(ValueError, match="room for one"):
        DecisionLog(0)


def test_the_fields_are_those_of_the_message():
    names = {"at": "at_unix_ms", "before": "from", "after": "to"}
    fields = [names.get(field.name, field.name) for field in dataclasses.fields(Decision)]
    assert fields == [field.name for field in pb.Decision.DESCRIPTOR.fields]
