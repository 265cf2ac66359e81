"""The one adapter to the database: blocking SQLAlchemy in worker threads behind `run`."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import alembic.command
import alembic.config
import sqlalchemy as sa
import trio
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from signaling.config import SignalingConfig
from signaling.errors import SignalingError

T = TypeVar("T")
THREADS = 4
BUSY_MS = 250  # how long SQLite waits for another process's transaction: nothing may hold up a stop for longer
MIGRATIONS = Path(__file__).parent / "migrations"
_migrating = threading.Lock()  # Alembic keeps its context in a process-wide variable


def database_url(config: SignalingConfig) -> str:
    """The configured database, or an SQLite file in the data directory."""
    return config.database_url or f"sqlite:///{Path(config.data_dir).absolute() / 'sightline.db'}"


class Database:
    """A migrated database. Every use is a function of one connection, run as one transaction in a worker thread."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._limiter = trio.CapacityLimiter(THREADS)

    async def run(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in a transaction: committed when it returns, rolled back when it raises.

        Not abandoned on cancel: a thread that goes on with a connection nobody waits for would be lost to the pool.
        """
        return await trio.to_thread.run_sync(self._transact, work, limiter=self._limiter, abandon_on_cancel=False)

    def _transact(self, work: Callable[[sa.Connection], T]) -> T:
        with self._engine.begin() as connection:
            return work(connection)


@asynccontextmanager
async def open_database(config: SignalingConfig) -> AsyncIterator[Database]:
    """Migrate the database and open it; closed on exit. Raises SignalingError if it is out of reach or misnamed."""
    url = database_url(config)
    engine = await trio.to_thread.run_sync(_open, url, abandon_on_cancel=False)
    try:
        yield Database(engine)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(engine.dispose)


def _open(url: str) -> sa.Engine:
    try:
        parsed = make_url(url)
    except sa.exc.ArgumentError:
        raise SignalingError(
            "The database URL is not one: give for example postgresql+psycopg://user@host/name."
        ) from None
    shown = parsed.render_as_string(hide_password=True)
    try:
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        migrate(url)
        engine = sa.create_engine(url)
        _tune(engine)
    except (sa.exc.SQLAlchemyError, OSError) as error:
        raise SignalingError(f"Cannot open the database {shown}: {_first_line(error)}") from error
    except ModuleNotFoundError as error:
        raise SignalingError(f"The database {shown} needs the Python package {error.name!r}; install it.") from error
    return engine


def _first_line(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return str(cause).splitlines()[0] if str(cause) else type(cause).__name__


def migrate(url: str, revision: str = "head") -> None:
    """Bring the schema to the newest version, or to that one. Blocks.

    Not pooled, so that a failed migration leaves no lock.
    """
    engine = sa.create_engine(url, poolclass=NullPool)
    settings = alembic.config.Config()
    settings.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    with _migrating, engine.begin() as connection:
        settings.attributes["connection"] = connection
        alembic.command.upgrade(settings, revision)


def _tune(engine: sa.Engine) -> None:
    """SQLite only: readers beside a writer, and foreign keys that are checked as every other database does."""
    if engine.dialect.name != "sqlite":
        return

    @sa.event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        cursor.close()
