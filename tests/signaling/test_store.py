"""The database: migrations, history, and that nothing needs SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
from tests.patience import patience
from tests.signaling.client import running_front
from tests.signaling.http_client import send

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
        history = History(metrics, keep=1000)
        for one in HAPPENINGS:
            history.record(one)
        await history.flush(database)
        ((call, parts),) = await database.run(lambda c: records.list_calls(c, None, 100, 10))
        assert call == {"id": "c1", "room": "room", "started_at": 1, "ended_at": 5}
        assert [(p["display_name"], p["left_at"], p["reason"]) for p in parts] == [("Ada", 5, "left")]


async def test_a_slow_database_costs_history_and_says_so(tmp_path):
    registry = CollectorRegistry()
    history = History(SignalingMetrics(registry), keep=1000)
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


@contextmanager
def held(path: Path) -> Iterator[None]:
    """The database file in another writer's hands."""
    other = sqlite3.connect(path / "sightline.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.rollback()
        other.close()


async def test_a_held_database_delays_no_stop(node, tmp_path):
    async with running_front(node, tmp_path) as front:
        ada = await front.joined()
        with held(tmp_path):
            front.scope.cancel()
            with trio.fail_after(2.2):
                await front.stopped.wait()
        assert await ada.closed() == 1001


async def test_a_held_database_costs_rest_an_unavailable_and_calls_nothing(node, tmp_path):
    async with running_front(node, tmp_path) as front:
        with held(tmp_path):
            reply = await send(front.port, "POST", "/api/v1/rooms", b'{"name": "x"}')
            assert (reply.status, json.loads(reply.body)["error"]["code"]) == (503, "unavailable")
            assert "sqlite" not in reply.body.decode().lower()
            ada = await front.joined()
            assert await ada.request("chat", text="calls go on")
        # What happened meanwhile is written as soon as that is possible.
        token = (tmp_path / "admin-token").read_text().strip()
        with trio.fail_after(patience(5)):
            while True:
                reply = await send(front.port, "GET", "/api/v1/calls", b"", {"Authorization": f"Bearer {token}"})
                if found := json.loads(reply.body)["calls"]:
                    break
                await trio.sleep(0.05)
        assert [part["peerId"] for part in found[0]["participations"]] == [ada.peer_id]


async def test_one_fact_that_cannot_be_kept_costs_no_other(tmp_path):
    registry = CollectorRegistry()
    async with open_database(SignalingConfig(data_dir=tmp_path)) as database:
        history = History(SignalingMetrics(registry), keep=1000)
        history.record(PeerJoined("p0", "a call that was dropped", "ada", "Ada", "browser", 1))
        for one in HAPPENINGS:
            history.record(one)
        await history.flush(database)
        ((call, parts),) = await database.run(lambda c: records.list_calls(c, None, 100, 10))
        assert (call["id"], len(parts)) == ("c1", 1)
    assert registry.get_sample_value("sightline_signaling_history_dropped_total") == 1


async def test_history_does_not_grow_for_ever(tmp_path):
    async with open_database(SignalingConfig(data_dir=tmp_path)) as database:
        history = History(SignalingMetrics(CollectorRegistry()), keep=10)
        for call in range(5):
            history.record(CallStarted(f"c{call}", "room", 100 * call))
            for part in range(4):
                history.record(PeerJoined(f"p{call}{part}", f"c{call}", "ada", "Ada", "browser", 100 * call + part))
                if (call, part) != (0, 3):  # one is still in the first call
                    history.record(PeerLeft(f"p{call}{part}", 100 * call + 50, "left"))
            if call:
                history.record(CallEnded(f"c{call}", 100 * call + 50))
        await history.flush(database)
        found = await database.run(lambda c: records.list_calls(c, None, 1000, 100))
    assert [(call["id"], len(parts)) for call, parts in found] == [("c4", 4), ("c3", 4), ("c2", 2), ("c0", 1)]


def test_a_database_of_the_first_revision_is_brought_up_to_date(tmp_path):
    """Every later revision is one step of the same way."""
    url = f"sqlite:///{tmp_path}/a.db"
    migrate(url, "0001")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        records.create_room(connection, "kept", "", 1, 10)
    migrate(url)
    with engine.connect() as connection:
        assert records.find_room(connection, "kept") == {"name": "kept", "title": "", "created_at": 1}
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()
