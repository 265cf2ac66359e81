"""Small traces for tests: of any packets, or of a publisher as the recorder hears it."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

from bench.trace import Trace, TracePacket, kept
from server.rtc import uris
from server.rtc.parameters import RtpParameters, rtp_parameters
from server.testing.rtp import RtpPacket

MID_ID, RID_ID, REPAIRED_ID = 4, 10, 11
VP8_KEYFRAME = bytes.fromhex("10 10 02 00 9d 01 2a 40 01 b4 00")  # RFC 7741: S=1, then a keyframe's header
VP8_INTERFRAME = bytes.fromhex("10 11 02 00")


def video_parameters() -> RtpParameters:
    """Two encodings by RID, as a browser negotiates them."""
    extensions = ((uris.MID, MID_ID), (uris.RID, RID_ID), (uris.REPAIRED_RID, REPAIRED_ID))
    return rtp_parameters(
        {
            "mid": "0",
            "codecs": [
                {"mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000},
                {"mimeType": "video/rtx", "payloadType": 97, "clockRate": 90000, "parameters": {"apt": 96}},
            ],
            "headerExtensions": [{"uri": uri, "id": number} for uri, number in extensions],
            "encodings": [{"rid": "lo"}, {"rid": "hi"}],
        }
    )


def video(
    seq: int, body: bytes, *, ssrc: int = 0x1111, extensions: tuple[tuple[int, bytes], ...] = (), size: int = 200
) -> bytes:
    """One VP8 packet, a frame of its own."""
    payload = body + bytes(range(1, 200))[: size - len(body)]
    return bytes(RtpPacket(96, ssrc, seq & 0xFFFF, seq * 3000, payload, True, extensions))


def a_trace(packets: list[bytes] | None = None, *, name: str = "test") -> Trace:
    """One packet each millisecond."""
    whole = packets or [video(65534 + number, VP8_INTERFRAME) for number in range(5)]
    traced = tuple(TracePacket(at * 1_000_001, kept(data), len(data)) for at, data in enumerate(whole))
    return Trace(name, (("video", video_parameters()),), traced, 10_000_000_000, (("browser", "none"),))


def blocks(path: Path) -> list[tuple[int, bytes]]:
    """(type, body) of every pcapng block of a trace file, read apart from the reader under test."""
    content, at, found = gzip.decompress(path.read_bytes()), 0, []
    while at < len(content):
        kind, length = struct.unpack_from("<II", content, at)
        assert content[at + length - 4 : at + length] == struct.pack("<I", length)
        found.append((kind, content[at + 8 : at + length - 4]))
        at += length
    return found


def write_blocks(path: Path, parts: list[tuple[int, bytes]]) -> None:
    """The inverse."""
    lengths = [struct.pack("<I", len(body) + 12) for _, body in parts]
    whole = [struct.pack("<I", kind) + n + body + n for (kind, body), n in zip(parts, lengths, strict=True)]
    path.write_bytes(gzip.compress(b"".join(whole), 1))
