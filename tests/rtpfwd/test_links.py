"""Producers forwarded to consumers on other planes, in virtual time.

Over 400 lines: one case after another over the same linked planes.
"""

from __future__ import annotations

import gc
import itertools
import random
import struct

import pytest

from rtpfwd.params import ConsumerParams, EncodingParams, ProducerParams, SrtpProfile
from rtpfwd.plane import Plane, link_planes
from tests.rtpfwd.link_world import LinkedWorld, payloads
from tests.rtpfwd.plane_world import (
    MID,
    MS,
    OPUS,
    OPUS_MAPPING,
    VP8,
    End,
    nack,
    pli,
    rtp,
    sender_report,
    vp8,
)

RTX = 0x2001


class Room(LinkedWorld):
    """One publisher of video on plane 0, and a viewer on every plane."""

    def __init__(self, planes: int = 2, profile: SrtpProfile | None = SrtpProfile.AEAD_AES_128_GCM) -> None:
        super().__init__(planes)
        self.publisher = self[0].end(5000, profile)
        self.producer = self[0].video(self.publisher)
        self.mirrors = [self.producer, *(self.mirror(self.producer, to=to) for to in range(1, planes))]
        self.viewers = [world.end(6000 + index, profile) for index, world in enumerate(self.worlds)]
        self.consumers = [
            world.watch(viewer, mirror)
            for world, viewer, mirror in zip(self.worlds, self.viewers, self.mirrors, strict=True)
        ]
        self.settle()
        self.sent: list[bytes] = []

    def publish(self, *seqs: int, size: int = 100, ssrc: int = 0x1000) -> list[bytes]:
        """Frames of one packet; the very first is a keyframe."""
        bodies = [vp8(keyframe=not self.sent and n == 0, size=size) + bytes([seq & 255]) for n, seq in enumerate(seqs)]
        self.sent += bodies
        self.send(self.publisher, *(rtp(seq, body, ssrc=ssrc) for seq, body in zip(seqs, bodies, strict=True)))
        return bodies


@pytest.mark.parametrize("planes", [2, 3])
@pytest.mark.parametrize("profile", [*SrtpProfile, None])
def test_every_plane_forwards_the_same_bytes_in_order(planes: int, profile: SrtpProfile | None) -> None:
    room = Room(planes, profile)
    for first in range(1, 400, 40):
        room.publish(*range(first, first + 40), size=first)
    for viewer in room.viewers:
        assert payloads(viewer) == room.sent
        numbers = [packet.seq for packet in viewer.rtp]
        assert numbers == list(range(numbers[0], numbers[0] + 400))
    assert room[0].plane.counters()["link_packets_sent"] == 400 * (planes - 1)
    assert all(plane.counters()["link_packets_received"] == 400 for plane in room.planes[1:])
    room.assert_nothing_leaks()


def test_a_batch_larger_than_the_pending_places_arrives_whole() -> None:
    room = Room()
    room.publish(*range(1, 701))
    assert payloads(room.viewers[1]) == room.sent
    room.assert_nothing_leaks()


def test_a_viewers_packets_wait_for_the_next_timeout_of_its_plane() -> None:
    room = Room()
    room.publisher.send(room.now, rtp(1, vp8(keyframe=True), ssrc=0x1000))
    room[1].drain()
    assert payloads(room.viewers[1]) == []
    assert room[1].plane.next_timeout() == room.now
    room[1].plane.handle_timeout(room.now)
    room[1].drain()
    assert len(payloads(room.viewers[1])) == 1
    later = room[1].plane.next_timeout()
    assert later is None or later > room.now


def test_extensions_and_payload_types_are_those_of_the_original() -> None:
    room = LinkedWorld()
    publisher = room[0].end(5000)
    producer = room[0].plane.add_producer(
        publisher.handle,
        ProducerParams("audio", (OPUS,), (EncodingParams(ssrc=0x3000),), mid="0", extensions=((MID, 4), ("urn:x", 7))),
    )
    viewer = room[1].end(6000)
    room[1].plane.add_consumer(
        viewer.handle,
        room.mirror(producer),
        ConsumerParams(0x2000, OPUS_MAPPING, mid="9", extensions=((MID, 1), ("urn:x", 2))),
        room.now,
    )
    packet = rtp(1, b"sound", ssrc=0x3000, payload_type=111, extensions={4: b"0", 7: b"kept"})
    room.send(publisher, packet)
    (received,) = viewer.rtp
    assert (received.payload_type, received.payload) == (100, b"sound")
    assert received.extensions == {1: b"9", 2: b"kept"}


