"""The decision log: bounded, and readable by time."""

from __future__ import annotations

import dataclasses
import gc
import tracemalloc
from collections import deque
from random import Random

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


@pytest.mark.parametrize("room", [1, 5, 16, 17, 40, 256])
def test_whatever_its_room_it_is_a_ring(room):
    log, kept = DecisionLog(room), deque(maxlen=room)
    for at in range(300):
        kept.append(log.note(at, "estimate", "t", before=str(at), inputs={"rtt_ms": at / 7, "loss": 0.0}))
        assert len(log) == len(kept)
        if at % 13 == 0:
            assert log.entries() == list(kept)
    assert (log.entries(), log.forgotten) == (list(kept), 300 - room)


def test_a_full_one_is_small():
    names = ("acked_bps", "delay_bps", "loss_bps", "remb_bps", "rtt_ms", "loss", "trend", "queued_ms")
    random = Random(1)
    gc.collect()
    tracemalloc.start()
    logs = [DecisionLog() for _ in range(10)]
    empty = tracemalloc.get_traced_memory()[0] / len(logs)
    for at in range(2 * MOST_ENTRIES):
        for log in logs:
            rate = random.randrange(300_000, 5_000_000)
            inputs = dict.fromkeys(names[:4], float(rate)) | {name: random.random() for name in names[4:]}
            log.note(at * 10**9, "estimate", "the id of a transport", before=str(rate), reason="hold", inputs=inputs)
    full = tracemalloc.get_traced_memory()[0] / len(logs)
    tracemalloc.stop()
    assert empty < 200
    assert full < 24_000


def test_what_is_no_text_is_kept_as_far_as_it_is_one():
    log = DecisionLog()
    log.note(1, "fallback", "t", reason="raised é\ud800", inputs={"\udfff": 1.0})
    (entry,) = log.entries()
    assert (entry.reason, entry.inputs) == ("raised é?", {"?": 1.0})


def test_room_for_nothing_is_refused():
    with pytest.raises(ValueError, match="room for one"):
        DecisionLog(0)


def test_the_fields_are_those_of_the_message():
    names = {"at": "at_unix_ms", "before": "from", "after": "to"}
    fields = [names.get(field.name, field.name) for field in dataclasses.fields(Decision)]
    assert fields == [field.name for field in pb.Decision.DESCRIPTOR.fields]
