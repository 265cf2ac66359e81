"""WHEP as its clients see it: HTTP against a running front, watching what WHIP or a browser sends."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
from aiortc.sdp import SessionDescription

from protos import media_pb2 as pb
from signaling import wish
from tests.patience import patience
from tests.signaling.client import Front, running_front
from tests.signaling.fake_node import FakeNode
from tests.signaling.http_client import Reply, send
from tests.signaling.sdp_corpus import WATCHING, offer_bytes

SDP = {"Content-Type": "application/sdp"}


@pytest.fixture
async def front(tmp_path) -> AsyncIterator[Front]:
    async with running_front(FakeNode(), tmp_path) as front:
        yield front


async def publish(front: Front, name: str = "chromium-publish", called: str = "WHIP") -> str:
    """The session's URL."""
    reply = await send(front.port, "POST", f"/whip/room?name={called}", offer_bytes(name), SDP)
    assert reply.status == 201
    return reply.headers["Location"]


async def watch(front: Front, query: str = "", offer: bytes | None = None) -> Reply:
    return await send(front.port, "POST", f"/whep/room{query}", offer or offer_bytes("chromium-watch"), SDP)


def consumers(front: Front) -> list:
    return front.node.of(pb.EntityKind.CONSUMER)


def watched(front: Front) -> set[str]:
    """The ids of the producers that are watched."""
    return {consumer.producer for consumer in consumers(front)}


async def until(found) -> None:
    with trio.fail_after(patience(5)):
        while not found():
            await trio.sleep(0.01)


@pytest.mark.parametrize("name", WATCHING)
async def test_a_post_watches(front, name):
    await publish(front)
    reply = await watch(front, offer=offer_bytes(name))
    assert reply.status == 201
    assert reply.headers["Location"].startswith("/whep/room/")
    answer = SessionDescription.parse(reply.text)
    assert [(m.kind, m.direction) for m in answer.media] == [("video", "sendonly"), ("audio", "sendonly")]
    assert all(media.ssrc for media in answer.media)
    assert len({media.msid.split()[0] for media in answer.media}) == 1
    assert len(consumers(front)) == 2
    assert all(consumer.paused for consumer in consumers(front)), "until the viewer is connected"


async def test_nobody_to_watch_yet(front):
    reply = await watch(front)
    assert (reply.status, reply.headers["Retry-After"]) == (409, "2")
    await front.joined()
    assert (await watch(front)).status == 409, "a room where nobody sends"
    await publish(front)
    assert (await watch(front)).status == 201


async def test_viewers_are_not_shown_to_the_others(front):
    await publish(front)
    ada = await front.joined()
    reply = await watch(front)
    assert reply.status == 201
    bob = await front.connect()
    await bob.join(name="Bob")
    await ada.note("newPeer", displayName="Bob")
    assert [peer["displayName"] for peer in ada.seen("newPeer")] == []


async def test_the_first_peer_with_video_is_watched(front):
    ada = await front.joined()
    await ada.produce(await ada.transport("send"), "audio")
    await publish(front, called="camera")
    camera = {producer.id for producer in front.node.of(pb.EntityKind.PRODUCER)[1:]}
    assert (await watch(front)).status == 201
    assert watched(front) == camera


async def test_without_video_the_first_peer_with_audio_is_watched(front):
    ada = await front.joined()
    audio = await ada.produce(await ada.transport("send"), "audio")
    reply = await watch(front)
    assert reply.status == 201
    assert [(m.kind, m.port > 0) for m in SessionDescription.parse(reply.text).media] == [
        ("video", False),
        ("audio", True),
    ]
    assert watched(front) == {audio}


async def test_a_peer_is_chosen_by_name_or_id(front):
    await publish(front, called="first")
    ada = await front.joined(name="Ada")
    video = await ada.produce(await ada.transport("send"), "video")
    assert (await watch(front, "?peer=Ada")).status == 201
    assert watched(front) == {video}
    assert (await watch(front, f"?peer={ada.peer_id}")).status == 201
    assert watched(front) == {video}
    reply = await watch(front, "?peer=nobody")
    assert (reply.status, "'nobody'" in reply.detail) == (409, True)


