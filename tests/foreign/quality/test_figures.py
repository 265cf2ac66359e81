"""The figures of made-up samples, whose right answers are known."""

from __future__ import annotations

from typing import Any

import pytest

from tests.foreign.quality.figures import Crossing, figures, longest_gap, reached, spread
from tests.foreign.quality.scenes import SCENES, Window, link


def rows(heights: list[int], *, starts: int = 0, every: int = 250) -> list[dict[str, Any]]:
    """25 frames and 125 kB a second, 40 ms in the jitter buffer."""
    return [
        {
            "at": starts + index * every,
            "rtt": 0.05,
            "frameHeight": height,
            "bytesReceived": 125 * (starts + index * every),
            "framesDecoded": (starts + index * every) / 40,
            "freezeCount": 0,
            "totalFreezesDuration": 0.0,
            "jitterBufferDelay": (starts + index * every) / 1000,
            "jitterBufferEmittedCount": (starts + index * every) / 40,
        }
        for index, height in enumerate(heights)
    ]


def test_a_layer_is_reached_only_when_it_stays():
    def shown(*heights: int) -> list[tuple[float, int]]:
        return [(index * 40, height) for index, height in enumerate(heights)]

    assert reached(shown(*[360] * 4, *[720] * 4, 360, *[720] * 60), 720, 0) == pytest.approx(0.36)
    assert reached(shown(*[720] * 50), 720, 0) is None
    assert reached(shown(*[180] * 100), 720, 0) is None


def test_gaps_belong_to_the_window_in_which_they_end():
    shown = [0, 40, 80, 1080, 1120, 1160, 1200]
    assert longest_gap(shown, 1000, 1200) == 1000
    assert longest_gap(shown, 0, 100) == 40
    assert longest_gap(shown, 1100, 3000) == 1800  # a picture that stands still to the end is a gap
    assert longest_gap([], 0, 1000) is None
    assert longest_gap([900], 0, 1000) == 100  # before the first frame there is none


def test_figures_of_a_later_window_count_from_its_step():
    measured = {
        "offered": 100,
        "shown": [(at, 360 if at < 3000 else 180) for at in range(350, 10_000, 40)],
        "rows": rows([360] * 12 + [180] * 28),
    }
    crossings = [Crossing(at, at * 125, at, at // 100, 0) for at in range(0, 10_000, 250)]
    first = figures(Window("first", 0, 2, link(1000), 360), measured, crossings)
    assert first["first_frame_s"] == pytest.approx(0.25)
    assert first["joined_s"] == pytest.approx(0.35)
    assert first["right_layer_s"] is None  # the window ends before it has stayed for 2 s
    second = figures(Window("second", 2, 10, link(300), 180), measured, crossings)
    assert second["right_layer_s"] == pytest.approx(1.0, abs=0.04)
    assert second["goodput_kbps"] == pytest.approx(1000)
    assert second["offered_kbps"] == pytest.approx(1000)
    assert second["overflowed_pct"] == pytest.approx(1, abs=0.1)
    assert second["fps"] == pytest.approx(25)
    assert second["jitter_buffer_ms"] == pytest.approx(40)
    assert second["switches"] == 1
    assert "first_frame_s" not in second


def test_a_viewer_who_sees_nothing_has_figures_too():
    measured: dict[str, Any] = {"offered": None, "shown": [], "rows": []}
    found = figures(Window("nothing", 0, 2, link(1000), 360), measured, [])
    assert found["first_frame_s"] is None
    assert found["right_layer_s"] is None


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([1.0], "1.00"),
        ([3.0, 1.0, 2.0], "2.00 (1.00 to 3.00)"),
        ([0, 0, 0], "0"),
        ([1.0, None, 2.0], "1.50 (1.00 to never)"),
        ([None, None, 2.0], "never (once 2)"),
        ([None], "never"),
    ],
)
def test_spread(values: list[float | None], text: str):
    assert spread(values) == text


def test_windows_of_a_scene_follow_each_other():
    for scene in SCENES.values():
        assert scene.windows[0].starts == 0
        for one, two in zip(scene.windows, scene.windows[1:], strict=False):
            assert one.ends == two.starts
