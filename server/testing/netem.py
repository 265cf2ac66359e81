"""A seeded bad link, sans-I/O: loss, delay, jitter, reordering, duplication, a rate limit with a byte queue.

What goes in at `send` comes out of `poll` when its time has come, or never. One Link is one direction. The same seed
and the same calls give the same fate to every packet, so a failing scenario repeats exactly.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass
from typing import Generic, TypeVar

MS = 1_000_000  # nanoseconds

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """The character of one direction. Probabilities are 0 … 1, independent for each packet; times nanoseconds."""

    loss: float = 0.0
    delay_ns: int = 0
    jitter_ns: int = 0  # added to the delay, uniform in 0 … jitter_ns; alone it does not reorder
    reorder: float = 0.0  # of jumping the queue: such a packet is not delayed at all
    duplicate: float = 0.0
    rate_bps: int | None = None  # bit/s; None: unlimited
    queue_bytes: int = 64 * 1024  # waiting for the rate limit; beyond it the tail is dropped

    def __post_init__(self) -> None:
        for name in ("loss", "reorder", "duplicate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability, 0 … 1, not {getattr(self, name)}")
        if self.rate_bps is not None and self.rate_bps <= 0:
            raise ValueError(f"rate_bps must be positive or None, not {self.rate_bps}")


@dataclass(slots=True)
class LinkCounters:
    """Packets, by their fate. sent = delivered + lost + overflowed + in flight - duplicated."""

    sent: int = 0
    delivered: int = 0
    lost: int = 0
    overflowed: int = 0
    duplicated: int = 0


class Link(Generic[T]):
    """One direction of a path. `now` is nanoseconds of any clock that does not run backwards."""

    def __init__(self, config: LinkConfig, *, seed: int) -> None:
        self.config = config  # may be replaced at any time; packets on their way keep their fate
        self.counters = LinkCounters()
        self._random = random.Random(seed)
        self._flight: list[tuple[int, int, T]] = []  # (due, order of sending, packet)
        self._order = 0
        self._line_free = 0  # when the rate limit has sent everything that waits
        self._last_due = 0

    def send(self, packet: T, size: int, now: int) -> None:
        """Hand over a packet of `size` bytes."""
        self.counters.sent += 1
        if self._random.random() < self.config.loss:
            self.counters.lost += 1
            return
        departure = self._departure(size, now)
        if departure is None:
            self.counters.overflowed += 1
            return
        self._launch(packet, departure)
        if self._random.random() < self.config.duplicate:
            self.counters.duplicated += 1
            self._launch(packet, departure)

    def poll(self, now: int) -> T | None:
        """The next packet that has arrived by `now`, in order of arrival; None when there is none."""
        if not self._flight or self._flight[0][0] > now:
            return None
        self.counters.delivered += 1
        return heapq.heappop(self._flight)[2]

    def next_timeout(self) -> int | None:
        """When the next packet arrives."""
        return self._flight[0][0] if self._flight else None

    def _departure(self, size: int, now: int) -> int | None:
        rate = self.config.rate_bps
        if rate is None:
            return now
        start = max(now, self._line_free)
        if (start - now) * rate > self.config.queue_bytes * 8 * 1_000_000_000:
            return None
        self._line_free = start + size * 8 * 1_000_000_000 // rate
        return self._line_free

    def _launch(self, packet: T, departure: int) -> None:
        if self.config.reorder and self._random.random() < self.config.reorder:
            due = departure
        else:
            wobble = self._random.randrange(self.config.jitter_ns + 1) if self.config.jitter_ns else 0
            due = max(departure + self.config.delay_ns + wobble, self._last_due)
            self._last_due = due
        self._order += 1
        heapq.heappush(self._flight, (due, self._order, packet))
