"""CPU time of processes and the output of perf."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from bench.cputime import TICK_NS, ThreadTime, busy_ns, cpu_use, parse_perf, softirq_ns, thread_times


def test_the_run_time_of_threads_is_split_as_their_ticks_are():
    before = {10: ThreadTime(1000, 0, 0), 11: ThreadTime(5000, TICK_NS, TICK_NS)}
    after = {10: ThreadTime(2000, 0, 0), 11: ThreadTime(8000, 4 * TICK_NS, 2 * TICK_NS), 12: ThreadTime(400, 0, 0)}
    used = cpu_use(10, before, after)
    assert (used.total, used.main_thread, used.busiest_thread) == (4400, 1000, 3000)
    assert (used.user, used.system) == (3300, 1100)


def test_without_a_tick_all_is_counted_as_kernel_time_and_nothing_is_lost():
    used = cpu_use(10, {}, {10: ThreadTime(500, 0, 0)})
    assert (used.total, used.user + used.system) == (500, 500)


def test_the_time_that_this_process_uses_is_seen_on_its_thread():
    before = thread_times(os.getpid())
    sum(range(3_000_000))
    after = thread_times(os.getpid())
    used = cpu_use(os.getpid(), before, after)
    assert used.total > 0
    assert used.busiest_thread <= used.total
    assert threading.get_native_id() in after


def test_perf_tells_what_it_counted_and_what_it_could_not():
    printed = (
        "Events enabled\nEvents disabled\n"
        "123456,,instructions:u,8000,100.00,,\n"
        "<not supported>,,instructions:k,0,100.00,,\n"
        "301.25,msec,task-clock,301251,100.00,0.9,CPUs utilized\n"
    )
    assert parse_perf(printed) == {"instructions:u": 123456, "task-clock": 301}


def test_what_the_host_takes_is_no_work(tmp_path: Path):
    stat = tmp_path / "stat"
    stat.write_text("cpu  1 2 3 400 50 6 7 8 9 0\ncpu0 1 2 3 400 50 6 7 8 9 0\n")
    assert busy_ns(stat) == (19 * TICK_NS, 8 * TICK_NS)


def test_softirq_time_is_of_the_cpus_asked_for(tmp_path: Path):
    stat = tmp_path / "stat"
    stat.write_text("cpu  9 9 9 9 9 9 12 0 0 0\ncpu0 1 1 1 1 1 1 5 0 0 0\ncpu1 1 1 1 1 1 1 7 0 0 0\nintr 1 2 3\n")
    assert softirq_ns((0,), stat) == 5 * TICK_NS
    assert softirq_ns((0, 1), stat) == 12 * TICK_NS
    assert softirq_ns((2,), stat) is None  # no such CPU
    assert softirq_ns((), stat) is None  # not pinned: it could be anybody's
    assert softirq_ns((0,), tmp_path / "missing") is None
