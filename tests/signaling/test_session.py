"""The protocol of docs/signaling.md, spoken by a foreign WebSocket client to a running front.

Over 400 lines: one protocol, one case after another over the same fixtures.
"""

from __future__ import annotations

import json

import jwt
import pytest
import trio
import trio_websocket
from prometheus_client import CollectorRegistry

from ops.metrics import SignalingMetrics
from signaling.auth import Authoriser
from signaling.calls import Calls
from signaling.config import Limits
from signaling.reactions import serve_calls
from signaling.session import Sessions
from tests.patience import patience
from tests.signaling.client import AUDIO, DTLS, VIDEO, Refused, running_front

SECRET = "a secret of thirty-two bytes or more"


async def refused(awaitable, code: str, *words: str) -> None:
    with pytest.raises(Refused) as caught:
        await awaitable
    assert caught.value.code == code, caught.value
    for word in words:
        assert word in caught.value.message


# ---- a call ----


async def test_two_people_meet_and_each_gets_the_others_producer(front):
    ada = await front.joined(name="  Ada ")
    send = await ada.transport("send")
    await ada.transport("recv")
    mic = await ada.produce(send, appData={"source": "mic"})

    bob = await front.connect()
    joined = await bob.join("room", "Bob", device={"name": "Chromium"})
    assert joined["room"] == "room"
    assert joined["iceServers"] == []
    (seen,) = joined["peers"]
    assert seen["displayName"] == "Ada"
    assert seen["producers"] == [{"id": mic, "kind": "audio", "paused": False, "appData": {"source": "mic"}}]
    shown = await ada.note("newPeer", id=bob.peer_id)
    assert shown["device"] == {"name": "Chromium"}
    assert shown["handRaised"] is False

    await bob.transport("recv")
    consumer = await bob.note("newConsumer", producerId=mic)
    assert consumer["kind"] == "audio"
    assert consumer["peerId"] == ada.peer_id
    assert consumer["appData"] == {"source": "mic"}
    assert consumer["rtpParameters"]["codecs"][0]["mimeType"] == "audio/opus"
    assert consumer["rtpParameters"]["encodings"][0]["ssrc"]
    assert await bob.request("resumeConsumer", consumerId=consumer["id"]) == {}

    bob_send = await bob.transport("send")
    cam = await bob.produce(bob_send, "video")
    announced = await ada.note("newProducer", producerId=cam)
    assert announced == {"peerId": bob.peer_id, "producerId": cam, "kind": "video", "paused": False, "appData": {}}
    assert (await ada.note("newConsumer"))["producerId"] == cam


async def test_a_late_join_gets_a_consumer_for_every_producer_in_order(front):
    made = []
    for name in ("one", "two"):
        client = await front.joined(name=name)
        send = await client.transport("send")
        made += [await client.produce(send, "audio"), await client.produce(send, "video")]
    late = await front.joined(name="late", capable=False)
    await late.transport("recv")
    assert late.seen("newConsumer") == []
    await late.request("setRtpCapabilities", rtpCapabilities=late.capabilities)
    await late.until(lambda: len(late.seen("newConsumer")) == 4)
    assert [one["producerId"] for one in late.seen("newConsumer")] == made


async def test_without_auto_consume_nothing_is_consumed_until_it_is_asked_for(front):
    ada = await front.joined()
    mic = await ada.produce(await ada.transport("send"))
    bob = await front.joined(name="Bob", autoConsume=False)
    await bob.transport("recv")
    consumer = await bob.request("consume", producerId=mic, paused=False)
    assert consumer["producerId"] == mic
    assert bob.seen("newConsumer") == []


async def test_pausing_and_closing_a_producer_reaches_viewers_once(front):
    ada = await front.joined()
    mic = await ada.produce(await ada.transport("send"))
    bob = await front.joined(name="Bob")
    await bob.transport("recv")
    consumer = (await bob.note("newConsumer"))["id"]
    await ada.request("pauseProducer", producerId=mic)
    await bob.note("producerPaused", producerId=mic)
    await bob.note("consumerPaused", consumerId=consumer)
    await ada.request("resumeProducer", producerId=mic)
    await bob.note("producerResumed", producerId=mic)
    await bob.note("consumerResumed", consumerId=consumer)
    await ada.request("closeProducer", producerId=mic)
    await bob.note("consumerClosed", consumerId=consumer, reason="producer-closed")
    await bob.note("producerClosed", producerId=mic)
    await bob.request("raiseHand", raised=True)  # everything before it has arrived
    assert [name for name, _ in bob.notes if name != "transportState"] == []
    await refused(bob.request("consume", producerId=mic), "not_found", "producerId")
    await refused(bob.request("resumeConsumer", consumerId=consumer), "not_found", "consumerId")


