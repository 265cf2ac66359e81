"""One received SSRC: numbering, loss, jitter, reports, and what is asked for again."""

from __future__ import annotations

import random

import pytest

from rtpfwd import probe

MS = 1_000_000
SECOND = 1000 * MS


def refused(call: object, *args: object, **kwargs: object) -> str:
    with pytest.raises(probe.Refused) as found:
        call(*args, **kwargs)  # type: ignore[operator]
    return found.value.reason


def stream(*seqs: int, now: int = 0, **options: bool) -> probe.Receiving:
    made = probe.Receiving(**options)
    for seq in seqs:
        made.receive(seq % 65536, now)
    return made


@pytest.mark.parametrize("first", [0, 1, 100, 65533, 65535])
def test_numbers_are_extended_over_the_wrap_and_back(first: int) -> None:
    received = probe.Receiving()
    for offset in [0, 1, 3, 2, 70, 4, 69, 200, 5]:
        assert received.receive((first + offset) % 65536, 0) == (65536 + first + offset, False)
    assert received.receive((first - 3) % 65536, 0) == (65536 + first - 3, False)


def test_millions_of_packets_in_order_stay_in_order() -> None:
    received = probe.Receiving(nack=False)
    for number in range(65500, 65500 + 200_000, 997):
        assert received.receive(number % 65536, 0)[0] == 65536 + number


def test_a_packet_comes_once() -> None:
    received = stream(10, 11, 13)
    assert refused(received.receive, 13, 0) == "duplicate"
    assert refused(received.receive, 10, 0) == "duplicate"
    assert refused(received.receive, 13, 0, recovered=True) == "duplicate"
    received.receive(12, 0, recovered=True)
    assert refused(received.receive, 12, 0) == "duplicate"
    figures = received.figures(0)
    assert (figures["packets"], figures["duplicates"], figures["recovered"]) == (4, 4, 1)


def test_a_duplicate_is_known_up_to_the_window_and_older_is_a_jump() -> None:
    received = stream(1000, 2000)
    assert refused(received.receive, 1000, 0) == "duplicate"
    received.receive(2023, 0)
    assert refused(received.receive, 1000, 0) == "duplicate"
    assert refused(received.receive, 999, 0) == "sequence_jump"


def test_a_restart_is_believed_at_the_second_packet() -> None:
    received = stream(100, 101)
    assert refused(received.receive, 40000, 0) == "sequence_jump"
    assert refused(received.receive, 50000, 0) == "sequence_jump"  # another jump: begins anew
    assert received.receive(102, 0) == (65536 + 102, False)  # the old numbering goes on: a stray packet only
    assert refused(received.receive, 50001, 0) == "sequence_jump"
    assert received.receive(50002, 0) == (2 * 65536 + 50002, True)
    assert received.receive(50003, 0) == (2 * 65536 + 50003, False)
    assert refused(received.receive, 50001, 0) == "stale"
    assert received.figures(0)["restarts"] == 1


def test_a_recovered_packet_neither_begins_nor_restarts_a_stream() -> None:
    received = probe.Receiving()
    assert refused(received.receive, 10, 0, recovered=True) == "stale"
    received.receive(100, 0)
    for seq in (40000, 40001):
        assert refused(received.receive, seq, 0, recovered=True) == "stale"


