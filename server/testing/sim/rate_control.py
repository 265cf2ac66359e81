"""What a simulated browser believes its own uplink carries: a plain estimate by the name of "delay-aimd".

Doubled every quarter of a second until something first goes wrong (a browser probes), then up by 8 % a second while
packets pass without delay, down to 85 % of what arrived when they queue for 50 ms or when more
than a tenth is lost; never above the node's REMB. It is no copy of any browser's: it stands for one that behaves.
Compiled with the types of rate_control.pxd.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from server.testing import netem
from server.testing.netem import SECOND

_NEVER = netem.NEVER  # which rate_control.pxd makes an integer of C
_QUEUE = 50_000_000  # nanoseconds of delay above the least
_WINDOW = SECOND
_HOLD = SECOND // 2  # after a decrease


class DelayAimd:
    """Fed with (sent, arrived or None, bytes) of the node's transport-wide feedback."""

    def __init__(self, *, start_bps: int, max_bps: int) -> None:
        self.bps = start_bps
        self.remb: int | None = None
        self._max = max_bps
        self._least = _NEVER  # of the one-way delays seen; the clocks' difference is in it
        self._arrived: deque[tuple[int, int]] = deque()  # (when, bytes)
        self._bytes = 0
        self._held_until = 0
        self._last = _NEVER  # when feedback was last believed
        self._probing = True

    @property
    def target(self) -> int:
        """Bit/s for everything."""
        return self.bps if self.remb is None else min(self.bps, self.remb)

    def on_feedback(self, results: Iterable[tuple[int, int | None, int]], now: int) -> None:
        """One message."""
        lost = total = queued = 0
        for sent, arrived, size in results:
            total += 1
            if arrived is None:
                lost += 1
                continue
            delay = arrived - sent
            self._least = min(self._least, delay)
            queued = delay - self._least
            self._arrived.append((now, size))
            self._bytes += size
        while self._arrived and self._arrived[0][0] < now - _WINDOW:
            self._bytes -= self._arrived.popleft()[1]
        if not total or now < self._held_until:
            return
        passed = 0 if self._last == _NEVER else now - self._last
        self._last = now
        if queued > _QUEUE or lost > max(1, total // 10):
            self.bps = max(50_000, min(self.bps, self._bytes * 8 * SECOND // _WINDOW) * 85 // 100)
            self._held_until = now + _HOLD
            self._probing = False
        else:
            percent = 400 if self._probing else 8  # of itself in a second
            self.bps = min(self._max, self.bps + self.bps * percent * min(passed, SECOND) // (100 * SECOND) + 1000)
