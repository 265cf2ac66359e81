"""The links that viewers are put behind, and what their picture should be there: data only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from server.testing.netem import MS, LinkConfig


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a scene that is measured by itself. Seconds since the viewer pressed join."""

    name: str
    starts: float
    ends: float
    link: LinkConfig  # towards the viewer, from `starts` on; back it is as fast and loses nothing
    right_height: int  # of the best layer that the link carries


@dataclass(frozen=True, slots=True)
class Scene:
    """Windows follow each other without a gap; the first starts at 0."""

    name: str
    windows: tuple[Window, ...]

    @property
    def seconds(self) -> float:
        return self.windows[-1].ends


def link(kbps: int, *, rtt_ms: int = 40, queue_ms: int = 100, loss: float = 0.0) -> LinkConfig:
    """A byte FIFO of so many milliseconds before a line of that rate."""
    return LinkConfig(rate_bps=kbps * 1000, delay_ns=rtt_ms * MS // 2, queue_ns=queue_ms * MS, loss=loss)


def way_back(towards_viewer: LinkConfig) -> LinkConfig:
    """The viewer's uplink: the same without loss, and never narrower than feedback needs."""
    return replace(towards_viewer, loss=0.0)


STEPS = Scene(
    "a",
    (
        Window("a: 3 Mbit/s", 0, 25, link(3000), 720),
        Window("a: 500 kbit/s", 25, 45, link(500), 360),
        Window("a: 3 Mbit/s again", 45, 70, link(3000), 720),
    ),
)
LOSS = Scene("b", (Window("b: 1 Mbit/s, 2 % loss", 0, 45, link(1000, rtt_ms=60, loss=0.02), 360),))
NARROW = Scene("c", (Window("c: 300 kbit/s", 0, 30, link(300, queue_ms=200), 180),))
CLEAN = Scene("z", (Window("z: 10 Mbit/s", 0, 15, link(10_000), 720),))
SCENES = {scene.name: scene for scene in (STEPS, LOSS, NARROW, CLEAN)}

# While pages load, and between scenes.
UNIMPAIRED = LinkConfig()

SIMULCAST: list[dict[str, Any]] = [
    {"scaleResolutionDownBy": 4, "maxBitrate": 150_000, "maxFramerate": 25, "scalabilityMode": "L1T3"},
    {"scaleResolutionDownBy": 2, "maxBitrate": 400_000, "maxFramerate": 25, "scalabilityMode": "L1T3"},
    {"scaleResolutionDownBy": 1, "maxBitrate": 1_500_000, "maxFramerate": 25, "scalabilityMode": "L1T3"},
]
