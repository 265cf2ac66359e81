"""RFC 4571 framing: a 16-bit big-endian length before every packet on a TCP connection. Sans-I/O."""

from __future__ import annotations

from server.errors import BadPacket

MAX_FRAME = 2048  # bytes; what crosses a WebRTC path is an MTU-sized packet, whatever carries it


def frame(packet: bytes) -> bytes:
    """One packet ready to be written. `packet` has at most 65535 bytes."""
    return len(packet).to_bytes(2, "big") + packet


class FrameReader:
    """Cuts a byte stream into packets. Holds at most one incomplete frame, so memory is bounded."""

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._max_frame = max_frame
        self._buffer = bytearray()

    def receive_untrusted(self, data: bytes) -> list[bytes]:
        """The packets completed by `data`. RFC 4571 allows empty ones; they carry nothing and are left out.

        Raises BadPacket ("tcp-frame-too-long") for a frame that no WebRTC packet needs; the stream can't be resumed.
        """
        self._buffer += data
        packets: list[bytes] = []
        start = 0
        while len(self._buffer) - start >= 2:
            length = (self._buffer[start] << 8) | self._buffer[start + 1]
            if length > self._max_frame:
                raise BadPacket("tcp-frame-too-long")
            end = start + 2 + length
            if len(self._buffer) < end:
                break
            if length:
                packets.append(bytes(self._buffer[start + 2 : end]))
            start = end
        del self._buffer[:start]
        return packets
