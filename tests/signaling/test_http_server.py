"""Hostile connections."""

from __future__ import annotations

import trio

from tests.signaling.client import running_front
from tests.signaling.fake_node import FakeNode

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def test_one_stray_byte_after_an_upgrade_does_not_stop_the_server(tmp_path):
    async with running_front(FakeNode(), tmp_path) as front:
        for stray in (b"x", b"\x00" * 100, b"GET / HTTP/1.1\r\n\r\n"):
            stream = await trio.open_tcp_stream("127.0.0.1", front.port)
            await stream.send_all(UPGRADE + stray)
            with trio.fail_after(5):
                answer = b""
                while chunk := await stream.receive_some():
                    answer += chunk
            assert answer.startswith(b"HTTP/1.1 400 ")
            await stream.aclose()
        client = await front.joined()
        assert client.peer_id
