"""WebRtcTransport and a fake browser in virtual time: connecting, moving, ending."""

from __future__ import annotations

import pytest

from server.media.events import CloseReason, EntityClosed, EntityKind, PathClosed, TransportStateChanged
from server.rtc import stun
from server.rtc.address import Address
from server.rtc.dtls import DtlsRole
from server.rtc.parameters import DtlsFingerprint, DtlsParameters
from server.testing.netem import LinkConfig
from server.testing.world import SECOND, Visitor, World
from tests.media.entities import vp8

MS = 1_000_000


def connected(world: World, **options: object) -> Visitor:
    """A visitor whose keys are there."""
    visitor = world.add(**options)
    assert world.run_until(lambda: visitor.transport.dtls_state == "connected", 10 * SECOND)
    return visitor


def states(world: World) -> list[tuple[str, str]]:
    return [(e.ice_state, e.dtls_state) for e in world.events if isinstance(e, TransportStateChanged)]


def ends(world: World) -> list[tuple[str, str]]:
    return [(e.kind.value, e.reason.value) for e in world.events if isinstance(e, EntityClosed)]


@pytest.mark.parametrize("remote", [DtlsRole.CLIENT, DtlsRole.SERVER])
def test_either_dtls_role_connects_and_every_state_is_told_once(remote: DtlsRole):
    world = World(seed=1)
    visitor = connected(world, role=remote)
    assert visitor.transport.dump()["dtlsRole"] == ("server" if remote is DtlsRole.CLIENT else "client")
    assert world.run_until(lambda: visitor.connection.connected_at is not None, SECOND)
    seen = states(world)
    assert seen[-1] == ("completed", "connected")
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("remote", [DtlsRole.CLIENT, DtlsRole.SERVER])
def test_a_third_of_the_packets_lost_only_delays_it(remote: DtlsRole):
    world = World(seed=5)
    bad = LinkConfig(loss=0.33, delay_ns=80 * MS)
    visitor = world.add(up=bad, down=bad, role=remote)
    assert world.run_until(lambda: visitor.transport.dtls_state == "connected", 25 * SECOND)


def test_no_address_or_key_is_in_a_dump():
    world = World(seed=2)
    visitor = connected(world)
    text = str(visitor.transport.dump())
    assert visitor.address.host not in text
    assert visitor.transport.ice_parameters.password not in text


def test_a_silent_remote_is_disconnected_after_the_consent_timeout_and_closed_after_another():
    world = World(seed=3)
    visitor = connected(world)
    world.run(10 * SECOND)
    world.events.clear()
    visitor.connection.vanish()
    world.run(40 * SECOND)
    assert states(world)[-1][0] == "disconnected"
    assert ends(world) == []
    world.run(30 * SECOND)
    assert ends(world) == [("TRANSPORT", "ice-expired")]
    assert not world.core.transports
    assert not world.core.shared.routes
    assert world.core.next_timeout() is None


def test_a_close_notify_closes_the_transport_with_what_is_on_it():
    world = World(seed=4)
    anna, bert = connected(world), connected(world)
    camera = world.publish(anna, video=True)
    world.watch(bert, camera)
    world.run(SECOND)
    world.events.clear()
    anna.connection.close(world.now)
    world.run(SECOND)
    assert ends(world) == [("CONSUMER", "producer-closed"), ("PRODUCER", "parent-closed"), ("TRANSPORT", "dtls-closed")]
    assert PathClosed(0, 0, anna.address) in world.events


def test_closing_says_goodbye():
    world = World(seed=5)
    visitor = connected(world)
    world.commands.close(EntityKind.TRANSPORT, visitor.transport.id, world.now)
    lane, socket, address, datagram = world.core.poll_transmit() or (0, 0, None, b"")
    assert (lane, socket, address, datagram[0]) == (0, 0, visitor.address, 21)  # a DTLS alert
    assert world.core.poll_transmit() is None


