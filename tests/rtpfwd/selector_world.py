"""A sender with layers, a bad link, a selector with its rewriter, and a decoder that says what it can't decode.

The sender keeps the references that each frame really has. So the decoder here knows nothing of layers, levels or
switch points: a frame can be decoded when all its packets were sent and everything that it refers to can be.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise

from rtpfwd import selector, selectors
from rtpfwd.selector_probe import Choosing

assert selectors.__all__  # importing the package registers them

MS = 1_000_000
PICTURE = 33 * MS
TICKS = 3000  # 90 kHz / 30 fps
PATTERNS = {1: (0,), 2: (0, 1), 3: (0, 2, 1, 2)}


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of one encoding and spatial layer."""

    encoding: int
    picture: int
    spatial: int
    temporal: int
    refs: tuple[Frame, ...]
    first: int  # ext_seq
    count: int  # packets
    keyframe: bool
    switch_point: bool
    needs_lower: bool
    last_of_picture: bool


@dataclass(frozen=True)
class Structure:
    """How a sender codes."""

    encodings: int = 1
    spatial: int = 1
    temporal: int = 1
    mode: str = "L"  # L, K (inter-layer prediction at keyframes only) or S (none)
    descriptor: bool = False

    @property
    def selector(self) -> str:
        return "simulcast" if self.encodings > 1 else "svc"


@dataclass
class Encoder:
    """One encoding. `last[spatial][temporal]`: the newest frame that a later one may refer to."""

    index: int
    structure: Structure
    rng: random.Random
    seq: int
    sync: float = 0.4  # share of the upper temporal frames that refer to lower layers only
    on: int = 8  # spatial layers produced; for an encoding 0 = it is silent
    age: int = 0  # pictures since the keyframe
    produced: int = 0  # spatial layers of the last picture
    last: dict[tuple[int, int], Frame] = field(default_factory=dict)

    def picture(self, number: int, *, key: bool) -> list[Frame]:
        count = min(self.on, self.structure.spatial)
        if count == 0:
            self.produced = 0
            return []
        key = key or not self.last or self.produced == 0 or (self.structure.mode == "K" and count > self.produced)
        if key:
            self.age, self.last = 0, {}
        pattern = PATTERNS[self.structure.temporal]
        temporal = pattern[self.age % len(pattern)]
        sync = temporal > 0 and (self.rng.random() < self.sync or self.age < len(pattern))
        frames: list[Frame] = []
        for spatial in range(count):
            fresh = spatial >= self.produced and not key  # the layer comes back
            joins = (
                spatial > 0
                and not key
                and temporal == 0
                and (fresh or (self.structure.mode != "K" and self.rng.random() < 0.03))
            )
            if fresh and temporal > 0:
                break  # not before the next picture that all layers have
            frames.append(self._frame(number, spatial, temporal, key, sync, joins, frames))
        self.age += 1
        self.produced = len(frames)
        frames[-1] = replace(frames[-1], last_of_picture=True)
        for frame in frames:
            self.last[frame.spatial, temporal] = frame
        return frames

    def _frame(
        self, number: int, spatial: int, temporal: int, key: bool, sync: bool, joins: bool, lower: list[Frame]
    ) -> Frame:
        mode = self.structure.mode
        needs_lower = spatial > 0 and (mode == "L" or (mode == "K" and (key or joins)))
        refs = [lower[-1]] if needs_lower else []
        if joins:
            for other in range(1, 4):
                self.last.pop((spatial, other), None)
        if not key and not joins:
            top = temporal - 1 if sync else temporal
            found = [self.last[spatial, t] for t in range(top + 1) if (spatial, t) in self.last]
            refs += [ref for ref in found if ref.temporal == 0 or sync or self.rng.random() < 0.7]
            if not sync and (spatial, temporal) in self.last:
                refs.append(self.last[spatial, temporal])
        count = self.rng.choice((1, 1, 2, 3))
        self.seq += count
        return Frame(
            encoding=self.index, picture=number, spatial=spatial, temporal=temporal, refs=tuple(refs),
            first=self.seq - count, count=count, keyframe=not refs, switch_point=key or joins or sync or not refs,
            needs_lower=needs_lower, last_of_picture=False,
        )  # fmt: skip


@dataclass(frozen=True)
class Sent:
    frame: Frame
    seq: int  # extended, of the sender
    number: int  # unwrapped, of the viewer
    marker: bool
    epoch: int


