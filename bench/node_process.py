"""Starts a media node in a process of its own (bench/node.py) and commands it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import trio
from google.protobuf import json_format
from google.protobuf.message import Message

from bench.errors import BenchError

ROOT = Path(__file__).parent.parent
START_SECONDS = 30
ANSWER_SECONDS = 10
M = TypeVar("M", bound=Message)


class NodeProcess:
    """A running node. Commands of several tasks wait for each other."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.pid = process.pid
        self.ports: tuple[int, ...] = ()
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._pending = b""
        self._turn = trio.Lock()

    async def call(self, method: str, request: Message, reply: type[M]) -> M:
        """Run one method of protos.control.MediaNode. BenchError when the node refuses or has died."""
        message = json_format.MessageToDict(request, preserving_proto_field_name=True)
        return json_format.ParseDict(await self._ask({"method": method, "request": message}), reply())

    async def counters(self) -> dict[str, float]:
        """Every counter and gauge of the node, by the names of server/io/metrics.py."""
        answered: dict[str, float] = await self._ask({"method": "counters"})
        return answered

    async def ask(self, method: str, **arguments: object) -> dict[str, Any]:
        """Run one method of bench/node_commands.py."""
        return await self._ask({"method": method, **arguments})

    async def read_line(self, seconds: float) -> dict[str, Any]:
        """The next line that the node says."""
        with trio.move_on_after(seconds):
            while b"\n" not in self._pending:
                chunk = await self._stdout.receive_some()
                if not chunk:
                    raise BenchError("the media node's process ended; what it said is above")
                self._pending += chunk
            line, _, self._pending = self._pending.partition(b"\n")
            said: dict[str, Any] = json.loads(line)
            return said
        raise BenchError(f"the media node did not answer within {seconds:g} s; is this machine busy?")

    async def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        async with self._turn:
            try:
                await self._stdin.send_all(json.dumps(message).encode() + b"\n")
            except trio.BrokenResourceError:
                raise BenchError("the media node's process ended; what it said is above") from None
            answered = await self.read_line(ANSWER_SECONDS)
        if "error" in answered:
            raise BenchError(f"the media node refused {answered['error']}")
        reply: dict[str, Any] = answered["reply"]
        return reply


@asynccontextmanager
async def open_node(
    *,
    address: str = "127.0.0.1",
    lanes: int = 1,
    cpus: Sequence[int] = (),
    options: Mapping[str, str] | None = None,
) -> AsyncIterator[NodeProcess]:
    """A node for as long as the context lasts, at an address of this machine and, if named, on these CPUs.

    `options` are fields of server/config.py's MediaConfig by name, their values as text.
    """
    command = [sys.executable, "-m", "bench.node", "--address", address, "--lanes", str(lanes)]
    if cpus:
        command += ["--cpus", ",".join(map(str, cpus))]
    for name, value in (options or {}).items():
        command += ["--option", f"{name}={value}"]
    process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    try:
        node = NodeProcess(process)
        node.ports = tuple((await node.read_line(START_SECONDS))["ports"])
        yield node
    finally:
        with trio.CancelScope(shield=True):
            await _end(process)


async def _end(process: trio.Process) -> None:
    """Let it say goodbye, and stop waiting for that after a moment."""
    assert process.stdin is not None
    await process.stdin.aclose()
    with trio.move_on_after(5):
        await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