def test_another_certificate_than_the_stated_one_closes_the_transport():
    world = World(seed=6)
    visitor = world.add()
    transport = world.commands.create_webrtc_transport(world.router.id, "strict", world.now)
    wrong = DtlsParameters(fingerprints=(DtlsFingerprint("sha-256", ":".join(["00"] * 32)),), role="client")
    world.commands.connect_webrtc_transport("strict", wrong, world.now)
    ice = transport.ice_parameters
    visitor.connection.connect(ice.username_fragment, ice.password, transport.local_fingerprint, world.now)
    world.run(3 * SECOND)
    assert transport.failure == "fingerprint-mismatch"
    assert [e for e in world.events if isinstance(e, EntityClosed)] == [
        EntityClosed(EntityKind.TRANSPORT, "strict", CloseReason.DTLS_FAILED)
    ]
    assert world.core.shared.handshakes == {"fingerprint-mismatch": 1}


def test_media_goes_on_through_an_ice_restart():
    world = World(seed=7)
    anna, bert = connected(world), connected(world)
    view = world.watch(bert, world.publish(anna, video=True))
    world.run(2 * SECOND)
    before = view.sink.figures.frames
    assert before > 30
    old = anna.transport.ice_parameters
    new = world.commands.restart_ice(anna.transport.id, world.now)
    assert new.username_fragment != old.username_fragment
    assert set(anna.transport.username_fragments()) == {old.username_fragment, new.username_fragment}
    anna.connection.connect(new.username_fragment, new.password, anna.transport.local_fingerprint, world.now)
    world.run(2 * SECOND)
    assert anna.transport.username_fragments() == (new.username_fragment,)
    assert view.sink.figures.frames > before + 30


def test_a_remote_that_moves_is_followed():
    world = World(seed=8)
    anna, bert = connected(world), connected(world)
    view = world.watch(bert, world.publish(anna, video=True))
    world.run(SECOND)
    frames = view.sink.figures.frames
    bert.address = Address("udp", "203.0.113.99", 1234)
    bert.connection.restart_checks(world.now)
    world.run(3 * SECOND)
    assert world.core.owns_path(0, 0, bert.address)
    assert view.sink.figures.frames > frames + 50


def test_a_lost_tcp_connection_ends_its_path_at_once():
    world = World(seed=9)
    visitor = world.add()
    visitor.address = Address("tcp", "198.51.100.77", 50001)
    assert world.run_until(lambda: visitor.transport.dtls_state == "connected", 10 * SECOND)
    assert visitor.transport.protocol == "tcp"
    world.core.path_lost(0, 0, visitor.address, world.now)
    world._settle()
    assert states(world)[-1][0] == "disconnected"
    assert visitor.transport.protocol == ""
    assert not world.core.shared.routes


def test_a_path_proved_to_a_second_transport_is_not_taken_from_it_by_the_first():
    world = World(seed=10)
    first = connected(world)
    first.connection.vanish()
    second = world.add()
    second.address = first.address  # a reloaded page that got the same port again
    assert world.run_until(lambda: second.transport.dtls_state == "connected", 10 * SECOND)
    world.commands.close(EntityKind.TRANSPORT, first.transport.id, world.now)
    world.events.clear()
    camera = world.publish(second, video=True)
    third = connected(world)
    view = world.watch(third, camera)
    world.run(2 * SECOND)
    assert view.sink.figures.frames > 20
    assert world.core.owns_path(0, 0, second.address)


