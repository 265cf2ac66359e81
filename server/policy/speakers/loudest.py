"""Whoever is loudest, smoothed over half a second: simple, and easily fooled by a door."""

from __future__ import annotations

import math
from collections.abc import Mapping

from server.policy.protocols import Speakers

SECOND = 1_000_000_000  # ns
SMOOTHING_NS = SECOND // 2
SILENT = 127  # -dBov


class Loudest:
    """Active: louder than `threshold` (-dBov; smaller is louder). Dominant: the loudest, until another is so by
    `margin` dB; it stays when all fall silent."""

    def __init__(self, threshold: int = 55, margin: int = 6) -> None:
        self._threshold, self._margin = threshold, margin
        self._levels: dict[str, float] = {}
        self._dominant: str | None = None
        self._now: int | None = None

    def inherit(self, speakers: Speakers, now: int) -> None:
        """Go on from what the one before said."""
        self._dominant = speakers.dominant

    def on_levels(self, levels: Mapping[str, int], now: int) -> None:
        elapsed = 0 if self._now is None else now - self._now
        weight = 1 - math.exp(-elapsed / SMOOTHING_NS)
        self._now = now
        for producer in self._levels.keys() | levels.keys():
            before = self._levels.get(producer, float(SILENT))
            self._levels[producer] = before + weight * (levels.get(producer, SILENT) - before)
        active = self.speakers().active
        if active and self._levels[active[0]] <= self._levels.get(self._dominant or "", SILENT) - self._margin:
            self._dominant = active[0]

    def forget(self, producer_id: str) -> None:
        self._levels.pop(producer_id, None)
        if self._dominant == producer_id:
            self._dominant = None

    def speakers(self) -> Speakers:
        heard = sorted((level, producer) for producer, level in self._levels.items() if level < self._threshold)
        return Speakers(self._dominant, tuple(producer for _, producer in heard))