async def test_quick_pauses_reach_viewers_in_order_and_once(front):
    ada = await front.joined()
    mic = await ada.produce(await ada.transport("send"))
    bob = await front.joined(name="Bob")
    await bob.transport("recv")
    await bob.note("newConsumer")
    methods = ["pauseProducer", "resumeProducer"] * 4
    for request_id, method in enumerate(methods, 900):
        await ada.send(json.dumps({"id": request_id, "method": method, "data": {"producerId": mic}}))
    for request_id, _ in enumerate(methods, 900):
        await ada.reply(request_id)
    for _ in range(5):  # whatever the node still says has come by then
        await ada.request("getStats", producerId=mic)
    await ada.request("chat", text="done")
    await bob.note("chat")
    heard = [method for method, _ in bob.notes if method.startswith("producer")]
    assert heard == ["producerPaused", "producerResumed"] * 4


async def test_every_consumer_command_reaches_the_node(front, node):
    ada = await front.joined()
    cam = await ada.produce(await ada.transport("send"), "video")
    bob = await front.joined(name="Bob")
    recv = await bob.transport("recv")
    consumer = (await bob.note("newConsumer", producerId=cam))["id"]
    await bob.request("resumeConsumer", consumerId=consumer)
    await bob.request("pauseConsumer", consumerId=consumer)
    await bob.request("setConsumerPreferredLayers", consumerId=consumer, spatialLayer=1, temporalLayer=2)
    await bob.request("setConsumerPreferredLayers", consumerId=consumer, spatialLayer=0)
    await bob.request("setConsumerPriority", consumerId=consumer, priority=255)
    await bob.request("setConsumerView", consumerId=consumer, width=320, height=180)
    await bob.request("setConsumerView", consumerId=consumer, hidden=True)
    await bob.request("requestConsumerKeyFrame", consumerId=consumer)
    for which in ({"transportId": recv}, {"consumerId": consumer}):
        stats = await bob.request("getStats", **which)
        assert stats["takenAt"] == 1
        assert stats["rows"][0]["id"] == next(iter(which.values()))
    assert (await ada.request("getStats", producerId=cam))["rows"][0]["bytes"] == 1.0
    assert (await bob.request("restartIce", transportId=recv))["iceParameters"]["iceLite"] is True
    await bob.request("closeConsumer", consumerId=consumer)
    await refused(bob.request("pauseConsumer", consumerId=consumer), "not_found")
    await bob.request("closeTransport", transportId=recv)
    await refused(bob.request("restartIce", transportId=recv), "not_found", "transportId")
    assert {"set_preferred_layers", "set_priority", "set_view", "request_key_frame", "restart_ice"} <= set(
        node.commands
    )


async def test_talking(front):
    ada = await front.joined()
    bob = await front.joined(name="Bob")
    said = await ada.request("chat", text="hello")
    heard = await bob.note("chat", text="hello")
    assert heard == {"id": said["id"], "peerId": ada.peer_id, "displayName": "Ada", "text": "hello", "at": said["at"]}
    await bob.request("raiseHand", raised=True)
    await ada.note("peerChanged", peerId=bob.peer_id, handRaised=True)
    await bob.request("changeDisplayName", displayName=" Robert ")
    await ada.note("peerChanged", peerId=bob.peer_id, displayName="Robert")
    late = await front.connect()
    joined = await late.join(name="Eve")
    assert [message["text"] for message in joined["chat"]] == ["hello"]
    assert ada.seen("chat") == []


async def test_two_rooms_hear_nothing_of_each_other(front):
    ada, bob = await front.joined("one"), await front.joined("two", "Bob")
    mic = await ada.produce(await ada.transport("send"))
    await bob.transport("recv")
    await ada.request("chat", text="secret")
    await refused(bob.request("consume", producerId=mic), "not_found")
    await refused(bob.request("getStats", producerId=mic), "not_found")
    await refused(bob.request("closeProducer", producerId=mic), "not_found")
    assert [name for name, _ in bob.notes if name != "transportState"] == []


