"""The plane's shortcut for routine checks changes nothing: a transport with it and one without live the same life."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

import pytest

from server.media.events import EntityClosed, MediaEvent, TransportStateChanged
from server.media.webrtc_transport import WebRtcTransport
from server.rtc import stun
from server.rtc.address import Address
from server.rtc.ice_lite import Path
from tests.media.entities import NOW, Bench

T = TypeVar("T")
SECOND = 1_000_000_000
SOURCES = [
    Address("udp", "192.0.2.1", 1001),
    Address("udp", "2001:db8::2", 1002),
    Address("tcp", "192.0.2.3", 1003),
]


class Life:
    """One transport whose remote sends checks, and what came of them."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.bench.router()
        self.transport = self.bench.transport("one", connected=False)
        self.plane = self.bench.planes[0]
        self.now = NOW
        self.offered = [self.transport.ice_parameters]
        self.happened: list[tuple[int, MediaEvent]] = []
        self.sent: list[tuple[int, int, tuple[str, str, int], bytes]] = []

    def check(self, source: Address, data: bytes) -> None:
        self.plane.ingest([(0, source, data)], self.now)
        while (handed := self.plane.poll_handoff()) is not None:
            self.bench.core.receive(0, *handed, self.now)
        self.collect()

    def wait(self, duration: int) -> None:
        until = self.now + duration
        while (due := self.bench.core.next_timeout()) is not None and due <= until:
            self.now = max(self.now, due)
            self.bench.core.handle_timeout(self.now)
            self.collect()
        self.now = until

    def restart(self) -> None:
        if "one" in self.bench.core.transports:
            self.offered.append(self.bench.commands.restart_ice("one", self.now))
            self.collect()

    def lose(self, source: Address) -> None:
        self.bench.core.path_lost(0, 0, source, self.now)
        self.collect()

    def collect(self) -> None:
        while (output := self.bench.core.poll_transmit()) is not None:
            self.sent.append((self.now, output[1], tuple(output[2]), output[3]))
        while (answer := self.plane.poll_transmit()) is not None:
            self.sent.append((self.now, *answer))
        self.happened += [(self.now, event) for event in self.bench.events()]

    def answered_by_the_plane(self) -> int:
        return self.plane.counters()["consent_checks_answered"]


def usual(rng: random.Random, common: T, *others: T) -> T:
    """Nine times in ten the first."""
    return common if rng.random() < 0.9 else rng.choice(others)


def random_step(life: Life, rng: random.Random) -> None:
    """The same for every life that has lived the same so far."""
    choice = rng.random()
    if choice < 0.02:
        life.restart()
    elif choice < 0.03:
        life.lose(rng.choice(SOURCES))
    elif choice < 0.4:
        life.wait(usual(rng, 5, 1, 12, 29, 30, 31, 40) * SECOND)
    else:
        ice = usual(rng, life.offered[-1], *life.offered)
        options: dict[str, int] = {}
        if rng.random() < 0.02:
            options["nomination"] = rng.randrange(4)
        if rng.random() < 0.05:
            options["ice_controlled"] = 5
        data = stun.build_request(
            f"{ice.username_fragment}:{usual(rng, 'peer', 'reep')}",
            usual(rng, ice.password, "wrong"),
            priority=usual(rng, 100, 200),
            use_candidate=rng.random() < 0.5,
            transaction_id=rng.randbytes(12),
            **options,
        )
        life.check(usual(rng, *SOURCES), data)


def live(seed: int) -> Life:
    life = Life()
    rng = random.Random(seed)
    for _ in range(500):
        random_step(life, rng)
    assert life.bench.defects == []
    return life


@pytest.mark.parametrize("seed", range(12))
def test_with_and_without_the_shortcut_the_same_is_sent_and_said_at_the_same_times(
    seed: int, monkeypatch: pytest.MonkeyPatch
):
    quick = live(seed)
    monkeypatch.setattr(WebRtcTransport, "_tell_routine", lambda transport: None)
    plain = live(seed)
    assert quick.sent == plain.sent
    assert quick.happened == plain.happened
    assert quick.bench.core.drops == plain.bench.core.drops
    assert plain.answered_by_the_plane() == 0
    states = [event for _, event in plain.happened if isinstance(event, TransportStateChanged | EntityClosed)]
    assert len(states) > 1


def test_such_lives_use_the_shortcut_and_go_through_every_state():
    lives = [live(seed) for seed in range(12)]
    assert sum(life.answered_by_the_plane() for life in lives) > 500
    seen = {event.ice_state for life in lives for _, event in life.happened if isinstance(event, TransportStateChanged)}
    assert seen >= {"connected", "completed", "disconnected"}
    assert any(isinstance(event, EntityClosed) for life in lives for _, event in life.happened)


def say(life: Life, source: Address, *, nominate: bool = True, priority: int = 100, old: bool = False) -> None:
    """A good check a second after the last one."""
    ice = life.offered[0 if old else -1]
    username, transaction = f"{ice.username_fragment}:peer", life.now.to_bytes(12, "big")
    life.wait(SECOND)
    life.check(
        source,
        stun.build_request(
            username, ice.password, priority=priority, use_candidate=nominate, transaction_id=transaction
        ),
    )


def by_turns(life: Life) -> None:
    """RFC 5245 section 8.1.1.2: the better priority stays, though ICE has not seen its latest nominations itself."""
    for _ in range(10):
        say(life, SOURCES[0], priority=200)
        say(life, SOURCES[1], priority=100)
    assert life.transport._selected == Path(0, SOURCES[0])


def a_nomination_taken_back(life: Life) -> None:
    """The latest check on the selected path nominates it no more, so the other's nomination is not one by turns."""
    say(life, SOURCES[0], priority=200)
    say(life, SOURCES[1], priority=100)
    say(life, SOURCES[0], priority=200)
    say(life, SOURCES[0], priority=200)
    say(life, SOURCES[0], priority=200, nominate=False)
    say(life, SOURCES[1], priority=100)
    assert life.transport._selected == Path(0, SOURCES[1])
    say(life, SOURCES[1], priority=100)


def an_old_password_after_a_restart(life: Life) -> None:
    """The new one was proved on another path; the selected path's old one is refused from then on."""
    say(life, SOURCES[0])
    say(life, SOURCES[0])
    life.restart()
    say(life, SOURCES[1], nominate=False)
    assert life.transport._selected == Path(0, SOURCES[0])
    say(life, SOURCES[0], nominate=False, old=True)
    assert life.bench.core.drops == {"stun-unknown-username": 1}


def a_restart_that_was_only_offered(life: Life) -> None:
    """The old password goes on."""
    say(life, SOURCES[0])
    life.restart()
    for _ in range(40):
        say(life, SOURCES[0], old=True)
    assert life.transport.ice_state == "completed"


@pytest.mark.parametrize(
    "script", [by_turns, a_nomination_taken_back, an_old_password_after_a_restart, a_restart_that_was_only_offered]
)
def test_the_finer_points(script: Callable[[Life], None], monkeypatch: pytest.MonkeyPatch):
    quick, plain = Life(), Life()
    script(quick)
    monkeypatch.setattr(WebRtcTransport, "_tell_routine", lambda transport: None)
    script(plain)
    assert quick.sent == plain.sent
    assert quick.happened == plain.happened
    assert quick.answered_by_the_plane() > 0
    assert quick.bench.defects == plain.bench.defects == []
