"""A lossy path in virtual time: what is lost on the way in and on the way out is asked for, sent again and shown."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from server.rtc.dtls_context import PROFILE_AEAD_AES_128_GCM, PROFILE_AES128_CM_SHA1_80
from server.testing.netem import MS, LinkConfig
from server.testing.streams import SECOND
from server.testing.world import World


@dataclass(frozen=True)
class Path:
    """One kind of network, the same in both directions, and what must hold on it over 30 s of video."""

    name: str
    link: LinkConfig
    repaired_share: float  # of what the viewer missed, within two round trips
    longest_gap_ms: int  # between two complete frames

    @property
    def rtt(self) -> int:
        return 2 * (self.link.delay_ns + self.link.jitter_ns)


PATHS = [
    Path("five percent", LinkConfig(loss=0.05, delay_ns=20 * MS), 0.95, 500),
    Path("five percent, far away", LinkConfig(loss=0.05, delay_ns=100 * MS), 0.95, 1300),
    Path("two percent with jitter", LinkConfig(loss=0.02, delay_ns=30 * MS, jitter_ns=15 * MS), 0.95, 500),
    Path("reordering and duplicates", LinkConfig(reorder=0.05, duplicate=0.05, delay_ns=20 * MS), 0.0, 200),
    Path("fifteen percent", LinkConfig(loss=0.15, delay_ns=15 * MS), 0.85, 1500),
]


def by_name(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("path", PATHS, ids=by_name)
def test_a_viewer_behind_a_bad_path_gets_its_packets(path: Path):
    world = World(seed=11)
    anna, bert = world.add(), world.add(up=path.link, down=path.link)
    camera = world.publish(anna, video=True)
    view = world.watch(bert, camera, rtt_ns=path.rtt)
    world.run(30 * SECOND)
    seen = view.sink.figures
    missed = seen.holes - seen.filled_late
    in_time = sum(took <= 2 * path.rtt + 20 * MS for took in seen.repaired)
    assert in_time >= path.repaired_share * missed, (in_time, missed, seen.given_up)
    assert missed or not path.link.loss
    assert seen.frames >= 0.9 * 30 * 25
    assert seen.longest_gap <= path.longest_gap_ms * MS
    assert seen.foreign == bert.connection.unclaimed == 0
    assert world.defects == []


@pytest.mark.parametrize("path", PATHS, ids=by_name)
def test_a_publisher_behind_a_bad_path_is_asked_again(path: Path):
    world = World(seed=12)
    anna, bert = world.add(up=path.link, down=path.link), world.add()
    camera = world.publish(anna, video=True)
    view = world.watch(bert, camera)
    world.run(30 * SECOND)
    seen = view.sink.figures
    if path.link.loss:
        assert camera.source.retransmitted > 0
    assert seen.packets >= 0.99 * camera.source.sent * (29 / 30)
    assert seen.frames >= 0.9 * 30 * 25
    assert seen.longest_gap <= (path.longest_gap_ms + 1000) * MS
    assert world.defects == []


@pytest.mark.parametrize("profile", [PROFILE_AEAD_AES_128_GCM, PROFILE_AES128_CM_SHA1_80])
def test_loss_on_both_paths_with_sound_and_picture(profile: int):
    link = LinkConfig(loss=0.05, delay_ns=20 * MS)
    world = World(seed=13)
    anna = world.add(up=link, down=link, profiles=(profile,))
    bert = world.add(up=link, down=link, profiles=(profile,))
    camera, voice = world.publish(anna, video=True), world.publish(anna, video=False)
    picture, sound = world.watch(bert, camera), world.watch(bert, voice)
    world.run(30 * SECOND)
    assert anna.connection.profile == bert.connection.profile == profile
    assert picture.sink.figures.frames >= 0.9 * 30 * 25
    assert sound.sink.figures.packets >= 0.88 * voice.source.sent  # 0.95 squared: voice is not asked for again
    assert picture.sink.figures.longest_gap < 1500 * MS
    assert world.defects == []


def test_an_outage_of_three_seconds_ends_with_a_picture():
    good, dead = LinkConfig(delay_ns=20 * MS), LinkConfig(loss=1.0)
    world = World(seed=14)
    anna, bert = world.add(up=good, down=good), world.add(up=good, down=good)
    camera = world.publish(anna, video=True)
    view = world.watch(bert, camera)
    world.run(10 * SECOND)
    bert.up.config = bert.down.config = dead
    world.run(3 * SECOND)
    before = view.sink.figures.frames
    bert.up.config = bert.down.config = good
    world.run(2 * SECOND)
    assert view.sink.figures.frames > before + 20
    assert 3 * SECOND < view.sink.figures.longest_gap < 4.5 * SECOND
