"""A seeded bad link, sans-I/O: loss, delay, jitter, reordering, duplication, a rate limit with a queue, cross traffic.

What goes in at `send` comes out of `poll` when its time has come, or never. One Link is one direction. The same seed
and the same calls give the same fate to every packet, so a failing scenario repeats exactly.

Losses are independent (`loss`) or come in bursts (Gilbert and Elliott's two states). A link can change while packets
wait in it: `plan` takes what it will be like and when, for instance from `rate_trace`. Several visitors behind one link
share it by sending packets that say whose they are.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

MS = 1_000_000  # nanoseconds
SECOND = 1_000_000_000
NEVER = 1 << 62
_BITS = 8 * SECOND  # bytes * _BITS // (bit/s) is nanoseconds

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
    queue_ns: int | None = None  # instead of queue_bytes: how long a packet may have to wait at the present rate
    # Gilbert-Elliott: before each packet the link turns bad, or good again, with these probabilities.
    burst_enter: float = 0.0
    burst_leave: float = 1.0
    burst_loss: float = 1.0  # while it is bad, in place of `loss`

    def __post_init__(self) -> None:
        for name in ("loss", "reorder", "duplicate", "burst_enter", "burst_leave", "burst_loss"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability, 0 … 1, not {getattr(self, name)}")
        if self.rate_bps is not None and self.rate_bps <= 0:
            raise ValueError(f"rate_bps must be positive or None, not {self.rate_bps}")


@dataclass(frozen=True, slots=True)
class CrossTraffic:
    """Somebody else's packets in the same queue: a constant rate, switched on and off at random."""

    rate_bps: int  # while it is on
    on_ns: int = SECOND  # mean of exponentially distributed times
    off_ns: int = 0  # 0: always on
    packet_bytes: int = 1200
    starts_ns: int = 0  # after the first call that the link gets


@dataclass(slots=True)
class LinkCounters:
    """Packets, by their fate. sent = delivered + lost + overflowed + in flight - duplicated."""

    sent: int = 0
    delivered: int = 0
    lost: int = 0
    overflowed: int = 0
    duplicated: int = 0
    sent_bytes: int = 0  # of all that was sent, whatever became of it
    waited_ns: int = 0  # for the rate limit, all packets together that were not dropped
    crossed: int = 0  # packets of the cross traffic that took their turn


