"""The three roles of a policy, and the values they work on.

A policy is a plain class: no `async`, no clock, no socket; `now` is monotonic nanoseconds. It is called at the rate of
feedback or of ticks, never per packet. What it raises, or the time it takes too much, costs it its place: the default
of its role takes over (see `registry.py`). Names and units here are a contract for packages outside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class PacketResult(NamedTuple):
    """What became of one packet that we sent."""

    sent_ns: int  # the node's clock
    arrived_ns: int | None  # the viewer's clock, of which only differences mean anything; None: lost
    size: int  # bytes with IP and UDP headers
    probe: int = 0  # number of the probe that it belongs to; 0: none


@dataclass(frozen=True, slots=True)
class Feedback:
    """One transport-wide feedback message, in order of sending. It tells of packets with a transport-wide number: sound
    of most clients has none, and takes its share of the path all the same."""

    at: int  # when it was received
    packets: Sequence[PacketResult]


class CongestionController(Protocol):
    """From feedback to what one transport may send. One object for each transport."""

    def on_feedback(self, feedback: Feedback) -> None: ...
    def on_report(self, loss: float, rtt_ns: int | None, now: int) -> None:
        """A receiver report: loss 0 … 1 since the one before."""

    def on_remb(self, bps: int, now: int) -> None:
        """The viewer's own estimate."""

    def on_tick(self, now: int) -> None:
        """Every 100 ms or so."""

    def estimate(self) -> int:
        """Bit/s, with IP and UDP headers."""

    def explain(self) -> Mapping[str, float | str]:
        """What it went by, for the decision log: a few names and numbers, and `cause`."""


class LayerOption(NamedTuple):
    """One thing that can be sent of a source."""

    spatial: int
    temporal: int
    bps: int  # with everything below that it needs
    width: int = 0  # pixels; 0: unknown
    frames_per_second: float = 0.0  # 0: unknown


@dataclass(frozen=True, slots=True)
class Wish:
    """One video consumer of a viewer: what there is, and what the viewer would like."""

    consumer_id: str
    options: tuple[LayerOption, ...]  # from the smallest; one at least
    target: LayerOption | None  # what was decided last, as it costs now; None: paused
    target_since: int  # ns when that was decided
    preferred: tuple[int, int] | None = None  # no layer above this (spatial, temporal)
    priority: int = 1  # 1 to 255
    tile_width: int = 0  # pixels at which it is shown; 0: not told
    screen: bool = False  # a screen share: detail matters, and it comes first
    speaker: bool = False  # its peer is the dominant speaker
    pausable: bool = True  # False: its smallest option is always sent
    hidden: bool = False  # the viewer doesn't see it: its smallest option will do


@dataclass(frozen=True, slots=True)
class AllocationRequest:
    """One viewer's transport at one moment."""

    transport_id: str
    budget_bps: int  # for video: the estimate without audio and without what is kept back for repairs
    now: int
    wishes: tuple[Wish, ...]  # in the order in which they were made


@dataclass(frozen=True, slots=True)
class Allocation:
    """What one consumer gets."""

    consumer_id: str
    option: LayerOption | None  # one of its options; None: nothing for now
    reason: str  # for the decision log: "fits", "budget", "hysteresis", "tile", "preferred", "no room", …


class LayerAllocator(Protocol):
    """From a budget to layers. One object for each transport, so it may remember."""

    def allocate(self, request: AllocationRequest) -> Sequence[Allocation]:
        """One for each wish, in any order. A pure decision: the caller carries it out."""


@dataclass(frozen=True, slots=True)
class Speakers:
    """Who speaks in one room."""

    dominant: str | None  # producer id
    active: tuple[str, ...]  # producer ids of those who speak now, loudest first


class SpeakerDetector(Protocol):
    """From audio levels to who speaks. One object for each router."""

    def on_levels(self, levels: Mapping[str, int], now: int) -> None:
        """By producer id: the loudest level of the last interval in -dBov, 0 (loud) to 127 (silent). One who sent
        nothing is left out. Every 20 to 100 ms."""

    def forget(self, producer_id: str) -> None:
        """It is gone."""

    def speakers(self) -> Speakers: ...
