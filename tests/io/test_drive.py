"""The drive on trio's virtual clock: it sleeps until the core's soonest timeout, and drains after everything."""

from __future__ import annotations

import random

import pytest
import trio

from rtpfwd.plane import Plane
from server.io.drive import Drive
from server.media.commands import Commands
from server.media.core import MediaCore
from server.media.events import CloseReason, EntityClosed, EntityKind, PublicEvent
from server.rtc.address import Address
from server.rtc.parameters import DtlsParameters
from server.testing.browser import PeerConnection, shared_certificate
from tests.media.entities import DTLS, FINGERPRINT
from tests.patience import patience

SERVER = Address("udp", "192.0.2.1", 40000)
REMOTE = Address("udp", "198.51.100.1", 50000)


def now() -> int:
    return round(trio.current_time() * 1e9)


class Recorded:
    """An outlet that keeps everything."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.wakes = 0
        self.closed: list[Address] = []
        self.released: list[int] = []

    def send(self, socket, address, data):
        self.sent.append(data)

    def wake(self):
        self.wakes += 1

    def path_closed(self, address):
        self.closed.append(address)

    def release(self, socket):
        self.released.append(socket)


class Node:
    """A core and its drive, without sockets."""

    def __init__(self) -> None:
        self.outlet = Recorded()
        self.events: list[tuple[float, PublicEvent]] = []
        self.defects: list[BaseException] = []
        core = MediaCore(
            [Plane(seed=1)],
            [()],
            certificate=shared_certificate(),
            on_defect=lambda _, error: self.defects.append(error),
            rng=random.Random(1),
        )
        self.drive = Drive(core, [self.outlet], lambda e: self.events.append((trio.current_time(), e)), clock=now)
        self.commands = Commands(core)
        self.drive.run(lambda _: self.commands.create_router("room", ()))

    def transport(self):
        return self.drive.run(lambda at: self.commands.create_webrtc_transport("room", "t", at))


async def test_a_timeout_is_played_when_it_is_due(autojump_clock, nursery):
    node = Node()
    await nursery.start(node.drive.serve)
    node.transport()
    await trio.sleep(100)
    started = trio.current_time()
    node.drive.run(lambda at: node.commands.connect_webrtc_transport("t", DTLS, at))
    with trio.fail_after(patience(60)):
        while not any(isinstance(event, EntityClosed) for _, event in node.events):
            await trio.sleep(1)
    when, closed = next((at, event) for at, event in node.events if isinstance(event, EntityClosed))
    assert closed == EntityClosed(EntityKind.TRANSPORT, "t", CloseReason.DTLS_FAILED)
    assert when - started == pytest.approx(30, abs=0.001)


async def test_a_sooner_timeout_wakes_the_sleeper(autojump_clock, nursery):
    """The drive sleeps for the handshake's limit when a second handshake, as client, wants its resends sooner."""
    node = Node()
    await nursery.start(node.drive.serve)
    transport = node.transport()
    node.drive.run(lambda at: node.commands.connect_webrtc_transport("t", server_side(), at))
    remote = PeerConnection(server=SERVER, seed=1)
    ice = transport.ice_parameters
    remote.connect(ice.username_fragment, ice.password, transport.local_fingerprint, now())
    remote.handle_timeout(now())
    check = remote.poll_transmit()
    await trio.sleep(1)
    node.drive.receive(0, 0, REMOTE, check)
    assert node.outlet.sent[0][0] == 1  # STUN's success …
    hellos = len(node.outlet.sent)
    assert hellos >= 2  # … and our ClientHello
    await trio.sleep(10)
    assert len(node.outlet.sent) > hellos  # resent by the timer alone
    assert not node.defects


async def test_a_refused_command_is_drained_too(autojump_clock):
    node = Node()
    node.transport()
    wakes = node.outlet.wakes
    with pytest.raises(ZeroDivisionError):
        node.drive.run(lambda at: 1 // 0)
    assert node.outlet.wakes == wakes + 1


async def test_a_keepalive_does_not_wake_the_lane(autojump_clock):
    node = Node()
    transport = node.transport()
    remote = PeerConnection(server=SERVER, seed=1)
    ice = transport.ice_parameters
    remote.connect(ice.username_fragment, ice.password, transport.local_fingerprint, now())
    wakes = []
    for _ in range(3):
        remote.restart_checks(now())
        remote.handle_timeout(now())
        node.drive.receive(0, 0, REMOTE, remote.poll_transmit())
        wakes.append(node.outlet.wakes)
    assert wakes[0] == wakes[1] == wakes[2]
    assert len(node.outlet.sent) == 3


async def test_what_the_shell_holds_is_given_back(autojump_clock):
    node = Node()
    node.drive.run(
        lambda at: node.commands.create_plain_transport(
            "room", "p", 0, 5, Address("udp", "127.0.0.1", 1), at, comedia=True, crypto_suite=""
        )
    )
    node.drive.run(lambda at: node.commands.close(EntityKind.ROUTER, "room", at))
    assert node.outlet.released == [5]
    assert [event.id for _, event in node.events] == ["p", "room"]  # SocketReleased is not for the watchers


def server_side() -> DtlsParameters:
    return DtlsParameters(fingerprints=(FINGERPRINT,), role="server")
