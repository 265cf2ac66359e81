"""A call that is too large for one lane, in virtual time: its producers are mirrored, and nobody notices."""

from __future__ import annotations

from server.media.placement import STAY
from server.testing.netem import MS, LinkConfig
from server.testing.streams import SECOND
from server.testing.world import World

LOSSY = LinkConfig(loss=0.05, delay_ns=20 * MS)


def test_viewers_on_both_lanes_see_everything_over_bad_paths():
    world = World(seed=21, lanes=2)
    anna = world.add(up=LOSSY, down=LOSSY)
    camera, microphone = world.publish(anna, video=True), world.publish(anna, video=False)
    visitors = [world.add(up=LOSSY, down=LOSSY) for _ in range(STAY)]
    views = [(world.watch(visitor, camera), world.watch(visitor, microphone)) for visitor in visitors]
    lanes = {visitor.transport.media.lane for visitor in visitors}
    assert lanes == {0, 1}
    world.run(20 * SECOND)
    for visitor, (video, audio) in zip(visitors, views, strict=True):
        seen = video.sink.figures
        missed = seen.holes - seen.filled_late
        in_time = sum(took <= 2 * 40 * MS + 40 * MS for took in seen.repaired)
        assert in_time >= 0.9 * missed, (visitor.transport.media.lane, in_time, missed, seen.given_up)
        assert seen.frames >= 0.9 * 20 * 25
        assert seen.longest_gap <= 600 * MS
        assert audio.sink.figures.packets >= 0.85 * 20 * 50  # no retransmission, and 5 % lost twice
        assert seen.foreign == visitor.connection.unclaimed == 0
    assert world.defects == []


def test_the_publisher_may_be_on_either_lane_and_leave():
    world = World(seed=22, lanes=2)
    visitors = [world.add() for _ in range(STAY + 8)]
    away = next(visitor for visitor in visitors if visitor.transport.media.lane == 1)
    at_home = next(visitor for visitor in visitors if visitor.transport.media.lane == 0)
    camera = world.publish(away, video=True)
    view = world.watch(at_home, camera)
    world.run(3 * SECOND)
    assert view.sink.figures.frames >= 2 * 25
    assert set(camera.producer.mirrors) == {0}
    away.connection.close(world.now)
    world.run(2 * SECOND)
    assert camera.producer.mirrors == {}
    assert all(plane.counters()["streams"] == 0 for plane in world.planes)
    assert world.defects == []
