"""Why a viewer got what it got: the newest decisions of one transport, in a bounded ring.

A thousand viewers may keep 256 each, so they lie as MessagePack, and compressed but for the newest.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

MOST_ENTRIES = 256  # a transport
MOST_INPUTS = 16  # an entry
MOST_TEXT = 200  # characters of each text: policies from outside write them
BLOCK_ENTRIES = 16  # that are compressed together


@dataclass(frozen=True, slots=True)
class Decision:
    """One thing that was decided. The fields are those of message Decision in protos/media.proto."""

    at: int  # monotonic ns
    # "estimate", "layer", "pause", "resume", "keyframe", "policy", "fallback", "shadow", "dynacast", "playout"
    what: str
    subject: str  # the id of the consumer, producer or transport it is about
    before: str = ""  # `from` on the wire
    after: str = ""  # `to` on the wire
    reason: str = ""
    inputs: Mapping[str, float] = field(default_factory=dict)  # numbers it went by


# As it is kept: (at, what, subject, before, after, reason, inputs).
_Row = tuple[int, str, str, str, str, str, dict[str, float]]
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[_Row])


def _cut(text: str) -> str:
    """At most 200 characters, that have an encoding: those of a lone surrogate half are no text to anybody else."""
    text = text[:MOST_TEXT]
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def numbers(explained: Mapping[str, float | str]) -> dict[str, float]:
    """The finite numbers of what a policy explains, as inputs of a decision; 16 at most."""
    found = {
        _cut(str(name)): float(value)
        for name, value in explained.items()
        if isinstance(value, (int, float)) and math.isfinite(value)
    }
    return dict(list(found.items())[:MOST_INPUTS])


class DecisionLog:
    """A ring of the newest decisions, and a count of those that it had no room for. Empty, it takes 90 bytes."""

    __slots__ = ("_blocks", "_first", "_loose", "_newest", "_room", "forgotten")

    def __init__(self, room: int = MOST_ENTRIES) -> None:
        if room < 1:
            raise ValueError(f"a decision log needs room for one entry at least, not {room}")
        self.forgotten = 0
        self._room = room
        self._blocks: tuple[bytes, ...] = ()  # of BLOCK_ENTRIES, compressed; oldest first
        self._newest = b""  # those after the blocks, one after the other
        self._loose = 0  # how many these are
        self._first = 0  # of the oldest block: how many are forgotten already

    def __len__(self) -> int:
        return len(self._blocks) * BLOCK_ENTRIES + self._loose - self._first

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
        what, subject, before, after, reason = (_cut(text) for text in (what, subject, before, after, reason))
        row = at, what, subject, before, after, reason, numbers(inputs or {})
        self._add(row)
        return Decision(*row)

    def entries(self, since: int = 0, most: int = 0) -> list[Decision]:
        """Oldest first: those made at `since` (monotonic ns) or later, of them the newest `most`; 0: all."""
        rows: list[_Row] = []
        for block in self._blocks:
            rows += _DECODER.decode(zlib.decompress(block))
        rows += _DECODER.decode(_as_array(self._newest, self._loose))
        found = [Decision(*row) for row in rows[self._first :] if row[0] >= since]
        return found[-most:] if most > 0 else found

    def _add(self, row: _Row) -> None:
        self._newest += _ENCODER.encode(row)
        self._loose += 1
        if len(self) > self._room:
            self.forgotten += 1
            self._first += 1
        if self._loose == BLOCK_ENTRIES:
            self._blocks = (*self._blocks, zlib.compress(_as_array(self._newest, self._loose)))
            self._newest, self._loose = b"", 0
        if self._first == BLOCK_ENTRIES:
            self._blocks, self._first = self._blocks[1:], 0


def _as_array(rows: bytes, count: int) -> bytes:
    """MessagePack's array of so many, fewer than 65,536."""
    return b"\xdc" + count.to_bytes(2, "big") + rows
