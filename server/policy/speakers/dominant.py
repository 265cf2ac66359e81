"""The dominant speaker, after I. Volfin and I. Cohen, "Dominant speaker identification for multipoint
videoconferencing", Computer Speech and Language 27 (2013).

Speech is activity on three time scales: now (20 ms), over a word (100 ms) and over a sentence (1 s). On each, the
number of active parts is scored by the log-likelihood ratio of speech (binomial) against no speech
(exponential). Another takes the floor when its scores beat the speaker's on all three, so neither a cough nor
a door does.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from server.policy.protocols import Speakers

MS = 1_000_000  # ns
FRAME_NS = 20 * MS
LONGEST_GAP_FRAMES = 10  # one level says no more than this, however long ago the last was
SILENT = 127  # -dBov

# Parts of each scale, how many make a part of the next larger scale active, and the rate of the exponential.
NOW_PARTS, WORD_PARTS, SENTENCE_PARTS = 13, 5, 10
NOW_ACTIVE, WORD_ACTIVE, SENTENCE_ACTIVE = 3, 3, 3
NOW_RATE, WORD_RATE, SENTENCE_RATE = 0.78, 24.0, 47.0
# How far another's scores must be ahead (logarithm of their ratio), for each scale.
NOW_LEAD, WORD_LEAD, SENTENCE_LEAD = 3.0, 2.0, 0.0
LEAST_SCORE = 1e-10

MARGIN_DB = 6.0  # above the noise, before anything counts as activity
PART_DB = 4.0  # one part of the shortest scale
FIRST_NOISE, HIGHEST_NOISE = 67.0, 87.0  # dB above -127 dBov
NOISE_RISE = 0.02  # dB a frame
LOUDNESS_SHARE = 0.04  # of each frame in the smoothed loudness: half a second
HOLD_NS = 1500 * MS  # who paused for breath is still active


def score(active: int, parts: int, rate: float) -> float:
    """The paper's log-likelihood ratio of `active` out of `parts`, with even odds for each part; never below 1e-10."""
    likelihood = math.log(math.comb(parts, active)) + parts * math.log(0.5) - math.log(rate) + rate * active
    return max(likelihood, LEAST_SCORE)


# By the number of active parts: there are few, and each voice asks for three at every frame.
_NOW_SCORES = [score(active, NOW_PARTS, NOW_RATE) for active in range(NOW_PARTS + 1)]
_WORD_SCORES = [score(active, WORD_PARTS, WORD_RATE) for active in range(WORD_PARTS + 1)]
_SENTENCE_SCORES = [score(active, SENTENCE_PARTS, SENTENCE_RATE) for active in range(SENTENCE_PARTS + 1)]


@dataclass(slots=True)
class _Voice:
    """One producer."""

    noise: float = FIRST_NOISE
    loudness: float = 0.0  # smoothed, dB above -127 dBov
    now: int = 0  # active parts of the last frame
    frames: list[bool] = field(default_factory=list)  # of the word that is not complete
    word: deque[bool] = field(default_factory=lambda: deque([False] * WORD_PARTS, WORD_PARTS))
    words: deque[bool] = field(default_factory=lambda: deque([False] * SENTENCE_PARTS, SENTENCE_PARTS))
    active_words: int = 0  # of `words`
    spoke: int | None = None  # when a sentence was last under way

    def hear(self, level: int | None) -> None:
        """One frame; None: nothing came, which says nothing about the noise."""
        loudness = float(SILENT - min(max(SILENT if level is None else level, 0), SILENT))
        if level is not None:
            self.noise = min(loudness, self.noise + NOISE_RISE, HIGHEST_NOISE)
        self.loudness += LOUDNESS_SHARE * (loudness - self.loudness)
        self.now = max(0, min(NOW_PARTS, int((loudness - self.noise - MARGIN_DB) / PART_DB)))
        active = self.now >= NOW_ACTIVE
        self.word.append(active)
        self.frames.append(active)
        if len(self.frames) == WORD_PARTS:
            self.words.append(sum(self.frames) >= WORD_ACTIVE)
            self.active_words = sum(self.words)
            self.frames.clear()

    def scores(self) -> tuple[float, float, float]:
        return _NOW_SCORES[self.now], _WORD_SCORES[sum(self.word)], _SENTENCE_SCORES[self.active_words]

    @property
    def speaks(self) -> bool:
        return self.active_words >= SENTENCE_ACTIVE


class Dominant:
    """The speaker keeps the floor until another takes it: a silent room still shows who spoke last."""

    def __init__(self) -> None:
        self._voices: dict[str, _Voice] = {}
        self._dominant: str | None = None
        self._now: int | None = None
        self._rest = 0  # ns that did not fill a frame

    def inherit(self, speakers: Speakers, now: int) -> None:
        """Go on from what the one before said."""
        self._dominant = speakers.dominant
        for producer in speakers.active:
            self._voices[producer] = _Voice(spoke=now)

    def on_levels(self, levels: Mapping[str, int], now: int) -> None:
        for producer in levels:
            self._voices.setdefault(producer, _Voice())
        for _ in range(self._frames(now)):
            for producer, voice in self._voices.items():
                voice.hear(levels.get(producer))
            self._decide()
        for voice in self._voices.values():
            if voice.speaks and voice.now >= NOW_ACTIVE:
                voice.spoke = now

    def _frames(self, now: int) -> int:
        """How many frames this call stands for: its interval may be anything from one frame up."""
        if self._now is None:
            self._now = now
            return 1
        frames, self._rest = divmod(max(now - self._now, 0) + self._rest, FRAME_NS)
        self._now = now
        return min(frames, LONGEST_GAP_FRAMES)

    def _decide(self) -> None:
        rivals = [
            (producer, voice) for producer, voice in self._voices.items() if voice.speaks and producer != self._dominant
        ]
        if not rivals:
            return
        speaker = self._voices.get(self._dominant or "")
        held = speaker.scores() if speaker is not None else (LEAST_SCORE,) * 3
        best, ahead = None, -math.inf
        for producer, voice in rivals:
            now, word, sentence = (math.log(new / old) for new, old in zip(voice.scores(), held, strict=True))
            if now > NOW_LEAD and word > WORD_LEAD and sentence > SENTENCE_LEAD and word > ahead:
                best, ahead = producer, word
        self._dominant = best or self._dominant

    def forget(self, producer_id: str) -> None:
        self._voices.pop(producer_id, None)
        if self._dominant == producer_id:
            self._dominant = None

    def speakers(self) -> Speakers:
        now = self._now or 0
        active = [
            (-round(voice.loudness / 3), producer)  # steps of 3 dB: near equals keep their order
            for producer, voice in self._voices.items()
            if voice.spoke is not None and now - voice.spoke <= HOLD_NS
        ]
        return Speakers(self._dominant, tuple(producer for _, producer in sorted(active)))
