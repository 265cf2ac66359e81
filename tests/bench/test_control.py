"""The control bench against a real node: every call is timed as often as asked, and the node is left empty."""

from __future__ import annotations

import pytest

from bench.conditions import conditions
from bench.control import CALLS, COMMANDS, HOLDS, ControlSettings, figures_of, measure_control, measure_holds, states
from bench.node_process import open_node
from bench.report import as_json
from tests.bench import reports


@pytest.mark.slow
async def test_every_call_is_timed_in_every_state():
    chosen = states((3,), 500)
    assert [state.name for state in chosen] == ["empty", "consumers_3", "media_500"]
    (run,) = await measure_control(ControlSettings(sessions=4, repeat=1, viewers=2), chosen)
    rows = [figure.key for state in chosen for figure in figures_of(state)] + [figure.key for figure in HOLDS]
    assert [key for key in rows if run.figures[key] is None] == []
    for state in chosen:
        calls = {call: run.figures[f"{state.name}_{call}_calls"] for call in CALLS}
        once = {"CreateRouter": 1, "CloseRouter": 1, **dict.fromkeys(("CreateWebRtcTransport", "CloseTransport"), 8)}
        assert calls == {**dict.fromkeys(CALLS, 4), "ConnectWebRtcTransport": 8, **once}
        for call in CALLS:
            p50, p99, most = (run.figures[f"{state.name}_{call}_{name}_ms"] or 0 for name in ("p50", "p99", "max"))
            assert 0 < p50 <= p99 <= most
    assert run.figures["empty_forwarded_per_s"] == 0
    assert (run.figures["media_500_forwarded_per_s"] or 0) > 0
    reports.check(as_json("control", {}, conditions(), [run]))


async def test_timing_leaves_the_node_as_it_was_and_populating_does_not():
    async with open_node() as node:
        await node.ask("time_calls", rounds=3, seed=1)
        empty = await node.counters()
        assert (empty["sightline_transports"], empty["sightline_consumers"], empty["sightline_routers"]) == (0, 0, 0)
        made = await node.ask("populate", consumers=5, transports=2, seed=1)
        full = await node.counters()
        assert made == {"transports": 3, "producers": 1, "consumers": 5}
        assert (full["sightline_transports"], full["sightline_consumers"]) == (3, 5)


def test_every_command_of_the_plane_is_held_against_the_lock():
    figures = measure_holds(rounds=5, seed=1)
    assert set(figures) == {figure.key for figure in HOLDS}
    for name in COMMANDS:
        assert 0 < (figures[f"{name}_p50_us"] or 0) <= (figures[f"{name}_p99_us"] or 0)
