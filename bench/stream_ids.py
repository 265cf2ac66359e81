"""Which SSRC carries which MID and RID (RFC 8843 section 15, RFC 8852), learnt from packets and written back.

A browser writes these header extensions only until a receiver report shows that they have arrived. A recording begins
later, so the recorder writes them into the first packets of every SSRC once more: a trace begins as a publisher does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bench.trace import rtp_header_length
from server.rtc import uris
from server.rtc.parameters import RtpParameters
from server.testing.rtp import RtpPacket

WRITTEN_NS: Final = 1_000_000_000  # from an SSRC's first packet on: a receiver report is due each second
_ONE_BYTE, _TWO_BYTE = 0xBEDE, 0x1000  # RFC 8285 sections 4.2 and 4.3
_MOST_SSRCS: Final = 64


class StreamIds:
    """What is known of the SSRCs of one publisher."""

    def __init__(self) -> None:
        self.extensions: dict[str, int] = {}  # uri to id; empty until the publisher was negotiated with
        self._rid_of: dict[int, str] = {}
        self._repaired_of: dict[int, str] = {}

    def negotiated(self, parameters: RtpParameters) -> None:
        """The numbers of the extensions."""
        self.extensions = {extension.uri: extension.id for extension in parameters.header_extensions}

    def learn(self, packet: bytes) -> None:
        """One RTP packet, authentic but not necessarily well formed."""
        ssrc = int.from_bytes(packet[8:12], "big")
        if (
            ssrc in self._rid_of
            or ssrc in self._repaired_of
            or len(self._rid_of) + len(self._repaired_of) > _MOST_SSRCS
        ):
            return
        try:
            extensions = dict(RtpPacket.parse(packet).extensions)
        except (ValueError, IndexError):
            return
        for uri, known in ((uris.RID, self._rid_of), (uris.REPAIRED_RID, self._repaired_of)):
            value = extensions.get(self.extensions.get(uri, 0), b"")
            if value and value.isascii():
                known[ssrc] = value.decode()

    def ssrc_of(self, rid: str | None) -> int | None:
        """Of the media."""
        return next((ssrc for ssrc, known in self._rid_of.items() if known == rid), None)

    def rtx_ssrc_of(self, rid: str | None) -> int | None:
        """Of its retransmissions."""
        return next((ssrc for ssrc, known in self._repaired_of.items() if known == rid), None)

    def without_rtx(self) -> list[int]:
        """The SSRCs whose RID is known, but not the SSRC of their retransmissions."""
        if uris.REPAIRED_RID not in self.extensions:
            return []
        repaired = set(self._repaired_of.values())
        return [ssrc for ssrc, rid in self._rid_of.items() if rid not in repaired]

    def writer(self, parameters: RtpParameters) -> Callable[[bytes, int], bytes]:
        """A function of (RTP packet, its time in ns) that answers the packet; an early one gets MID and RID."""
        numbers = {extension.uri: extension.id for extension in parameters.header_extensions}
        began: dict[int, int] = {}

        def write(packet: bytes, at: int) -> bytes:
            ssrc = int.from_bytes(packet[8:12], "big")
            if at - began.setdefault(ssrc, at) >= WRITTEN_NS:
                return packet
            texts = {uris.MID: parameters.mid, uris.RID: self._rid_of.get(ssrc)}
            texts[uris.REPAIRED_RID] = self._repaired_of.get(ssrc)
            return with_extensions(packet, {numbers[u]: t.encode() for u, t in texts.items() if t and u in numbers})

        return write


def with_extensions(packet: bytes, values: dict[int, bytes]) -> bytes:
    """The packet with these header extensions too; those that it has already stay as they are.

    In the form of the packet's other extensions (RFC 8285). ValueError when a value does not fit into that form, or
    the packet is no RTP.
    """
    end = rtp_header_length(packet)
    if end is None:
        raise ValueError("this is no RTP packet")
    fixed = 12 + 4 * (packet[0] & 0x0F)
    profile, block = _ONE_BYTE, b""
    if packet[0] & 0x10:
        profile, block = int.from_bytes(packet[fixed : fixed + 2], "big"), packet[fixed + 4 : end]
    two_byte = profile & 0xFFF0 == _TWO_BYTE
    if not two_byte and profile != _ONE_BYTE:
        return packet
    elements, present = _elements(block, two_byte=two_byte)
    added = b""
    for number, value in values.items():
        if number in present:
            continue
        if two_byte:
            added += bytes((number, len(value))) + value
        elif 1 <= number <= 14 and 1 <= len(value) <= 16:
            added += bytes((number << 4 | len(value) - 1,)) + value
        else:
            raise ValueError(f"extension {number} with {len(value)} bytes does not fit into the one-byte form")
    if not added:
        return packet
    block = elements + added
    block += bytes(-len(block) % 4)
    extension = profile.to_bytes(2, "big") + (len(block) // 4).to_bytes(2, "big") + block
    return bytes((packet[0] | 0x10,)) + packet[1:fixed] + extension + packet[end:]


def _elements(block: bytes, *, two_byte: bool) -> tuple[bytes, set[int]]:
    """The elements of an extension block without the padding after them, and their ids."""
    present: set[int] = set()
    at = end = 0
    while at < len(block):
        if block[at] == 0:
            at += 1
            continue
        if two_byte:
            if at + 1 >= len(block):
                break
            number, size = block[at], 2 + block[at + 1]
        else:
            number, size = block[at] >> 4, 2 + (block[at] & 15)
            if number == 15:
                break
        present.add(number)
        at += size
        end = min(at, len(block))
    return block[:end], present
