"""What one end that is let in could do to the others of its plane, or to itself with the plane's help."""

from __future__ import annotations

import pytest

from rtpfwd.params import EncodingParams
from tests.rtpfwd.plane_world import (
    MID,
    MS,
    OPUS,
    OPUS_MAPPING,
    TRANSPORT_CC,
    World,
    nack,
    receiver_report,
    rtp,
    sender_report,
    vp8,
)


def numbered(seq: int, number: int) -> bytes:
    return rtp(seq, vp8(keyframe=seq == 1), ssrc=0x1000, extensions={5: number.to_bytes(2, "big")})


def test_a_stale_transport_wide_number_does_not_stop_the_planes_timers():
    world = World()
    publisher = world.end(1)
    world.video(publisher, extensions=((TRANSPORT_CC, 5),))
    world.send(publisher, numbered(1, 100))
    world.advance(100)  # reported: nothing is due for feedback
    assert world.plane.next_timeout() is not None
    world.send(publisher, numbered(2, 100))
    assert world.plane.next_timeout() is not None
    world.advance(2000)
    assert publisher.took_rtcp(201)


def test_jumping_transport_wide_numbers_do_not_set_the_planes_pace():
    world = World()
    publisher = world.end(1)
    world.video(publisher, extensions=((TRANSPORT_CC, 5),))
    turns = 0
    for seq in range(1, 101):
        world.send(publisher, numbered(seq, seq * 300 & 0xFFFF))
        due = world.plane.next_timeout()
        if due is not None and due <= world.now:
            turns += 1
            world.plane.handle_timeout(world.now)
            world.drain()
        world.now += MS
    assert turns <= 11


def test_a_viewer_cannot_have_a_packet_again_for_ever():
    world = World()
    publisher, viewer = world.end(1), world.end(2)
    world.watch(viewer, world.video(publisher))
    world.send(publisher, rtp(1, vp8(keyframe=True), ssrc=0x1000))
    asked = viewer.rtp[0].seq
    for _ in range(200):
        world.send(viewer, nack(9, 0x2000, asked))
        world.advance(9)
    assert 5 <= sum(packet.ssrc == 0x2001 for packet in viewer.rtp) <= 10


def test_a_viewer_that_states_no_round_trip_does_not_get_a_packet_twice_at_once():
    world = World()
    publisher, viewer = world.end(1), world.end(2)
    consumer = world.watch(viewer, world.video(publisher))
    world.send(publisher, rtp(1, vp8(keyframe=True), ssrc=0x1000))
    world.send(publisher, sender_report(0x1000, 7 << 32, 3000))
    world.advance(2000)
    last_sr = int.from_bytes(viewer.took_rtcp(200)[-1][6:10], "big")
    world.send(viewer, receiver_report(9, 0x2000, last_sr=last_sr, delay=10 << 16))
    assert 0 < world.plane.consumer_stats(consumer)["rtt_ms"] < 1
    world.send(publisher, rtp(2, vp8(), ssrc=0x1000))
    world.send(viewer, nack(9, 0x2000, *[viewer.rtp[-1].seq] * 300))
    assert sum(packet.ssrc == 0x2001 for packet in viewer.rtp) == 1


def test_one_compound_packet_is_answered_with_a_bounded_number_of_packets():
    world = World()
    publisher, viewer = world.end(1), world.end(2)
    world.watch(viewer, world.video(publisher))
    for seq in range(1, 501):
        world.send(publisher, rtp(seq, vp8(keyframe=seq == 1), ssrc=0x1000))
    asked = [packet.seq for packet in viewer.rtp]
    assert len(asked) == 500
    world.send(viewer, nack(9, 0x2000, *asked[:300]))
    first = sum(packet.ssrc == 0x2001 for packet in viewer.rtp)
    assert first == 256
    # What was not answered can be asked for again.
    world.send(viewer, nack(9, 0x2000, *asked[300:450]))
    assert sum(packet.ssrc == 0x2001 for packet in viewer.rtp) == first + 150


def test_both_ssrcs_of_a_sender_that_begins_anew_in_one_batch_do_not_silence_it():
    world = World()
    publisher, viewer = world.end(1), world.end(2)
    named = {"kind": "audio", "codecs": (OPUS,), "encodings": (EncodingParams(),), "mid": "0"}
    microphone = world.video(publisher, **named, extensions=((MID, 1),))
    world.watch(viewer, microphone, rtx_ssrc=None, payload_types=OPUS_MAPPING)

    def sound(seq: int, ssrc: int) -> bytes:
        return rtp(seq, b"sound", ssrc=ssrc, payload_type=111, extensions={1: b"0"})

    world.send(publisher, sound(1, 0x7000))
    world.send(publisher, sound(2, 0x7000), sound(900, 0x7001))
    for seq in range(901, 906):
        world.send(publisher, sound(seq, 0x7001))
    assert len(viewer.rtp) >= 7
    assert [packet.seq for packet in viewer.rtp] == [viewer.rtp[0].seq + n for n in range(len(viewer.rtp))]


def test_a_source_that_begins_anew_with_padding_is_joined_anew():
    world = World()
    publisher, viewer = world.end(1), world.end(2)
    world.watch(viewer, world.video(publisher))
    world.send(publisher, rtp(1, vp8(keyframe=True), ssrc=0x1000), rtp(2, vp8(), ssrc=0x1000))
    padding = b"\xa0" + rtp(30000, b"\x00\x00\x03", ssrc=0x1000)[1:]
    world.send(publisher, padding, b"\xa0" + rtp(30001, b"\x00\x00\x03", ssrc=0x1000)[1:])
    world.send(publisher, rtp(30002, vp8(), ssrc=0x1000))
    assert len(viewer.rtp) == 2, "no picture can be made of this before a keyframe"
    world.send(publisher, rtp(30003, vp8(keyframe=True), ssrc=0x1000))
    assert [packet.seq - viewer.rtp[0].seq for packet in viewer.rtp] == [0, 1, 2]


def test_a_source_that_falls_silent_gives_its_history_back():
    world = World()
    publisher = world.end(1)
    world.video(publisher)
    free = world.plane.counters()["history_slots_free"]
    for seq in range(1, 301):
        world.send(publisher, rtp(seq, vp8(keyframe=seq == 1), ssrc=0x1000))
    assert world.plane.counters()["history_slots_free"] == free - 300
    world.advance(4500)
    assert world.plane.counters()["history_slots_free"] == free


@pytest.mark.parametrize("flooder", ["a stranger", "an end that is let in"])
def test_a_flood_of_checks_leaves_room_for_those_of_others(flooder: str):
    world = World()
    honest, hostile = world.end(1), world.end(2)
    source = hostile.address if flooder == "an end that is let in" else ("udp", "192.0.2.9", 9)
    check = b"\x00\x01" + bytes(18)
    world.plane.ingest([(0, source, check)] * 2000, world.now)
    world.plane.ingest([(0, honest.address, check)], world.now)
    taken = [handed[1] for handed in iter(world.plane.poll_handoff, None)]
    assert taken[-1] == honest.address
    assert world.plane.counters()["drop_handoff_full"] == 2001 - len(taken)
    # Taken ones make room again.
    world.plane.ingest([(0, source, check)], world.now)
    assert world.plane.poll_handoff() is not None
