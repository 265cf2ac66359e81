"""A plain HTTP client in a thread: what a WHIP or WHEP client sends, without a library's kind corrections."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

import trio


@dataclass(frozen=True)
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def problem(self) -> dict[str, Any]:
        """The problem details (RFC 9457) of a refusal."""
        assert self.headers["Content-Type"] == "application/problem+json"
        problem = json.loads(self.body)
        assert problem["status"] == self.status
        return problem

    @property
    def detail(self) -> str:
        return self.problem["detail"]


async def send(
    port: int, method: str, path: str, body: bytes | str = b"", headers: dict[str, str] | None = None
) -> Reply:
    """One request on a connection of its own to 127.0.0.1."""
    return await trio.to_thread.run_sync(_send, port, method, path, body, headers or {}, abandon_on_cancel=True)


def _send(port: int, method: str, path: str, body: bytes | str, headers: dict[str, str]) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read())
    finally:
        connection.close()
