"""/api/v1, health and metrics, over HTTP from outside; and that the OpenAPI document tells the truth."""

from __future__ import annotations

import json
import re
import stat

import msgspec
import pytest
import trio

from signaling.api import shapes
from signaling.api.openapi import OPERATIONS, openapi_document
from tests.patience import patience
from tests.signaling.client import running_front


class Answer:
    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}

    @property
    def json(self):
        return json.loads(self.body)


async def http(front, method: str, path: str, *, body=b"", token: str | None = None, headers: str = "") -> Answer:
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    if token is not None:
        headers += f"Authorization: Bearer {token}\r\n"
    request = (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    )
    stream = await trio.open_tcp_stream("127.0.0.1", front.port)
    async with stream:
        await stream.send_all(request.encode() + body)
        raw = b""
        with trio.fail_after(patience(5)):
            while chunk := await stream.receive_some():
                raw += chunk
    return Answer(raw)


def admin_token(front) -> str:
    return (front.config.data_dir / "admin-token").read_text().strip()


async def test_a_room_from_made_to_forgotten(front):
    token = admin_token(front)
    made = await http(front, "POST", "/api/v1/rooms", body={"name": "standup", "title": "Every day"})
    assert made.status == 201
    assert msgspec.json.decode(made.body, type=shapes.RoomShown, strict=True).title == "Every day"
    again = await http(front, "POST", "/api/v1/rooms", body={"name": "standup"})
    assert (again.status, again.json["error"]["code"]) == (409, "bad_state")

    ada = await front.joined("standup")
    await ada.produce(await ada.transport("send"))
    shown = (await http(front, "GET", "/api/v1/rooms/standup", token=token)).json
    assert shown["live"] is True
    assert shown["kept"] is True
    assert shown["peers"][0] | {"joinedAt": 0} == {
        "id": ada.peer_id,
        "displayName": "Ada",
        "kind": "browser",
        "joinedAt": 0,
        "producers": 1,
    }
    assert (await http(front, "DELETE", "/api/v1/rooms/standup", token=token)).status == 204
    await ada.note("roomClosed", reason="closed-by-admin")
    assert await ada.closed() == 1000
    assert (await http(front, "GET", "/api/v1/rooms/standup", token=token)).status == 404
    assert (await http(front, "DELETE", "/api/v1/rooms/standup", token=token)).status == 404


async def test_rooms_are_kept_over_a_restart_and_listed_in_pages(node, tmp_path):
    async with running_front(node, tmp_path) as front:
        names = sorted([(await http(front, "POST", "/api/v1/rooms")).json["name"] for _ in range(3)])
        token = admin_token(front)
    assert all(re.fullmatch("[a-z0-9]{4}-[a-z0-9]{4}-[a-z0-9]{4}", name) for name in names)
    async with running_front(node, tmp_path) as front:
        assert admin_token(front) == token
        await front.joined("0-live")
        listed = await http(front, "GET", "/api/v1/rooms", token=token)
        assert [room["name"] for room in listed.json["rooms"]] == ["0-live", *names]
        first = await http(front, "GET", "/api/v1/rooms?limit=2", token=token)
        assert [room["name"] for room in first.json["rooms"]] == ["0-live", names[0]]
        rest = await http(front, "GET", f"/api/v1/rooms?after={names[0]}", token=token)
        assert [room["name"] for room in rest.json["rooms"]] == names[1:]


async def test_history_of_calls(front):
    ada = await front.joined("daily")
    bob = await front.joined("daily", "Bob")
    await bob.request("leave")
    await ada.request("leave")
    token = admin_token(front)
    with trio.fail_after(patience(5)):
        while True:
            calls = (await http(front, "GET", "/api/v1/calls?room=daily", token=token)).json["calls"]
            if calls and calls[0]["endedAt"] is not None:
                break
            await trio.sleep(0.02)
    (call,) = calls
    assert call["endedAt"] >= call["startedAt"]
    assert [(p["displayName"], p["reason"]) for p in call["participations"]] == [("Ada", "left"), ("Bob", "left")]
    assert (await http(front, "GET", "/api/v1/calls?room=other", token=token)).json == {"calls": []}
    assert (await http(front, "GET", f"/api/v1/calls?before={call['startedAt']}", token=token)).json == {"calls": []}


async def test_a_stop_ends_calls_in_the_history(node, tmp_path):
    async with running_front(node, tmp_path) as front:
        await front.joined("daily")
        token = admin_token(front)
    async with running_front(node, tmp_path) as front:
        (call,) = (await http(front, "GET", "/api/v1/calls", token=token)).json["calls"]
    assert call["endedAt"] is not None
    assert call["participations"][0]["reason"] == "room-closed"


