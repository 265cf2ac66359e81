"""Recorded media: the clear RTP and RTCP of one publisher, with the times at which it arrived, in one file.

A file is a gzip-compressed pcapng with nanosecond times, so Wireshark and tcpdump open it; each packet sits in IPv4 and
UDP headers made up for it, and of an RTP payload only the beginning is kept. What a player must know besides (codecs,
SSRCs or RIDs, extension ids) is JSON in the comment of the section header. bench/TRACES.md describes the format.

Reading trusts nothing: sizes are checked before anything is sliced, and what a small file may swell to is bounded.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec

from bench.errors import BenchError
from server.rtc.parameters import InvalidParameters, MediaKind, RtpParameters, kind_of, rtp_parameters

SCHEMA: Final = "sightline.trace/1"
SUFFIX: Final = ".pcapng.gz"
KEPT_PAYLOAD: Final = 64  # bytes of each RTP payload in a file: every codec's descriptor and frame header fit in them
MAX_SIZE: Final = 65_507  # bytes of UDP payload over IPv4
MAX_DURATION_NS: Final = 24 * 3600 * 1_000_000_000
MAX_FILE: Final = 256 << 20  # bytes, decompressed
MAX_PACKETS: Final = 2_000_000
MAX_ORIGIN: Final = 32  # entries

_BYTE_ORDER: Final = 0x1A2B3C4D
_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6  # pcapng block types
_COMMENT, _RESOLUTION = 1, 9  # option codes: of any block; if_tsresol of an interface
_LINKTYPE_RAW = 101  # a packet begins with its IP header
_NANOSECONDS = 9  # if_tsresol: 10 to the minus 9
_MAX_BLOCK: Final = 128 << 10  # bytes: a comment is at most 64 KiB
_IP_AND_UDP: Final = struct.Struct("!BBHHHBBH4s4sHHHH")
_PUBLISHER, _NODE = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))  # RFC 5737
_PORT: Final = 5004


@dataclass(frozen=True, slots=True)
class TracePacket:
    """One packet of the publisher, in the clear: `data` is its beginning, `size` its whole length in bytes.

    `data` holds the whole RTP header and at least 64 bytes of payload, or all of it. RTCP and what has RTP padding,
    whose length stands in the last byte, are whole. `at_ns` counts from the first packet of the trace.
    """

    at_ns: int
    data: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Trace:
    """What one publisher sent, in the order of arrival. `media`: ("audio" or "video", its parameters) per source."""

    name: str
    media: tuple[tuple[str, RtpParameters], ...]
    packets: tuple[TracePacket, ...]
    duration_ns: int  # of the recorded window: at least the time of the last packet
    origin: tuple[tuple[str, str], ...] = ()  # how it was made, for people: ("browser", "Chromium 140.0"), …


class _Media(msgspec.Struct, frozen=True):
    kind: MediaKind
    parameters: RtpParameters


class _Description(msgspec.Struct, frozen=True, rename="camel"):
    """The comment of the section header."""

    schema: str
    name: str
    duration_ns: int
    media: tuple[_Media, ...]
    origin: dict[str, str] = {}


class _Faulty(Exception):
    """What is wrong with a file; the caller adds which file."""


def shipped() -> tuple[str, ...]:
    """The names of the traces that come with the suite, sorted."""
    entries = (resources.files("bench") / "traces").iterdir()
    return tuple(sorted(entry.name.removesuffix(SUFFIX) for entry in entries if entry.name.endswith(SUFFIX)))


def load_trace(name_or_path: str | Path) -> Trace:
    """A shipped trace by its name, or a file by its path. Raises BenchError."""
    names = shipped()
    if name_or_path in names:
        with resources.as_file(resources.files("bench") / "traces" / f"{name_or_path}{SUFFIX}") as path:
            return _load(path)
    path = Path(name_or_path)
    if not path.exists():
        raise BenchError(f"{path}: no such file, and no shipped trace; those are {', '.join(names) or 'none'}")
    return _load(path)


def save_trace(path: Path, trace: Trace) -> None:
    """Write the file, equal bytes for equal traces. Raises BenchError for a trace that `load_trace` would refuse."""
    try:
        _check(trace)
        content = b"".join(_blocks(trace))
    except _Faulty as fault:
        raise BenchError(f"{path}: this trace can't be written: {fault}") from fault
    try:
        path.write_bytes(gzip.compress(content, compresslevel=9, mtime=0))
    except OSError as error:
        raise BenchError(f"{path}: can't be written: {error.strerror}") from error


def is_rtcp(packet: bytes) -> bool:
    """Whether a packet is RTCP rather than RTP (RFC 5761 section 4)."""
    return len(packet) > 1 and 192 <= packet[1] <= 223


def kept(packet: bytes) -> bytes:
    """The part of a whole packet that goes into a trace. Raises ValueError for what is neither RTP nor RTCP."""
    if is_rtcp(packet):
        return packet
    length = rtp_header_length(packet)
    if length is None:
        raise ValueError("this is neither an RTP nor an RTCP packet")
    if packet[0] & 0x20:  # padding: its length is the last byte, and its zeros compress well
        return packet
    return packet[: length + KEPT_PAYLOAD]


def rtp_header_length(data: bytes) -> int | None:
    """Bytes of the RTP header with CSRCs and extensions (RFC 3550 sections 5.1, 5.3.1); None if not all are there."""
    if len(data) < 12 or data[0] >> 6 != 2:
        return None
    length = 12 + 4 * (data[0] & 0x0F)
    if data[0] & 0x10:
        if len(data) < length + 4:
            return None
        length += 4 + 4 * int.from_bytes(data[length + 2 : length + 4], "big")
    return length if len(data) >= length else None


def _check(trace: Trace) -> None:
    if not trace.name or len(trace.name) > 64 or not trace.name.isprintable():
        raise _Faulty("a name has 1 to 64 printable characters")
    if not trace.media:
        raise _Faulty("it has no media")
    for kind, parameters in trace.media:
        if not parameters.codecs or kind != kind_of(parameters.codecs[0].mime_type):
            raise _Faulty(f"a media of kind {kind!r} has no codec of that kind")
    if not trace.packets or len(trace.packets) > MAX_PACKETS:
        raise _Faulty(f"it has {len(trace.packets)} packets; 1 to {MAX_PACKETS} are possible")
    if len(trace.origin) > MAX_ORIGIN or not all(text.isprintable() for entry in trace.origin for text in entry):
        raise _Faulty(f"its origin has more than {MAX_ORIGIN} entries, or characters that can't be printed")
    if trace.packets[0].at_ns != 0:
        raise _Faulty("its first packet is not at time 0")
    before = 0
    for number, packet in enumerate(trace.packets, 1):
        if packet.at_ns < before:
            raise _Faulty(f"packet {number} is earlier than the one before it")
        before = packet.at_ns
        if (problem := _problem(packet)) is not None:
            raise _Faulty(f"packet {number} {problem}")
    if not before <= trace.duration_ns <= MAX_DURATION_NS:
        raise _Faulty(f"its duration of {trace.duration_ns} ns ends before its last packet, or after a day")


def _problem(packet: TracePacket) -> str | None:
    data, size = packet.data, packet.size
    if not len(data) <= size <= MAX_SIZE:
        return f"has {len(data)} of {size} bytes"
    if is_rtcp(data):
        return None if len(data) == size >= 8 and data[0] >> 6 == 2 else "is RTCP and not whole"
    length = rtp_header_length(data)
    if length is None:
        return "is not RTP, or its header is not whole"
    if len(data) < size and (data[0] & 0x20 or len(data) < length + KEPT_PAYLOAD):
        return f"has {len(data)} of {size} bytes: too little of the payload, or padding cut off"
    if data[0] & 0x20 and not 1 <= data[-1] <= size - length:
        return "has padding that is longer than its payload"
    return None


def _blocks(trace: Trace) -> Iterator[bytes]:
    """draft-ietf-opsawg-pcapng, sections 4.1 to 4.3; all little-endian."""
    description = _Description(
        SCHEMA,
        trace.name,
        trace.duration_ns,
        tuple(_Media(kind_of(parameters.codecs[0].mime_type), parameters) for _, parameters in trace.media),
        dict(trace.origin),
    )
    comment = msgspec.json.encode(description)
    if len(comment) > 0xFFFF:
        raise _Faulty("its description is longer than 65535 bytes of JSON")
    yield _block(_SECTION, struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1) + _option(_COMMENT, comment) + bytes(4))
    yield _block(
        _INTERFACE, struct.pack("<HHI", _LINKTYPE_RAW, 0, 0) + _option(_RESOLUTION, bytes((_NANOSECONDS,))) + bytes(4)
    )
    for packet in trace.packets:
        frame = _frame(packet)
        at = struct.pack("<III", 0, packet.at_ns >> 32, packet.at_ns & 0xFFFFFFFF)
        lengths = struct.pack("<II", len(frame), packet.size + _IP_AND_UDP.size)
        yield _block(_PACKET, at + lengths + _padded(frame))


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _padded(value: bytes) -> bytes:
    return value + bytes(-len(value) % 4)


def _frame(packet: TracePacket) -> bytes:
    """The packet in IPv4 (RFC 791) and UDP (RFC 768) headers; the UDP checksum 0 means none."""
    udp_length = packet.size + 8
    fields = (0x45, 0, udp_length + 20, 0, 0x4000, 64, 17)
    ports = (_PORT, _PORT, udp_length, 0)
    header = _IP_AND_UDP.pack(*fields, 0, _PUBLISHER, _NODE, *ports)
    total = sum(struct.unpack("!10H", header[:20]))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return _IP_AND_UDP.pack(*fields, checksum, _PUBLISHER, _NODE, *ports) + packet.data


def _load(path: Path) -> Trace:
    try:
        with gzip.open(path, "rb") as stream:
            content = stream.read(MAX_FILE + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BenchError(f"{path}: no trace: not a whole gzip file ({error})") from error
    except OSError as error:
        raise BenchError(f"{path}: can't be read: {error.strerror}") from error
    try:
        if len(content) > MAX_FILE:
            raise _Faulty(f"it has more than {MAX_FILE >> 20} MiB")
        trace = _parse(content)
        _check(trace)
    except _Faulty as fault:
        raise BenchError(f"{path}: no trace: {fault}. Record another with `sightline bench record`") from fault
    return trace


def _parse(content: bytes) -> Trace:
    description: _Description | None = None
    interfaces = 0
    packets: list[TracePacket] = []
    for kind, body in _read_blocks(content):
        if kind == _SECTION:
            if description is not None:
                raise _Faulty("it has more than one section")
            description = _read_section(body)
        elif kind == _INTERFACE:
            _read_interface(body)
            interfaces += 1
        elif kind == _PACKET:
            if not interfaces:
                raise _Faulty("it has a packet before its interface")
            packets.append(_read_packet(body, len(packets) + 1))
            if len(packets) > MAX_PACKETS:
                raise _Faulty(f"it has more than {MAX_PACKETS} packets")
    if description is None:
        raise _Faulty("it is empty")
    return Trace(
        description.name,
        _read_media(description.media),
        tuple(packets),
        description.duration_ns,
        tuple(description.origin.items()),
    )


def _read_media(media: Sequence[_Media]) -> tuple[tuple[str, RtpParameters], ...]:
    read: list[tuple[str, RtpParameters]] = []
    for number, one in enumerate(media):
        try:
            parameters = rtp_parameters(msgspec.to_builtins(one.parameters))
        except InvalidParameters as error:
            raise _Faulty(f"media[{number}].parameters.{error}") from error
        if one.kind != kind_of(parameters.codecs[0].mime_type):
            raise _Faulty(f"media[{number}] is {one.kind}, but its codec is {parameters.codecs[0].mime_type}")
        read.append((one.kind, parameters))
    return tuple(read)


def _read_blocks(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and body of each block. Unknown types are the caller's to skip: capture programs add some."""
    at = 0
    if content[:4] != struct.pack("<I", _SECTION) or content[8:12] != struct.pack("<I", _BYTE_ORDER):
        raise _Faulty("it is no little-endian pcapng file")
    while at < len(content):
        if len(content) - at < 12:
            raise _Faulty("it ends within a block")
        kind, length = struct.unpack_from("<II", content, at)
        if not 12 <= length <= _MAX_BLOCK or length % 4 or length > len(content) - at:
            raise _Faulty(f"the block at byte {at} has an impossible length, or the file was cut off")
        if content[at + length - 4 : at + length] != content[at + 4 : at + 8]:
            raise _Faulty(f"the block at byte {at} states two lengths")
        yield kind, content[at + 8 : at + length - 4]
        at += length


