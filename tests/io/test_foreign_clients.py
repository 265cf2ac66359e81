"""A whole node on loopback against WebRTC stacks that share no code with it."""

from __future__ import annotations

import dataclasses
import itertools
import struct

import aioice.ice
import pytest
import trio
from OpenSSL import SSL

from protos import media_pb2 as pb
from protos.control import NodeError
from server.rtc.certificate import Certificate
from tests.control.carriers import LOOPBACK, running_node
from tests.io.aiortc_client import AsyncioThread, Client
from tests.io.tcp_client import TcpClient
from tests.io.test_plain import remote
from tests.io.test_plain import speak as speak_udp
from tests.patience import patience

OPUS = pb.RtpParameters(
    mid="0",
    codecs=[pb.RtpCodecParameters(mime_type="audio/opus", payload_type=111, clock_rate=48000, channels=2)],
    encodings=[pb.RtpEncodingParameters(ssrc=4242)],
    rtcp=pb.RtcpParameters(cname="tcp"),
)


@pytest.fixture(autouse=True)
def _only_loopback(monkeypatch):
    """aioice leaves loopback out of its candidates; here it is all there is."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


async def test_aiortc_sends_opus_and_vp8_and_another_one_decodes_them():
    with trio.fail_after(patience(40)):
        async with running_node() as handle:
            node = handle.media_node
            await node.create_router(pb.CreateRouterRequest(id="room"))
            with AsyncioThread() as thread:
                anna, bert = Client(thread, node, "anna"), Client(thread, node, "bert")
                producers = await anna.publish("room")
                consumers = await bert.view("room", producers)
                heard = await bert.receive("audio", 20)
                seen = await bert.receive("video", 5)
                assert {frame.sample_rate for frame in heard} == {48000}
                assert {(frame.width, frame.height) for frame in seen} == {(640, 480)}
                await expect_flow(node, consumers["video"].id)
                await anna.close()
                async with node.watch(pb.WatchRequest()) as events:
                    await bert.close()
                    async for event in events:
                        if event.closed.id == "bert":
                            assert event.closed.reason == "dtls-closed"
                            break


async def expect_flow(node, consumer_id: str) -> None:
    stats = await node.get_stats(pb.GetStatsRequest(kind=pb.CONSUMER, id=consumer_id))
    sent = [row for row in stats.rows if row.type == "outbound-rtp"]
    assert sent[0].figures
    transport = await node.get_stats(pb.GetStatsRequest(kind=pb.TRANSPORT, id="bert"))
    assert transport.rows[0].labels["ice_state"] == "completed"
    assert transport.rows[0].labels["dtls_state"] == "connected"
    assert transport.rows[0].labels["protocol"] == "udp"


async def tcp_client(node, transport_id: str, stated: Certificate | None = None) -> tuple[TcpClient, trio.SocketStream]:
    """Connected over TCP, as a peer that says it is the DTLS client, and perhaps states another's certificate."""
    certificate = Certificate.generate()
    info = await node.create_web_rtc_transport(pb.CreateWebRtcTransportRequest(router_id="room", id=transport_id))
    fingerprint = pb.DtlsFingerprint(algorithm="sha-256", value=(stated or certificate).fingerprint.value)
    await node.connect_web_rtc_transport(
        pb.ConnectWebRtcTransportRequest(
            transport_id=transport_id, dtls_parameters=pb.DtlsParameters(role="client", fingerprints=[fingerprint])
        )
    )
    (candidate,) = [candidate for candidate in info.ice_candidates if candidate.protocol == "tcp"]
    stream = await trio.open_tcp_stream(candidate.address, candidate.port)
    client = TcpClient(stream, info, certificate)
    try:
        await client.connect()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return client, stream


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_media_over_tcp_both_ways(host: str):
    with trio.fail_after(patience(20)):
        async with running_node(dataclasses.replace(LOOPBACK, listen_host=host)) as handle:
            node = handle.media_node
            room = await node.create_router(pb.CreateRouterRequest(id="room"))
            sender, sender_stream = await tcp_client(node, "sender")
            viewer, viewer_stream = await tcp_client(node, "viewer")
            async with sender_stream, viewer_stream:
                producer = await node.produce(
                    pb.ProduceRequest(transport_id="sender", kind=pb.AUDIO, rtp_parameters=OPUS)
                )
                consumer = await node.consume(
                    pb.ConsumeRequest(
                        transport_id="viewer", producer_id=producer.id, rtp_capabilities=room.rtp_capabilities
                    )
                )
                got = []
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(speak, sender)
                    while len(got) < 20:
                        got.append(await viewer.receive_rtp())
                    nursery.cancel_scope.cancel()
                (encoding,) = consumer.rtp_parameters.encodings
                codec = consumer.rtp_parameters.codecs[0]
                for packet in got:
                    _, payload_type, _, _, ssrc = struct.unpack("!BBHII", packet[:12])
                    assert (payload_type & 127, ssrc) == (codec.payload_type, encoding.ssrc)
                    assert packet.endswith(b"opus")
                sequence = [struct.unpack("!H", packet[2:4])[0] for packet in got]
                assert [(b - a) & 0xFFFF for a, b in itertools.pairwise(sequence)] == [1] * 19
                stats = await node.get_stats(pb.GetStatsRequest(kind=pb.TRANSPORT, id="viewer"))
                assert stats.rows[0].labels["protocol"] == "tcp"


