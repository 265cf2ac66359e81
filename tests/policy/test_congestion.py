"""Congestion controllers: NADA in a closed loop over links, REMB and the constant by hand."""

from __future__ import annotations

import pytest

from server.policy.congestion.fixed import Fixed
from server.policy.congestion.nada import Nada
from server.policy.congestion.native import Native
from server.policy.congestion.remb import Remb
from server.policy.protocols import Feedback, PacketResult
from tests.policy.nada_loop import MS, link_of, loop

SECOND = 1000 * MS


@pytest.mark.parametrize("max_bps", [6_000_000, 100_000_000])
@pytest.mark.parametrize("rate", [300_000, 500_000, 1_000_000, 2_000_000, 5_000_000])
def test_nada_finds_the_rate_of_a_link(rate, max_bps):
    path = loop(Nada(max_bps=max_bps), rate)
    path.run(10)
    assert 0.85 * rate <= path.mean_estimate(1) <= 1.05 * rate
    path.run(20)
    assert 0.9 * rate <= path.mean_estimate(10) <= 1.05 * rate
    assert path.delivered_bps(10) > 0.9 * rate
    assert path.mean_queue_ms(10) < 80
    assert path.link.counters.overflowed < 0.02 * path.link.counters.sent


def test_nada_follows_a_step_down_and_up():
    path = loop(Nada(), 3_000_000, queue_ms=100)
    path.run(25)
    path.link.config = link_of(500_000, queue_ms=100)
    path.run(2)
    assert path.controller.estimate() < 550_000
    path.run(8)
    assert 0.85 * 500_000 < path.mean_estimate(2) < 1.05 * 500_000
    path.link.config = link_of(3_000_000, queue_ms=100)
    path.run(10)
    assert path.mean_estimate(1) > 0.8 * 3_000_000


@pytest.mark.parametrize(
    ("loss", "least", "most"), [(0.01, 0.85, 1.05), (0.02, 0.6, 1.05), (0.03, 0.4, 1.0), (0.05, 0.2, 0.5)]
)
@pytest.mark.parametrize("max_bps", [6_000_000, 100_000_000])
def test_nada_gives_way_to_random_loss_by_degrees(loss, least, most, max_bps):
    path = loop(Nada(max_bps=max_bps), 1_000_000, loss=loss)
    path.run(40)
    assert least * 1_000_000 < path.mean_estimate(10) < most * 1_000_000
    assert path.mean_queue_ms(10) < 120


def test_nada_does_not_believe_a_rate_that_nobody_sends():
    path = loop(Nada(), 3_000_000)
    path.most_bps = 400_000
    path.run(30)
    assert path.controller.estimate() <= 1.6 * 400_000


def test_two_nada_flows_that_are_alike_take_the_same_path_bit_for_bit():
    one, two = loop(Nada(), 800_000, loss=0.01), loop(Nada(), 800_000, loss=0.01)
    one.run(10)
    two.run(10)
    assert one.samples == two.samples


def test_nada_survives_a_longer_path():
    """It looks like a queue that never drains, until the rate can't be the reason any more."""
    path = loop(Nada(), 1_000_000)
    path.run(10)
    path.link.config = path.link.config.__class__(delay_ns=120 * MS, rate_bps=1_000_000, queue_bytes=25_000)
    path.run(20)
    assert path.mean_estimate(2) > 700_000


def test_nada_halves_while_nothing_is_heard():
    controller = Nada(start_bps=800_000)
    controller.on_tick(5 * SECOND)
    assert controller.estimate() == 800_000  # nothing was sent yet
    controller.on_feedback(Feedback(5 * SECOND, [PacketResult(5 * SECOND - 50 * MS, 5 * SECOND, 1000)]))
    before = controller.estimate()
    controller.on_tick(5 * SECOND + 900 * MS)
    assert controller.estimate() == before
    controller.on_tick(6 * SECOND)
    controller.on_tick(6 * SECOND + 100 * MS)
    assert controller.estimate() == before // 2
    assert controller.explain()["cause"] == "silence"


def test_nada_with_nothing_but_losses_does_not_fail():
    controller = Nada()
    controller.on_feedback(Feedback(SECOND, [PacketResult(SECOND, None, 1000)]))
    controller.on_feedback(Feedback(SECOND, []))
    assert controller.estimate() == 600_000


def test_nada_goes_on_from_the_estimate_before_it():
    controller = Nada()
    controller.inherit(2_345_678, SECOND)
    assert controller.estimate() == 2_345_678
    controller.inherit(10**9, SECOND)
    assert controller.estimate() == 6_000_000


@pytest.mark.parametrize("kind", [Nada, Remb])
def test_limits_that_make_no_sense_are_refused(kind):
    with pytest.raises(ValueError, match="min_bps <= start_bps"):
        kind(start_bps=10, min_bps=100)


def test_remb_is_followed_down_at_once_and_up_step_by_step():
    controller = Remb()
    controller.on_remb(900_000, SECOND)
    assert controller.estimate() == 900_000  # the first is all there is to go by
    controller.on_remb(300_000, 2 * SECOND)
    assert controller.estimate() == 300_000
    controller.on_remb(3_000_000, 3 * SECOND)
    assert controller.estimate() == 450_000
    for tick in range(10):
        controller.on_tick(3 * SECOND + tick * 100 * MS + 100 * MS)
    assert controller.estimate() == pytest.approx(675_000, rel=0.01)


def test_remb_is_cut_by_loss_and_does_not_rise_while_it_lasts():
    controller = Remb(start_bps=1_000_000)
    controller.on_remb(1_000_000, SECOND)
    controller.on_report(0.05, None, SECOND)
    assert controller.estimate() == 1_000_000
    controller.on_report(0.2, None, SECOND)
    controller.on_report(0.2, None, SECOND + MS)  # the same loss, told by another report block
    assert controller.estimate() == 900_000
    controller.on_tick(2 * SECOND)
    assert controller.estimate() == 900_000
    assert controller.explain()["cause"] == "loss"


def test_a_remb_that_is_old_says_nothing_any_more():
    controller = Remb()
    controller.on_remb(700_000, SECOND)
    controller.on_tick(12 * SECOND)
    assert controller.estimate() == 700_000
    assert controller.explain() == {"cause": "silence", "remb_bps": 0.0, "loss": 0.0}


def test_fixed_is_fixed():
    controller = Fixed(bps=123_000)
    controller.on_remb(5, SECOND)
    controller.on_report(1.0, None, SECOND)
    controller.on_feedback(Feedback(SECOND, []))
    controller.on_tick(SECOND)
    assert controller.estimate() == 123_000
    assert controller.explain() == {"cause": "set"}
    with pytest.raises(ValueError, match="positive"):
        Fixed(bps=0)


def test_the_planes_own_is_marked():
    assert Native.native
    assert Native().explain() == {"cause": "native"}
