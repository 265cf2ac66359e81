"""Packets that carry their own time and number, so that whoever receives one can say how long it took and what it is.

The stamp is the last 12 bytes of the payload: a counter and the sender's clock. In front of it stands what a codec's
describe() needs to see: a VP8 payload descriptor and frame header (RFC 7741), or nothing for audio.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

_STAMP = struct.Struct("!IQ")
STAMP_BYTES = _STAMP.size
_VP8_KEYFRAME = bytes((0x10, 0x50, 0x00, 0x00, 0x9D, 0x01, 0x2A, 0x80, 0x02, 0xE0, 0x01))  # start, 640x480
_VP8_DELTA = bytes((0x10, 0x51, 0x00, 0x00))
_VP8_LATER = bytes((0x00,))


class Stamp(NamedTuple):
    """What a payload says of itself."""

    number: int  # counts the packets of one sender, from 0
    sent_ns: int  # the sender's clock


def payload(stamp: Stamp, size: int, *, video: bool, first: bool = False, keyframe: bool = False) -> bytes:
    """A payload of exactly `size` bytes (or as many as its parts need, if that is more)."""
    head = b"" if not video else _VP8_LATER if not first else _VP8_KEYFRAME if keyframe else _VP8_DELTA
    filler = bytes(max(0, size - len(head) - STAMP_BYTES))
    return head + filler + _STAMP.pack(stamp.number, stamp.sent_ns)


def read_stamp(data: bytes) -> Stamp:
    """The stamp at the end of a payload or of a whole packet without padding."""
    return Stamp(*_STAMP.unpack_from(data, len(data) - STAMP_BYTES))


def is_keyframe(data: bytes) -> bool:
    """Whether a video payload of ours begins a keyframe."""
    return len(data) > 4 and data[0] == 0x10 and not data[1] & 1