class Link(Generic[T]):
    """One direction of a path. `now` is nanoseconds of any clock that does not run backwards."""

    def __init__(self, config: LinkConfig, *, seed: int, cross: CrossTraffic | None = None) -> None:
        self.config = config  # may be replaced at any time; packets on their way keep their fate
        self.counters = LinkCounters()
        self._random = random.Random(seed)
        self._flight: list[tuple[int, int, T, int]] = []  # (due, order of sending, packet, departure)
        self._order = 0
        self._line_free = 0  # when the rate limit has sent everything that waits
        self._last_due = 0
        self.soonest = NEVER  # when the next packet arrives, or the link changes under those that wait
        self._bad = False
        self._plan: deque[tuple[int, LinkConfig]] = deque()
        self._cross = cross
        # Of its own, so that the fate of what we send does not hang on how often we look.
        self._cross_random = random.Random(seed ^ 0x5EED)
        self._cross_at: int | None = None  # when its next packet comes
        self._cross_off: int = 0  # when it falls silent

    def plan(self, changes: Iterable[tuple[int, LinkConfig]]) -> None:
        """(when, what it is like from then on), ascending. What waits for the rate limit then goes on at the new rate.

        ValueError when a time is before that of a change planned earlier.
        """
        for at, config in changes:
            if self._plan and at < self._plan[-1][0]:
                raise ValueError(f"a change at {at} ns comes after one at {self._plan[-1][0]} ns")
            self._plan.append((at, config))
        self._look_ahead()

    def send(self, packet: T, size: int, now: int) -> None:
        """Hand over a packet of `size` bytes."""
        if self._plan or self._cross is not None:
            self._catch_up(now)
        self.counters.sent += 1
        self.counters.sent_bytes += size
        if self._loses():
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
        arrival = self.poll_arrival(now)
        return arrival[1] if arrival is not None else None

    def poll_arrival(self, now: int) -> tuple[int, T] | None:
        """The same with the time at which it arrived, which may be before `now`."""
        if self._plan:
            self._catch_up(now)
        if not self._flight or self._flight[0][0] > now:
            return None
        self.counters.delivered += 1
        due, _, packet, _ = heapq.heappop(self._flight)
        self._look_ahead()
        return due, packet

    def next_timeout(self) -> int | None:
        """The same as `soonest`; None in place of NEVER."""
        return self.soonest if self._flight else None

    def _look_ahead(self) -> None:
        if not self._flight:
            self.soonest = NEVER
        elif self._plan:
            self.soonest = min(self._flight[0][0], self._plan[0][0])
        else:
            self.soonest = self._flight[0][0]

    def _loses(self) -> bool:
        config = self.config
        drawn = self._random.random()
        if not config.burst_enter:
            return drawn < config.loss
        turned = self._random.random()
        self._bad = turned >= config.burst_leave if self._bad else turned < config.burst_enter
        return drawn < (config.burst_loss if self._bad else config.loss)

    def _catch_up(self, now: int) -> None:
        """What happened to the link since the last call, in order."""
        while True:
            change = self._plan[0][0] if self._plan else now + 1
            crossing = self._next_crossing(now)
            if min(change, crossing) > now:
                return
            if change <= crossing:
                self._change(*self._plan.popleft())
                self._look_ahead()
            else:
                self._let_cross(crossing)

    def _change(self, at: int, config: LinkConfig) -> None:
        """What has not departed by then has so many bits before it; they leave at the new rate."""
        before, after = self.config.rate_bps, config.rate_bps
        self.config = config
        if before is None or after == before or self._line_free <= at:
            return

        def departs(departure: int) -> int:
            waiting = max(0, departure - at)
            return departure - waiting + (0 if after is None else waiting * before // after)

        self._flight = [
            (departs(left) + due - left, order, packet, departs(left)) for due, order, packet, left in self._flight
        ]
        heapq.heapify(self._flight)
        self._line_free = departs(self._line_free)
        self._last_due = max((due for due, *_ in self._flight), default=0)

    def _next_crossing(self, now: int) -> int:
        """When the cross traffic's next packet comes; after `now` without any."""
        if self._cross is None:
            return now + 1
        if self._cross_at is None:
            self._cross_at = now + self._cross.starts_ns
            self._cross_off = self._cross_at + self._lasts(self._cross.on_ns)
        return self._cross_at

    def _let_cross(self, at: int) -> None:
        cross = self._cross
        assert cross is not None
        if self._departure(cross.packet_bytes, at) is not None:
            self.counters.crossed += 1
        following = at + cross.packet_bytes * _BITS // cross.rate_bps
        if cross.off_ns and following >= self._cross_off:
            following = self._cross_off + self._lasts(cross.off_ns)
            self._cross_off = following + self._lasts(cross.on_ns)
        self._cross_at = following

    def _lasts(self, mean: int) -> int:
        return round(self._cross_random.expovariate(1 / mean))

    def _departure(self, size: int, now: int) -> int | None:
        config = self.config
        rate = config.rate_bps
        if rate is None:
            return now
        start = max(now, self._line_free)
        wait = start - now
        if wait:
            most = config.queue_ns
            if wait * rate > config.queue_bytes * _BITS if most is None else wait > most:
                return None
            self.counters.waited_ns += wait
        self._line_free = start + size * _BITS // rate
        return self._line_free

    def _launch(self, packet: T, departure: int) -> None:
        config = self.config
        if config.reorder and self._random.random() < config.reorder:
            due = departure
        else:
            due = departure + config.delay_ns
            if config.jitter_ns:
                due += self._random.randrange(config.jitter_ns + 1)
            if due < self._last_due:
                due = self._last_due
            self._last_due = due
        self._order += 1
        heapq.heappush(self._flight, (due, self._order, packet, departure))
        if due < self.soonest:
            self._look_ahead()


def rate_trace(config: LinkConfig, steps: Sequence[tuple[int, int]]) -> list[tuple[int, LinkConfig]]:
    """For `Link.plan`: the same link at other rates, from (time in ns, bit/s)."""
    return [(at, replace(config, rate_bps=rate)) for at, rate in steps]
