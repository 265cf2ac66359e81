"""History on its way to the database: stated without waiting, written in batches."""

from __future__ import annotations

from functools import partial

import structlog
import trio
from sqlalchemy.exc import SQLAlchemyError

from ops.metrics import SignalingMetrics
from signaling.history import Happening
from signaling.store.database import Database
from signaling.store.records import write_history

log = structlog.get_logger(__name__)
WAITING = 10_000  # facts; a database that is slower than that for so long loses some, counted
BATCH = 500


class History:
    """A bounded queue. `record` is what `Calls` is given."""

    def __init__(self, metrics: SignalingMetrics) -> None:
        self._metrics = metrics
        self._put, self._take = trio.open_memory_channel[Happening](WAITING)

    def record(self, happening: Happening) -> None:
        """Queue one fact; never blocks."""
        try:
            self._put.send_nowait(happening)
        except trio.WouldBlock:
            self._metrics.history_dropped.inc()

    async def serve(self, database: Database, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write what is recorded. Never returns."""
        task_status.started()
        while True:
            batch = [await self._take.receive()]
            with trio.CancelScope(shield=True):  # what was taken is written
                await self._write(database, batch)

    async def flush(self, database: Database) -> None:
        """Write what is still waiting: the last thing before the end."""
        await self._write(database, [])

    async def _write(self, database: Database, batch: list[Happening]) -> None:
        while True:
            try:
                while len(batch) < BATCH:
                    batch.append(self._take.receive_nowait())
            except trio.WouldBlock:
                pass
            if not batch:
                return
            try:
                await database.run(partial(write_history, happenings=tuple(batch)))
            except SQLAlchemyError as error:
                self._metrics.history_dropped.inc(len(batch))
                log.error("history was not written", facts=len(batch), error=type(error).__name__)
            batch = []
