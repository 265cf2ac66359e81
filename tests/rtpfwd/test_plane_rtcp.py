"""Loss repair, keyframe requests, reports and transport-wide feedback, in virtual time."""

from __future__ import annotations

import struct

import pytest

from rtpfwd.params import CodecParams, SrtpProfile
from tests.rtpfwd.plane_world import (
    MS,
    TRANSPORT_CC,
    World,
    nack,
    pli,
    receiver_report,
    rtp,
    sender_report,
    vp8,
)

each_profile = pytest.mark.parametrize("profile", [*SrtpProfile, None], ids=lambda p: p.name if p else "clear")


def call(profile=SrtpProfile.AEAD_AES_128_GCM, **changes):
    world = World()
    publisher, viewer = world.end(1, profile), world.end(2, profile)
    producer = world.video(publisher, **changes)
    consumer = world.watch(viewer, producer)
    world.drain()
    return world, publisher, viewer, producer, consumer


def nacked(bodies: list[bytes]) -> list[int]:
    found = []
    for body in bodies:
        for at in range(8, len(body), 4):
            pid, blp = struct.unpack_from("!HH", body, at)
            found += [pid, *[pid + bit + 1 & 0xFFFF for bit in range(16) if blp >> bit & 1]]
    return found


@each_profile
def test_a_loss_is_asked_from_the_publisher_and_its_repair_forwarded(profile):
    world, publisher, viewer, producer, _ = call(profile)
    for seq in (1, 2, 5, 6):
        world.send(publisher, rtp(seq, vp8(keyframe=seq == 1) + bytes([seq]), ssrc=0x1000))
        world.advance(5)
    world.advance(40)
    assert set(nacked(publisher.took_rtcp(205, 1))) == {3, 4}
    for rtx_seq, seq in ((500, 3), (501, 4)):
        repair = seq.to_bytes(2, "big") + vp8() + bytes([seq])
        world.send(publisher, rtp(rtx_seq, repair, ssrc=0x1001, payload_type=97, timestamp=seq * 3000))
    by_number = sorted(viewer.rtp, key=lambda packet: packet.seq - viewer.rtp[0].seq & 0xFFFF)
    assert [packet.payload[-1] for packet in by_number] == [1, 2, 3, 4, 5, 6]
    asked = len(publisher.took_rtcp(205, 1))
    world.advance(200)
    assert len(publisher.took_rtcp(205, 1)) == asked
    stats = world.plane.producer_stats(producer)[0]
    assert (stats["recovered"], stats["lost"], stats["rtx_packets"]) == (2, 2, 2)  # lost on the way, and repaired


def test_nothing_is_asked_from_a_publisher_without_nack():
    world, publisher, _, _, _ = call(codecs=(CodecParams(96, "video/vp8", 90000, pli=True),))
    world.send(publisher, rtp(1, vp8(keyframe=True), ssrc=0x1000), rtp(4, vp8(), ssrc=0x1000))
    world.advance(300)
    assert publisher.took_rtcp(205, 1) == []


@each_profile
def test_a_viewers_nack_is_answered_on_its_rtx_stream(profile):
    world, publisher, viewer, _, consumer = call(profile)
    for seq in range(1, 11):
        world.send(publisher, rtp(seq, vp8(keyframe=seq == 1) + bytes([seq]), ssrc=0x1000))
        world.advance(20)
    lost = viewer.rtp[4], viewer.rtp[7]
    world.send(viewer, nack(9, 0x2000, *(packet.seq for packet in lost)))
    answers = [packet for packet in viewer.rtp if packet.ssrc == 0x2001]
    assert [packet.payload_type for packet in answers] == [102, 102]
    assert answers[1].seq == answers[0].seq + 1
    for answer, original in zip(answers, lost, strict=True):
        assert int.from_bytes(answer.payload[:2], "big") == original.seq
        assert answer.payload[2:] == original.payload
        assert answer.timestamp == original.timestamp
        assert answer.marker == original.marker
    stats = world.plane.consumer_stats(consumer)
    assert (stats["nacked"], stats["retransmitted"]) == (2, 2)
    # Again at once is too soon; one that never existed has no answer.
    world.send(viewer, nack(9, 0x2000, lost[0].seq, lost[0].seq - 3000 & 0xFFFF))
    assert len([packet for packet in viewer.rtp if packet.ssrc == 0x2001]) == 2
    assert world.plane.counters()["retransmissions_unanswered"] == 2


