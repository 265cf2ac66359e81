"""The table of streams against a dict, while it grows, moves and forgets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpfwd.tables_probe import Words

FIRST_SIZE = 1024


@given(
    st.integers(0, 2**64 - 1),
    st.integers(450, 2990),
    st.lists(st.tuples(st.sampled_from("ppppr"), st.integers(0, 4000)), max_size=500),
)
def test_it_holds_what_a_dict_holds(seed: int, begins_with: int, steps: list[tuple[str, int]]) -> None:
    table, model = Words(3000, seed), {key: key + 1 for key in range(begins_with)}  # about to grow, growing, or full
    for key, value in model.items():
        assert table.put(key, value)
    for number, (what, key) in enumerate(steps, 5000):
        if what == "r":
            table.remove(key)
            model.pop(key, None)
        elif table.put(key, number):
            model[key] = number
        else:
            assert len(model) == 3000
    assert table.used == len(model)
    assert {key: table.get(key) for key in range(4001) if table.get(key)} == model


def test_it_grows_without_losing_sight_of_anything() -> None:
    table, moving = Words(100_000, 7), 0
    for key in range(100_000):
        assert table.put(key * 2**32, key + 1)
        moving += table.leaving > 0
        for earlier in (0, key // 3, key // 2, key - 1, key):  # in the table before or in this one
            assert table.get(max(earlier, 0) * 2**32) == max(earlier, 0) + 1
        assert table.used <= table.size // 2 + 1
    assert not table.put(1, 1)
    assert table.get(1) == 0
    assert 0 < moving < 50_000  # it moves while it is used, and has long moved when it is half full
    for key in range(100_000):
        table.remove(key * 2**32)
        assert table.get(key * 2**32) == 0
    assert table.used == 0


@pytest.mark.parametrize("seed", range(5))
def test_everything_is_found_at_every_step_of_a_move(seed: int) -> None:
    table, keys = Words(10_000, seed), list(range(1, FIRST_SIZE // 2 + 2))
    for key in keys:
        assert table.put(key, key)
    while table.leaving:
        assert [key for key in keys if table.get(key) != key] == []
        keys.append(len(keys) + 1)
        assert table.put(keys[-1], keys[-1])
    assert [key for key in keys if table.get(key) != key] == []


def test_what_is_removed_while_it_moves_stays_removed() -> None:
    table = Words(10_000, 3)
    keys = list(range(1, FIRST_SIZE // 2 + 2))
    for key in keys:
        assert table.put(key, key)
    assert table.leaving == FIRST_SIZE
    for key in keys[::2]:
        table.remove(key)
    for key in range(10_000, 10_400):  # until all have moved
        assert table.put(key, key)
    assert table.leaving == 0
    assert [key for key in keys if table.get(key)] == keys[1::2]


def test_a_new_table_is_small() -> None:
    assert Words(200_000, 1).size == FIRST_SIZE
    assert Words(10, 1).size == 32
