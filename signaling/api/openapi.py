"""The OpenAPI 3.1 document of /api/v1, made from the table of routes and the Structs that the routes use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from signaling.api import shapes


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter in the path or the query."""

    name: str
    where: str
    about: str
    schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    path: str
    method: str
    name: str
    about: str
    admin: bool
    replies: dict[int, type[shapes.Body] | None]  # success statuses
    refusals: tuple[int, ...]
    body: type[shapes.Body] | None = None
    parameters: tuple[Parameter, ...] = ()


ROOM = Parameter("name", "path", "The room", {"type": "string", "pattern": "^[a-z0-9-]{1,64}$"})
LIMIT = Parameter("limit", "query", "How many at most", {"type": "integer", "minimum": 1, "maximum": 1000})

OPERATIONS = (
    Operation(
        "/api/v1/rooms",
        "post",
        "createRoom",
        "Make a room that is kept. Anybody may; how often is limited.",
        admin=False,
        body=shapes.RoomRequest,
        replies={201: shapes.RoomShown},
        refusals=(400, 409, 413, 429, 503),
    ),
    Operation(
        "/api/v1/rooms",
        "get",
        "listRooms",
        "Kept and live rooms in order of their names.",
        admin=True,
        replies={200: shapes.RoomList},
        refusals=(400, 401, 503),
        parameters=(Parameter("after", "query", "Only names behind this one", {"type": "string"}), LIMIT),
    ),
    Operation(
        "/api/v1/rooms/{name}",
        "get",
        "getRoom",
        "One room and who is in it.",
        admin=True,
        replies={200: shapes.RoomShown},
        refusals=(401, 404, 503),
        parameters=(ROOM,),
    ),
    Operation(
        "/api/v1/rooms/{name}",
        "delete",
        "closeRoom",
        "End the call in a room, if one is on, and forget the room.",
        admin=True,
        replies={204: None},
        refusals=(401, 404, 503),
        parameters=(ROOM,),
    ),
    Operation(
        "/api/v1/calls",
        "get",
        "listCalls",
        "The history of calls.",
        admin=True,
        replies={200: shapes.CallList},
        refusals=(400, 401, 503),
        parameters=(
            Parameter("room", "query", "Only calls of this room", {"type": "string"}),
            Parameter("before", "query", "Only calls that started before, Unix ms", {"type": "integer"}),
            LIMIT,
        ),
    ),
)

_REASONS = {
    200: "Done",
    201: "Made",
    204: "Done, nothing to say",
    400: "The request is not what it should be",
    401: "The admin token is missing or wrong",
    404: "There is none",
    409: "There is one already",
    413: "The body is too large",
    429: "Too many, or too often",
    503: "The database cannot be used now",
}


def _content(shape: type[shapes.Body]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{shape.__name__}"}}}


def _operation(operation: Operation) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, shape in operation.replies.items():
        responses[str(status)] = {"description": _REASONS[status]} | ({"content": _content(shape)} if shape else {})
    for status in operation.refusals:
        responses[str(status)] = {"description": _REASONS[status], "content": _content(shapes.Problem)}
    shown: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.about,
        "responses": responses,
        "security": [{"admin": []}] if operation.admin else [],
    }
    if operation.body is not None:
        shown["requestBody"] = {"required": False, "content": _content(operation.body)}
    if operation.parameters:
        shown["parameters"] = [
            {
                "name": one.name,
                "in": one.where,
                "required": one.where == "path",
                "description": one.about,
                "schema": one.schema,
            }
            for one in operation.parameters
        ]
    return shown


def openapi_document(version: str) -> dict[str, Any]:
    """The whole document. `version`: of the API's server."""
    used = [op.body for op in OPERATIONS if op.body] + [r for op in OPERATIONS for r in op.replies.values() if r]
    _, schemas = msgspec.json.schema_components([*used, shapes.Problem], ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Sightline", "version": version, "description": "Rooms and the history of calls."},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"admin": {"type": "http", "scheme": "bearer", "description": "The admin token"}},
        },
    }
