"""ICE-TCP's connections, against a hostile and a slow remote. Real sockets; what the plane would do is recorded."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from server.io.framing import frame
from server.io.tcp import TcpLimits, TcpPaths
from tests.patience import patience

STUN = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12)
RTP = b"\x80\x60" + bytes(30)
LONG = 60.0  # never reached in a test
LIMITS = TcpLimits(establish_seconds=LONG, idle_seconds=LONG, stall_seconds=LONG)


class Side:
    """The server's side of a test: the paths, and what they delivered."""

    def __init__(self, limits: TcpLimits) -> None:
        self.got: list[bytes] = []
        self.closed: list[tuple[str, str, int]] = []
        self.sources: list[tuple[str, str, int]] = []
        self.established = True
        self.paths = TcpPaths(self._ingest, lambda _: bool(self.got) and self.established, self.closed.append, limits)
        self.port = 0

    def _ingest(self, address, packets):
        self.sources.append(address)
        self.got += packets

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)


@asynccontextmanager
async def serving(limits: TcpLimits = LIMITS) -> AsyncIterator[Side]:
    side = Side(limits)
    with trio.fail_after(patience(10)):
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            side.port = listeners[0].socket.getsockname()[1]
            await nursery.start(side.paths.serve, listeners)
            yield side
            nursery.cancel_scope.cancel()


async def end_of(stream: trio.SocketStream) -> bytes:
    """Everything until the server closes."""
    data = b""
    try:
        while piece := await stream.receive_some(65536):
            data += piece
    except trio.BrokenResourceError:
        pass  # reset: closed with something unread
    return data


async def test_packets_come_in_order_and_answers_are_framed():
    async with serving() as side:
        async with await side.connect() as stream:
            await stream.send_all(frame(STUN) + frame(RTP)[:7])
            await stream.send_all(frame(RTP)[7:] + frame(b""))
            while len(side.got) < 2:
                await trio.testing.wait_all_tasks_blocked(0.01)
            assert side.got == [STUN, RTP]
            (address,) = set(side.sources)
            assert address == ("tcp", *stream.socket.getsockname())
            side.paths.send(address, b"one")
            side.paths.send(address, b"two!")
            got = b""
            while len(got) < 11:
                got += await stream.receive_some(100)
            assert got == b"\0\3one\0\4two!"
    assert side.closed == [address]
    assert side.paths.open_connections == 0


@pytest.mark.parametrize(
    ("sent", "counter"),
    [
        pytest.param(frame(RTP), "first_frame_not_stun", id="media before STUN"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", "tcp_frame_too_long", id="another protocol"),
        pytest.param(b"\xff\xff", "tcp_frame_too_long", id="a frame that is too long"),
    ],
)
async def test_a_stranger_is_closed(sent, counter):
    async with serving() as side:
        async with await side.connect() as stream:
            await stream.send_all(sent)
            assert await end_of(stream) == b""
        assert side.paths.counters[counter] == 1
        assert side.got == []


@pytest.mark.parametrize("sent", [b"", frame(STUN)], ids=["silent", "STUN that no transport wants"])
async def test_a_connection_must_become_a_path_in_time(sent):
    async with serving(dataclasses.replace(LIMITS, establish_seconds=0.05)) as side:
        side.established = False
        async with await side.connect() as stream:
            await stream.send_all(sent)
            assert await end_of(stream) == b""
        assert side.paths.counters["not_established_in_time"] == 1


async def test_an_idle_path_is_closed():
    async with serving(dataclasses.replace(LIMITS, idle_seconds=0.05)) as side:
        async with await side.connect() as stream:
            await stream.send_all(frame(STUN))
            assert await end_of(stream) == b""
        assert side.paths.counters["idle"] == 1


async def test_connections_are_limited_per_source_and_in_all():
    async with serving(dataclasses.replace(LIMITS, connections_per_source=2)) as side:
        async with await side.connect() as first, await side.connect() as second:
            for stream in (first, second):
                await stream.send_all(frame(STUN))
            while len(side.got) < 2:
                await trio.testing.wait_all_tasks_blocked(0.01)
            async with await side.connect() as third:
                assert await end_of(third) == b""
            assert side.paths.counters["refused_too_many_from_source"] == 1
            assert side.paths.open_connections == 2
    async with serving(dataclasses.replace(LIMITS, connections=0)) as side:
        async with await side.connect() as stream:
            assert await end_of(stream) == b""
        assert side.paths.counters["refused_too_many"] == 1


async def test_a_slow_reader_loses_the_oldest_packets_and_is_counted():
    async with serving(dataclasses.replace(LIMITS, queued_packets=4)) as side:
        async with await side.connect() as stream:
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await stream.send_all(frame(STUN))
            while not side.got:
                await trio.testing.wait_all_tasks_blocked(0.01)
            address = side.sources[0]
            # Queued without a chance to be written: only the newest four are kept.
            for number in range(10):
                side.paths.send(address, bytes([number]))
            got = b""
            while len(got) < 12:
                got += await stream.receive_some(100)
            assert got == b"".join(frame(bytes([number])) for number in range(6, 10))
            assert side.paths.counters["queue_overflow"] == 6


async def test_a_reader_that_has_stopped_is_closed():
    async with serving(dataclasses.replace(LIMITS, stall_seconds=0.05, queued_packets=100_000)) as side:
        async with await side.connect() as stream:
            await stream.send_all(frame(STUN))
            while not side.got:
                await trio.testing.wait_all_tasks_blocked(0.01)
            for _ in range(20_000):
                side.paths.send(side.sources[0], bytes(2000))
            while side.paths.open_connections:
                await trio.testing.wait_all_tasks_blocked(0.01)
            assert side.paths.counters["stalled"] == 1


async def test_closing_a_path_flushes_what_is_queued_for_it():
    async with serving() as side:
        async with await side.connect() as stream:
            await stream.send_all(frame(STUN))
            while not side.got:
                await trio.testing.wait_all_tasks_blocked(0.01)
            address = side.sources[0]
            side.paths.send(address, b"goodbye")
            side.paths.close(address)
            assert await end_of(stream) == frame(b"goodbye")


async def test_sending_to_nobody_is_counted():
    async with serving() as side:
        side.paths.send(("tcp", "192.0.2.1", 9), b"x")
        side.paths.close(("tcp", "192.0.2.1", 9))
        assert side.paths.counters["no_connection"] == 1
