"""Why a viewer got what it got: the newest decisions of one transport, in a bounded ring."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

MOST_ENTRIES = 256  # a transport
MOST_INPUTS = 16  # an entry
MOST_TEXT = 200  # characters of each text: policies from outside write them


@dataclass(frozen=True, slots=True)
class Decision:
    """One thing that was decided. The fields are those of message Decision in protos/media.proto."""

    at: int  # monotonic ns
    what: str  # "estimate", "layer", "pause", "resume", "keyframe", "policy", "fallback", "shadow", "dynacast"
    subject: str  # the id of the consumer, producer or transport it is about
    before: str = ""  # `from` on the wire
    after: str = ""  # `to` on the wire
    reason: str = ""
    inputs: Mapping[str, float] = field(default_factory=dict)  # numbers it went by


def numbers(explained: Mapping[str, float | str]) -> dict[str, float]:
    """The finite numbers of what a policy explains, as inputs of a decision; 16 at most."""
    found = {
        str(name)[:MOST_TEXT]: float(value)
        for name, value in explained.items()
        if isinstance(value, (int, float)) and math.isfinite(value)
    }
    return dict(list(found.items())[:MOST_INPUTS])


class DecisionLog:
    """A ring of the newest decisions, and a count of those that it had no room for."""

    def __init__(self, room: int = MOST_ENTRIES) -> None:
        if room < 1:
            raise ValueError(f"a decision log needs room for one entry at least, not {room}")
        self._entries: deque[Decision] = deque(maxlen=room)
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._entries)

    def note(
        self,
        at: int,
        what: str,
        subject: str,
        *,
        before: str = "",
        after: str = "",
        reason: str = "",
        inputs: Mapping[str, float | str] | None = None,
    ) -> Decision:
        """Add one. Texts are cut at 200 characters; of the inputs, 16 finite numbers are kept."""
        what, subject, before, after, reason = (text[:MOST_TEXT] for text in (what, subject, before, after, reason))
        decision = Decision(at, what, subject, before, after, reason, numbers(inputs or {}))
        if len(self._entries) == self._entries.maxlen:
            self.forgotten += 1
        self._entries.append(decision)
        return decision

    def entries(self, since: int = 0, most: int = 0) -> list[Decision]:
        """Oldest first: those made at `since` (monotonic ns) or later, of them the newest `most`; 0: all."""
        found = [decision for decision in self._entries if decision.at >= since]
        return found[-most:] if most > 0 else found
