"""Plain transports with real sockets and libsrtp at the other end: RTP and SRTP, told the remote or learning it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import trio
from pylibsrtp import Policy, Session

from protos import media_pb2 as pb
from protos.control import MediaNode
from tests.control.carriers import running_node
from tests.patience import patience

SSRC = 4242
OPUS = pb.RtpParameters(
    codecs=[pb.RtpCodecParameters(mime_type="audio/opus", payload_type=111, clock_rate=48000, channels=2)],
    encodings=[pb.RtpEncodingParameters(ssrc=SSRC)],
    rtcp=pb.RtcpParameters(cname="plain"),
)
PROFILES = {
    "AEAD_AES_128_GCM": (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28),
    "AES_CM_128_HMAC_SHA1_80": (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30),
}


def unchanged(packet: bytes) -> bytes:
    return packet


@dataclass
class Remote:
    """The other end: a socket, and what it does to packets."""

    socket: trio.socket.SocketType
    node_address: tuple[str, int]
    protect: Callable[[bytes], bytes] = unchanged
    unprotect: Callable[[bytes], bytes] = unchanged

    async def send(self, number: int) -> None:
        packet = struct.pack("!BBHII", 0x80, 111, number, 960 * number, SSRC) + b"opus %d" % number
        await self.socket.sendto(self.protect(packet), self.node_address)

    async def receive(self) -> bytes:
        """The next RTP packet in the clear."""
        while True:
            packet = await self.socket.recv(2000)
            if not 192 <= packet[1] <= 223:
                return self.unprotect(packet)


async def remote(node: MediaNode, transport_id: str, suite: str, *, comedia: bool) -> Remote:
    """A plain transport and its remote, told or to be learned."""
    socket = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
    await socket.bind(("127.0.0.1", 0))
    info = await node.create_plain_transport(
        pb.CreatePlainTransportRequest(router_id="room", id=transport_id, comedia=comedia, srtp_crypto_suite=suite)
    )
    made = Remote(socket, (info.local_address, info.local_port))
    request = pb.ConnectPlainTransportRequest(transport_id=transport_id)
    if not comedia:
        request.address, request.port = socket.getsockname()
    if suite:
        profile, size = PROFILES[suite]
        key = bytes(range(size))
        request.srtp_parameters.CopyFrom(pb.SrtpParameters(crypto_suite=suite, key=key))
        theirs = info.srtp_parameters.key
        made.protect = Session(Policy(key=key, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile)).protect
        made.unprotect = Session(Policy(key=theirs, ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=profile)).unprotect
    await node.connect_plain_transport(request)
    return made


async def speak(sender: Remote) -> None:
    for number in range(10_000):
        await sender.send(number)
        await trio.sleep(0.005)


@pytest.mark.parametrize("suite", ["", *PROFILES])
async def test_what_one_remote_sends_another_receives(suite: str):
    with trio.fail_after(patience(20)):
        async with running_node() as handle:
            node = handle.media_node
            room = await node.create_router(pb.CreateRouterRequest(id="room"))
            sender = await remote(node, "in", suite, comedia=False)
            viewer = await remote(node, "out", suite, comedia=False)
            with sender.socket, viewer.socket:
                producer = await node.produce(pb.ProduceRequest(transport_id="in", kind=pb.AUDIO, rtp_parameters=OPUS))
                consumer = await node.consume(
                    pb.ConsumeRequest(
                        transport_id="out", producer_id=producer.id, rtp_capabilities=room.rtp_capabilities
                    )
                )
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(speak, sender)
                    packets = [await viewer.receive() for _ in range(20)]
                    nursery.cancel_scope.cancel()
                (encoding,) = consumer.rtp_parameters.encodings
                assert {struct.unpack("!I", packet[8:12])[0] for packet in packets} == {encoding.ssrc}
                assert all(b"opus " in packet for packet in packets)


@pytest.mark.parametrize("suite", ["", *PROFILES])
async def test_a_remote_is_learned_from_its_first_valid_packet(suite: str):
    with trio.fail_after(patience(20)):
        async with running_node() as handle:
            node = handle.media_node
            room = await node.create_router(pb.CreateRouterRequest(id="room"))
            loop = await remote(node, "loop", suite, comedia=True)
            with loop.socket, trio.socket.socket(type=trio.socket.SOCK_DGRAM) as stranger:
                producer = await node.produce(
                    pb.ProduceRequest(transport_id="loop", kind=pb.AUDIO, rtp_parameters=OPUS)
                )
                await node.consume(
                    pb.ConsumeRequest(
                        transport_id="loop", producer_id=producer.id, rtp_capabilities=room.rtp_capabilities
                    )
                )
                await stranger.sendto(b"nonsense", loop.node_address)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(speak, loop)
                    packets = [await loop.receive() for _ in range(5)]
                    nursery.cancel_scope.cancel()
                assert all(b"opus " in packet for packet in packets)
                state = await node.dump(pb.DumpRequest(kind=pb.TRANSPORT, id="loop"))
                assert '"remoteKnown": true' in state.json


async def test_a_stranger_is_not_heard_on_a_told_transport():
    with trio.fail_after(patience(20)):
        async with running_node() as handle:
            node = handle.media_node
            room = await node.create_router(pb.CreateRouterRequest(id="room"))
            sender = await remote(node, "in", "", comedia=False)
            viewer = await remote(node, "out", "", comedia=False)
            stranger = Remote(trio.socket.socket(type=trio.socket.SOCK_DGRAM), sender.node_address)
            with sender.socket, viewer.socket, stranger.socket:
                producer = await node.produce(pb.ProduceRequest(transport_id="in", kind=pb.AUDIO, rtp_parameters=OPUS))
                await node.consume(
                    pb.ConsumeRequest(
                        transport_id="out", producer_id=producer.id, rtp_capabilities=room.rtp_capabilities
                    )
                )
                for number in range(1000, 1020):
                    await stranger.send(number)
                await sender.send(1)
                assert (await viewer.receive()).endswith(b"opus 1")
