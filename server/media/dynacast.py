"""Dynacast: which encodings of a producer somebody watches, or may soon. Pure.

Off is told late and on at once: a sender that starts an encoding anew needs a keyframe and a moment to reach its rate.
"""

from __future__ import annotations

from collections.abc import Collection

OFF_NS = 3_000_000_000  # nobody watches it any more
UNWATCHED_OFF_NS = 10_000_000_000  # nobody watches anything: as after joining, before the others come


class Dynacast:
    """Of one producer. `wanted` is what its sender is told; at first, that all is."""

    def __init__(self, encodings: int, now: int) -> None:
        self.wanted = (True,) * encodings
        self._needed_at = [now] * encodings
        self._watched = False

    def need(self, encodings: Collection[int], *, watched: bool, now: int) -> bool:
        """Which ones are needed now, and whether anybody watches at all: then the lowest is always. True when `wanted`
        has changed."""
        needed = {0, *encodings} if watched else set(encodings)
        if self._watched and not watched:
            self._needed_at = [
                max(at, now) if want else at for at, want in zip(self._needed_at, self.wanted, strict=True)
            ]
        self._watched = watched
        for index in needed:
            if index < len(self._needed_at):
                self._needed_at[index] = now
        patience = OFF_NS if watched else UNWATCHED_OFF_NS
        before = self.wanted
        self.wanted = tuple(
            index in needed or (want and now - self._needed_at[index] < patience) for index, want in enumerate(before)
        )
        return self.wanted != before

    def next_timeout(self) -> int | None:
        """When something may be switched off; None: nothing waits for that."""
        patience = OFF_NS if self._watched else UNWATCHED_OFF_NS
        latest = max(self._needed_at)
        waiting = [
            at + patience
            for at, want in zip(self._needed_at, self.wanted, strict=True)
            if want and (at < latest or not self._watched)
        ]
        return min(waiting, default=None)
