"""A watcher that reads too slowly loses events, learns how many, and costs no memory."""

from __future__ import annotations

import pytest

from protos.control import ErrorCode, NodeError
from server.control.watch import Watchers
from server.media.events import CloseReason, EntityClosed, EntityKind


def closed(number: int) -> EntityClosed:
    return EntityClosed(EntityKind.CONSUMER, str(number), CloseReason.REQUESTED)


async def test_a_slow_watcher_is_told_how_much_it_missed_where_it_missed_it():
    watchers = Watchers(buffered_events=4)
    async with watchers.watch() as events:
        for number in range(10):
            watchers.publish(closed(number))
        first = [(await anext(events)).closed.id for _ in range(3)]
        watchers.publish(closed(10))  # while the reader is still behind
        fourth = (await anext(events)).closed.id
        lagged = (await anext(events)).lagged
        watchers.publish(closed(11))
        assert (await anext(events)).closed.id == "11"
    assert [*first, fourth] == ["0", "1", "2", "3"]
    assert lagged.dropped == 7


async def test_one_slow_watcher_takes_nothing_from_another():
    watchers = Watchers(buffered_events=8)
    async with watchers.watch(), watchers.watch() as quick:
        for number in range(40):
            watchers.publish(closed(number))
            assert (await anext(quick)).closed.id == str(number)


async def test_watchers_are_limited_and_a_place_is_given_back():
    watchers = Watchers(max_watchers=1)
    async with watchers.watch():
        with pytest.raises(NodeError) as refused:
            async with watchers.watch():
                pass
        assert refused.value.code is ErrorCode.RESOURCE_EXHAUSTED
    async with watchers.watch():
        pass
