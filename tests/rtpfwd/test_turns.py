"""The lane's thread asks the kernel for short turns, and gives them back: seen by sched_getattr(2)."""

from __future__ import annotations

import ctypes
import os
import struct
import threading
import time

from rtpfwd.lane import Lane
from rtpfwd.plane import Plane

GETATTR = {"x86_64": 315, "aarch64": 275}  # asm/unistd.h
SHORTEST_NS = 100_000


def slice_ns(thread: int) -> int:
    """0: this kernel (before Linux 6.12) has no slices of a thread's own."""
    libc = ctypes.CDLL(None, use_errno=True)
    attr = ctypes.create_string_buffer(48)
    assert libc.syscall(GETATTR[os.uname().machine], thread, attr, len(attr), 0) == 0, os.strerror(ctypes.get_errno())
    return int(struct.unpack("=IIQiIQQQ", attr.raw)[5])


def test_a_lane_takes_the_shortest_turns_and_its_thread_is_as_before_afterwards() -> None:
    lane = Lane(Plane(seed=1))
    before, after = slice_ns(0), []

    def work() -> None:
        lane.run()
        after.append(slice_ns(0))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not lane.counters()["wakeups"]:
            assert time.monotonic() < deadline, "the lane does not run"
        assert thread.native_id is not None
        assert slice_ns(thread.native_id) == (SHORTEST_NS if before else 0)
    finally:
        lane.stop()
        thread.join(10)
    assert after == [before]
