"""A media node in a process of its own, so that its CPU time is the server's and nobody else's.

`bench.node_process` starts it and speaks JSON lines: first the node says {"ports": […]}; then one request a line,
{"method": "create_router", "request": {…}}, where the method is one of protos.control.MediaNode and the request its
message as protobuf's JSON, is answered by one line, {"reply": {…}} or {"error": "…"}. {"method": "counters"} answers
every counter of the node, summed over its lanes; bench/node_commands.py has more such methods. The node ends when its
standard input does.

It forwards everything to everybody unless the option adaptation=on is given: benches ask what forwarding costs, and an
estimate of the network would thin out the very load that they offer.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import sys
import typing
from collections.abc import Callable, Sequence
from typing import Any

import click
import trio
from google.protobuf import json_format

from bench.node_commands import REQUESTS as BENCH_REQUESTS
from bench.node_commands import run_command
from protos.control import MediaNode, NodeError
from server.config import MediaConfig
from server.errors import LocalError
from server.io.priority import yield_to_lanes
from server.media.adaptation_settings import AdaptationSettings
from server.node import NodeHandle, serve_node

LONGEST_LINE = 1 << 20

# Every command of the contract with the type of its request; `watch` answers no message but a stream of them.
REQUESTS = {
    name: typing.get_type_hints(method)["request"]
    for name, method in inspect.getmembers(MediaNode, inspect.iscoroutinefunction)
}


def counters(node: NodeHandle) -> dict[str, float]:
    """By the names of server/io/metrics.py, without the lane; a drop's reason is appended after a colon."""
    totals: dict[str, float] = {}
    for family in node.collector.collect():
        for sample in family.samples:
            labels = [value for label, value in sorted(sample.labels.items()) if label != "lane"]
            name = ":".join([sample.name, *labels])
            totals[name] = totals.get(name, 0) + sample.value
    return totals


async def answer(node: NodeHandle, line: bytes) -> dict[str, Any]:
    """One request's reply."""
    asked = json.loads(line)
    method = asked["method"]
    if method == "counters":
        return {"reply": counters(node)}
    if method in BENCH_REQUESTS:
        return {"reply": await run_command(node, asked)}
    request = json_format.ParseDict(asked["request"], REQUESTS[method]())
    try:
        reply = await getattr(node.media_node, method)(request)
    except NodeError as refused:
        return {"error": f"{method}: {refused.message}"}
    return {"reply": json_format.MessageToDict(reply, preserving_proto_field_name=True)}


def parse_options(options: Sequence[str]) -> dict[str, Any]:
    """Each "name=value" as a field of MediaConfig. click.BadParameter when there is no such field, or no such value."""
    types = typing.get_type_hints(MediaConfig)
    names = {field.name for field in dataclasses.fields(MediaConfig)}
    readers: dict[Any, Callable[[str], Any]] = {
        int: int,
        float: float,
        str: str,
        bool: _boolean,
        tuple[str, ...]: _texts,
        tuple[int, ...]: _numbers,
        AdaptationSettings: _adaptation,
    }
    values: dict[str, Any] = {}
    for option in options:
        name, equals, text = option.partition("=")
        reader = readers.get(types[name]) if name in names else None
        if reader is None or not equals:
            able = ", ".join(sorted(name for name in names if types[name] in readers))
            raise click.BadParameter(f"{option!r} is no name=value of a setting; those are {able}")
        try:
            values[name] = reader(text)
        except ValueError:
            raise click.BadParameter(f"{option!r}: {text!r} is no value of {name}") from None
    return values


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


def _adaptation(text: str) -> AdaptationSettings:
    """on, off, or on with the bit/s that each viewer's estimate starts at."""
    if text in ("on", "off"):
        return AdaptationSettings(on=text == "on")
    return AdaptationSettings(start_bps=int(text))


def _texts(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in _texts(text))


async def serve(config: MediaConfig) -> None:
    """Until standard input ends."""
    async with trio.open_nursery() as nursery:
        node = await nursery.start(serve_node, config)
        yield_to_lanes()
        say({"ports": list(node.ports)})
        pending = bytearray()
        async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stdin:
            async for chunk in stdin:
                *lines, rest = (pending + chunk).split(b"\n")
                pending = bytearray(rest)
                if len(pending) > LONGEST_LINE:
                    raise ValueError("a request is longer than a line may be")
                for line in lines:
                    say(await answer(node, bytes(line)))
        nursery.cancel_scope.cancel()


def say(message: dict[str, Any]) -> None:
    """One line to whoever started this."""
    print(json.dumps(message), flush=True)


@click.command()
@click.option("--address", default="127.0.0.1", show_default=True, help="Where it listens.")
@click.option("--lanes", default=1, type=click.IntRange(0, 64), show_default=True, help="0: one for each CPU.")
@click.option("--cpus", default="", help="The CPUs to run on, as 0,2.")
@click.option("--option", "options", multiple=True, help="name=value of server/config.py's MediaConfig; repeatable.")
def main(address: str, lanes: int, cpus: str, options: tuple[str, ...]) -> None:
    """A media node for a bench."""
    settings: dict[str, Any] = {"listen_host": address, "lanes": lanes, "tcp": False}
    settings["adaptation"] = AdaptationSettings(on=False)
    settings |= parse_options(options)
    try:
        config = MediaConfig(**settings)
        if cpus:
            os.sched_setaffinity(0, _numbers(cpus))  # before any thread is made: they inherit it
    except (LocalError, ValueError, OSError) as error:
        raise click.UsageError(f"the node can't be set up so: {error}") from error
    trio.run(serve, config)


if __name__ == "__main__":
    main()
