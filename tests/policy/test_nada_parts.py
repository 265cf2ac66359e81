"""Parts of NADA whose effect a closed loop blurs, by the reference implementation's words (RFC 8698, section 4.2)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from server.policy.congestion.nada import Nada
from server.policy.protocols import Feedback, PacketResult

MS = 1_000_000


def feed(controller: Nada, since: int, packets: int, *, way_ms: int = 20, lost: tuple[int, ...] = ()) -> list[float]:
    """A packet of 1,000 bytes each 10 ms, a message for each five; the figure x after each message."""
    found = []
    for first in range(since, since + packets, 5):
        results = tuple(
            PacketResult(number * 10 * MS, None if number in lost else (number * 10 + way_ms) * MS, 1000)
            for number in range(first, first + 5)
        )
        controller.on_feedback(Feedback((first + 10) * 10 * MS, results))
        found.append(float(controller.explain()["x_ms"]))
    return found


def test_what_arrives_is_counted_over_the_time_that_it_took() -> None:
    controller = Nada()
    feed(controller, 0, 100)
    assert controller.explain()["arriving_bps"] == pytest.approx(800_000, rel=0.001)


def test_the_warp_of_a_long_queue_fades_out_after_the_losses_instead_of_ending_at_once() -> None:
    controller = Nada()
    feed(controller, 0, 100)
    feed(controller, 100, 100, way_ms=170, lost=(110, 130, 150, 170, 190))
    tail = feed(controller, 200, 900, way_ms=170)
    assert tail[20] < 60  # warped, though 150 ms wait
    assert tail[-1] == pytest.approx(150, abs=5)
    assert max(later - sooner for sooner, later in pairwise(tail[20:])) < 40
