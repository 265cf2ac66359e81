"""server.io.priority: in a node's process the kernel prefers the lanes to Python."""

from __future__ import annotations

import os
from pathlib import Path

from bench.node_process import open_node
from server.io.priority import NICE


def nice_by_thread(pid: int) -> dict[str, int]:
    tasks = Path(f"/proc/{pid}/task")
    return {
        (task / "comm").read_text().strip(): int((task / "stat").read_text().rpartition(")")[2].split()[16])
        for task in tasks.iterdir()
    }


async def test_python_steps_back_behind_the_lanes():
    async with open_node(lanes=2) as node:
        nice = nice_by_thread(node.pid)
        main = os.getpriority(os.PRIO_PROCESS, node.pid)
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    assert nice["sl-lane-0"] == nice["sl-lane-1"] == ours
    assert main == min(ours + NICE, 19)
