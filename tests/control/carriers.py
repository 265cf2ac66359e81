"""The ways to reach a media node. Every test of `test_media_node.py` runs over each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import trio

from protos.control import MediaNode
from server.config import MediaConfig
from server.node import NodeHandle, serve_node

LOOPBACK = MediaConfig(listen_host="127.0.0.1", lanes=1, node_id="under-test")


@asynccontextmanager
async def running_node(config: MediaConfig = LOOPBACK) -> AsyncIterator[NodeHandle]:
    """A whole node on loopback, stopped at the end."""
    async with trio.open_nursery() as nursery:
        yield await nursery.start(serve_node, config)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def local(config: MediaConfig = LOOPBACK) -> AsyncIterator[MediaNode]:
    """In process."""
    async with running_node(config) as handle:
        yield handle.media_node


CARRIERS: dict[str, Callable[[], AbstractAsyncContextManager[MediaNode]]] = {"local": local}
