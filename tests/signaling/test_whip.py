"""WHIP as its clients see it: HTTP against a running front, with browsers (WebSocket) in the same room."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import jwt
import pytest
import trio
from aiortc.sdp import SessionDescription

from protos import media_pb2 as pb
from signaling import wish
from signaling.config import IceServer
from tests.patience import patience
from tests.signaling.client import Front, running_front
from tests.signaling.fake_node import FakeNode
from tests.signaling.http_client import Reply, send
from tests.signaling.sdp_corpus import offer_bytes

SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}
SECRET = "a secret of the tests, thirty-two bytes"


@pytest.fixture
async def front(tmp_path) -> AsyncIterator[Front]:
    async with running_front(FakeNode(), tmp_path, allowed_origins=("https://studio.example",)) as front:
        yield front


async def publish(front: Front, name: str = "chromium-publish", query: str = "", **headers: str) -> Reply:
    return await send(front.port, "POST", f"/whip/room{query}", offer_bytes(name), {**SDP, **headers})


async def patch(front: Front, session: str, body: str = "", **headers: str) -> Reply:
    return await send(front.port, "PATCH", session, body, {**FRAGMENT, **headers})


def transports(front: Front) -> list:
    return front.node.of(pb.EntityKind.TRANSPORT)


@asynccontextmanager
async def eventually() -> AsyncIterator[trio.CancelScope]:
    with trio.fail_after(patience(5)) as scope:
        yield scope


async def gone(front: Front, session: str) -> Reply:
    """The answer of a session that has ended, which may take the end's event a moment to bring about."""
    async with eventually():
        while (reply := await patch(front, session, **{"If-Match": "*"})).status != 404:
            await trio.sleep(0.01)
    return reply


# ---- publishing ----


@pytest.mark.parametrize("name", ["aiortc-publish", "chromium-publish"])
async def test_a_post_publishes(front, name):
    reply = await publish(front, name)
    assert reply.status == 201
    assert reply.headers["Content-Type"] == "application/sdp"
    assert re.fullmatch(r"/whip/room/[\w-]{32}", reply.headers["Location"])
    assert re.fullmatch(r'"\w+"', reply.headers["ETag"])
    answer = SessionDescription.parse(reply.text)
    assert [(m.kind, m.direction) for m in answer.media if m.port] == [("audio", "recvonly"), ("video", "recvonly")]
    assert answer.media[0].ice.usernameFragment == "u" * 8
    assert [m.dtls.role for m in answer.media if m.port] == ["server", "server"]
    produced = front.node.of(pb.EntityKind.PRODUCER)
    assert {producer.media for producer in produced} == {pb.MediaKind.AUDIO, pb.MediaKind.VIDEO}


async def test_what_the_router_lacks_is_rejected_and_the_rest_published(front):
    reply = await publish(front, "ffmpeg-active")
    assert reply.status == 201
    assert [(m.kind, m.port > 0) for m in SessionDescription.parse(reply.text).media] == [
        ("audio", True),
        ("video", False),
    ]
    assert "a=group:BUNDLE 0\r\n" in reply.text


@pytest.mark.parametrize(
    ("name", "role"), [("ffmpeg-passive", "server"), ("ffmpeg-active", "client"), ("chromium-publish", "client")]
)
async def test_the_node_is_told_the_clients_dtls_role_and_certificate(front, name, role):
    connect, told = front.node.connect_web_rtc_transport, []

    async def connecting(request: pb.ConnectWebRtcTransportRequest) -> pb.ConnectWebRtcTransportReply:
        told.append(request.dtls_parameters)
        return await connect(request)

    front.node.connect_web_rtc_transport = connecting
    assert (await publish(front, name)).status == 201
    (dtls,) = told
    assert dtls.role == role
    assert dtls.fingerprints[0].value.encode() in offer_bytes(name)


