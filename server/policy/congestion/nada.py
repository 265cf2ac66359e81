"""NADA, network-assisted dynamic adaptation (RFC 8698), at the sender, from transport-wide feedback.

One number, the congestion signal x in milliseconds, joins queueing delay and loss. While it is quiet the rate runs
ahead of what arrives (accelerated ramp-up); otherwise it moves towards the rate at which x is in balance (gradual
update). Names and constants are those of the RFC, but for these, which an SFU needs:

* Delay, loss and receive rate are measured from transport-wide feedback, so RFC 8698's own report isn't used. Delays
  of unsynchronised clocks serve, because only differences to the least of the last two minutes count.
* Transport-wide feedback tells no ECN marks, so x lacks their term. An SFU has no encoder to shape: no BETA_S, BETA_V.
* QEPS is compared with the filtered delay, not with every packet's: a frame sent in one go can exceed 10 ms by itself.
* loss_int is a moving average of the intervals between lost packets that have ended. TFRC's (RFC 5348, 5.4) counts the
  open one with at least a sixth, so that MULTILOSS times it never expires; it also takes a burst for one loss.
* The balance is XREF * RMAX / rate, RMAX being 6 Mbit/s at most, and never below XREF, so that faster links don't live
  on nothing. On slow links that would be a long queue: delay alone is in balance at DELAY_BALANCE_MAX at the latest.
* What is sent is what layers there are, often much less than the rate. A rate that isn't used isn't proven: the gradual
  update does not raise it beyond UNPROVEN times what arrives.
* One update does not go below LEAST_SHARE of what arrives, since that much evidently goes through.
* A longer path looks like a queue that never drains. When the rate has gone down by a fifth, and delay has stood still
  for 2 s without loss, the base is learned anew.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from server.policy.protocols import Feedback, PacketResult

MS = 1_000_000  # ns
SECOND = 1000 * MS

PRIO = 1.0
XREF = 10.0  # ms
KAPPA = 0.5
ETA = 2.0
TAU = 500.0  # ms
DELTA = 100.0  # ms
LOGWIN_NS = 500 * MS
QEPS = 10.0  # ms
DFILT = 120.0  # ms
DFILT_PACKETS = 15
GAMMA_MAX = 0.5
QBOUND = 50.0  # ms
MULTILOSS = 7.0
QTH = 50.0  # ms
LAMBDA = 0.5
PLRREF = 0.01
DLOSS = 10.0  # ms
ALPHA = 0.1

DELAY_BALANCE_MAX = 40.0  # ms
RMAX = 6_000_000.0  # bit/s
X_MAX = 500.0  # ms: beyond this more of it says nothing more
UNPROVEN = 1.5
LEAST_SHARE = 0.7
BASE_SLOT_NS, BASE_SLOTS = 10 * SECOND, 12
RELEARN_NS = 2 * SECOND
RELEARN_SHARE = 0.8
PLATEAU_MS = 3.0
SILENCE_NS = SECOND  # without feedback for so long while we send, the rate halves
MOST_SAMPLES = 20_000  # in LOGWIN; more than 100 Mbit/s gives


class _Sample(NamedTuple):
    """One packet that arrived."""

    arrived_ns: int
    size: int


class _Plateau(NamedTuple):
    """A queue that neither drains nor fills."""

    since: int
    queue: float  # ms
    rate: float  # r_ref when it began


class Nada:
    """The reference rate r_ref of RFC 8698, in bit/s with IP and UDP headers."""

    def __init__(self, start_bps: int = 600_000, min_bps: int = 100_000, max_bps: int = 6_000_000) -> None:
        if not 0 < min_bps <= start_bps <= max_bps:
            raise ValueError("it must be 0 < min_bps <= start_bps <= max_bps")
        self._min, self._max = min_bps, max_bps
        self._rate = float(start_bps)
        self._delays = _Delays()
        self._losses = _Losses()
        self._window: deque[_Sample] = deque()  # what arrived in the last LOGWIN
        self._bytes = 0  # of it
        self._queues: deque[tuple[int, float]] = deque()  # (when, ms), of the last LOGWIN
        self._rtt = 100.0  # ms
        self._delay = self._x = 0.0  # d_tilde, x_curr; ms
        self._updated: int | None = None
        self._plateau = _Plateau(0, 0.0, 0.0)
        self._cause = "start"
        self._queue = self._arriving = 0.0

    def inherit(self, estimate_bps: int, now: int) -> None:
        """Go on from the estimate of the one before."""
        self._rate = float(min(max(estimate_bps, self._min), self._max))

    def on_feedback(self, feedback: Feedback) -> None:
        now = feedback.at
        for packet in feedback.packets:
            self._take(packet, now)
        if not self._window:
            return
        self._forget(now)
        self._queue = self._delays.queue_ms()
        self._queues.append((now, self._queue))
        self._losses.look(now)
        self._arriving = self._receive_rate()
        # at most TAU: after a pause one update is no leap
        elapsed = DELTA if self._updated is None else min((now - self._updated) / MS, TAU)
        self._delay = self._warped()
        before, self._x = self._x, min(self._delay + DLOSS * (self._losses.ratio / PLRREF) ** 2, X_MAX)
        self._updated = now
        if self._quiet():
            self._ramp_up()
        else:
            self._follow(elapsed, before)
        self._rate = min(max(self._rate, self._min), self._max)
        self._relearn(now)

    def on_report(self, loss: float, rtt_ns: int | None, now: int) -> None:
        if rtt_ns is not None:
            self._rtt = rtt_ns / MS

    def on_remb(self, bps: int, now: int) -> None:
        """Not in the RFC: who sends transport-wide feedback sends no REMB."""

    def on_tick(self, now: int) -> None:
        if self._updated is not None and now - self._updated >= SILENCE_NS:
            self._updated = now
            self._rate, self._cause = max(self._rate / 2, self._min), "silence"

    def estimate(self) -> int:
        return int(self._rate)

    def explain(self) -> Mapping[str, float | str]:
        return {
            "cause": self._cause,
            "x_ms": self._x,
            "queue_ms": self._queue,
            "loss": self._losses.ratio,
            "arriving_bps": self._arriving,
            "rtt_ms": self._rtt,
        }

    def _take(self, packet: PacketResult, now: int) -> None:
        self._losses.count(packet.arrived_ns is None, now)
        if packet.arrived_ns is not None:
            self._window.append(_Sample(packet.arrived_ns, packet.size))
            self._bytes += packet.size
            self._delays.add((packet.arrived_ns - packet.sent_ns) / MS, now)

    def _forget(self, now: int) -> None:
        oldest = self._window[-1].arrived_ns - LOGWIN_NS
        while self._window[0].arrived_ns < oldest or len(self._window) > MOST_SAMPLES:
            self._bytes -= self._window.popleft().size
        while self._queues and self._queues[0][0] < now - LOGWIN_NS:
            self._queues.popleft()

    def _receive_rate(self) -> float:
        """r_recv: what arrived in the last LOGWIN, by the viewer's clock."""
        span = max(self._window[-1].arrived_ns - self._window[0].arrived_ns, 100 * MS)
        return (self._bytes - self._window[0].size) * 8 * SECOND / span  # the first one only begins the span

    def _warped(self) -> float:
        """d_tilde: the queueing delay, warped while loss shows that a flow fills queues. Milliseconds."""
        if self._queue <= QTH:
            return self._queue
        warped = QTH * math.exp(-LAMBDA * (self._queue - QTH) / QTH)
        return warped + self._losses.expired() * (self._queue - warped)

    def _quiet(self) -> bool:
        """No loss and no queue for the whole of LOGWIN."""
        return not self._losses.recent and all(queue < QEPS for _, queue in self._queues)

    def _ramp_up(self) -> None:
        gamma = min(GAMMA_MAX, QBOUND / (self._rtt + DELTA + DFILT))
        self._rate, self._cause = max(self._rate, (1 + gamma) * self._arriving), "ramp-up"

    def _follow(self, elapsed: float, x_before: float) -> None:
        balance = max(PRIO * XREF * min(self._max, RMAX) / self._rate, XREF)
        offset = max(self._x - balance, self._delay - min(balance, DELAY_BALANCE_MAX))
        change = self._x - x_before
        rate = self._rate
        rate -= KAPPA * (elapsed / TAU) * (offset / TAU) * self._rate
        rate -= KAPPA * ETA * (change / TAU) * self._rate
        if rate > self._rate:
            self._rate, self._cause = max(self._rate, min(rate, UNPROVEN * self._arriving)), "increase"
        else:
            self._rate, self._cause = max(rate, min(self._rate, LEAST_SHARE * self._arriving)), "decrease"

    def _relearn(self, now: int) -> None:
        """See the last point above."""
        still = abs(self._queue - self._plateau.queue) <= PLATEAU_MS and self._queue > QEPS and not self._losses.recent
        if not still:
            self._plateau = _Plateau(now, self._queue, self._rate)
        elif now - self._plateau.since >= RELEARN_NS and self._rate <= RELEARN_SHARE * self._plateau.rate:
            self._delays.relearn()


