"""DTLS records: a datagram taken apart (RFC 6347 section 4.1)."""

from __future__ import annotations

from typing import Final, NamedTuple

from server.errors import BadPacket

# Content types.
CHANGE_CIPHER_SPEC: Final = 20
ALERT: Final = 21
HANDSHAKE: Final = 22
APPLICATION_DATA: Final = 23
_RECORD_HEADER: Final = 13
LONGEST_RECORD: Final = (1 << 14) + 2048  # bytes after the header (RFC 6347 section 4.1, RFC 5246 section 6.2.3)


class Record(NamedTuple):
    """One DTLS record (RFC 6347 section 4.1)."""

    content_type: int
    epoch: int
    data: bytes  # with its header

    @property
    def message_seq(self) -> int | None:
        """Which message of the handshake a plaintext record carries, None for other records."""
        if self.content_type != HANDSHAKE or self.epoch != 0 or len(self.data) < _RECORD_HEADER + 6:
            return None
        return int.from_bytes(self.data[_RECORD_HEADER + 4 : _RECORD_HEADER + 6], "big")

    def numbered(self, sequence: int) -> bytes:
        """The same plaintext record under another sequence number."""
        return self.data[:5] + sequence.to_bytes(6, "big") + self.data[11:]


def split_records_untrusted(data: bytes) -> list[Record]:
    """The records of a datagram. BadPacket unless it consists of whole records of DTLS 1.x and nothing else."""
    records: list[Record] = []
    at = 0
    size = len(data)
    while at < size:
        if size - at < _RECORD_HEADER:
            raise BadPacket("dtls-short")
        content_type = data[at]
        length = int.from_bytes(data[at + 11 : at + 13], "big")
        end = at + _RECORD_HEADER + length
        if not CHANGE_CIPHER_SPEC <= content_type <= APPLICATION_DATA or data[at + 1] != 0xFE:
            raise BadPacket("dtls-not-dtls")
        if end > size or length > LONGEST_RECORD:
            raise BadPacket("dtls-length")
        records.append(Record(content_type, int.from_bytes(data[at + 3 : at + 5], "big"), data[at:end]))
        at = end
    if not records:
        raise BadPacket("dtls-short")
    return records
