"""The controller as a whole: its contract with the plane."""

from __future__ import annotations

import pytest

from rtpfwd.congestion.boxes import FeedbackWriting
from rtpfwd.congestion.gcc import Gcc

MS = 1_000_000
SECOND = 1000 * MS


def talk(
    gcc: Gcc, since: int, seconds: float, *, seq: int = 0, every: int = 10, size: int = 1000, beside: int = 0
) -> int:
    """A packet each 10 ms over a path of 20 ms, feedback each 80 ms; the next number."""
    writer = FeedbackWriting()
    for now in range(since, since + int(seconds * SECOND), every * MS):
        if beside:
            gcc.sent_beside(beside, now)
        gcc.sent(seq, size, 0, now)
        writer.receive(seq & 0xFFFF, now + 20 * MS)
        seq += 1
        due = writer.due()
        if due is not None and due <= now + 20 * MS:
            body = writer.write()
            assert body is not None
            assert gcc.feedback(body, now + 40 * MS)
    return seq


def test_figures_after_a_second_of_talk() -> None:
    gcc = Gcc(start_bps=800_000)
    talk(gcc, 0, 2)
    state = gcc.state()
    assert state["acked_bps"] == pytest.approx(800_000, rel=0.02)
    assert 40 * MS <= state["rtt"] <= 60 * MS
    assert (state["loss"], state["packets_lost"], state["usage"]) == (0, 0, 0)
    assert state["packets_acked"] >= 180
    assert gcc.pacing_bps == pytest.approx(1.1 * gcc.estimate_bps, rel=0.001)


def test_what_nobody_tells_of_takes_its_share_of_what_arrives() -> None:
    """Sound of most clients has no transport-wide numbers: 500 bytes of it with each packet of 1,000."""
    gcc = Gcc(start_bps=2_000_000)
    talk(gcc, 0, 2, beside=500)
    assert gcc.state()["acked_bps"] == pytest.approx(1_200_000, rel=0.03)


def test_a_queue_that_stands_on_a_path_of_few_packets_is_congestion() -> None:
    """Twenty groups of 7 a second tell the slope of three seconds; by then a queue that was filled in one stands full,
    and does not grow any more."""
    gcc, writer = Gcc(start_bps=100_000), FeedbackWriting()
    for seq in range(100):
        now = seq * 150 * MS
        queue = 300 * MS if seq >= 30 else 0
        gcc.sent(seq, 1500, 0, now)
        writer.receive(seq, now + 20 * MS + queue)
        body = writer.write()
        assert body is not None
        assert gcc.feedback(body, now + 40 * MS + queue)
    assert gcc.estimate_bps < 85_000


