"""Simulated encoders: the rates, frame sizes and layers that a real one would send, and one browser's rate control."""

from __future__ import annotations

import random

from server.testing.netem import MS, SECOND
from server.testing.sim.rate_control import DelayAimd
from server.testing.sim.sources import CAMERA, SCREEN, Camera, Encoder, Encoding, Microphone, SendStream
from server.testing.stamps import read_stamp


def stream(rng: random.Random, *, video: bool = True) -> SendStream:
    return SendStream(rng, ssrc=10, payload_type=96, mid="0", rid="l", rtx_ssrc=11 if video else 0, rtx_payload_type=97)


def camera(encodings: tuple[Encoding, ...], *, screen: bool = False, seed: int = 1) -> Camera:
    rng = random.Random(seed)
    fps = 5 if screen else 25
    encoders = [Encoder(encoding, stream(rng), rng, fps=fps, slides=screen) for encoding in encodings]
    return Camera(encoders, rng, fps=fps, starts=0, screen=screen)


def test_each_encoding_keeps_to_its_target_within_a_tenth():
    source = camera(CAMERA)
    source.allow(10_000_000)
    source.frames(40 * SECOND)
    for encoder in source.encoders:
        bps = encoder.stream.sent_bytes * 8 / 40
        assert 0.9 * encoder.encoding.max_bps < bps < 1.15 * encoder.encoding.max_bps


def test_a_keyframe_is_five_to_ten_times_a_delta_frame_and_is_paid_back():
    source = camera(CAMERA[2:])
    source.allow(1_500_000)
    average = 1_500_000 / 8 / 25
    source.frames(4 * SECOND)
    source.encoders[0].keyframe_wanted = True
    before = source.encoders[0].stream.sent_bytes
    key = sum(len(packet.tail) for packet in source.frames(4 * SECOND + 40 * MS))
    assert 5 * average <= key <= 10.3 * average
    source.frames(8 * SECOND)
    assert (source.encoders[0].stream.sent_bytes - before) * 8 / 4 < 1.15 * 1_500_000


def test_a_small_rate_goes_to_the_lowest_encodings():
    source = camera(CAMERA)
    source.allow(600_000)
    assert [encoder.target for encoder in source.encoders] == [150_000, 400_000, 0]
    source.allow(200_000)
    assert [encoder.target for encoder in source.encoders] == [150_000, 0, 0]


def test_an_encoding_that_nobody_watches_stops_and_comes_back_with_a_keyframe():
    source = camera(CAMERA)
    source.allow(10_000_000)
    source.frames(SECOND)
    top = source.encoders[2]
    top.set_active(active=False)
    source.allow(10_000_000)
    sent = top.stream.sent
    source.frames(2 * SECOND)
    assert (top.stream.sent, top.keyframes) == (sent, 1)
    top.set_active(active=True)
    source.allow(10_000_000)
    source.frames(2 * SECOND + 40 * MS)
    assert top.keyframes == 2


def test_a_screen_is_quiet_and_then_bursts():
    source = camera(SCREEN[1:], screen=True)
    source.allow(700_000)
    sizes = []
    for number in range(300):
        packets = source.frames(number * 200 * MS)
        sizes.append(sum(len(packet.tail) for packet in packets))
    second = 700_000 / 8
    assert sum(size < 900 for size in sizes) > 100
    assert 5 < sum(size > 0.39 * second for size in sizes) < 40


def test_a_microphone_says_how_loud_it_is_and_stamps_its_packets():
    rng = random.Random(1)
    microphone = Microphone(stream(rng, video=False), rng, starts=0, talks=0.5)
    packets = microphone.frames(60 * SECOND)
    assert len(packets) == 3001
    levels = [packet.head[-2] & 127 for packet in packets]
    loud = [level for level in levels if level < 60]
    assert 0.3 < len(loud) / len(levels) < 0.7
    assert [read_stamp(packet.tail).sent_ns for packet in packets] == [number * 20 * MS for number in range(3001)]


def test_the_sender_backs_off_when_packets_queue_and_grows_when_they_pass():
    control = DelayAimd(start_bps=300_000, max_bps=5_000_000)
    now = 0
    for _ in range(60):
        now += 50 * MS
        control.on_feedback([(now, now + 20 * MS, 1200)] * 10, now)
    grown = control.bps
    assert grown > 2_000_000
    control.on_feedback([(now, now + 150 * MS, 1200)] * 10, now)
    assert control.bps < grown
    control.remb = 100_000
    assert control.target == 100_000
