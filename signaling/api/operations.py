"""/healthz (the process answers), /readyz (it can take calls) and /metrics."""

from __future__ import annotations

import sqlalchemy as sa
import structlog
import trio
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from quart import Blueprint, Response

from protos import media_pb2 as pb
from protos.control import NodeError
from signaling.calls import Calls
from signaling.store.database import Database

log = structlog.get_logger(__name__)
READY_SECONDS = 2.0


def blueprint(calls: Calls, database: Database, registry: CollectorRegistry) -> Blueprint:
    """The routes. None needs a token: put them behind the proxy's rules where strangers must not read them."""
    operations = Blueprint("operations", __name__)
    scraping = trio.CapacityLimiter(1)

    @operations.get("/healthz")
    async def healthz() -> Response:
        return Response(b"ok\n", content_type="text/plain")

    @operations.get("/readyz")
    async def readyz() -> Response:
        why = await _why_not_ready(calls, database)
        if why:
            return Response(f"not ready: {why}\n", 503, content_type="text/plain")
        return Response(b"ready\n", content_type="text/plain")

    @operations.get("/metrics")
    async def metrics() -> Response:
        # Collecting thousands of series takes tens of milliseconds: never on the event loop.
        text = await trio.to_thread.run_sync(generate_latest, registry, limiter=scraping)
        return Response(text, content_type=CONTENT_TYPE_LATEST)

    return operations


async def _why_not_ready(calls: Calls, database: Database) -> str:
    """Empty when the media node answers and takes calls, and the (migrated) database answers."""
    try:
        with trio.fail_after(READY_SECONDS):
            info = await calls.node.get_node_info(pb.GetNodeInfoRequest())
    except NodeError as error:
        return f"the media node refuses: {error.message}"
    except trio.TooSlowError:
        return "the media node does not answer"
    if info.draining:
        return "the media node is draining"
    try:
        await database.run(lambda connection: connection.scalar(sa.select(1)))
    except sa.exc.SQLAlchemyError as error:
        log.error("the database does not answer", error=type(error).__name__)
        return "the database does not answer"
    return ""