def _read_options(body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at + 4 <= len(body):
        code, length = struct.unpack_from("<HH", body, at)
        if code == 0:
            return
        if length > len(body) - at - 4:
            raise _Faulty("an option is longer than its block")
        yield code, body[at + 4 : at + 4 + length]
        at += 4 + length + -length % 4


def _read_section(body: bytes) -> _Description:
    for code, value in _read_options(body, 16):
        if code == _COMMENT and value[:1] == b"{":
            try:
                description = msgspec.json.decode(value, type=_Description)
            except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                raise _Faulty(f"its description is damaged: {error}") from error
            if description.schema != SCHEMA:
                raise _Faulty(f"it is of schema {description.schema!r}, this program reads {SCHEMA!r}")
            return description
    raise _Faulty("it is a capture without the description that a player needs")


def _read_interface(body: bytes) -> None:
    resolutions = [value for code, value in _read_options(body, 8) if code == _RESOLUTION]
    if body[:2] != struct.pack("<H", _LINKTYPE_RAW) or resolutions != [bytes((_NANOSECONDS,))]:
        raise _Faulty("its packets are not raw IP with nanosecond times")


def _read_packet(body: bytes, number: int) -> TracePacket:
    if len(body) < 20:
        raise _Faulty(f"packet {number} has no header")
    _, high, low, captured, size = struct.unpack_from("<IIIII", body)
    frame = body[20 : 20 + captured]
    if len(frame) != captured or captured < _IP_AND_UDP.size or size < captured:
        raise _Faulty(f"packet {number} has an impossible length")
    if frame[0] != 0x45 or frame[9] != 17:
        raise _Faulty(f"packet {number} is not IPv4 and UDP")
    return TracePacket(high << 32 | low, frame[_IP_AND_UDP.size :], size - _IP_AND_UDP.size)