def test_a_path_that_was_proved_to_another_transport_comes_back_with_the_next_check():
    world = World(seed=11)
    first, second, viewer = connected(world), connected(world), connected(world)
    view = world.watch(viewer, world.publish(first, video=True))
    world.run(SECOND)
    # One who can forge a source address and proves it to a transport of its own.
    ice = second.transport.ice_parameters
    check = stun.build_request(f"{ice.username_fragment}:x", ice.password, priority=1, ice_controlling=7)
    world.plane.ingest([(0, first.address, check)], world.now)
    world.run(10 * SECOND)
    before = view.sink.figures.frames
    world.run(2 * SECOND)
    assert view.sink.figures.frames > before + 20
    assert first.transport.ice_state in ("connected", "completed")
    assert world.defects == []


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        pytest.param(b"\x16\xfe\xfd" + bytes(40), "dtls-unknown-path", id="DTLS from nowhere"),
        pytest.param(b"\x80\x60" + bytes(40), "not-stun-or-dtls", id="RTP"),
        pytest.param(b"", "not-stun-or-dtls", id="nothing"),
    ],
)
def test_what_belongs_to_nobody_is_counted(datagram: bytes, reason: str):
    world = World(seed=11)
    world.core.receive(0, 0, Address("udp", "192.0.2.66", 6), datagram, world.now)
    assert world.core.drops == {reason: 1}
    assert world.core.poll_transmit() is None


def test_a_check_for_another_lane_or_transport_is_not_answered():
    world = World(seed=12)
    visitor = world.add()
    visitor.connection.connect("unknownufrag", "p" * 24, visitor.transport.local_fingerprint, world.now)
    world.run(SECOND)
    assert world.core.drops["stun-unknown-username"] > 3
    assert visitor.transport.ice_state == "new"


def test_a_transport_that_never_hears_from_its_remote_is_closed_by_the_handshake_limit():
    world = World(seed=13)
    visitor = world.add(up=LinkConfig(loss=1.0))
    world.run(60 * SECOND)
    assert ends(world) == [("TRANSPORT", "dtls-failed")]
    assert visitor.transport.failure == "timeout"


def test_a_transport_that_was_never_connected_waits():
    """A client makes its receiving transport long before there is anything to watch."""
    world = World(seed=14)
    transport = world.commands.create_webrtc_transport(world.router.id, "waiting", world.now)
    world.run(3600 * SECOND)
    assert world.core.transports == {"waiting": transport}


def test_a_stream_that_was_seen_is_noted():
    world = World(seed=15)
    anna = connected(world)
    camera = world.publish(anna, video=True)
    world.run(SECOND)
    assert camera.producer.started_ssrcs == {0: camera.source.config.ssrc}


def test_media_may_arrive_before_it_is_produced():
    world = World(seed=16)
    anna, bert = connected(world), connected(world)
    early = world.publish(anna, video=True)
    world.commands.close(EntityKind.PRODUCER, early.producer.id, world.now)
    world.run(SECOND)
    config = early.source.config
    again = vp8(ssrc=config.ssrc, mid="m0")
    producer = world.commands.produce(anna.transport.id, "", "video", again, world.now, paused=False)
    assert producer.kind == "video"
    world.run(SECOND)
    assert bert.transport.dtls_state == "connected"


def test_a_resumed_view_begins_with_a_keyframe():
    world = World(seed=17)
    anna, bert = connected(world), connected(world)
    camera = world.publish(anna, video=True)
    world.run(2 * SECOND)
    view = world.watch(bert, camera, paused=True)
    world.run(SECOND)
    assert view.sink.figures.packets == 0
    world.commands.resume(EntityKind.CONSUMER, view.consumer.id, world.now)
    world.run(SECOND)
    assert view.sink.figures.keyframes == 1
    assert view.sink.figures.frames > 20


def test_a_paused_producer_reaches_nobody_until_it_is_resumed():
    world = World(seed=18)
    anna, bert = connected(world), connected(world)
    camera = world.publish(anna, video=True)
    view = world.watch(bert, camera)
    world.run(SECOND)
    world.commands.pause(EntityKind.PRODUCER, camera.producer.id, world.now)
    world.run(SECOND)
    paused_at = view.sink.figures.packets
    assert paused_at > 0
    world.run(SECOND)
    assert view.sink.figures.packets == paused_at
    keyframes = view.sink.figures.keyframes
    world.commands.resume(EntityKind.PRODUCER, camera.producer.id, world.now)
    world.run(SECOND)
    assert view.sink.figures.packets > paused_at
    assert view.sink.figures.keyframes == keyframes + 1
