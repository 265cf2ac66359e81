"""The file format: what is written can be read, by us and by others; nothing else can."""

from __future__ import annotations

import gzip
import json
import random
import re
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bench.trace
from bench.errors import BenchError
from bench.trace import KEPT_PAYLOAD, Trace, TracePacket, is_rtcp, kept, load_trace, rtp_header_length, save_trace
from server.testing import rtp
from server.testing.rtp import RtpPacket
from tests.bench.traces import VP8_INTERFRAME, a_trace, blocks, video, video_parameters, write_blocks
from tests.fuzz.mutate import mutated
from tests.needs import need_program

SR = rtp.rtcp(rtp.SR, 0, struct.pack("!IQIII", 0x1111, 1, 2, 3, 4))

payloads = st.integers(0, 1400).flatmap(lambda n: st.binary(min_size=min(n, 90), max_size=n))
extension = st.tuples(st.integers(1, 14), st.binary(min_size=1, max_size=16))


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    """RTP with and without CSRCs, extensions and padding; RTCP."""
    if draw(st.booleans()) and draw(st.booleans()):
        return SR
    packet = RtpPacket(
        draw(st.integers(96, 127)) & 0x3F,  # below the payload types that RFC 5761 leaves to RTCP
        draw(st.integers(0, 2**32 - 1)),
        draw(st.integers(0, 65535)),
        draw(st.integers(0, 2**32 - 1)),
        draw(payloads),
        draw(st.booleans()),
        tuple(draw(st.lists(extension, max_size=3, unique_by=lambda e: e[0]))),
    )
    data = bytearray(bytes(packet))
    sources = draw(st.integers(0, 3))
    data[0] |= sources
    data[12:12] = bytes(4 * sources)
    if draw(st.booleans()):
        padding = draw(st.integers(1, 255))
        data[0] |= 0x20
        data += bytes(padding - 1) + bytes((padding,))
    return bytes(data)


@given(
    whole=st.lists(packets(), min_size=1, max_size=30),
    gaps=st.lists(st.integers(0, 10**10), min_size=30, max_size=30),
    name=st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=64),
)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, whole: list[bytes], gaps: list[int], name):
    at, traced = 0, []
    for packet, gap in zip(whole, [0, *gaps], strict=False):
        at += gap
        traced.append(TracePacket(at, kept(packet), len(packet)))
    trace = Trace(name, (("video", video_parameters()),), tuple(traced), at + 1, (("browser", name),))
    folder = tmp_path_factory.getbasetemp()
    save_trace(folder / "one", trace)
    assert load_trace(folder / "one") == trace
    save_trace(folder / "two", load_trace(folder / "one"))
    assert (folder / "two").read_bytes() == (folder / "one").read_bytes()


@given(packets())
def test_what_is_kept_of_a_packet(packet: bytes):
    data = kept(packet)
    assert packet.startswith(data)
    if is_rtcp(packet) or packet[0] & 0x20:
        assert data == packet
    else:
        header = rtp_header_length(data)
        assert header is not None
        assert RtpPacket.parse(data).payload == RtpPacket.parse(packet).payload[:KEPT_PAYLOAD]


@pytest.mark.parametrize("garbage", [b"", b"\x80", b"\x00" * 40, b"\x90" + bytes(12), b"\x8f\x60" + bytes(40)])
def test_what_is_no_rtp_is_not_kept(garbage: bytes):
    with pytest.raises(ValueError, match="neither an RTP nor an RTCP"):
        kept(garbage)


def test_every_header_of_the_capture_is_right(tmp_path: Path):
    """Field by field: pcapng's, IPv4's (RFC 791) and UDP's (RFC 768), as any reader of captures expects them."""
    trace = a_trace([video(1, VP8_INTERFRAME, size=1100), SR, video(2, VP8_INTERFRAME, size=20)])
    save_trace(tmp_path / "t", trace)
    (section, interface, *rest) = blocks(tmp_path / "t")
    assert section[0] == 0x0A0D0D0A
    assert struct.unpack_from("<IHHqHH", section[1])[:5] == (0x1A2B3C4D, 1, 0, -1, 1)
    assert interface == (1, struct.pack("<HHIHHB3xI", 101, 0, 0, 9, 1, 9, 0))
    assert [kind for kind, _ in rest] == [6, 6, 6]
    for (_, body), packet in zip(rest, trace.packets, strict=True):
        number, high, low, captured, size = struct.unpack_from("<IIIII", body)
        assert (number, high << 32 | low) == (0, packet.at_ns)
        assert (captured, size) == (len(packet.data) + 28, packet.size + 28)
        assert len(body) == 20 + captured + -captured % 4
        frame = body[20 : 20 + captured]
        words = struct.unpack("!10H", frame[:20])
        assert (sum(words) & 0xFFFF) + (sum(words) >> 16) == 0xFFFF  # the checksum
        assert (frame[0], frame[9], words[1]) == (0x45, 17, packet.size + 28)
        assert struct.unpack("!4H", frame[20:28])[2:] == (packet.size + 8, 0)
        assert frame[28:] == packet.data