# ---- coming and going ----


async def test_leave_tells_the_others_and_the_socket_may_join_again(front, node):
    ada, bob = await front.joined(), await front.joined(name="Bob")
    await bob.produce(await bob.transport("send"))
    await bob.request("leave")
    await ada.note("producerClosed", peerId=bob.peer_id)
    await ada.note("peerLeft", peerId=bob.peer_id, reason="left")
    await refused(bob.request("chat", text="x"), "not_joined")
    first = bob.peer_id
    await bob.join(name="Bob")
    assert bob.peer_id != first


async def test_a_lost_socket_keeps_its_peer_for_a_while_and_then_loses_it(front, node):
    ada, bob = await front.joined(), await front.joined(name="Bob")
    await bob.transport("send")
    await trio.aclose_forcefully(bob.socket._stream)
    with trio.move_on_after(0.15):
        await ada.note("peerLeft")
        raise AssertionError("left before the grace was over")
    await ada.note("peerLeft", peerId=bob.peer_id, reason="lost")
    with trio.fail_after(patience(5)):
        while [entity for entity in node.entities.values() if entity.kind == 2]:
            await trio.sleep(0.01)


@pytest.mark.parametrize("how", ["socket lost", "socket open"])
async def test_resume_replaces_the_earlier_session_under_the_same_id(front, how):
    ada, bob = await front.joined(), await front.joined(name="Bob")
    if how == "socket lost":
        await trio.aclose_forcefully(bob.socket._stream)
    again = await front.connect()
    await again.join(name="Bob", resume=bob.resume)
    assert again.peer_id == bob.peer_id
    assert again.resume != bob.resume
    await ada.note("peerLeft", peerId=bob.peer_id, reason="replaced")
    await ada.note("newPeer", id=bob.peer_id)
    if how == "socket open":
        assert await bob.closed() == 4001
    await trio.sleep(0.5)  # longer than the grace: the loss of the old socket must not end the new peer
    await again.request("chat", text="still here")
    assert ada.seen("peerLeft") == []


async def test_a_resume_secret_of_nobody_is_no_obstacle(front):
    ada = await front.joined(resume="never was")
    assert ada.peer_id


async def test_the_router_closes_a_while_after_the_last_leave(front, node):
    ada = await front.joined()
    (router,) = [entity.id for entity in node.entities.values()]
    await ada.request("leave")
    await ada.join()
    assert router in node.entities  # back within the grace
    await ada.request("leave")
    with trio.fail_after(patience(5)):
        while router in node.entities:
            await trio.sleep(0.02)
    assert front.metric("sightline_signaling_rooms") == 0


async def test_room_limits(node, tmp_path):
    async with running_front(node, tmp_path, limits={"peers_per_room": 1, "rooms": 1}) as front:
        await front.joined("one")
        other = await front.connect()
        await refused(other.join("one"), "limit", "full")
        await refused(other.request("join", room="two", displayName="x"), "limit", "rooms")


async def test_limits_of_one_peer(node, tmp_path):
    limits = {"producers_per_peer": 1, "consumers_per_peer": 1, "transports_per_minute": 2}
    async with running_front(node, tmp_path, limits=limits) as front:
        ada = await front.joined()
        send = await ada.transport("send")
        mic = await ada.produce(send)
        await refused(ada.produce(send), "limit", "producers")
        bob = await front.joined(name="Bob", autoConsume=False)
        recv = await bob.transport("recv")
        await bob.request("consume", producerId=mic)
        await refused(bob.request("consume", producerId=mic), "limit", "consumers")
        await bob.request("closeTransport", transportId=recv)
        await bob.transport("recv", connect=False)
        await refused(bob.transport("send"), "limit", "transports")


# ---- refusals ----


async def test_order_matters(front):
    client = await front.connect()
    for method in ("leave", "createWebRtcTransport", "chat"):
        data = {"direction": "send"} if method.startswith("create") else {"text": "x"}
        await refused(client.request(method, **data), "not_joined")
    await client.join()
    await refused(client.request("join", room="room", displayName="x"), "already_joined")
    send = await client.transport("send", connect=False)
    await refused(client.produce(send), "bad_state", "connect")
    await refused(client.transport("send"), "bad_state", "already")
    await client.request("connectWebRtcTransport", transportId=send, dtlsParameters=DTLS)
    connect = client.request("connectWebRtcTransport", transportId=send, dtlsParameters=DTLS)
    await refused(connect, "bad_state", "connected")
    recv = await client.transport("recv")
    await refused(client.produce(recv), "bad_state", "recv")
    await refused(client.produce("nobody"), "not_found", "transportId")
    await refused(client.request("createWebRtcTransport", direction="send", sctp=True), "unsupported", "sctp")


