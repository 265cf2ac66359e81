"""The trendline and its detector, against the same filter written out again with lists."""

from __future__ import annotations

import random

import pytest

from rtpfwd.congestion.boxes import Groups, Trend

MS = 1_000_000


class Plain:
    """Window 20, smoothing 0.9, gain 4, k 0.0087 up and 0.039 down, 10 ms of overuse."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []
        self.sum = self.smooth = self.slope = self.before = 0.0
        self.count = 0
        self.threshold = 12.5
        self.over: float | None = None
        self.overs = 0
        self.adapted: float | None = None
        self.usage = 0
        self.first = 0.0

    def add(self, sent: float, arrived: float, at: float, now: float) -> tuple[int, float, float]:
        """All in ms."""
        self.first = at if self.count == 0 else self.first
        self.count += 1
        self.sum += arrived - sent
        self.smooth = 0.9 * self.smooth + 0.1 * self.sum
        self.points = [*self.points, (at - self.first, self.smooth)][-20:]
        if len(self.points) == 20:
            x = sum(p[0] for p in self.points) / 20
            y = sum(p[1] for p in self.points) / 20
            below = sum((p[0] - x) ** 2 for p in self.points)
            if below:
                self.slope = sum((p[0] - x) * (p[1] - y) for p in self.points) / below
        if self.count >= 2:
            self._detect(min(self.count, 60) * self.slope * 4, sent, now)
        return self.usage, self.slope, self.threshold

    def _detect(self, value: float, sent: float, now: float) -> None:
        if value > self.threshold:
            self.over = sent / 2 if self.over is None else self.over + sent
            self.overs += 1
            if self.over > 10 and self.overs > 1 and self.slope >= self.before:
                self.over, self.overs, self.usage = 0.0, 0, 1
        else:
            self.over, self.overs = None, 0
            self.usage = -1 if value < -self.threshold else 0
        self.before = self.slope
        self.adapted = now if self.adapted is None else self.adapted
        if abs(value) <= self.threshold + 15:
            k = 0.039 if abs(value) < self.threshold else 0.0087
            self.threshold += k * (abs(value) - self.threshold) * min(now - self.adapted, 100)
            self.threshold = min(max(self.threshold, 6), 600)
        self.adapted = now


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_filter_that_the_draft_describes(seed: int) -> None:
    """A random path whose queue grows and drains in turns."""
    rng = random.Random(seed)
    trend, plain = Trend(), Plain()
    at = now = 0
    usages = set()
    for index in range(600):
        sent = rng.randrange(5, 40) * MS
        growth = (0.0, 0.25, 0.0, -0.25)[index // 60 % 4]
        arrived = max(0, int(sent * (1 + growth)) + rng.randrange(-MS, MS))
        at += arrived
        now += arrived
        found = trend.add(sent, arrived, at, now)
        expected = plain.add(sent / MS, arrived / MS, at / MS, now / MS)
        assert found[0] == expected[0]
        assert found[1:] == pytest.approx(expected[1:])
        usages.add(found[0])
    assert usages == {-1, 0, 1}


def test_a_growing_queue_is_seen_within_half_a_second() -> None:
    trend = Trend()
    at = 0
    for index in range(200):
        at += 11 * MS if index >= 100 else 10 * MS
        usage, _, _ = trend.add(10 * MS, 11 * MS if index >= 100 else 10 * MS, at, at)
        if usage > 0:
            assert 100 < index < 150
            return
    pytest.fail("not seen")


def test_packets_of_five_milliseconds_are_a_group() -> None:
    groups = Groups()
    assert groups.add(0, 100 * MS) is None
    assert groups.add(5 * MS, 104 * MS) is None
    assert groups.add(6 * MS, 120 * MS) is None  # the second group
    assert groups.add(20 * MS, 130 * MS) == (MS, 16 * MS, 120 * MS)


def test_what_arrives_in_one_clump_is_a_group() -> None:
    groups = Groups()
    for index in range(5):  # 10 ms apart when sent, 1 ms apart when they arrive
        assert groups.add(index * 10 * MS, (100 + index) * MS) is None
    assert groups.add(60 * MS, 150 * MS) is None
    assert groups.add(80 * MS, 170 * MS) == (20 * MS, 46 * MS, 150 * MS)


def test_a_gso_burst_is_a_group_and_a_probe_another() -> None:
    groups = Groups()
    for index in range(10):
        assert groups.add(0, (100 + index) * MS) is None
    for index in range(5):
        assert groups.add((4 + 4 * index) * MS, (112 + 5 * index) * MS, 7) is None
    assert groups.add(30 * MS, 140 * MS) == (20 * MS, 23 * MS, 132 * MS)


def test_a_jump_of_the_viewers_clock_begins_anew() -> None:
    groups = Groups()
    assert groups.add(0, 100 * MS) is None
    assert groups.add(10 * MS, 110 * MS) is None
    assert groups.add(20 * MS, 9000 * MS) == (10 * MS, 10 * MS, 110 * MS)
    assert groups.add(30 * MS, 9010 * MS) is None  # would be 8.9 s
    assert groups.add(40 * MS, 9020 * MS) is None
    assert groups.add(50 * MS, 9030 * MS) == (10 * MS, 10 * MS, 9020 * MS)