class World:
    """Time goes on picture by picture."""

    def __init__(self, structure: Structure, seed: int, *, loss: float = 0.0, late: float = 0.0) -> None:
        self.structure, self.rng = structure, random.Random(seed)
        self.loss, self.late = loss, late
        self.choosing = Choosing(selector.create(structure.selector, video=True))
        self.encoders = [
            Encoder(index, structure, self.rng, self.rng.randrange(1000)) for index in range(structure.encodings)
        ]
        self.pictures = 0
        self.now = 10**12
        self.answers_keyframes = True
        self.asked: dict[int, int] = {}  # encoding -> picture at which its keyframe comes
        self.answered: dict[int, int] = {}
        self.keyframes_asked = 0
        self.flying: list[tuple[int, int, Frame, int]] = []
        self.arrived: list[tuple[Frame, int, int]] = []  # frame, seq, epoch while it came
        self.late_seqs: set[tuple[int, int]] = set()
        self.newest: dict[int, int] = {}
        self.sent: list[Sent] = []
        self.epoch = 0
        self.ends: dict[int, int] = {}  # epoch -> arrivals before the selector was told to begin anew
        self.changes: list[tuple[int, tuple[int, int]]] = []  # picture, current

    def run(self, pictures: int, each: Callable[[], None] | None = None) -> None:
        for _ in range(pictures):
            if each is not None:
                each()
            self._picture()

    def reset(self) -> None:
        self.choosing.reset()
        self.ends.setdefault(self.epoch, len(self.arrived))

    def flush(self) -> None:
        self._arrive(self.now + 10**12)

    def _picture(self) -> None:
        number = self.pictures
        self.pictures += 1
        self.now += PICTURE
        for encoder in self.encoders:
            key = self.asked.get(encoder.index, number + 1) <= number
            if key:
                del self.asked[encoder.index]
                self.answered[encoder.index] = number
            for frame in encoder.picture(number, key=key):
                for offset in range(frame.count):
                    self._fly(frame, frame.first + offset)
        self._arrive(self.now)
        self._ask()

    def _fly(self, frame: Frame, seq: int) -> None:
        at = self.now
        if self.rng.random() < self.loss:
            if self.rng.random() < 0.3:
                return
            at += self.rng.randrange(20, 300) * MS  # it comes again
        elif self.rng.random() < self.late:
            at += self.rng.randrange(60) * MS
        heapq.heappush(self.flying, (at, len(self.arrived) + len(self.flying) + self.pictures * 10**6, frame, seq))

    def _arrive(self, until: int) -> None:
        while self.flying and self.flying[0][0] <= until:
            at, _, frame, seq = heapq.heappop(self.flying)
            self._take(frame, seq, at)

    def _take(self, frame: Frame, seq: int, at: int) -> None:
        first, last = seq == frame.first, seq == frame.first + frame.count - 1
        if seq != self.newest.get(frame.encoding, seq - 1) + 1:
            self.late_seqs.add((frame.encoding, seq))
        self.newest[frame.encoding] = max(seq, self.newest.get(frame.encoding, seq))
        layered = self.structure.spatial > 1
        got = self.choosing.take(
            ext_seq=seq, now=at, timestamp=frame.picture * TICKS, encoding=frame.encoding,
            spatial=frame.spatial if layered else -1, temporal=frame.temporal if self.structure.temporal > 1 else -1,
            keyframe=first and frame.keyframe, start=first, end=last, marker=last and frame.last_of_picture,
            switch_point=first and frame.switch_point, needs_lower=frame.needs_lower,
            has_descriptor=self.structure.descriptor, active_targets=(1 << self.encoders[0].produced) - 1,
        )  # fmt: skip
        if got is not None:
            verdict, number, _, marker = got
            self.epoch += verdict.startswith("switch")
            before = self.sent[-1].number if self.sent else -1
            number = before + (number - before + 32768) % 65536 - 32768
            self.sent.append(Sent(frame, seq, number, marker, self.epoch))
        self.arrived.append((frame, seq, self.epoch))
        if not self.changes or self.changes[-1][1] != self.choosing.current:
            self.changes.append((self.pictures, self.choosing.current))

    def _ask(self) -> None:
        """A request takes 100 ms, and one encoding is asked every 500 ms at most."""
        if not self.choosing.wants_keyframe or not self.answers_keyframes:
            return
        wanted = max(self.choosing.wanted_encoding, 0)
        if wanted not in self.asked and self.pictures - self.answered.get(wanted, -100) > 15:
            self.asked[wanted] = self.pictures + 3
            self.keyframes_asked += 1

    # What must hold.

    def check(self) -> None:
        self.check_decodable()
        self.check_numbers()

    def check_decodable(self) -> None:
        """No frame of which anything was sent is one that could be decoded before and can't be after."""
        came: dict[int, set[tuple[int, int]]] = {}  # epoch -> what came until its end
        total: set[tuple[int, int]] = set()
        at = 0
        for epoch in range(1, self.epoch + 1):
            end = self.ends.get(epoch, len(self.arrived))
            while at < end and self.arrived[at][2] <= epoch:
                total.add((self.arrived[at][0].encoding, self.arrived[at][1]))
                at += 1
            came[epoch] = set(total)
        if self.structure.mode == "K":
            # Lower layers of a picture that was not known in time to be a keyframe are left out. That costs what rests
            # on it.
            starts = {(f.encoding, f.first) for f, *_ in self.arrived if f.keyframe and f.spatial == 0}
            for packets in came.values():
                packets -= starts & self.late_seqs
        sent: dict[int, set[tuple[int, int]]] = {}
        for packet in self.sent:
            sent.setdefault(packet.epoch, set()).add((packet.frame.encoding, packet.seq))
        before: dict[tuple[int, int], bool] = {}
        after: dict[tuple[int, int], bool] = {}
        for packet in self.sent:
            frame, epoch = packet.frame, packet.epoch
            if decodable(frame, came[epoch], before, epoch):
                assert decodable(frame, sent[epoch], after, epoch), self._story(frame, epoch, sent[epoch])

    def check_numbers(self) -> None:
        """Each number once, in the sender's order, with gaps for what was lost or came late only."""
        numbers = [packet.number for packet in self.sent]
        assert len(set(numbers)) == len(numbers)
        came = {(frame.encoding, seq) for frame, seq, _ in self.arrived}
        by_number = sorted(self.sent, key=lambda packet: packet.number)
        for a, b in pairwise(by_number):
            assert a.epoch <= b.epoch
            if a.epoch == b.epoch:
                assert a.seq < b.seq
                encoding = a.frame.encoding
                lost = sum(
                    (encoding, seq) not in came or (encoding, seq) in self.late_seqs
                    for seq in range(a.seq + 1, b.seq + 1)
                )
                late_before = sum((encoding, seq) in self.late_seqs for seq in range(a.seq - 60, a.seq + 1))
                assert b.number - a.number - 1 <= lost + late_before * (b.seq - a.seq), (a, b)
                if not self.loss and not self.late:
                    assert b.number == a.number + 1
            else:
                assert b.number - a.number <= 1 or self.loss or self.late

    def check_markers(self) -> None:
        """On a clean link the last packet of every picture that was sent ends it."""
        assert not self.loss
        assert not self.late
        pictures: dict[tuple[int, int], Sent] = {}
        for packet in self.sent:
            pictures[packet.epoch, packet.frame.picture] = packet
        for packet in pictures.values():
            assert packet.marker, packet

    def flowing_layers(self, pictures: int) -> set[tuple[int, int, int]]:
        """(encoding, spatial, temporal) of what was sent of the newest pictures."""
        return {
            (p.frame.encoding, p.frame.spatial, p.frame.temporal)
            for p in self.sent
            if p.frame.picture >= self.pictures - pictures
        }

    def _story(self, frame: Frame, epoch: int, sent: set[tuple[int, int]]) -> str:
        lines = [f"{self.structure}: epoch {epoch}, changes {self.changes[-6:]}"]
        todo, seen = [frame], set[Frame]()
        while todo and len(lines) < 12:
            one = todo.pop(0)
            if one in seen:
                continue
            seen.add(one)
            have = [(one.encoding, one.first + i) in sent for i in range(one.count)]
            lines.append(
                f"picture {one.picture} S{one.spatial}T{one.temporal} seq {one.first}+{one.count} sent {have} "
                f"key {one.keyframe} switch {one.switch_point} lower {one.needs_lower}"
            )
            todo += one.refs
        return "\n".join(lines)


def decodable(frame: Frame, packets: set[tuple[int, int]], known: dict[tuple[int, int], bool], epoch: int) -> bool:
    """Whether these packets hold the whole frame and all that it refers to, however far back."""
    todo = [frame]
    while todo:
        one = todo[-1]
        key = (id(one), epoch)
        if key in known:
            todo.pop()
            continue
        missing = [ref for ref in one.refs if (id(ref), epoch) not in known]
        if missing:
            todo += missing
            continue
        whole = all((one.encoding, one.first + offset) in packets for offset in range(one.count))
        known[key] = whole and all(known[id(ref), epoch] for ref in one.refs)
        todo.pop()
    return known[id(frame), epoch]
