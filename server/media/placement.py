"""Placement: the lane of a new transport. Pure functions of the lanes' loads.

A packet that crosses lanes wakes a second thread, so a call stays on its home lane while that costs the others nothing
much; a large one spreads over all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

STAY = 16  # streams and transports that a call's home lane may carry more than the least loaded one


def least_loaded(loads: Sequence[int]) -> int:
    """The first of the lanes with the smallest load."""
    return min(range(len(loads)), key=loads.__getitem__)


def place(loads: Sequence[int], home: int) -> int:
    """The home lane, or the least loaded one when home has more than STAY above it.

    A load is the number of streams and transports on a lane.
    """
    least = least_loaded(loads)
    return home if loads[home] - loads[least] <= STAY else least
