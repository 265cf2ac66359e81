"""What adaptation promises, in whole simulated calls: each viewer of each scenario against its goals.

What does not hold yet is not in the table; docs/simulator.md lists it with its figures.
"""

from __future__ import annotations

import pytest

from tests.scenarios import quality as q

STEADY = {300: 180, 600: 360, 1000: 360, 2500: 720, 5000: 720}  # kbit/s: the best layer that fits, with sound

GOALS: list[tuple[str, str, str, q.Goal]] = [
    *(
        entry
        for rate, height in STEADY.items()
        for entry in [
            ("steady", f"v{rate}", "estimate", q.estimate(10)),
            ("steady", f"v{rate}", "layer", q.layer(height, 10)),
            ("steady", f"v{rate}", "queue", q.queue(100)),
            ("steady", f"v{rate}", "loss", q.congestion_loss()),
            ("steady", f"v{rate}", "changes", q.changes(1, 10)),
            ("steady", f"v{rate}", "gap", q.longest_gap(1000)),
            ("steady", f"v{rate}", "sound", q.audio_loss()),
            ("steady", f"v{rate}", "fps", q.rate_of_frames(24, 10)),
            *([("steady", f"v{rate}", "whole", q.undecodable_nowhere())] if rate > 2000 else []),
        ]
    ),
    *(
        entry
        for rate, height in ((500, 360), (300, 180), (1000, 360))
        for entry in [
            ("step_down", f"to{rate}", "under within 2 s", q.under_link(27, 50)),
            ("step_down", f"to{rate}", "queue", q.queue(100)),
            ("step_down", f"to{rate}", "loss", q.congestion_loss()),
            *([] if rate == 500 else [("step_down", f"to{rate}", "layer", q.layer(height, 30))]),
            ("step_down", f"to{rate}", "no freeze", q.longest_gap(1000)),
            ("step_down", f"to{rate}", "estimate", q.estimate(30)),
            ("step_down", f"to{rate}", "sound", q.audio_loss()),
        ]
    ),
    *(
        entry
        for rate in (300, 500, 1000)
        for entry in [
            ("step_up", f"from{rate}", "80 % within 15 s", q.estimate(40, least=0.8)),
            ("step_up", f"from{rate}", "layer", q.layer(720, 40)),
            ("step_up", f"from{rate}", "gap", q.longest_gap(1000)),
            ("step_up", f"from{rate}", "loss", q.congestion_loss()),
            ("step_up", f"from{rate}", "sound", q.audio_loss()),
        ]
    ),
    ("lte", "train", "gap", q.longest_gap(1000)),
    ("lte", "train", "loss", q.congestion_loss()),
    ("lte", "train", "sound", q.audio_loss()),
    ("lte", "train", "queue", q.queue(150)),
    ("bursty_loss", "bert", "gap", q.longest_gap(1000)),
    ("bursty_loss", "bert", "fps", q.rate_of_frames(22, 10)),
    ("bursty_loss", "bert", "loss", q.congestion_loss()),
    ("bufferbloat", "bert", "queue", q.queue(300)),
    ("bufferbloat", "bert", "gap", q.longest_gap(1000)),
    ("bufferbloat", "bert", "sound", q.audio_loss()),
    *(
        entry
        for name in ("fast1", "fast2", "fast3", "fast4")
        for entry in [
            ("one_slow_viewer", name, "layer", q.layer(720, 10)),
            ("one_slow_viewer", name, "gap", q.longest_gap(400)),
        ]
    ),
    ("one_slow_viewer", "slow", "layer", q.layer(180, 10)),
    ("one_slow_viewer", "slow", "queue", q.queue(100)),
    ("one_slow_viewer", "slow", "loss", q.congestion_loss()),
    ("screen_share_1mbit", "bert", "sound", q.audio_loss()),
    ("screen_share_1mbit", "bert", "loss", q.congestion_loss()),
    ("screen_share_1mbit", "bert", "queue", q.queue(100)),
    *(("audio_under_congestion", f"v{rate}", "sound", q.audio_loss()) for rate in (300, 150, 100)),
    *(("audio_under_congestion", f"v{rate}", "loss", q.congestion_loss()) for rate in (300, 150, 100)),
    ("audio_under_congestion", "v300", "fps", q.rate_of_frames(24, 10)),
    ("step_down", "to300", "fps", q.rate_of_frames(24, 30)),
    *(("join_into_congestion", name, "gap", q.longest_gap(1000)) for name in ("bert", "cleo", "dora")),
    ("join_into_congestion", "dora", "first frame", q.first_frame(1000)),
    *(("join_into_congestion", name, "sound", q.audio_loss()) for name in ("bert", "cleo", "dora")),
    ("asymmetric_loss", "bert", "gap", q.longest_gap(1000)),
    ("asymmetric_loss", "bert", "fps", q.rate_of_frames(23, 10)),
    ("network_change", "bert", "gap", q.longest_gap(1000)),
    ("network_change", "bert", "layer", q.layer(360, 28, 45)),
    ("network_change", "bert", "layer back", q.layer(720, 60)),
    ("network_change", "bert", "loss", q.congestion_loss()),
    ("two_behind_one_link", "bert", "share", q.shares_like("cleo", 15)),
    ("two_behind_one_link", "bert", "queue", q.queue(100)),
    ("two_behind_one_link", "bert", "loss", q.congestion_loss()),
    ("two_behind_one_link", "bert", "sound", q.audio_loss()),
    ("two_behind_one_link", "cleo", "sound", q.audio_loss()),
    ("chromium_a", "bert", "gap", q.longest_gap(400)),
    ("chromium_a", "bert", "top", q.layer(720, 2, 25)),
    ("chromium_a", "bert", "down within 2 s", q.layer(360, 27, 45)),
    ("chromium_a", "bert", "up within 5 s", q.layer(720, 50)),
    ("chromium_a", "bert", "fps", q.rate_of_frames(24, 1)),
    ("chromium_b", "bert", "layer", q.layer(360, 10)),
    ("chromium_b", "bert", "fps", q.rate_of_frames(24, 10)),
    ("chromium_b", "bert", "gap", q.longest_gap(400)),
    ("chromium_c", "bert", "first frame", q.first_frame(1000)),
    ("chromium_c", "bert", "layer", q.layer(180, 1)),
    ("chromium_c", "bert", "fps", q.rate_of_frames(24, 2)),
    ("chromium_c", "bert", "gap", q.longest_gap(400)),
]


@pytest.mark.parametrize(("scenario", "viewer", "name", "goal"), GOALS, ids=[f"{s}-{v}-{n}" for s, v, n, _ in GOALS])
def test_goal(scenario: str, viewer: str, name: str, goal: q.Goal):
    call = q.run_of(scenario)
    assert goal(call, call.visitors[viewer]) == ""
