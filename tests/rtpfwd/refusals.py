"""Kernels that refuse: one thread behind a seccomp filter (seccomp(2)), or in network namespaces of its own."""

from __future__ import annotations

import ctypes
import platform
import struct
import subprocess
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2
_CLONE_NEWNET = 0x40000000
_X86_64 = 0xC000003E
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000

SETSOCKOPT, GETSOCKOPT, SENDMMSG = 54, 55, 307  # of x86-64
T = TypeVar("T")


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def refuse(call: int, error: int, *, third_argument: int | None = None) -> None:
    """From now on this thread's calls of that number (with that third argument) fail with `error`. No way back."""
    if platform.machine() != "x86_64":
        pytest.skip("the numbers of the system calls are those of x86-64")
    tests = [(4, _X86_64), (0, call)] + ([] if third_argument is None else [(32, third_argument)])
    steps: list[tuple[int, int, int, int]] = []
    for place, (offset, value) in enumerate(tests):
        left = 2 * (len(tests) - place) - 1  # steps from behind this test to the one that allows
        steps += [(_LOAD, 0, 0, offset), (_EQUAL, 0, left, value)]
    steps += [(_RETURN, 0, 0, _ERRNO | error), (_RETURN, 0, 0, _ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = _Program(len(steps), ctypes.addressof(code))
    if _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or _LIBC.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(program)):
        pytest.skip("this machine lets no program filter its own system calls")


def in_thread(work: Callable[[], T]) -> T:
    """What `work` returns or raises in a thread of its own: what it does to its thread ends with it."""
    result: list[Any] = []

    def run() -> None:
        try:
            result.append((work(), None))
        except BaseException as error:  # raised where it was asked for
            result.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    value, error = result[0]
    if error is not None:
        raise error
    return value


def enter_namespace() -> None:
    """Move this thread, and what it opens and starts from now on, into an empty network namespace with a loopback."""
    if _LIBC.unshare(_CLONE_NEWNET):
        pytest.skip("making network namespaces takes root")
    command("ip", "link", "set", "lo", "up")


def command(*words: str) -> None:
    """Run a program in this thread's namespace. Skips the test with what it said when it fails."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"`{' '.join(words)}` does not work here: {done.stderr.strip()}")