async def test_browsers_in_the_room_get_the_publisher(front):
    ada = await front.joined()
    await ada.transport("recv")
    await publish(front, query="?name=OBS%20desk")
    peer = await ada.note("newPeer", displayName="OBS desk")
    assert {(await ada.note("newConsumer", peerId=peer["id"]))["kind"] for _ in range(2)} == {"audio", "video"}
    sources = {note["kind"]: note["appData"] for note in ada.seen("newProducer")}
    assert sources == {"audio": {"source": "mic"}, "video": {"source": "camera"}}


async def test_without_a_name_the_publisher_is_called_whip(front):
    ada = await front.joined()
    await publish(front)
    await ada.note("newPeer", displayName="WHIP")


async def test_delete_ends_the_session(front):
    ada = await front.joined()
    session = (await publish(front)).headers["Location"]
    assert (await send(front.port, "DELETE", session)).status == 200
    assert (await ada.note("peerLeft"))["reason"] == "left"
    assert (await send(front.port, "DELETE", session)).status == 404
    async with eventually():
        while transports(front):
            await trio.sleep(0.01)


async def test_a_dead_transport_ends_the_session(front):
    ada = await front.joined()
    session = (await publish(front)).headers["Location"]
    front.node.die(transports(front)[0].id, "ice-expired")
    assert (await ada.note("peerLeft"))["reason"] == "lost"
    assert "no such session" in (await gone(front, session)).detail


async def test_a_session_that_never_connects_ends(front, monkeypatch):
    monkeypatch.setattr(wish, "CONNECT_SECONDS", 0.05)
    ada = await front.joined()
    session = (await publish(front)).headers["Location"]
    await ada.note("peerLeft")
    await gone(front, session)


async def test_a_session_that_connects_stays(front, monkeypatch):
    monkeypatch.setattr(wish, "CONNECT_SECONDS", 0.2)
    session = (await publish(front)).headers["Location"]
    state = pb.TransportStateChanged(
        transport_id=transports(front)[0].id, ice_state="connected", dtls_state="connected"
    )
    front.node.emit(pb.Event(transport_state=state))
    await trio.sleep(0.4)
    assert (await patch(front, session, **{"If-Match": "*"})).status == 204


async def test_nothing_is_left_of_a_post_that_fails_halfway(front):
    ada = await front.joined()
    produce = front.node.produce

    async def refuse_video(request: pb.ProduceRequest) -> pb.ProducerInfo:
        if request.kind == pb.MediaKind.VIDEO:
            request.rtp_parameters.codecs[0].mime_type = "video/none"
        return await produce(request)

    front.node.produce = refuse_video
    assert (await publish(front)).status == 422
    await ada.note("peerLeft")
    async with eventually():
        while transports(front):
            await trio.sleep(0.01)


# ---- ICE ----


async def test_trickled_candidates_are_taken(front):
    reply = await publish(front)
    etag = reply.headers["ETag"]
    body = "m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 61764 typ host\r\na=end-of-candidates\r\n"
    for match in (etag, "*"):
        answer = await patch(front, reply.headers["Location"], body, **{"If-Match": match})
        assert (answer.status, answer.body) == (204, b"")
    assert "restart_ice" not in front.node.commands


async def test_ice_restart(front):
    reply = await publish(front)
    session, etag = reply.headers["Location"], reply.headers["ETag"]
    body = "a=ice-ufrag:new1\r\na=ice-pwd:" + "n" * 24 + "\r\n"
    restarted = await patch(front, session, body, **{"If-Match": "*"})
    assert restarted.status == 200
    assert restarted.headers["Content-Type"] == "application/trickle-ice-sdpfrag"
    assert "a=ice-ufrag:nnnnnnnn\r\n" in restarted.text
    assert "a=candidate:udp1 1 udp 1 127.0.0.1 40000 typ host\r\n" in restarted.text
    assert restarted.headers["ETag"] != etag
    assert (await patch(front, session, body, **{"If-Match": etag})).status == 412, "the old ICE session is over"
    again = await patch(front, session, body, **{"If-Match": restarted.headers["ETag"]})
    assert again.status == 204, "the same credentials are no second restart"