def test_the_report_counts_loss_of_the_network() -> None:
    now = 0
    received = stream(*range(100), now=now)
    report = received.report(now)
    assert (report["fraction_lost"], report["cumulative_lost"], report["highest_seq"]) == (0, 0, 99)
    for seq in range(100, 200, 2):
        received.receive(seq, now)
    received.receive(101, now, recovered=True)  # lost on the way all the same
    report = received.report(now)
    assert (report["fraction_lost"], report["cumulative_lost"]) == (49 * 256 // 99, 49)
    received.receive(103, now)  # only late
    assert received.report(now)["cumulative_lost"] == 48
    assert received.report(now)["fraction_lost"] == 0
    assert received.figures(now)["lost"] == 48


def test_loss_before_a_restart_is_remembered() -> None:
    received = stream(0, 2, 4)
    for seq in (40000, 40001, 40003):
        if seq == 40000:
            assert refused(received.receive, seq, 0) == "sequence_jump"
        else:
            received.receive(seq, 0)
    assert received.report(0)["cumulative_lost"] == 3
    assert received.report(0)["highest_seq"] == 65536 + 40003


def test_the_report_names_the_last_sender_report() -> None:
    received = stream(1)
    assert (received.report(0)["last_sr"], received.report(0)["delay_since_last_sr"]) == (0, 0)
    received.sender_report(ntp=0x1122334455667788, rtp=5, now=SECOND)
    report = received.report(SECOND + 1500 * MS)
    assert report["last_sr"] == 0x33445566
    assert report["delay_since_last_sr"] == 65536 * 3 // 2


def test_jitter_follows_the_rfc() -> None:
    rng = random.Random(5)
    start = 10**16  # months of uptime
    received = probe.Receiving(clock_rate=48000)
    expected, before = 0.0, None
    for number in range(500):
        now = start + 20 * MS * number + rng.randrange(10 * MS)
        received.receive(number, now, timestamp=960 * number)
        transit = now * 48000 // 10**9 - 960 * number
        if before is not None:
            expected += (abs(transit - before) - expected) / 16
        before = transit
    assert received.figures(now)["jitter"] == pytest.approx(expected, abs=2)


def test_the_packets_of_one_frame_are_one_sample_of_jitter() -> None:
    received = probe.Receiving()
    for number in range(100):
        received.receive(number, (number // 10 * 33 + number % 10 * 3) * MS, timestamp=number // 10 * 2970)
    assert received.figures(0)["jitter"] == 0


def test_a_new_timeline_is_no_jitter() -> None:
    received = probe.Receiving()
    received.receive(0, 0, timestamp=0)
    received.receive(1, 33 * MS, timestamp=3_000_000_000)
    assert received.figures(0)["jitter"] == 0


def test_the_bitrate_is_that_of_the_last_second() -> None:
    received = probe.Receiving(nack=False)
    for number in range(200):
        received.receive(number, number * 10 * MS, size=1250)
    assert received.figures(2 * SECOND)["bitrate"] == pytest.approx(1_000_000, rel=0.02)
    assert received.figures(5 * SECOND)["bitrate"] == 0


# What is asked for again.


def test_a_missing_packet_is_asked_for_after_a_moment_and_again_each_round_trip() -> None:
    received = stream(10, 12)
    assert received.nacks(0) == []
    due = received.next_timeout()
    assert due == 5 * MS
    assert received.nacks(due, rtt=80 * MS) == [11]
    assert received.nacks(due + 99 * MS, rtt=80 * MS) == []
    assert received.next_timeout() == due + 100 * MS
    assert received.nacks(due + 100 * MS, rtt=80 * MS) == [11]
    received.receive(11, due + 150 * MS, recovered=True)
    assert received.next_timeout() is None
    assert received.nacks(due + SECOND) == []
    assert not received.take_keyframe_wanted()


def test_a_reordered_packet_is_not_asked_for() -> None:
    received = stream(10, 12, 11)
    assert received.nacks(SECOND) == []
    assert received.figures(0)["nacked"] == 0


@pytest.mark.parametrize("rtt", [0, 1, 10 * MS, 100 * MS, 5 * SECOND])
def test_asking_ends_with_a_wish_for_a_keyframe(rtt: int) -> None:
    received = stream(10, 12)
    asked, now = 0, 0
    while (due := received.next_timeout()) is not None:
        assert due > now
        now = due
        asked += len(received.nacks(now, rtt=rtt))
    assert 3 <= asked <= 10
    assert now <= 2 * SECOND
    assert received.take_keyframe_wanted()
    assert not received.take_keyframe_wanted()
    assert received.figures(now)["given_up"] == 1


def test_hopeless_loss_wants_a_keyframe_at_once() -> None:
    received = stream(0, 258)
    assert received.take_keyframe_wanted()
    assert received.next_timeout() is None
    received = stream(0, 257)
    assert not received.take_keyframe_wanted()
    assert received.nacks(SECOND // 2) == list(range(1, 257))


def test_questions_are_in_order_over_the_wrap_and_fit_the_room() -> None:
    received = stream(65530, 65530 + 10)
    wanted = [(65530 + offset) % 65536 for offset in range(1, 10)]
    assert received.nacks(10 * MS, room=4) == wanted[:4]
    assert received.nacks(10 * MS, room=100) == wanted[4:]


def test_without_nack_nothing_is_asked_for() -> None:
    received = stream(10, 12, nack=False)
    assert received.next_timeout() is None
    assert not received.take_keyframe_wanted()


def test_a_restart_forgets_what_was_missing() -> None:
    received = stream(10, 12)
    assert refused(received.receive, 40000, 0) == "sequence_jump"
    received.receive(40001, 0)
    assert received.next_timeout() is None
