"""The other boxes, each by itself against values worked out by hand."""

from __future__ import annotations

import itertools

import pytest

from rtpfwd.congestion.boxes import Acked, Log, Loss, Probing, Queue, Quiet, Rates

MS = 1_000_000
SECOND = 1000 * MS


def test_the_log_extends_numbers_over_their_wrap() -> None:
    log = Log()
    first = log.sent(65534, 100, 1)
    assert [log.sent(seq, 100, 2) - first for seq in (65535, 0, 1)] == [1, 2, 3]
    assert log.extend(65535) == first + 1
    assert log.find(first + 2) == (2, 100)
    assert log.find(first + 4) is None
    assert log.find(first - 1) is None


def test_the_log_grows_while_feedback_is_late_and_no_further() -> None:
    log = Log()
    first = log.sent(0, 100, 0)
    for seq in range(1, 1000):
        log.sent(seq, 100, seq * MS)
    assert (log.capacity, log.find(first)) == (1024, (0, 100))
    for seq in range(1000, 9000):
        log.sent(seq, 100, seq * 100)
    assert log.capacity == 4096
    assert log.find(first) is None


def test_the_log_stays_small_when_feedback_comes() -> None:
    log = Log()
    for seq in range(5000):
        log.acknowledge(log.sent(seq, 100, seq * MS))
    assert log.capacity == 64


def test_the_log_is_small_again_when_feedback_is_in_time_again() -> None:
    log = Log()
    numbers = [log.sent(seq, 100, seq * MS) for seq in range(1000)]
    assert log.capacity == 1024
    for number in numbers:
        log.acknowledge(number)
    for seq in range(1000, 9000):
        number = log.sent(seq, 100, seq * MS)
        log.acknowledge(number - 20)
        assert [log.find(number - back) for back in (0, 20)] == [(seq * MS, 100), ((seq - 20) * MS, 100)]
    assert log.capacity == 64


def test_what_was_called_lost_is_remembered_for_half_a_second() -> None:
    log = Log()
    lost = log.sent(0, 100, 0)
    log.lose(lost)
    for seq in range(1, 500):
        log.acknowledge(log.sent(seq, 100, seq * MS))
        assert log.find(lost) == (0, 100)
    for seq in range(500, 2000):
        log.acknowledge(log.sent(seq, 100, seq * MS))
    assert (log.find(lost), log.capacity) == (None, 64)


