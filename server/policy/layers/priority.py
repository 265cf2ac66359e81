"""By number alone: the highest priority gets all it can use; among equals, whoever was there first."""

from __future__ import annotations

from collections.abc import Sequence

from server.policy.layers.common import Ladder, Ordered, Step, floors_first


class Priority(Ordered):
    """What the application says through setConsumerPriority, and nothing else."""

    def order(self, ladders: Sequence[Ladder]) -> list[Step]:
        # sorted() is stable, so equals stay in the order in which they were made.
        ranked = sorted(range(len(ladders)), key=lambda index: -ladders[index].wish.priority)
        return floors_first(ladders, [[index] for index in ranked])