async def test_a_patch_says_which_ice_session_it_means(front):
    session = (await publish(front)).headers["Location"]
    assert "If-Match" in (await patch(front, session)).detail
    assert (await patch(front, session)).status == 428
    assert (await patch(front, session, **{"If-Match": '"other"'})).status == 412


async def test_a_broken_patch_is_refused(front):
    session = (await publish(front)).headers["Location"]
    reply = await patch(front, session, "a=candidate:1\r\n", **{"If-Match": "*"})
    assert (reply.status, reply.detail[:21]) == (400, "SDP: line 1: candidat")
    reply = await send(front.port, "PATCH", session, "", {**SDP, "If-Match": "*"})
    assert (reply.status, reply.headers["Accept-Patch"]) == (415, "application/trickle-ice-sdpfrag")


# ---- refusals ----


async def test_the_wrong_type_is_refused(front):
    reply = await send(
        front.port, "POST", "/whip/room", offer_bytes("chromium-publish"), {"Content-Type": "text/plain"}
    )
    assert (reply.status, reply.headers["Accept-Post"]) == (415, "application/sdp")
    reply = await publish(front, Accept="application/json")
    assert reply.status == 406
    assert (await publish(front, Accept="application/*")).status == 201


async def test_a_broken_offer_is_refused_with_its_line(front):
    reply = await send(front.port, "POST", "/whip/room", b"v=0\r\nm=audio 1\r\n", SDP)
    assert (reply.status, reply.detail) == (400, "SDP: line 2: m= needs 4 fields, has 2")
    assert reply.headers["Cache-Control"] == "no-store"


async def test_too_large_a_body_is_refused(front):
    reply = await send(front.port, "POST", "/whip/room", b"v=0\r\n" + b"a=x\r\n" * 20_000, SDP)
    assert reply.status == 413


async def test_a_body_that_never_ends_is_not_waited_for(tmp_path):
    async with running_front(FakeNode(), tmp_path, limits={"body_seconds": 0.2}) as front:
        stream = await trio.open_tcp_stream("127.0.0.1", front.port)
        async with stream:
            head = b"POST /whip/room HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\n"
            await stream.send_all(head + b"Content-Length: 100\r\n\r\nv=0")
            with trio.fail_after(3):
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("room", ["Room", "a" * 65, "r%20m", "r_m"])
async def test_a_bad_room_is_refused(front, room):
    reply = await send(front.port, "POST", f"/whip/{room}", offer_bytes("chromium-publish"), SDP)
    assert "1 to 64" in reply.detail
    assert reply.status == 400


async def test_a_viewers_offer_is_refused(front):
    await publish(front)
    reply = await send(front.port, "POST", "/whip/other", offer_bytes("chromium-watch"), SDP)
    assert len(front.node.of(pb.EntityKind.ROUTER)) == 1, "what is refused opens no room"
    assert (reply.status, "To watch, use WHEP" in reply.detail) == (422, True)


async def test_no_codec_in_common_is_refused_with_both_lists(front):
    offer = offer_bytes("ffmpeg-active").replace(b"opus/48000/2", b"speex/48000")
    reply = await send(front.port, "POST", "/whip/room", offer, SDP)
    assert reply.status == 422
    assert "You offer audio/speex, video/H264, video/rtx; this room takes audio/opus, video/VP8." in reply.detail
    assert not transports(front)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_the_endpoint_takes_only_posts(front, method):
    reply = await send(front.port, method, "/whip/room")
    assert (reply.status, reply.headers["Allow"]) == (405, "POST, OPTIONS")
    assert reply.problem["title"] == "Method Not Allowed"


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
async def test_a_session_takes_only_patch_and_delete(front, method):
    session = (await publish(front)).headers["Location"]
    reply = await send(front.port, method, session)
    assert (reply.status, reply.headers["Allow"]) == (405, "PATCH, DELETE, OPTIONS")


