"""Damaged RFC 4571 streams: only BadPacket, and never more memory than one frame."""

from __future__ import annotations

import contextlib

from server.errors import BadPacket
from server.io.framing import MAX_FRAME, FrameReader, frame
from tests.fuzz.mutate import mutated

CORPUS = [
    frame(bytes(range(20))) + frame(b"\x80" * 1200),
    frame(b""),
    frame(b"\x16" * 13) * 5,
    frame(bytes(MAX_FRAME)),
]


def test_frames() -> None:
    reader = FrameReader()
    for data in mutated(CORPUS, seed=4571):
        try:
            packets = reader.receive_untrusted(data)
        except BadPacket:
            reader = FrameReader()
            continue
        assert all(1 <= len(packet) <= MAX_FRAME for packet in packets)
        assert len(reader._buffer) < MAX_FRAME + 2
        with contextlib.suppress(BadPacket):
            assert FrameReader().receive_untrusted(b"".join(map(frame, packets))) == packets
