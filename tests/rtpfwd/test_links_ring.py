"""The ring between two lanes: every entry arrives once, whole and in order, and every buffer comes back."""

from __future__ import annotations

import threading

import pytest

from rtpfwd.link_probe import RingProbe

ENTRIES = 10_000_000


@pytest.mark.parametrize(("packets", "batch"), [(2_048, 64), (3, 1)])
def test_two_threads_pass_packets(packets: int, batch: int) -> None:
    count = ENTRIES if packets > 3 else 20_000  # a small pool makes the threads take turns
    probe = RingProbe(packets)
    written: list[int] = []
    writer = threading.Thread(target=lambda: written.append(probe.write(count)))
    writer.start()
    total, wrong = probe.read(count, batch)
    writer.join()
    assert wrong == 0
    assert written == [total]
    assert probe.free() == packets


def test_positions_wrap_and_a_full_ring_waits() -> None:
    probe = RingProbe(2_048)
    for _ in range(5):
        assert probe.write(1_024) == probe.read(1_024, 7)[0]
    assert probe.free() == 2_048