async def speak(client: TcpClient) -> None:
    for number in range(10_000):
        await client.send_rtp(struct.pack("!BBHII", 0x80, 111, number, 960 * number, 4242) + b"opus")
        await trio.sleep(0.005)


async def test_another_certificate_than_the_stated_one_closes_the_transport_and_the_watchers_hear_why():
    with trio.fail_after(patience(10)):
        async with running_node() as handle:
            node = handle.media_node
            await node.create_router(pb.CreateRouterRequest(id="room"))
            async with node.watch(pb.WatchRequest()) as events:
                with pytest.raises((SSL.Error, EOFError, trio.BrokenResourceError)):
                    await tcp_client(node, "liar", stated=Certificate.generate())
                async for event in events:
                    if event.WhichOneof("event") == "closed":
                        assert (event.closed.id, event.closed.reason) == ("liar", "dtls-failed")
                        break
            with pytest.raises(NodeError, match="liar"):
                await node.get_stats(pb.GetStatsRequest(kind=pb.TRANSPORT, id="liar"))


async def test_closing_a_transport_says_goodbye_and_closes_its_tcp_connection():
    with trio.fail_after(patience(20)):
        async with running_node() as handle:
            node = handle.media_node
            await node.create_router(pb.CreateRouterRequest(id="room"))
            client, stream = await tcp_client(node, "t")
            async with stream:
                await node.close(pb.CloseRequest(kind=pb.TRANSPORT, id="t"))
                frames = await client.receive_until_closed()
                assert frames
                assert frames[-1][0] == 21  # a DTLS alert


async def test_a_tcp_connection_that_ends_disconnects_its_transport():
    with trio.fail_after(patience(20)):
        async with running_node() as handle:
            node = handle.media_node
            await node.create_router(pb.CreateRouterRequest(id="room"))
            _, stream = await tcp_client(node, "t")
            async with node.watch(pb.WatchRequest()) as events:
                await stream.aclose()
                assert (await anext(events)).transport_state.ice_state == "disconnected"


@pytest.mark.parametrize("direction", ["udp to tcp", "tcp to udp"])
async def test_media_crosses_between_udp_and_tcp(direction: str):
    """The lane's thread and the connections of trio hand packets to each other."""
    with trio.fail_after(patience(20)):
        async with running_node() as handle:
            node = handle.media_node
            room = await node.create_router(pb.CreateRouterRequest(id="room"))
            over_tcp, stream = await tcp_client(node, "tcp")
            over_udp = await remote(node, "udp", "", comedia=False)
            async with stream:
                source, sink = direction.split(" to ")
                producer = await node.produce(
                    pb.ProduceRequest(transport_id=source, kind=pb.AUDIO, rtp_parameters=OPUS)
                )
                await node.consume(
                    pb.ConsumeRequest(
                        transport_id=sink, producer_id=producer.id, rtp_capabilities=room.rtp_capabilities
                    )
                )
                talk = speak_udp if source == "udp" else speak
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(talk, over_udp if source == "udp" else over_tcp)
                    listen = over_tcp.receive_rtp if sink == "tcp" else over_udp.receive
                    packets = [await listen() for _ in range(20)]
                    nursery.cancel_scope.cancel()
                assert all(b"opus" in packet for packet in packets)
            over_udp.socket.close()
