"""Congestion control through the plane: feedback in, estimates, events, probes and REMB out."""

from __future__ import annotations

import random
import struct

import pytest

from rtpfwd.events import EstimateChanged, FeedbackReceived
from rtpfwd.params import CongestionParams, SrtpProfile
from rtpfwd.plane import Plane
from tests.rtpfwd.path_world import EXTERNAL, Path, parse_remb, remb, transport_feedback
from tests.rtpfwd.plane_world import MS, receiver_report

GCC = CongestionParams(start_bps=600_000)


def figures(path: Path):  # type: ignore[no-untyped-def]
    found = path.plane.congestion(path.viewer.handle)
    assert found is not None
    return found


def run(path: Path, seconds: float, *, feedback: bool = True, packets: int = 2, size: int = 1000) -> None:
    """Video at 30 fps; feedback on everything every 100 ms."""
    since = len(path.log)
    for frame in range(int(seconds * 30)):
        path.frame(packets, keyframe=path.frames == 0, size=size)
        path.advance(1000 / 30)
        if feedback and frame % 3 == 2 and len(path.log) > since:
            path.acknowledge(since=since)
            since = len(path.log)


def changes(path: Path) -> list[EstimateChanged]:
    return [event for event in path.world.events() if isinstance(event, EstimateChanged)]


def test_a_transport_is_not_controlled_until_it_is() -> None:
    path = Path(control=False)
    assert path.plane.congestion(path.viewer.handle) is None
    with pytest.raises(ValueError, match="control_congestion"):
        path.plane.set_estimate(path.viewer.handle, 1, path.world.now)
    with pytest.raises(ValueError, match="min_bps"):
        path.control(CongestionParams(start_bps=10, min_bps=20))
    with pytest.raises(ValueError, match="gcc or external"):
        path.control(CongestionParams(controller="nobody"))
    with pytest.raises(KeyError):
        path.plane.control_congestion(1 << 40, EXTERNAL, path.world.now)
    path.frame(keyframe=True)
    path.say(transport_feedback(0x2000, 0, [4]), remb(1000, 3, 0x2000))
    assert path.plane.congestion(path.viewer.handle) is None
    assert changes(path) == []


def test_feedback_moves_the_estimate_and_events_tell() -> None:
    path = Path(GCC)
    path.plane.set_wanted(path.viewer.handle, 3_000_000, path.world.now)
    run(path, 8)
    events = changes(path)
    assert figures(path).estimate_bps > 900_000
    assert figures(path).acked_bps > 300_000
    assert figures(path).rtt_ms > 0
    # The newest is never missed, only what lay between.
    assert events[-1].figures.estimate_bps == pytest.approx(figures(path).estimate_bps, rel=0.05)
    assert events[-1].transport == path.viewer.handle
    assert events[-1].figures.cause in ("increase", "probe", "hold")
    assert path.plane.counters()["drop_rtcp_malformed"] == 0


def test_events_come_at_most_every_50_ms_but_drops_at_once() -> None:
    path = Path(EXTERNAL)
    set_estimate = path.plane.set_estimate
    viewer, begun = path.viewer.handle, path.world.now
    told = changes(path)
    assert [event.figures.estimate_bps for event in told] == [500_000]
    path.advance(100)
    set_estimate(viewer, 505_000, path.world.now)
    (cause,) = changes(path)  # little, but for another reason
    assert (cause.at, cause.figures.cause) == (begun + 100 * MS, "set")
    path.advance(100)
    set_estimate(viewer, 510_000, path.world.now)
    assert changes(path) == []  # less than 5 %
    set_estimate(viewer, 600_000, path.world.now)
    set_estimate(viewer, 700_000, path.world.now)
    (first,) = changes(path)
    assert (first.at, first.figures.estimate_bps) == (begun + 200 * MS, 600_000)
    path.advance(49)
    set_estimate(viewer, 800_000, path.world.now)
    assert changes(path) == []
    path.advance(2)
    (late,) = changes(path)
    assert (late.figures.estimate_bps, late.figures.cause) == (800_000, "set")
    set_estimate(viewer, 300_000, path.world.now)
    (drop,) = changes(path)
    assert (drop.at, drop.figures.estimate_bps) == (path.world.now, 300_000)
    set_estimate(viewer, None, path.world.now)
    assert figures(path).estimate_bps != 300_000


