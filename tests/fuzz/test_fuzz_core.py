"""Damaged STUN and DTLS into a whole core, from strangers and from a trusted path: nothing but counted drops."""

from __future__ import annotations

import random

from server.media.events import EntityClosed
from server.rtc.address import Address
from server.testing.world import SECOND, World
from tests.fuzz.mutate import mutated


def recorded() -> list[bytes]:
    """What a browser sends the core while it connects."""
    world = World(seed=8445)
    sent: list[bytes] = []
    receive = world.core.receive

    def listening(lane: int, socket: int, address: Address, datagram: bytes, now: int) -> None:
        sent.append(datagram)
        receive(lane, socket, address, datagram, now)

    world.core.receive = listening
    visitor = world.add()
    assert world.run_until(lambda: visitor.connection.connected_at is not None, 5 * SECOND)
    return sent


def test_core() -> None:
    world = World(seed=8445)  # the same seed: the corpus holds this world's credentials
    visitor = world.add()
    assert world.run_until(lambda: visitor.connection.connected_at is not None, 5 * SECOND)
    world.events.clear()
    rng = random.Random(7983)
    stranger = Address("udp", "192.0.2.250", 9)
    for data in mutated(recorded(), seed=7983):
        source = rng.choice((stranger, visitor.address))
        world.core.receive(0, 0, source, data, world.now)
        while world.core.poll_transmit() is not None:
            pass
        while (event := world.core.poll_event()) is not None:
            assert not isinstance(event, EntityClosed)
    assert world.defects == []
    assert visitor.transport.dtls_state == "connected"
    assert world.core.drops.total() > 100
    assert len(world.core.shared.routes) <= world.core.limits.max_paths_per_transport