@pytest.mark.parametrize("path", ["/api/v1/rooms", "/api/v1/rooms/x", "/api/v1/calls"])
@pytest.mark.parametrize("token", [None, "", "wrong", "ä"])
async def test_the_admin_token_is_asked_for(front, path, token):
    answer = await http(front, "GET", path, token=token)
    assert (answer.status, answer.json["error"]["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_the_admin_token_is_for_its_owner_only(front):
    assert stat.S_IMODE((front.config.data_dir / "admin-token").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "body",
    [
        b"nonsense",
        b"[]",
        b'{"name": "UPPER"}',
        b'{"title": 1}',
        b'{"title": "%s"}' % (b"x" * 121),
        b"\xff",
        b'{"title": "a\\u0000"}',
    ],
)
async def test_bad_bodies(front, body):
    answer = await http(front, "POST", "/api/v1/rooms", body=body)
    assert (answer.status, answer.json["error"]["code"]) == (400, "bad_request")


async def test_a_body_too_large(front):
    answer = await http(front, "POST", "/api/v1/rooms", body=b" " * 70_000)
    assert (answer.status, answer.json["error"]["code"]) == (413, "limit")


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "limit=%C2%B2", "limit=" + "9" * 5000])
async def test_bad_numbers(front, query):
    answer = await http(front, "GET", f"/api/v1/rooms?{query}", token=admin_token(front))
    assert (answer.status, answer.json["error"]["code"]) == (400, "bad_request")
    assert "limit" in answer.json["error"]["message"]


async def test_making_rooms_is_limited(node, tmp_path):
    limits = {"rest_creates_per_minute": 2.0, "room_records": 1}
    async with running_front(node, tmp_path, limits=limits) as front:
        assert (await http(front, "POST", "/api/v1/rooms")).status == 201
        full = await http(front, "POST", "/api/v1/rooms")
        assert (full.status, full.json["error"]["code"]) == (429, "limit")
        assert "keeps" in full.json["error"]["message"]
        often = await http(front, "POST", "/api/v1/rooms")
        assert "quickly" in often.json["error"]["message"]


async def test_unknown_paths_and_methods_under_api_are_json(front):
    for method, path, status in (("GET", "/api/v1/none", 404), ("PUT", "/api/v1/rooms", 405), ("GET", "/api/", 404)):
        answer = await http(front, method, path)
        assert answer.status == status
        assert set(answer.json["error"]) == {"code", "message"}


async def test_health_and_readiness(front, node):
    assert (await http(front, "GET", "/healthz")).body == b"ok\n"
    assert (await http(front, "GET", "/readyz")).status == 200
    node.draining = True
    answer = await http(front, "GET", "/readyz")
    assert (answer.status, answer.body) == (503, b"not ready: the media node is draining\n")


async def test_metrics(front):
    await front.joined()
    answer = await http(front, "GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert b"sightline_signaling_rooms 1.0" in answer.body
    assert b'sightline_signaling_request_seconds_count{method="join"} 1.0' in answer.body
    await http(front, "GET", "/nowhere/at/all")
    assert b"nowhere" not in (await http(front, "GET", "/metrics")).body


async def test_security_headers_are_everywhere(front):
    for path in ("/", "/api/v1/openapi.json", "/none", "/healthz"):
        headers = (await http(front, "GET", path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "server" not in headers


# ---- the document ----


def references(part) -> set[str]:
    if isinstance(part, dict):
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*(references(value) for value in part.values()))
    if isinstance(part, list):
        return set().union(*(references(value) for value in part))
    return set()


def test_the_openapi_document_is_whole():
    document = openapi_document("1")
    assert document["openapi"] == "3.1.0"
    schemas = document["components"]["schemas"]
    assert {f"#/components/schemas/{name}" for name in schemas} == references(document)
    names = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert len(names) == len(set(names)) == len(OPERATIONS)
    for path, operations in document["paths"].items():
        in_path = set(re.findall(r"{(\w+)}", path))
        for operation in operations.values():
            declared = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
            assert declared == in_path
            assert all(re.fullmatch("[1-5][0-9][0-9]", status) for status in operation["responses"])


async def test_every_operation_of_the_document_answers_as_it_says(front):
    document = (await http(front, "GET", "/api/v1/openapi.json")).json
    token = admin_token(front)
    await http(front, "POST", "/api/v1/rooms", body={"name": "x"})
    for operation in OPERATIONS:
        spoken = document["paths"][operation.path][operation.method]
        path = operation.path.replace("{name}", "x")
        method = operation.method.upper()
        anonymous = await http(front, method, path, body={} if operation.body else b"")
        assert (anonymous.status == 401) is operation.admin
        answer = await http(front, method, path, body={} if operation.body else b"", token=token)
        assert answer.status in operation.replies, operation
        assert str(answer.status) in spoken["responses"]
        shape = operation.replies[answer.status]
        if shape is not None:
            msgspec.json.decode(answer.body, type=shape, strict=True)


async def test_no_route_is_missing_in_the_document(front, node, tmp_path):
    from quart import Quart

    from signaling.api import rest
    from signaling.auth import Admin
    from signaling.config import Limits

    app = Quart("x", static_folder=None)
    app.register_blueprint(rest.blueprint(None, None, Admin("t"), Limits(), "1"))
    routes = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert routes - {("/api/v1/openapi.json", "get")} == {(one.path, one.method) for one in OPERATIONS}
