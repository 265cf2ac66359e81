"""A peer's server as a child process: on the CPUs that are asked for, with its output in a file, ended for certain."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from bench.errors import BenchError

STOP_SECONDS = 5
_LAST_LINES = 12  # of its log, in an error

# Sets its own affinity, so that every thread of the program inherits it, and becomes the program: the pid stays.
_PINNED = (
    "import os, sys; os.sched_setaffinity(0, map(int, sys.argv[1].split(','))); os.execvp(sys.argv[2], sys.argv[2:])"
)


def pinned(command: Sequence[str], cpus: Sequence[int]) -> list[str]:
    """The command, on these CPUs; on any when none is named."""
    return [sys.executable, "-c", _PINNED, ",".join(map(str, cpus)), *command] if cpus else list(command)


def free_port(address: str) -> int:
    """A TCP port that was free a moment ago, for servers that must be told one."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


class ServerProcess:
    """A running server."""

    def __init__(self, process: trio.Process, name: str, log: Path) -> None:
        self.pid = process.pid
        self._process = process
        self._name = name
        self._log = log

    def check(self) -> None:
        """BenchError with the end of its log when it has ended."""
        if self._process.poll() is not None:
            raise BenchError(f"{self._name} ended with code {self._process.returncode}. {self.last_words()}")

    def last_words(self) -> str:
        """The end of its log, in one line."""
        lines = self._log.read_text(errors="replace").split("\n") if self._log.exists() else []
        said = [line.strip() for line in lines if line.strip()][-_LAST_LINES:]
        return f"It said: {' | '.join(said)}" if said else "It said nothing."

    async def wait_for_port(self, address: str, port: int, seconds: float) -> None:
        """Until it listens. BenchError when it ends before, or takes longer."""
        with trio.move_on_after(seconds):
            while True:
                self.check()
                try:
                    stream = await trio.open_tcp_stream(address, port)
                except OSError:
                    await trio.sleep(0.02)
                else:
                    await stream.aclose()
                    return
        raise BenchError(f"{self._name} did not listen on port {port} within {seconds:g} s. {self.last_words()}")


@asynccontextmanager
async def open_server(
    name: str,
    command: Sequence[str],
    *,
    log: Path,
    cpus: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[ServerProcess]:
    """A server for as long as the context lasts. Its standard output and error go to `log`."""
    with log.open("wb") as output:
        process = await trio.lowlevel.open_process(
            pinned(command, cpus),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
        )
    try:
        yield ServerProcess(process, name, log)
    finally:
        with trio.CancelScope(shield=True):
            await end(process)


async def end(process: trio.Process) -> None:
    """Ask it to end, and stop asking after a while."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    with trio.move_on_after(STOP_SECONDS):
        await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
