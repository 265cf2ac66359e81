"""What was on the screen: freezes, gaps, changes of layer.

Freezes are counted as Chromium does: a gap longer than three average ones and than the average plus 150 ms.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from server.testing.netem import MS

_AVERAGED = 30  # frame gaps that a freeze is measured against


class Shown(NamedTuple):
    """One frame on the screen."""

    at: int
    captured: int
    height: int
    temporal: int


@dataclass(frozen=True, slots=True)
class Watching:
    """How the frames of one stretch of time looked."""

    frames: int
    freezes: int
    freeze_ns: int
    longest_gap_ns: int
    layer_changes: int


def watch(shown: list[Shown], since: int, until: int) -> Watching:
    """From `since` to `until`; a picture that stands still at the end is a gap too."""
    times = sorted((frame.at, frame.height) for frame in shown if frame.at < until)
    freezes = frozen = longest = frames = changes = 0
    gaps: deque[int] = deque(maxlen=_AVERAGED)
    before: int | None = None
    height = 0
    for at, seen in [*times, (until, 0)]:
        if before is not None:
            gap = at - max(before, since) if at >= since else 0
            average = sum(gaps) / len(gaps) if gaps else 40 * MS
            if at >= since:
                longest = max(longest, gap)
                if gap > max(3 * average, average + 150 * MS):
                    freezes += 1
                    frozen += gap
            if seen:
                gaps.append(at - before)
        before = at
        if seen and at >= since:
            frames += 1
            changes += height not in (0, seen)
        height = seen or height
    return Watching(frames, freezes, frozen, longest, changes)