@pytest.mark.parametrize(("gap", "places"), [(100, 16), (30, 16), (10, 64), (3, 128)])
def test_as_much_is_kept_of_arrivals_as_the_rate_needs(gap: int, places: int) -> None:
    acked = Acked()
    for index in range(3000 // gap):
        acked.add(index * gap * MS, index * gap * MS, 125 * gap)
    assert (acked.bps, acked.busy_bps, acked.places) == (1_000_000, 1_000_000, places)


def test_a_burst_after_a_silence_does_not_hide_what_was_before() -> None:
    acked = Acked()
    for index in range(14):
        acked.add(index * 20 * MS, index * 20 * MS, 1000)
    for index in range(14):
        acked.add(800 * MS + index * 5 * MS, 800 * MS + index * 5 * MS, 1000)
    # The newest that is 100 ms older than the newest arrival (at 865 ms) came at 260 ms.
    assert acked.busy_bps == 14_000 * 8 * 1000 // 605


def test_arrivals_are_measured_by_the_time_between_them() -> None:
    acked = Acked()
    for index in range(100):
        acked.add(index * 10 * MS, 5 * SECOND + index * 10 * MS, 1250)
        if index < 17:
            assert acked.bps == 0  # too little is known
    assert acked.bps == 1_000_000


def test_a_clump_is_no_higher_rate_than_what_was_sent() -> None:
    acked = Acked()
    for index in range(60):
        acked.add(index * 10 * MS, (index // 10 * 100) * MS, 1250)
    for index in range(60, 70):
        acked.add(index * 10 * MS, 520 * MS, 1250)  # 80 ms too soon
    assert 900_000 < acked.bps <= 1_050_000


def test_a_decrease_goes_below_what_arrives_and_teaches_the_capacity() -> None:
    rates = Rates(1_000_000)
    assert rates.update(1, 800_000, 50 * MS, True, SECOND) == -1
    assert rates.bps == 680_000
    assert rates.capacity == 800_000
    assert rates.update(1, 700_000, 50 * MS, True, SECOND + 20 * MS) == 0  # the answer has not come back
    assert rates.update(1, 700_000, 50 * MS, True, SECOND + 60 * MS) == -1
    assert rates.bps == 595_000


def test_an_overuse_before_anything_is_known_halves() -> None:
    rates = Rates(1_000_000)
    rates.update(1, 0, 0, True, SECOND)
    assert rates.bps == 500_000


def test_growth_is_8_percent_a_second_where_no_capacity_is_known() -> None:
    rates = Rates(1_000_000)
    for turn in range(101):
        rates.update(0, 1_000_000, 50 * MS, True, turn * 10 * MS)
    assert rates.bps == pytest.approx(1_080_000 + 100 * 1000, rel=0.01)  # and 1 kbit/s each time


def test_growth_is_a_packet_for_each_answer_near_the_capacity() -> None:
    rates = Rates(1_000_000)
    rates.set(950_000, True, 0)
    for turn in range(101):
        rates.update(0, 950_000, 100 * MS, True, turn * 10 * MS)
    # A frame of a thirtieth of 950 kbit/s is four packets of 7917 bits, an answer takes 0.2 s.
    assert rates.bps == pytest.approx(950_000 + 7917 / 0.2, rel=0.005)


@pytest.mark.parametrize(("acked", "full", "most"), [(400_000, True, 610_000), (1_000_000, False, 600_000)])
def test_nothing_grows_beyond_what_was_tried(acked: int, full: bool, most: int) -> None:
    rates = Rates(600_000)
    for turn in range(600):
        rates.update(0, acked, 50 * MS, full, turn * 100 * MS)
    assert rates.bps == most


def losing(loss: Loss, share: float, *, seconds: float, queued: bool, estimate: int, since: float = 0.0) -> int | None:
    """100 packets a second, feedback every 100 ms; the lowest bound."""
    owed = 0.0
    lowest = loss.bound
    for turn in range(int(seconds * 10)):
        owed += 10 * share
        lost, owed = int(owed), owed % 1
        loss.update(10 - lost, lost, queued, estimate, estimate // 2, 50 * MS, int(since * SECOND) + turn * 100 * MS)
        found = loss.bound
        lowest = found if lowest is None else lowest if found is None else min(lowest, found)
    return lowest


def test_loss_without_a_queue_is_the_links_nature() -> None:
    loss = Loss()
    assert losing(loss, 0.02, seconds=60, queued=False, estimate=10**6) is None
    assert 0.01 < loss.inherent < 0.03


def test_loss_with_a_queue_holds_and_cuts_to_what_arrives() -> None:
    loss = Loss()
    assert losing(loss, 0.05, seconds=2, queued=True, estimate=10**6) == 10**6
    assert losing(loss, 0.5, seconds=2, queued=True, estimate=10**6, since=2) == 500_000
    losing(loss, 0.0, seconds=60, queued=False, estimate=10**6, since=4)
    assert loss.bound is None


def test_loss_that_no_cut_makes_smaller_is_the_links_nature_too() -> None:
    loss = Loss()
    assert losing(loss, 0.15, seconds=1, queued=False, estimate=10**6) == 850_000
    losing(loss, 0.15, seconds=4, queued=False, estimate=850_000, since=1)
    assert loss.bound is None
    assert loss.inherent == pytest.approx(0.15, abs=0.03)


def probed(
    probing: Probing, first: int, *, bottleneck: int, now: int, lost: int = 0, slower: float = 1, told: bool = True
) -> tuple[int, bool]:
    """Send what is planned, so many times slower than asked, through a link of this rate, and tell of it."""
    plan = probing.take(now)
    assert plan is not None
    number, bps, least, packets = plan
    size = -(-least // packets)
    free = now
    for index in range(packets):
        at = now + int(slower * index * size * 8 * SECOND / bps)
        probing.sent(first + index, size, number, at)
        free = max(free, at) + size * 8 * SECOND // bottleneck
        if told:
            probing.result(first + index, size, at, None if index < lost else free + 20 * MS, at)
    return probing.take_result(first + packets - (1 if told else 0), 20 * MS, 600_000, now + 100 * MS)


def test_the_start_is_probed_at_four_and_eight_times() -> None:
    probing = Probing(600_000, 10**8)
    probing.set_wanted(10**7, 600_000, 0)
    assert probing.take(0) is None
    probing.begin(600_000, 0)
    found, full = probed(probing, 0, bottleneck=10**8, now=0)
    assert found == pytest.approx(2_400_000, rel=0.01)
    assert not full
    assert probed(probing, 5, bottleneck=10**8, now=SECOND)[0] == pytest.approx(4_800_000, rel=0.01)


def test_a_full_link_shows_its_rate_and_ends_the_row() -> None:
    probing = Probing(600_000, 10**8)
    probing.set_wanted(10**7, 600_000, 0)
    probing.begin(600_000, 0)
    found, full = probed(probing, 0, bottleneck=1_000_000, now=0)
    assert found == pytest.approx(950_000, rel=0.01)
    assert full
    assert probing.take(SECOND) is None


def test_a_cluster_that_is_mostly_lost_shows_nothing_more() -> None:
    probing = Probing(600_000, 10**8)
    probing.set_wanted(10**7, 600_000, 0)
    probing.begin(600_000, 0)
    assert probed(probing, 0, bottleneck=10**8, now=0, lost=4) == (0, False)
    assert probing.take(SECOND) is None


def test_a_cluster_that_left_late_is_sent_again_at_once() -> None:
    # Found in Chromium: the lane's timers were 20 ms late, and a viewer on 10 Mbit/s waited 2 s for the next probe.
    probing = Probing(600_000, 10**8)
    probing.set_wanted(10**7, 600_000, 0)
    probing.begin(600_000, 0)
    assert probed(probing, 0, bottleneck=10**8, now=0, slower=2.5)[0] == pytest.approx(960_000, rel=0.01)
    assert probed(probing, 5, bottleneck=10**8, now=SECOND)[0] == pytest.approx(2_400_000, rel=0.01)
    assert probed(probing, 10, bottleneck=10**8, now=2 * SECOND)[0] == pytest.approx(4_800_000, rel=0.01)


def test_a_cluster_that_tells_no_more_when_sent_again_is_left() -> None:
    probing = Probing(600_000, 10**8)
    probing.set_wanted(10**7, 600_000, 0)
    probing.begin(600_000, 0)
    assert probed(probing, 0, bottleneck=10**8, now=0, slower=4)[0] == pytest.approx(600_000, rel=0.01)
    assert probed(probing, 5, bottleneck=10**8, now=SECOND, slower=4)[0] == pytest.approx(600_000, rel=0.01)
    assert probing.take(2 * SECOND) is None


def test_a_cluster_that_no_message_tells_of_is_sent_again_once() -> None:
    # Its packets came before the viewer could read them: its first message begins after them.
    probing = Probing(600_000, 10**8)
    probing.set_wanted(10**7, 600_000, 0)
    probing.begin(600_000, 0)
    assert probed(probing, 0, bottleneck=10**8, now=0, told=False) == (0, False)
    assert probed(probing, 5, bottleneck=10**8, now=SECOND, told=False) == (0, False)
    assert probing.take(2 * SECOND) is None


def test_probes_go_no_further_than_what_is_wanted() -> None:
    probing = Probing(600_000, 10**8)
    probing.set_wanted(700_000, 600_000, 0)
    probing.begin(600_000, 0)
    plan = probing.take(0)
    assert plan is not None
    assert plan[1] == pytest.approx(1_610_000)  # 2.3 times: with so much room a frame need not be paced
    satisfied = Probing(600_000, 10**8)
    satisfied.set_wanted(250_000, 600_000, 0)
    satisfied.begin(600_000, 0)
    assert (satisfied.take(0), satisfied.due()) == (None, None)


def test_mere_room_is_asked_for_ever_more_seldom() -> None:
    probing = Probing(600_000, 10**8)
    probing.begin(600_000, 0)
    probing.set_wanted(500_000, 600_000, 0)
    times = []
    for turn in range(60_000):
        probing.tick(600_000, True, turn * 10 * MS)
        if probing.take(turn * 10 * MS):
            times.append(turn / 100)
    gaps = [later - sooner for sooner, later in itertools.pairwise(times)]
    assert gaps[0] == pytest.approx(30, abs=1)
    assert gaps[-1] == pytest.approx(60, abs=1)
    assert len(times) <= 11


def test_probing_goes_on_while_more_is_wanted_but_not_into_a_queue() -> None:
    probing = Probing(600_000, 10**8)
    probing.begin(600_000, 0)
    probing.set_wanted(10**7, 600_000, 10 * SECOND)
    times = []
    for turn in range(1000, 4000):
        probing.tick(600_000, turn % 20 == 0, turn * 10 * MS)
        if probing.take(turn * 10 * MS):
            times.append(turn / 100)
    gaps = [later - sooner for sooner, later in itertools.pairwise(times)]
    assert 5 <= len(times) <= 12
    assert all(1.9 <= gap <= 4.3 for gap in gaps)


def test_what_is_newly_wanted_is_asked_for_at_once_by_whoever_had_enough() -> None:
    # Found in a bench: 50 viewers whose source had only begun waited 2 to 5 s for what they wanted half a second later.
    probing = Probing(600_000, 10**8)
    probing.begin(600_000, 0)
    probing.set_wanted(250_000, 600_000, 0)
    probing.tick(600_000, True, 10 * MS)
    assert probing.take(10 * MS) is None
    probing.set_wanted(1_500_000, 600_000, 500 * MS)
    probing.tick(600_000, True, 510 * MS)
    plan = probing.take(510 * MS)
    assert plan is not None
    assert plan[1] == 2_400_000


def test_more_room_is_looked_for_at_once_when_what_is_wanted_outgrows_it() -> None:
    probing = Probing(600_000, 10**8)
    probing.begin(600_000, 0)
    probing.set_wanted(250_000, 600_000, 0)
    probing.tick(600_000, True, 10 * MS)
    probing.set_wanted(400_000, 600_000, 500 * MS)  # enough by itself, and no longer twice as much
    probing.tick(600_000, True, 510 * MS)
    plan = probing.take(510 * MS)
    assert plan is not None
    assert plan[1] == pytest.approx(920_000, rel=0.01)
    probing.set_wanted(450_000, 600_000, 1500 * MS)  # there was none: that is known
    for turn in range(200):
        probing.tick(600_000, True, 2500 * MS + turn * 100 * MS)
    assert probing.take(22 * SECOND) is None


def test_silence_halves_after_two_seconds_and_each_second_on() -> None:
    quiet = Quiet()
    quiet.sent(0)
    assert not quiet.cuts(100 * SECOND)  # it may know no feedback at all
    quiet.heard(100 * SECOND)
    assert not quiet.cuts(200 * SECOND)  # nothing to answer to
    quiet.sent(200 * SECOND)
    assert [quiet.cuts(200 * SECOND + at * MS) for at in (1999, 2000, 2001, 3000)] == [False, True, False, True]
    quiet.heard(204 * SECOND)
    assert not quiet.cuts(300 * SECOND)


def test_a_longer_path_is_no_queue_after_twenty_seconds() -> None:
    queue = Queue()
    waits = [queue.add(t * 10 * MS, t * 10 * MS + (70 if t >= 500 else 20) * MS, t * 10 * MS) for t in range(3500)]
    assert waits[499] == 0
    assert waits[700] == pytest.approx(50 * MS, rel=0.01)
    assert waits[3400] == pytest.approx(0, abs=MS)
