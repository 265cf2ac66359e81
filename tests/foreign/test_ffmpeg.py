"""ffmpeg's own WHIP muxer publishes H.264 and Opus; aiortc watches by WHEP. DTLS in both roles."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import imageio_ffmpeg
import pytest

from tests.foreign.sightline_up import Sightline
from tests.foreign.wish_client import on_loopback, request, session, viewer

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning:aiortc")]


@contextmanager
def ffmpeg(url: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Publishes a test picture of 320x240 and a tone until the block ends."""
    source = ["-re", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=15"]
    source += ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
    video = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "30"]
    audio = ["-c:a", "libopus", "-ac", "2"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "warning", *source, *video, *audio]
    process = subprocess.Popen(
        [*command, "-f", "whip", *options, url], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stderr is not None
        process.stderr.close()


async def wait_for_status(server: Sightline, room: str, status: int) -> None:
    """POST an offer that can't succeed until WHEP says 422 (somebody sends) or 409 (nobody does)."""
    offer = viewer()
    await offer.setLocalDescription(await offer.createOffer())
    text = offer.localDescription.sdp.replace("VP8", "VP7").replace("H264", "H261").replace("opus", "speex")
    await offer.close()
    url = f"{server.url}/whep/{room}"
    async with asyncio.timeout(15):
        while (await asyncio.to_thread(request, "POST", url, text, Content_Type="application/sdp")).status != status:
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(("room", "options"), [("passive", ()), ("active", ("-whip_flags", "dtls_active"))])
def test_ffmpeg_is_watched(live_server: Sightline, room: str, options: tuple[str, ...]):
    async def scenario() -> None:
        with on_loopback(), ffmpeg(f"{live_server.url}/whip/ffmpeg-{room}?name=ffmpeg", *options):
            await wait_for_status(live_server, f"ffmpeg-{room}", 422)
            async with session(live_server.url, f"/whep/ffmpeg-{room}?peer=ffmpeg", viewer()) as watching:
                assert "H264" in watching.answer
                await watching.seen.until(frames=30, audio_frames=30)
                assert watching.seen.size == (320, 240)
                assert watching.seen.loudness > 500

    asyncio.run(scenario())


def test_ffmpeg_leaves_when_it_stops(live_server: Sightline):
    async def scenario() -> None:
        with on_loopback(), ffmpeg(f"{live_server.url}/whip/stops") as process:
            await wait_for_status(live_server, "stops", 422)
            async with session(live_server.url, "/whep/stops", viewer()) as watching:
                await watching.seen.until(frames=5, audio_frames=5)
                process.terminate()
                await wait_for_status(live_server, "stops", 409)
                reply = await asyncio.to_thread(request, "DELETE", watching.url)
                assert reply.status == 404, "the viewer's session has ended with its source"

    asyncio.run(scenario())
