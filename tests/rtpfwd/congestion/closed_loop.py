"""Senders at their estimate, one seeded link, receivers with our own feedback writer: a closed loop in virtual time.

A sender makes frames about 30 times a second, of about the size that its rate asks, and paces them in turns of 5 ms;
probes go out beside them. Nothing here reads a clock.
"""

from __future__ import annotations

import random
import statistics
from collections import deque
from dataclasses import dataclass, field

from rtpfwd.congestion.boxes import FeedbackWriting
from rtpfwd.congestion.gcc import Gcc
from server.testing.netem import MS, Link, LinkConfig

SECOND = 1000 * MS
TURN = 5 * MS
FRAME = SECOND // 30
PACKET = 1200  # bytes, with IP and UDP headers


@dataclass(frozen=True, slots=True)
class Scenario:
    """A link and what is sent over it."""

    name: str
    rates: tuple[tuple[float, int], ...]  # (from this second on, bit/s)
    seconds: float = 30.0
    start_bps: int = 600_000
    wanted: int = 8_000_000
    delay_ms: int = 20  # one way
    queue_ms: int = 200
    loss: float = 0.0
    jitter_ms: int = 0
    feedback_loss: float = 0.0
    layers: tuple[int, ...] = ()  # bit/s that the sender can send; (): any rate up to the estimate
    flows: tuple[float, ...] = (0.0,)  # when each begins, s


@dataclass(slots=True)
class Flow:
    """One sender with its receiver, and what was seen of it."""

    gcc: Gcc
    begins: int
    random: random.Random
    back: Link
    writer: FeedbackWriting = field(default_factory=FeedbackWriting)
    seq: int = 65000
    backlog: deque[int] = field(default_factory=deque)  # sizes of packets made, not yet sent
    credit: float = 0.0  # bytes that may leave
    next_frame: int = 0
    probe: tuple[int, int, int, int] | None = None  # as Gcc.take_probe gave it, with what is left
    probe_credit: float = 0.0
    samples: list[tuple[int, int]] = field(default_factory=list)  # (ns, estimate)
    delays: list[tuple[int, int]] = field(default_factory=list)  # (ns, ns of queue)
    received: list[tuple[int, int]] = field(default_factory=list)  # (ns, bytes)
    sent_bytes: list[tuple[int, int]] = field(default_factory=list)
    causes: list[tuple[int, str, int]] = field(default_factory=list)


@dataclass(slots=True)
class Outcome:
    """What came of a run."""

    scenario: Scenario
    flows: list[Flow]
    sent: int
    overflowed: int

    def estimates(self, since: float, until: float, flow: int = 0) -> list[int]:
        """Every 50 ms."""
        return [bps for at, bps in self.flows[flow].samples if since * SECOND <= at < until * SECOND]

    def mean_estimate(self, since: float, until: float, flow: int = 0) -> float:
        return statistics.fmean(self.estimates(since, until, flow))

    def mean_queue_ms(self, since: float = 0.0, until: float = 1e9) -> float:
        found = [d for flow in self.flows for at, d in flow.delays if since * SECOND <= at < until * SECOND]
        return statistics.fmean(found) / MS

    def overflow(self) -> float:
        return self.overflowed / self.sent

    def sent_bps(self, since: float, until: float, flow: int = 0) -> float:
        counted = sum(b for at, b in self.flows[flow].sent_bytes if since * SECOND <= at < until * SECOND)
        return counted * 8 / (until - since)

    def first_reaching(self, bps: float, since: float, flow: int = 0) -> float:
        """Seconds after `since` until the estimate is as high; infinite when never."""
        for at, found in self.flows[flow].samples:
            if at >= since * SECOND and found >= bps:
                return at / SECOND - since
        return float("inf")


def run(scenario: Scenario, seed: int) -> Outcome:
    """The whole scenario."""
    steps = deque(scenario.rates)
    link = Link(_config(scenario, steps.popleft()[1]), seed=seed)
    back = LinkConfig(delay_ns=scenario.delay_ms * MS, loss=scenario.feedback_loss)
    flows = [
        Flow(
            Gcc(start_bps=scenario.start_bps, now=int(begins * SECOND)),
            int(begins * SECOND),
            random.Random(seed * 100 + index),
            Link(back, seed=seed + 1 + index),
            next_frame=int(begins * SECOND) + (seed * 7 + index * 13) % 30 * MS,
        )
        for index, begins in enumerate(scenario.flows)
    ]
    for flow in flows:
        flow.gcc.set_wanted(scenario.wanted, flow.begins)
    for now in range(0, int(scenario.seconds * SECOND), TURN):
        if steps and now >= steps[0][0] * SECOND:
            link.config = _config(scenario, steps.popleft()[1])
        _receive(scenario, flows, link, now)
        for index, flow in enumerate(flows):
            if now >= flow.begins:
                _hear(flow, now)
                _send(scenario, flow, index, link, now)
    return Outcome(scenario, flows, link.counters.sent, link.counters.overflowed)


