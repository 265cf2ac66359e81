"""Bodies of the REST API as msgspec Structs: they decode requests, encode replies, and make the OpenAPI document."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from signaling.messages import RoomName

UnixMs = Annotated[int, Meta(description="Unix milliseconds")]


class Body(msgspec.Struct, rename="camel", kw_only=True):
    """A JSON object in camelCase."""


class RoomRequest(Body):
    """A room to be made."""

    name: Annotated[RoomName | None, Meta(description="Chosen by the server if left out")] = None
    title: Annotated[str, Meta(max_length=120, pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)")] = ""


class PeerShown(Body):
    """Somebody in a live room."""

    id: str
    display_name: str
    kind: str
    joined_at: UnixMs
    producers: int


class RoomShown(Body):
    """A room that is kept, live, or both."""

    name: str
    title: str
    kept: Annotated[bool, Meta(description="Made over this API, so that it is listed while nobody is in it")]
    live: bool
    created_at: UnixMs
    peers: list[PeerShown]


class RoomList(Body):
    """One page of rooms."""

    rooms: list[RoomShown]


class ParticipationShown(Body):
    """One peer's part in a call."""

    peer_id: str
    display_name: str
    kind: str
    joined_at: UnixMs
    left_at: UnixMs | None
    reason: str | None


class CallShown(Body):
    """From the first join to the last leave."""

    id: str
    room: str
    started_at: UnixMs
    ended_at: UnixMs | None
    participations: list[ParticipationShown]


class CallList(Body):
    """One page of calls, newest first. Ask for the next with `before` = the last one's `startedAt`."""

    calls: list[CallShown]


class ErrorDetail(Body):
    """What went wrong."""

    code: str
    message: str


class Problem(Body):
    """Every refusal."""

    error: ErrorDetail