async def test_consuming_needs_capabilities_and_a_transport(front):
    ada = await front.joined()
    mic = await ada.produce(await ada.transport("send"))
    bob = await front.joined(name="Bob", capable=False)
    await refused(bob.request("consume", producerId=mic), "bad_state", "recv transport")
    await bob.transport("recv")
    await refused(bob.request("consume", producerId=mic), "bad_state", "rtpCapabilities")
    await bob.request("setRtpCapabilities", rtpCapabilities={"codecs": [], "headerExtensions": []})
    await refused(bob.request("consume", producerId=mic), "unsupported")
    await refused(ada.request("consume", producerId=mic), "not_found")  # one's own


async def test_what_the_node_refuses_changes_nothing(front, node):
    ada = await front.joined()
    send = await ada.transport("send", connect=False)
    bad = {"role": "client", "fingerprints": [{"algorithm": "md5", "value": "00"}]}
    connect = ada.request("connectWebRtcTransport", transportId=send, dtlsParameters=bad)
    await refused(connect, "bad_request", "fingerprints")
    await ada.request("connectWebRtcTransport", transportId=send, dtlsParameters=DTLS)
    unknown = AUDIO | {"codecs": [AUDIO["codecs"][0] | {"mimeType": "audio/none"}]}
    produce = ada.request("produce", transportId=send, kind="audio", rtpParameters=unknown)
    await refused(produce, "unsupported", "codecs")
    assert (await ada.produce(send)) in node.entities


@pytest.mark.parametrize(
    ("method", "data", "field"),
    [
        ("join", {"displayName": "x"}, "room"),
        ("join", {"room": "UPPER", "displayName": "x"}, "room"),
        ("join", {"room": "a" * 65, "displayName": "x"}, "room"),
        ("join", {"room": "line\n", "displayName": "x"}, "room"),
        ("join", {"room": "r", "displayName": "   "}, "displayName"),
        ("join", {"room": "r", "displayName": "x" * 81}, "displayName"),
        ("join", {"room": "r", "displayName": "x\u0000"}, "displayName"),
        ("join", {"room": "r", "displayName": "x", "device": {"a": "x" * 600}}, "device"),
        ("join", {"room": "r", "displayName": "x", "rtpCapabilities": {"codecs": [{}]}}, "codecs[0]"),
        ("createWebRtcTransport", {"direction": "both"}, "direction"),
        ("produce", {"transportId": "t", "kind": "data", "rtpParameters": AUDIO}, "kind"),
        ("produce", {"transportId": "t", "kind": "video", "rtpParameters": VIDEO | {"codecs": []}}, "codecs"),
        (
            "produce",
            {"transportId": "t", "kind": "audio", "rtpParameters": AUDIO, "appData": {"a": "x" * 3000}},
            "appData",
        ),
        ("setConsumerPriority", {"consumerId": "c", "priority": 0}, "priority"),
        ("setConsumerPreferredLayers", {"consumerId": "c", "spatialLayer": -1}, "spatialLayer"),
        ("setConsumerView", {"consumerId": "c", "width": 20_000, "height": 1}, "width"),
        ("getStats", {}, "transportId"),
        ("getStats", {"transportId": "a", "consumerId": "b"}, "transportId"),
        ("chat", {"text": ""}, "text"),
        ("chat", {"text": "x" * 2001}, "text"),
        ("raiseHand", {"raised": "yes"}, "raised"),
        ("leave", [], "object"),
    ],
)
async def test_bad_data_names_the_field(front, method, data, field):
    client = await front.connect()
    await client.send(json.dumps({"id": 1, "method": method, "data": data}))
    await refused(client.reply(1), "bad_request", field)
    assert front.metric("sightline_signaling_request_errors_total", method=method, code="bad_request") == 1


