"""What waits for a socket that takes no more: order, bound, and who goes first."""

from __future__ import annotations

import random

import pytest

from rtpfwd.backlog import BacklogProbe

OTHER, AUDIO, VIDEO = 0, 1, 2
NAMES = {OTHER: "other", AUDIO: "audio", VIDEO: "video"}


class Model:
    """The same in the plainest way."""

    def __init__(self) -> None:
        self.waiting: list[tuple[int, int, bytes]] = []
        self.dropped = dict.fromkeys(NAMES.values(), 0)

    def push(self, line: int, kind: int, data: bytes) -> None:
        if len(self.waiting) == BacklogProbe.slots:
            worst = max(kind, *(each[1] for each in self.waiting))
            self.dropped[NAMES[worst]] += 1
            found = next((each for each in self.waiting if each[1] == worst), None)
            if found is None:
                return
            self.waiting.remove(found)
        self.waiting.append((line, kind, data))

    def pop(self, line: int) -> bytes | None:
        found = next((each for each in self.waiting if each[0] == line), None)
        if found is None:
            return None
        self.waiting.remove(found)
        return found[2]

    def clear(self, line: int) -> None:
        for each in [each for each in self.waiting if each[0] == line]:
            self.dropped[NAMES[each[1]]] += 1
            self.waiting.remove(each)


def fill(backlog: BacklogProbe, kind: int, line: int = 0) -> None:
    for number in range(BacklogProbe.slots):
        backlog.push(line, kind, number.to_bytes(2, "big"))


def test_each_line_keeps_its_order():
    backlog = BacklogProbe()
    for number in range(30):
        backlog.push(number % 3, VIDEO if number % 2 else OTHER, bytes([number]))
    assert [backlog.pop(1) for _ in range(11)] == [bytes([n]) for n in range(1, 30, 3)] + [None]
    assert [backlog.pop(0) for _ in range(11)] == [bytes([n]) for n in range(0, 30, 3)] + [None]
    assert backlog.counts() == (10, {"other": 0, "audio": 0, "video": 0})


@pytest.mark.parametrize(
    ("full_of", "newcomer", "dropped", "kept"),
    [
        (VIDEO, VIDEO, VIDEO, True),
        (VIDEO, AUDIO, VIDEO, True),
        (VIDEO, OTHER, VIDEO, True),
        (AUDIO, VIDEO, VIDEO, False),
        (AUDIO, AUDIO, AUDIO, True),
        (AUDIO, OTHER, AUDIO, True),
        (OTHER, VIDEO, VIDEO, False),
        (OTHER, AUDIO, AUDIO, False),
        (OTHER, OTHER, OTHER, True),
    ],
)
def test_when_full_the_oldest_of_what_matters_least_goes(full_of, newcomer, dropped, kept):
    backlog = BacklogProbe()
    fill(backlog, full_of)
    backlog.push(1, newcomer, b"new")
    count, drops = backlog.counts()
    assert count == BacklogProbe.slots
    assert drops == {name: int(name == NAMES[dropped]) for name in NAMES.values()}
    assert backlog.pop(1) == (b"new" if kept else None)
    assert backlog.pop(0) == (1 if kept else 0).to_bytes(2, "big")


def test_the_room_of_a_line_that_goes_away_is_free_again():
    backlog = BacklogProbe()
    fill(backlog, VIDEO, line=2)
    backlog.clear(2)
    assert backlog.counts() == (0, {"other": 0, "audio": 0, "video": BacklogProbe.slots})
    fill(backlog, AUDIO, line=3)
    assert backlog.counts()[1]["audio"] == 0
    assert backlog.pop(2) is None


def test_a_datagram_longer_than_a_place_is_dropped():
    backlog = BacklogProbe()
    backlog.push(0, AUDIO, bytes(2049))
    assert backlog.counts() == (0, {"other": 0, "audio": 1, "video": 0})
    backlog.push(0, AUDIO, bytes(2048))
    assert backlog.pop(0) == bytes(2048)


def test_it_does_what_the_plainest_model_does():
    chance = random.Random(7)
    backlog, model = BacklogProbe(), Model()
    for step in range(12_000):
        line = chance.randrange(8)
        action = chance.random()
        if action < 0.75:
            kind = chance.choices((OTHER, AUDIO, VIDEO), (1, 4, 5))[0]
            data = step.to_bytes(4, "big") * chance.randrange(1, 5)
            backlog.push(line, kind, data)
            model.push(line, kind, data)
        elif action < 0.999:
            assert backlog.pop(line) == model.pop(line)
        else:
            backlog.clear(line)
            model.clear(line)
        assert backlog.counts() == (len(model.waiting), model.dropped)
    assert min(model.dropped.values()) > 0
    for line in range(8):
        while (expected := model.pop(line)) is not None:
            assert backlog.pop(line) == expected
        assert backlog.pop(line) is None
