"""Dynacast: which encodings of a producer somebody watches, or may soon. Pure.

Off is told late and on at once: a sender that starts an encoding anew needs a keyframe and a moment to reach its rate.
"""

from __future__ import annotations

from collections.abc import Collection

OFF_NS = 5_000_000_000  # nobody watches it any more
UNWATCHED_OFF_NS = 10_000_000_000  # nobody watches anything: as after joining, before the others come


class Dynacast:
    """Of one producer. `wanted` is what its sender is told; at first, that all is."""

    def __init__(self, encodings: int, now: int) -> None:
        self.wanted = (True,) * encodings
        self._needed: frozenset[int] = frozenset()
        self._last_needed = [now] * encodings  # of those that are not needed now
        self._watched = False

    def need(self, encodings: Collection[int], *, watched: bool, now: int) -> bool:
        """Which ones are needed now, and whether anybody watches at all: then the lowest is always. True when `wanted`
        has changed."""
        needed = frozenset({0, *encodings} if watched else encodings)
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