def test_a_nack_is_answered_over_the_link_within_one_round() -> None:
    room = Room()
    room.publish(*range(1, 11))
    viewer = room.viewers[1]
    before = len(viewer.rtp)
    lost = viewer.rtp[4]
    viewer.send(room.now, nack(1, 0x2000, lost.seq))
    assert room.settle() <= 2
    (again,) = viewer.rtp[before:]
    assert again.ssrc == RTX
    assert again.payload == struct.pack("!H", lost.seq) + room.sent[4]
    stats = room[1].plane.consumer_stats(room.consumers[1])
    assert (stats["nacked"], stats["retransmitted"], stats["not_found"]) == (1, 1, 0)
    assert room[1].plane.counters()["retransmitted_packets"] == 1
    assert room[0].plane.counters()["retransmitted_packets"] == 0
    room.assert_nothing_leaks()


def test_many_nacks_are_answered_and_bounded() -> None:
    room = Room()
    for first in range(1, 301, 50):
        room.publish(*range(first, first + 50))
    viewer = room.viewers[1]
    before = len(viewer.rtp)
    room.send(viewer, nack(1, 0x2000, *(packet.seq for packet in viewer.rtp)))
    again = viewer.rtp[before:]
    assert len(again) == 256
    assert [packet.payload[2:] for packet in again] == room.sent[:256]
    room.assert_nothing_leaks()


def test_a_packet_that_is_kept_no_more_is_not_found() -> None:
    room = Room()
    room.publish(1, 2, 3)
    room.advance(4_000)
    viewer = room.viewers[1]
    before = len(viewer.rtp)
    room.send(viewer, nack(1, 0x2000, viewer.rtp[1].seq))
    assert len(viewer.rtp) == before
    assert room[1].plane.consumer_stats(room.consumers[1])["not_found"] == 1
    assert room[1].plane.counters()["retransmissions_unanswered"] == 1


def test_a_retransmission_after_a_restart_is_not_of_another_packet() -> None:
    room = Room()
    room.publish(*range(1, 6))
    viewer = room.viewers[1]
    old = viewer.rtp[-1].seq
    room.send(room.publisher, *(rtp(40_000 + n, vp8(keyframe=True), ssrc=0x1000) for n in range(3)))
    before = len(viewer.rtp)
    room.send(viewer, nack(1, 0x2000, old))
    for packet in viewer.rtp[before:]:
        assert packet.payload[2:] == room.sent[-1]


def test_a_keyframe_request_reaches_the_publisher() -> None:
    room = Room()
    room.publish(1, 2)
    room.advance(600)
    asked = len(room.publisher.took_rtcp(206, 1))
    room.send(room.viewers[1], pli(1, 0x2000))
    assert len(room.publisher.took_rtcp(206, 1)) == asked + 1
    # Those of two planes merge into one.
    room.send(room.viewers[0], pli(1, 0x2000))
    room.send(room.viewers[1], pli(1, 0x2000))
    assert len(room.publisher.took_rtcp(206, 1)) == asked + 1


def test_a_new_viewer_of_a_mirror_asks_for_a_keyframe_at_once() -> None:
    room = Room()
    room.publish(1, 2)
    room.advance(600)
    asked = len(room.publisher.took_rtcp(206, 1))
    late = room[1].end(6100)
    room[1].watch(late, room.mirrors[1])
    room.settle()
    assert len(room.publisher.took_rtcp(206, 1)) == asked + 1


def test_a_mirrors_waiting_viewer_keeps_asking() -> None:
    room = Room()
    room.send(room.publisher, rtp(1, vp8(), ssrc=0x1000))
    room.advance(3_500)
    room[0].plane.remove_consumer(room.consumers[0])
    asked = len(room.publisher.took_rtcp(206, 1))
    room.advance(5_000)
    assert 4 <= len(room.publisher.took_rtcp(206, 1)) - asked <= 6


