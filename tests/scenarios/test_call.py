"""Whole calls in virtual time: joining late, pausing, crashing, changing networks."""

from __future__ import annotations

import pytest

from server.media.events import CloseReason, EntityClosed, EntityKind, TransportStateChanged
from server.rtc.address import Address
from server.rtc.dtls import DtlsRole
from server.testing.netem import MS, LinkConfig
from server.testing.streams import SECOND
from server.testing.world import Publication, View, World

NEAR = LinkConfig(delay_ns=10 * MS)


def call(seed: int = 1) -> tuple[World, View]:
    world = World(seed=seed)
    anna, bert = world.add(up=NEAR, down=NEAR), world.add(up=NEAR, down=NEAR)
    view = world.watch(bert, world.publish(anna, video=True))
    assert world.run_until(lambda: view.sink.figures.frames > 25, 5 * SECOND)
    return world, view


@pytest.mark.parametrize("role", [DtlsRole.CLIENT, DtlsRole.SERVER])
def test_both_dtls_roles_connect_within_ten_round_trips(role: DtlsRole):
    world = World(seed=2)
    visitor = world.add(up=NEAR, down=NEAR, role=role)
    assert world.run_until(lambda: visitor.connection.connected_at is not None, 200 * MS)


def test_a_late_joiner_has_a_picture_within_300_ms():
    world, first = call()
    camera = world.visitors[0]
    cleo = world.add(up=NEAR, down=NEAR)
    view = world.watch(cleo, Publication(camera.connection.sources[0], first.consumer.producer))
    assert world.run_until(lambda: view.sink.figures.frames > 0, 300 * MS)
    assert world.defects == []


def test_fifty_joiners_at_once_cost_the_publisher_few_keyframes():
    world, first = call()
    source = world.visitors[0].connection.sources[0]
    asked_before = source.keyframe_requests
    views = [
        world.watch(world.add(up=NEAR, down=NEAR), Publication(source, first.consumer.producer)) for _ in range(50)
    ]
    assert world.run_until(lambda: all(view.sink.figures.frames for view in views), 2 * SECOND)
    assert source.keyframe_requests - asked_before <= 4


def test_a_paused_consumer_gets_nothing_and_resumes_without_a_jump():
    world, view = call()
    world.commands.pause(EntityKind.CONSUMER, view.consumer.id, world.now)
    world.run(100 * MS)
    before = view.sink.figures.packets
    world.run(5 * SECOND)
    assert view.sink.figures.packets == before
    world.commands.resume(EntityKind.CONSUMER, view.consumer.id, world.now)
    world.run(2 * SECOND)
    seen = view.sink.figures
    assert seen.packets > before + 100
    assert seen.holes == seen.duplicates == 0
    steps = [
        (later - earlier) & 0xFFFFFFFF
        for earlier, later in zip(view.sink.timestamps, view.sink.timestamps[1:], strict=False)
    ]
    assert max(steps) < 10 * 90_000
    assert min(steps) > 0


def test_a_paused_producer_is_silent_for_everybody_and_starts_with_a_keyframe():
    world, view = call()
    producer = view.consumer.producer
    world.commands.pause(EntityKind.PRODUCER, producer.id, world.now)
    world.run(100 * MS)
    before, keyframes = view.sink.figures.packets, view.sink.figures.keyframes
    world.run(3 * SECOND)
    assert view.sink.figures.packets == before
    world.commands.resume(EntityKind.PRODUCER, producer.id, world.now)
    world.run(SECOND)
    assert view.sink.figures.keyframes == keyframes + 1
    assert view.sink.figures.frames > 20


def test_who_vanishes_is_noticed_by_consent_and_costs_nobody_else():
    """RFC 7675: 30 s after the last check nothing more is sent; a while later the transport is given up."""
    world, view = call()
    anna, bert = world.visitors
    bert.connection.vanish()
    world.run(31 * SECOND)
    sent = bert.down.counters.sent
    world.run(20 * SECOND)
    assert bert.down.counters.sent == sent
    world.run(20 * SECOND)
    closed = [event for event in world.events if isinstance(event, EntityClosed) and event.kind is EntityKind.TRANSPORT]
    assert [(event.id, event.reason) for event in closed] == [(bert.transport.id, CloseReason.ICE_EXPIRED)]
    assert anna.transport.id in world.core.transports
    assert view.consumer.id not in world.core.shared.consumers


def test_who_says_goodbye_is_gone_at_once():
    world, _ = call()
    bert = world.visitors[1]
    bert.connection.close(world.now)
    world.run(100 * MS)
    closed = [event for event in world.events if isinstance(event, EntityClosed) and event.kind is EntityKind.TRANSPORT]
    assert [(event.id, event.reason) for event in closed] == [(bert.transport.id, CloseReason.DTLS_CLOSED)]


def test_a_viewer_whose_address_changes_keeps_its_picture():
    world, view = call()
    bert = world.visitors[1]
    bert.address = Address("udp", "203.0.113.99", 61000)
    bert.connection.restart_checks(world.now)
    before = view.sink.figures.frames
    world.run(2 * SECOND)
    assert view.sink.figures.frames > before + 40
    assert view.sink.figures.longest_gap < 500 * MS


def test_an_ice_restart_does_not_interrupt_the_picture():
    world, view = call()
    bert = world.visitors[1]
    ice = world.commands.restart_ice(bert.transport.id, world.now)
    world.run(SECOND)  # the old credentials still hold meanwhile
    bert.connection.connect(ice.username_fragment, ice.password, bert.transport.local_fingerprint, world.now)
    world.run(40 * SECOND)  # longer than consent lasts
    assert bert.transport.id in world.core.transports
    assert view.sink.figures.longest_gap < 100 * MS


def test_a_hundred_calls_connect_over_a_terrible_network():
    terrible = LinkConfig(loss=0.2, delay_ns=30 * MS, jitter_ns=30 * MS, reorder=0.1, duplicate=0.1)
    late = []
    for seed in range(100):
        world = World(seed=seed)
        visitor = world.add(up=terrible, down=terrible)
        if not world.run_until(lambda visitor=visitor: visitor.connection.connected_at is not None, 20 * SECOND):
            late.append(seed)
        assert world.defects == []
        states = [event for event in world.events if isinstance(event, TransportStateChanged)]
        assert states or seed in late
    assert late == []
