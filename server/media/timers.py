"""Deadlines by key: the soonest first, each key with one at most."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

K = TypeVar("K", bound=str)


class Timers(Generic[K]):
    """A heap whose outdated entries are skipped. Monotonic ns."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, K]] = []
        self._due: dict[K, int] = {}

    def at(self, key: K, when: int) -> None:
        """Wake this key at `when` and not before, whatever was said."""
        if self._due.get(key) != when:
            self._due[key] = when
            heapq.heappush(self._heap, (when, key))

    def sooner(self, key: K, when: int) -> None:
        """Wake this key at `when`, or when it was to wake if that comes first."""
        noted = self._due.get(key)
        if noted is None or when < noted:
            self.at(key, when)

    def cancel(self, key: K) -> None:
        """It need not wake any more."""
        self._due.pop(key, None)

    def next(self) -> int | None:
        """The soonest."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take(self, now: int) -> list[K]:
        """Whoever is due, the soonest first; each has no deadline then."""
        taken: list[K] = []
        while (when := self.next()) is not None and when <= now:
            key = heapq.heappop(self._heap)[1]
            del self._due[key]
            taken.append(key)
        return taken