def test_sender_reports_carry_the_publishers_clock() -> None:
    room = Room()
    room.publish(1)
    ntp = 0x1234_5678_0000_0000
    room.send(room.publisher, sender_report(0x1000, ntp, 3000))
    start = room.now
    room.advance(5_000)
    for viewer in room.viewers:
        reports = [body for body in viewer.took_rtcp(200) if body[:4] == struct.pack("!I", 0x2000)]
        assert len(reports) >= 3
        (media,) = (packet for packet in viewer.rtp)
        for body in reports:
            at, timestamp = struct.unpack_from("!QI", body, 4)
            elapsed = (at - ntp) / 2**32
            assert 0 <= elapsed <= (room.now - start) / 1e9
            assert (timestamp - media.timestamp) % 2**32 == pytest.approx(elapsed * 90_000, abs=2)


def test_a_mirror_made_later_knows_the_last_sender_report() -> None:
    room = LinkedWorld()
    publisher = room[0].end(5000)
    producer = room[0].video(publisher)
    room.send(publisher, rtp(1, vp8(keyframe=True), ssrc=0x1000), sender_report(0x1000, 7 << 32, 3000))
    viewer = room[1].end(6000)
    room[1].watch(viewer, room.mirror(producer))
    room.send(publisher, rtp(2, vp8(keyframe=True), ssrc=0x1000))
    room.advance(2_000)
    assert viewer.took_rtcp(200)


def test_pause_and_resume_of_the_original() -> None:
    room = Room()
    room.publish(1)
    room[0].plane.pause_producer(room.producer)
    room.publish(2)
    asked = len(room.publisher.took_rtcp(206, 1))
    room.advance(600)
    room[0].plane.resume_producer(room.producer, room.now)
    room.settle()
    assert len(room.publisher.took_rtcp(206, 1)) == asked + 1
    room.send(room.publisher, rtp(3, vp8(), ssrc=0x1000), rtp(4, vp8(keyframe=True), ssrc=0x1000))
    assert payloads(room.viewers[1]) == [room.sent[0], vp8(keyframe=True)]


def test_pause_and_resume_of_a_mirror() -> None:
    room = Room()
    room.publish(1)
    room[1].plane.pause_producer(room.mirrors[1])
    room.publish(2)
    assert len(payloads(room.viewers[0])) == 2
    assert len(payloads(room.viewers[1])) == 1
    room[1].plane.resume_producer(room.mirrors[1], room.now)
    room.send(room.publisher, rtp(3, vp8(keyframe=True), ssrc=0x1000))
    assert len(payloads(room.viewers[1])) == 2
    room.assert_nothing_leaks()


def test_a_mirror_of_a_paused_original_is_not_paused_itself() -> None:
    room = LinkedWorld()
    publisher = room[0].end(5000)
    producer = room[0].video(publisher, paused=True)
    viewer = room[1].end(6000)
    room[1].watch(viewer, room.mirror(producer))
    room[0].plane.resume_producer(producer, room.now)
    room.send(publisher, rtp(1, vp8(keyframe=True), ssrc=0x1000))
    assert len(payloads(viewer)) == 1


def test_a_source_restart_is_followed() -> None:
    room = Room()
    room.publish(1, 2, 3)
    room.send(room.publisher, *(rtp(40_000 + n, vp8(keyframe=n == 1), ssrc=0x1000) for n in range(5)))
    for viewer in room.viewers:
        numbers = [packet.seq for packet in viewer.rtp]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert payloads(room.viewers[1]) == payloads(room.viewers[0])
    assert len(payloads(room.viewers[1])) > 3


