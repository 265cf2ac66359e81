"""What a viewer sees of picture ids and frame numbers: over pauses, switches of encodings, and retransmission."""

from __future__ import annotations

import pytest

from rtpfwd.params import CodecParams, EncodingParams, PayloadMapping, SrtpProfile
from tests.rtpfwd.descriptors import Descriptor, write
from tests.rtpfwd.link_world import LinkedWorld
from tests.rtpfwd.plane_world import End, World, nack, rtp
from tests.rtpfwd.test_descriptor import L1T3
from tests.rtpfwd.test_pictures import numbers
from tests.rtpfwd.test_pictures import vp8 as described_vp8

DESCRIPTOR = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
each_profile = pytest.mark.parametrize("profile", [*SrtpProfile, None], ids=lambda p: p.name if p else "clear")
AV1 = CodecParams(96, "video/av1", 90000, rtx_payload_type=97, nack=True, pli=True)
TWO = (EncodingParams(ssrc=0x1000, rtx_ssrc=0x1001), EncodingParams(ssrc=0x1100, rtx_ssrc=0x1101))


def vp8(picture: int, tl0: int, *, key: bool = False, temporal: int = 0) -> bytes:
    payload = bytearray(described_vp8(picture, tl0, temporal))
    payload[6] = 0 if key else 1
    return bytes(payload)


def shown(viewer: End, ssrc: int = 0x2000) -> list[tuple[int, int]]:
    return [numbers("video/vp8", packet.payload) for packet in viewer.rtp if packet.ssrc == ssrc]


@each_profile
def test_numbers_go_on_after_a_pause_and_the_same_ones_are_sent_again(profile: SrtpProfile | None) -> None:
    world = World()
    publisher, viewer, other = world.end(1, profile), world.end(2, profile), world.end(3, profile)
    producer = world.video(publisher)
    consumer = world.watch(viewer, producer)
    world.watch(other, producer)
    for seq in range(1, 12):
        if seq == 4:
            world.plane.pause_consumer(consumer)
        elif seq == 9:
            world.plane.resume_consumer(consumer, world.now)
        world.send(publisher, rtp(seq, vp8(seq, seq, key=seq in (1, 9)), ssrc=0x1000))
        world.advance(33)
    assert shown(viewer) == [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6)]
    assert shown(other) == [(seq, seq) for seq in range(1, 12)]  # the payload is changed in nobody else's copy
    world.send(viewer, nack(9, 0x2000, *(packet.seq for packet in viewer.rtp)))
    again = [packet for packet in viewer.rtp if packet.ssrc == 0x2001]
    originals = {packet.seq: packet for packet in viewer.rtp if packet.ssrc == 0x2000}
    assert len(again) == 6
    for packet in again:
        original = originals[int.from_bytes(packet.payload[:2], "big")]
        assert (packet.payload[2:], packet.timestamp) == (original.payload, original.timestamp)


@each_profile
def test_after_a_switch_the_former_encoding_is_still_sent_again(profile: SrtpProfile | None) -> None:
    world = World()
    publisher, viewer = world.end(1, profile), world.end(2, profile)
    world.watch(viewer, world.video(publisher, encodings=TWO))
    for seq in range(1, 6):
        world.send(publisher, rtp(seq, vp8(100 + seq, seq, key=seq == 1), ssrc=0x1000))
    world.advance(2000)  # the first encoding falls silent
    for seq in range(60_000, 60_004):
        world.send(publisher, rtp(seq, vp8(7 + seq, 90, key=seq == 60_000), ssrc=0x1100))
    assert shown(viewer) == [*((100 + seq, seq) for seq in range(1, 6)), *((seq, 6) for seq in range(106, 110))]
    lost = viewer.rtp[3], viewer.rtp[4], viewer.rtp[5], viewer.rtp[8]
    assert [packet.payload[-4:] for packet in lost] == [b"rest"] * 4
    world.send(viewer, nack(9, 0x2000, *(packet.seq for packet in lost)))
    again = [packet for packet in viewer.rtp if packet.ssrc == 0x2001]
    # In the order asked: the kept packets are those of the encoding of each.
    assert [(packet.payload[2:], packet.timestamp) for packet in again] == [
        (packet.payload, packet.timestamp) for packet in lost
    ]


@each_profile
def test_frame_numbers_of_the_descriptor_go_on_after_a_switch(profile: SrtpProfile | None) -> None:
    world = World()
    publisher, viewer = world.end(1, profile), world.end(2, profile)
    producer = world.video(publisher, codecs=(AV1,), encodings=TWO, extensions=((DESCRIPTOR, 7),))
    mapping = (PayloadMapping(producer=96, consumer=101, consumer_rtx=102),)
    world.watch(viewer, producer, payload_types=mapping, extensions=((DESCRIPTOR, 12),))
    sent = [
        (0x1000, 65_534, True),
        (0x1000, 65_535, False),
        (0x1000, 4, False),
        (0x1100, 300, True),
        (0x1100, 304, False),
    ]
    elements = []
    for seq, (ssrc, number, key) in enumerate(sent):
        if ssrc == 0x1100 and key:
            world.advance(2000)
        descriptor = Descriptor(True, True, 61 if key else 60, number, L1T3 if key else None)
        elements.append(write(descriptor, L1T3))
        packet = rtp(10 + seq, b"\x18\x0a\x00" if key else b"\x10\x32\x00", ssrc=ssrc, extensions={7: b"\0"})
        world.send(publisher, two_byte(packet, 7, elements[-1]))
        world.advance(33)
    found = [packet.extensions[12] for packet in viewer.rtp]
    assert [int.from_bytes(element[1:3], "big") for element in found] == [65_534, 65_535, 4, 5, 9]
    assert [element[:1] + element[3:] for element in found] == [element[:1] + element[3:] for element in elements]
    world.send(viewer, nack(9, 0x2000, *(packet.seq for packet in viewer.rtp)))
    again = [packet.extensions[12] for packet in viewer.rtp if packet.ssrc == 0x2001]
    assert again == found