def test_an_unread_event_takes_the_newest_figures_along() -> None:
    path = Path(EXTERNAL)
    for step in range(200):
        path.plane.set_estimate(path.viewer.handle, 500_000 + 100_000 * step, path.world.now)
        path.advance(60)
    (event,) = changes(path)
    assert event.figures.estimate_bps == pytest.approx(500_000 + 100_000 * 199, rel=0.05)


def test_feedback_is_told_where_it_is_watched() -> None:
    path = Path(EXTERNAL)
    run(path, 0.5)
    assert not any(isinstance(event, FeedbackReceived) for event in path.world.events())
    path.plane.watch_feedback(path.viewer.handle, on=True)
    since = len(path.log)
    path.frame(6)
    path.advance(200)
    numbers = path.numbers()[since:]
    path.acknowledge(since=since, lost=(numbers[2],), delay=30)
    (event,) = [event for event in path.world.events() if isinstance(event, FeedbackReceived)]
    assert (event.transport, event.at) == (path.viewer.handle, path.world.now)
    assert len(event.packets) == 6
    assert [sent for sent, _, _, _ in event.packets] == [at for at, _ in path.log[since:]]
    arrivals = [arrived for _, arrived, _, _ in event.packets]
    assert arrivals[2] is None
    for index in (1, 3, 4, 5):
        took = arrivals[index] - arrivals[0]  # type: ignore[operator]
        assert abs(took - (path.log[since + index][0] - path.log[since][0])) <= 250_000
    sizes = {len(data) + 28 for data in path.viewer.datagrams if not 192 <= data[1] <= 223}
    assert {size for _, _, size, _ in event.packets} <= sizes
    path.plane.watch_feedback(path.viewer.handle, on=False)
    path.frame(2)
    path.acknowledge(since=since + 6)
    assert not any(isinstance(event, FeedbackReceived) for event in path.world.events())


def test_unread_feedback_is_bounded_and_freed() -> None:
    path = Path(EXTERNAL)
    path.plane.watch_feedback(path.viewer.handle, on=True)
    run(path, 4)
    told = [event for event in path.world.events() if isinstance(event, FeedbackReceived)]
    assert len(told) == 16
    run(path, 1)
    path.plane.remove_transport(path.viewer.handle)
    assert list(path.world.events()) == []
    other = Path(EXTERNAL)
    other.plane.watch_feedback(other.viewer.handle, on=True)
    run(other, 1)  # and a plane that goes with events in it frees them too


def test_a_viewer_with_remb_alone_is_controlled_by_it() -> None:
    path = Path(GCC, extensions=())
    path.frame(keyframe=True)
    path.say(remb(150_000, 3, 0x2000))  # 1.2 Mbit/s
    assert figures(path).remb_bps == 1_200_000
    assert figures(path).estimate_bps == 1_200_000
    path.advance(200)
    path.say(remb(200_000, 0, 0x2000))
    assert figures(path).estimate_bps == 200_000
    assert changes(path)[-1].figures.cause == "remb"
    before = path.plane.counters()["drop_rtcp_malformed"]
    path.say(remb(5, 2, 1)[:-4].replace(b"\x8f\xce\x00\x05", b"\x8f\xce\x00\x04"))
    assert path.plane.counters()["drop_rtcp_malformed"] == before + 1
    assert figures(path).estimate_bps == 200_000


def test_loss_in_reports_lowers_the_estimate_where_nothing_else_is_known() -> None:
    path = Path(GCC, extensions=())
    run(path, 1, feedback=False)
    for _ in range(10):
        path.say(receiver_report(7, 0x2000, lost=100))
        run(path, 1, feedback=False)
    assert figures(path).estimate_bps < 400_000
    assert figures(path).loss > 0.2


