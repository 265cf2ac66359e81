"""From the samples of a viewer's page and the emulator's counters to the figures of a window. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.foreign.quality.scenes import Window

SETTLED_MS = 2000  # a layer counts as reached when it stays for so long
COUNTED = ("bytesReceived", "framesDecoded", "freezeCount", "totalFreezesDuration", "jitterBufferDelay")


@dataclass(frozen=True, slots=True)
class Crossing:
    """What the emulator had been given by then. `at`: milliseconds by the viewer's page."""

    at: float
    sent_bytes: int
    sent: int  # packets, as the next two
    overflowed: int
    lost: int


def figures(window: Window, measured: dict[str, Any], crossings: Sequence[Crossing]) -> dict[str, float | None]:
    """One row of the table. None: it did not happen, or there is nothing to tell.

    Rates are kbit/s: `goodput` of payload that the page received, `offered` of IP packets that the node sent. Times are
    as their names say. `first_frame_s` and `joined_s` count from the offer of the picture and from pressing join. The
    right layer counts from the window's start, or from the offer in the first window.
    """
    begins, ends = window.starts * 1000, window.ends * 1000
    rows = [row for row in measured["rows"] if begins <= row["at"] < ends]
    result: dict[str, float | None] = {"offered_peak_kbps": peak(crossings, begins, ends)}
    result["offered_kbps"], result["overflowed_pct"] = offered(crossings, begins, ends)
    shown = [(at, height) for at, height in measured["shown"] if begins <= at < ends]
    if window.starts == 0:
        begins = measured["offered"] if measured["offered"] is not None else 0.0
        first = shown[0][0] if shown else None
        result["first_frame_s"] = (first - begins) / 1000 if first is not None else None
        result["joined_s"] = first / 1000 if first is not None else None
    result["longest_gap_ms"] = longest_gap([at for at, _ in measured["shown"]], begins, ends)
    result["right_layer_s"] = reached(shown, window.right_height, begins)
    if len(rows) < 2:
        return result
    first_row, last = rows[0], rows[-1]
    if window.starts > 0:  # what happens between the step and the first sample after it belongs to this window
        first_row = max((row for row in measured["rows"] if row["at"] < begins), key=lambda row: row["at"])
    seconds = (last["at"] - first_row["at"]) / 1000
    grown = {name: last[name] - first_row[name] for name in COUNTED}
    emitted = last["jitterBufferEmittedCount"] - first_row["jitterBufferEmittedCount"]
    trips = [row["rtt"] * 1000 for row in rows if row["rtt"] is not None]
    return result | {
        "goodput_kbps": grown["bytesReceived"] * 8 / 1000 / seconds,
        "freezes": grown["freezeCount"],
        "freeze_s": grown["totalFreezesDuration"],
        "fps": grown["framesDecoded"] / seconds,
        "jitter_buffer_ms": grown["jitterBufferDelay"] / emitted * 1000 if emitted else None,
        "rtt_ms": statistics.median(trips) if trips else None,
        "rtt_max_ms": max(trips, default=None),
        "switches": sum(one["frameHeight"] != two["frameHeight"] for one, two in pairwise(rows)),
    }


def offered(crossings: Sequence[Crossing], begins: float, ends: float) -> tuple[float | None, float | None]:
    """kbit/s that went into the link, and how many percent of what was sent found its queue full."""
    within = [crossing for crossing in crossings if begins <= crossing.at <= ends]
    if len(within) < 2:
        return None, None
    first, last = within[0], within[-1]
    kbps = (last.sent_bytes - first.sent_bytes) * 8 / (last.at - first.at)
    packets = last.sent - first.sent
    return kbps, 100 * (last.overflowed - first.overflowed) / packets if packets else 0.0


def peak(crossings: Sequence[Crossing], begins: float, ends: float) -> float | None:
    """The most that went into the link between two looks at its counters, kbit/s."""
    within = [crossing for crossing in crossings if begins <= crossing.at <= ends]
    rates = [(two.sent_bytes - one.sent_bytes) * 8 / (two.at - one.at) for one, two in pairwise(within)]
    return max(rates, default=None)


def longest_gap(shown_at: Sequence[float], begins: float, ends: float) -> float | None:
    """Milliseconds between two frames shown of which the later is in the window, or from the last one to its end.

    Before the first frame there is no gap: that is what `first_frame_s` tells.
    """
    earlier = [at for at in shown_at if at < begins]
    within = [at for at in shown_at if begins <= at < ends]
    times = [*earlier[-1:], *within]
    if not times:
        return None
    return max(two - one for one, two in pairwise([*times, ends]))


def reached(shown: Sequence[tuple[float, int]], height: int, begins: float) -> float | None:
    """Seconds until the frames shown have the height and keep it for SETTLED_MS; None: never."""
    since = None
    for at, its_height in shown:
        if its_height != height:
            since = None
            continue
        since = at if since is None else since
        if at - since >= SETTLED_MS:
            return max(0.0, (since - begins) / 1000)
    return None


def spread(values: Sequence[float | None]) -> str:
    """Median and range; `never` where something did not happen in most runs."""
    known = sorted(value for value in values if value is not None)
    missing = len(values) - len(known)
    if missing * 2 > len(values) or not known:
        return "never" if not known else f"never (once {known[0]:.3g})"
    middle = statistics.median(known)
    text = _short(middle)
    if len(values) > 1 and (missing or _short(known[0]) != _short(known[-1])):
        text += f" ({_short(known[0])} to {_short(known[-1]) if not missing else 'never'})"
    return text


def _short(value: float) -> str:
    if value == 0:
        return "0"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
