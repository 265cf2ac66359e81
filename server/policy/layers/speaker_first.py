"""The default: a screen share first, then the dominant speaker, then by priority, and fair among equals."""

from __future__ import annotations

from collections.abc import Sequence

from server.policy.layers.common import Ladder, Ordered, Step, floors_first
from server.policy.protocols import Wish


def _rank(wish: Wish) -> tuple[bool, bool, bool, int]:
    """Small is important. What nobody sees comes last, whatever it is."""
    return (wish.hidden, not wish.screen, not wish.speaker, -wish.priority)


class SpeakerFirst(Ordered):
    """Everyone's smallest picture in order of importance, then everything for the most important, and so on."""

    def order(self, ladders: Sequence[Ladder]) -> list[Step]:
        ranks = sorted({_rank(each.wish) for each in ladders})
        groups = [[i for i, each in enumerate(ladders) if _rank(each.wish) == rank] for rank in ranks]
        return floors_first(ladders, groups)
