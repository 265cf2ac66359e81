"""Who speaks: levels as microphones give them, for both detectors."""

from __future__ import annotations

import itertools
import random

import pytest

from server.policy.protocols import Speakers
from server.policy.speakers.dominant import Dominant, score
from server.policy.speakers.loudest import Loudest

MS = 1_000_000
SILENCE, NOISE, SPEECH, LOUD = 127, 75, 28, 12


class Room:
    """Feeds a detector every `every_ms`, with levels that wander as real ones do."""

    def __init__(self, detector, every_ms=20, seed=1):
        self.detector, self.every = detector, every_ms * MS
        self.now = 1000 * MS
        self.random = random.Random(seed)

    def hear(self, ms, **levels):
        """For so long; `speech` levels have pauses of up to 100 ms between words. Gives who was dominant, by step."""
        dominant = []
        for _ in range(ms * MS // self.every):
            self.now += self.every
            heard = {name: self.wander(name, level) for name, level in levels.items() if level is not None}
            self.detector.on_levels(heard, self.now)
            dominant.append(self.detector.speakers().dominant)
        return dominant

    def wander(self, name, level):
        word = self.now // (100 * MS)
        pause = level in (SPEECH, LOUD) and random.Random(f"{name}{word}").random() < 0.2
        base = NOISE if pause else level
        return max(0, min(127, base + self.random.randint(-3, 3)))


each_interval = pytest.mark.parametrize("every_ms", [20, 50, 100])


@each_interval
def test_a_speaker_has_the_floor_within_a_second(every_ms):
    room = Room(Dominant(), every_ms)
    assert set(room.hear(3000, a=NOISE, b=NOISE)) == {None}
    got = room.hear(1000, a=SPEECH, b=NOISE)
    assert got[-1] == "a"
    assert room.detector.speakers().active == ("a",)


@each_interval
@pytest.mark.parametrize("seed", range(3))
def test_two_who_take_turns_have_the_floor_in_turn(every_ms, seed):
    room = Room(Dominant(), every_ms, seed)
    room.hear(2000, a=NOISE, b=NOISE)
    for turn in range(6):
        speaks, listens = "ab"[turn % 2], "ba"[turn % 2]
        got = room.hear(4000, **{speaks: SPEECH, listens: NOISE})
        since = got[1000 * MS // room.every :]
        assert set(since) == {speaks}
        assert sum(one != other for one, other in itertools.pairwise(got)) <= 1


@each_interval
def test_a_door_does_not_take_the_floor(every_ms):
    room = Room(Dominant(), every_ms)
    room.hear(2000, a=NOISE, b=NOISE)
    assert set(room.hear(200, a=NOISE, b=0)) == {None}
    assert set(room.hear(2000, a=NOISE, b=NOISE)) == {None}
    room.hear(3000, a=SPEECH, b=NOISE)
    for _ in range(5):
        assert set(room.hear(200, a=SPEECH, b=0)) == {"a"}
        assert set(room.hear(1500, a=SPEECH, b=NOISE)) == {"a"}
    room.hear(3000, a=NOISE, b=NOISE)
    assert set(room.hear(200, a=NOISE, b=0)) == {"a"}  # nor after the speaker fell silent
    assert "b" not in room.detector.speakers().active


def test_the_simple_one_is_fooled_by_the_door():
    room = Room(Loudest())
    room.hear(2000, a=NOISE, b=NOISE)
    assert room.hear(200, a=NOISE, b=0)[-1] == "b"


def test_a_louder_interruption_has_to_last():
    room = Room(Dominant())
    room.hear(4000, a=SPEECH, b=NOISE)
    assert set(room.hear(300, a=SPEECH, b=LOUD)) == {"a"}


@pytest.mark.parametrize("kind", [Dominant, Loudest])
def test_silence_leaves_the_last_speaker_and_nobody_active(kind):
    room = Room(kind())
    assert set(room.hear(5000, a=SILENCE, b=SILENCE)) == {None}
    room.hear(3000, a=SPEECH, b=SILENCE)
    assert room.detector.speakers() == Speakers("a", ("a",))
    room.hear(4000, a=SILENCE, b=SILENCE)
    assert room.detector.speakers() == Speakers("a", ())


@pytest.mark.parametrize("kind", [Dominant, Loudest])
def test_who_sends_nothing_is_silent(kind):
    room = Room(kind())
    room.hear(3000, a=SPEECH, b=None)
    room.hear(4000, a=None, b=None)
    assert room.detector.speakers().active == ()
    assert room.hear(1500, a=None, b=SPEECH)[-1] == "b"


@pytest.mark.parametrize("kind", [Dominant, Loudest])
def test_active_are_all_who_speak_loudest_first(kind):
    room = Room(kind())
    room.hear(1000, a=NOISE, b=NOISE, c=NOISE)
    room.hear(3000, a=SPEECH, b=LOUD, c=NOISE)
    assert room.detector.speakers().active == ("b", "a")


def test_who_pauses_for_breath_stays_active():
    room = Room(Dominant())
    room.hear(3000, a=SPEECH)
    room.hear(1000, a=NOISE)
    assert room.detector.speakers().active == ("a",)
    room.hear(1000, a=NOISE)
    assert room.detector.speakers().active == ()


def test_a_steady_fan_is_noise_before_long():
    room = Room(Dominant())
    room.hear(30_000, a=45)
    assert room.detector.speakers().active == ()


@pytest.mark.parametrize("kind", [Dominant, Loudest])
def test_who_is_gone_is_forgotten(kind):
    room = Room(kind())
    room.hear(3000, a=SPEECH)
    room.detector.forget("a")
    room.detector.forget("never heard of")
    assert room.detector.speakers() == Speakers(None, ())


@pytest.mark.parametrize("kind", [Dominant, Loudest])
def test_one_that_takes_over_knows_who_spoke(kind):
    detector = kind()
    detector.inherit(Speakers("a", ("a",)), 1000 * MS)
    assert detector.speakers().dominant == "a"
    room = Room(detector)
    assert set(room.hear(500, a=NOISE, b=NOISE)) == {"a"}


def test_a_clock_that_stands_still_or_jumps_does_no_harm():
    detector = Dominant()
    for now in (5, 5, 10**15, 10**15):
        detector.on_levels({"a": 200, "b": -4}, now)
    assert detector.speakers() == Speakers(None, ())


def test_scores_rise_with_activity():
    scores = [score(active, 10, 47.0) for active in range(11)]
    assert scores == sorted(scores)
    assert scores[0] > 0