def test_tcpdump_reads_it(tmp_path: Path):
    program = need_program("tcpdump")
    trace = a_trace()
    save_trace(tmp_path / "t", trace)
    (tmp_path / "plain").write_bytes(gzip.decompress((tmp_path / "t").read_bytes()))
    arguments = ["-n", "-tt", "--nano", "-T", "rtp", "-r", str(tmp_path / "plain")]
    result = subprocess.run([program, *arguments], capture_output=True, text=True, check=True, timeout=30)
    # time, payload bytes without extensions, payload type with the marker, sequence number and timestamp
    pattern = r"^(\d+\.\d{9}) IP .* udp/rtp (\d+) c96 \* (\d+) (\d+)"
    seen = [re.match(pattern, line) for line in result.stdout.splitlines()]
    assert all(seen), result.stdout
    assert [(round(float(m[1]) * 1e9), int(m[2]), int(m[3]), int(m[4])) for m in seen if m] == [
        (p.at_ns, p.size - 12, int.from_bytes(p.data[2:4], "big"), int.from_bytes(p.data[4:8], "big"))
        for p in trace.packets
    ]


def with_comment(change: Callable[[dict], None]) -> Callable[[list[tuple[int, bytes]]], None]:
    """A change to the description."""

    def apply(parts: list[tuple[int, bytes]]) -> None:
        body = parts[0][1]
        length = struct.unpack_from("<H", body, 18)[0]
        description = json.loads(body[20 : 20 + length])
        change(description)
        comment = json.dumps(description).encode()
        option = struct.pack("<HH", 1, len(comment)) + comment + bytes(-len(comment) % 4) + bytes(4)
        parts[0] = (parts[0][0], body[:16] + option)

    return apply


def in_packet(offset: int, value: bytes) -> Callable[[list[tuple[int, bytes]]], None]:
    """A change to the second packet's block."""

    def apply(parts: list[tuple[int, bytes]]) -> None:
        body = parts[3][1]
        parts[3] = (6, body[:offset] + value + body[offset + len(value) :])

    return apply


