"""What makes a run invalid, and pinning. Whole measurements: tests/bench/test_fanout.py."""

from __future__ import annotations

import os
import threading

import pytest

from bench.generator import Pace
from bench.measurement import delay_figures, limits_of_generator, pinned

FINE = {"generator_busiest_thread": 0.5, "generator_headroom": 0.5, "queue_drops": 0.0}


@pytest.mark.parametrize(
    ("figures", "pace", "overflows", "reasons"),
    [
        ({}, Pace(1000, 20, 9_000_000, 0), 0, []),  # 2 % are forgiven
        ({}, Pace(), 0, []),
        ({"generator_busiest_thread": 0.9}, Pace(100), 0, ["a thread of the generator used 90% of a core"]),
        ({"generator_headroom": 0.1}, Pace(100), 0, ["the generator used 90% of the CPUs that it is pinned to"]),
        (
            {"generator_busiest_thread": 0.95, "generator_headroom": 0.05},
            Pace(100),
            0,
            ["a thread of the generator used 95% of a core"],
        ),
        ({"queue_drops": 7.0}, Pace(100), 0, ["receive queues overflowed: 7 datagrams"]),
        ({}, Pace(100, 3, 12_300_000, 0), 0, ["3 of 100 frames were late, the worst by 12.3 ms"]),
        ({}, Pace(100, 0, 0, 4), 0, ["sockets refused 4 packets"]),
        ({}, Pace(100), 5, ["no room for 5 datagrams"]),
        ({"queue_drops": 1.0}, Pace(100), 1, ["1 datagrams were dropped", "no room for 1 datagrams"]),
    ],
)
def test_a_run_is_invalid_when_the_generator_was_the_limit(figures, pace: Pace, overflows: int, reasons: list[str]):
    said = limits_of_generator(FINE | figures, pace, overflows)
    assert len(said) == len(reasons)
    assert all(part in whole for part, whole in zip(reasons, said, strict=True))


def test_pinning_takes_every_thread_and_lets_go_of_them_again():
    before = os.sched_getaffinity(0)
    release, ready = threading.Event(), threading.Event()
    ids: list[int] = []

    def wait() -> None:
        ids.append(threading.get_native_id())
        ready.set()
        release.wait(10)

    thread = threading.Thread(target=wait)
    thread.start()
    assert ready.wait(10)
    one = min(before)
    try:
        with pinned((one,)):
            assert os.sched_getaffinity(0) == os.sched_getaffinity(ids[0]) == {one}
        assert os.sched_getaffinity(0) == os.sched_getaffinity(ids[0]) == before
        with pinned(()):
            assert os.sched_getaffinity(0) == before
    finally:
        release.set()
        thread.join()


def test_delays_are_percentiles_in_milliseconds_whatever_their_order():
    figures = delay_figures(number * 1000 for number in range(1000, 0, -1))
    assert figures == {
        "delay_p50_ms": 0.5,
        "delay_p99_ms": 0.99,
        "delay_p999_ms": 0.999,
        "delay_max_ms": 1.0,
        "delay_samples": 1000,
    }
    assert set(delay_figures([]).values()) == {None, 0}
