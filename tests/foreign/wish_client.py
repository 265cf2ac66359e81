"""The client side of WHIP and WHEP over plain HTTP, and aiortc behind it: publish generated media, watch and measure.

aiortc's ICE (aioice) gathers no loopback address by itself and knows no TCP; `on_loopback` cures the first.
"""

from __future__ import annotations

import asyncio
import fractions
import math
import struct
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from unittest import mock

import aioice.ice
import av
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtcdtlstransport import SRTPProtectionProfile

SECONDS = 20.0  # for a connection, or for enough frames, on a slow machine


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: str


def request(method: str, url: str, body: str = "", **headers: str) -> Reply:
    """One HTTP request. `headers` with _ for -."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    wanted = urllib.request.Request(url, body.encode() or None, named, method=method)
    try:
        with urllib.request.urlopen(wanted, timeout=SECONDS) as response:
            return Reply(response.status, dict(response.headers), response.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, dict(error.headers), error.read().decode())


@contextmanager
def on_loopback() -> Iterator[None]:
    """Let aioice use 127.0.0.1, and nothing else."""
    with mock.patch.object(aioice.ice, "get_host_addresses", return_value=["127.0.0.1"]):
        yield


# ---- what is sent ----


class Halves(MediaStreamTrack):
    """Video whose left half is bright and whose right half is dark, with a moving line: easy to recognize."""

    kind = "video"

    def __init__(self, width: int = 320, height: int = 240, rate: int = 15) -> None:
        super().__init__()
        self.size = (width, height)
        self._rate = rate
        self._start = time.monotonic()
        self._count = 0

    async def recv(self) -> av.VideoFrame:
        await asyncio.sleep(max(0.0, self._start + self._count / self._rate - time.monotonic()))
        width, height = self.size
        frame = av.VideoFrame(width, height, "yuv420p")
        row = bytes([200] * (width // 2) + [50] * (width - width // 2))
        moving = self._count * 4 % height
        for index, plane in enumerate(frame.planes):
            if index:
                plane.update(bytes([128]) * plane.buffer_size)
            else:
                lines = [bytes([120]) * width if y == moving else row for y in range(height)]
                plane.update(b"".join(line.ljust(plane.line_size, b"\0") for line in lines))
        frame.pts = self._count * 90_000 // self._rate
        frame.time_base = fractions.Fraction(1, 90_000)
        self._count += 1
        return frame


class Tone(MediaStreamTrack):
    """A sine of 440 Hz, mono, 48 kHz."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._start = time.monotonic()
        self._count = 0

    async def recv(self) -> av.AudioFrame:
        await asyncio.sleep(max(0.0, self._start + self._count / 48_000 - time.monotonic()))
        frame = av.AudioFrame(format="s16", layout="mono", samples=960)
        samples = (int(8000 * math.sin(2 * math.pi * 440 * (self._count + n) / 48_000)) for n in range(960))
        frame.planes[0].update(struct.pack("<960h", *samples))
        frame.pts, frame.sample_rate, frame.time_base = self._count, 48_000, fractions.Fraction(1, 48_000)
        self._count += 960
        return frame


# ---- what is seen ----


@dataclass
class Seen:
    """What a viewer has decoded so far. `contrast`: of the latest picture, left half minus right half."""

    frames: int = 0
    size: tuple[int, int] = (0, 0)
    contrast: float = 0.0
    audio_frames: int = 0
    loudness: float = 0.0  # root mean square of the latest audio frame, of 32768
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, frames: int, audio_frames: int) -> None:
        """Wait for as many more of each."""
        wanted = (self.frames + frames, self.audio_frames + audio_frames)
        try:
            async with asyncio.timeout(SECONDS):
                while self.frames < wanted[0] or self.audio_frames < wanted[1]:
                    self.news.clear()
                    await self.news.wait()
        except TimeoutError:
            raise AssertionError(f"only {self} by now") from None

    async def follow(self, track: MediaStreamTrack) -> None:
        """Measure a track until it ends."""
        while True:
            frame = await track.recv()
            if track.kind == "video":
                self.frames += 1
                self.size = (frame.width, frame.height)
                luma = frame.planes[0]
                middle = bytes(luma)[luma.line_size * (frame.height // 2) :][: frame.width]
                left, right = middle[: frame.width // 3], middle[-(frame.width // 3) :]
                self.contrast = sum(left) / len(left) - sum(right) / len(right)
            else:
                self.audio_frames += 1
                samples = [s for (s,) in struct.iter_unpack("<h", bytes(frame.planes[0])[: frame.samples * 2])]
                self.loudness = math.sqrt(sum(s * s for s in samples) / len(samples))
            self.news.set()


# ---- sessions ----


@dataclass
class Session:
    """An open WHIP or WHEP session."""

    pc: RTCPeerConnection
    url: str
    etag: str
    answer: str
    seen: Seen


@asynccontextmanager
async def session(
    base: str, path: str, pc: RTCPeerConnection, profiles: list[SRTPProtectionProfile] | None = None
) -> AsyncIterator[Session]:
    """POST the offer of `pc`, connect, and DELETE at the end. `profiles`: the SRTP profiles to offer in DTLS."""
    seen = Seen()
    following: list[asyncio.Task[None]] = []
    connected = asyncio.Event()

    @pc.on("track")
    def on_track(track: MediaStreamTrack) -> None:
        following.append(asyncio.create_task(seen.follow(track)))

    @pc.on("connectionstatechange")
    def on_state() -> None:
        if pc.connectionState in ("connected", "failed", "closed"):
            connected.set()

    await pc.setLocalDescription(await pc.createOffer())
    reply = await asyncio.to_thread(
        request, "POST", base + path, pc.localDescription.sdp, Content_Type="application/sdp"
    )
    assert reply.status == 201, reply.body
    if profiles is not None:
        for transceiver in pc.getTransceivers():
            transceiver.sender.transport._srtp_profiles = profiles
    opened = Session(pc, base + reply.headers["location"], reply.headers["etag"], reply.body, seen)
    try:
        await pc.setRemoteDescription(RTCSessionDescription(reply.body, "answer"))
        async with asyncio.timeout(SECONDS):
            await connected.wait()
        assert pc.connectionState == "connected"
        yield opened
    finally:
        for task in following:
            task.cancel()
        await pc.close()
        await asyncio.gather(*following, return_exceptions=True)
        await asyncio.to_thread(request, "DELETE", opened.url)


def publisher(codec: str = "", video: Halves | None = None) -> RTCPeerConnection:
    """Sends a tone and `video`, in a codec such as "video/H264" if one is named."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTransceiver(Tone(), direction="sendonly")
    sending = pc.addTransceiver(video or Halves(), direction="sendonly")
    if codec:
        known = RTCRtpSender.getCapabilities("video").codecs
        sending.setCodecPreferences([c for c in known if c.mimeType in (codec, "video/rtx")])
    return pc


def viewer(*kinds: str) -> RTCPeerConnection:
    """Receives these kinds."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    for kind in kinds or ("video", "audio"):
        pc.addTransceiver(kind, direction="recvonly")
    return pc