@pytest.mark.parametrize(
    "frame",
    ["", "nonsense", "[]", "1", '{"id": 1}', '{"id": -1, "method": "leave"}', '{"id": "1", "method": "leave"}',
     '{"id": 2147483648, "method": "leave"}', '{"method": "leave"}', '{"id": 1, "method": 1}',
     '{"id": 1, "method": "leave"',
     b"binary", b""],
)  # fmt: skip
async def test_what_is_no_request_is_answered_without_an_id_and_changes_nothing(front, frame):
    client = await front.joined()
    await client.send(frame)
    await refused(client.reply(None), "bad_request")
    assert await client.request("chat", text="still here")


async def test_unknown_method_and_the_metrics_stay_bounded(front):
    client = await front.connect()
    for name in ("fly", "__init__", "dump"):
        await refused(client.request(name), "unknown_method", name)
    assert front.metric("sightline_signaling_request_errors_total", method="unknown", code="unknown_method") == 3


async def test_duplicate_id_and_too_many_open_requests(front, node):
    ada = await front.joined()
    await ada.transport("send", connect=False)
    node.frozen = trio.Event()
    await ada.send(json.dumps({"id": 100, "method": "createWebRtcTransport", "data": {"direction": "recv"}}))
    await ada.send(json.dumps({"id": 100, "method": "chat", "data": {"text": "x"}}))
    await refused(ada.reply(100), "duplicate_id", "100")
    for request_id in range(101, 101 + 64):
        await ada.send(json.dumps({"id": request_id, "method": "leave", "data": {}}))
    await refused(ada.reply(164), "limit", "open requests")
    node.frozen.set()
    assert (await ada.reply(100))["id"]


async def test_requests_of_one_transport_run_in_order_and_others_do_not_wait(front, node):
    ada = await front.joined()
    send = await ada.transport("send", connect=False)
    node.frozen = trio.Event()
    connect = {"id": 50, "method": "connectWebRtcTransport", "data": {"transportId": send, "dtlsParameters": DTLS}}
    produce = {"id": 51, "method": "produce", "data": {"transportId": send, "kind": "audio", "rtpParameters": AUDIO}}
    await ada.send(json.dumps(connect))
    await ada.send(json.dumps(produce))  # without waiting for the first: right only in order
    assert await ada.request("chat", text="x")  # not of that transport
    node.frozen.set()
    assert await ada.reply(50) == {}
    assert (await ada.reply(51))["id"]


async def test_a_node_that_fails_is_unavailable_or_internal_and_says_nothing_more(node, tmp_path):
    async with running_front(node, tmp_path, limits={"node_seconds": 0.1}) as front:
        ada = await front.joined()
        node.frozen = trio.Event()
        await refused(ada.transport("send"), "unavailable")
        node.frozen.set()

        async def broken(_request):
            raise ZeroDivisionError("a defect")

        node.create_web_rtc_transport = broken
        await refused(ada.transport("send"), "internal", "log")
        assert await ada.request("chat", text="the session lives on")


async def test_a_frame_too_large_closes_with_1009(front):
    client = await front.joined()
    largest = json.dumps({"id": 1, "method": "x" * 60, "data": ""}).encode()
    await client.send((largest + b" " * (65_536 - len(largest))).decode())
    await refused(client.reply(1), "unknown_method")
    await client.send("ä" * 32_769)  # 65,538 bytes, though half as many characters
    assert await client.closed() == 1009


async def test_rate_limit_and_the_end_of_patience(node, tmp_path):
    limits = {"requests_per_second": 1.0, "request_burst": 5.0, "open_requests": 1000}
    async with running_front(node, tmp_path, limits=limits) as front:
        client = await front.connect()
        for request_id in range(8):
            await client.send(json.dumps({"id": request_id, "method": "leave"}))
        await refused(client.reply(0), "not_joined")
        await refused(client.reply(6), "limit", "second")
        for request_id in range(8, 11):
            await client.send(json.dumps({"id": request_id, "method": "leave"}))
        assert await client.closed() == 1008


async def test_a_socket_that_does_not_join_is_closed(node, tmp_path):
    async with running_front(node, tmp_path, limits={"join_seconds": 0.1}) as front:
        idle = await front.connect()
        assert await idle.closed() == 1008


async def test_too_many_sockets(node, tmp_path):
    async with running_front(node, tmp_path, limits={"sockets": 1}) as front:
        await front.joined()
        second = await front.connect()
        assert await second.closed() == 1013


