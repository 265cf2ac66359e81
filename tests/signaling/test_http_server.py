"""Hostile connections."""

from __future__ import annotations

import json
import socket
from contextlib import AsyncExitStack, suppress

import pytest
import trio

from signaling.http_server import LINGER_SECONDS
from tests.patience import patience
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
            with trio.fail_after(patience(5)):
                answer = b""
                while chunk := await stream.receive_some():
                    answer += chunk
            assert answer.startswith(b"HTTP/1.1 400 ")
            await stream.aclose()
        client = await front.joined()
        assert client.peer_id


async def exchange(front, request: bytes) -> bytes:
    """Send bytes on a new connection and read until it ends."""
    stream = await trio.open_tcp_stream("127.0.0.1", front.port)
    async with stream:
        await stream.send_all(request)
        answer = b""
        with trio.fail_after(patience(5)):
            while chunk := await stream.receive_some():
                answer += chunk
        return answer


async def upgraded(front) -> trio.SocketStream:
    stream = await trio.open_tcp_stream("127.0.0.1", front.port)
    await stream.send_all(UPGRADE)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += await stream.receive_some(1)
    assert answer.startswith(b"HTTP/1.1 101 ")
    return stream


def frame(opcode: int, payload: bytes, *, fin: bool = True, mask: bool = True) -> bytes:
    """A client's frame (RFC 6455 section 5.2) with an all-zero mask."""
    head = bytes([(0x80 if fin else 0) | opcode])
    bit = 0x80 if mask else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    else:
        head += bytes([bit | 126]) + len(payload).to_bytes(2, "big")
    return head + (b"\0\0\0\0" if mask else b"") + payload


@pytest.mark.parametrize(
    "raw",
    [
        frame(0x1, b"x", mask=False),  # a client must mask
        frame(0x3, b""),  # a reserved opcode
        frame(0x9, b"p", fin=False),  # a control frame in pieces
        frame(0x0, b"x"),  # a continuation of nothing
        frame(0x1, b"\xff\xfe"),  # not UTF-8
        frame(0x8, b"\x00"),  # a close code of one byte
        b"\xff" * 64,
    ],
)
async def test_a_broken_frame_ends_its_own_socket_only(front, raw):
    stream = await upgraded(front)
    async with stream:
        await stream.send_all(raw)
        with trio.fail_after(patience(5)):
            while await stream.receive_some():
                pass
    assert (await front.joined()).peer_id
    assert front.metric("sightline_signaling_connection_faults_total") == 0


@pytest.mark.parametrize(
    "request_line",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\r\n" * 40_000,
    ],
)
async def test_what_is_no_http_is_answered_or_closed(front, request_line):
    with trio.move_on_after(3):
        answer = await exchange(front, request_line)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert (await front.joined()).peer_id
    assert front.metric("sightline_signaling_connection_faults_total") == 0


async def test_an_upgrade_to_cleartext_http2_is_ignored(front):
    request = (
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABk\r\n\r\n"
    )
    assert (await exchange(front, request)).startswith(b"HTTP/1.1 200 ")


async def test_compression_is_never_agreed_on(front):
    request = UPGRADE.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
    stream = await trio.open_tcp_stream("127.0.0.1", front.port)
    async with stream:
        await stream.send_all(request)
        answer = await stream.receive_some()
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"deflate" not in answer.lower()


async def test_other_socket_paths_and_origins_are_refused(front):
    assert (await exchange(front, UPGRADE.replace(b"/ws", b"/other"))).startswith(b"HTTP/1.1 404 ")
    foreign = UPGRADE.replace(b"\r\n\r\n", b"\r\nOrigin: https://elsewhere.example\r\n\r\n")
    assert (await exchange(front, foreign)).startswith(b"HTTP/1.1 403 ")
    await (await front.connect(extra_headers=[(b"Origin", f"http://127.0.0.1:{front.port}".encode())])).join()


async def test_configured_origins_may_connect(node, tmp_path):
    async with running_front(node, tmp_path, allowed_origins=("https://web.example",)) as front:
        await (await front.connect(extra_headers=[(b"Origin", b"https://web.example")])).join()


async def test_many_requests_on_one_connection(front):
    stream = await trio.open_tcp_stream("127.0.0.1", front.port)
    async with stream:
        for _ in range(1_100):  # more than hypercorn's own limit
            await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while not answer.endswith(b"ok\n"):
                chunk = await stream.receive_some()
                assert chunk
                answer += chunk


