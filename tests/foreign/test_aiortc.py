"""aiortc, an independent WebRTC implementation, publishes by WHIP and watches by WHEP through a real server.

It has its own ICE, DTLS, SRTP, RTP and codecs, so what it decodes has passed through every part of ours. It has no
ICE-TCP: tests/foreign has other clients for that.
"""

from __future__ import annotations

import asyncio

import pytest
from aiortc.rtcdtlstransport import SRTP_AEAD_AES_128_GCM, SRTP_AES128_CM_SHA1_80

from tests.foreign.sightline_up import Sightline
from tests.foreign.wish_client import Halves, on_loopback, publisher, request, session, viewer

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning:aiortc")]

PROFILES = {
    "GCM": [SRTP_AEAD_AES_128_GCM],
    "CM": [SRTP_AES128_CM_SHA1_80],
    "all of its own": None,
}


@pytest.fixture(autouse=True)
def _loopback():
    with on_loopback():
        yield


def test_vp8_and_opus_arrive(live_server: Sightline):
    async def scenario() -> None:
        async with (
            session(live_server.url, "/whip/vp8", publisher(video=Halves(480, 270))),
            session(live_server.url, "/whep/vp8", viewer()) as watching,
        ):
            await watching.seen.until(frames=30, audio_frames=50)
            assert watching.seen.size == (480, 270)
            assert watching.seen.contrast > 100
            assert 3000 < watching.seen.loudness < 7000
            assert "VP8" in watching.answer

    asyncio.run(scenario())


def test_h264_arrives(live_server: Sightline):
    async def scenario() -> None:
        async with (
            session(live_server.url, "/whip/h264", publisher("video/H264")) as sending,
            session(live_server.url, "/whep/h264", viewer()) as watching,
        ):
            assert "H264" in sending.answer
            assert "VP8" not in sending.answer
            await watching.seen.until(frames=20, audio_frames=20)
            assert watching.seen.size == (320, 240)
            assert watching.seen.contrast > 100

    asyncio.run(scenario())


@pytest.mark.parametrize("watches", PROFILES)
@pytest.mark.parametrize("sends", ["GCM", "CM"])
def test_every_srtp_profile_meets_every_other(live_server: Sightline, sends: str, watches: str):
    room = f"srtp-{sends}-{watches}".lower().replace(" ", "-")

    async def scenario() -> None:
        async with (
            session(live_server.url, f"/whip/{room}", publisher(), PROFILES[sends]),
            session(live_server.url, f"/whep/{room}", viewer(), PROFILES[watches]) as watching,
        ):
            await watching.seen.until(frames=5, audio_frames=5)

    asyncio.run(scenario())


def test_a_late_viewer_gets_a_keyframe_soon(live_server: Sightline):
    """aiortc's encoder makes a keyframe when it is asked to, and otherwise only every 100 s."""

    async def scenario() -> None:
        async with session(live_server.url, "/whip/late", publisher()):
            await asyncio.sleep(3)
            async with session(live_server.url, "/whep/late", viewer("video")) as watching:
                async with asyncio.timeout(3):
                    await watching.seen.until(frames=1, audio_frames=0)

    asyncio.run(scenario())


def test_two_viewers_see_the_same_at_once(live_server: Sightline):
    async def scenario() -> None:
        async with (
            session(live_server.url, "/whip/two", publisher()),
            session(live_server.url, "/whep/two", viewer()) as first,
            session(live_server.url, "/whep/two", viewer("video")) as second,
        ):
            await asyncio.gather(first.seen.until(15, 15), second.seen.until(15, 0))

    asyncio.run(scenario())


def test_media_flows_on_after_an_ice_restart_was_granted(live_server: Sightline):
    """aiortc can't restart ICE, so the old credentials must keep working until the new ones are used."""

    async def scenario() -> None:
        async with (
            session(live_server.url, "/whip/restart", publisher()) as sending,
            session(live_server.url, "/whep/restart", viewer()) as watching,
        ):
            await watching.seen.until(frames=5, audio_frames=5)
            fragment = "a=ice-ufrag:fresh\r\na=ice-pwd:" + "f" * 24 + "\r\n"
            headers = {"Content_Type": "application/trickle-ice-sdpfrag", "If_Match": "*"}
            reply = await asyncio.to_thread(request, "PATCH", sending.url, fragment, **headers)
            assert reply.status == 200
            assert reply.headers["etag"] != sending.etag
            await watching.seen.until(frames=15, audio_frames=15)

    asyncio.run(scenario())


def test_deleting_the_publisher_ends_its_viewers(live_server: Sightline):
    async def scenario() -> None:
        async with session(live_server.url, "/whip/ends", publisher()) as sending:
            async with session(live_server.url, "/whep/ends", viewer()) as watching:
                await watching.seen.until(frames=5, audio_frames=5)
                closed = asyncio.Event()
                watching.pc.on(
                    "connectionstatechange", lambda: watching.pc.connectionState == "closed" and closed.set()
                )
                reply = await asyncio.to_thread(request, "DELETE", sending.url)
                assert reply.status == 200
                async with asyncio.timeout(5):  # close_notify tells the viewer; consent would take 30 s
                    await closed.wait()
                reply = await asyncio.to_thread(request, "DELETE", watching.url)
                assert reply.status == 404
            reply = await asyncio.to_thread(
                request, "POST", live_server.url + "/whep/ends", sending.pc.localDescription.sdp,
                Content_Type="application/sdp",
            )  # fmt: skip
            assert reply.status in (409, 422)

    asyncio.run(scenario())
