"""`sightline bench record`: makes a trace of a real browser.

A page, served here and opened in a headless Chromium (or by the user), publishes a made-up picture or voice to a real
media node whose packets all pass a tap. When the bitrate has become steady, keyframes are asked for, and from the first
of them on everything is kept for as long as was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import trio

from bench.errors import BenchError
from bench.record_browser import open_browser
from bench.record_node import Publication, RecordingNode
from bench.record_server import Page, serve_page
from bench.stream_ids import StreamIds
from bench.trace import Trace, TracePacket, is_rtcp, kept, rtp_header_length
from rtpfwd.probe import describe
from server.rtc.parameters import RtpEncodingParameters, RtpParameters, RtxParameters

MIME_TYPES: Final = {
    "vp8": "video/VP8",
    "vp9": "video/VP9",
    "h264": "video/H264",
    "av1": "video/AV1",
    "opus": "audio/opus",
}
OPEN_SECONDS: Final = 30.0  # for a browser of ours to send its first packets
USER_SECONDS: Final = 600.0  # for a user to open the page
STEADY_SECONDS: Final = 4  # the bitrate of this many seconds in a row
STEADY_SPREAD: Final = 0.2  # may differ from their mean by this much
KEYFRAME_SECONDS: Final = 2.0  # within which the keyframe comes that was asked for


@dataclass(frozen=True, slots=True)
class RecordSettings:
    """What to record.

    `simulcast`: how many encodings; `svc`: a scalability mode; `max_bitrate`: bit/s of the highest encoding, None for a
    usual one; `settle`: how many seconds to wait for a steady bitrate; `browser`: a Chromium, or "none".
    """

    codec: str = "vp8"
    simulcast: int = 1
    svc: str | None = None
    width: int = 1280
    height: int = 720
    fps: int = 30
    max_bitrate: int | None = None
    seconds: float = 10.0
    settle: float = 40.0
    name: str = ""
    browser: str = "chromium"

    @property
    def mime_type(self) -> str:
        """ "video/VP8" …"""
        return MIME_TYPES[self.codec]

    @property
    def kind(self) -> str:
        """ "audio" or "video"."""
        return self.mime_type.partition("/")[0]

    @property
    def bitrate(self) -> int:
        """Of the highest encoding, bit/s."""
        return self.max_bitrate or (1_800_000 if self.kind == "video" else 32_000)

    @property
    def trace_name(self) -> str:
        """The wanted name, or one that says what it is: "vp8-simulcast-720p"."""
        if self.name or self.kind == "audio":
            return self.name or self.codec
        mode = ["-simulcast"] * (self.simulcast > 1) + ["-svc"] * (self.svc is not None)
        return f"{self.codec}{''.join(mode)}-{self.height}p"

    def check(self) -> None:
        """Raises BenchError for what no browser sends."""
        if self.kind == "audio" and (self.simulcast > 1 or self.svc):
            raise BenchError("audio has neither simulcast nor SVC: leave those options out")
        if self.svc and self.codec not in {"vp9", "av1"} and not self.svc.startswith("L1"):
            raise BenchError(f"{self.codec} has no spatial layers in one stream: use vp9 or av1, or a mode like L1T3")


async def record(settings: RecordSettings, say: Callable[[str], None]) -> Trace:
    """Record one trace; `say` is told what is going on. Raises BenchError."""
    settings.check()
    ids = StreamIds()
    async with trio.open_nursery() as nursery:
        node = RecordingNode(settings.svc)
        node.tap.on_packet = ids.learn
        await nursery.start(node.serve)
        page = Page(_page_settings(settings), node.publish)
        url: str = await nursery.start(serve_page, page)
        async with open_browser(settings.browser, url, say) as browser:
            patience = OPEN_SECONDS if browser.ours else USER_SECONDS
            publication = await _within(patience, page.published, page, browser.complaint)
            ids.negotiated(publication.parameters)
            await _within(OPEN_SECONDS, lambda: publication if node.tap.received else None, page, browser.complaint)
            steady = await _settle(settings, node, publication, page, ids, say)
            packets = await _window(settings, node, publication, page, say)
            origin = _origin(settings, page, browser.version, steady=steady)
        nursery.cancel_scope.cancel()
    return make_trace(settings.trace_name, publication.parameters, packets, settings.seconds, ids, origin)


def make_trace(
    name: str,
    parameters: RtpParameters,
    packets: Sequence[tuple[int, bytes]],
    seconds: float,
    ids: StreamIds,
    origin: tuple[tuple[str, str], ...],
) -> Trace:
    """A trace of what was tapped: (arrival in ns, packet). Raises BenchError when it has no keyframe to begin with."""
    parameters = with_ssrcs(parameters, ids)
    first = _beginning(parameters, packets)
    start = packets[first][0]
    duration = round(seconds * 1e9)
    written = ids.writer(parameters)
    traced: list[TracePacket] = []
    latest = 0
    for at, packet in packets[first:]:
        # The wall clock, which the kernel's stamps come from, may have been set back a little meanwhile.
        latest = max(latest, at - start)
        if latest > duration:
            break
        whole = packet if is_rtcp(packet) else written(packet, latest)
        traced.append(TracePacket(latest, kept(whole), len(whole)))
    kind = "audio" if parameters.codecs[0].mime_type.startswith("audio/") else "video"
    return Trace(name, ((kind, parameters),), tuple(traced), duration, origin)


def with_ssrcs(parameters: RtpParameters, ids: StreamIds) -> RtpParameters:
    """The same with the SSRC of every RID, as it was seen: a browser names them in packets only."""

    def known(encoding: RtpEncodingParameters) -> RtpEncodingParameters:
        ssrc = ids.ssrc_of(encoding.rid)
        if encoding.ssrc is not None or ssrc is None:
            return encoding
        repair = ids.rtx_ssrc_of(encoding.rid)
        rtx = RtxParameters(repair) if repair is not None else None
        return msgspec.structs.replace(encoding, ssrc=ssrc, rtx=rtx)

    return msgspec.structs.replace(parameters, encodings=tuple(known(encoding) for encoding in parameters.encodings))


def _page_settings(settings: RecordSettings) -> dict[str, object]:
    return {
        "kind": settings.kind,
        "mimeType": settings.mime_type,
        "simulcast": settings.simulcast,
        "svc": settings.svc,
        "width": settings.width,
        "height": settings.height,
        "fps": settings.fps,
        "maxBitrate": settings.bitrate,
    }


async def _within(
    seconds: float, ready: Callable[[], Publication | None], page: Page, complaint: Callable[[], str]
) -> Publication:
    """Wait for the browser, or say what it said. The page's failure comes first."""
    with trio.move_on_after(seconds):
        while (found := ready()) is None:
            page.check()
            if said := complaint():
                raise BenchError(f"the browser ended: {said}")
            await trio.sleep(0.05)
        return found
    raise BenchError(
        f"no media came within {seconds:g} s. Open the page in a browser of yours with --browser none to see why"
    )


