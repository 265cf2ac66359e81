"""How a comparison takes turns, refuses, and divides. The servers are real in test_compare_janus.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bench.compare import Contender, Results, in_json, play_rounds, ratio
from bench.figures import Spread
from bench.measurement import Run
from bench.target import Room, Target


def run(cpu_us: float | None = 2.0, *, loss: float = 0.0, invalid: str = "", **figures: float | None) -> Run:
    return Run("server", "", {"cpu_us": cpu_us, "loss": loss, **figures}, {}, 0.0, (invalid,) if invalid else ())


class Server:
    """A target that is only opened and closed."""

    version = "1.0"
    tuning = "none"
    pid = 0

    def __init__(self, name: str) -> None:
        self.name = name

    async def open_room(self) -> Room:
        raise NotImplementedError

    async def counters(self) -> dict[str, float]:
        return {}


class Log:
    """What was opened, measured and closed, in order; and the runs that the measurements answer."""

    def __init__(self, **answers: list[Run]) -> None:
        self.said: list[str] = []
        self.answers = answers

    def contender(self, name: str) -> Contender:
        @asynccontextmanager
        async def opened() -> AsyncIterator[Target]:
            self.said.append(f"open {name}")
            try:
                yield Server(name)
            finally:
                self.said.append(f"close {name}")

        return Contender(name, opened)

    async def measure(self, target: Target) -> Run:
        self.said.append(f"measure {target.name}")
        return self.answers[target.name].pop(0)


async def test_servers_take_turns_and_every_measurement_has_a_fresh_one():
    log = Log(a=[run(1), run(2)], b=[run(10), run(20)])
    a, b = await play_rounds([log.contender("a"), log.contender("b")], 2, log.measure)
    turn = ["open a", "measure a", "close a", "open b", "measure b", "close b"]
    assert log.said == turn * 2
    assert [each.figures["cpu_us"] for each in (*a.runs, *b.runs)] == [1, 2, 10, 20]
    assert (a.name, a.version, a.tuning) == ("a", "1.0", "none")


async def test_an_invalid_measurement_is_made_once_more():
    log = Log(a=[run(1, invalid="late"), run(2)])
    (a,) = await play_rounds([log.contender("a")], 1, log.measure)
    assert [each.figures["cpu_us"] for each in a.runs] == [2]
    assert [each.invalid for each in a.refused] == [("late",)]
    assert a.valid


async def test_what_is_invalid_twice_makes_the_comparison_invalid():
    log = Log(a=[run(1, invalid="late"), run(2, invalid="drops")], b=[run(10)])
    a, b = await play_rounds([log.contender("a"), log.contender("b")], 1, log.measure)
    assert not a.valid
    assert ratio(a, b) is None
    report = in_json([a, b], has_default=False)
    assert report["valid"] is False
    assert report["ratio"] is None
    assert report["servers"][0]["runs"][0]["invalid"] == ["drops"]
    assert report["servers"][0]["summary"] == {}


def test_the_ratio_is_taken_round_by_round():
    ours = Results("ours", runs=[run(1), run(2), run(4)])
    theirs = Results("theirs", runs=[run(30), run(30), run(30)])
    assert ratio(ours, theirs) == Spread(15, 7.5, 30)


def test_a_round_counts_only_when_both_are_valid():
    ours = Results("ours", runs=[run(1), run(1, invalid="late"), run(1)])
    theirs = Results("theirs", runs=[run(10, invalid="late"), run(20), run(30)])
    assert ratio(ours, theirs) == Spread(30, 30, 30)


@pytest.mark.parametrize("missing", [None, 0.0])
def test_there_is_no_ratio_to_what_was_not_measured(missing: float | None):
    assert ratio(Results("ours", runs=[run(missing)]), Results("theirs", runs=[run(1)])) is None


def test_instructions_of_both_modes_are_added():
    ours = Results("ours", runs=[run(instructions_user=1000, instructions_kernel=3000)])
    theirs = Results("theirs", runs=[run(instructions_user=20_000, instructions_kernel=20_000)])
    report = in_json([ours, theirs], has_default=False)
    assert report["ratio_instructions"] == {"median": 10, "low": 10, "high": 10}
    theirs.runs = [run(instructions_user=20_000, instructions_kernel=None)]
    assert in_json([ours, theirs], has_default=False)["ratio_instructions"] is None


def test_the_default_tuning_has_a_ratio_of_its_own():
    ours, best, default = (Results(name, runs=[run(cpu)]) for name, cpu in (("ours", 2), ("best", 20), ("default", 50)))
    report = in_json([ours, best, default], has_default=True)
    assert (report["ratio"]["median"], report["ratio_default"]["median"]) == (10, 25)
    assert [server["label"] for server in report["servers"]] == ["ours", "best", "default"]


@pytest.mark.parametrize(("loss", "keeps_up"), [(0.0, True), (0.001, True), (0.002, False)])
def test_who_loses_more_than_a_thousandth_is_marked(loss: float, keeps_up: bool):
    report = in_json([Results("a", runs=[run()]), Results("b", runs=[run(loss=loss)])], has_default=False)
    assert [server["keeps_up"] for server in report["servers"]] == [True, keeps_up]
