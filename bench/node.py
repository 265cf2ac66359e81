"""A media node in a process of its own, so that its CPU time is the server's and nobody else's.

`bench.node_process` starts it and speaks JSON lines: first the node says {"ports": […]}; then one request a line,
{"method": "create_router", "request": {…}}, where the method is one of protos.control.MediaNode and the request its
message as protobuf's JSON, is answered by one line, {"reply": {…}} or {"error": "…"}. {"method": "counters"} answers
every counter of the node, summed over its lanes. The node ends when its standard input does.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import typing
from typing import Any

import click
import trio
from google.protobuf import json_format

from protos.control import MediaNode, NodeError
from server.config import MediaConfig
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
    request = json_format.ParseDict(asked["request"], REQUESTS[method]())
    try:
        reply = await getattr(node.media_node, method)(request)
    except NodeError as refused:
        return {"error": f"{method}: {refused.message}"}
    return {"reply": json_format.MessageToDict(reply, preserving_proto_field_name=True)}


async def serve(lanes: int) -> None:
    """Until standard input ends."""
    config = MediaConfig(listen_host="127.0.0.1", lanes=lanes, tcp=False)
    async with trio.open_nursery() as nursery:
        node = await nursery.start(serve_node, config)
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
@click.option("--lanes", default=1, type=click.IntRange(1, 64))
@click.option("--cpu", type=int, help="The one CPU to run on.")
def main(lanes: int, cpu: int | None) -> None:
    """A media node for a bench."""
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})  # before any thread is made: they inherit it
    trio.run(serve, lanes)


if __name__ == "__main__":
    main()
