"""Who is heard and who is told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.media.adaptation_settings import AdaptationSettings
from server.media.events import ActiveSpeakersChanged
from server.media.policies import Choice, Shelf
from server.media.router import Router
from server.media.speakers import Room, choose_heard, moved_forward
from server.policy.registry import standard_registry
from server.rtc.capabilities import router_capabilities

MS = 1_000_000
NAMES = ["a", "b", "c", "d", "e"]


@given(st.lists(st.sampled_from(NAMES), unique=True), st.lists(st.sampled_from(NAMES), unique=True), st.integers(0, 6))
def test_as_many_are_heard_as_there_are_places_and_who_spoke_last_is_among_them(recent, microphones, most):
    heard = choose_heard(recent, microphones, most)
    assert heard <= set(microphones)
    assert len(heard) == (min(most, len(microphones)) if most else len(microphones))
    spoke = [name for name in recent if name in microphones]
    if most:
        assert set(spoke[:most]) <= heard


@given(st.lists(st.sampled_from(NAMES), unique=True), st.lists(st.sampled_from(NAMES)))
def test_who_speaks_comes_to_the_front_and_nobody_is_lost(recent, speaking):
    after = moved_forward(recent, speaking)
    assert set(after) == set(recent) | set(speaking)
    assert len(after) == len(set(after))
    assert set(after[: len(set(speaking))]) == set(speaking)


def room() -> Room:
    shelf = Shelf(standard_registry(())[0], AdaptationSettings(), lambda: 0)
    return Room(Router("room", 0, router_capabilities()), shelf, Choice("dominant"), 0)


def talk(room: Room, levels: dict[str, int], start: int, duration: int) -> list[tuple[int, ActiveSpeakersChanged]]:
    told = []
    for now in range(start, start + duration, 50 * MS):
        room.listen(levels, now)
        event = room.tell(now)
        if event is not None:
            told.append((now, event))
    return told


def test_one_who_speaks_becomes_dominant_and_the_next_one_takes_over():
    table = room()
    talk(table, {"a": 100, "b": 100}, 0, 1000 * MS)
    first = talk(table, {"a": 30, "b": 100}, 1000 * MS, 3000 * MS)
    assert first[-1][1].dominant == "a"
    second = talk(table, {"a": 100, "b": 30}, 4000 * MS, 5000 * MS)
    assert second[-1][1].dominant == "b"
    assert table.heard(["a", "b"], 1) == {"b"}
    assert len(first) + len(second) <= 6


def test_who_is_loud_is_heard_before_anybody_is_sure():
    table = room()
    table.listen({"a": 100, "b": 30}, 50 * MS)
    assert table.speakers.dominant is None
    assert table.heard(["a", "b", "c"], 1) == {"b"}


def test_one_who_is_gone_speaks_no_more():
    table = room()
    talk(table, {"a": 100}, 0, 1000 * MS)
    talk(table, {"a": 30}, 1000 * MS, 3000 * MS)
    table.forget("a")
    event = table.tell(5000 * MS)
    assert event == ActiveSpeakersChanged("room", None, ())


def test_a_swapped_detector_goes_on_from_what_the_one_before_said():
    table = room()
    talk(table, {"a": 100}, 0, 1000 * MS)
    talk(table, {"a": 30}, 1000 * MS, 3000 * MS)
    table.use(Choice("loudest"), 4000 * MS)
    table.listen({}, 4050 * MS)
    assert table.speakers.dominant == "a"
    assert table.policy == "loudest"
    assert [entry.what for entry in table.router.decisions.entries()] == ["policy"]
