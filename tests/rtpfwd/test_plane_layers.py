"""Layers through the whole plane: targets, events, rates, audio levels, and audio that is held."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest

from rtpfwd.events import EstimateChanged, KeyframeAsked, LayerRate, LayersChanged
from rtpfwd.params import CongestionParams, EncodingParams, Handle
from tests.rtpfwd.path_world import EXTENSIONS, transport_feedback
from tests.rtpfwd.plane_world import MS, OPUS, OPUS_MAPPING, End, World, nack, rtp

PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
SSRCS = (0x1000, 0x1100, 0x1200)
PATTERN = (0, 2, 1, 2)


def layered(temporal: int, *, keyframe: bool = False, sync: bool = False, size: int = 100) -> bytes:
    """A VP8 frame in one packet that names its temporal layer (RFC 7741)."""
    return bytes([0x90, 0x20, temporal << 6 | sync << 5, 0 if keyframe else 1]) + bytes(size)


class Room:
    """A publisher with three encodings of three temporal layers each, and a viewer."""

    def __init__(self, encodings: int = 3, **changes: object) -> None:
        self.world = World()
        self.sender, self.viewer = self.world.end(5000), self.world.end(5001)
        self.prepare()
        named = tuple(EncodingParams(ssrc=ssrc, rtx_ssrc=ssrc + 1) for ssrc in SSRCS[:encodings])
        self.producer = self.world.video(self.sender, encodings=named)
        selector = "simulcast" if encodings > 1 else "svc"
        self.consumer: Handle = self.world.watch(self.viewer, self.producer, selector=selector, **changes)
        self.encodings = encodings
        self.frame = 0
        self.keyframes: set[int] = set()

    def prepare(self) -> None:
        """Before there is a viewer of anything."""

    @property
    def plane(self):
        return self.world.plane

    def play(self, frames: int, *, key: tuple[int, ...] = ()) -> None:
        for index in range(frames):
            temporal = PATTERN[self.frame % 4]
            for encoding in range(self.encodings):
                keyframe = index == 0 and encoding in key
                layer = 0 if keyframe else temporal
                payload = layered(layer, keyframe=keyframe, sync=layer > 0, size=100 * (encoding + 1))
                packet = rtp(self.frame, payload, ssrc=SSRCS[encoding], timestamp=self.frame * 3000)
                self.world.send(self.sender, packet)
            self.frame += 1
            self.world.advance(33)

    def told(self, kind: type) -> list[object]:
        return [event for event in self.world.events() if isinstance(event, kind)]


def asked(end: End) -> list[int]:
    """The SSRCs whose keyframes were asked for, since the last look."""
    found = [struct.unpack_from("!I", body, 4)[0] for body in end.took_rtcp(206, 1)]
    end.rtcp.clear()
    return found


def test_a_target_asks_its_encoding_and_is_told_when_it_flows() -> None:
    room = Room()
    room.plane.set_target(room.consumer, 0, 0, room.world.now)
    room.play(2)
    assert asked(room.sender) == [SSRCS[0]]
    room.play(8, key=(0,))
    (first,) = room.told(LayersChanged)
    assert (first.consumer, first.spatial, first.temporal) == (room.consumer, 0, 0)
    assert room.plane.consumer_stats(room.consumer)["encoding"] == 0

    room.plane.set_target(room.consumer, 2, 2, room.world.now)
    room.world.drain()
    at = room.world.now
    assert asked(room.sender) == [SSRCS[2]]  # at once, not with the next packet
    assert [(event.producer, event.encoding, event.at) for event in room.told(KeyframeAsked)][-1] == (
        room.producer, 2, at,
    )  # fmt: skip
    before = len(room.viewer.rtp)
    room.play(3)
    assert {len(packet.payload) for packet in room.viewer.rtp[before:]} == {104}  # the old one goes on
    before = len(room.viewer.rtp)
    room.play(20, key=(2,))
    sizes = [len(packet.payload) for packet in room.viewer.rtp[before:]]
    assert sizes[0] == 104  # encoding 0's packet of that frame comes before the keyframe
    assert set(sizes[1:]) == {304}
    changes = [(event.spatial, event.temporal) for event in room.told(LayersChanged)]
    assert changes[0] in {(0, 1), (2, 0)}
    assert changes[-1] == (2, 2)
    assert len(changes) <= 4  # few: not one for each frame
    seqs = [packet.seq for packet in room.viewer.rtp]
    assert all((b - a) % 65536 == 1 for a, b in pairwise(seqs))


@pytest.mark.parametrize("encodings", [1, 3])
def test_rates_of_each_layer(encodings: int) -> None:
    room = Room(encodings)
    room.play(60)
    rates = room.plane.layer_rates(room.producer)
    assert [(rate.spatial, rate.temporal) for rate in rates] == [(s, t) for s in range(encodings) for t in range(3)]
    for rate in rates:
        assert isinstance(rate, LayerRate)
        frames = 30.3 * PATTERN.count(rate.temporal) / 4
        size = 12 + 4 + 100 * (rate.spatial + 1)
        assert rate.frames_per_second == pytest.approx(frames, abs=2.5)
        assert rate.bps == pytest.approx(frames * size * 8, rel=0.2)
    # After a second of silence all is forgotten, and half a second after a beginning the figures are right already.
    room.world.advance(1500)
    room.play(1)
    assert len(room.plane.layer_rates(room.producer)) == encodings
    room.play(16)
    top = max(room.plane.layer_rates(room.producer), key=lambda rate: (rate.spatial, rate.temporal))
    assert top.frames_per_second == pytest.approx(15, abs=3.5)


def speech(seq: int, level: int, *, voice: bool) -> bytes:
    return rtp(
        seq, b"opus", ssrc=0x3000, payload_type=111, timestamp=seq * 960, extensions={1: bytes([voice << 7 | level])},
        marker=False,
    )  # fmt: skip


def test_the_loudest_level_since_the_last_call() -> None:
    world = World()
    sender = world.end(5000)
    encodings = (EncodingParams(ssrc=0x3000),)
    producer = world.video(sender, kind="audio", codecs=(OPUS,), encodings=encodings, extensions=((LEVEL, 1),))
    silent = world.video(sender, 0x4000)
    assert world.plane.audio_levels() == []
    world.send(sender, speech(1, 90, voice=False), speech(2, 20, voice=True), speech(3, 40, voice=False))
    assert world.plane.audio_levels() == [(producer, 20, True)]
    assert world.plane.audio_levels() == []
    world.send(sender, speech(4, 127, voice=False))
    assert world.plane.audio_levels() == [(producer, 127, False)]
    world.send(sender, speech(5, 50, voice=True))
    world.plane.remove_producer(producer)
    assert world.plane.audio_levels() == []
    world.plane.remove_producer(silent)


def test_held_audio_costs_nothing_and_goes_on_without_a_gap() -> None:
    world = World()
    sender, viewer = world.end(5000), world.end(5001)
    producer = world.video(sender, kind="audio", codecs=(OPUS,), encodings=(EncodingParams(ssrc=0x3000),))
    consumer = world.watch(viewer, producer, payload_types=OPUS_MAPPING, rtx_ssrc=None, selector="audio")
    for seq in range(30):
        if seq == 10:
            world.plane.set_forwarding(consumer, on=False)
        if seq == 20:
            world.plane.set_forwarding(consumer, on=True)
        world.send(sender, speech(seq, 30, voice=True))
        world.now += 20 * MS
    assert len(viewer.rtp) == 20
    seqs = [packet.seq for packet in viewer.rtp]
    assert [(seq - seqs[0]) % 65536 for seq in seqs] == list(range(20))
    assert [packet.marker for packet in viewer.rtp] == [index == 10 for index in range(20)]
    assert (viewer.rtp[10].timestamp - viewer.rtp[9].timestamp) % 2**32 == 11 * 960


def test_a_playout_delay_is_in_each_packet_from_then_on_and_in_repairs() -> None:
    room = Room(encodings=1, extensions=((PLAYOUT_DELAY, 11),))
    room.play(2, key=(0,))
    for least_ms in (125, 0):
        room.plane.set_playout_delay(room.consumer, least_ms)
        room.play(1)
    room.world.send(room.viewer, nack(1, 0x2000, room.viewer.rtp[0].seq))
    said = [packet.extensions.get(11) for packet in room.viewer.rtp]
    assert said == [None, None, b"\x00\xd3\xe8", b"\x00\x03\xe8", b"\x00\x03\xe8"]  # rounded up; at most 10 s
    with pytest.raises(ValueError, match="-1 ms"):
        room.plane.set_playout_delay(room.consumer, -1)


def test_targets_that_cant_be_right_are_refused() -> None:
    room = Room()
    for wrong in ((8, 0), (0, 8), (-2, 0), (0, -2), (None, 0), (0, "1")):
        with pytest.raises(ValueError, match="layer is 0 to 7, or -1"):
            room.plane.set_target(room.consumer, *wrong, room.world.now)
    room.plane.remove_consumer(room.consumer)
    for call in (
        lambda: room.plane.set_target(room.consumer, 0, 0, room.world.now),
        lambda: room.plane.set_forwarding(room.consumer, on=True),
        lambda: room.plane.set_playout_delay(room.consumer, 100),
        lambda: room.plane.layer_rates(room.consumer),
    ):
        with pytest.raises(KeyError):
            call()


def test_an_encoding_that_falls_silent_is_replaced_and_its_return_is_taken() -> None:
    room = Room()
    room.play(10, key=(0, 1, 2))
    assert room.plane.consumer_stats(room.consumer)["spatial"] == 2
    room.encodings = 2
    asked(room.sender)
    room.play(12)
    assert asked(room.sender) == [SSRCS[1]]
    room.play(4, key=(1,))
    assert room.plane.consumer_stats(room.consumer)["spatial"] == 1
    room.encodings = 3
    room.play(4, key=(2,))
    assert room.plane.consumer_stats(room.consumer)["spatial"] == 2


def test_requests_for_two_encodings_are_far_enough_apart_for_a_browser() -> None:
    """libwebrtc passes over a request within 300 ms of another one to the same sender, whatever it is for."""
    room = Room()
    room.plane.set_target(room.consumer, 0, 0, room.world.now)
    room.play(2)
    assert asked(room.sender) == [SSRCS[0]]
    room.play(2, key=(0,))
    room.plane.set_target(room.consumer, 2, 2, room.world.now)
    room.world.drain()
    assert asked(room.sender) == []
    room.play(6)  # 330 ms after the first one
    assert asked(room.sender) == [SSRCS[2]]


def test_more_than_is_wanted_is_not_asked_for_just_because_it_is_heard_first() -> None:
    room = Room()
    room.plane.set_target(room.consumer, 0, 0, room.world.now)
    room.world.send(room.sender, rtp(0, layered(0), ssrc=SSRCS[2], timestamp=0))
    room.frame += 1
    assert SSRCS[2] not in asked(room.sender)
    room.play(12)
    assert SSRCS[2] not in asked(room.sender)


class Adapted(Room):
    """With congestion control, and a viewer that tells what arrives."""

    def __init__(self, wanted: int = 1_900_000) -> None:
        super().__init__(extensions=EXTENSIONS)
        self.plane.set_target(self.consumer, 0, -1, self.world.now)
        self.plane.set_wanted(self.viewer.handle, wanted, self.world.now)
        self.answered = 0

    def prepare(self) -> None:
        params = CongestionParams(start_bps=600_000)
        self.plane.control_congestion(self.viewer.handle, params, self.world.now)

    def answer(self) -> None:
        """All that was sent arrived 20 ms later, at the speed at which it was sent."""
        numbers = [int.from_bytes(packet.extensions[5], "big") for packet in self.viewer.rtp][self.answered :]
        self.answered += len(numbers)
        at = (self.world.now + 20 * MS) // 250_000
        arrivals = [at + 4 * index for index in range(len(numbers))]  # 255 bytes each ms: 2 Mbit/s
        self.world.send(self.viewer, transport_feedback(0x2000, numbers[0], arrivals))


def test_the_first_keyframe_waits_for_what_a_probe_finds() -> None:
    room = Adapted()
    room.play(2)
    assert asked(room.sender) == []
    assert room.plane.counters()["probe_packets"] >= 5
    room.answer()
    assert room.told(EstimateChanged)[-1].figures.cause == "probe"
    room.plane.set_target(room.consumer, 2, -1, room.world.now)
    room.world.drain()
    assert asked(room.sender) == [SSRCS[2]]


def test_the_first_keyframe_waits_for_the_next_probe_when_the_first_one_finds_too_little() -> None:
    room = Adapted(wanted=3_000_000)
    room.play(2)
    room.answer()
    room.plane.set_target(room.consumer, 1, -1, room.world.now)
    sent = room.plane.counters()["probe_packets"]
    room.play(1)
    assert asked(room.sender) == []  # 2 of 3 Mbit/s are known
    assert room.plane.counters()["probe_packets"] >= sent + 5
    room.answer()
    room.plane.set_target(room.consumer, 2, -1, room.world.now)
    room.world.drain()
    assert asked(room.sender) == [SSRCS[2]]


def test_the_first_keyframe_does_not_wait_long_for_a_probe_that_nobody_answers() -> None:
    room = Adapted()
    room.play(7)
    assert asked(room.sender) == []
    room.play(2)  # 264 ms
    assert asked(room.sender) == [SSRCS[0]]


class Narrow(Room):
    """The top encoding flows to a viewer whose pace is given from outside."""

    def __init__(self) -> None:
        super().__init__(extensions=EXTENSIONS)
        self.pace(5_000_000)
        self.seq = dict.fromkeys(SSRCS, 0)
        self.plane.set_target(self.consumer, 2, -1, self.world.now)
        self.send(2, key=True)
        self.send(0)  # it is heard, so there is something to go down to
        self.world.advance(50)
        assert self.seqs()

    def prepare(self) -> None:
        self.plane.control_congestion(
            self.viewer.handle, CongestionParams(start_bps=5_000_000, controller="external"), self.world.now
        )

    def pace(self, bps: int) -> None:
        self.plane.set_estimate(self.viewer.handle, bps, self.world.now)

    def packet(self, encoding: int, *, key: bool = False) -> bytes:
        """The next one of an encoding, a frame by itself."""
        ssrc = SSRCS[encoding]
        self.seq[ssrc] += 1
        return rtp(self.seq[ssrc], layered(0, keyframe=key, size=1000), ssrc=ssrc, timestamp=self.seq[ssrc] * 3000)

    def send(self, encoding: int, *, key: bool = False) -> None:
        self.world.send(self.sender, self.packet(encoding, key=key))
        self.world.drain()

    def seqs(self) -> list[int]:
        return [packet.seq for packet in self.viewer.rtp if packet.ssrc == 0x2000]


def test_what_waits_of_a_displaced_encoding_is_dropped_and_nothing_of_it_follows() -> None:
    room = Narrow()
    room.pace(300_000)
    for _ in range(8):
        room.send(2)
    before = room.seqs()
    room.plane.set_target(room.consumer, 0, -1, room.world.now)
    room.send(2)
    room.world.advance(500)
    assert room.seqs() == before
    room.send(0, key=True)
    room.send(0)
    room.world.advance(500)
    assert room.seqs() == [*before, before[-1] + 1, before[-1] + 2]  # no number is missing


def repairs(room: Narrow) -> int:
    return sum(packet.ssrc == 0x2001 for packet in room.viewer.rtp)


@pytest.mark.parametrize("bps", [400_000, 4_000_000])
def test_what_a_narrow_path_lost_of_a_displaced_encoding_is_not_sent_again(bps: int) -> None:
    """The viewer goes on at the keyframe, and repairs would only delay that. A path that is wide enough gets them."""
    room = Narrow()
    for _ in range(120):  # 800 kbit/s of either
        room.send(2)
        room.send(0)
        room.world.advance(10)
    lost = room.seqs()[-20:]
    room.pace(bps)
    room.plane.set_target(room.consumer, 0, -1, room.world.now)
    room.world.send(room.viewer, nack(1, 0x2000, *lost))
    room.send(2)
    room.world.advance(1000)
    displaced = bps < 1_000_000
    assert repairs(room) == (0 if displaced else len(lost))
    assert (room.seqs()[-1] == lost[-1]) == displaced
    room.send(0, key=True)
    room.world.advance(100)
    before = repairs(room)
    room.world.send(room.viewer, nack(1, 0x2000, room.seqs()[-1]))
    room.world.advance(100)
    assert repairs(room) == before + 1  # of the keyframe


def test_an_encoding_that_hardly_waits_flows_on_until_the_lower_one_comes() -> None:
    room = Narrow()
    before = room.seqs()
    room.pace(1_000_000)
    for _ in range(3):
        room.send(2)
    congestion = room.plane.congestion(room.viewer.handle)
    assert 0 < congestion.queued_ms < 20
    room.plane.set_target(room.consumer, 0, -1, room.world.now)
    room.send(2)
    room.world.advance(100)
    assert len(room.seqs()) == len(before) + 4
    assert room.plane.counters()["drop_pacer_full"] == 0


def test_a_late_packet_of_a_displaced_encoding_shares_its_number_with_no_other() -> None:
    """With the same number and other bytes the SRTP keystream would be used twice."""
    room = Narrow()
    room.pace(300_000)
    for _ in range(8):
        room.send(2)
    room.plane.set_target(room.consumer, 0, -1, room.world.now)
    late = room.packet(2)
    room.send(2)  # it has overtaken `late`
    room.world.send(room.sender, late)
    room.world.advance(500)
    room.send(0, key=True)
    for _ in range(12):
        room.send(0)
        room.world.advance(50)
    room.world.advance(500)
    seqs = room.seqs()
    assert len(set(seqs)) == len(seqs)
    assert sum(len(packet.payload) > 900 for packet in room.viewer.rtp[-13:]) == 13


def test_numbers_around_those_that_left_are_not_given_again() -> None:
    room = Narrow()
    room.pace(300_000)
    late = room.packet(2)
    room.send(2)
    room.world.advance(200)
    room.send(2)  # leaves at once
    room.send(2)  # waits
    room.world.send(room.sender, late)  # waits behind it, with a number before those that left
    room.world.drain()
    room.plane.set_target(room.consumer, 0, -1, room.world.now)
    room.send(0, key=True)
    room.send(0)
    room.world.advance(500)
    seqs = room.seqs()
    assert room.plane.counters()["drop_pacer_full"] == 2
    assert len(set(seqs)) == len(seqs) == 5  # a number used before would be refused by SRTP, and the keyframe lost