def _config(scenario: Scenario, rate: int) -> LinkConfig:
    return LinkConfig(
        loss=scenario.loss,
        delay_ns=scenario.delay_ms * MS,
        jitter_ns=scenario.jitter_ms * MS,
        rate_bps=rate,
        queue_bytes=rate * scenario.queue_ms // 8000,
    )


def _receive(scenario: Scenario, flows: list[Flow], link: Link, now: int) -> None:
    while (at := link.next_timeout()) is not None and at <= now:
        packet = link.poll(now)
        assert packet is not None
        index, seq, size, sent_at = packet
        flow = flows[index]
        flow.received.append((at, size))
        flow.delays.append((at, at - sent_at - scenario.delay_ms * MS))
        if flow.writer.receive(seq & 0xFFFF, at):
            _answer(flow, at)
    for flow in flows:
        due = flow.writer.due()
        if due is not None and due <= now:
            _answer(flow, now)


def _answer(flow: Flow, now: int) -> None:
    body = flow.writer.write()
    if body is not None:
        flow.back.send(body, len(body) + 40, now)


def _hear(flow: Flow, now: int) -> None:
    while (at := flow.back.next_timeout()) is not None and at <= now:
        body = flow.back.poll(now)
        assert body is not None
        assert flow.gcc.feedback(body, at)
    due = flow.gcc.due()
    if due is not None and due <= now:
        flow.gcc.tick(now)
    if flow.probe is None:
        flow.probe = flow.gcc.take_probe(now)
        flow.probe_credit = 0.0
    if now % (50 * MS) == 0:
        state = flow.gcc.state()
        flow.samples.append((now, state["estimate_bps"]))
        if not flow.causes or flow.causes[-1][1] != state["cause"]:
            flow.causes.append((now, state["cause"], state["estimate_bps"]))


def _send(scenario: Scenario, flow: Flow, index: int, link: Link, now: int) -> None:
    estimate = flow.gcc.estimate_bps
    rate = min(estimate, scenario.wanted)
    if scenario.layers:
        rate = max((layer for layer in scenario.layers if layer <= estimate), default=scenario.layers[0])
    while now >= flow.next_frame:
        left = int(rate * FRAME / 8 / SECOND * flow.random.uniform(0.8, 1.2))
        while left > 0:
            flow.backlog.append(max(60, min(PACKET, left)))
            left -= PACKET
        flow.next_frame += FRAME + flow.random.randrange(-4 * MS, 4 * MS)
    flow.credit = min(flow.credit + flow.gcc.pacing_bps * TURN / 8 / SECOND, max(PACKET, flow.gcc.pacing_bps // 1600))
    while flow.backlog and flow.credit >= 0:
        size = flow.backlog.popleft()
        flow.credit -= size
        _launch(flow, index, size, 0, link, now)
    if flow.probe is not None:
        _send_probe(flow, index, link, now)


def _send_probe(flow: Flow, index: int, link: Link, now: int) -> None:
    assert flow.probe is not None
    number, bps, size_left, packets_left = flow.probe
    size = max(200, min(PACKET, -(-size_left // max(1, packets_left))))
    flow.probe_credit += bps * TURN / 8 / SECOND
    while (size_left > 0 or packets_left > 0) and flow.probe_credit > 0:
        flow.probe_credit -= size
        size_left -= size
        packets_left -= 1
        _launch(flow, index, size, number, link, now)
    flow.probe = (number, bps, size_left, packets_left) if size_left > 0 or packets_left > 0 else None


def _launch(flow: Flow, index: int, size: int, probe: int, link: Link, now: int) -> None:
    flow.gcc.sent(flow.seq, size, probe, now)
    flow.sent_bytes.append((now, size))
    link.send((index, flow.seq, size, now), size, now)
    flow.seq += 1