def test_a_standing_queue_is_drained_before_the_pace_is_that_of_the_estimate_again() -> None:
    gcc, writer = Gcc(start_bps=800_000), FeedbackWriting()
    paces = []
    for seq in range(
        600
    ):  # a packet each 10 ms; from the second second on the queue grows by 4 ms with each, then it shrinks
        now = seq * 10 * MS
        queue = max(0, min(4 * (seq - 200), 160) - max(0, 2 * (seq - 300))) * MS
        gcc.sent(seq, 1000, 0, now)
        writer.receive(seq, now + 20 * MS + queue)
        if seq % 8 == 7:
            body = writer.write()
            assert body is not None
            assert gcc.feedback(body, now + 30 * MS + queue)
            paces.append((queue // MS, gcc.pacing_bps / gcc.estimate_bps))
    assert {round(pace, 2) for queue, pace in paces[:20]} == {1.1}
    assert {round(pace, 2) for queue, pace in paces if queue == 160} == {0.85}
    assert {round(pace, 2) for queue, pace in paces[60:]} == {1.1}


def estimates_over(*, rate_after: int, delay_after: int = 20 * MS) -> list[tuple[int, int]]:
    """1.6 Mbit/s over 3 Mbit/s and 20 ms of way, with feedback each 60 ms; after 2 s the link is another. A queue holds
    100 ms. When the estimate changed, ms after that, and what to."""
    gcc, writer = Gcc(start_bps=2_000_000), FeedbackWriting()
    on_way: list[tuple[int, int]] = []
    free, changes = 0, []
    for now in range(0, 3 * SECOND, 6 * MS):
        rate, delay = (rate_after, delay_after) if now >= 2 * SECOND else (3_000_000, 20 * MS)
        seq = now // (6 * MS)
        gcc.sent(seq, 1200, 0, now)
        if free - now < 100 * MS:
            free = max(free, now) + 1200 * 8 * SECOND // rate
            on_way.append((free + delay, seq))
        while on_way and on_way[0][0] <= now:
            at, arrived = on_way.pop(0)
            writer.receive(arrived, at)
        body = writer.write() if seq % 10 == 0 else None
        if body is not None:
            before = gcc.estimate_bps
            assert gcc.feedback(body, now)
            if now >= 2 * SECOND and gcc.estimate_bps < before:
                changes.append(((now - 2 * SECOND) // MS, gcc.estimate_bps))
    return changes


def test_a_link_that_breaks_down_is_believed_before_its_queue_is_full() -> None:
    at, bps = estimates_over(rate_after=500_000)[0]
    assert at < 200  # two messages, of which the first is half from before
    assert bps == pytest.approx(500_000, rel=0.1)


@pytest.mark.parametrize(("rate", "delay"), [(3_000_000, 120 * MS), (1_200_000, 20 * MS)])
def test_a_longer_way_and_a_slightly_narrower_link_are_no_breakdown(rate: int, delay: int) -> None:
    assert all(bps > 0.4 * 1_600_000 for _, bps in estimates_over(rate_after=rate, delay_after=delay))


def test_packets_that_were_sent_as_far_apart_as_they_arrive_show_no_breakdown() -> None:
    """Two frames of a path that became 60 ms longer: two packets in 41 ms are little, but no less than was sent."""
    gcc, writer = Gcc(start_bps=2_000_000), FeedbackWriting()
    talk(gcc, 0, 2, every=6, size=1200)
    estimate, now, seq = gcc.estimate_bps, 2 * SECOND, 1000
    for after in (0, 40, 41):
        gcc.sent(seq, 1200, 0, now + after * MS)
        writer.receive(seq, now + (after + 80) * MS)
        seq += 1
    body = writer.write()
    assert body is not None
    assert gcc.feedback(body, now + 141 * MS)
    assert gcc.estimate_bps == pytest.approx(estimate, rel=0.05)


def test_results_tell_of_each_packet_once() -> None:
    gcc = Gcc()
    writer = FeedbackWriting()
    for seq in (65534, 65535, 0, 1):
        gcc.sent(seq, 100 + seq % 7, 9 if seq == 1 else 0, seq * MS)
        if seq != 65535:
            writer.receive(seq, 5 * SECOND + seq % 100 * MS)
    body = writer.write()
    assert body is not None
    assert gcc.feedback(body, SECOND)
    found = gcc.results()
    assert [(sent, size, probe) for sent, _, size, probe in found] == [
        (65534 * MS, 100, 0),
        (65535 * MS, 101, 0),
        (0, 100, 0),
        (MS, 101, 9),
    ]
    assert [arrived is None for _, arrived, _, _ in found] == [False, True, False, False]
    assert gcc.feedback(body, SECOND + MS)  # the same again
    assert gcc.results() == ()
    assert gcc.state()["packets_lost"] == 1


def test_a_packet_that_was_only_late_is_no_loss() -> None:
    gcc = Gcc()
    for seq in range(3):
        gcc.sent(seq, 100, 0, seq * MS)
    assert gcc.feedback(bytes.fromhex("0000 0003 000001 00 b400 00"), SECOND) is False  # a delta short
    assert gcc.state()["feedback_messages"] == 0
    assert gcc.feedback(bytes.fromhex("0000 0003 000001 00 a800 00 00"), SECOND)
    assert gcc.state()["packets_lost"] == 1
    assert gcc.feedback(bytes.fromhex("0001 0001 000001 01 2001 09"), SECOND)
    assert (gcc.state()["packets_lost"], gcc.state()["packets_acked"]) == (0, 3)


def test_remb_is_the_estimate_alone_and_a_limit_beside_feedback() -> None:
    gcc = Gcc(start_bps=600_000)
    gcc.remb(2_000_000, 0)
    assert (gcc.estimate_bps, gcc.state()["cause"]) == (2_000_000, "remb")
    talk(gcc, 0, 1)
    assert gcc.estimate_bps < 1_300_000
    gcc.remb(300_000, SECOND)
    assert gcc.estimate_bps == 300_000


def test_receiver_reports_alone() -> None:
    gcc = Gcc(start_bps=600_000)
    for turn in range(11):
        gcc.sent(turn, 1000, 0, turn * SECOND)
        gcc.report(128, 100, 50 * MS, turn * SECOND)
    assert gcc.estimate_bps < 60_000
    assert gcc.state()["rtt"] == 50 * MS
    assert gcc.state()["cause"] == "loss"


def test_silence_cuts_and_says_so() -> None:
    gcc = Gcc(start_bps=800_000)
    seq = talk(gcc, 0, 2)
    before = gcc.estimate_bps
    gcc.sent(seq, 1000, 0, 2 * SECOND)
    due = gcc.due()
    assert due is not None
    gcc.tick(2 * SECOND + 100 * MS)
    assert gcc.estimate_bps == before
    gcc.tick(4 * SECOND)
    assert gcc.estimate_bps == before // 2
    assert gcc.state()["cause"] == "silence"
    for turn in range(5, 30):
        gcc.tick(turn * SECOND)
    assert gcc.estimate_bps == 30_000


def test_somebody_elses_estimate_and_back() -> None:
    gcc = Gcc(start_bps=600_000)
    gcc.override(123_456, 0)
    assert (gcc.estimate_bps, gcc.state()["cause"]) == (123_456, "set")
    talk(gcc, 0, 1)
    assert gcc.estimate_bps == 123_456
    gcc.override(None, SECOND)
    assert gcc.estimate_bps > 500_000


def test_limits_hold_and_may_change() -> None:
    gcc = Gcc(start_bps=600_000, max_bps=700_000)
    talk(gcc, 0, 20)
    assert gcc.estimate_bps == 700_000
    gcc.configure(start_bps=200_000, min_bps=100_000, max_bps=300_000, now=20 * SECOND)
    assert gcc.estimate_bps == 300_000
    with pytest.raises(ValueError, match="min"):
        Gcc(start_bps=10_000)


def test_the_first_feedback_asks_for_a_probe() -> None:
    gcc = Gcc(start_bps=600_000)
    gcc.set_wanted(5_000_000, 0)
    assert gcc.take_probe(0) is None
    talk(gcc, 0, 0.15)
    assert gcc.take_probe(150 * MS) == (1, 2_400_000, 4500, 5)
    assert gcc.take_probe(150 * MS) is None  # once


def test_a_message_may_tell_of_more_than_was_ever_sent() -> None:
    gcc = Gcc()
    gcc.sent(0, 100, 0, 0)
    assert gcc.feedback(bytes.fromhex("0000 ffff 000001 00") + bytes.fromhex("1fff") * 9, SECOND)
    assert [arrived for _, arrived, _, _ in gcc.results()] == [None]