def test_another_ssrc_under_the_same_mid_begins_anew() -> None:
    room = LinkedWorld()
    publisher = room[0].end(5000)
    producer = room[0].plane.add_producer(
        publisher.handle,
        ProducerParams("video", (VP8,), (EncodingParams(),), mid="v", extensions=((MID, 4),)),
    )
    viewer = room[1].end(6000)
    room[1].watch(viewer, room.mirror(producer))

    def frame(seq: int, ssrc: int, *, keyframe: bool = False) -> bytes:
        return rtp(seq, vp8(keyframe=keyframe) + bytes([seq & 255]), ssrc=ssrc, extensions={4: b"v"})

    room.send(publisher, frame(1, 0xAAAA, keyframe=True), frame(2, 0xAAAA))
    room.send(publisher, frame(700, 0xBBBB), frame(701, 0xBBBB, keyframe=True), frame(702, 0xBBBB))
    assert [payload[-1] for payload in payloads(viewer)] == [1, 2, 701 & 255, 702 & 255]
    numbers = [packet.seq for packet in viewer.rtp]
    assert numbers == list(range(numbers[0], numbers[0] + 4))


def test_two_mirrors_may_show_sources_of_one_ssrc_and_mid() -> None:
    room = LinkedWorld(3)
    publishers = [room[index].end(5000 + index) for index in (0, 2)]
    producers = [room[0].video(publishers[0], mid="0"), room[2].video(publishers[1], mid="0")]
    viewer = room[1].end(6000)
    room[1].watch(viewer, room.mirror(producers[0]), ssrc=0x2000)
    room[1].watch(viewer, room.mirror(producers[1], origin=2), ssrc=0x4000)
    room.send(publishers[0], rtp(1, vp8(keyframe=True) + b"a", ssrc=0x1000))
    room.send(publishers[1], rtp(1, vp8(keyframe=True) + b"b", ssrc=0x1000))
    assert payloads(viewer, 0x2000)[0][-1:] == b"a"
    assert payloads(viewer, 0x4000)[0][-1:] == b"b"


def test_planes_mirror_each_other() -> None:
    room = LinkedWorld()
    ends = [room[index].end(5000 + index) for index in range(2)]
    producers = [room[index].video(end) for index, end in enumerate(ends)]
    room[0].watch(ends[0], room.mirror(producers[1], origin=1, to=0))
    room[1].watch(ends[1], room.mirror(producers[0]))
    for index, end in enumerate(ends):
        room.send(end, rtp(1, vp8(keyframe=True) + bytes([index]), ssrc=0x1000))
    assert [payloads(end)[0][-1] for end in ends] == [1, 0]


# Refusals.


def test_what_cannot_be_mirrored_is_refused() -> None:
    room = Room(3)
    with pytest.raises(ValueError, match="mirrors that producer already"):
        room.mirror(room.producer)
    with pytest.raises(ValueError, match="mirror its original"):
        room.mirror(room.mirrors[1], origin=1, to=2)
    with pytest.raises(ValueError, match="link_planes"):
        room[0].plane.mirror_producer(room[0].plane, room.producer, room.now)
    with pytest.raises(ValueError, match="link_planes"):
        Plane(max_transports=1, max_streams=4).mirror_producer(room[0].plane, room.producer, room.now)
    room[0].plane.remove_producer(room.producer)
    with pytest.raises(KeyError):
        room.mirror(room.producer, to=2)
    before = room[2].plane.counters()["streams"]
    with pytest.raises(KeyError):
        room.mirror(room.producer, to=2)
    assert room[2].plane.counters()["streams"] == before


def test_a_plane_is_linked_once() -> None:
    room = LinkedWorld()
    with pytest.raises(ValueError, match="once"):
        link_planes(room.planes)
    plane = Plane(max_transports=1, max_streams=4)
    with pytest.raises(ValueError, match="different"):
        link_planes([plane, plane])
    with pytest.raises(ValueError, match="1 to 64"):
        link_planes([])
    link_planes([plane])


def test_a_full_plane_refuses_a_mirror_and_stays_whole() -> None:
    room = LinkedWorld(max_streams=2)
    publisher = room[0].end(5000)
    producers = [room[0].video(publisher, ssrc=0x1000 + 16 * n) for n in range(2)]
    others = room[1].end(5001)
    room[1].video(others)
    mirror = room.mirror(producers[0])
    with pytest.raises(RuntimeError, match="full"):
        room.mirror(producers[1])
    room[1].plane.remove_producer(mirror)
    room.mirror(producers[1])


# Removal.