@pytest.mark.parametrize("profile", [None, SrtpProfile.AEAD_AES_128_GCM])
def test_probes_are_retransmissions_that_a_viewer_takes_for_nothing_new(profile: SrtpProfile | None) -> None:
    path = Path(GCC, profile=profile)
    path.plane.set_wanted(path.viewer.handle, 3_000_000, path.world.now)
    path.plane.watch_feedback(path.viewer.handle, on=True)
    run(path, 3, packets=1)
    probes = path.media(0x2001)
    sent = {packet.seq: packet for _, packet in path.media()}
    assert len(probes) >= 5
    assert path.plane.counters()["probe_packets"] == len(probes)
    assert path.plane.counters()["retransmitted_packets"] == 0
    sequence = [packet.seq for _, packet in probes]
    assert sequence == [(sequence[0] + index) & 0xFFFF for index in range(len(sequence))]
    for _, packet in probes:
        assert packet.payload_type == 102
        assert 5 in packet.extensions
        if packet.payload:  # what the viewer has already, number for number (RFC 4588)
            original = sent[int.from_bytes(packet.payload[:2], "big")]
            assert (packet.timestamp, packet.payload[2:]) == (original.timestamp, original.payload)
        else:
            assert packet.padding > 0
    assert any(packet.payload for _, packet in probes)
    numbers = path.numbers()
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    probed = {
        probe
        for event in path.world.events()
        if isinstance(event, FeedbackReceived)
        for _, _, _, probe in event.packets
    }
    assert len(probed - {0}) >= 1
    assert figures(path).estimate_bps > 1_500_000  # all came at the speed at which it was sent


def test_a_narrow_path_is_probed_with_small_packets() -> None:
    """Five full ones take half a second of 100 kbit/s, and push out the sound."""
    path = Path(CongestionParams(start_bps=100_000))
    path.plane.set_wanted(path.viewer.handle, 3_000_000, path.world.now)
    path.plane.watch_feedback(path.viewer.handle, on=True)
    run(path, 2, packets=2)
    clusters: dict[int, list[int]] = {}
    for event in path.world.events():
        if isinstance(event, FeedbackReceived):
            for _, _, size, probe in event.packets:
                clusters.setdefault(probe, []).append(size)
    assert max(clusters.pop(0)) > 1000
    assert len(clusters[1]) == 5
    assert sum(clusters[1]) < 1700


def test_a_probe_of_a_stream_that_is_not_kept_is_padding() -> None:
    path = Path(GCC, nack=False)
    path.plane.set_wanted(path.viewer.handle, 3_000_000, path.world.now)
    path.frame(1, keyframe=True)
    path.advance(3000)  # the history lets go
    run(path, 0.2)
    assert path.plane.counters()["probe_packets"] > 0


def test_a_viewer_whose_video_is_all_paused_is_probed_still() -> None:
    path = Path(GCC)
    path.frame(keyframe=True)
    path.advance(50)
    path.listen(path.viewer)
    path.plane.pause_consumer(path.consumer)
    path.plane.set_wanted(path.viewer.handle, 3_000_000, path.world.now)
    for seq in range(50):
        since = len(path.log)
        path.audio(seq)
        path.advance(20)
        path.acknowledge(since=since)
    assert path.plane.counters()["probe_packets"] > 0
    assert figures(path).estimate_bps > 1_000_000


def test_without_rtx_nothing_is_probed() -> None:
    path = Path(GCC, rtx_ssrc=None)
    path.plane.set_wanted(path.viewer.handle, 3_000_000, path.world.now)
    run(path, 2, packets=1)
    assert path.plane.counters()["probe_packets"] == 0
    assert {packet.ssrc for _, packet in path.log} == {0x2000}


