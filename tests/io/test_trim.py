"""Trimming: once after many handshakes, not while they go on, and it gives memory back."""

from __future__ import annotations

import ctypes
import itertools
from collections import Counter
from pathlib import Path

import pytest
import trio
import trio.testing

from server.io import trim

# Handshakes that ended before each look, and the looks after which memory is given back.
CASES = (
    ([trim.MANY - 1, 0, 0], []),
    ([trim.MANY, 0, 0, 0], [2]),
    ([30, 30, 0, 0], [3]),
    ([30, 0, 30, 0, 0], [4]),
    ([300, 300, 300, 300, 300, 0], [4, 6]),
    ([60, 0, 20, 0, 60, 0], [2, 6]),
)


@pytest.mark.parametrize(("ended", "expected"), CASES)
def test_it_waits_for_a_crowd_and_its_end(ended: list[int], expected: list[int]):
    crowds = trim.Crowds(7)
    looks = enumerate(itertools.accumulate(ended, initial=7))
    assert [look for look, total in looks if crowds.over(total)] == expected


async def test_a_crowd_is_followed_by_a_trim():
    handshakes, trimmed = Counter({"connected": 1}), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trim.serve_trim, handshakes, lambda: trio.from_thread.run_sync(trimmed.set))
        await trio.testing.wait_all_tasks_blocked()
        handshakes["connected"] += trim.MANY
        with trio.fail_after(20):
            await trimmed.wait()
        nursery.cancel_scope.cancel()


async def test_without_the_function_nothing_is_served():
    await trim.serve_trim(Counter(), None)


def test_holes_go_back_to_the_system():
    give_back = trim.trimmer()
    if give_back is None:
        pytest.skip("this C library can't")
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = (
        ctypes.c_void_p,
        [ctypes.c_size_t],
        [ctypes.c_void_p],
    )
    pages = [libc.malloc(16_000) for _ in range(2000)]
    for page in pages:
        ctypes.memset(page, 1, 16_000)
    for index, page in enumerate(pages):
        if index % 8:
            libc.free(page)
    before = _resident()
    give_back()
    given = before - _resident()
    for page in pages[::8]:
        libc.free(page)
    assert given > 10 << 20


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
