"""The traces that come with the suite are what they say, and what a real browser sends."""

from __future__ import annotations

import gzip
import itertools
import re
import subprocess
from collections import defaultdict
from importlib import resources
from pathlib import Path

import pytest

from bench.trace import SUFFIX, Trace, is_rtcp, load_trace, rtp_header_length, shipped
from bench.trace_summary import Stream, streams
from rtpfwd.probe import describe, parse_rtcp, parse_rtp
from server.rtc import uris
from tests.needs import need_program

VIDEO = ("vp8-simulcast-720p", "vp9-svc-720p")
MOST_BYTES = 300 * 1024


def media_streams(trace: Trace) -> list[Stream]:
    return [stream for stream in streams(trace) if stream.timestamps]


def rtp_of(trace: Trace) -> dict[int, list[bytes]]:
    """By SSRC."""
    found: dict[int, list[bytes]] = defaultdict(list)
    for packet in trace.packets:
        if not is_rtcp(packet.data):
            found[int.from_bytes(packet.data[8:12], "big")].append(packet.data)
    return found


def test_which_there_are():
    assert shipped() == ("opus", *VIDEO)


@pytest.mark.parametrize("name", shipped())
class TestEach:
    def test_its_size_and_length(self, name: str):
        assert (Path(str(resources.files("bench"))) / "traces" / f"{name}{SUFFIX}").stat().st_size <= MOST_BYTES
        trace = load_trace(name)
        assert trace.name == name
        assert trace.duration_ns == 10_000_000_000
        assert trace.duration_ns - trace.packets[-1].at_ns < 50_000_000
        assert dict(trace.origin)["browser"].startswith("Chromium ")
        assert dict(trace.origin)["bitrate"] == "steady before the window"

    def test_every_packet_parses(self, name: str):
        trace = load_trace(name)
        seen = {"rtp": 0, "rtcp": 0}
        for packet in trace.packets:
            assert packet.size <= 1250  # a datagram of a browser fits any path
            if is_rtcp(packet.data):
                assert parse_rtcp(packet.data)
                seen["rtcp"] += 1
            else:
                # Of a packet that was cut off, the plane's parser sees a shorter one.
                assert parse_rtp(packet.data)["payload"] or packet.data[0] & 0x20
                seen["rtp"] += 1
        assert seen["rtp"] > 450
        assert seen["rtcp"] > 0

    def test_nothing_is_missing_or_repeated(self, name: str):
        for ssrc, packets in rtp_of(load_trace(name)).items():
            numbers = [int.from_bytes(data[2:4], "big") for data in packets]
            assert {(b - a) & 0xFFFF for a, b in itertools.pairwise(numbers)} == {1}, ssrc

    def test_every_ssrc_is_announced(self, name: str):
        trace = load_trace(name)
        (_, parameters) = trace.media[0]
        announced = {e.ssrc for e in parameters.encodings} | {e.rtx.ssrc for e in parameters.encodings if e.rtx}
        assert set(rtp_of(trace)) <= announced
        assert None not in announced

    def test_mid_and_rid_stand_in_the_first_packets(self, name: str):
        trace = load_trace(name)
        (_, parameters) = trace.media[0]
        numbers = {extension.uri: extension.id for extension in parameters.header_extensions}
        for encoding in parameters.encodings:
            assert encoding.ssrc is not None
            for data in rtp_of(trace)[encoding.ssrc][:5]:
                extensions = dict(parse_rtp(data)["extensions"])
                assert extensions[numbers[uris.MID]].decode() == parameters.mid
                if encoding.rid:
                    assert extensions[numbers[uris.RID]].decode() == encoding.rid
                assert numbers[uris.TRANSPORT_CC] in extensions
                assert numbers[uris.ABS_SEND_TIME] in extensions

    def test_tcpdump_counts_as_we_do(self, name: str, tmp_path: Path):
        program = need_program("tcpdump")
        packed = (resources.files("bench") / "traces" / f"{name}{SUFFIX}").read_bytes()
        (tmp_path / "plain").write_bytes(gzip.decompress(packed))
        result = subprocess.run(
            [program, "-n", "-r", str(tmp_path / "plain")], capture_output=True, text=True, check=True, timeout=60
        )
        sizes = [int(size) for size in re.findall(r"length (\d+)$", result.stdout, re.MULTILINE)]
        assert sizes == [packet.size for packet in load_trace(name).packets]


@pytest.mark.parametrize("name", VIDEO)
def test_frames_are_whole(name: str):
    """Each ends with the marker; each but the first of a stream begins where the payload says that a frame begins."""
    trace = load_trace(name)
    mime_type = trace.media[0][1].codecs[0].mime_type
    for packets in rtp_of(trace).values():
        frames: dict[bytes, list[bytes]] = defaultdict(list)
        for data in packets:
            frames[data[4:8]].append(data)
        ends = [[bool(data[1] & 0x80) for data in frame] for frame in frames.values()]
        whole = ends[:-1]  # the window may end within the last
        assert all(end[-1] and not any(end[:-1]) for end in whole)
        for frame in list(frames.values())[1:]:
            assert describe(mime_type, frame[0][rtp_header_length(frame[0]) :])["is_frame_start"]


@pytest.mark.parametrize("name", VIDEO)
def test_it_begins_with_keyframes(name: str):
    """So that a player can start it over."""
    trace = load_trace(name)
    mime_type = trace.media[0][1].codecs[0].mime_type
    first = trace.packets[0].data
    seen = describe(mime_type, first[rtp_header_length(first) :])
    assert seen["is_keyframe"]
    assert seen["is_frame_start"]
    for stream in media_streams(trace):
        assert stream.keyframes
        early = [p for p in trace.packets if p.at_ns < 200_000_000 and p.data[8:12] == stream.ssrc.to_bytes(4, "big")]
        assert any(describe(mime_type, p.data[rtp_header_length(p.data) :])["is_keyframe"] for p in early)


def test_vp8_simulcast():
    trace = load_trace("vp8-simulcast-720p")
    assert [encoding.rid for encoding in trace.media[0][1].encodings] == ["r0", "r1", "r2"]
    found = {stream.label: stream for stream in media_streams(trace)}
    assert set(found) == {"VP8 r0", "VP8 r1", "VP8 r2"}
    for stream in found.values():
        assert stream.layers == {(-1, 0), (-1, 1), (-1, 2)}
        assert 280 <= len(stream.timestamps) <= 310
    rates = [found[f"VP8 r{n}"].kbit_per_s(trace.duration_ns) for n in range(3)]
    assert 100 < rates[0] < rates[1] / 2 < rates[2] / 4
    assert rates[2] > 1500


def test_vp9_svc():
    trace = load_trace("vp9-svc-720p")
    assert [encoding.scalability_mode for encoding in trace.media[0][1].encodings] == ["L3T3_KEY"]
    (stream,) = media_streams(trace)
    assert stream.layers == {(spatial, temporal) for spatial in range(3) for temporal in range(3)}
    assert 280 <= len(stream.timestamps) <= 310
    assert stream.kbit_per_s(trace.duration_ns) > 1500


def test_opus():
    (stream,) = media_streams(load_trace("opus"))
    assert len(stream.timestamps) == pytest.approx(500, abs=2)  # every 20 ms: no DTX
    sizes = {packet.size for packet in load_trace("opus").packets if not is_rtcp(packet.data)}
    assert len(sizes) > 20  # a voice, not a tone
