"""The rewriter: what a viewer gets is contiguous but for declared drops and real loss, whatever happened before."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtpfwd import probe

MS = 1_000_000
FRAME = 3000  # 90 kHz / 30 fps


def refused(call: object, *args: object, **kwargs: object) -> str:
    with pytest.raises(probe.Refused) as found:
        call(*args, **kwargs)  # type: ignore[operator]
    return found.value.reason


# What is done with which ext_seq (S switch, F forward, D drop), and the number or reason that comes out.
TABLES = {
    "in order": "S10=0 F11=1 F12=2",
    "nothing before the first switch": "F9=before_switch D9 S10=0",
    "a drop closes up": "S10=0 D11 F12=1 D13 F14=2",
    "a loss stays a gap": "S10=0 F13=3 F12=2 F11=1",
    "late, with drops after it": "S10=0 D12 F13=2 D14 F11=1 F15=3",
    "late, after a drop at the end": "S10=0 D12 F11=1 F13=2",
    "a late drop can not close up": "S10=0 F12=2 D11 F11=duplicate F13=3",
    "duplicates": "S10=0 F10=duplicate F11=1 F11=duplicate D12 F12=duplicate",
    "a drop twice counts once": "S10=0 D11 D11 F12=1",
    "before a switch": "S10=0 F11=1 S20=2 F19=before_switch D18 F21=3",
    "a switch takes trailing gaps back": "S10=0 D500 S501=1 F502=2",
    "too late": "S10=0 F2000=1990 F976=stale F977=967",
    "far ahead": "S10=0 F1034=1024 F1033=1023 F12=2 F10=stale",
}


@pytest.mark.parametrize("first", [0, 1, 65534, 65535])
@pytest.mark.parametrize("base", [0, 65536, 65536 * 3 - 12, 64 * 5 - 12])
@pytest.mark.parametrize("name", TABLES)
def test_sequence_numbers_follow_the_table(name: str, base: int, first: int) -> None:
    rewriter = probe.Rewriting(first_seq=first)
    for step in TABLES[name].split():
        act, (number, _, expected) = step[0], step[1:].partition("=")
        ext_seq = base + int(number)
        if act == "D":
            rewriter.drop(ext_seq)
        elif expected.isdecimal():
            assert rewriter.forward(ext_seq, 0, 0, switch=act == "S")[0] == (first + int(expected)) % 65536, step
        else:
            assert refused(rewriter.forward, ext_seq, 0, 0) == expected, step


def test_another_encoding_is_not_forwarded_before_the_switch_to_it() -> None:
    rewriter = probe.Rewriting()
    assert rewriter.forward(10, 0, 0, ssrc=1, switch=True)[0] == 0
    assert refused(rewriter.forward, 11, 0, 0, ssrc=2) == "before_switch"
    rewriter.drop(12, ssrc=2)
    assert rewriter.forward(11, 0, 0, ssrc=1)[0] == 1
    assert rewriter.forward(5, 0, 0, ssrc=2, switch=True)[0] == 2
    assert refused(rewriter.forward, 12, 0, 0, ssrc=1) == "before_switch"


def test_the_first_timestamp_is_the_sources_own() -> None:
    rewriter = probe.Rewriting()
    assert rewriter.forward(10, 123456, 0, switch=True) == (0, 123456)
    assert rewriter.timestamp_offset == 0


@pytest.mark.parametrize("start", [1000, 2**32 - 100, 2**31 - 100])
def test_a_source_that_kept_its_clock_over_a_pause_keeps_its_timestamps(start: int) -> None:
    rewriter = probe.Rewriting()
    rewriter.forward(10, start, 0, switch=True)
    # 60 s later by its own clock, 59.7 s by ours: the network moved by 300 ms.
    assert rewriter.forward(5000, (start + 60 * 90000) % 2**32, 59_700 * MS, switch=True) == (
        1,
        (start + 60 * 90000) % 2**32,
    )


@pytest.mark.parametrize(("ssrc", "timestamp"), [(1, 77), (1, 2**31 + 5000), (2, 5000), (2, 4_000_000_000)])
def test_after_a_restart_the_clock_goes_on_by_the_time_that_passed(ssrc: int, timestamp: int) -> None:
    rewriter = probe.Rewriting()
    rewriter.forward(10, 5000, 0, ssrc=1, switch=True)
    assert rewriter.forward(9, timestamp, 500 * MS, ssrc=ssrc, switch=True) == (1, 5000 + 45000)
    assert rewriter.forward(10, (timestamp + FRAME) % 2**32, 501 * MS, ssrc=ssrc) == (2, 5000 + 45000 + FRAME)


def test_time_moves_by_at_least_one_tick_over_a_switch() -> None:
    rewriter = probe.Rewriting()
    rewriter.forward(10, 5000, 100, switch=True)
    assert rewriter.forward(10, 9, 100, ssrc=2, switch=True)[1] == 5001


# Any interleaving.


@dataclass(frozen=True)
class Arrival:
    """One packet as it reaches the node, in this order, at this time."""

    source: int  # SSRC
    position: int  # in its source: what was sent before it
    seq: int
    timestamp: int
    now: int
    keyframe: bool
    drop: bool  # the selector's choice


def arrivals(seed: int, count: int, loss: float, copies: float, reach: int) -> list[Arrival]:
    """Sources after one another, each with random start numbers; frames of a few packets; a seeded bad link."""
    rng = random.Random(seed)
    sent: list[tuple[float, Arrival]] = []
    now = rng.randrange(10**15)
    for source in range(1, 2 + rng.randrange(4)):
        seq, timestamp = rng.choice([65530, 0, rng.randrange(65536)]), rng.choice([2**32 - 9000, rng.randrange(2**32)])
        for position in range(rng.randrange(1, count)):
            if rng.random() < 0.3:
                timestamp += FRAME
                now += 33 * MS
            now += rng.randrange(MS)
            arrival = Arrival(
                source, position, (seq + position) % 65536, timestamp % 2**32, now, rng.random() < 0.1 or not position,
                rng.random() < 0.1,
            )  # fmt: skip
            for _ in range(1 + (rng.random() < copies)):
                if rng.random() >= loss:
                    sent.append((len(sent) + rng.random() * reach, arrival))
        now += rng.randrange(2000) * MS
    return [arrival for _, arrival in sorted(sent, key=lambda pair: pair[0])]


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(2, 400),
    st.sampled_from([0.0, 0.02, 0.3]),
    st.sampled_from([0.0, 0.1]),
    st.sampled_from([0, 2, 60]),
    st.integers(0, 65535),
)
def test_any_interleaving_of_loss_duplication_reordering_and_wrap_around(
    seed: int, count: int, loss: float, copies: float, reach: int, first: int
) -> None:
    rewrite_and_check(arrivals(seed, count, loss, copies, reach), first)


@pytest.mark.parametrize("seed", range(3))
def test_the_same_over_many_windows(seed: int) -> None:
    rewrite_and_check(arrivals(seed, 12_000, 0.05, 0.05, 300), 65000)


def rewrite_and_check(packets: list[Arrival], first: int) -> None:
    """Over 60 lines: one walk along the arrivals, checked at each step against what was given out before."""
    rewriter = probe.Rewriting(first_seq=first)
    streams: dict[int, probe.Receiving] = {}
    current, base = 0, -1  # the source that flows and the position at which it began to
    outputs: list[tuple[int, int, Arrival, bool]] = []  # unwrapped number, timestamp, packet, switched
    seen: set[Arrival] = set()
    dropped_in_order: set[tuple[int, int]] = set()
    last, newest, now = first - 1, -1, 0
    for arrival in packets:
        now = max(now + 1, arrival.now)
        stream = streams.setdefault(arrival.source, probe.Receiving(ssrc=arrival.source))
        if arrival in seen:
            assert refused(stream.receive, arrival.seq, now) == "duplicate"
            continue
        seen.add(arrival)
        ext_seq, _ = stream.receive(arrival.seq, now, timestamp=arrival.timestamp)
        assert ext_seq % 65536 == arrival.seq
        switching = arrival.source > current and arrival.keyframe
        if switching:
            current, base, newest = arrival.source, arrival.position, arrival.position
        elif arrival.source != current or arrival.position < base:
            rewriter.drop(ext_seq, ssrc=arrival.source)
            assert refused(rewriter.forward, ext_seq, 0, now, ssrc=arrival.source) == "before_switch"
            continue
        if arrival.drop and not switching:
            rewriter.drop(ext_seq, ssrc=arrival.source)
            if arrival.position > newest:
                dropped_in_order.add((arrival.source, arrival.position))
                newest = arrival.position
            continue
        newest = max(newest, arrival.position)
        seq, timestamp = rewriter.forward(ext_seq, arrival.timestamp, now, ssrc=arrival.source, switch=switching)
        number = last + ((seq - last + 32768) % 65536 - 32768)
        last = max(last, number)
        outputs.append((number, timestamp, arrival, switching))

    # Every number at most once: one SSRC's keystream is never used twice.
    assert len({number for number, *_ in outputs}) == len(outputs)
    # Of one source, numbers differ as positions do, less the drops declared between them. Switches go on by one.
    highest = first - 1
    runs: list[list[tuple[int, int, Arrival]]] = []
    for number, timestamp, arrival, switched in outputs:
        if switched:
            assert number == highest + 1
            runs.append([])
        highest = max(highest, number)
        runs[-1].append((number, timestamp, arrival))
    end = -1
    for run in runs:
        number, timestamp, begin = run[0]
        by_place = sorted(run)
        closed, reached = 0, begin.position
        for other, other_timestamp, arrival in by_place:
            closed += sum((arrival.source, p) in dropped_in_order for p in range(reached, arrival.position))
            reached = arrival.position
            assert other - number == arrival.position - begin.position - closed
            assert (other_timestamp - timestamp) % 2**32 == (arrival.timestamp - begin.timestamp) % 2**32
        stamps = [stamp for _, stamp, _ in by_place]
        assert all((b - a) % 2**32 < 2**31 for a, b in pairwise(stamps))
        if end >= 0:
            assert 0 < (stamps[0] - end) % 2**32 < 2**31
        end = stamps[-1]