def two_byte(packet: bytes, number: int, element: bytes) -> bytes:
    """The packet with this one extension element, in the two-byte form."""
    body = bytes([number, len(element)]) + element
    body += bytes(-len(body) % 4)
    return packet[:12] + b"\x10\0" + (len(body) // 4).to_bytes(2, "big") + body + packet[20:]


@each_profile
def test_a_viewer_on_another_plane_gets_the_same_numbers_again(profile: SrtpProfile | None) -> None:
    world = LinkedWorld()
    publisher, viewer = world[0].end(1, profile), world[1].end(2, profile)
    mirror = world.mirror(world[0].video(publisher, encodings=TWO))
    world[1].watch(viewer, mirror)
    for seq in range(1, 4):
        world.send(publisher, rtp(seq, vp8(100 + seq, seq, key=seq == 1), ssrc=0x1000))
    world.advance(2000)
    for seq in range(5, 8):
        world.send(publisher, rtp(seq, vp8(7 + seq, 90, key=seq == 5), ssrc=0x1100))
    assert shown(viewer) == [(101, 1), (102, 2), (103, 3), (104, 4), (105, 4), (106, 4)]
    lost = viewer.rtp[1:5]
    world.send(viewer, nack(9, 0x2000, *(packet.seq for packet in lost)))
    world.advance(100)
    again = [packet for packet in viewer.rtp if packet.ssrc == 0x2001]
    assert sorted((packet.payload[2:], packet.timestamp) for packet in again) == sorted(
        (packet.payload, packet.timestamp) for packet in lost
    )
    world.assert_nothing_leaks()


VP9 = CodecParams(96, "video/vp9", 90000, rtx_payload_type=97, nack=True, pli=True)


def vp9(picture: int, spatial: int, *, key: bool, ends: bool) -> bytes:
    """One packet of one frame of an L2T1 picture: I P L B E, picture id of 15 bits, SID and D, TL0PICIDX."""
    head = 0xA0 | (0 if key else 0x40) | 0x08 | (0x04 if ends else 0)
    return bytes([head, 0x80 | picture >> 8, picture & 0xFF, spatial << 1 | (spatial > 0), picture & 0xFF]) + b"rest"


@each_profile
def test_what_ends_a_picture_cut_short_has_the_marker_whenever_it_is_sent(profile: SrtpProfile | None) -> None:
    world = World()
    publisher, viewer, other = world.end(1, profile), world.end(2, profile), world.end(3, profile)
    producer = world.video(publisher, codecs=(VP9,))
    consumer = world.watch(viewer, producer, selector="svc")
    world.watch(other, producer)
    world.plane.set_target(consumer, 0, 0, world.now)
    for picture in range(1, 5):
        for spatial in (0, 1):
            payload = vp9(picture, spatial, key=picture == 1, ends=True)
            seq = 2 * picture + spatial
            world.send(publisher, rtp(seq, payload, ssrc=0x1000, timestamp=picture * 3000, marker=spatial == 1))
        world.advance(33)
    sent = [packet for packet in viewer.rtp if packet.ssrc == 0x2000]
    assert [(packet.marker, packet.payload[2]) for packet in sent] == [(True, picture) for picture in range(1, 5)]
    assert [packet.seq - sent[0].seq for packet in sent] == [0, 1, 2, 3]
    assert [packet.marker for packet in other.rtp] == [False, True] * 4
    world.send(viewer, nack(9, 0x2000, *(packet.seq for packet in sent)))
    again = [packet for packet in viewer.rtp if packet.ssrc == 0x2001]
    assert [(packet.marker, packet.payload[2:]) for packet in again] == [(True, packet.payload) for packet in sent]


@each_profile
def test_what_is_dropped_late_leaves_no_gap_to_wait_for(profile: SrtpProfile | None) -> None:
    """Lost on the way to us, repaired, and of a layer that the viewer does not get: its number was kept for it."""
    world = World()
    publisher, viewer, other = world.end(1, profile), world.end(2, profile), world.end(3, profile)
    producer = world.video(publisher)
    consumer = world.watch(viewer, producer, selector="simulcast")
    world.watch(other, producer)
    world.plane.set_target(consumer, 0, 0, world.now)
    packets = {
        seq: rtp(seq, vp8(seq, seq // 2, key=seq == 2, temporal=seq % 2), ssrc=0x1000, marker=True)
        for seq in range(2, 12)
    }
    for seq in (2, 3, 4, 6, 5, 7, 8):
        world.send(publisher, packets[seq])
        world.advance(33)
    sent = [packet for packet in viewer.rtp if packet.ssrc == 0x2000]
    first = sent[0].seq
    # 3 and 7 were closed up; 5 came late.
    assert [(packet.seq - first, packet.padding, packet.marker) for packet in sent] == [
        (0, 0, True), (1, 0, True), (3, 0, True), (2, 1, False), (4, 0, True),
    ]  # fmt: skip
    assert sent[3].payload == b""
    assert [packet.timestamp for packet in sent] == [seq * 3000 for seq in (2, 4, 6, 5, 8)]
    assert len(other.rtp) == 7
    assert not any(packet.padding for packet in other.rtp)
