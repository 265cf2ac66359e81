"""The simulated viewer: what the VP8 decoder takes, what is asked for again, and how freezes are counted."""

from __future__ import annotations

import random

from server.testing.netem import MS, SECOND
from server.testing.rtp import RtpPacket, nacked, parse_rtcp
from server.testing.sim.player import VideoPlayer
from server.testing.sim.sources import CAMERA, Encoder, SendStream
from server.testing.sim.watching import Shown, watch

PERIOD = 40 * MS


def stream_of(frames: int, *, keyframes: tuple[int, ...] = (0,), seed: int = 1) -> list[list[RtpPacket]]:
    """The packets of each frame of a 360p encoding."""
    rng = random.Random(seed)
    stream = SendStream(rng, ssrc=10, payload_type=96, mid="0", rid="m", rtx_ssrc=11, rtx_payload_type=97)
    encoder = Encoder(CAMERA[1], stream, rng, fps=25, slides=False)
    encoder.allow(400_000)
    made = []
    for number in range(frames):
        encoder.keyframe_wanted = number in keyframes
        packets = encoder.encode(number * 3600, number * PERIOD)
        made.append([RtpPacket.parse(packet.head + b"\0\0" + packet.tail) for packet in packets])
    return made


def play(player: VideoPlayer, packet: RtpPacket, at: int) -> None:
    data = bytes(packet)
    player.receive(packet.seq, packet.timestamp, packet.marker, data, len(data) - len(packet.payload), len(data), at)


def repair(player: VideoPlayer, packet: RtpPacket, at: int) -> None:
    data = packet.seq.to_bytes(2, "big") + packet.payload
    player.receive_again(packet.timestamp, packet.marker, data, 0, len(data), at)


def watched(frames: list[list[RtpPacket]], lost: set[int]) -> VideoPlayer:
    player = VideoPlayer(10, 1, rtt_ns=50 * MS, now=0)
    for number, packets in enumerate(frames):
        for packet in packets:
            if number not in lost:
                play(player, packet, number * PERIOD + 30 * MS)
    return player


def captured(player: VideoPlayer) -> list[int]:
    return [frame.captured // PERIOD for frame in player.shown]


def test_a_whole_stream_is_shown_whole_at_the_size_that_its_keyframe_states():
    player = watched(stream_of(50), set())
    assert captured(player) == list(range(50))
    assert {frame.height for frame in player.shown} == {360}
    assert player.figures.keyframes == 1


def test_a_lost_frame_of_the_top_temporal_layer_costs_itself():
    """Of L1T3 frames 1 and 3 of each four are referred to by nothing."""
    assert captured(watched(stream_of(12), {5})) == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]


def test_a_lost_frame_of_the_middle_layer_costs_the_one_that_builds_on_it():
    assert captured(watched(stream_of(12), {6})) == [0, 1, 2, 3, 4, 5, 8, 9, 10, 11]


def test_a_lost_frame_of_the_base_costs_everything_to_the_next_keyframe():
    player = watched(stream_of(20, keyframes=(0, 12)), {4})
    assert captured(player) == [0, 1, 2, 3, *range(12, 20)]
    assert player.figures.undecodable > 0


def test_a_repair_brings_back_what_waited_for_it():
    frames = stream_of(16)
    player = watched(frames, {4})
    assert captured(player)[-1] == 3
    player.handle_timeout(16 * PERIOD)
    (asked,) = [numbers for part in parse_rtcp(player.output.popleft()) for numbers in [nacked(part)[1]]]
    assert asked == [packet.seq for packet in frames[4]]
    for packet in frames[4]:
        repair(player, packet, 16 * PERIOD + 50 * MS)
    assert captured(player) == list(range(16))
    assert player.figures.repaired == len(frames[4])
    assert all(frame.at >= 16 * PERIOD + 50 * MS for frame in player.shown[4:])


def test_frames_that_are_kept_back_let_a_repair_pass_and_no_longer_than_asked():
    def seen(*, repaired: bool) -> VideoPlayer:
        frames, player = stream_of(7), VideoPlayer(10, 1, rtt_ns=50 * MS, now=0)
        player.least_delay_ns = 120 * MS
        lost = frames[5].pop()  # the end of a frame that nothing refers to
        for number, packets in enumerate(frames):
            for packet in packets:
                play(player, packet, number * PERIOD + 30 * MS)
        assert captured(player) == [0, 1, 2, 3, 4]
        if repaired:
            repair(player, lost, 6 * PERIOD + 90 * MS)
        player.handle_timeout(6 * PERIOD + 149 * MS)
        assert captured(player)[5:] == [5, 6][: 2 * repaired]
        player.handle_timeout(6 * PERIOD + 150 * MS)
        return player

    assert captured(seen(repaired=True)) == [0, 1, 2, 3, 4, 5, 6]
    assert captured(seen(repaired=False)) == [0, 1, 2, 3, 4, 6]
    assert {frame.at - frame.captured for frame in seen(repaired=True).shown} == {150 * MS}


def test_a_decoder_without_a_keyframe_asks_for_one_after_200_ms():
    player = VideoPlayer(10, 1, rtt_ns=50 * MS, now=0)
    for packets in stream_of(4, keyframes=())[1:]:
        for packet in packets:
            play(player, packet, 100 * MS)
    assert player.shown == []
    assert player.next_timeout() == 200 * MS
    player.handle_timeout(200 * MS)
    assert player.figures.keyframe_requests == 1


def test_late_frames_make_the_jitter_buffer_longer_and_quiet_ones_shorter():
    frames = stream_of(400)
    player = VideoPlayer(10, 1, rtt_ns=50 * MS, now=0)
    delays = []
    for number, packets in enumerate(frames):
        late = 120 * MS if number in range(100, 120) else 0
        for packet in packets:
            play(player, packet, number * PERIOD + 30 * MS + late)
        delays.append(player.delay_ns)
    assert delays[99] <= 20 * MS
    assert 80 * MS < delays[119] <= 140 * MS
    assert delays[399] < 0.6 * delays[119]


def shown(times: list[int]) -> list[Shown]:
    return [Shown(at, at, 360, 0) for at in times]


def test_a_freeze_is_a_gap_of_three_averages_and_of_150_ms_more_than_one():
    steady = [number * 40 * MS for number in range(50)]
    end = steady[-1]
    # 189 ms more than the last is below 40 + 150; three averages would be 120.
    seen = watch(shown([*steady, end + 189 * MS, end + 229 * MS]), 0, end + 230 * MS)
    assert (seen.freezes, seen.longest_gap_ns) == (0, 189 * MS)
    seen = watch(shown([*steady, end + 400 * MS, end + 440 * MS]), 0, end + 450 * MS)
    assert (seen.freezes, seen.freeze_ns, seen.longest_gap_ns) == (1, 400 * MS, 400 * MS)


def test_a_picture_that_stands_still_at_the_end_is_frozen_too():
    seen = watch(shown([number * 40 * MS for number in range(50)]), 0, 5 * SECOND)
    assert (seen.freezes, seen.freeze_ns) == (1, 5 * SECOND - 49 * 40 * MS)


def test_only_what_falls_into_the_window_counts():
    times = [number * 40 * MS for number in range(50)] + [10 * SECOND + number * 40 * MS for number in range(50)]
    seen = watch(shown(times), 10 * SECOND + MS, 11 * SECOND)
    assert (seen.freezes, seen.frames) == (0, 24)
