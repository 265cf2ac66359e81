"""Consent to send (RFC 7675) in whole calls: the plane answers the checks, and silence is noticed as ever."""

from __future__ import annotations

from server.media.events import CloseReason, EntityClosed, EntityKind, TransportStateChanged
from server.rtc.address import Address
from server.testing.netem import MS, LinkConfig
from server.testing.streams import SECOND
from server.testing.world import View, Visitor, World

NEAR = LinkConfig(delay_ns=10 * MS)


def call(seed: int = 1) -> tuple[World, View]:
    """Both browsers connected, and past the checks of the beginning."""
    world = World(seed=seed)
    anna, bert = world.add(up=NEAR, down=NEAR), world.add(up=NEAR, down=NEAR)
    view = world.watch(bert, world.publish(anna, video=True))
    assert world.run_until(lambda: view.sink.figures.frames > 25, 5 * SECOND)
    world.run(6 * SECOND)
    return world, view


def answered(world: World) -> int:
    return world.plane.counters()["consent_checks_answered"]


def handed(world: World) -> int:
    return world.plane.counters()["handed_off"]


def states(world: World, visitor: Visitor) -> list[str]:
    return [
        event.ice_state
        for event in world.events
        if isinstance(event, TransportStateChanged) and event.transport_id == visitor.transport.id
    ]


def test_two_minutes_without_a_check_in_python():
    world, view = call()
    before, in_python = answered(world), handed(world)
    world.events.clear()
    world.run(120 * SECOND)
    assert answered(world) - before == 48  # of two browsers, one every five seconds
    assert handed(world) == in_python
    assert not any(isinstance(event, TransportStateChanged | EntityClosed) for event in world.events)
    assert [visitor.transport.ice_state for visitor in world.visitors] == ["completed", "completed"]
    assert all(visitor.connection.ice_connected_at is not None for visitor in world.visitors)
    assert view.sink.figures.longest_gap < 100 * MS


def test_silence_is_noticed_thirty_seconds_after_the_last_check_and_is_the_end_after_sixty():
    world, _ = call()
    bert = world.visitors[1]
    world.run(60 * SECOND)
    bert.connection.vanish()
    world.run(SECOND)  # what was on its way
    world.events.clear()
    last, _ = world.plane.consent(bert.transport.media.handle)
    assert world.now - 7 * SECOND < last < world.now
    world.run(last + 30 * SECOND - 1 - world.now)
    assert states(world, bert) == []
    world.run(1)
    assert states(world, bert) == ["disconnected"]
    sent = bert.down.counters.sent
    world.run(30 * SECOND - 1)
    assert bert.down.counters.sent == sent
    assert bert.transport.id in world.core.transports
    world.run(1)
    closed = [event for event in world.events if isinstance(event, EntityClosed) and event.kind is EntityKind.TRANSPORT]
    assert [(event.id, event.reason) for event in closed] == [(bert.transport.id, CloseReason.ICE_EXPIRED)]
    assert world.visitors[0].transport.ice_state == "completed"


def test_who_comes_back_in_time_is_heard_by_python_and_then_by_the_plane_again():
    world, _ = call()
    bert = world.visitors[1]
    bert.connection._check_at = None
    world.run(45 * SECOND)
    assert bert.transport.ice_state == "disconnected"
    in_python = handed(world)
    bert.connection.restart_checks(world.now)
    world.run(SECOND)
    assert handed(world) > in_python
    assert bert.transport.ice_state == "completed"
    before, in_python = answered(world), handed(world)
    world.run(60 * SECOND)
    assert answered(world) - before == 24
    assert handed(world) == in_python


def test_an_ice_restart_is_heard_by_python_and_the_new_password_answered_by_the_plane():
    world, view = call()
    bert = world.visitors[1]
    ice = world.commands.restart_ice(bert.transport.id, world.now)
    before, in_python = answered(world), handed(world)
    world.run(40 * SECOND)  # the old credentials hold, and are the plane's
    assert (answered(world) - before, handed(world) - in_python) == (16, 0)
    bert.connection.connect(ice.username_fragment, ice.password, bert.transport.local_fingerprint, world.now)
    world.run(6 * SECOND)
    assert handed(world) > in_python
    before, in_python = answered(world), handed(world)
    world.run(60 * SECOND)
    assert answered(world) - before == 24
    assert handed(world) == in_python
    assert bert.transport.username_fragments() == (ice.username_fragment,)
    assert bert.transport.ice_state == "completed"
    assert view.sink.figures.longest_gap < 100 * MS


def test_a_new_path_is_proved_to_python_first():
    world, view = call()
    bert = world.visitors[1]
    in_python = handed(world)
    before = bert.address
    bert.address = Address("udp", "203.0.113.99", 61000)
    bert.connection.restart_checks(world.now)
    world.run(6 * SECOND)
    assert handed(world) > in_python
    was_answered, in_python = answered(world), handed(world)
    world.run(60 * SECOND)
    assert answered(world) - was_answered == 24
    assert handed(world) == in_python
    assert world.core.owns_path(0, 0, bert.address)
    assert not world.core.owns_path(0, 0, before)  # silent for longer than consent lasts
    assert view.sink.figures.longest_gap < 500 * MS
