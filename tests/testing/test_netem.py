"""The seeded link: every packet has the fate that its configuration says, and the same one each time."""

from __future__ import annotations

import itertools

import pytest

from server.testing.netem import MS, Link, LinkConfig


def fates(
    config: LinkConfig, *, seed: int = 1, packets: int = 2000, gap: int = MS
) -> tuple[Link[int], list[tuple[int, int]]]:
    link = Link[int](config, seed=seed)
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
    link = Link[str](LinkConfig(delay_ns=10 * MS), seed=1)
    link.send("before", 100, 0)
    link.config = LinkConfig(loss=1.0)
    link.send("after", 100, 1)
    assert link.poll(10 * MS) == "before"
    assert link.next_timeout() is None


@pytest.mark.parametrize("bad", [{"loss": 1.5}, {"loss": -0.1}, {"rate_bps": 0}])
def test_an_impossible_link_is_refused(bad: dict):
    with pytest.raises(ValueError, match=r"probability|positive"):
        LinkConfig(**bad)
