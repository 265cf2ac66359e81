"""Gives back to the system what a crowd of newcomers leaves behind.

A DTLS handshake takes 77 KiB for a moment, and what a viewer keeps lies between such holes: after 300 of them the
allocator holds 12 MiB that nobody uses, 40 KiB a viewer. It returns them only when asked to.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Callable

import trio

LOOK_SECONDS = 1.0
MANY = 50  # handshakes since the last time: 4 MiB
TOO_MANY = 1000  # then newcomers are not waited for to stop


def trimmer() -> Callable[[], object] | None:
    """What returns whole free pages to the system; None where the C library has no such function."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return lambda: trim(0)


class Crowds:
    """When it is worth while: once after many handshakes, as soon as none has ended since the last look."""

    def __init__(self, ended: int) -> None:
        self._done = self._before = ended

    def over(self, ended: int) -> bool:
        """One look. `ended`: handshakes so far."""
        many = ended - self._done >= (MANY if ended == self._before else TOO_MANY)
        self._before = ended
        if many:
            self._done = ended
        return many


async def serve_trim(handshakes: Counter[str], trim: Callable[[], object] | None) -> None:
    """Until cancelled: `trim` after crowds. `handshakes`: how many ended so far, by how. It takes milliseconds without
    Python's lock, in a thread that no packet waits for."""
    crowds = Crowds(handshakes.total())
    while trim is not None:
        await trio.sleep(LOOK_SECONDS)
        if crowds.over(handshakes.total()):
            await trio.to_thread.run_sync(trim)
