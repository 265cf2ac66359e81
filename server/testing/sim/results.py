"""What a simulation says: figures of each viewer and each picture, ready for JSON, the same in every run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from server.testing.netem import SECOND
from server.testing.sim.call import BEGINNING, Call
from server.testing.sim.cast import View, Visitor
from server.testing.sim.player import AudioPlayer, VideoPlayer
from server.testing.sim.watching import Shown, watch

VERSION = 1
Figures = dict[str, Any]


def figures_of(call: Call, *, seed: int) -> Figures:
    """All of a call that has run. Rates in kbit/s with IP and UDP headers, times in the unit of their name."""
    return {
        "version": VERSION,
        "scenario": call.scenario.name,
        "seed": seed,
        "duration_s": _seconds(call.now - BEGINNING),
        "policies": {
            "congestion": call.policies.congestion,
            "layers": call.policies.layers,
            "speakers": call.policies.speakers,
        },
        "visitors": {name: _visitor(visitor, call.now) for name, visitor in call.visitors.items()},
    }


def to_json(figures: Figures | Sequence[Figures]) -> str:
    """For a file."""
    return json.dumps(figures, indent=1, sort_keys=True) + "\n"


def _visitor(visitor: Visitor, end: int) -> Figures:
    samples = visitor.samples
    counters = visitor.down.counters
    stayed = max(1, end - visitor.joined)
    sent = [stream for camera in visitor.browser.cameras for stream in camera.encoders]
    return {
        "received_kbps": _kbps(visitor.browser.received_bytes * 8 * SECOND // stayed),
        "link": {
            "sent": counters.sent,
            "lost": counters.lost,
            "overflowed": counters.overflowed,
            "queue_ms": round(counters.waited_ns / max(1, counters.sent - counters.overflowed) / 1e6, 2),
        },
        "views": {view.source: _view(view, end) for view in visitor.views},
        "sends": {
            f"{encoder.encoding.height}p": {"frames": encoder.frames, "keyframes": encoder.keyframes}
            for encoder in sent
        },
        "series": {
            "t_s": [_seconds(sample.at - BEGINNING) for sample in samples],
            "capacity_kbps": [None if s.capacity_bps is None else _kbps(s.capacity_bps) for s in samples],
            "estimate_kbps": [_kbps(sample.estimate_bps) for sample in samples],
            "received_kbps": [_kbps(sample.received_bps) for sample in samples],
            "offered_kbps": [_kbps(sample.offered_bps) for sample in samples],
            "queue_ms": [round(sample.waited_ns / 1e6, 2) for sample in samples],
            "dropped": [round(sample.dropped, 4) for sample in samples],
            "heights": [list(sample.heights) for sample in samples],
        },
    }


def _view(view: View, end: int) -> Figures:
    player = view.player
    seen = player.figures
    common: Figures = {
        "packets": seen.packets,
        "duplicates": seen.duplicates,
        "transit_ms_p50": _ms(_quantile(seen.transit, 0.5)),
        "transit_ms_p95": _ms(_quantile(seen.transit, 0.95)),
    }
    if isinstance(player, AudioPlayer):
        return {**common, "lost": player.lost, "loss": round(player.lost / max(1, player.expected), 5)}
    return {**common, **_picture(player, view.since, end)}


def _picture(player: VideoPlayer, since: int, end: int) -> Figures:
    seen, shown = player.figures, player.shown
    begins = shown[0].at if shown else end
    watching = watch(shown, begins, end)
    heights = Counter(frame.height for frame in shown)
    delays = [frame.at - frame.captured for frame in shown]
    return {
        "first_frame_ms": _ms(begins - since) if shown else None,
        "frames": len(shown),
        "fps": fps(shown, begins, end),
        "kbps": _kbps(seen.bytes * 8 * SECOND // max(1, end - (begins if shown else since))),
        "freezes": watching.freezes,
        "freeze_s": _seconds(watching.freeze_ns),
        "longest_gap_ms": _ms(watching.longest_gap_ns),
        "layer_changes": watching.layer_changes,
        "layers": {f"{height}p": round(count / len(shown), 4) for height, count in sorted(heights.items())},
        "delay_ms_p50": _ms(_quantile(delays, 0.5)),
        "delay_ms_p95": _ms(_quantile(delays, 0.95)),
        "missing": seen.missing,
        "repaired": seen.repaired,
        "nacks": seen.nacks,
        "keyframes": seen.keyframes,
        "keyframe_requests": seen.keyframe_requests,
        "undecodable": seen.undecodable,
    }


def fps(shown: Sequence[Shown], since: int, until: int) -> float:
    """Frames a second."""
    frames = sum(since <= frame.at < until for frame in shown)
    return round(frames * SECOND / max(1, until - since), 2)


def _quantile(values: Sequence[int], share: float) -> int | None:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else None


def _ms(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else round(nanoseconds / 1e6, 1)


def _seconds(nanoseconds: int) -> float:
    return round(nanoseconds / SECOND, 3)


def _kbps(bps: int) -> float:
    return round(bps / 1000, 1)
