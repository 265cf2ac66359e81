"""History on its way to the database: stated without waiting, written in batches."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import partial
from itertools import islice

import structlog
import trio
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from ops.metrics import SignalingMetrics
from signaling.history import Happening
from signaling.store.database import Database
from signaling.store.records import prune_history, write_history

log = structlog.get_logger(__name__)
WAITING = 10_000  # facts; a database that is out of reach for longer loses some, counted
BATCH = 500
RETRY_SECONDS = 1.0


class History:
    """A bounded queue. `record` is what `Calls` is given."""

    def __init__(self, metrics: SignalingMetrics, *, keep: int) -> None:
        """`keep`: how many participations the history has at most, give or take a tenth."""
        self._keep = keep
        self._unpruned = keep  # facts since the last look at how many there are
        self._metrics = metrics
        self._put, self._take = trio.open_memory_channel[Happening](WAITING)
        self._taken: deque[Happening] = deque()  # the next to be written
        self._reached = True

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
            if not self._taken:
                self._taken.append(await self._take.receive())
            with trio.CancelScope(shield=True):  # what was begun is finished
                reached = await self._write(database)
            if not reached:
                await trio.sleep(RETRY_SECONDS)

    async def flush(self, database: Database) -> None:
        """Write what is still waiting: the last thing before the end."""
        if not await self._write(database):
            log.error("the end of the history was not written; the database cannot be written")

    async def _write(self, database: Database) -> bool:
        """Write all that waits. False if the database is held, full or out of reach: then it waits on.

        Facts that the database refuses are dropped, each alone: it may be that what they build on was dropped before.
        """
        at_once = BATCH
        while batch := self._next(at_once):
            try:
                await database.run(partial(write_history, happenings=batch))
            except OperationalError as error:
                if self._reached:
                    log.error("history cannot be written; trying again", error=type(error.orig).__name__)
                self._reached = False
                return False
            except SQLAlchemyError as error:
                if len(batch) > 1:
                    at_once = 1
                    continue
                self._metrics.history_dropped.inc()
                log.error("a fact of the history was refused", error=type(error).__name__)
            self._reached = True
            self._unpruned += len(batch)
            for _ in batch:
                self._taken.popleft()
        if self._unpruned >= self._keep / 10:
            self._unpruned = 0
            with suppress(SQLAlchemyError):  # next time, then
                await database.run(partial(prune_history, keep=self._keep))
        return True

    def _next(self, most: int) -> tuple[Happening, ...]:
        with suppress(trio.WouldBlock):
            while len(self._taken) < most:
                self._taken.append(self._take.receive_nowait())
        return tuple(islice(self._taken, most))
