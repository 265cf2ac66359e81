"""/api/v1: rooms and the history of calls. What each route takes and gives is in `openapi.OPERATIONS`."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import Any, TypeVar

import msgspec
import trio
from quart import Blueprint, Response, request

from signaling.api import shapes
from signaling.api.openapi import openapi_document
from signaling.auth import Admin
from signaling.calls import Calls
from signaling.config import Limits
from signaling.errors import CallError, CallErrorCode
from signaling.rates import TokenBucket
from signaling.rooms import Room
from signaling.store import records
from signaling.store.database import Database

S = TypeVar("S", bound=shapes.Body)
ADDRESSES = 10_000  # whose rates are remembered; the longest unseen is forgotten first
SLUG_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # without those that are read for one another
PAGE = 100


class Rates:
    """How often each address may make a room."""

    def __init__(self, per_minute: float) -> None:
        self._per_minute = per_minute
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, address: str, now: float) -> bool:
        """Whether it may, once more. `now`: seconds."""
        bucket = self._buckets.pop(address, None)
        if bucket is None:
            bucket = TokenBucket.full(self._per_minute / 60.0, self._per_minute, now)
        self._buckets[address] = bucket
        while len(self._buckets) > ADDRESSES:
            self._buckets.popitem(last=False)
        return bucket.take(now)


def new_slug() -> str:
    """A room name nobody guesses and everybody can read aloud: three times four letters, 59 bits."""
    return "-".join("".join(secrets.choice(SLUG_LETTERS) for _ in range(4)) for _ in range(3))


def reply(body: shapes.Body, status: int = 200) -> Response:
    """A JSON reply."""
    return Response(msgspec.json.encode(body), status, content_type="application/json")


def decode_body_untrusted(raw: str | bytes, shape: type[S]) -> S:
    """A JSON body; an empty one is `{}`. Raises nothing but CallError `bad_request`."""
    try:
        return msgspec.json.decode(raw or b"{}", type=shape)
    except (msgspec.DecodeError, UnicodeError, ValueError, RecursionError) as error:
        raise CallError(CallErrorCode.BAD_REQUEST, f"The body is not what this takes: {str(error)[:300]}") from None


def number_untrusted(name: str, text: str | None, default: int, least: int, most: int) -> int:
    """The number that the query gives as `name`. Raises nothing but CallError `bad_request`."""
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 16 or not least <= int(text) <= most:
        raise CallError(CallErrorCode.BAD_REQUEST, f"{name}: a whole number from {least} to {most}.")
    return int(text)


def show_room(name: str, live: Room | None, kept: dict[str, Any] | None) -> shapes.RoomShown:
    """What we know of a room from both places."""
    peers = [] if live is None else list(live.peers.values())
    return shapes.RoomShown(
        name=name,
        title="" if kept is None else kept["title"],
        kept=kept is not None,
        live=live is not None,
        created_at=kept["created_at"] if kept is not None else live.created_at if live is not None else 0,
        peers=[
            shapes.PeerShown(
                id=peer.id,
                display_name=peer.display_name,
                kind=peer.kind,
                joined_at=peer.joined_at,
                producers=len(peer.producers),
            )
            for peer in peers
        ],
    )


def blueprint(calls: Calls, database: Database, admin: Admin, limits: Limits, version: str) -> Blueprint:
    """The routes."""
    api = Blueprint("api", __name__, url_prefix="/api/v1")
    document = msgspec.json.encode(openapi_document(version))
    _add_open_routes(api, calls, database, limits)
    _add_room_routes(api, calls, database, admin)
    _add_history_routes(api, database, admin)

    @api.get("/openapi.json")
    async def openapi() -> Response:
        return Response(document, content_type="application/json")

    return api


def _add_open_routes(api: Blueprint, calls: Calls, database: Database, limits: Limits) -> None:
    rates = Rates(limits.rest_creates_per_minute)

    @api.post("/rooms")
    async def create_room() -> Response:
        if not rates.take(request.remote_addr or "", trio.current_time()):
            raise CallError(CallErrorCode.LIMIT, "You make rooms too quickly; wait a minute.")
        wanted = decode_body_untrusted(await request.get_data(), shapes.RoomRequest)
        name = wanted.name or new_slug()
        now = calls.wall_clock()
        outcome = await database.run(
            lambda connection: records.create_room(connection, name, wanted.title, now, limits.room_records)
        )
        if outcome == "exists":
            raise CallError(CallErrorCode.BAD_STATE, f"name: there is a room called {name!r} already.")
        if outcome == "full":
            raise CallError(CallErrorCode.LIMIT, "The server keeps as many rooms as it takes; delete one first.")
        kept = {"title": wanted.title, "created_at": now}
        return reply(show_room(name, calls.room(name), kept), 201)


def _add_room_routes(api: Blueprint, calls: Calls, database: Database, admin: Admin) -> None:
    @api.get("/rooms")
    async def list_rooms() -> Response:
        admin.check(request.headers.get("Authorization"))
        after = request.args.get("after", "")
        limit = number_untrusted("limit", request.args.get("limit"), PAGE, 1, 1000)
        rows = await database.run(lambda connection: records.list_rooms(connection, after, limit))
        kept = {row["name"]: row for row in rows}
        # Live rooms belong on this page only as far as the kept ones on it reach.
        last = rows[-1]["name"] if len(rows) == limit else None
        live = {r.name: r for r in calls.live_rooms() if r.name > after and (last is None or r.name <= last)}
        names = sorted(kept.keys() | live.keys())[:limit]
        return reply(shapes.RoomList(rooms=[show_room(name, live.get(name), kept.get(name)) for name in names]))

    @api.get("/rooms/<name>")
    async def get_room(name: str) -> Response:
        admin.check(request.headers.get("Authorization"))
        kept = await database.run(lambda connection: records.find_room(connection, name))
        live = calls.room(name)
        if kept is None and live is None:
            raise CallError(CallErrorCode.NOT_FOUND, f"There is no room called {name!r}.")
        return reply(show_room(name, live, kept))

    @api.delete("/rooms/<name>")
    async def close_room(name: str) -> Response:
        admin.check(request.headers.get("Authorization"))
        live = calls.room(name)
        if live is not None:
            calls.close_room(live, "closed-by-admin")
        deleted = await database.run(lambda connection: records.delete_room(connection, name))
        if live is None and not deleted:
            raise CallError(CallErrorCode.NOT_FOUND, f"There is no room called {name!r}.")
        return Response(b"", 204)


def _add_history_routes(api: Blueprint, database: Database, admin: Admin) -> None:
    @api.get("/calls")
    async def list_calls() -> Response:
        admin.check(request.headers.get("Authorization"))
        room = request.args.get("room")
        before = number_untrusted("before", request.args.get("before"), 1 << 62, 0, 1 << 62)
        limit = number_untrusted("limit", request.args.get("limit"), PAGE, 1, 1000)
        found = await database.run(lambda connection: records.list_calls(connection, room, before, limit))
        return reply(shapes.CallList(calls=[_show_call(row, parts) for row, parts in found]))


def _show_call(row: dict[str, Any], parts: list[dict[str, Any]]) -> shapes.CallShown:
    return shapes.CallShown(
        id=row["id"],
        room=row["room"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        participations=[
            shapes.ParticipationShown(
                peer_id=part["peer_id"],
                display_name=part["display_name"],
                kind=part["kind"],
                joined_at=part["joined_at"],
                left_at=part["left_at"],
                reason=part["reason"],
            )
            for part in parts
        ],
    )
