"""Percentiles, medians and ranges."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import Spread, percentile, spread, summarise


@pytest.mark.parametrize(
    ("count", "share", "rank"),
    [
        (1000, 0.5, 500),
        (1000, 0.99, 990),
        (1000, 0.999, 999),  # 0.999 * 1000 is a little more than 999 in binary
        (1000, 1, 1000),
        (1000, 0, 1),
        (3, 0.5, 2),
        (2, 0.5, 1),
        (57, 0.99, 57),
    ],
)
def test_the_percentile_is_the_nearest_rank(count: int, share: float, rank: int):
    assert percentile(range(1, count + 1), share) == rank


def test_no_values_have_no_percentile_and_a_share_is_a_share():
    assert percentile([], 0.5) is None
    with pytest.raises(ValueError, match="share"):
        percentile([1], 99)


@given(st.lists(st.integers(0, 1 << 40), min_size=1), st.sampled_from([0.0, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0]))
def test_a_percentile_was_measured_and_has_its_share_of_values_below(values: list[int], share: float):
    ordered = sorted(values)
    found = percentile(ordered, share)
    assert found in ordered
    assert sum(value <= found for value in ordered) >= math.floor(share * len(ordered))


def test_a_spread_is_the_median_and_the_range():
    assert spread([3.0, 1.0, 10.0]) == Spread(3.0, 1.0, 10.0)
    assert spread([4.0]) == Spread(4.0, 4.0, 4.0)


def test_a_figure_that_some_runs_lack_is_summarised_over_the_others():
    runs: list[dict[str, float | None]] = [{"a": 1.0, "b": None}, {"a": 3.0, "b": 7.0}, {"a": 2.0, "c": None}]
    assert summarise(runs) == {"a": Spread(2.0, 1.0, 3.0), "b": Spread(7.0, 7.0, 7.0)}