def test_a_viewer_without_rtx_gets_no_answer():
    world = World()
    publisher, viewer = world.end(1), world.end(2)
    world.watch(viewer, world.video(publisher), rtx_ssrc=None)
    world.send(publisher, rtp(1, vp8(keyframe=True), ssrc=0x1000))
    sent = len(viewer.datagrams)
    world.send(viewer, nack(9, 0x2000, viewer.rtp[0].seq))
    assert len(viewer.datagrams) == sent
    assert world.plane.counters()["retransmissions_unanswered"] == 1


def test_what_was_sent_before_a_source_began_anew_is_not_answered_with_other_bytes():
    world, publisher, viewer, _, _ = call()
    for seq in range(1, 6):
        world.send(publisher, rtp(seq, vp8(keyframe=seq == 1), ssrc=0x1000))
    world.advance(3000)
    world.send(publisher, rtp(6, vp8(), ssrc=0x1000))
    world.send(viewer, nack(9, 0x2000, viewer.rtp[1].seq))
    assert all(packet.ssrc == 0x2000 for packet in viewer.rtp)


def test_a_running_viewer_asks_for_a_keyframe_at_once_and_again_each_second_until_one_comes():
    world = World()
    publisher, viewer = world.end(1), world.end(2)
    producer = world.video(publisher)
    consumer = world.watch(viewer, producer)
    world.drain()
    asked = publisher.took_rtcp(206, 1)
    assert [struct.unpack("!II", body)[1] for body in asked] == [0x1000]
    world.advance(3100)
    assert len(publisher.took_rtcp(206, 1)) == 4
    world.send(publisher, rtp(1, vp8(keyframe=True), ssrc=0x1000))
    world.advance(3000)
    assert len(publisher.took_rtcp(206, 1)) == 4
    world.plane.pause_consumer(consumer)


def test_a_paused_viewer_asks_for_nothing():
    world = World()
    publisher, viewer = world.end(1), world.end(2)
    world.watch(viewer, world.video(publisher), paused=True)
    world.advance(2000)
    assert publisher.took_rtcp(206) == []


def test_keyframe_requests_of_many_viewers_merge_and_are_throttled():
    world = World()
    publisher = world.end(1)
    viewers = [world.end(10 + n) for n in range(5)]
    producer = world.video(publisher)
    for n, viewer in enumerate(viewers):
        world.watch(viewer, producer, ssrc=0x2000 + 16 * n)
    world.send(publisher, rtp(1, vp8(keyframe=True), ssrc=0x1000))
    world.advance(1000)
    publisher.rtcp.clear()
    for n, viewer in enumerate(viewers):
        world.send(viewer, pli(9, 0x2000 + 16 * n))
        world.advance(10)
    assert len(publisher.took_rtcp(206, 1)) == 1
    # A keyframe answers; requests right after it wait until the throttle opens, then go out as one.
    world.send(publisher, rtp(2, vp8(keyframe=True), ssrc=0x1000))
    for n, viewer in enumerate(viewers):
        world.send(viewer, pli(9, 0x2000 + 16 * n))
    world.advance(300)
    assert len(publisher.took_rtcp(206, 1)) == 1
    world.advance(200)
    assert len(publisher.took_rtcp(206, 1)) == 2
    assert world.plane.counters()["keyframe_requests_received"] == 10


def test_fir_where_pli_is_not_spoken_and_nothing_where_neither_is():
    world, publisher, _, _, _ = call(codecs=(CodecParams(96, "video/vp8", 90000, fir=True),))
    assert len(publisher.took_rtcp(206, 4)) == 1
    world, publisher, _, _, _ = call(codecs=(CodecParams(96, "video/vp8", 90000),))
    world.advance(2000)
    assert publisher.took_rtcp(206) == []