async def _settle(
    settings: RecordSettings,
    node: RecordingNode,
    publication: Publication,
    page: Page,
    ids: StreamIds,
    say: Callable[[str], None],
) -> bool:
    """Until every encoding flows at a steady bitrate and the SSRC of its RTX is known; whether that came to be."""
    rates: dict[int, list[float]] = {}
    before, at = node.tap.received.copy(), trio.current_time()
    with trio.move_on_after(settings.settle):
        while True:
            await trio.sleep(1)
            page.check()
            now, after = trio.current_time(), node.tap.received.copy()
            media = set(publication.producer.started_ssrcs.values())
            for ssrc in media:
                rates.setdefault(ssrc, []).append((after[ssrc] - before[ssrc]) * 8 / (now - at))
            total = (after.total() - before.total()) * 8 / (now - at)
            before, at = after, now
            say(f"waiting for a steady bitrate: {total / 1000:.0f} kbit/s{page.summary()}")
            unknown = ids.without_rtx()
            for ssrc in unknown:
                # Nothing is lost here, so nothing would be sent again: a browser names that SSRC in packets only.
                node.request_retransmission(ssrc)
            if len(media) >= settings.simulcast and not unknown and all(map(is_steady, rates.values())):
                return True
    return False


def is_steady(rates: Sequence[float]) -> bool:
    """Whether the last few of these (one per second) are about the same, and not zero."""
    last = rates[-STEADY_SECONDS:]
    mean = sum(last) / max(len(last), 1)
    return len(last) == STEADY_SECONDS and mean > 0 and all(abs(r - mean) <= STEADY_SPREAD * mean for r in last)


async def _window(
    settings: RecordSettings, node: RecordingNode, publication: Publication, page: Page, say: Callable[[str], None]
) -> list[tuple[int, bytes]]:
    """Everything of a bit more than the wanted seconds, from a request for keyframes on."""
    node.tap.begin()
    if settings.kind == "video":
        node.request_keyframes(publication)
    end = trio.current_time() + settings.seconds + KEYFRAME_SECONDS
    while (left := end - trio.current_time()) > 0:
        say(f"recording: {left:.0f} s left{page.summary()}")
        await trio.sleep(min(1, left))
        page.check()
    return node.tap.end()


def _beginning(parameters: RtpParameters, packets: Sequence[tuple[int, bytes]]) -> int:
    """Where the first keyframe of any encoding begins; for audio, the first packet."""
    codec = parameters.codecs[0]
    for index, (_, packet) in enumerate(packets):
        if is_rtcp(packet) or packet[1] & 0x7F != codec.payload_type:
            continue
        header = rtp_header_length(packet)
        if codec.mime_type.startswith("audio/"):
            return index
        if header is not None and len(packet) > header and not packet[0] & 0x20:
            seen = describe(codec.mime_type, packet[header:], marker=bool(packet[1] & 0x80))
            if seen["is_keyframe"] and seen["is_frame_start"]:
                return index
    raise BenchError("no keyframe came in the recorded time; record again, perhaps with fewer pixels or frames")


def _origin(settings: RecordSettings, page: Page, version: str, *, steady: bool) -> tuple[tuple[str, str], ...]:
    """How the trace was made, for people."""
    asked = f"{settings.bitrate // 1000} kbit/s at most"
    if settings.kind == "video":
        asked = f"{settings.width}x{settings.height} at {settings.fps} frames/s, {asked} for the highest encoding"
        if settings.svc:
            asked += f", {settings.svc}"
    rows = [("browser", version), ("asked for", asked)]
    rows += [(f"encoding {row.rid}".strip(), row.text()) for row in page.figures if settings.kind == "video"]
    rows.append(("bitrate", "steady before the window" if steady else f"not steady after {settings.settle:g} s"))
    return tuple(rows)
