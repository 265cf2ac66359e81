"""A broken invariant in one transport costs that transport, is reported once, and leaves the others alone."""

from __future__ import annotations

import pytest

from server.media.errors import Broken
from server.media.events import CloseReason, EntityClosed, EntityKind
from server.rtc import stun
from server.testing.world import SECOND, World
from tests.media.entities import NOW, Bench, opus


def test_a_defect_in_a_command_closes_the_transport_and_says_so():
    bench = Bench()
    bench.router()
    broken, healthy = bench.transport("broken"), bench.transport("healthy")
    bench.produce("broken", "p", opus())
    bench.consume("healthy", "c", "p")
    bench.events()
    broken.restart_ice = lambda now: 1 // 0
    with pytest.raises(Broken, match="broken"):
        bench.commands.restart_ice("broken", NOW)
    assert [(what, type(error)) for what, error in bench.defects] == [("transport broken", ZeroDivisionError)]
    assert [event.id for event in bench.events() if isinstance(event, EntityClosed)] == ["c", "p", "broken"]
    assert list(bench.core.transports) == ["healthy"]
    assert healthy.connected


def test_a_transport_that_cannot_even_be_closed_is_gone():
    bench = Bench()
    bench.router()
    broken = bench.transport("broken")
    bench.transport("healthy")
    bench.produce("broken", "p", opus())
    bench.consume("healthy", "c", "p")
    broken.close = lambda reason, now: 1 // 0
    bench.commands.close(EntityKind.TRANSPORT, "broken", NOW)
    assert len(bench.defects) == 1
    assert list(bench.core.transports) == ["healthy"]
    assert not bench.core.shared.producers
    assert not bench.core.shared.consumers
    bench.produce("healthy", "p", opus())  # the ids are free again


@pytest.mark.parametrize("method", ["receive_stun_untrusted", "receive_dtls_untrusted", "handle_timeout", "drain"])
def test_a_defect_on_the_way_costs_one_transport(method):
    world = World(seed=3)
    anna, bert = world.add(), world.add()
    assert world.run_until(lambda: all(v.connection.connected_at is not None for v in (anna, bert)), 5 * SECOND)
    world.events.clear()

    def fail(*args):
        raise KeyError("an invariant")

    setattr(anna.transport, method, fail)
    if method == "receive_dtls_untrusted":
        world.core.receive(0, 0, anna.address, b"\x17\xfe\xfd" + bytes(20), world.now)
    if method == "receive_stun_untrusted":  # the plane answers the ordinary ones
        username = f"{anna.transport.ice_parameters.username_fragment}:x"
        world.core.receive(0, 0, anna.address, stun.build_request(username, "?", priority=1), world.now)
    world.run(70 * SECOND)
    closed = [event for event in world.events if isinstance(event, EntityClosed)]
    assert closed == [EntityClosed(EntityKind.TRANSPORT, anna.transport.id, CloseReason.INTERNAL_ERROR)]
    assert [type(error) for _, error in world.defects] == [KeyError]
    assert list(world.core.transports) == [bert.transport.id]
    assert bert.transport.ice_state == "completed"
