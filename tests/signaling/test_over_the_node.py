"""The protocol once more, over the media node itself instead of the stand-in: same tests, another `front`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from OpenSSL import SSL

from protos import media_pb2 as pb
from server.config import MediaConfig
from server.node import serve_node
from server.rtc.certificate import Certificate
from tests.io.tcp_client import TcpClient
from tests.patience import patience
from tests.signaling.client import DTLS, Front, running_front
from tests.signaling.test_session import (  # noqa: F401  (collected here)
    refused,
    test_a_late_join_gets_a_consumer_for_every_producer_in_order,
    test_consuming_needs_capabilities_and_a_transport,
    test_order_matters,
    test_pausing_and_closing_a_producer_reaches_viewers_once,
    test_quick_pauses_reach_viewers_in_order_and_once,
    test_resume_replaces_the_earlier_session_under_the_same_id,
    test_stopping_tells_every_client_within_two_seconds,
    test_talking,
    test_two_people_meet_and_each_gets_the_others_producer,
    test_two_rooms_hear_nothing_of_each_other,
    test_without_auto_consume_nothing_is_consumed_until_it_is_asked_for,
)


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    async with trio.open_nursery() as nursery:
        handle = await nursery.start(serve_node, MediaConfig(listen_host="127.0.0.1"))
        async with running_front(handle.media_node, tmp_path) as running:
            yield running
        nursery.cancel_scope.cancel()


async def test_layers_stats_and_restart_reach_the_node(front):
    ada = await front.joined()
    send = await ada.transport("send")
    cam = await ada.produce(send, "video")
    bob = await front.joined(name="Bob")
    recv = await bob.transport("recv")
    consumer = (await bob.note("newConsumer", producerId=cam))["id"]
    await bob.request("resumeConsumer", consumerId=consumer)
    await bob.request("setConsumerPreferredLayers", consumerId=consumer, spatialLayer=0, temporalLayer=0)
    await bob.request("setConsumerPriority", consumerId=consumer, priority=2)
    await bob.request("requestConsumerKeyFrame", consumerId=consumer)
    old = (await bob.request("restartIce", transportId=recv))["iceParameters"]
    new = (await bob.request("restartIce", transportId=recv))["iceParameters"]
    assert old["usernameFragment"] != new["usernameFragment"]
    for client, which in ((bob, {"consumerId": consumer}), (ada, {"producerId": cam}), (ada, {"transportId": send})):
        stats = await client.request("getStats", **which)
        assert stats["takenAt"] > 1_700_000_000_000
        assert any(row["id"] == next(iter(which.values())) for row in stats["rows"]), stats


async def test_nothing_is_left_on_the_node_when_all_have_gone(front):
    clients = [await front.joined(name=name) for name in ("a", "b", "c")]
    for client in clients:
        await client.produce(await client.transport("send"))
        await client.transport("recv")
    for client in clients:
        await client.until(lambda client=client: len(client.seen("newConsumer")) == 2)
    info = await front.node.get_node_info(pb.GetNodeInfoRequest())
    assert (info.routers, info.transports, info.producers, info.consumers) == (1, 6, 3, 6)
    for client in clients:
        await client.request("leave")
    with trio.fail_after(patience(5)):
        while (info := await front.node.get_node_info(pb.GetNodeInfoRequest())).routers:
            await trio.sleep(0.02)
    assert (info.transports, info.producers, info.consumers) == (0, 0, 0)


async def test_a_wrong_certificate_costs_its_transport_and_the_client_hears_of_it(front):
    ada = await front.joined()
    made = await ada.request("createWebRtcTransport", direction="send")
    await ada.request("connectWebRtcTransport", transportId=made["id"], dtlsParameters=DTLS)  # of nobody's certificate
    candidate = next(one for one in made["iceCandidates"] if one["protocol"] == "tcp")
    ice = made["iceParameters"]
    info = pb.WebRtcTransportInfo(
        ice_parameters=pb.IceParameters(username_fragment=ice["usernameFragment"], password=ice["password"])
    )
    async with await trio.open_tcp_stream(candidate["address"], candidate["port"]) as stream:
        with suppress(EOFError, SSL.Error, trio.BrokenResourceError), trio.move_on_after(5):
            await TcpClient(stream, info, Certificate.generate()).connect()
        closed = await ada.note("transportClosed", transportId=made["id"])
    assert "dtls" in closed["reason"]
    await refused(ada.produce(made["id"]), "not_found")
    assert await ada.transport("send")  # another may be made