BAD = {
    "two sections": (lambda p: p.append(p[0]), "more than one section"),
    "no packets": (lambda p: p.__delitem__(slice(2, None)), "it has 0 packets"),
    "no interface": (lambda p: p.pop(1), "packet before its interface"),
    "microseconds": (lambda p: p.__setitem__(1, (1, struct.pack("<HHI", 101, 0, 0))), "nanosecond"),
    "ethernet": (lambda p: p.__setitem__(1, (1, b"\x01" + p[1][1][1:])), "not raw IP"),
    "no description": (lambda p: p.__setitem__(0, (p[0][0], p[0][1][:16])), "without the description"),
    "option too long": (lambda p: p.__setitem__(0, (p[0][0], p[0][1][:18] + b"\xff\xff{   ")), "longer than its block"),
    "not JSON": (lambda p: p.__setitem__(0, (p[0][0], p[0][1][:20] + b"{]" + p[0][1][22:])), "damaged"),
    "other schema": (with_comment(lambda d: d.update(schema="sightline.trace/9")), "sightline.trace/9"),
    "no media": (with_comment(lambda d: d.update(media=[])), "no media"),
    "wrong kind": (with_comment(lambda d: d["media"][0].update(kind="audio")), "is audio, but its codec is video/VP8"),
    "wrong parameters": (
        with_comment(lambda d: d["media"][0]["parameters"]["encodings"][0].pop("rid")),
        "encodings.0.*needs an ssrc or a rid",
    ),
    "too short": (with_comment(lambda d: d.update(durationNs=1)), "ends before its last packet"),
    "a year": (with_comment(lambda d: d.update(durationNs=365 * 86400 * 10**9)), "or after a day"),
    "name": (with_comment(lambda d: d.update(name="a\nb")), "printable"),
    "origin": (with_comment(lambda d: d.update(origin={"a": "\x1b[31m"})), "can't be printed"),
    "time goes back": (in_packet(4, bytes(8)), None),
    "time far ahead": (in_packet(4, b"\xff\xff\xff\x7f"), "packet 3 is earlier"),
    "captured too much": (in_packet(12, b"\xff\xff\x00\x00"), "packet 2 has an impossible length"),
    "captured too little": (in_packet(12, b"\x10\x00\x00\x00"), "packet 2 has an impossible length"),
    "longer than its size": (in_packet(16, b"\x20\x00\x00\x00"), "packet 2 has an impossible length"),
    "not UDP": (in_packet(29, b"\x06"), "packet 2 is not IPv4 and UDP"),
    "not RTP": (in_packet(48, b"\x00"), "packet 2 is not RTP"),
    "header not whole": (in_packet(48, b"\x90"), "packet 2"),
    "padding cut off": (in_packet(48, b"\xa0"), "padding cut off"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_is_refused(tmp_path: Path, what: str):
    change, message = BAD[what]
    path = tmp_path / "bad.pcapng.gz"
    save_trace(path, a_trace())
    parts = blocks(path)
    change(parts)
    write_blocks(path, parts)
    if message is None:  # the second packet at the time of the first is no fault
        assert load_trace(path).packets[1].at_ns == 0
        return
    with pytest.raises(BenchError, match=rf"bad\.pcapng\.gz: no trace: .*{message}"):
        load_trace(path)


def test_what_is_no_pcapng_is_refused(tmp_path: Path):
    path = tmp_path / "x"
    save_trace(path, a_trace())
    whole = path.read_bytes()
    plain = gzip.decompress(whole)
    for content, message in (
        (b"", "it is no little-endian pcapng"),
        (b"hello", "not a whole gzip file"),
        (whole[: len(whole) // 2], "not a whole gzip file"),
        (gzip.compress(b"hello"), "it is no little-endian pcapng"),
        (gzip.compress(plain[:-1]), "was cut off"),
        (gzip.compress(plain + b"1234"), "ends within a block"),
        (gzip.compress(plain[:-1] + b"\x01"), "states two lengths"),
    ):
        path.write_bytes(content)
        with pytest.raises(BenchError, match=message):
            load_trace(path)
    with pytest.raises(BenchError, match="can't be read"):
        load_trace(tmp_path)
    with pytest.raises(BenchError, match="no such file, and no shipped trace; those are opus"):
        load_trace("no-such-trace")


def test_a_small_file_that_swells_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bench.trace, "MAX_FILE", 1 << 20)
    (tmp_path / "bomb").write_bytes(gzip.compress(bytes(2 << 20)))
    with pytest.raises(BenchError, match="more than 1 MiB"):
        load_trace(tmp_path / "bomb")


def test_unknown_blocks_are_skipped(tmp_path: Path):
    """Capture programs add statistics and name tables when they copy a file."""
    path = tmp_path / "t"
    save_trace(path, a_trace())
    parts = blocks(path)
    write_blocks(path, [parts[0], (4, bytes(16)), *parts[1:], (5, bytes(12))])
    assert load_trace(path) == a_trace()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: replace(t, packets=t.packets[::-1]), "not at time 0"),
        (lambda t: replace(t, packets=(*t.packets, t.packets[1])), "packet 6 is earlier"),
        (lambda t: replace(t, packets=(replace(t.packets[0], size=9),)), "has 76 of 9 bytes"),
        (lambda t: replace(t, packets=(replace(t.packets[0], data=t.packets[0].data[:40]),)), "too little"),
        (lambda t: replace(t, name="x" * 65), "1 to 64"),
        (lambda t: replace(t, media=()), "no media"),
        (lambda t: replace(t, media=(("audio", t.media[0][1]),)), "kind 'audio' has no codec"),
        (lambda t: replace(t, origin=(("a", "b" * 70000),)), "65535 bytes"),
    ],
)
def test_a_bad_trace_is_not_written(tmp_path: Path, change: Callable[[Trace], Trace], message: str):
    with pytest.raises(BenchError, match=message):
        save_trace(tmp_path / "t", change(a_trace()))
    assert not (tmp_path / "t").exists()


def test_damaged_files_are_refused_or_sound(tmp_path: Path):
    """Whatever is damaged inside: BenchError, or a trace that can be written again."""
    path = tmp_path / "t"
    save_trace(path, a_trace([SR, *(video(n, VP8_INTERFRAME, size=40) for n in range(3))]))
    original, taken = gzip.decompress(path.read_bytes()), 0
    for damaged in mutated([original], seed=random.Random(7).getrandbits(16), at_least=500):
        path.write_bytes(gzip.compress(damaged, 0))
        try:
            trace = load_trace(path)
        except BenchError:
            continue
        taken += 1
        save_trace(tmp_path / "again", trace)
        assert load_trace(tmp_path / "again") == trace
    assert taken > 10
