"""The pacer, through the plane: bursts, order, bounds, and what happens to what waits."""

from __future__ import annotations

import pytest

from rtpfwd.memory import memory_report
from rtpfwd.params import CongestionParams, SrtpProfile
from tests.rtpfwd.path_world import EXTERNAL, Path
from tests.rtpfwd.plane_world import MS, nack, pli

PROFILES = [None, SrtpProfile.AES128_CM_SHA1_80, SrtpProfile.AEAD_AES_128_GCM]
WIRE = 28  # IP and UDP


def started(path: Path) -> Path:
    """The first keyframe is through, and its budget is paid."""
    path.frame(keyframe=True)
    path.advance(200)
    path.log.clear()
    return path


@pytest.mark.parametrize("profile", PROFILES)
def test_a_large_frame_leaves_in_small_bursts_at_the_pacing_rate(profile: SrtpProfile | None) -> None:
    path = started(Path(CongestionParams(start_bps=2_000_000, controller="external"), profile=profile))
    pacing = path.plane.congestion(path.viewer.handle).pacing_bps
    begun = path.world.now
    path.frame(60)
    direct = len(path.log)
    figures = path.plane.congestion(path.viewer.handle)
    assert 0 < direct < 10
    assert figures.queued_bytes > 0
    assert figures.queued_ms == pytest.approx(figures.queued_bytes * 8e3 / pacing)
    path.advance(1000)
    media = path.media()
    assert [packet.seq for _, packet in media] == list(range(media[0][1].seq, media[0][1].seq + 60))
    assert [packet.marker for _, packet in media] == [False] * 59 + [True]
    sizes = [len(data) + WIRE for data in path.viewer.datagrams if not 192 <= data[1] <= 223][-60:]
    taken = media[-1][0] - begun
    assert taken == pytest.approx((sum(sizes) - direct * sizes[0]) * 8e9 / pacing, rel=0.15)
    for at in {at for at, _ in media[direct:]}:
        burst = sum(size for size, (when, _) in zip(sizes, media, strict=True) if when == at)
        # Five ms of media, or one packet where that is more.
        assert burst <= max(pacing * 0.005 / 8, max(sizes))
    assert path.plane.congestion(path.viewer.handle).queued_bytes == 0
    assert path.plane.counters()["paced_packets"] == 60 - direct


def test_transport_numbers_and_send_times_are_those_of_leaving() -> None:
    path = started(Path())
    path.frame(20)
    path.listen(path.viewer)
    for seq in range(10):
        path.audio(seq)
        path.advance(20)
    path.advance(1000)
    numbers = path.numbers()
    assert numbers == list(range(numbers[0], numbers[0] + 30))
    for at, packet in path.log:
        sent = int.from_bytes(packet.extensions[4], "big")
        assert sent == (at % (64 * 10**9) << 18) // 10**9 & 0xFFFFFF


def test_audio_does_not_wait_behind_video() -> None:
    path = started(Path())
    path.listen(path.viewer)
    path.frame(30)
    waiting = path.plane.congestion(path.viewer.handle).queued_bytes
    assert waiting > 10_000
    for seq in range(5):
        before = path.world.now
        path.audio(seq)
        assert path.media(0x6000)[-1][0] == before
        path.advance(20)
    assert len(path.media(0x6000)) == 5
    assert len(path.media()) < 30


def test_a_retransmission_goes_before_new_video_and_after_its_like() -> None:
    path = started(Path())
    path.frame(4)
    path.advance(300)
    asked = [packet.seq for _, packet in path.media()[-4:]]
    path.log.clear()
    path.frame(20)
    left = len(path.media())
    path.say(nack(7, 0x2000, *asked))
    path.advance(2000)
    order = [packet.ssrc for _, packet in path.log]
    first = order.index(0x2001)
    assert order[first : first + 4] == [0x2001] * 4
    assert order[:first] == [0x2000] * left
    repaired = [int.from_bytes(packet.payload[:2], "big") for _, packet in path.media(0x2001)]
    assert repaired == asked
    assert len(path.media()) == 20


def test_frames_beyond_half_a_second_are_dropped_whole_until_a_keyframe() -> None:
    path = started(Path())
    for _ in range(12):
        path.frame(8)
    figures = path.plane.congestion(path.viewer.handle)
    limit = figures.estimate_bps // 2 // 8
    assert limit <= figures.queued_bytes < limit + 9 * 1100
    dropped = path.plane.counters()
    assert dropped["drop_pacer_full"] == 1  # then the selector waits for a keyframe
    path.advance(2000)
    path.frame(2)
    assert path.publisher.took_rtcp(206, 1) != []
    assert path.media()[-1][1].marker  # the last whole frame
    path.frame(2, keyframe=True)
    path.advance(500)
    media = [packet for _, packet in path.media()]
    assert [packet.seq for packet in media] == list(range(media[0].seq, media[0].seq + len(media)))
    by_frame: dict[int, int] = {}
    for packet in media:
        by_frame[packet.timestamp] = by_frame.get(packet.timestamp, 0) + 1
    assert sorted(by_frame.values()) == [2] + [8] * (len(by_frame) - 1)


def test_no_keyframe_is_asked_for_while_what_waits_would_be_in_its_way() -> None:
    """It would be dropped, or what waits would: on a path that carries less than the stream, none ever came whole, and
    every other viewer's encoder made two in a second."""
    path = started(Path())
    for _ in range(12):
        path.frame(8)
    asked = len(path.publisher.took_rtcp(206, 1))
    while path.plane.congestion(path.viewer.handle).queued_ms > 110:
        path.say(pli(7, 0x2000))
        path.frame(8)
        path.advance(20)
        assert len(path.publisher.took_rtcp(206, 1)) == asked
    path.advance(20)
    path.frame(8)
    assert len(path.publisher.took_rtcp(206, 1)) == asked + 1


