"""The database: migrations, history, and that nothing needs SQLite."""

from __future__ import annotations

import sqlite3

import pytest
import sqlalchemy as sa
import trio
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from prometheus_client import CollectorRegistry
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from ops.metrics import SignalingMetrics
from signaling.config import SignalingConfig
from signaling.errors import SignalingError
from signaling.history import CallEnded, CallStarted, PeerJoined, PeerLeft
from signaling.store import records
from signaling.store.database import migrate, open_database
from signaling.store.tables import metadata
from signaling.store.writer import History

HAPPENINGS = (
    CallStarted("c1", "room", 1),
    PeerJoined("p1", "c1", "ada", "Ada", "browser", 1),
    PeerLeft("p1", 5, "left"),
    CallEnded("c1", 5),
)


def test_the_migrations_make_exactly_the_tables(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    migrate(url)
    migrate(url)  # nothing to do
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_the_tables_compile_for_postgresql():
    dialect = postgresql.dialect()
    for table in metadata.sorted_tables:
        text = str(CreateTable(table).compile(dialect=dialect))
        assert text.strip().startswith("CREATE TABLE")
        for index in table.indexes:
            assert "CREATE INDEX" in str(CreateIndex(index).compile(dialect=dialect))


async def test_history_is_written_in_order_and_what_waits_at_the_end_is_flushed(tmp_path):
    metrics = SignalingMetrics(CollectorRegistry())
    async with open_database(SignalingConfig(data_dir=tmp_path)) as database:
        history = History(metrics)
        for one in HAPPENINGS:
            history.record(one)
        await history.flush(database)
        ((call, parts),) = await database.run(lambda c: records.list_calls(c, None, 100, 10))
        assert call == {"id": "c1", "room": "room", "started_at": 1, "ended_at": 5}
        assert [(p["display_name"], p["left_at"], p["reason"]) for p in parts] == [("Ada", 5, "left")]


async def test_a_slow_database_costs_history_and_says_so(tmp_path):
    registry = CollectorRegistry()
    history = History(SignalingMetrics(registry))
    for _ in range(10_005):
        history.record(HAPPENINGS[0])
    assert registry.get_sample_value("sightline_signaling_history_dropped_total") == 5


async def test_a_transaction_that_raises_leaves_nothing(tmp_path):
    async with open_database(SignalingConfig(data_dir=tmp_path)) as database:

        def half(connection: sa.Connection) -> None:
            records.create_room(connection, "x", "", 1, 10)
            raise KeyError

        with pytest.raises(KeyError):
            await database.run(half)
        assert await database.run(lambda c: records.find_room(c, "x")) is None


async def test_a_cancelled_caller_waits_for_its_transaction(tmp_path):
    async with open_database(SignalingConfig(data_dir=tmp_path)) as database:
        with trio.CancelScope() as scope:
            scope.cancel()
            await database.run(lambda c: records.create_room(c, "x", "", 1, 10))
        # Cancelled before it began: all or nothing, and the connection is back in its pool.
        assert await database.run(lambda c: records.create_room(c, "y", "", 1, 10)) == "created"


@pytest.mark.parametrize(
    ("url", "word"),
    [("nonsense", "URL"), ("nodialect://user:hush@host/x", "nodialect"), ("sqlite:////proc/none/x.db", "Cannot open")],
)
async def test_a_database_out_of_reach_is_one_clear_line_without_its_password(tmp_path, url, word):
    with pytest.raises(SignalingError, match=word) as caught:
        async with open_database(SignalingConfig(data_dir=tmp_path, database_url=url)):
            pass
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "sightline.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(SignalingError, match="Cannot open"):
        async with open_database(SignalingConfig(data_dir=tmp_path)):
            pass


async def test_foreign_keys_hold_in_sqlite_too(tmp_path):
    assert sqlite3.sqlite_version_info >= (3, 6, 19)
    async with open_database(SignalingConfig(data_dir=tmp_path)) as database:
        with pytest.raises(sa.exc.IntegrityError):
            await database.run(lambda c: records.write_history(c, HAPPENINGS[1:2]))
