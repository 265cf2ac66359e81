"""The search for the knee, over made-up servers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.knee import Knee, Point, Verdict, judge, knee_of, next_load
from tests.bench.reports import run

Server = Callable[[int], Verdict]


def search(server: Server, *, first: int = 1, most: int = 1000) -> list[Point]:
    """Every point that was asked for, in that order."""
    points: list[Point] = []
    while (load := next_load(points, first=first, most=most)) is not None:
        assert 1 <= load <= most
        assert load not in [point.load for point in points]
        points.append(Point(load, server(load), (len(points),)))
    return points


def breaks_at(knee: int, verdict: Verdict = Verdict.DELAYED) -> Server:
    return lambda load: verdict if load > knee else Verdict.CARRIED


def test_it_doubles_and_then_halves_the_gap():
    points = search(breaks_at(37))
    assert [point.load for point in points] == [1, 2, 4, 8, 16, 32, 64, 48, 40, 36, 38, 37]
    assert knee_of(points) == Knee(37, 38, "delayed")


@pytest.mark.parametrize(
    ("server", "first", "most", "knee"),
    [
        (breaks_at(1000), 1, 100, Knee(100, None, "range")),
        (breaks_at(100), 1, 100, Knee(100, None, "range")),
        (breaks_at(0), 1, 100, Knee(None, 1, "delayed")),
        (breaks_at(0, Verdict.LOST), 64, 100, Knee(None, 1, "lost")),
        (breaks_at(3), 64, 100, Knee(3, 4, "delayed")),  # it begins far above the knee
        (breaks_at(3, Verdict.GENERATOR), 1, 100, Knee(3, 4, "generator-limited")),
        (breaks_at(5), 200, 100, Knee(5, 6, "delayed")),  # it never asks for more than the most
        (breaks_at(1), 1, 1, Knee(1, None, "range")),
    ],
)
def test_it_finds_the_knee_of_known_servers(server: Server, first: int, most: int, knee: Knee):
    assert knee_of(search(server, first=first, most=most)) == knee


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 5000))
def test_the_knee_is_within_a_twentieth_and_takes_few_measurements(limit: int, first: int, most: int):
    points = search(breaks_at(limit), first=first, most=most)
    found = knee_of(points)
    assert len(points) <= 28
    if limit >= most:
        assert found == Knee(most, None, "range")
    else:
        assert found.load is not None
        assert found.above is not None
        assert found.load <= limit < found.above
        assert found.above - found.load <= max(1, 0.05 * found.above)


@given(st.integers(1, 3000), st.integers(1, 3000), st.randoms(use_true_random=False))
def test_it_ends_whatever_a_noisy_machine_answers(first: int, most: int, random):
    points = search(lambda load: random.choice(list(Verdict)), first=first, most=most)
    found = knee_of(points)
    carried = {point.load for point in points if point.verdict is Verdict.CARRIED}
    assert found.load is None or found.load in carried
    assert found.above not in carried


@pytest.mark.parametrize(
    ("runs", "verdict"),
    [
        ([run(delay_p99_ms=0.9)], Verdict.CARRIED),
        ([run(delay_p99_ms=1.1)], Verdict.DELAYED),
        ([run(delay_p99_ms=0.9, loss=0.002)], Verdict.LOST),
        ([run(delay_p99_ms=None, loss=1.0)], Verdict.LOST),
        ([run(delay_p99_ms=None)], Verdict.DELAYED),  # no sample at all says nothing good
        ([run(loss=None)], Verdict.LOST),  # nothing was expected: nothing was measured
        ([run(delay_p99_ms=0.5), run(delay_p99_ms=9.0), run(delay_p99_ms=0.6)], Verdict.CARRIED),  # the median
        ([run(delay_p99_ms=0.5, invalid=("slow",)), run(delay_p99_ms=9.0)], Verdict.DELAYED),  # valid ones count
        ([run(invalid=("slow",))], Verdict.GENERATOR),
    ],
)
def test_a_load_is_judged_by_the_medians_of_its_valid_runs(runs, verdict: Verdict):
    assert judge(runs) is verdict
