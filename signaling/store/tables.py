"""The tables, as SQLAlchemy Core. Times are Unix milliseconds. Plain types that SQLite and PostgreSQL both have.

A change here needs a migration in `migrations/versions`; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, MetaData, String, Table

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

rooms = Table(
    "rooms",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("title", String(120), nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

# From the first join of a room to the last leave. `ended_at` stays empty if the process died meanwhile.
calls = Table(
    "calls",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("room", String(64), nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=True),
    Index("ix_calls_room", "room"),
    Index("ix_calls_started_at", "started_at"),
)

# One peer's part in a call, from join to leave. A reload is a part of its own.
participations = Table(
    "participations",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("call_id", String(24), ForeignKey("calls.id"), nullable=False),
    Column("peer_id", String(24), nullable=False),
    Column("display_name", String(80), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("joined_at", BigInteger, nullable=False),
    Column("left_at", BigInteger, nullable=True),
    Column("reason", String(32), nullable=True),
    Index("ix_participations_call_id", "call_id"),
)