@each_profile
def test_reports_go_both_ways(profile):
    world, publisher, viewer, _, consumer = call(profile)
    ntp = 0xE000_0000_0000_0000
    for seq in range(1, 51):
        world.send(publisher, rtp(seq, vp8(keyframe=seq == 1), ssrc=0x1000))
        if seq == 10:
            world.send(publisher, sender_report(0x1000, ntp, seq * 3000))
        world.advance(40)
    blocks = [body for body in publisher.took_rtcp(201) if len(body) > 4]
    assert blocks
    assert struct.unpack_from("!I", blocks[-1], 4)[0] == 0x1000
    reports = viewer.took_rtcp(200)
    assert {struct.unpack_from("!I", body)[0] for body in reports} == {0x2000}
    assert all(ntp >> 32 <= struct.unpack_from("!I", body, 4)[0] <= (ntp >> 32) + 5 for body in reports)
    assert any(b"publisher" in body for body in viewer.took_rtcp(202))
    # The viewer echoes the newest report: loss and round-trip time are known then.
    high, low = struct.unpack_from("!II", reports[-1], 4)
    middle = (high & 0xFFFF) << 16 | low >> 16
    world.send(viewer, receiver_report(9, 0x2000, lost=64, last_sr=middle, delay=0))
    stats = world.plane.consumer_stats(consumer)
    assert stats["fraction_lost"] == 0.25
    assert 0 < stats["rtt_ms"] < 2000


def test_every_report_carries_a_cname_of_who_reports():
    world, publisher, viewer, _, _ = call()
    world.send(publisher, rtp(1, vp8(keyframe=True), ssrc=0x1000))
    world.advance(3000)
    for end in (publisher, viewer):
        own = [struct.unpack_from("!I", body)[0] for body in end.took_rtcp(201)]
        assert own
        named = [body for body in end.took_rtcp(202) if struct.unpack_from("!I", body)[0] == own[0]]
        assert len(named) == len(own)
        assert {bytes(body[4:14]) for body in named} == {b"\x01\x08" + b"%08x" % own[0]}


def test_reports_of_many_consumers_share_datagrams_that_fit_a_path():
    world = World()
    publisher, viewer = world.end(1), world.end(2)
    for n in range(40):
        producer = world.video(publisher, ssrc=0x1000 + 16 * n)
        world.watch(viewer, producer, ssrc=0x9000 + 16 * n)
        world.send(publisher, rtp(1, vp8(keyframe=True), ssrc=0x1000 + 16 * n))
        world.send(publisher, sender_report(0x1000 + 16 * n, 1 << 40, 3000))
    world.advance(3000)
    assert {struct.unpack_from("!I", body)[0] for body in viewer.took_rtcp(200)} == {0x9000 + 16 * n for n in range(40)}
    told = {
        struct.unpack_from("!I", body, at)[0] for body in publisher.took_rtcp(201) for at in range(4, len(body), 24)
    }
    assert told == {0x1000 + 16 * n for n in range(40)}
    assert max(map(len, viewer.datagrams)) <= 1300
    assert max(map(len, publisher.datagrams)) <= 1300


def test_bye_is_counted_and_changes_nothing():
    world, publisher, viewer, producer, _ = call()
    world.send(publisher, rtp(1, vp8(keyframe=True), ssrc=0x1000))
    world.send(publisher, struct.pack("!BBHI", 0x80, 201, 1, 0x1000) + struct.pack("!BBHI", 0x81, 203, 1, 0x1000))
    world.send(publisher, rtp(2, vp8(), ssrc=0x1000))
    assert len(viewer.rtp) == 2
    assert world.plane.producer_stats(producer)[0]["byes"] == 1


