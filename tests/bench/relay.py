"""Between the generator and a server: a relay for each remote end that loses, repeats and holds back known packets.

It stands in the room's place: the generator is told of the relay's addresses. It knows no key; SRTP leaves the header
of RTP readable.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import trio

from bench.target import LocalEnd, Room, ServerEnd, Subscription
from server.rtc.parameters import RtpParameters

# What becomes of one datagram of media.
Fate = Callable[[bytes], Sequence[bytes]]


def is_rtp(datagram: bytes) -> bool:
    """RFC 7983 and RFC 5761 section 4."""
    return len(datagram) >= 12 and datagram[0] >> 6 == 2 and not 64 <= datagram[1] & 127 <= 95


def ssrc_of(datagram: bytes) -> int:
    """Of RTP."""
    return int.from_bytes(datagram[8:12], "big")


def seq_of(datagram: bytes) -> int:
    """Of RTP."""
    return int.from_bytes(datagram[2:4], "big")


def untouched(datagram: bytes) -> Sequence[bytes]:
    """The fate of a packet on a good network."""
    return (datagram,)


class RelayedRoom:
    """A room behind relays. `up` and `down` decide what becomes of media towards the server and away from it."""

    def __init__(self, room: Room, nursery: trio.Nursery) -> None:
        self.up: Fate = untouched
        self.down: Fate = untouched
        self._room = room
        self._nursery = nursery

    async def publish(self, local: LocalEnd, parameters: Sequence[tuple[str, RtpParameters]]) -> tuple[str, ServerEnd]:
        """As the room behind does."""
        identity, server = await self._room.publish(local, parameters)
        return identity, await self._relay(local, server)

    async def subscribe(self, local: LocalEnd, publishers: Sequence[str]) -> Subscription:
        """As the room behind does."""
        subscription = await self._room.subscribe(local, publishers)
        return dataclasses.replace(subscription, server=await self._relay(local, subscription.server))

    async def start(self, subscription: Subscription) -> None:
        """As the room behind does."""
        await self._room.start(subscription)

    async def _relay(self, local: LocalEnd, server: ServerEnd) -> ServerEnd:
        front = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
        back = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
        await front.bind(("127.0.0.1", 0))
        await back.bind(("127.0.0.1", 0))
        await back.connect((server.address, server.port))
        await front.connect((local.address, local.port))
        self._nursery.start_soon(self._carry, front, back, lambda datagram: self.up(datagram))
        self._nursery.start_soon(self._carry, back, front, lambda datagram: self.down(datagram))
        host, port = front.getsockname()
        return dataclasses.replace(server, address=host, port=port)

    async def _carry(self, source: trio.socket.SocketType, sink: trio.socket.SocketType, fate: Fate) -> None:
        with source:
            while True:
                try:
                    datagram = await source.recv(2048)
                    for one in fate(datagram) if is_rtp(datagram) else (datagram,):
                        await sink.send(one)
                except ConnectionRefusedError:
                    pass  # the other side has left


@asynccontextmanager
async def relayed(room: Room) -> AsyncIterator[RelayedRoom]:
    """Relays for as long as the context lasts."""
    async with trio.open_nursery() as nursery:
        yield RelayedRoom(room, nursery)
        nursery.cancel_scope.cancel()
