"""What a viewer of a simulated call must have had: each goal is a function from a run to what is wrong with it."""

from __future__ import annotations

import functools
from collections.abc import Callable

from server.testing.netem import SECOND
from server.testing.sim import scenario
from server.testing.sim.call import BEGINNING, Call
from server.testing.sim.cast import Sample, Visitor
from server.testing.sim.player import AudioPlayer, VideoPlayer
from server.testing.sim.results import fps
from server.testing.sim.watching import watch

SEED = 1
Goal = Callable[[Call, Visitor], str]  # what is wrong; empty: nothing
WANTED = 2_200_000  # bit/s that all layers of a camera and a microphone take at most, with headers


@functools.cache
def run_of(name: str, seed: int = SEED) -> Call:
    """A scenario, run once for all tests."""
    call = Call(scenario.load(name), seed=seed)
    call.run()
    return call


def _at(seconds: float) -> int:
    return BEGINNING + round(seconds * SECOND)


def _samples(visitor: Visitor, since: float, until: float = 1e6) -> list[Sample]:
    return [sample for sample in visitor.samples if _at(since) < sample.at <= _at(until)]


def _cameras(visitor: Visitor) -> list[tuple[str, VideoPlayer]]:
    return [(view.source, view.player) for view in visitor.views if isinstance(view.player, VideoPlayer)]


def _within(value: float, least: float, most: float, what: str) -> str:
    return "" if least <= value <= most else f"{what} is {value:.3g}, not {least:.3g} … {most:.3g}"


def estimate(since: float, until: float = 1e6, *, least: float = 0.85, most: float = 1.05) -> Goal:
    """Mean of the estimate against the link's rate; above what anyone wants it need not know more."""

    def goal(call: Call, visitor: Visitor) -> str:
        samples = _samples(visitor, since, until)
        rates = [sample.capacity_bps or 0 for sample in samples]
        mean = sum(sample.estimate_bps for sample in samples) / len(samples)
        capacity = sum(rates) / len(rates)
        return _within(mean, least * min(capacity, WANTED), most * capacity, "the mean estimate")

    return goal


def layer(height: int, since: float, until: float = 1e6, *, share: float = 0.95) -> Goal:
    """Of the frames shown, so many have this height."""

    def goal(call: Call, visitor: Visitor) -> str:
        wrong = []
        for source, player in _cameras(visitor):
            seen = [frame.height for frame in player.shown if _at(since) < frame.at <= _at(until)]
            right = sum(shown == height for shown in seen) / max(1, len(seen))
            if right < share:
                wrong.append(f"{source} is {height}p for {right:.0%} of the frames only")
        return "; ".join(wrong)

    return goal


def rate_of_frames(least: float, since: float, until: float = 1e6) -> Goal:
    """Frames a second."""

    def goal(call: Call, visitor: Visitor) -> str:
        end = min(call.now, _at(until))
        rates = {source: fps(player.shown, _at(since), end) for source, player in _cameras(visitor)}
        return "; ".join(f"{source} has {rate} fps" for source, rate in rates.items() if rate < least)

    return goal


def queue(most_ms: float, since: float = 0, until: float = 1e6) -> Goal:
    """Mean wait in the link's queue."""

    def goal(call: Call, visitor: Visitor) -> str:
        samples = _samples(visitor, since, until)
        mean = sum(sample.waited_ns for sample in samples) / len(samples) / 1e6
        return _within(mean, 0, most_ms, "the mean queue in ms")

    return goal


def congestion_loss(most: float = 0.02) -> Goal:
    """Share of packets that the link's queue had no room for."""

    def goal(call: Call, visitor: Visitor) -> str:
        counters = visitor.down.counters
        return _within(counters.overflowed / counters.sent, 0, most, "the loss from congestion")

    return goal


def longest_gap(most_ms: float, since: float = 0, until: float = 1e6) -> Goal:
    """Between two frames shown."""

    def goal(call: Call, visitor: Visitor) -> str:
        wrong = []
        for source, player in _cameras(visitor):
            if not player.shown:
                return f"{source} was never seen"
            begins = max(_at(since), player.shown[0].at)
            gap = watch(player.shown, begins, min(call.now, _at(until))).longest_gap_ns / 1e6
            if gap > most_ms:
                wrong.append(f"{source} stood still for {gap:.0f} ms")
        return "; ".join(wrong)

    return goal


def changes(most_in_10_s: float, since: float, until: float = 1e6) -> Goal:
    """Changes of layer."""

    def goal(call: Call, visitor: Visitor) -> str:
        end = min(call.now, _at(until))
        tens = (end - _at(since)) / (10 * SECOND)
        counts = {
            source: watch(player.shown, _at(since), end).layer_changes / tens for source, player in _cameras(visitor)
        }
        return "; ".join(
            f"{source}: {count:.1f} changes in 10 s" for source, count in counts.items() if count > most_in_10_s
        )

    return goal


def under_link(since: float, until: float) -> Goal:
    """What is sent fits: no more than the link's rate, on average."""

    def goal(call: Call, visitor: Visitor) -> str:
        samples = _samples(visitor, since, until)
        offered = sum(sample.offered_bps for sample in samples)
        capacity = sum(sample.capacity_bps or 0 for sample in samples)
        return _within(offered / capacity, 0, 1, "what is sent, of the link's rate,")

    return goal


def first_frame(most_ms: float) -> Goal:
    """After joining."""

    def goal(call: Call, visitor: Visitor) -> str:
        for view in visitor.views:
            if isinstance(view.player, VideoPlayer):
                took = (view.player.shown[0].at - view.since) / 1e6 if view.player.shown else 1e9
                if took > most_ms:
                    return f"{view.source} came after {took:.0f} ms"
        return ""

    return goal


def audio_loss(most: float = 0.005) -> Goal:
    """Share of packets."""

    def goal(call: Call, visitor: Visitor) -> str:
        lost = {
            view.source: view.player.lost / max(1, view.player.expected)
            for view in visitor.views
            if isinstance(view.player, AudioPlayer)
        }
        return "; ".join(f"{source} lost {share:.2%}" for source, share in lost.items() if share > most)

    return goal


def undecodable_nowhere() -> Goal:
    """No frame came whole that could not be decoded."""

    def goal(call: Call, visitor: Visitor) -> str:
        counts = {source: player.figures.undecodable for source, player in _cameras(visitor)}
        return "; ".join(f"{source}: {count} undecodable frames" for source, count in counts.items() if count)

    return goal


def shares_like(other: str, since: float, *, most: float = 1.2) -> Goal:
    """Received rates of two visitors, the larger by the smaller."""

    def goal(call: Call, visitor: Visitor) -> str:
        ours, theirs = (
            sum(sample.received_bps for sample in _samples(who, since)) for who in (visitor, call.visitors[other])
        )
        return _within(max(ours, theirs) / max(1, min(ours, theirs)), 1, most, f"the share against {other}")

    return goal
