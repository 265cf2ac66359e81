"""aioice as a full, controlling ICE agent over a loopback socket, against our lite one."""

from __future__ import annotations

import asyncio
import socket
import time

import aioice
import pytest

from server.rtc.address import Address
from server.rtc.ice_lite import IceCredentials, IceLite, IceState, Path


class LiteProtocol(asyncio.DatagramProtocol):
    """Carries datagrams between a socket and the agent; what the node's shell does."""

    def __init__(self, agent: IceLite) -> None:
        self.agent = agent
        self.received: list[bytes] = []

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if data[0] > 3:
            self.received.append(data)
            return
        self.agent.receive_untrusted(data, Path(0, Address("udp", *addr)), time.monotonic_ns())
        while (transmit := self.agent.poll_transmit()) is not None:
            path, answer = transmit
            self.transport.sendto(answer, (path.remote.host, path.remote.port))


async def connect(agent: IceLite, password: str, patience_s: float = 20) -> bytes:
    """Through ICE; then a datagram along the selected path, and what arrived from there."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: LiteProtocol(agent), local_addr=("127.0.0.1", 0), family=socket.AF_INET
    )
    connection = aioice.Connection(ice_controlling=True, use_ipv6=False)
    try:
        await connection.gather_candidates()
        connection.remote_username, connection.remote_password = agent.credentials.username_fragment, password
        connection.remote_is_lite = True
        port = transport.get_extra_info("sockname")[1]
        line = f"1 1 udp 2130706431 127.0.0.1 {port} typ host"
        await connection.add_remote_candidate(aioice.Candidate.from_sdp(line))
        await connection.add_remote_candidate(None)
        await asyncio.wait_for(connection.connect(), patience_s)
        await connection.send(b"\x80media")
        assert agent.selected is not None
        remote = agent.selected.remote
        transport.sendto(b"\x80back", (remote.host, remote.port))
        answer = await asyncio.wait_for(connection.recv(), 5)
        assert protocol.received == [b"\x80media"]
        return answer
    finally:
        await connection.close()
        transport.close()


@pytest.fixture(autouse=True)
def _stay_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


def test_aioice_connects() -> None:
    agent = IceLite(IceCredentials.generate())
    assert asyncio.run(connect(agent, agent.credentials.password)) == b"\x80back"
    assert agent.state is IceState.COMPLETED
    assert not agent.refused


def test_aioice_with_a_wrong_password_does_not() -> None:
    agent = IceLite(IceCredentials.generate())
    with pytest.raises((ConnectionError, TimeoutError)):
        asyncio.run(connect(agent, "x" * 24, patience_s=1))
    assert agent.state is IceState.NEW
    assert agent.refused[401] > 0
