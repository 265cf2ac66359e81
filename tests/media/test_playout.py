"""How long frames are kept back for repairs."""

from __future__ import annotations

import pytest

from server.media.playout import least_delay


@pytest.mark.parametrize(
    ("before", "loss", "rtt_ms", "delay"),
    [
        pytest.param(0, 0.0, 80, 0, id="nothing is lost"),
        pytest.param(0, 0.009, 80, 0, id="little is"),
        pytest.param(0, 0.02, 86, 130, id="a round trip, and a frame until the loss is seen"),
        pytest.param(0, 0.02, 0, 0, id="the round trip is not known yet"),
        pytest.param(130, 0.004, 86, 130, id="it stays while anything is lost"),
        pytest.param(130, 0.002, 86, 0, id="then it goes"),
        pytest.param(130, 0.02, 110, 130, id="a little more is no reason"),
        pytest.param(130, 0.02, 125, 170, id="much more is"),
        pytest.param(130, 0.02, 50, 90, id="or less"),
        pytest.param(0, 0.02, 210, 250, id="as long as anybody is asked to wait"),
        pytest.param(250, 0.02, 215, 0, id="a repair that comes later is not waited for"),
    ],
)
def test_delays(before: int, loss: float, rtt_ms: float, delay: int) -> None:
    assert least_delay(before, loss, rtt_ms, most=250) == delay


def test_nobody_waits_where_it_is_not_allowed() -> None:
    assert least_delay(0, 0.02, 20, most=0) == 0
