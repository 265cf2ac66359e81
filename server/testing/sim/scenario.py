"""Scenarios: who calls whom, over which links, and what happens to them. Data in scenarios/*.toml; docs/simulator.md
says what each field means. A file that can't be right is refused whole, with its name and the field.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import msgspec
from msgspec import Struct

from server.errors import LocalError
from server.testing.netem import MS, SECOND, CrossTraffic, LinkConfig

_DATA = files("server.testing.sim") / "scenarios"
SOURCES = ("camera", "screen", "microphone")


class ScenarioRefused(LocalError):
    """There is no such scenario, or it can't be right."""


class Cross(Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody else's packets in the queue."""

    kbps: float
    on_s: float = 1.0  # mean
    off_s: float = 0.0  # mean; 0: always on
    starts_s: float = 0.0


class LinkSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """One direction of a path. In a change, what is left out stays as it is."""

    kbps: float | None = None  # None: unlimited
    delay_ms: float | None = None  # one way; 20 when never told
    jitter_ms: float | None = None
    queue_ms: float | None = None  # 100 when never told
    loss: float | None = None  # 0 … 1
    burst_enter: float | None = None  # Gilbert-Elliott, for each packet
    burst_leave: float | None = None
    burst_loss: float | None = None
    trace: str = ""  # a file of traces/: rates over time, again from its beginning at its end
    cross: Cross | None = None

    def config(self, before: LinkConfig | None = None) -> LinkConfig:
        """With what it was like before."""
        base = before or LinkConfig(delay_ns=20 * MS, queue_ns=100 * MS)
        stated = {
            "rate_bps": None if self.kbps is None else round(self.kbps * 1000),
            "delay_ns": None if self.delay_ms is None else round(self.delay_ms * MS),
            "jitter_ns": None if self.jitter_ms is None else round(self.jitter_ms * MS),
            "queue_ns": None if self.queue_ms is None else round(self.queue_ms * MS),
            "loss": self.loss,
            "burst_enter": self.burst_enter,
            "burst_leave": self.burst_leave,
            "burst_loss": self.burst_loss,
        }
        return _with(base, stated)

    def cross_traffic(self) -> CrossTraffic | None:
        """As netem takes it."""
        cross = self.cross
        if cross is None:
            return None
        return CrossTraffic(
            rate_bps=round(cross.kbps * 1000),
            on_ns=round(cross.on_s * SECOND),
            off_ns=round(cross.off_s * SECOND),
            starts_ns=round(cross.starts_s * SECOND),
        )


class VisitorSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """One browser."""

    name: str
    sends: tuple[str, ...] = ()  # camera, screen, microphone
    watches: bool = True  # everything that others send
    joins_s: float = 0.0
    talks: float = 0.4  # share of the time, when it sends a microphone
    tile_width: int = 0  # pixels at which it shows others; 0: not told
    behind: str = ""  # a link of [links] that it shares with others towards it, in place of `down`
    up: LinkSpec = LinkSpec()
    down: LinkSpec = LinkSpec()


class Change(Struct, frozen=True, forbid_unknown_fields=True):
    """What happens to a visitor's or a shared link at some time."""

    at_s: float
    visitor: str = ""
    link: str = ""  # a shared one
    up: LinkSpec | None = None
    down: LinkSpec | None = None
    moves: bool = False  # the visitor's address changes, as from one network to another


class Scenario(Struct, frozen=True, forbid_unknown_fields=True):
    """One call."""

    title: str
    about: str
    duration_s: float
    visitors: tuple[VisitorSpec, ...]
    links: dict[str, LinkSpec] = {}
    changes: tuple[Change, ...] = ()
    name: str = ""


def names() -> list[str]:
    """Of the scenarios that come with the program."""
    return sorted(entry.name.removesuffix(".toml") for entry in _DATA.iterdir() if entry.name.endswith(".toml"))


def load(name: str) -> Scenario:
    """One that comes with the program, or a file of yours. Raises ScenarioRefused."""
    own = Path(name)
    if name.endswith(".toml") and own.is_file():
        return parse(own.read_bytes(), own.stem)
    if name not in names():
        raise ScenarioRefused(f"there is no scenario {name[:80]!r}; there are: {', '.join(names())}; or name a file")
    return parse((_DATA / f"{name}.toml").read_bytes(), name)


def parse(text: bytes, name: str) -> Scenario:
    """From a TOML document. Raises ScenarioRefused."""
    try:
        scenario = msgspec.toml.decode(text, type=Scenario)
    except (msgspec.DecodeError, msgspec.ValidationError) as wrong:
        raise ScenarioRefused(f"scenario {name}: {wrong}") from None
    scenario = msgspec.structs.replace(scenario, name=name)
    known = [visitor.name for visitor in scenario.visitors]
    if len(set(known)) != len(known):
        raise ScenarioRefused(f"scenario {name}: two visitors have the same name")
    for visitor in scenario.visitors:
        for source in visitor.sends:
            if source not in SOURCES:
                raise ScenarioRefused(
                    f"scenario {name}: {visitor.name} sends {source!r}, which is none of {', '.join(SOURCES)}"
                )
        if visitor.behind and visitor.behind not in scenario.links:
            raise ScenarioRefused(
                f"scenario {name}: {visitor.name} is behind {visitor.behind!r}, which is not in links"
            )
    for change in scenario.changes:
        if change.visitor not in known and change.link not in scenario.links:
            raise ScenarioRefused(f"scenario {name}: a change at {change.at_s} s names no visitor and no link")
    return scenario


def trace(name: str) -> list[tuple[int, int]]:
    """(ns, bit/s) of a file of traces/: lines of seconds and kbit/s. Raises ScenarioRefused."""
    try:
        lines = (_DATA / "traces" / f"{name}.csv").read_text().splitlines()
    except OSError:
        raise ScenarioRefused(f"there is no trace {name[:80]!r}") from None
    pairs = [line.split(",") for line in lines if line and not line.startswith("#")]
    return [(round(float(at) * SECOND), round(float(kbps) * 1000)) for at, kbps in pairs]


def _with(base: LinkConfig, stated: dict[str, int | float | None]) -> LinkConfig:
    kept = {name: getattr(base, name) for name in LinkConfig.__slots__}
    return LinkConfig(**{**kept, **{name: value for name, value in stated.items() if value is not None}})