@pytest.mark.parametrize("order", list(itertools.permutations(("original", "mirror", "viewer"))))
@pytest.mark.parametrize("waiting", [False, True])
def test_removal_in_any_order_with_packets_on_the_way(order: tuple[str, ...], waiting: bool) -> None:
    room = Room()
    room.publish(*range(1, 6))
    late = room[1].end(6100)
    for seq, what in enumerate(order, 6):
        room.publisher.send(room.now, room_packet(seq))
        room.viewers[1].send(room.now, nack(1, 0x2000, room.viewers[1].rtp[1].seq), pli(1, 0x2000))
        if not waiting:
            room.settle()
        if what == "original":
            room[0].plane.remove_transport(room.publisher.handle)
        elif what == "mirror":
            room[1].plane.remove_producer(room.mirrors[1])
        elif what == "viewer":
            room[1].plane.remove_transport(room.viewers[1].handle)
    room.settle()
    # Slots are used again; nothing that was still on its way may reach who has them now.
    publisher = room[0].end(5001)
    producer = room[0].video(publisher)
    room[1].watch(late, room.mirror(producer))
    room.send(publisher, rtp(1, vp8(keyframe=True) + b"new", ssrc=0x1000))
    assert [payload[-3:] for payload in payloads(late)] == [b"new"]
    assert room[1].plane.counters()["streams"] == 2
    room.advance(3_000)
    room.assert_nothing_leaks()


def room_packet(seq: int) -> bytes:
    return rtp(seq, vp8(), ssrc=0x1000)


def test_a_mirror_can_be_made_again_after_it_was_removed() -> None:
    room = Room()
    room.publish(1)
    for seq in range(2, 7):
        room[1].plane.remove_producer(room.mirrors[1])
        before = room[0].plane.counters()["link_packets_sent"]
        room.publish(seq)
        assert room[0].plane.counters()["link_packets_sent"] == before
        room.mirrors[1] = room.mirror(room.producer)
    viewer = room[1].end(6100)
    room[1].watch(viewer, room.mirrors[1])
    room.send(room.publisher, rtp(20, vp8(keyframe=True), ssrc=0x1000))
    assert len(payloads(viewer)) == 1


def test_a_mirror_whose_original_went_falls_silent() -> None:
    room = Room()
    room.publish(1, 2)
    room[0].plane.remove_producer(room.producer)
    viewer = room.viewers[1]
    room.send(viewer, nack(1, 0x2000, viewer.rtp[0].seq), pli(1, 0x2000))
    room.advance(3_000)
    assert len(payloads(viewer)) == 2
    room[1].plane.remove_producer(room.mirrors[1])
    with pytest.raises(KeyError):
        room[1].plane.consumer_stats(room.consumers[1])


@pytest.mark.parametrize("first", [0, 1])
def test_planes_close_in_any_order(first: int) -> None:
    room = Room()
    room.publish(*range(1, 50))
    for seq in range(50, 60):
        room.publisher.send(room.now, room_packet(seq))
    now = room.now
    planes = room.planes
    publisher, viewer = room.publisher, room.viewers[1]
    seq = viewer.rtp[0].seq
    del room
    kept = planes.pop(1 - first)
    planes.clear()
    (viewer if first == 1 else publisher).plane = kept  # the other end still holds the plane that is to go
    gone = publisher if first == 0 else viewer
    del gone.plane
    gc.collect()
    if first == 0:
        viewer.send(now, nack(1, 0x2000, seq), pli(1, 0x2000))
        kept.handle_timeout(now)
    else:
        for number in range(60, 3_000):
            publisher.send(now, room_packet(number))
    figures = kept.counters()
    assert figures["buffers_free"] == figures["buffers"]


def test_thousands_of_linked_planes_come_and_go() -> None:
    for _ in range(300):
        room = LinkedWorld(3, max_transports=4, max_streams=8)
        publisher = room[0].end(5000, None)
        producer = room[0].video(publisher)
        room.mirror(producer)
        publisher.send(room.now, room_packet(1))


# Bounds.


