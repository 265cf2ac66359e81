"""Damaged transport-wide feedback: refused whole, or read; and the controller goes on within its limits."""

from __future__ import annotations

import random

from rtpfwd.congestion.boxes import FeedbackWriting, parse_feedback
from rtpfwd.congestion.gcc import Gcc
from tests.fuzz.mutate import mutated

MS = 1_000_000


def written(seed: int, base: int) -> bytes:
    """A message of our own writer."""
    rng = random.Random(seed)
    writer = FeedbackWriting()
    for index in range(rng.randrange(5, 120)):
        if rng.random() < 0.8:
            writer.receive(base + index, index * rng.randrange(1, 90) * MS)
    body = writer.write()
    assert body is not None
    return body


CORPUS = [
    *(written(seed, base) for seed, base in enumerate((0, 0, 30, 100, 65500))),
    bytes.fromhex("0000 000e 000005 00 bfff") + bytes(14),
    bytes.fromhex("0000 0007 000005 01 e4e4") + bytes(12),
    bytes.fromhex("0000 1fff ffffff ff 1fff"),
]


def test_feedback() -> None:
    """What can be read is what the controller takes; nothing it is told moves the estimate out of its limits."""
    rng = random.Random(2015)
    gcc = Gcc(start_bps=600_000, min_bps=50_000, max_bps=5_000_000)
    gcc.set_wanted(10_000_000, 0)
    seq = now = 0
    for body in mutated(CORPUS, seed=2015):
        probe = gcc.take_probe(now)
        for _ in range(rng.randrange(6)):
            gcc.sent(seq, rng.choice((60, 1200)), probe[0] if probe else 0, now)
            seq += 1
        now += rng.randrange(100) * MS
        messages = gcc.state()["feedback_messages"]
        if rng.random() < 0.5 and len(body) >= 2:
            body = (seq - rng.randrange(60) & 0xFFFF).to_bytes(2, "big") + body[2:]
        found = parse_feedback(body)
        assert gcc.feedback(body, now) == (found is not None)
        gcc.tick(now)
        state = gcc.state()
        assert state["feedback_messages"] == messages + (found is not None)
        assert 50_000 <= state["estimate_bps"] <= 5_000_000
        assert 0 <= state["loss"] <= 1
        assert state["packets_acked"] + state["packets_lost"] <= seq
        if found is not None:
            assert 1 <= len(found[3]) <= 65535
