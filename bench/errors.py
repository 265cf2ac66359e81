"""What can end a bench early."""

from __future__ import annotations


class BenchError(Exception):
    """The bench could not be run; the message says why and what to do."""


def first_refusal(group: BaseExceptionGroup[BenchError]) -> BenchError:
    """Of a group that holds nothing else, such as a nursery raises."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, BenchError)
    return found
