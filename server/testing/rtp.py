"""RTP and RTCP as a fake browser needs them: a few dozen lines that share nothing with the plane they test.

RFC 3550 (RTP, RR, SR), RFC 8285 (one-byte extensions), RFC 4585 (NACK, PLI), RFC 5104 (FIR), RFC 4588 (RTX).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

SR, RR, SDES, BYE, RTPFB, PSFB = 200, 201, 202, 203, 205, 206


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One packet. `extensions`: (id, data) in one-byte form."""

    payload_type: int
    ssrc: int
    seq: int
    timestamp: int
    payload: bytes
    marker: bool = False
    extensions: tuple[tuple[int, bytes], ...] = ()

    def __bytes__(self) -> bytes:
        block = b"".join(bytes(((number << 4) | (len(data) - 1),)) + data for number, data in self.extensions)
        head = struct.pack(
            "!BBHII",
            0x80 | (0x10 if block else 0),
            (0x80 if self.marker else 0) | self.payload_type,
            self.seq & 0xFFFF,
            self.timestamp & 0xFFFFFFFF,
            self.ssrc,
        )
        if block:
            block += bytes(-len(block) % 4)
            head += struct.pack("!HH", 0xBEDE, len(block) // 4) + block
        return head + self.payload

    @classmethod
    def parse(cls, data: bytes) -> RtpPacket:
        """A packet from a peer under test. ValueError when it is not one: that is a finding."""
        if len(data) < 12 or data[0] >> 6 != 2:
            raise ValueError(f"not RTP: {data[:12].hex()}")
        at = 12 + 4 * (data[0] & 15)
        extensions: tuple[tuple[int, bytes], ...] = ()
        if data[0] & 0x10:
            profile, words = struct.unpack_from("!HH", data, at)
            block = data[at + 4 : at + 4 + 4 * words]
            if len(block) != 4 * words:
                raise ValueError("the header extension passes the end of the packet")
            extensions = tuple(_one_byte(block) if profile == 0xBEDE else _two_byte(block))
            at += 4 + 4 * words
        end = len(data) - (data[-1] if data[0] & 0x20 else 0)
        if end < at:
            raise ValueError("padding larger than the payload")
        seq, timestamp, ssrc = struct.unpack_from("!HII", data, 2)
        return cls(data[1] & 127, ssrc, seq, timestamp, data[at:end], bool(data[1] & 0x80), extensions)


def _one_byte(block: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(block):
        number, size = block[at] >> 4, (block[at] & 15) + 1
        if number == 15:
            return
        if number:
            yield number, block[at + 1 : at + 1 + size]
            at += size
        at += 1


def _two_byte(block: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 1 < len(block):
        if not block[at]:
            at += 1
            continue
        yield block[at], block[at + 2 : at + 2 + block[at + 1]]
        at += 2 + block[at + 1]


class RtcpPacket(NamedTuple):
    """One packet of a compound: `subtype` is the five bits after the version, `body` what follows the common header."""

    type: int
    subtype: int
    body: bytes


def parse_rtcp(data: bytes) -> Iterator[RtcpPacket]:
    """The packets of a compound. ValueError when a length is wrong."""
    at = 0
    while at < len(data):
        first, kind, words = struct.unpack_from("!BBH", data, at)
        end = at + 4 + 4 * words
        if first >> 6 != 2 or end > len(data):
            raise ValueError("broken RTCP")
        yield RtcpPacket(kind, first & 31, data[at + 4 : end])
        at = end


def rtcp(kind: int, count: int, body: bytes) -> bytes:
    """One packet; the body is a multiple of four bytes."""
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def nacked(packet: RtcpPacket) -> tuple[int, list[int]]:
    """The media SSRC and the sequence numbers of a NACK."""
    _, ssrc = struct.unpack_from("!II", packet.body)
    numbers = []
    for at in range(8, len(packet.body), 4):
        first, mask = struct.unpack_from("!HH", packet.body, at)
        numbers += [first, *((first + 1 + bit) & 0xFFFF for bit in range(16) if mask >> bit & 1)]
    return ssrc, numbers


def nack(own_ssrc: int, ssrc: int, numbers: Sequence[int]) -> bytes:
    """A NACK for 16-bit sequence numbers."""
    body, rest = struct.pack("!II", own_ssrc, ssrc), sorted(set(numbers))
    while rest:
        first = rest[0]
        within = [number for number in rest if 0 < number - first <= 16]
        body += struct.pack("!HH", first, sum(1 << (number - first - 1) for number in within))
        rest = [number for number in rest[1:] if number not in within]
    return rtcp(RTPFB, 1, body)


def pli(own_ssrc: int, ssrc: int) -> bytes:
    """A picture loss indication."""
    return rtcp(PSFB, 1, struct.pack("!II", own_ssrc, ssrc))
