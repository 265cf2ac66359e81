"""What each selector does, case by case. Any case at all: test_selectors_random."""

from __future__ import annotations

from typing import Any

import pytest

from rtpfwd import selector
from rtpfwd.selector_probe import Choosing
from tests.rtpfwd.selector_world import MS, Structure, World


def world(structure: Structure, target: tuple[int, int] = (-1, -1), *, settled: bool = True) -> World:
    made = World(structure, 5)
    made.choosing.set_target(*target)
    if settled:
        made.run(60)
    return made


class Packets:
    """Single-packet frames by hand: `"0k 1 1k"` is encoding 0's keyframe, then a frame of 1, then its keyframe."""

    def __init__(self, name: str, **target: int) -> None:
        self.choosing = Choosing(selector.create(name, video=name != "audio"))
        self.seqs: dict[int, int] = {}
        self.now = 10**12

    def take(self, encoding: int, *, now: int | None = None, seq: int | None = None, **facts: Any) -> str | None:
        self.now = self.now + 10 * MS if now is None else now
        if seq is None:
            seq = self.seqs[encoding] = self.seqs.get(encoding, 100 * encoding) + 1
        values = {"start": True, "end": True, "timestamp": self.now // MS, **facts}
        got = self.choosing.take(ext_seq=seq, now=self.now, encoding=encoding, **values)
        return None if got is None else got[0]

    def play(self, script: str) -> list[str]:
        """The frames of the script that were sent."""
        return [word for word in script.split() if self.take(int(word[0]), keyframe="k" in word) is not None]


# Simulcast.


def test_what_flows_goes_on_until_the_keyframe_of_the_other() -> None:
    packets = Packets("simulcast")
    packets.choosing.set_target(0, -1)
    assert packets.play("0k 1 0 1") == ["0k", "0"]
    packets.choosing.set_target(1, -1)
    assert packets.choosing.wants_keyframe
    assert packets.choosing.wanted_encoding == 1
    assert packets.play("0 1 0 1k 0 1") == ["0", "0", "1k", "1"]
    assert packets.choosing.current == (1, 0)
    assert not packets.choosing.wants_keyframe
    packets.choosing.set_target(0, -1)
    assert packets.choosing.wanted_encoding == 0
    assert packets.play("1 0 1 0k 1k 0") == ["1", "1", "0k", "0"]


def test_without_a_target_the_best_that_is_heard_flows() -> None:
    packets = Packets("simulcast")
    assert packets.play("0k 1 2 0 2k 2 0 1") == ["0k", "0", "2k", "2"]
    assert packets.choosing.current == (2, 0)


def test_a_first_picture_below_the_target_is_taken_and_one_above_is_not() -> None:
    packets = Packets("simulcast")
    packets.choosing.set_target(1, -1)
    assert packets.play("0 1 2k 0k 0 1k") == ["0k", "0", "1k"]


def test_a_silent_target_is_not_waited_for() -> None:
    packets = Packets("simulcast")
    packets.choosing.set_target(2, -1)
    assert packets.play("0 1 1k 0") == ["1k"]
    assert not packets.choosing.wants_keyframe
    assert packets.play("1 2k 1 2") == ["1", "2k", "2"]  # it is heard, so it is taken at once


def test_a_flow_that_falls_silent_is_left_for_the_best_below_it() -> None:
    packets = Packets("simulcast")
    assert packets.play("0k 1 2 2k") == ["0k", "2k"]
    packets.play("0 1 " * 8)
    assert packets.choosing.wants_keyframe
    assert packets.choosing.wanted_encoding == 1
    # Quiet for 8 frames of each other one only: when it comes back it goes on.
    assert packets.play("2 0 1") == ["2"]
    assert not packets.choosing.wants_keyframe
    packets.play("0 1 " * 9)
    assert packets.play("1k 0 1") == ["1k", "1"]


def test_after_a_second_any_keyframe_on_the_way_will_do() -> None:
    packets = Packets("simulcast")
    packets.choosing.set_target(0, -1)
    packets.play("0k 1 2")
    packets.choosing.set_target(2, -1)
    assert packets.play("2 1k 0") == ["0"]
    packets.play("0 1 2 " * 40)
    assert packets.play("1k 0 1") == ["1k", "1"]
    assert packets.choosing.wanted_encoding == 2


def test_a_late_keyframe_is_no_place_to_switch() -> None:
    packets = Packets("simulcast")
    packets.choosing.set_target(1, -1)
    packets.play("0k 1")
    packets.seqs[1] += 5
    packets.take(1)
    assert packets.take(1, seq=packets.seqs[1] - 2, keyframe=True) is None
    assert packets.choosing.wants_keyframe


def test_late_packets_of_the_former_encoding_are_dropped() -> None:
    packets = Packets("simulcast")
    packets.choosing.set_target(0, -1)
    packets.play("0k 1 0")
    packets.seqs[0] += 1  # one is late
    packets.choosing.set_target(1, -1)
    assert packets.take(1, keyframe=True) == "switch"
    assert packets.take(0, seq=packets.seqs[0]) is None


@pytest.mark.parametrize("structure", [Structure(3, 1, 3), Structure(1, 1, 3)], ids=str)
def test_temporal_layers_go_down_at_once_and_up_at_a_switch_point(structure: Structure) -> None:
    made = world(structure)
    assert {layer[2] for layer in made.flowing_layers(8)} == {0, 1, 2}
    made.choosing.set_target(-1, 0)
    made.run(12)
    assert {layer[2] for layer in made.flowing_layers(11)} == {0}
    assert made.choosing.current[1] == 0
    for encoder in made.encoders:
        encoder.sync = 0.0
    made.choosing.set_target(-1, 2)
    made.run(40)
    assert made.choosing.current[1] == 0
    for encoder in made.encoders:
        encoder.sync = 1.0
    made.run(12)
    assert made.choosing.current[1] == 2
    made.check()


def test_without_switch_points_a_keyframe_is_wanted_for_a_temporal_layer_after_2_s() -> None:
    made = world(Structure(3, 1, 3), (2, 0))
    for encoder in made.encoders:
        encoder.sync = 0.0
    asked = made.keyframes_asked
    made.choosing.set_target(2, 2)
    made.run(58)
    assert made.keyframes_asked == asked
    made.run(20)
    assert made.keyframes_asked == asked + 1
    assert made.choosing.current == (2, 2)
    made.check()


def test_while_it_waits_to_go_down_it_sends_the_lowest_temporal_layer_only() -> None:
    made = world(Structure(3, 1, 3), (2, 2))
    made.answers_keyframes = False
    made.choosing.set_target(0, 2)
    made.run(30)
    assert made.flowing_layers(20) == {(2, 0, 0)}
    made.answers_keyframes = True
    made.run(30)
    assert made.flowing_layers(10) == {(0, 0, 0), (0, 0, 1), (0, 0, 2)}
    made.check()


# Layers within one stream.


@pytest.mark.parametrize("mode", ["L", "K", "S"])
def test_spatial_layers_of_one_stream(mode: str) -> None:
    made = world(Structure(1, 3, 2, mode), (0, 1))
    assert made.flowing_layers(4) == {(0, 0, 0), (0, 0, 1)}
    made.choosing.set_target(2, 1)
    made.run(60)
    assert made.choosing.current == (2, 1)
    assert {layer[1] for layer in made.flowing_layers(4)} == ({0, 1, 2} if mode == "L" else {2})
    asked = made.keyframes_asked
    made.choosing.set_target(1, 1)
    made.run(2)
    assert (made.choosing.current[0] == 1) == (mode == "L")  # in K and S modes the lower layers were left out
    made.run(40)
    assert made.choosing.current == (1, 1)
    assert (made.keyframes_asked == asked) == (mode == "L")
    made.check()
    made.check_markers()


@pytest.mark.parametrize("mode", ["L", "K"])
def test_a_layer_that_the_sender_stopped_is_not_waited_for(mode: str) -> None:
    made = world(Structure(1, 3, 1, mode))
    assert made.choosing.current == (2, 0)
    made.encoders[0].on = 2
    made.run(40)
    assert made.choosing.current == (1, 0)
    assert not made.choosing.wants_keyframe
    assert max(layer[1] for layer in made.flowing_layers(3)) == 1
    made.check()


def test_the_descriptor_tells_of_stopped_layers_sooner() -> None:
    """Decode targets that are no longer produced: two pictures are enough."""
    waits = []
    for descriptor in (False, True):
        made = world(Structure(1, 2, 1, "K", descriptor))
        made.answers_keyframes = False
        made.encoders[0].on = 1
        since = made.pictures
        while not made.choosing.wants_keyframe:
            made.run(1)
        waits.append(made.pictures - since)
    assert waits == [8, 3]


# Audio.


def test_audio_begins_at_once_and_is_held_without_a_gap() -> None:
    choosing = Choosing(selector.create("audio", video=False))
    assert not choosing.wants_keyframe
    sent = [choosing.take(ext_seq=seq, now=seq * 20 * MS, timestamp=seq * 960) for seq in (10, 11)]
    choosing.set_forwarding(on=False)
    assert [choosing.take(ext_seq=seq, now=seq * 20 * MS, timestamp=seq * 960) for seq in range(12, 40)] == [None] * 28
    choosing.set_forwarding(on=True)
    sent += [choosing.take(ext_seq=seq, now=seq * 20 * MS, timestamp=seq * 960) for seq in (40, 41)]
    assert sent == [
        ("switch", 0, 9600, False), ("forward", 1, 10560, False),
        ("forward_marked", 2, 38400, True), ("forward", 3, 39360, False),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["audio", "simulcast", "svc"])
def test_a_restarted_source_begins_anew(name: str) -> None:
    packets = Packets(name)
    assert packets.take(0, keyframe=True) == "switch"
    assert packets.take(0) == "forward"
    assert packets.take(0, restart=True, keyframe=True) == "switch"
