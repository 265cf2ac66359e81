"""The scenes of docs/congestion.md, once each, held to bounds that a shared machine keeps too.

The figures are printed at the end of pytest's report; `make quality` takes three runs for the table.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.foreign.quality.__main__ import measure
from tests.foreign.quality.scenes import SCENES
from tests.needs import need_network_namespaces

pytestmark = pytest.mark.slow

ATTEMPTS = 3  # a machine that stalls makes the figures worse, never better


def shortcomings(record: dict[str, Any]) -> list[str]:
    figures = record["figures"]
    bounds = {
        "the first frame came late": (figures.get("first_frame_s", 0), 3),
        "the picture stood still": (figures["longest_gap_ms"], 1000),
        "the right layer came late or never": (figures["right_layer_s"], 10),
        "frames are missing": (-figures.get("fps", 0), -20),
    }
    return [f"{what}: {value}" for what, (value, most) in bounds.items() if value is None or value > most]


@pytest.mark.parametrize("name", SCENES)
def test_scene(name: str, measured: list[dict[str, Any]]) -> None:
    need_network_namespaces()
    for attempt in range(1, ATTEMPTS + 1):
        records = measure([SCENES[name]], attempt, (), samples=False)
        measured += records
        found = {record["window"]: shortcomings(record) for record in records}
        if not any(found.values()):
            return
    raise AssertionError(f"{ATTEMPTS} times; at last: {found}")
