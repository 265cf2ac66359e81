"""The controller on links, in virtual time: what docs/congestion.md promises, with several seeds each."""

from __future__ import annotations

import pytest

from tests.rtpfwd.congestion.closed_loop import SECOND, Scenario, run

K = 1000
SEEDS = (1, 2, 3)
LAYERS = (150 * K, 550 * K, 2050 * K)

CONSTANT = [
    Scenario(f"{rate // K} kbit/s, queue {queue} ms", ((0, rate),), queue_ms=queue)
    for rate in (300 * K, 500 * K, 1000 * K, 2000 * K, 5000 * K)
    for queue in (100, 200, 1000)
]
LOSSY = [
    Scenario("2 % lost", ((0, 1000 * K),), delay_ms=30, loss=0.02),
    Scenario("10 % lost", ((0, 1000 * K),), delay_ms=30, loss=0.10),
    Scenario("10 % of feedback lost", ((0, 1000 * K),), feedback_loss=0.1),
    Scenario("20 ms of jitter", ((0, 1000 * K),), jitter_ms=20),
    Scenario("300 ms round trip", ((0, 1000 * K),), delay_ms=150),
]
STEPS = [
    Scenario("3 Mbit/s, 500 kbit/s, 3 Mbit/s", ((0, 3000 * K), (15, 500 * K), (30, 3000 * K)), 45, queue_ms=100),
    Scenario("1 Mbit/s, 300 kbit/s, 5 Mbit/s", ((0, 1000 * K), (15, 300 * K), (30, 5000 * K)), 45),
    Scenario("bufferbloat", ((0, 3000 * K), (15, 500 * K), (30, 3000 * K)), 45, queue_ms=1000),
    Scenario(
        "layers", ((0, 3000 * K), (15, 500 * K), (30, 3000 * K)), 45, queue_ms=100, layers=LAYERS, wanted=LAYERS[-1]
    ),
]


def named(scenarios: list[Scenario]) -> list[object]:
    return [pytest.param(scenario, id=scenario.name) for scenario in scenarios]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scenario", named(CONSTANT))
def test_a_constant_link_is_used_and_not_overfilled(scenario: Scenario, seed: int) -> None:
    rate = scenario.rates[0][1]
    outcome = run(scenario, seed)
    assert 0.85 * rate < outcome.mean_estimate(10, 30) < 1.05 * rate
    assert outcome.first_reaching(0.85 * rate, 0) < 2
    assert outcome.mean_queue_ms() < 100
    assert outcome.mean_queue_ms(10) < 60
    assert outcome.overflow() < 0.02


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scenario", named(LOSSY))
def test_loss_and_jitter_are_no_congestion(scenario: Scenario, seed: int) -> None:
    rate = scenario.rates[0][1]
    outcome = run(scenario, seed)
    assert 0.85 * rate < outcome.mean_estimate(10, 30) < 1.05 * rate
    assert min(outcome.estimates(10, 30)) > 0.6 * rate
    assert outcome.mean_queue_ms() < 100
    assert outcome.overflow() < 0.02


@pytest.mark.parametrize("seed", SEEDS)
def test_two_percent_of_loss_keep_the_middle_layer(seed: int) -> None:
    """1 Mbit/s, 60 ms round trip: 550 kbit/s fit, and the estimate never says otherwise after the first second."""
    scenario = Scenario(
        "layers", ((0, 1000 * K),), delay_ms=30, loss=0.02, queue_ms=100, layers=LAYERS, wanted=LAYERS[-1]
    )
    outcome = run(scenario, seed)
    assert min(outcome.estimates(1, 30)) > 1.1 * LAYERS[1]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scenario", named(STEPS))
def test_steps_are_followed_down_and_up(scenario: Scenario, seed: int) -> None:
    low, high = scenario.rates[1][1], min(scenario.rates[2][1], scenario.wanted)
    outcome = run(scenario, seed)
    under = next(at for at, bps in outcome.flows[0].samples if at >= 15 * SECOND and bps <= 1.05 * low)
    assert under < 17 * SECOND
    assert outcome.sent_bps(17, 30) < low
    assert max(outcome.estimates(17, 25)) < 1.2 * low
    assert 0.75 * low < outcome.mean_estimate(20, 30) < 1.05 * low
    assert outcome.first_reaching(0.8 * high, 30) < 5
    assert outcome.overflow() < 0.02


@pytest.mark.parametrize("seed", SEEDS)
def test_a_start_above_the_link_comes_down_without_a_storm(seed: int) -> None:
    """600 kbit/s into 300 kbit/s with 200 ms of queue."""
    outcome = run(Scenario("too fast", ((0, 300 * K),), seconds=10), seed)
    assert max(outcome.estimates(0.6, 3)) < 300 * K
    assert outcome.overflow() < 0.05
    assert outcome.mean_queue_ms(2, 10) < 60


@pytest.mark.parametrize(
    ("rate", "queue_ms", "begins"),
    [(2000 * K, 200, 0.0), (2000 * K, 200, 10.0), (5000 * K, 200, 5.0), (600 * K, 200, 5.0)],
)
def test_two_senders_share_a_link(rate: int, queue_ms: int, begins: float) -> None:
    """Each gets its half within a fifth of the link, in the mean of the seeds, and together they use it."""
    ratios = []
    for seed in range(1, 7):
        outcome = run(Scenario("shared", ((0, rate),), 60, queue_ms=queue_ms, flows=(0.0, begins)), seed)
        shares = [outcome.sent_bps(20, 60, flow) / rate for flow in (0, 1)]
        assert 0.8 < sum(shares) < 1.02
        assert min(shares) > 0.25
        assert outcome.mean_queue_ms(20) < 100
        ratios.append(min(shares) / sum(shares))
    assert sum(ratios) / len(ratios) > 0.4


def test_two_runs_are_the_same() -> None:
    scenario = Scenario("again", ((0, 1000 * K),), seconds=5, loss=0.05, jitter_ms=5)
    assert run(scenario, 4).flows[0].samples == run(scenario, 4).flows[0].samples
    assert run(scenario, 4).flows[0].delays != run(scenario, 5).flows[0].delays