def feedback(body: bytes) -> tuple[int, list[int | None]]:
    """(base, arrival of each number in 250 µs units or None): the reader of the draft's section 3.1, written apart."""
    base, count, reference = struct.unpack_from("!HHI", body, 8)
    reference >>= 8
    at, symbols = 16, []
    while len(symbols) < count:
        chunk = struct.unpack_from("!H", body, at)[0]
        at += 2
        if not chunk & 0x8000:
            symbols += [chunk >> 13 & 3] * (chunk & 0x1FFF)
        elif chunk & 0x4000:
            symbols += [chunk >> 2 * (6 - k) & 3 for k in range(7)]
        else:
            symbols += [chunk >> 13 - k & 1 for k in range(14)]
    clock, arrivals = reference * 256, []
    for symbol in symbols[:count]:
        if symbol == 1:
            clock += body[at]
            at += 1
        elif symbol == 2:
            clock += struct.unpack_from("!h", body, at)[0]
            at += 2
        arrivals.append(clock if symbol else None)
    assert len(body) - at < 4
    return base, arrivals


def test_transport_wide_feedback_tells_what_arrived_when():
    world, publisher, _, _, _ = call(extensions=((TRANSPORT_CC, 5),))
    sent: dict[int, int] = {}
    for n in range(200):
        number = 65450 + n & 0xFFFF
        if n % 13 == 5 or 60 <= n < 75:
            world.advance(3)
            continue
        sent[number] = world.now // 250_000
        packet = rtp(n + 1, vp8(keyframe=n == 0), ssrc=0x1000, extensions={5: number.to_bytes(2, "big")})
        world.send(publisher, packet)
        world.advance(3 if n % 50 else 90)
    world.advance(200)
    told: dict[int, int] = {}
    counts = []
    for body in publisher.took_rtcp(205, 15):
        counts.append(body[15])
        base, arrivals = feedback(body)
        told.update({base + k & 0xFFFF: at for k, at in enumerate(arrivals) if at is not None})
    assert counts == list(range(len(counts)))
    assert len(counts) >= 5
    assert told.keys() == sent.keys()
    offsets = {told[number] - sent[number] for number in sent}
    assert max(offsets) - min(offsets) <= 1


def test_outgoing_transport_wide_numbers_are_one_sequence_over_all_streams():
    world = World()
    publisher, viewer = world.end(1), world.end(2)
    for n in range(2):
        producer = world.video(publisher, ssrc=0x1000 + 16 * n, extensions=((TRANSPORT_CC, 5),))
        world.watch(viewer, producer, ssrc=0x2000 + 16 * n, extensions=((TRANSPORT_CC, 7),))
    for seq in range(1, 6):
        for n in range(2):
            world.send(publisher, rtp(seq, vp8(keyframe=seq == 1), ssrc=0x1000 + 16 * n))
    world.send(viewer, nack(9, 0x2000, viewer.rtp[0].seq))
    numbers = [int.from_bytes(packet.extensions[7], "big") for packet in viewer.rtp]
    assert numbers == list(range(numbers[0], numbers[0] + 11))


def test_reports_of_many_viewers_share_turns_and_each_has_its_own_time() -> None:
    world = World()
    publisher = world.end(1)
    producer = world.video(publisher)
    viewers = [world.end(10 + index) for index in range(20)]
    for index, viewer in enumerate(viewers):
        world.watch(viewer, producer, ssrc=0x2000 + 2 * index)
    world.send(publisher, rtp(1, vp8(keyframe=True), ssrc=0x1000))
    world.now += 1234567  # no multiple of anything
    end = world.now + 10_000 * MS
    while (due := world.plane.next_timeout()) is not None and due <= end:
        world.now = max(world.now, due)
        before = [len(viewer.took_rtcp(201)) for viewer in viewers]
        world.plane.handle_timeout(world.now)
        world.drain()
        if due == world.now and [len(viewer.took_rtcp(201)) for viewer in viewers] != before:
            assert world.now % (10 * MS) == 0
    # Ten seconds at one report every 0.5 to 1.5 s, whoever else was due meanwhile.
    assert all(6 <= len(viewer.took_rtcp(201)) <= 21 for viewer in viewers)
