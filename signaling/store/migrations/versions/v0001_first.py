"""Rooms, calls and participations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "rooms",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("title", sa.String(120), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_rooms"),
    )
    op.create_table(
        "calls",
        sa.Column("id", sa.String(24), nullable=False),
        sa.Column("room", sa.String(64), nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_calls"),
    )
    op.create_index("ix_calls_room", "calls", ["room"])
    op.create_index("ix_calls_started_at", "calls", ["started_at"])
    op.create_table(
        "participations",
        sa.Column("id", sa.String(24), nullable=False),
        sa.Column("call_id", sa.String(24), nullable=False),
        sa.Column("peer_id", sa.String(24), nullable=False),
        sa.Column("display_name", sa.String(80), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("joined_at", sa.BigInteger, nullable=False),
        sa.Column("left_at", sa.BigInteger, nullable=True),
        sa.Column("reason", sa.String(32), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_participations"),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name="fk_participations_call_id"),
    )
    op.create_index("ix_participations_call_id", "participations", ["call_id"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("participations")
    op.drop_table("calls")
    op.drop_table("rooms")