class Deaf:
    """A socket that asks and asks and never reads."""

    def __init__(self) -> None:
        self.asked = 0
        self.code = 0

    async def receive(self) -> str:
        await trio.sleep(0.001)
        self.asked += 1
        return json.dumps({"id": self.asked, "method": "getRouterRtpCapabilities", "data": {"room": "room"}})

    async def send(self, text: str) -> None:
        await trio.sleep_forever()

    async def close(self, code: int, reason: str) -> None:
        self.code = code


async def test_what_waits_for_a_deaf_client_is_bounded_in_size(node, autojump_clock):
    metrics = SignalingMetrics(CollectorRegistry())
    limits = Limits(outbound_characters=50_000, requests_per_second=1e6, request_burst=1e6)
    calls = Calls(node, limits=limits, metrics=metrics)
    socket = Deaf()
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_calls, calls)
        await Sessions(calls, Authoriser(""), limits, metrics).serve(socket)
        nursery.cancel_scope.cancel()
    assert socket.code == 1013
    assert 10 < socket.asked < 100  # long before the thousand frames that may wait


async def test_a_client_that_takes_no_frame_is_cut_after_the_write_deadline(node, autojump_clock):
    class Mute(Deaf):
        """It asks once and waits for ever."""

        async def receive(self) -> str:
            if self.asked:
                await trio.sleep_forever()
            return await super().receive()

    metrics = SignalingMetrics(CollectorRegistry())
    limits, socket = Limits(write_seconds=10.0, join_seconds=120.0), Mute()
    calls = Calls(node, limits=limits, metrics=metrics)
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_calls, calls)
        began = trio.current_time()
        await Sessions(calls, Authoriser(""), limits, metrics).serve(socket)
        assert trio.current_time() - began == pytest.approx(10, abs=0.1)
        nursery.cancel_scope.cancel()
    assert socket.code == 1013


# ---- tokens ----


def token(secret: str = SECRET, **claims) -> str:
    return jwt.encode({"room": "room", "exp": 4_000_000_000} | claims, secret, algorithm="HS256")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (None, "unauthorized"),
        ("", "unauthorized"),
        ("nonsense", "unauthorized"),
        ("a.b.c", "unauthorized"),
        (token(secret="another secret of thirty-two bytes"), "unauthorized"),
        (token(exp=1), "unauthorized"),
        (jwt.encode({"room": "room"}, SECRET, algorithm="HS256"), "unauthorized"),
        (jwt.encode({"room": "room", "exp": 4_000_000_000}, "", algorithm="none"), "unauthorized"),
        (token(room="other"), "forbidden"),
        (token(role="king"), "unauthorized"),
        (token(name=" "), "unauthorized"),
    ],
)
async def test_false_tokens(node, tmp_path, given, code):
    async with running_front(node, tmp_path, auth_secret=SECRET) as front:
        client = await front.connect()
        await refused(client.join(token=given), code, "token")


async def test_a_token_names_its_bearer_and_a_viewer_only_watches(node, tmp_path):
    async with running_front(node, tmp_path, auth_secret=SECRET) as front:
        ada = await front.joined(token=token())
        eve = await front.connect()
        await eve.join(name="Mallory", token=token(name="Eve", role="viewer"))
        assert (await ada.note("newPeer"))["displayName"] == "Eve"
        await refused(eve.produce(await eve.transport("send")), "forbidden")


# ---- the node's events ----


async def test_a_dead_transport_is_told_and_made_anew(front, node):
    ada, bob = await front.joined(), await front.joined(name="Bob")
    send = await ada.transport("send")
    mic = await ada.produce(send)
    await bob.transport("recv")
    consumer = (await bob.note("newConsumer"))["id"]
    await ada.note("transportState", transportId=send, iceState="connected")
    node.die(send, "ice-expired")
    await ada.note("transportClosed", transportId=send, reason="ice-expired")
    await bob.note("producerClosed", producerId=mic)
    await bob.note("consumerClosed", consumerId=consumer)
    again = await ada.transport("send")
    assert (await ada.produce(again)) != mic


async def test_a_dead_router_closes_the_room(front, node):
    ada = await front.joined()
    (router,) = node.entities
    node.die(router, "defect")
    await ada.note("roomClosed", reason="defect")
    assert await ada.closed() == 1000
    assert await front.joined()