def test_one_endless_frame_is_bounded_too() -> None:
    path = started(Path(CongestionParams(start_bps=100_000_000, controller="external")))
    path.plane.set_estimate(path.viewer.handle, 1_000_000, path.world.now)
    path.frame(200, size=100)
    path.frame(200, size=100)
    path.frame(200, size=100)
    assert path.plane.counters()["paced_packets"] <= 512
    path.advance(3000)
    assert path.plane.congestion(path.viewer.handle).queued_bytes == 0


@pytest.mark.parametrize("what", ["pause", "remove", "remove_producer", "remove_transport"])
def test_what_waits_goes_with_its_consumer(what: str) -> None:
    path = started(Path())
    other = path.watch(path.viewer, 0x3000)
    path.frame(2, keyframe=True)
    path.advance(500)
    free = path.plane.counters()["history_slots_free"]
    path.log.clear()
    path.frame(10)
    waiting = path.plane.congestion(path.viewer.handle).queued_bytes
    assert path.plane.counters()["history_slots_free"] < free - 10
    left = len(path.media())
    if what == "pause":
        path.plane.pause_consumer(path.consumer)
    elif what == "remove":
        path.plane.remove_consumer(path.consumer)
    elif what == "remove_producer":
        path.plane.remove_producer(path.producer)
    else:
        path.plane.remove_transport(path.viewer.handle)
    if what in ("pause", "remove"):
        assert 0 < path.plane.congestion(path.viewer.handle).queued_bytes < waiting
        path.plane.request_keyframe(other, path.world.now)
        if what == "pause":
            path.plane.resume_consumer(path.consumer, path.world.now)  # what waited before the pause does not come back
        path.advance(2000)
        assert len(path.media(0x3000)) == 10
    path.advance(2000)
    assert len(path.media()) == left
    if what == "remove_transport":
        assert memory_report(path.plane)["transports"]["pacers"] == 0
    slots = path.plane.counters()
    assert slots["history_slots"] - slots["history_slots_free"] <= 13  # what is kept of the publisher


def test_an_uncontrolled_transport_waits_for_nothing_and_pays_nothing() -> None:
    path = started(Path(control=False))
    path.frame(60)
    assert len(path.media()) == 60
    assert path.plane.counters()["paced_packets"] == 0
    report = memory_report(path.plane)["transports"]
    assert report["pacers"] == 0
    path.control()
    assert memory_report(path.plane)["transports"]["pacers"] > 0


def test_a_run_stays_whole_where_the_path_has_room() -> None:
    path = started(Path(CongestionParams(start_bps=10_000_000, controller="external")))
    for _ in range(30):
        path.frame(8)
        path.advance(100)
    assert path.plane.counters()["paced_packets"] == 0


def test_packets_of_a_producer_that_keeps_none_wait_as_well() -> None:
    path = started(Path(nack=False, rtx_ssrc=None))
    path.frame(20)
    path.advance(1000)
    assert len(path.media()) == 20


def test_repairs_never_eat_the_path() -> None:
    path = started(Path(EXTERNAL))
    for _ in range(30):
        path.frame(2)
        path.advance(50)
    asked = [packet.seq for _, packet in path.media()]
    before = len(path.log)
    path.say(nack(7, 0x2000, *asked))
    path.advance(900)
    repaired = [packet for _, packet in path.log[before:] if packet.ssrc == 0x2001]
    figures = path.plane.counters()
    assert sum(len(packet.payload) for packet in repaired) * 8 <= 500_000 / 4
    assert len(repaired) >= 10
    assert figures["retransmissions_over_budget"] == 60 - len(repaired)
    assert figures["retransmissions_unanswered"] == 60 - len(repaired)
    # A second later there is room again.
    path.advance(1100)
    path.say(nack(7, 0x2000, asked[-1]))
    path.advance(100)
    assert len(path.media(0x2001)) == len(repaired) + 1


def test_time_between_two_bursts_is_a_deadline() -> None:
    path = started(Path())
    path.frame(10)
    due = path.plane.next_timeout()
    assert due is not None
    assert path.world.now < due < path.world.now + 30 * MS


def test_a_keyframe_to_switch_at_does_not_wait_behind_what_it_replaces() -> None:
    path = started(Path())
    for _ in range(3):
        path.frame(8)
    waiting = path.plane.congestion(path.viewer.handle)
    assert waiting.queued_ms > 150
    path.plane.pause_producer(path.producer)
    path.plane.resume_producer(path.producer, path.world.now)  # every viewer joins again
    left = len(path.media())
    path.frame(1, keyframe=True)
    path.advance(30)
    (keyframe,) = path.media()[left:]
    assert keyframe[1].payload[1] == 0
    # No number is missing: the viewer would ask for it in vain, and count it as lost.
    assert keyframe[1].seq == path.media()[left - 1][1].seq + 1
    assert path.plane.counters()["drop_pacer_full"] == 24 - left
    path.say(nack(7, 0x2000, *range(keyframe[1].seq + 1, keyframe[1].seq + 24)))
    path.advance(300)
    assert path.media(0x2001) == []  # what never was sent is not sent again
    path.frame(2)
    path.advance(300)
    first = path.media()[0][1].seq
    assert [packet.seq for _, packet in path.media()] == list(range(first, first + left + 3))
    assert path.plane.congestion(path.viewer.handle).queued_bytes == 0
