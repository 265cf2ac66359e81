"""`sightline bench record`: what it makes of what it hears, and one real Chromium."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.record import RecordSettings, is_steady, make_trace, with_ssrcs
from bench.record_cli import record
from bench.record_node import Publication, RecordingNode
from bench.record_server import Page, serve_page
from bench.stream_ids import StreamIds, with_extensions
from bench.trace import is_rtcp, load_trace, rtp_header_length, shipped
from bench.trace_summary import streams
from rtpfwd.probe import parse_rtp
from server.testing import rtp
from tests.bench.traces import (
    MID_ID,
    REPAIRED_ID,
    RID_ID,
    VP8_INTERFRAME,
    VP8_KEYFRAME,
    video,
    video_parameters,
)
from tests.needs import need_program

MS, SECOND = 1_000_000, 1_000_000_000
LO, HI, LO_RTX = 0x1111, 0x2222, 0x3333
SR = rtp.rtcp(rtp.SR, 0, struct.pack("!IQIII", LO, 1, 2, 3, 4))
ORIGIN = (("browser", "none"),)


def rtx(seq: int, rid: bytes) -> bytes:
    return bytes(rtp.RtpPacket(97, LO_RTX, seq, 0, b"\x00\x01" + VP8_INTERFRAME, extensions=((REPAIRED_ID, rid),)))


@pytest.fixture
def ids() -> StreamIds:
    """What two encodings said of themselves when they began."""
    known = StreamIds()
    known.negotiated(video_parameters())
    known.learn(video(1, VP8_KEYFRAME, ssrc=LO, extensions=((MID_ID, b"0"), (RID_ID, b"lo"))))
    known.learn(video(1, VP8_KEYFRAME, ssrc=HI, extensions=((MID_ID, b"0"), (RID_ID, b"hi"))))
    known.learn(rtx(1, b"lo"))
    return known


def test_ssrcs_are_learnt(ids: StreamIds):
    lo, hi = with_ssrcs(video_parameters(), ids).encodings
    assert (lo.rid, lo.ssrc, lo.rtx and lo.rtx.ssrc) == ("lo", LO, LO_RTX)
    assert (hi.rid, hi.ssrc, hi.rtx) == ("hi", HI, None)
    assert ids.without_rtx() == [HI]


@pytest.mark.parametrize(
    "packet", [b"", b"\x80", video(1, VP8_KEYFRAME, ssrc=7), b"\x90\x60" + bytes(10) + b"\xbe\xde\xff\xff"]
)
def test_nothing_is_learnt_from_what_says_nothing(ids: StreamIds, packet: bytes):
    before = with_ssrcs(video_parameters(), ids)
    ids.learn(packet)
    assert with_ssrcs(video_parameters(), ids) == before


def test_the_trace_begins_with_the_keyframe(ids: StreamIds):
    packets = [
        (5 * SECOND, video(10, VP8_INTERFRAME, ssrc=LO)),
        (5 * SECOND + 1 * MS, SR),
        (5 * SECOND + 2 * MS, rtx(2, b"lo")),
        (5 * SECOND + 3 * MS, video(11, VP8_KEYFRAME, ssrc=LO)),
        (5 * SECOND + 2 * MS, SR),  # the wall clock was set back by a millisecond
        (5 * SECOND + 5 * MS, video(12, VP8_INTERFRAME, ssrc=LO)),
        (5 * SECOND + 1900 * MS, video(13, VP8_INTERFRAME, ssrc=LO)),
        (5 * SECOND + 2010 * MS, video(14, VP8_INTERFRAME, ssrc=LO)),
    ]
    trace = make_trace("t", video_parameters(), packets, 2.0, ids, ORIGIN)
    assert [p.at_ns for p in trace.packets] == [0, 0, 2 * MS, 1897 * MS]
    assert (trace.name, trace.duration_ns, trace.origin) == ("t", 2 * SECOND, ORIGIN)
    assert [is_rtcp(p.data) for p in trace.packets] == [False, True, False, False]
    (kind, parameters) = trace.media[0]
    assert (kind, parameters.encodings[0].ssrc) == ("video", LO)
    # MID and RID are written where a browser writes them, in the first second of an SSRC, and counted in the size.
    first, _, second, late = (
        dict(parse_rtp(p.data)["extensions"]) if not is_rtcp(p.data) else None for p in trace.packets
    )
    assert first == second == {MID_ID: b"0", RID_ID: b"lo"}
    assert late == {}
    assert trace.packets[3].size == len(packets[6][1])
    assert trace.packets[0].size == len(packets[3][1]) + 4 + 8


def test_without_a_keyframe_there_is_no_trace(ids: StreamIds):
    with pytest.raises(BenchError, match="no keyframe came"):
        make_trace("t", video_parameters(), [(0, video(1, VP8_INTERFRAME)), (1, SR)], 1.0, ids, ORIGIN)


values = st.dictionaries(st.integers(1, 14), st.binary(min_size=1, max_size=16), min_size=1, max_size=4)


@given(present=values, added=values, body=st.binary(max_size=50), two_byte=st.booleans(), bare=st.booleans())
def test_extensions_are_added_and_nothing_else_changes(present, added, body, two_byte, bare):
    packet = bytes(rtp.RtpPacket(96, 1, 2, 3, body, True, () if bare else tuple(present.items())))
    expected = {} if bare else dict(present)
    if two_byte and not bare:
        block = b"".join(bytes((number, len(data))) + data for number, data in present.items())
        block += bytes(-len(block) % 4)
        packet = packet[:12] + b"\x10\x00" + (len(block) // 4).to_bytes(2, "big") + block + body
    after = parse_rtp(with_extensions(packet, added))
    before = parse_rtp(packet)
    assert dict(after["extensions"]) == {**added, **expected}
    unchanged = ("marker", "payload_type", "seq", "timestamp", "ssrc", "payload")
    assert [after[key] for key in unchanged] == [before[key] for key in unchanged]
    assert rtp_header_length(with_extensions(packet, added)) % 4 == 0


def test_extensions_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="does not fit"):
        with_extensions(video(1, VP8_KEYFRAME), {15: b"x"})
    with pytest.raises(ValueError, match="no RTP"):
        with_extensions(b"\x80", {1: b"x"})


@pytest.mark.parametrize(
    ("rates", "steady"),
    [
        ([], False),
        ([100, 100, 100], False),
        ([100, 100, 100, 100], True),
        ([500, 90, 100, 110, 105], True),
        ([50, 100, 100, 100], False),
        ([0, 0, 0, 0], False),
    ],
)
def test_when_a_bitrate_is_steady(rates: list[float], steady: bool):
    assert is_steady(rates) is steady


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (RecordSettings(codec="opus", simulcast=2), "audio has neither"),
        (RecordSettings(codec="opus", svc="L1T3"), "audio has neither"),
        (RecordSettings(codec="vp8", svc="L3T3_KEY"), "vp8 has no spatial layers"),
    ],
)
def test_what_no_browser_sends_is_refused(settings: RecordSettings, message: str):
    with pytest.raises(BenchError, match=message):
        settings.check()


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (RecordSettings(simulcast=3), "vp8-simulcast-720p"),
        (RecordSettings(codec="vp9", svc="L3T3_KEY"), "vp9-svc-720p"),
        (RecordSettings(codec="opus"), "opus"),
        (RecordSettings(name="mine"), "mine"),
    ],
)
def test_a_trace_has_a_telling_name(settings: RecordSettings, name: str):
    settings.check()
    assert settings.trace_name == name


# ---- the page's side ----


def refusing(offer: bytes) -> tuple[Publication, str]:
    raise BenchError("the browser's offer can't be taken: it is empty")


def test_what_the_page_may_say():
    page = Page({"kind": "video"}, refusing)
    assert page.reply("GET", "", b"")[0] == 200
    assert json.loads(page.reply("GET", "settings", b"")[2]) == {"kind": "video"}
    for method, path in (("GET", "offer"), ("POST", ""), ("GET", "../etc/passwd"), ("GET", None)):
        assert page.reply(method, path, b"")[0] == 404
    for body in (b"", b"{}", b"[1]", b"\xff", b'[{"fps": "many"}]'):
        assert page.reply("POST", "figures", body)[0] == 400
    rows = [
        {"rid": "r1", "width": 640, "height": 360, "fps": 30},
        {"rid": "r0", "width": 320, "height": 180, "fps": 29},
    ]
    assert page.reply("POST", "figures", json.dumps(rows).encode())[0] == 200
    assert page.summary() == ", 29 / 30 frames/s"
    page.check()
    assert page.reply("POST", "offer", b"")[0] == 400
    with pytest.raises(BenchError, match="it is empty"):
        page.check()


def test_a_failed_page_ends_the_recording():
    page = Page({}, refusing)
    page.reply("POST", "failed", b"this browser can't send video/AV1\x1b[31m\n")
    with pytest.raises(BenchError, match=r"the page failed: this browser can't send video/AV1 \[31m $"):
        page.check()


@pytest.mark.parametrize("offer", [b"", b"v=0\r\n", b"\xff" * 100], ids=["empty", "cut off", "binary"])
async def test_a_bad_offer_is_refused(offer: bytes, nursery: trio.Nursery):
    node = RecordingNode(None)
    await nursery.start(node.serve)
    with pytest.raises(BenchError, match="the browser's offer can't be taken"):
        node.publish(offer)
    nursery.cancel_scope.cancel()


async def test_the_server_answers_its_own_page_only(nursery: trio.Nursery):
    url: str = await nursery.start(serve_page, Page({"kind": "audio"}, refusing))
    host, _, root = url.removeprefix("http://").partition("/")
    port = int(host.partition(":")[2])

    async def ask(request: str) -> bytes:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            answer = b""
            with suppress(trio.BrokenResourceError):  # the server may refuse to read on
                await stream.send_all(request.encode())
                async for part in stream:
                    answer += part
            return answer

    assert b"publishes a picture or a voice" in (await ask(f"GET /{root} HTTP/1.1\r\nHost: x\r\n\r\n")).lower()
    assert (await ask(f"GET /{root}settings HTTP/1.1\r\nHost: x\r\n\r\n")).endswith(b'{"kind":"audio"}')
    for path in ("/", "/settings", f"/x{root}settings"):
        assert (await ask(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 404")
    assert await ask("nonsense\r\n\r\n") == b""
    long = f"POST /{root}failed HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n"
    assert await ask(long + "x" * 400_000) == b""
    # It goes on afterwards.
    assert (await ask(f"GET /{root}settings HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 200")
    nursery.cancel_scope.cancel()


# ---- the command ----


def test_the_list_says_what_the_traces_contain():
    result = CliRunner().invoke(record, ["--list"])
    assert result.exit_code == 0, result.output
    for text in (*shipped(), "VP8 r0", "VP8 r2", "S0-2 T0-2", "RTCP", "browser: Chromium "):
        assert text in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--browser", "no-such-browser"], 1, "no such program. Install Chromium"),
        (["--browser", "false"], 1, "does not tell its version"),
        (["--codec", "opus", "--svc", "L1T3"], 1, "audio has neither simulcast nor SVC"),
        (["--svc", "much"], 2, "no scalability mode"),
        (["--out", "no/such/folder/t"], 2, "no directory"),
        (["vp9-svc-720p"], 2, "only --list takes files"),
        (["--list", "no-such-trace"], 1, "no such file, and no shipped trace"),
    ],
)
def test_what_the_command_refuses(
    arguments: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(record, arguments)
    assert result.exit_code == code
    assert message in " ".join(result.output.split())
    assert not list(tmp_path.iterdir())


def test_a_browser_that_ends_at_once_is_told_of(tmp_path: Path):
    browser = tmp_path / "browser"
    browser.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Browser 1.0 && exit\necho "no display" >&2\nexit 3\n')
    browser.chmod(0o755)
    result = CliRunner().invoke(record, ["--browser", str(browser), "--out", str(tmp_path / "t")])
    assert result.exit_code == 1
    assert "the browser ended: exit code 3; it said: no display" in result.output


def test_an_interrupt_ends_it_with_its_browser(tmp_path: Path):
    browser = tmp_path / "browser"
    browser.write_text("#!/bin/sh\n[ $1 = --version ] && echo Browser 1.0 && exit\nwhile :; do sleep 0.1; done\n")
    browser.chmod(0o755)
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "from bench.record_cli import record; record()"
    command = [sys.executable, "-u", "-c", code, "--browser", str(browser), "--out", str(tmp_path / "t")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "starting Browser 1.0\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30)[0].strip() == "Aborted!"
        assert process.returncode == 1
    assert not _children_left()


# ---- a real browser ----


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "labels"),
    [
        (["--codec", "vp8", "--simulcast", "2"], {"VP8 r0", "VP8 r1"}),
        (["--codec", "opus"], {"opus"}),
    ],
    ids=["vp8 simulcast", "opus"],
)
def test_chromium_is_recorded(options: list[str], labels: set[str], tmp_path: Path):
    need_program("chromium")
    out = tmp_path / "t.pcapng.gz"
    arguments = [*options, "--width", "640", "--height", "360", "--max-bitrate", "300", "--seconds", "2"]
    result = CliRunner().invoke(record, [*arguments, "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert f"written: {out}" in result.output.replace("\n", "")
    trace = load_trace(out)
    assert trace.duration_ns == 2 * SECOND
    found = {stream.label: stream for stream in streams(trace)}
    assert labels <= set(found)
    for label in labels:
        assert found[label].packets > 20
        assert bool(found[label].keyframes) == (label != "opus")
    for encoding in trace.media[0][1].encodings:
        assert encoding.ssrc is not None
        assert (encoding.rtx is not None) == (encoding.rid is not None)
    browser = dict(trace.origin)["browser"]
    assert browser.startswith("Chromium ")
    assert not _children_left()


def _children_left() -> list[str]:
    """Browsers of ours that outlived their recording: their command names the profile that we gave them."""
    left = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if b"sightline-record-" in command and int(folder.name) != os.getpid():
                left.append(command[:200].decode(errors="replace"))
    return left
