"""Print the tables of docs/congestion.md: `python -m tests.rtpfwd.congestion.figures`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from rtpfwd.congestion.boxes import FeedbackWriting
from rtpfwd.congestion.gcc import Gcc
from server.testing.netem import MS
from tests.rtpfwd.congestion.closed_loop import SECOND, Outcome, Scenario, run
from tests.rtpfwd.congestion.test_closed_loop import CONSTANT, LOSSY, STEPS

SEEDS = range(1, 9)


def spread(scenario: Scenario, figure: Callable[[Outcome], float], digits: int) -> str:
    """Median and range over the seeds."""
    found = [figure(run(scenario, seed)) for seed in SEEDS]
    return f"{statistics.median(found):.{digits}f} ({min(found):.{digits}f} to {max(found):.{digits}f})"


def constant(scenario: Scenario) -> str:
    """One row."""
    rate = scenario.rates[0][1]
    cells = (
        spread(scenario, lambda o: 100 * o.mean_estimate(10, 30) / rate, 0),
        spread(scenario, lambda o: o.first_reaching(0.85 * rate, 0), 2),
        spread(scenario, lambda o: o.mean_queue_ms(), 0),
        spread(scenario, lambda o: 100 * o.overflow(), 1),
    )
    return f"| {scenario.name} | {' | '.join(cells)} |"


def step(scenario: Scenario) -> str:
    """One row."""
    low, high = scenario.rates[1][1], min(scenario.rates[2][1], scenario.wanted)
    cells = (
        spread(
            scenario,
            lambda o: (
                next(at for at, bps in o.flows[0].samples if at >= 15 * SECOND and bps <= 1.05 * low) / SECOND - 15
            ),
            2,
        ),
        spread(scenario, lambda o: o.first_reaching(0.8 * high, 30), 2),
        spread(scenario, lambda o: o.mean_queue_ms(), 0),
        spread(scenario, lambda o: 100 * o.overflow(), 1),
    )
    return f"| {scenario.name} | {' | '.join(cells)} |"


def shares(outcome: Outcome) -> list[float]:
    """Per cent of the link that each of two flows had."""
    return [100 * outcome.sent_bps(20, 60, flow) / outcome.scenario.rates[0][1] for flow in (0, 1)]


def cost(packets: int, messages: int = 2000) -> float:
    """ns of one feedback message about so many packets, from Python; the median."""
    gcc, writer = Gcc(), FeedbackWriting()
    spent = []
    for message in range(messages):
        for index in range(packets):
            now = (message * packets + index) * 80 * MS // packets
            number = (message * packets + index) & 0xFFFF
            gcc.sent(number, 1200, 0, now)
            writer.receive(number, now + 20 * MS)
        body = writer.write()
        assert body is not None
        began = time.perf_counter_ns()
        gcc.feedback(body, (message + 1) * 80 * MS + 40 * MS)
        spent.append(time.perf_counter_ns() - began)
    return statistics.median(spent)


if __name__ == "__main__":
    print("| link | mean estimate, % | 85 % after, s | mean queue, ms | overflow, % |\n|---|---|---|---|---|")
    for scenario in (*CONSTANT, *LOSSY):
        print(constant(scenario))
    print("\n| steps | under after, s | 80 % after, s | mean queue, ms | overflow, % |\n|---|---|---|---|---|")
    for scenario in STEPS:
        print(step(scenario))
    print()
    for rate in (600_000, 2_000_000, 5_000_000):
        for begins in (0.0, 5.0):
            shared = Scenario("shared", ((0, rate),), 60, flows=(0.0, begins))
            smaller = spread(shared, lambda o: min(shares(o)), 0)
            larger = spread(shared, lambda o: max(shares(o)), 0)
            print(f"| {rate // 1000} kbit/s, second after {begins:.0f} s | {smaller} | {larger} |")
    for packets in (8, 40, 120):
        print(f"{packets} packets a message: {cost(packets):.0f} ns")
