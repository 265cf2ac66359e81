"""Dynacast: which encodings of a producer somebody watches, or may soon. Pure.

Off is told late and on at once. When Chromium was told to stop two of three encodings, those who watched the third one
saw nothing for half a second, so it must be worth it. What is below a watched encoding stays on: it is cheap, and it
is where a viewer lands whose path breaks down, who can't wait for an encoder to begin.
"""

from __future__ import annotations

from collections.abc import Collection

OFF_NS = 60_000_000_000  # nobody watches it, or a better one, any more
UNWATCHED_OFF_NS = 10_000_000_000  # nobody watches anything: as after joining, before the others come


class Dynacast:
    """Of one producer. `wanted` is what its sender is told; at first, that all is."""

    def __init__(self, encodings: int, now: int) -> None:
        self.wanted = (True,) * encodings
        self._needed: frozenset[int] = frozenset()
        self._last_needed = [now] * encodings  # of those that are not needed now
        self._watched = False

    def need(self, encodings: Collection[int], *, watched: bool, now: int) -> bool:
        """Which ones are needed now (all below them are too), and whether anybody watches at all: then the lowest is.
        True when `wanted` has changed."""
        best = max(encodings, default=0 if watched else -1)
        needed = frozenset(range(best + 1))
        for index in self._needed - needed:
            self._last_needed[index] = now
        self._needed, self._watched = needed, watched
        before = self.wanted
        self.wanted = tuple(
            index in needed or (want and now - self._last_needed[index] < self._patience)
            for index, want in enumerate(before)
        )
        return self.wanted != before

    def next_timeout(self) -> int | None:
        """When something is to be switched off; None: nothing waits for that."""
        waiting = [
            self._last_needed[index] + self._patience
            for index, want in enumerate(self.wanted)
            if want and index not in self._needed
        ]
        return min(waiting, default=None)

    @property
    def _patience(self) -> int:
        return OFF_NS if self._watched else UNWATCHED_OFF_NS
