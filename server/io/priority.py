"""What the process of a node does so that Python never takes a core from its lanes for long."""

from __future__ import annotations

import gc
import os
import threading

NICE = 5  # steps down: a third of a lane's weight: enough to go on when every core is busy
YOUNG_OBJECTS = 20_000  # allocations between two looks at the youngest objects


def yield_to_lanes() -> None:
    """Call once in the thread of the trio loop, after the lanes have started; threads begun later follow it.

    The kernel then prefers the lanes, which need a core for microseconds at a time, to Python, which can take it for
    milliseconds. And what exists by now is left out of garbage collection: it lives as long as the process.
    """
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + NICE))
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)