async def test_the_nth_section_gets_the_nth_source(front):
    ada = await front.joined()
    transport = await ada.transport("send")
    camera = await ada.produce(transport, "video")
    screen = await ada.produce(transport, "video")
    text = offer_bytes("aiortc-watch").decode()
    video = text[text.index("m=video") : text.index("m=audio")]
    third = video.replace("a=mid:0", "a=mid:2")
    second = text[text.index("m=audio") :]
    offer = text.replace("BUNDLE 0 1", "BUNDLE 0 1 2").replace(second, second + third)
    reply = await watch(front, offer=offer.encode())
    assert reply.status == 201
    answered = SessionDescription.parse(reply.text).media
    assert [media.port > 0 for media in answered] == [True, False, True]
    assert [consumer.producer for consumer in consumers(front)] == [camera, screen]
    assert "a=group:BUNDLE 0 2\r\n" in reply.text


async def test_media_flows_once_the_viewer_is_connected(front):
    """Resuming is also what asks for a keyframe, so it must not come before a keyframe can arrive."""
    await publish(front)
    await watch(front)
    assert "resume" not in front.node.commands
    viewer = front.node.of(pb.EntityKind.TRANSPORT)[-1]
    state = pb.TransportStateChanged(transport_id=viewer.id, ice_state="connected", dtls_state="connected")
    front.node.emit(pb.Event(transport_state=state))
    await until(lambda: not any(consumer.paused for consumer in consumers(front)))
    assert front.node.commands.count("resume") == 2


async def test_media_flows_although_the_event_was_lost(front, monkeypatch):
    monkeypatch.setattr(wish, "LOOK_SECONDS", 0.02)
    await publish(front)
    await watch(front)
    looks = front.node.get_stats

    async def connected(request: pb.GetStatsRequest) -> pb.Stats:
        stats = await looks(request)
        stats.rows[0].labels["dtls_state"] = "connected"
        return stats

    front.node.get_stats = connected
    await until(lambda: not any(consumer.paused for consumer in consumers(front)))


@pytest.mark.parametrize("ends", ["publisher leaves", "producer closes", "transport dies"])
async def test_the_session_ends_with_its_source(front, ends):
    publisher = await publish(front)
    session = (await watch(front)).headers["Location"]
    if ends == "publisher leaves":
        await send(front.port, "DELETE", publisher)
    elif ends == "producer closes":
        front.node.die(front.node.of(pb.EntityKind.PRODUCER)[0].id, "requested")
    else:
        front.node.die(front.node.of(pb.EntityKind.TRANSPORT)[-1].id, "ice-expired")
    await until(lambda: not consumers(front))
    with trio.fail_after(patience(5)):
        while (await send(front.port, "DELETE", session)).status != 404:
            pytest.fail("the session was still there")


async def test_delete_ends_the_session_and_not_the_publisher(front):
    publisher = await publish(front)
    session = (await watch(front)).headers["Location"]
    assert (await send(front.port, "DELETE", session)).status == 200
    await until(lambda: not consumers(front))
    assert (await send(front.port, "DELETE", publisher)).status == 200


async def test_a_publishers_offer_is_refused(front):
    await publish(front)
    reply = await watch(front, offer=offer_bytes("chromium-publish"))
    assert (reply.status, "To send, use WHIP" in reply.detail) == (422, True)


async def test_no_codec_in_common(front):
    await publish(front)
    offer = offer_bytes("aiortc-watch").replace(b"VP8/90000", b"VP7/90000").replace(b"opus/48000/2", b"speex/48000")
    reply = await watch(front, offer=offer)
    assert (reply.status, reply.detail) == (422, "Your offer has no codec that the sender uses.")
    await until(lambda: len(front.node.of(pb.EntityKind.TRANSPORT)) == 1)