def test_malformed_feedback_is_counted_and_changes_nothing() -> None:
    path = Path(GCC)
    run(path, 1)
    before = figures(path)
    good = transport_feedback(0x2000, 0, [4, 5, 6])
    for cut in range(16, len(good) - 4, 4):
        short = good[:2] + struct.pack("!H", cut // 4 - 1) + good[4:cut]
        path.say(short)
    assert path.plane.counters()["drop_rtcp_malformed"] > 0
    assert figures(path) == before


def test_feedback_of_any_shape_does_no_harm() -> None:
    chance = random.Random(5)
    path = Path(GCC)
    path.plane.watch_feedback(path.viewer.handle, on=True)
    run(path, 1)
    for _ in range(400):
        arrivals = [
            None if chance.random() < 0.3 else chance.randrange(1 << 14) for _ in range(chance.randrange(1, 40))
        ]
        body = bytearray(transport_feedback(chance.getrandbits(32), chance.randrange(1 << 16), arrivals, 3))
        for _ in range(chance.randrange(4)):
            body[chance.randrange(4, len(body))] = chance.getrandbits(8)
        path.say(bytes(body), remb(chance.getrandbits(18), chance.getrandbits(6), 0x2000))
        path.frame()
        path.advance(20)
        list(path.world.events())
    found = figures(path)
    assert GCC.min_bps <= found.estimate_bps <= GCC.max_bps
    assert found.queued_ms <= 10_000


def test_limits_are_changed_without_beginning_anew() -> None:
    path = Path(GCC)
    run(path, 2)
    path.control(CongestionParams(start_bps=200_000, max_bps=250_000, min_bps=50_000))
    assert figures(path).estimate_bps == 250_000
    assert figures(path).acked_bps > 0


# Towards publishers.


def rembs(path: Path) -> list[tuple[int, int, int, list[int]]]:
    path.world.drain()
    found = [parse_remb(body) for body in path.publisher.took_rtcp(206, 15)]
    path.publisher.rtcp.clear()
    return found


def test_a_receive_limit_is_told_every_second_and_at_once_when_it_changes() -> None:
    path = Path(control=False)
    plane, publisher = path.plane, path.publisher.handle
    path.frame(keyframe=True)
    path.advance(3000)
    assert rembs(path) == []
    plane.set_receive_limit(publisher, 2_000_000, path.world.now)
    path.advance(1)
    ((sender, media, bps, streams),) = rembs(path)
    assert (media, streams) == (0, [0x1000])
    assert sender != 0
    assert 0.9999 * 2_000_000 <= bps <= 2_000_000
    path.advance(3000)
    assert len(rembs(path)) == 3
    plane.set_receive_limit(publisher, 3_000_000, path.world.now)
    path.advance(1)
    assert [found[2] for found in rembs(path)] == [pytest.approx(3_000_000, rel=1e-4)]
    plane.set_receive_limit(publisher, 3_000_000, path.world.now)
    path.advance(1)
    assert rembs(path) == []  # nothing new: in its turn
    plane.set_receive_limit(publisher, 150_000, path.world.now)
    path.advance(1)
    assert [found[2] for found in rembs(path)] == [150_000]
    plane.set_receive_limit(publisher, None, path.world.now)
    path.advance(3000)
    assert rembs(path) == []
    assert plane.counters()["remb_sent"] == 6


@pytest.mark.parametrize("bps", [0, 1, 262_143, 262_144, 999_999_999, 1 << 40])
def test_a_rate_is_rounded_down_and_little(bps: int) -> None:
    path = Path(control=False)
    path.plane.set_receive_limit(path.publisher.handle, bps, path.world.now)
    path.advance(1)
    ((_, _, found, _),) = rembs(path)
    assert found <= bps < found + max(1, found >> 16)


def test_rates_are_checked() -> None:
    plane = Plane()
    handle = plane.add_transport(srtp=False)
    for wrong in (-1, (1 << 40) + 1, 1.5, "1"):
        with pytest.raises(ValueError, match="rate"):
            plane.set_receive_limit(handle, wrong, 0)  # type: ignore[arg-type]
