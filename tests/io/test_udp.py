"""The lane's trio side: how much it takes in one turn, and that no socket's end can hurt it."""

from __future__ import annotations

import dataclasses

import pytest
import trio
from aioice import stun

from protos import media_pb2 as pb
from rtpfwd.plane import Plane
from server.io.sockets import open_port
from server.io.tcp import TcpLimits
from server.io.udp import LaneShell
from tests.control.carriers import LOOPBACK, running_node
from tests.patience import patience

MS = 1_000_000


class SlowDrive:
    """Takes a while for every datagram, on a clock of its own."""

    def __init__(self, cost_ns: int) -> None:
        self.now = 0
        self.taken = 0
        self._cost = cost_ns
        self.core = self

    def clock(self) -> int:
        return self.now

    def receive(self, lane, socket, address, datagram):
        self.now += self._cost
        self.taken += 1


def test_one_turn_is_bounded_by_time_as_well_as_by_count():
    for cost, most in ((MS, 5), (0, 256)):
        shell = LaneShell(0, Plane(seed=1), open_port("127.0.0.1", 0, tcp=False, buffer_bytes=4096), TcpLimits(), 1)
        drive = SlowDrive(cost)
        shell.attach(drive)
        shell.plane.ingest([(0, ("udp", "192.0.2.9", port), b"\x00\x01" + bytes(18)) for port in range(1, 257)], 0)
        assert not shell.pump()
        assert drive.taken == most
        while not shell.pump():
            pass
        assert drive.taken == 256
        shell.close()


def test_a_datagram_to_a_socket_that_is_closed_is_lost_and_nothing_else():
    shell = LaneShell(0, Plane(seed=1), open_port("127.0.0.1", 0, tcp=False, buffer_bytes=4096), TcpLimits(), 1)
    number, _ = shell.open_socket("127.0.0.1", 4096)
    shell.release(number)
    shell.send(number, ("udp", "127.0.0.1", 9), b"answer")
    shell.close()


def check_of(ice: pb.IceParameters, *, nominate: bool = False) -> bytes:
    """A good one, by a foreign hand."""
    check = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    check.attributes["USERNAME"] = f"{ice.username_fragment}:x"
    check.attributes["PRIORITY"] = 1
    check.attributes["ICE-CONTROLLING"] = 7
    if nominate:
        check.attributes["USE-CANDIDATE"] = None
    check.add_message_integrity(ice.password.encode())
    check.add_fingerprint()
    return bytes(check)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_the_lane_answers_the_checks_after_the_first(host: str):
    """The same request again gets the same bytes again, though nobody in Python has seen it."""
    family = trio.socket.AF_INET6 if ":" in host else trio.socket.AF_INET
    with trio.fail_after(patience(10)):
        async with running_node(dataclasses.replace(LOOPBACK, listen_host=host)) as handle:
            node, plane = handle.media_node, handle.planes[0]
            await node.create_router(pb.CreateRouterRequest(id="room"))
            info = await node.create_web_rtc_transport(pb.CreateWebRtcTransportRequest(router_id="room", id="browser"))
            check = check_of(info.ice_parameters, nominate=True)
            answers = []
            with trio.socket.socket(family, trio.socket.SOCK_DGRAM) as client:
                for _ in range(5):
                    await client.sendto(check, (host, handle.ports[0]))
                    answers.append((await client.recvfrom(2000))[0])
                read = stun.parse_message(answers[0])
                assert read.attributes["XOR-MAPPED-ADDRESS"] == (host, client.getsockname()[1])
            assert answers == answers[:1] * 5
            figures = plane.counters()
            assert (figures["handed_off"], figures["consent_checks_answered"]) == (1, 4)


async def test_ice_is_not_spoken_on_the_socket_of_a_plain_transport():
    with trio.fail_after(patience(10)):
        async with running_node() as handle:
            node = handle.media_node
            await node.create_router(pb.CreateRouterRequest(id="room"))
            plain = await node.create_plain_transport(pb.CreatePlainTransportRequest(router_id="room", id="plain"))
            info = await node.create_web_rtc_transport(pb.CreateWebRtcTransportRequest(router_id="room", id="browser"))
            check = check_of(info.ice_parameters)
            with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as client:
                await client.sendto(check, ("127.0.0.1", plain.local_port))
                await client.sendto(check, ("127.0.0.1", handle.ports[0]))
                answer, source = await client.recvfrom(2000)
            assert stun.parse_message(answer).message_class is stun.Class.RESPONSE
            assert source[1] == handle.ports[0]