async def test_a_client_that_stops_reading_is_cut_and_its_peer_leaves(node, tmp_path):
    limits = {"outbound_frames": 50, "requests_per_second": 1e6, "request_burst": 1e6}
    async with running_front(node, tmp_path, limits=limits) as front:
        ada = await front.joined()
        stream = await trio.open_tcp_stream("127.0.0.1", front.port)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        async with stream:
            await stream.send_all(UPGRADE)
            while b"\r\n\r\n" not in await stream.receive_some():
                pass
            await stream.send_all(frame(0x1, b'{"id":1,"method":"join","data":{"room":"room","displayName":"Bob"}}'))
            bob = (await ada.note("newPeer"))["id"]
            with trio.fail_after(patience(20)):
                while not ada.seen("peerLeft"):
                    await ada.request("chat", text="x" * 2000)
            assert await ada.note("peerLeft", peerId=bob, reason="lost")
        assert front.metric("sightline_signaling_sockets_cut_total", reason="too slow") == 1
        assert await ada.request("chat", text="the others go on")


async def test_shutdown_does_not_wait_for_a_client_that_does_not_read(node, tmp_path):
    async with running_front(node, tmp_path, limits={"requests_per_second": 1e6, "request_burst": 1e6}) as front:
        ada = await front.joined()
        stream = await trio.open_tcp_stream("127.0.0.1", front.port)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        async with stream:
            await stream.send_all(UPGRADE)
            while b"\r\n\r\n" not in await stream.receive_some():
                pass
            await stream.send_all(frame(0x1, b'{"id":1,"method":"join","data":{"room":"room","displayName":"Bob"}}'))
            await ada.note("newPeer")
            for _ in range(2_500):  # more than the kernel's buffers take
                await ada.request("chat", text="x" * 2000)
            front.scope.cancel()
            with trio.fail_after(2.5):
                await front.stopped.wait()
            assert await ada.closed() == 1001


async def test_a_silent_client_is_noticed(node, tmp_path):
    async with running_front(node, tmp_path, ping_seconds=0.1) as front:
        ada = await front.joined()  # answers pings
        stream = await upgraded(front)
        async with stream:
            await stream.send_all(frame(0x1, b'{"id":1,"method":"join","data":{"room":"room","displayName":"Bob"}}'))
            bob = (await ada.note("newPeer"))["id"]
            await ada.note("peerLeft", peerId=bob, reason="lost")
        assert await ada.request("chat", text="x")


async def test_a_client_that_does_not_close_its_end_is_dropped_alone(front):
    ada = await front.joined()
    stream = await upgraded(front)
    async with stream:
        await stream.send_all(frame(0x8, b"\x03\xe8"))  # a close frame, and then it just stays
        with trio.fail_after(patience(5)):
            while await stream.receive_some():
                pass
            await trio.sleep(2 * LINGER_SECONDS)
            with suppress(trio.BrokenResourceError):
                while True:  # until the other end is gone
                    await stream.send_all(b"x")
                    await trio.sleep(0.01)
    assert await ada.request("chat", text="the others go on")
    assert (await front.joined(name="Bob")).peer_id


async def test_endless_headers_are_refused(front):
    stream = await trio.open_tcp_stream("127.0.0.1", front.port)
    async with stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000)
        with trio.fail_after(patience(5)):
            answer = await stream.receive_some()
        assert answer.startswith(b"HTTP/1.1 4")


async def test_shutdown_with_fifty_sockets_of_which_ten_never_read(node, tmp_path):
    limits = {"requests_per_second": 1e6, "request_burst": 1e6, "outbound_frames": 10_000}
    async with running_front(node, tmp_path, limits=limits) as front, AsyncExitStack() as deaf:
        talker = await front.joined("loud", "talker")
        readers = [await front.joined("calm", f"reader {i}") for i in range(39)]
        for i in range(10):
            stream = await deaf.enter_async_context(await upgraded(front))
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            data = {"room": "loud", "displayName": f"deaf {i}"}
            await stream.send_all(frame(0x1, json.dumps({"id": 1, "method": "join", "data": data}).encode()))
            await talker.note("newPeer", displayName=f"deaf {i}")
        for _ in range(900):  # more than the kernel's buffers take
            await talker.request("chat", text="🔊" * 2000)
        assert front.metric("sightline_signaling_sockets") == 50
        front.scope.cancel()
        with trio.fail_after(2.2):
            await front.stopped.wait()
        for reader in (talker, *readers):
            await reader.note("serverStopping")
            assert await reader.closed() == 1001
