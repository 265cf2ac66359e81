"""What a Chromium viewer sees on bad links: `make quality`, or `python -m tests.foreign.quality --scenes a,c --runs 1`.

Each run starts a node and two browsers of its own and goes through the scenes. The JSON has the figures of every run,
what the publisher's encoder did meanwhile, and the machine's load; `--samples` keeps the raw samples too.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.foreign.browsers import eventually
from tests.foreign.quality.figures import figures, spread
from tests.foreign.quality.rig import Rig, encoder, rig
from tests.foreign.quality.scenes import SCENES, Scene

SHOWN = {
    "goodput_kbps": "goodput kbit/s",
    "offered_kbps": "offered kbit/s",
    "offered_peak_kbps": "offered, peak of 250 ms",
    "overflowed_pct": "lost to a full queue, %",
    "freezes": "freezes",
    "freeze_s": "freeze seconds",
    "longest_gap_ms": "longest gap ms",
    "first_frame_s": "first frame after s",
    "right_layer_s": "right layer after s",
    "fps": "fps",
    "switches": "changes of size",
    "jitter_buffer_ms": "jitter buffer ms",
    "rtt_ms": "RTT ms",
    "rtt_max_ms": "RTT ms, most",
}


def measure(scenes: Sequence[Scene], number: int, options: Sequence[str], *, samples: bool) -> list[dict[str, Any]]:
    """One run: a record for each window of each scene."""
    with tempfile.TemporaryDirectory() as folder, rig(Path(folder), *options, seed=number) as running:
        return [record for scene in scenes for record in watch(running, scene, number, samples=samples)]


def watch(running: Rig, scene: Scene, number: int, *, samples: bool) -> list[dict[str, Any]]:
    """A publisher of the scene's own, whose encoder has reached its rates, and a viewer."""
    room = f"quality-{scene.name}-{number}"
    with running.publisher(room) as (page, _):
        eventually(
            "all encodings are sent", lambda: all(row.get("framesSent", 0) > 25 for row in encoder(page)), seconds=20
        )
        before = encoder(page)
        measured, crossings = running.watch(room, scene)
        encodings = encoded(before, encoder(page), scene.seconds)
    records: list[dict[str, Any]] = [
        {
            "run": number,
            "window": window.name,
            "figures": figures(window, measured, crossings),
            "encodings": encodings,
            "load": os.getloadavg()[0],
        }
        for window in scene.windows
    ]
    if samples:
        records[0]["samples"] = measured
    return records


def encoded(before: list[dict[str, Any]], after: list[dict[str, Any]], seconds: float) -> list[dict[str, Any]]:
    """By encoding: what was sent during a scene, and what held it back (`qualityLimitationReason`)."""
    earlier = {row["ssrc"]: row for row in before}
    return [
        {
            "rid": row.get("rid"),
            "height": row.get("frameHeight"),
            "fps": (row["framesSent"] - earlier[row["ssrc"]]["framesSent"]) / seconds,
            "kbps": (row["bytesSent"] - earlier[row["ssrc"]]["bytesSent"]) * 8 / 1000 / seconds,
            "mode": row.get("scalabilityMode"),
            "implementation": row.get("encoderImplementation"),
            "limited_s": row.get("qualityLimitationDurations"),
        }
        for row in after
        if row["ssrc"] in earlier
    ]


def table(records: Sequence[dict[str, Any]]) -> str:
    """Markdown: a column for each window, median (range) over the runs."""
    names = list(dict.fromkeys(record["window"] for record in records))
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for key, title in SHOWN.items():
        cells = []
        for name in names:
            values = [record["figures"] for record in records if record["window"] == name]
            cells.append(spread([row.get(key) for row in values]) if any(key in row for row in values) else "")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, write the JSON after every run, so that one which fails costs only itself."""
    parser = argparse.ArgumentParser(prog="python -m tests.foreign.quality", description=__doc__)
    parser.add_argument("--scenes", default=",".join(SCENES), help="of " + ", ".join(SCENES))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("build/quality.json"))
    parser.add_argument("--samples", action="store_true", help="keep every sample of getStats in the JSON")
    parser.add_argument("options", nargs="*", help="for `sightline up`, after --")
    wanted = parser.parse_args(arguments)
    scenes = [SCENES[name] for name in wanted.scenes.split(",")]
    records: list[dict[str, Any]] = []
    for number in range(1, wanted.runs + 1):
        records += measure(scenes, number, wanted.options, samples=wanted.samples)
        wanted.json.parent.mkdir(parents=True, exist_ok=True)
        wanted.json.write_text(json.dumps({"options": wanted.options, "records": records}, indent=1))
    print(table(records))


if __name__ == "__main__":
    main()
