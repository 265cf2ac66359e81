"""The seeded link: every packet has the fate that its configuration says, and the same one each time."""

from __future__ import annotations

import itertools

import pytest

from server.testing.netem import MS, SECOND, CrossTraffic, Link, LinkConfig


def fates(
    config: LinkConfig, *, seed: int = 1, packets: int = 2000, gap: int = MS
) -> tuple[Link, list[tuple[int, int]]]:
    link = Link(config, seed=seed)
    arrivals = []
    for number in range(packets):
        link.send(number, 1000, number * gap)
    while (due := link.next_timeout()) is not None:
        packet = link.poll(due)
        assert packet is not None
        arrivals.append((due, packet))
    return link, arrivals


def test_a_perfect_link_delivers_everything_in_order_at_once():
    _, arrivals = fates(LinkConfig())
    assert arrivals == [(number * MS, number) for number in range(2000)]


def test_the_same_seed_repeats_and_another_differs():
    config = LinkConfig(loss=0.1, jitter_ns=5 * MS, duplicate=0.1, reorder=0.1)
    assert fates(config, seed=7)[1] == fates(config, seed=7)[1]
    assert fates(config, seed=7)[1] != fates(config, seed=8)[1]


@pytest.mark.parametrize("loss", [0.02, 0.05, 0.5, 1.0])
def test_loss_is_what_was_asked_for(loss: float):
    link, arrivals = fates(LinkConfig(loss=loss))
    assert link.counters.lost == 2000 - len(arrivals) == pytest.approx(2000 * loss, rel=0.3)


def test_delay_and_jitter_bound_every_arrival_without_reordering():
    _, arrivals = fates(LinkConfig(delay_ns=20 * MS, jitter_ns=10 * MS))
    assert [packet for _, packet in arrivals] == list(range(2000))
    for arrived, packet in arrivals:
        assert 20 * MS <= arrived - packet * MS <= 31 * MS


def test_reordered_packets_overtake():
    _, arrivals = fates(LinkConfig(delay_ns=20 * MS, reorder=0.1))
    order = [packet for _, packet in arrivals]
    assert order != sorted(order)
    assert sorted(order) == list(range(2000))


def test_duplicates_are_counted_and_delivered():
    link, arrivals = fates(LinkConfig(duplicate=0.2))
    assert len(arrivals) == 2000 + link.counters.duplicated
    assert link.counters.duplicated > 200


def test_the_rate_limit_spaces_packets_and_drops_what_the_queue_cannot_hold():
    link, arrivals = fates(LinkConfig(rate_bps=4_000_000, queue_bytes=10_000))  # half of what is offered
    times = [arrived for arrived, _ in arrivals]
    gaps = {later - earlier for earlier, later in itertools.pairwise(times)}
    assert min(gaps) >= 2 * MS  # 1000 bytes at 4 Mbit/s
    assert link.counters.overflowed == pytest.approx(1000, rel=0.05)
    assert max(arrived - packet * MS for arrived, packet in arrivals) <= 2 * MS + 20 * MS + MS


def test_a_change_of_character_leaves_packets_on_their_way_alone():
    link = Link(LinkConfig(delay_ns=10 * MS), seed=1)
    link.send("before", 100, 0)
    link.config = LinkConfig(loss=1.0)
    link.send("after", 100, 1)
    assert link.poll(10 * MS) == "before"
    assert link.next_timeout() is None


@pytest.mark.parametrize("bad", [{"loss": 1.5}, {"loss": -0.1}, {"rate_bps": 0}])
def test_an_impossible_link_is_refused(bad: dict):
    with pytest.raises(ValueError, match=r"probability|positive"):
        LinkConfig(**bad)


def burst_lengths(fates: list[bool]) -> list[int]:
    """How many packets in a row were lost, each time."""
    runs, run = [], 0
    for lost in [*fates, False]:
        if lost:
            run += 1
        elif run:
            runs.append(run)
            run = 0
    return runs


def test_losses_come_in_bursts_of_the_promised_length_and_share():
    """Gilbert-Elliott: the bad state holds p / (p + r) of the time, and lasts 1 / r packets."""
    link = Link(LinkConfig(burst_enter=0.01, burst_leave=0.25), seed=5)
    fates = []
    for number in range(40_000):
        before = link.counters.lost
        link.send(number, 100, number)
        fates.append(link.counters.lost > before)
    assert 0.8 * 0.0385 < sum(fates) / len(fates) < 1.2 * 0.0385
    runs = burst_lengths(fates)
    assert 3.5 < sum(runs) / len(runs) < 4.5


def test_what_waits_when_the_rate_changes_goes_on_at_the_new_rate():
    """Two packets of 1000 bytes at 8 kbit/s take a second each; after half a second the rate is doubled."""
    link = Link(LinkConfig(rate_bps=8000, delay_ns=10 * MS), seed=1)
    link.plan([(500 * MS, LinkConfig(rate_bps=16_000, delay_ns=10 * MS))])
    link.send("first", 1000, 0)
    link.send("second", 1000, 0)
    assert link.next_timeout() == 500 * MS  # the plan moves what comes after
    arrived = [link.take(2000 * MS) for _ in range(2)]
    assert [(each.due, each.packet) for each in arrived if each] == [(760 * MS, "first"), (1260 * MS, "second")]
    assert link.next_timeout() is None


def test_a_queue_of_milliseconds_holds_less_on_a_slower_link():
    dropped = []
    for rate in (800_000, 80_000):
        link = Link(LinkConfig(rate_bps=rate, queue_ns=100 * MS), seed=1)
        for number in range(50):
            link.send(number, 1000, 0)
        dropped.append(link.counters.overflowed)
    assert dropped == [50 - 11, 50 - 2]


def test_cross_traffic_takes_its_share_of_the_line_and_leaves_our_losses_alone():
    def run(cross: CrossTraffic | None) -> tuple[int, int, list[int]]:
        link = Link(LinkConfig(rate_bps=1_000_000, loss=0.1, queue_ns=SECOND), seed=3, cross=cross)
        arrived = []
        for number in range(400):  # 400 kbit/s for eight seconds
            link.send(number, 1000, number * 20 * MS)
        while (packet := link.poll(20 * SECOND)) is not None:
            arrived.append(packet)
        return link.counters.waited_ns, link.counters.crossed, arrived

    quiet, crossing = run(None), run(CrossTraffic(rate_bps=400_000, on_ns=SECOND, off_ns=SECOND))
    assert quiet[0] == 0
    assert quiet[2] == crossing[2]
    assert crossing[0] > 0
    assert 0.2 * 333 < crossing[1] < 0.8 * 333  # on for about half of the time


def test_a_plan_must_go_forwards():
    link = Link(LinkConfig(), seed=1)
    with pytest.raises(ValueError, match="comes after"):
        link.plan([(2 * SECOND, LinkConfig()), (SECOND, LinkConfig())])