async def test_lost_events_are_made_up_for(front, node):
    from protos import media_pb2 as pb

    ada, bob = await front.joined(), await front.joined(name="Bob")
    await ada.produce(await ada.transport("send"))
    await bob.transport("recv")
    consumer = (await bob.note("newConsumer"))["id"]
    del node.entities[consumer]
    node.emit(pb.Event(lagged=pb.WatchLagged(dropped=7)))
    await bob.note("consumerClosed", consumerId=consumer, reason="lost")


# ---- strangers ----


async def test_nobody_touches_what_is_anothers(front, node):
    ada = await front.joined()
    ada_send, ada_recv = await ada.transport("send"), await ada.transport("recv")
    ada_mic = await ada.produce(ada_send)
    bob = await front.joined(name="Bob")
    await bob.transport("recv")
    bob_mic = await bob.produce(await bob.transport("send"))
    ada_consumer = (await ada.note("newConsumer", producerId=bob_mic))["id"]
    mallory = await front.joined(name="Mallory")
    there = set(node.entities)
    for transport in (ada_send, ada_recv):
        await refused(mallory.request("restartIce", transportId=transport), "not_found")
        await refused(mallory.request("closeTransport", transportId=transport), "not_found")
        await refused(mallory.request("getStats", transportId=transport), "not_found")
        await refused(
            mallory.request("connectWebRtcTransport", transportId=transport, dtlsParameters=DTLS), "not_found"
        )
        await refused(mallory.produce(transport), "not_found")
    for method in ("closeProducer", "pauseProducer", "resumeProducer", "getStats"):
        await refused(mallory.request(method, producerId=ada_mic), "not_found")
    for method in ("pauseConsumer", "resumeConsumer", "closeConsumer", "requestConsumerKeyFrame", "getStats"):
        await refused(mallory.request(method, consumerId=ada_consumer), "not_found")
    await refused(mallory.request("setConsumerPriority", consumerId=ada_consumer, priority=1), "not_found")
    await refused(mallory.request("setConsumerPreferredLayers", consumerId=ada_consumer, spatialLayer=0), "not_found")
    eve = await front.joined("elsewhere", "Eve")
    await eve.transport("recv")
    await refused(eve.request("consume", producerId=ada_mic), "not_found")
    assert there <= set(node.entities)


async def test_the_resume_secret_is_shown_to_its_owner_only(front):
    ada = await front.joined()
    bob = await front.joined(name="Bob")
    await ada.transport("recv")
    await bob.produce(await bob.transport("send"))
    await bob.request("chat", text="hello")
    await ada.note("newConsumer")
    late = await front.connect()
    joined = await late.join(name="Late")
    for secret in (ada.resume, bob.resume):
        assert secret not in json.dumps(joined) + json.dumps(late.notes)
    assert bob.resume not in json.dumps(ada.notes)
    # Nor does it help in another room.
    thief = await front.joined("elsewhere", "Eve", resume=ada.resume)
    assert thief.peer_id != ada.peer_id
    assert await ada.request("raiseHand", raised=True) == {}


@pytest.mark.parametrize("name", ["Ada\u202egnp", "\u2066Ada", "A\u0085b", "A\u2028b", "\u200b", "\u200e\ufeff"])
async def test_names_that_deceive_are_refused(front, name):
    client = await front.connect()
    await refused(client.request("join", room="room", displayName=name), "bad_request", "displayName")


@pytest.mark.parametrize("name", ["Zoë", "李雷", "مريم", "\U0001f469\u200d\U0001f680", "می\u200cخواهم"])
async def test_names_of_the_world_are_welcome(front, name):
    ada = await front.joined()
    await front.joined(name=name)
    await ada.note("newPeer", displayName=name)


# ---- stopping ----


async def test_stopping_tells_every_client_within_two_seconds(front):
    clients = [await front.joined(name=f"n{i}") for i in range(5)]
    front.scope.cancel()
    with trio.fail_after(2):
        await front.stopped.wait()
    for client in clients:
        assert (await client.note("serverStopping"))["reconnectAfterMs"] > 0
        assert await client.closed() == 1001
    with pytest.raises((OSError, trio_websocket.HandshakeError)):
        await trio_websocket.connect_websocket(front._nursery, "127.0.0.1", front.port, "/ws", use_ssl=False)
