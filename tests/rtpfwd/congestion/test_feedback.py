"""Transport-wide feedback read, against a plain reader of the draft's section 3.1 and our own writer."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpfwd.congestion.boxes import FeedbackTimes, FeedbackWriting, parse_feedback

UNIT = 250_000  # ns
STEP = 64_000_000


def plain_reading(body: bytes) -> tuple[int, int, int, list[int | None]]:
    """What a whole message says; no checks."""
    base, count, word = struct.unpack("!HHI", body[:8])
    statuses: list[int] = []
    at = 8
    while len(statuses) < count:
        (chunk,) = struct.unpack_from("!H", body, at)
        at += 2
        bits = f"{chunk:016b}"
        if bits[0] == "0":
            statuses += [int(bits[1:3], 2)] * int(bits[3:], 2)
        elif bits[1] == "0":
            statuses += [int(bit) for bit in bits[2:]]
        else:
            statuses += [int(bits[i : i + 2], 2) for i in range(2, 16, 2)]
    deltas: list[int | None] = []
    for status in statuses[:count]:
        if status == 0:
            deltas.append(None)
        elif status == 1:
            deltas.append(body[at] * UNIT)
            at += 1
        else:
            deltas.append(struct.unpack_from("!h", body, at)[0] * UNIT)
            at += 2
    return base, word >> 8, word & 0xFF, deltas


def head(count: int, *, base: int = 1, reference: int = 5, message: int = 0) -> bytes:
    return struct.pack("!HHI", base, count, reference << 8 | message)


@pytest.mark.parametrize(
    ("body", "deltas"),
    [
        (head(3) + bytes.fromhex("2003 01 02 03"), [1, 2, 3]),  # a run of small deltas
        (head(2) + bytes.fromhex("4002 ffff 0100"), [-1, 256]),  # a run of large ones
        (head(5) + bytes.fromhex("0005"), [None] * 5),
        (head(3) + bytes.fromhex("a800 07 08 0000"), [7, None, 8]),  # fourteen bits, of which three count
        (head(4) + bytes.fromhex("d200 09 8000"), [9, None, -32768, None]),  # seven of two bits
        (head(9) + bytes.fromhex("0007 d400 01 02"), [None] * 7 + [1, 1 and 2]),
        (head(2) + bytes.fromhex("3fff 01 02"), [1, 2]),  # a run longer than the message
        (head(1) + bytes.fromhex("2001 01 000000"), [1]),  # padding
    ],
)
def test_chunks(body: bytes, deltas: list[int | None]) -> None:
    found = parse_feedback(body)
    assert found == (1, 5, 0, [None if delta is None else delta * UNIT for delta in deltas])
    assert found == plain_reading(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        head(1)[:7],
        head(1),  # no chunk
        head(0) + bytes.fromhex("2001"),  # tells of nothing
        head(3) + bytes.fromhex("2003 0102"),  # a delta is missing
        head(1) + bytes.fromhex("4001 01"),  # half of one
        head(8) + bytes.fromhex("c000"),  # the second chunk is missing
        head(2) + bytes.fromhex("6002 0102 0304"),  # the reserved status
        head(2) + bytes.fromhex("2000 2002 01 02"),  # a run of nothing
    ],
)
def test_what_makes_no_sense_is_refused(body: bytes) -> None:
    assert parse_feedback(body) is None


@given(st.integers(0, 65535), st.lists(st.integers(0, 3), min_size=1, max_size=200), st.integers(0, 2**32))
def test_our_own_writer_is_read_back(base: int, kinds: list[int], seed: int) -> None:
    """Missing, soon, late and reordered arrivals of up to 200 packets, to a quarter millisecond."""
    rng = random.Random(seed)
    writer = FeedbackWriting()
    arrivals: list[int | None] = []
    now = rng.randrange(10**12)
    for index, kind in enumerate(kinds):
        now += rng.randrange(1, 200) * 1_000_000 if kind == 3 else rng.randrange(5_000_000)
        arrivals.append(None if kind == 0 else now)
        if kind:
            writer.receive(base + index, now)
    body = writer.write()
    if body is None:
        assert not any(kinds)
        return
    found = parse_feedback(body)
    assert found is not None
    assert found == plain_reading(body)
    told = [at for at in arrivals if at is not None]
    first = arrivals.index(told[0])
    assert found[0] == (base + first) & 0xFFFF
    at = found[1] * STEP
    for delta, arrived in zip(found[3], arrivals[first:], strict=False):
        assert (delta is None) == (arrived is None)
        if delta is not None and arrived is not None:
            at += delta
            assert abs(at - arrived % (STEP << 24)) <= UNIT


def test_the_reference_time_wraps_and_messages_may_come_late() -> None:
    times = FeedbackTimes()
    start = times.reference(0xFFFFFE)
    assert times.reference(3) - start == 5 * STEP
    assert times.reference(0xFFFFFF) - start == STEP  # an older message
    assert times.reference(4) - start == 6 * STEP
