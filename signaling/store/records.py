"""Reads and writes, each a plain function of one connection (run them with `Database.run`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from signaling.history import CallEnded, CallStarted, Happening, PeerJoined, PeerLeft
from signaling.store.tables import calls, participations, rooms

Row = dict[str, Any]


def create_room(connection: sa.Connection, name: str, title: str, created_at: int, most: int) -> str:
    """Keep a room. Answers "created", "exists", or "full" when there are `most` already."""
    if connection.scalar(sa.select(rooms.c.name).where(rooms.c.name == name)) is not None:
        return "exists"
    if (connection.scalar(sa.select(sa.func.count()).select_from(rooms)) or 0) >= most:
        return "full"
    try:
        connection.execute(sa.insert(rooms).values(name=name, title=title, created_at=created_at))
    except sa.exc.IntegrityError:  # another front was quicker
        return "exists"
    return "created"


def list_rooms(connection: sa.Connection, after: str, limit: int) -> list[Row]:
    """Kept rooms in order of their names, from behind `after`."""
    query = sa.select(rooms).where(rooms.c.name > after).order_by(rooms.c.name).limit(limit)
    return [dict(row) for row in connection.execute(query).mappings()]


def find_room(connection: sa.Connection, name: str) -> Row | None:
    """One kept room."""
    row = connection.execute(sa.select(rooms).where(rooms.c.name == name)).mappings().first()
    return None if row is None else dict(row)


def delete_room(connection: sa.Connection, name: str) -> bool:
    """Whether there was one."""
    return connection.execute(sa.delete(rooms).where(rooms.c.name == name)).rowcount > 0


def write_history(connection: sa.Connection, happenings: Sequence[Happening]) -> None:
    """Keep what happened, in the order it did."""
    for one in happenings:
        match one:
            case CallStarted():
                connection.execute(sa.insert(calls).values(id=one.call_id, room=one.room, started_at=one.at))
            case CallEnded():
                connection.execute(sa.update(calls).where(calls.c.id == one.call_id).values(ended_at=one.at))
            case PeerJoined():
                connection.execute(
                    sa.insert(participations).values(
                        id=one.participation_id,
                        call_id=one.call_id,
                        peer_id=one.peer_id,
                        display_name=one.display_name,
                        kind=one.kind,
                        joined_at=one.at,
                    )
                )
            case PeerLeft():
                connection.execute(
                    sa.update(participations)
                    .where(participations.c.id == one.participation_id)
                    .values(left_at=one.at, reason=one.reason)
                )


def prune_history(connection: sa.Connection, keep: int) -> None:
    """Forget all but the newest `keep` participations, and the calls of which nothing is left. Who is in stays."""
    newest = sa.select(participations.c.joined_at).order_by(participations.c.joined_at.desc())
    last = connection.scalar(newest.offset(keep).limit(1))
    if last is None:
        return
    connection.execute(
        sa.delete(participations).where(participations.c.joined_at <= last, participations.c.left_at.is_not(None))
    )
    attended = sa.exists().where(participations.c.call_id == calls.c.id)
    connection.execute(sa.delete(calls).where(calls.c.started_at <= last, calls.c.ended_at.is_not(None), ~attended))


def list_calls(connection: sa.Connection, room: str | None, before: int, limit: int) -> list[tuple[Row, list[Row]]]:
    """Calls that started before `before`, newest first, each with who took part."""
    query = sa.select(calls).where(calls.c.started_at < before)
    if room is not None:
        query = query.where(calls.c.room == room)
    query = query.order_by(calls.c.started_at.desc(), calls.c.id).limit(limit)
    found = [dict(row) for row in connection.execute(query).mappings()]
    parts: dict[str, list[Row]] = defaultdict(list)
    ids = [row["id"] for row in found]
    part_query = sa.select(participations).where(participations.c.call_id.in_(ids))
    for row in connection.execute(part_query.order_by(participations.c.joined_at)).mappings():
        parts[row["call_id"]].append(dict(row))
    return [(row, parts[row["id"]]) for row in found]