def test_a_plane_that_takes_nothing_costs_the_others_nothing_but_its_own_packets() -> None:
    room = Room(3)
    room.publish(1)
    sleeping = 1
    for first in range(2, 3_002, 50):
        room.publisher.send(room.now, *(room_packet(seq) for seq in range(first, first + 50)))
        for index in (0, 2):
            room[index].plane.handle_timeout(room.now)
            room[index].drain()
    figures = room[0].plane.counters()
    assert figures["drop_link_full"] == figures["link_full"] == 3_000 - 1024
    assert figures["drop_no_buffer"] == 0
    assert len(payloads(room.viewers[0])) == len(payloads(room.viewers[2])) == 3_001
    room[sleeping].plane.handle_timeout(room.now)
    room[sleeping].drain()
    room.send(room.publisher, rtp(3_002, vp8(keyframe=True), ssrc=0x1000))
    assert payloads(room.viewers[1])[-1] == vp8(keyframe=True)
    room.assert_nothing_leaks()


def test_buffers_run_out_only_when_several_planes_take_nothing() -> None:
    room = LinkedWorld(4)
    publishers = [room[0].end(5000 + n, None) for n in range(3)]
    for n, publisher in enumerate(publishers):
        room.mirror(room[0].video(publisher), to=n + 1)
    for first in range(1, 1_001, 50):
        for publisher in publishers:
            publisher.send(room.now, *(room_packet(seq) for seq in range(first, first + 50)))
    figures = room[0].plane.counters()
    assert figures["drop_no_buffer"] == 3_000 - 2_048
    assert figures["buffers_free"] == 0
    room.settle()
    room.assert_nothing_leaks()


def test_nacks_and_requests_to_a_plane_that_takes_nothing_are_bounded() -> None:
    room = Room()
    room.publish(*range(1, 300))
    viewer = room.viewers[1]
    seqs = [packet.seq for packet in viewer.rtp]
    for _ in range(10):
        viewer.send(room.now, nack(1, 0x2000, *seqs[:250]))
        for world in room.worlds:
            world.now += 400 * MS
    figures = room[1].plane.counters()
    assert figures["link_full"] > 0
    assert figures["nacks_received"] == 2_500
    room.settle()
    room.assert_nothing_leaks()


def test_a_random_room_keeps_its_promises() -> None:
    """Mirrors and viewers come and go at random; whoever watches gets the newest packets, in order and whole."""
    for seed in range(25):
        rng = random.Random(seed)
        room = LinkedWorld(3)
        publisher = room[0].end(5000, None)
        producer = room[0].video(publisher)
        mirrors: dict[int, int] = {}
        watching: dict[int, tuple[int, End, int]] = {}
        seq = 0
        for port in itertools.count(6000):
            if port == 6200:
                break
            plane = rng.choice((1, 2))
            action = rng.random()
            if action < 0.15 and plane not in mirrors:
                mirrors[plane] = room.mirror(producer, to=plane)
            elif action < 0.2 and plane in mirrors:
                room[plane].plane.remove_producer(mirrors.pop(plane))
                watching = {key: value for key, value in watching.items() if value[0] != plane}
            elif action < 0.4 and plane in mirrors:
                viewer = room[plane].end(port, None)
                room[plane].watch(viewer, mirrors[plane])
                watching[port] = (plane, viewer, seq)
            elif action < 0.5 and watching:
                gone = rng.choice(sorted(watching))
                room[watching[gone][0]].plane.remove_transport(watching.pop(gone)[1].handle)
            else:
                count = rng.randrange(1, 60)
                bodies = [vp8(keyframe=True) + struct.pack("!I", seq + n) for n in range(count)]
                publisher.send(room.now, *(rtp(seq + n, body, ssrc=0x1000) for n, body in enumerate(bodies)))
                seq += count
                if rng.random() < 0.7:
                    room.settle()
        room.settle()
        for _, viewer, since in watching.values():
            numbers = [struct.unpack("!I", payload[-4:])[0] for payload in payloads(viewer)]
            assert numbers == list(range(since, seq)) or numbers == sorted(numbers)
            assert len(numbers) == 0 or numbers[-1] == seq - 1
            assert numbers == list(range(numbers[0], seq)) if numbers else since == seq
        room.assert_nothing_leaks()