async def test_a_session_belongs_to_its_room_and_protocol(front):
    session = (await publish(front)).headers["Location"]
    for other in (session.replace("room", "moor"), session.replace("whip", "whep")):
        assert (await send(front.port, "DELETE", other)).status == 404
    assert (await send(front.port, "DELETE", session)).status == 200


async def test_a_full_room_is_refused(tmp_path):
    async with running_front(FakeNode(), tmp_path, limits={"peers_per_room": 1}) as front:
        assert (await publish(front)).status == 201
        reply = await publish(front)
        assert (reply.status, reply.headers["Retry-After"]) == (429, "2")


async def test_sessions_that_do_not_connect_are_bounded(front, monkeypatch):
    monkeypatch.setattr(wish, "MAX_UNCONNECTED", 1)
    assert (await publish(front)).status == 201
    assert (await publish(front)).status == 429


# ---- who may ----


async def test_tokens(tmp_path):
    async with running_front(FakeNode(), tmp_path, auth_secret=SECRET) as front:
        reply = await publish(front)
        assert (reply.status, reply.headers["WWW-Authenticate"]) == (401, "Bearer")

        def bearer(**claims) -> dict[str, str]:
            token = jwt.encode({"exp": 2**40, "room": "room"} | claims, SECRET, "HS256")
            return {"Authorization": f"Bearer {token}"}

        assert (await publish(front, **bearer(room="other"))).status == 403
        viewer = await publish(front, **bearer(role="viewer"))
        assert (viewer.status, viewer.detail) == (403, "Your token lets you watch, not send.")
        assert (await publish(front, query="?name=x", **bearer(name="Studio"))).status == 201
        assert [peer.connected for peer in transports(front)] == [True]


async def test_who_may_only_watch_is_not_even_seen(tmp_path):
    async with running_front(FakeNode(), tmp_path, auth_secret=SECRET) as front:
        token = jwt.encode({"exp": 2**40, "room": "room"}, SECRET, "HS256")
        ada = await front.joined(token=token)
        viewer = jwt.encode({"exp": 2**40, "room": "room", "role": "viewer"}, SECRET, "HS256")
        assert (await publish(front, Authorization=f"Bearer {viewer}")).status == 403
        await ada.request("chat", text="whatever came before has come by now")
        assert not ada.seen("newPeer")


# ---- browsers as clients ----


async def test_a_preflight_is_answered(front):
    headers = {"Origin": "https://studio.example", "Access-Control-Request-Method": "POST"}
    reply = await send(front.port, "OPTIONS", "/whip/room", headers=headers)
    assert reply.status == 204
    assert reply.headers["Accept-Post"] == "application/sdp"
    assert reply.headers["Access-Control-Allow-Origin"] == "https://studio.example"
    assert "Authorization" in reply.headers["Access-Control-Allow-Headers"]
    assert "POST" in reply.headers["Access-Control-Allow-Methods"]
    stranger = await send(front.port, "OPTIONS", "/whip/room", headers=headers | {"Origin": "https://evil.example"})
    assert stranger.headers["Access-Control-Allow-Origin"] is None


async def test_a_page_may_read_what_it_needs(front):
    refused = await publish(front, "chromium-watch", Origin="https://studio.example")
    assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (422, "https://studio.example")
    reply = await publish(front, Origin="https://studio.example")
    assert {"Location", "ETag", "Link"} <= set(reply.headers["Access-Control-Expose-Headers"].split(", "))
    reply = await send(front.port, "OPTIONS", reply.headers["Location"])
    assert reply.headers["Accept-Patch"] == "application/trickle-ice-sdpfrag"


async def test_ice_servers_are_links(tmp_path):
    servers = (IceServer(("stun:stun.example.net",)), IceServer(("turn:turn.example.net",), "ann", 'p"w'))
    async with running_front(FakeNode(), tmp_path, ice_servers=servers) as front:
        reply = await publish(front)
        assert reply.headers.get_all("Link") == [
            '<stun:stun.example.net>; rel="ice-server"',
            '<turn:turn.example.net>; rel="ice-server"; username="ann"; credential="p\\"w"; credential-type="password"',
        ]
