"""A seeded bad link, sans-I/O: loss, delay, jitter, reordering, duplication, a rate limit with a queue, cross traffic.

What goes in at `send` comes out of `poll` when its time has come, or never. One Link is one direction. The same seed
and the same calls give the same fate to every packet, so a failing scenario repeats exactly.

Losses are independent (`loss`) or come in bursts (Gilbert and Elliott's two states). A link can change while packets
wait in it: `plan` takes what it will be like and when, for instance from `rate_trace`. Several visitors behind one link
share it by sending packets that say whose they are.

Compiled with the types of netem.pxd.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

MS = 1_000_000  # nanoseconds
SECOND = 1_000_000_000
NEVER = 1 << 62
_BITS = 8 * SECOND  # bytes * _BITS // (bit/s) is nanoseconds
_FULL = -1  # in place of a departure: the queue has no room


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


@dataclass
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


class InFlight:
    """A packet on its way."""

    def __init__(self, packet: Any, due: int, order: int, departure: int) -> None:
        self.packet = packet
        self.due = due
        self.order = order  # of sending
        self.departure = departure  # from the rate limit


class Link:
    """One direction of a path. `now` is nanoseconds of any clock that does not run backwards."""

    def __init__(self, config: LinkConfig, *, seed: int, cross: CrossTraffic | None = None) -> None:
        self.counters = LinkCounters()
        self._random = random.Random(seed)
        self._draw = self._random.random
        self._flight: deque[InFlight] = deque()  # as they will arrive
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
        self.config = config

    @property
    def config(self) -> LinkConfig:
        """May be replaced at any time; packets on their way keep their fate."""
        return self._config

    @config.setter
    def config(self, config: LinkConfig) -> None:
        self._config = config
        # What each packet is held against, without the way through an object.
        self._rate = config.rate_bps or 0
        waits = config.queue_bytes * _BITS // (config.rate_bps or 1) if config.queue_ns is None else config.queue_ns
        self._most_wait = min(waits, NEVER)
        self._delay = config.delay_ns
        self._jitter = config.jitter_ns
        self._loss = config.loss
        self._reorder = config.reorder
        self._duplicate = config.duplicate
        self._burst_enter = config.burst_enter
        self._burst_leave = config.burst_leave
        self._burst_loss = config.burst_loss

    def plan(self, changes: Iterable[tuple[int, LinkConfig]]) -> None:
        """(when, what it is like from then on), ascending. What waits for the rate limit then goes on at the new rate.

        ValueError when a time is before that of a change planned earlier.
        """
        for at, config in changes:
            if self._plan and at < self._plan[-1][0]:
                raise ValueError(f"a change at {at} ns comes after one at {self._plan[-1][0]} ns")
            self._plan.append((at, config))
        self._look_ahead()

    def send(self, packet: Any, size: int, now: int) -> None:
        """Hand over a packet of `size` bytes."""
        if self._plan or self._cross is not None:
            self._catch_up(now)
        self.counters.sent += 1
        self.counters.sent_bytes += size
        if self._loses():
            self.counters.lost += 1
            return
        departure = self._departure(size, now)
        if departure == _FULL:
            self.counters.overflowed += 1
            return
        self._launch(packet, departure)
        if self._draw() < self._duplicate:
            self.counters.duplicated += 1
            self._launch(packet, departure)

    def poll(self, now: int) -> Any:
        """The next packet that has arrived by `now`, in order of arrival; None when there is none."""
        arrived = self.take(now)
        return arrived.packet if arrived is not None else None

    def take(self, now: int) -> InFlight | None:
        """The same with the time at which it arrived, which may be before `now`."""
        if self._plan:
            self._catch_up(now)
        if not self._flight:
            return None
        first = self._flight[0]
        if first.due > now:
            return None
        self.counters.delivered += 1
        self._flight.popleft()
        self._look_ahead()
        return first

    def next_timeout(self) -> int | None:
        """The same as `soonest`; None in place of NEVER."""
        return self.soonest if self._flight else None

    def _look_ahead(self) -> None:
        if not self._flight:
            self.soonest = NEVER
            return
        first = self._flight[0]
        self.soonest = min(first.due, self._plan[0][0]) if self._plan else first.due

    def _loses(self) -> bool:
        drawn = self._draw()
        if not self._burst_enter:
            return drawn < self._loss
        turned = self._draw()
        self._bad = turned >= self._burst_leave if self._bad else turned < self._burst_enter
        return drawn < (self._burst_loss if self._bad else self._loss)

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

        for each in self._flight:
            departure = departs(each.departure)
            each.due += departure - each.departure
            each.departure = departure
        self._flight = deque(sorted(self._flight, key=lambda each: (each.due, each.order)))
        self._line_free = departs(self._line_free)
        self._last_due = self._flight[-1].due if self._flight else 0

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
        if self._departure(cross.packet_bytes, at) != _FULL:
            self.counters.crossed += 1
        following = at + cross.packet_bytes * _BITS // cross.rate_bps
        if cross.off_ns and following >= self._cross_off:
            following = self._cross_off + self._lasts(cross.off_ns)
            self._cross_off = following + self._lasts(cross.on_ns)
        self._cross_at = following

    def _lasts(self, mean: int) -> int:
        return round(self._cross_random.expovariate(1 / mean))

    def _departure(self, size: int, now: int) -> int:
        """When the rate limit has sent it; _FULL when it has no room."""
        if not self._rate:
            return now
        start = max(now, self._line_free)
        wait = start - now
        if wait:
            if wait > self._most_wait:
                return _FULL
            self.counters.waited_ns += wait
        self._line_free = start + size * _BITS // self._rate
        return self._line_free

    def _launch(self, packet: Any, departure: int) -> None:
        if self._reorder and self._draw() < self._reorder:
            due = departure
        else:
            due = departure + self._delay
            if self._jitter:
                due += self._random.randrange(self._jitter + 1)
            if due < self._last_due:
                due = self._last_due
            self._last_due = due
        self._order += 1
        launched = InFlight(packet, due, self._order, departure)
        place = len(self._flight)
        while place:
            before = self._flight[place - 1]
            if before.due <= due:
                break
            place -= 1  # it overtakes this one
        self._flight.insert(place, launched)
        if due < self.soonest:
            self._look_ahead()


def rate_trace(config: LinkConfig, steps: Sequence[tuple[int, int]]) -> list[tuple[int, LinkConfig]]:
    """For `Link.plan`: the same link at other rates, from (time in ns, bit/s)."""
    return [(at, replace(config, rate_bps=rate)) for at, rate in steps]
