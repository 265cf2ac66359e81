"""Transport-wide feedback, REMB and reports as the simulated browser writes and reads them."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.testing import rtp
from server.testing.sim import feedback


def bodies(messages: list[bytes]) -> list[bytes]:
    return [part.body for message in messages for part in rtp.parse_rtcp(message)]


@given(st.integers(0, 2**32), st.integers(0, 200), st.integers(1, 300))
def test_every_arrival_is_read_as_it_was_written(seed: int, gaps: int, count: int):
    rng = random.Random(seed)
    number, at = rng.randrange(65536), rng.randrange(1 << 40)
    arrivals: list[tuple[int, int | None]] = []
    for _ in range(count):
        arrivals.append((number, at))
        number += 1 + (rng.randrange(gaps + 1) if rng.random() < 0.2 else 0)
        at += rng.choice([0, 100_000, 5_000_000, 90_000_000, -3_000_000])
    read = [
        (short, arrived)
        for body in bodies(feedback.write_transport_feedback(1, 2, 0, arrivals))
        for short, arrived in feedback.read_transport_feedback(body)
        if arrived is not None
    ]
    assert [short for short, _ in read] == [number & 0xFFFF for number, _ in arrivals]
    for (_, arrived), (_, stated) in zip(read, arrivals, strict=True):
        assert stated is not None
        expected = stated % (256 * feedback.TICK << 24)
        if expected >= 256 * feedback.TICK << 23:
            expected -= 256 * feedback.TICK << 24
        assert -feedback.TICK < arrived - expected <= 0


def test_a_message_by_hand():
    """draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1: three packets, the second one lost."""
    (message,) = feedback.write_transport_feedback(1, 2, 9, [(10, 64_000_000), (12, 66_000_000)])
    assert message[:4] == bytes.fromhex("8fcd0005")
    head = struct.pack("!IIHH", 1, 2, 10, 3) + bytes((0, 0, 1, 9))
    # Two-bit symbols: small delta, missing, small delta. Deltas of 0 and 2 ms from the reference of 64 ms.
    assert message[4:] == head + struct.pack("!H", 0xC000 | 1 << 12 | 1 << 8) + bytes((0, 8))
    (body,) = bodies([message])
    assert feedback.read_transport_feedback(body) == [(10, 64_000_000), (11, None), (12, 66_000_000)]


def test_a_jump_of_the_clock_begins_another_message():
    messages = feedback.write_transport_feedback(1, 2, 255, [(1, 0), (2, 20_000_000_000)])
    assert [body[15] for body in bodies(messages)] == [255, 0]


@pytest.mark.parametrize("cut", [8, 13, 17])
def test_broken_feedback_is_refused(cut: int):
    (body,) = bodies(feedback.write_transport_feedback(1, 2, 0, [(1, 0), (2, 1_000_000)]))
    with pytest.raises(ValueError, match="ends before"):
        feedback.read_transport_feedback(body[:cut])


@given(st.integers(0, 10**11))
def test_remb_keeps_18_bits(bps: int):
    (part,) = rtp.parse_rtcp(feedback.write_remb(1, bps, [5, 6]))
    read = feedback.read_remb(part.body)
    assert read is not None
    assert 0 <= bps - read <= bps >> 17


def test_a_report_block_says_what_was_lost():
    block = feedback.report_block(7, fraction_lost=0.25, lost=-1, highest=0x1FFFF, jitter=3, last_sr=0, delay_ns=5)
    assert block == struct.pack("!IB3sIIII", 7, 64, b"\xff\xff\xff", 0x1FFFF, 3, 0, 0)