class _Delays:
    """One-way delays, and how far they are above the least. Milliseconds."""

    def __init__(self) -> None:
        self._lately: deque[tuple[int, float]] = deque(maxlen=DFILT_PACKETS)
        self._least: deque[tuple[int, float]] = deque(maxlen=BASE_SLOTS)  # (number of the slot, least of it)

    def add(self, delay: float, now: int) -> None:
        self._lately.append((now, delay))
        slot = now // BASE_SLOT_NS
        if not self._least or self._least[-1][0] != slot:
            self._least.append((slot, delay))
        elif delay < self._least[-1][1]:
            self._least[-1] = (slot, delay)

    def queue_ms(self) -> float:
        """The least of the last 15 packets and 120 ms, above the least of the last two minutes."""
        newest = self._lately[-1][0]
        lately = min(delay for at, delay in self._lately if newest - at <= DFILT * MS)
        return lately - min(delay for _, delay in self._least)

    def relearn(self) -> None:
        """The path is another one."""
        slot = self._least[-1][0]
        self._least.clear()
        self._least.append((slot, min(delay for _, delay in self._lately)))


class _Losses:
    """The smoothed ratio of loss, and how far apart losses are."""

    def __init__(self) -> None:
        self.ratio = 0.0  # p_loss
        self.recent = False  # in LOGWIN
        self._window: deque[tuple[int, bool]] = deque()
        self._lost = 0  # of the window
        self._interval = 0.0  # packets between losses, smoothed; 0: there was no loss yet
        self._since = 0.0  # packets since the last

    def count(self, lost: bool, now: int) -> None:
        self._window.append((now, lost))
        self._lost += lost
        self._since += 1
        if lost:
            self._interval = self._since if not self._interval else 0.9 * self._interval + 0.1 * self._since
            self._since = 0.0

    def look(self, now: int) -> None:
        while self._window and (self._window[0][0] < now - LOGWIN_NS or len(self._window) > MOST_SAMPLES):
            self._lost -= self._window.popleft()[1]
        self.recent = self._lost > 0
        if self._window:
            self.ratio += ALPHA * (self._lost / len(self._window) - self.ratio)

    def expired(self) -> float:
        """How far the last loss is past: 0 until loss_exp, then linearly to 1 within another interval."""
        return min(max(self._since / self._interval - MULTILOSS, 0.0), 1.0) if self._interval else 1.0
