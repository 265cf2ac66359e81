"""The join bench against a real node: everybody who comes gets media and is counted. No time is judged."""

from __future__ import annotations

import pytest

from bench.conditions import conditions
from bench.join import FIGURES, JoinSettings, handshake_cpu, measure_join
from bench.report import as_json
from tests.bench import reports


@pytest.mark.slow
async def test_all_newcomers_get_media():
    settings = JoinSettings(newcomers=6, seconds=0.3, viewers=2, calm=0.6, handshakes=3)
    (run,) = await measure_join(settings)
    assert [figure.key for figure in FIGURES if run.figures[figure.key] is None] == []
    assert (run.figures["joined"], run.figures["failures"]) == (6, 0)
    assert 0 < (run.figures["connect_p50_ms"] or 0) <= (run.figures["join_p99_ms"] or 0)
    assert (run.figures["calm_delay_samples"] or 0) > 0
    assert (run.figures["storm_delay_samples"] or 0) > 0
    assert run.counters["sightline_dtls_handshakes_total:connected"] == 6
    reports.check(as_json("join", {}, conditions(), [run]))


def test_a_handshake_in_memory_takes_time():
    assert handshake_cpu(2) > 0
