"""A closed loop in virtual time: a sender that sends what a controller says, a link, feedback."""

from __future__ import annotations

from dataclasses import dataclass, field

from server.policy.protocols import CongestionController, Feedback, PacketResult
from server.testing.netem import Link, LinkConfig

MS = 1_000_000
STEP_NS = 5 * MS
SIZE = 1000
CLOCK_AHEAD = 12_345 * MS  # of the viewer's clock


@dataclass
class Loop:
    controller: CongestionController
    link: Link
    back_ns: int = 20 * MS
    feedback_ns: int = 50 * MS
    most_bps: int | None = None  # what there is to send
    now: int = 0
    sent: dict[int, int] = field(default_factory=dict)  # by number, not told of yet
    samples: list = field(default_factory=list)  # (now, estimate, sent bytes, delivered bytes, queue ms)
    credit: float = 0.0
    number: int = 0
    arrived: dict[int, int] = field(default_factory=dict)
    returning: list = field(default_factory=list)

    def run(self, seconds: float) -> None:
        end = self.now + int(seconds * 1000) * MS
        while self.now < end:
            self.step()

    def step(self) -> None:
        self.now += STEP_NS
        rate = self.controller.estimate() if self.most_bps is None else min(self.controller.estimate(), self.most_bps)
        self.credit += rate * STEP_NS / 8e9
        out = delivered = 0
        while self.credit >= SIZE:
            self.credit -= SIZE
            self.number += 1
            out += SIZE
            self.sent[self.number] = self.now
            self.link.send((self.number, self.now), SIZE, self.now)
        delay = 0.0
        while True:
            due = self.link.next_timeout()
            packet = self.link.poll(self.now)
            if packet is None:
                break
            self.arrived[packet[0]] = due + CLOCK_AHEAD
            delay = max(delay, (due - packet[1]) / MS - self.link.config.delay_ns / MS)
            delivered += SIZE
        if self.now % self.feedback_ns == 0 and self.arrived:
            self.returning.append((self.now + self.back_ns, self.take_report()))
        while self.returning and self.returning[0][0] <= self.now:
            at, packets = self.returning.pop(0)
            rtt = at - packets[-1].sent_ns
            self.controller.on_report(0.0, rtt, self.now)
            self.controller.on_feedback(Feedback(self.now, packets))
        if self.now % (100 * MS) == 0:
            self.controller.on_tick(self.now)
        self.samples.append((self.now, self.controller.estimate(), out, delivered, delay))

    def take_report(self) -> list[PacketResult]:
        newest = max(self.arrived)
        told = sorted(number for number in self.sent if number <= newest)
        packets = [PacketResult(self.sent.pop(n), self.arrived.get(n), SIZE) for n in told]
        self.arrived.clear()
        return packets

    def since(self, seconds: float) -> list:
        return [sample for sample in self.samples if sample[0] > self.now - seconds * 1e9]

    def mean_estimate(self, seconds: float) -> float:
        window = self.since(seconds)
        return sum(sample[1] for sample in window) / len(window)

    def delivered_bps(self, seconds: float) -> float:
        return sum(sample[3] for sample in self.since(seconds)) * 8 / seconds

    def mean_queue_ms(self, seconds: float) -> float:
        delays = [sample[4] for sample in self.since(seconds) if sample[3]]
        return sum(delays) / len(delays)


def loop(
    controller: CongestionController, rate_bps: int, *, loss: float = 0.0, queue_ms: int = 200, seed: int = 1
) -> Loop:
    return Loop(controller, Link(link_of(rate_bps, loss, queue_ms), seed=seed))


def link_of(rate_bps: int, loss: float = 0.0, queue_ms: int = 200) -> LinkConfig:
    return LinkConfig(loss=loss, delay_ns=20 * MS, rate_bps=rate_bps, queue_bytes=rate_bps * queue_ms // 8000)
