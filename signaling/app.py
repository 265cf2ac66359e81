"""The HTTP application: which path is answered by whom, the headers of every answer, and how errors look.

`/ws` does not go through Quart: `Front` hands it to `signaling.session` directly, because the framework's own socket
handling drops empty binary messages as type errors and puts a second queue between the client and us.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
import structlog
import trio
from prometheus_client import CollectorRegistry
from quart import Response, request
from quart_trio import QuartTrio
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import HTTPException, NotFound

from ops.metrics import SignalingMetrics
from signaling.api import operations, rest
from signaling.auth import Admin, Authoriser
from signaling.calls import Calls
from signaling.config import SignalingConfig
from signaling.errors import HTTP_STATUS, CallError, CallErrorCode
from signaling.session import Sessions
from signaling.static import Asset, WebClient
from signaling.store.database import Database
from signaling.whep import whep_blueprint
from signaling.whip import whip_blueprint

log = structlog.get_logger(__name__)
VERSION = "0.1.0"
API_PATHS = ("/api/", "/whip", "/whep")
NO_CLIENT = (
    b"This is a Sightline signaling server. It serves no web client: build one (docs/web.md) and give --web-root.\n"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",  # a room's name is all that guards an open room
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def problem(error: CallError) -> Response:
    """A refusal over HTTP."""
    body = {"error": {"code": error.code.value, "message": error.message}}
    shown = Response(msgspec.json.encode(body), HTTP_STATUS[error.code], content_type="application/json")
    if error.code is CallErrorCode.UNAUTHORIZED:
        shown.headers["WWW-Authenticate"] = "Bearer"
    return shown


def make_app(
    calls: Calls,
    config: SignalingConfig,
    *,
    database: Database,
    admin: Admin,
    authoriser: Authoriser,
    registry: CollectorRegistry,
    metrics: SignalingMetrics,
    web_client: WebClient,
) -> QuartTrio:
    """The Quart application. Everything it uses is handed in and open already."""
    app = QuartTrio(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = config.limits.body_bytes
    app.config["BODY_TIMEOUT"] = config.limits.body_seconds
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False
    app.register_blueprint(rest.blueprint(calls, database, admin, config.limits, VERSION))
    app.register_blueprint(operations.blueprint(calls, database, registry))
    app.register_blueprint(whip_blueprint(calls, authoriser, allowed_origins=config.allowed_origins))
    app.register_blueprint(whep_blueprint(calls, authoriser, allowed_origins=config.allowed_origins))

    _explain_errors(app, web_client)

    @app.get("/")
    async def front_page() -> Response:
        if not web_client.assets:
            return Response(NO_CLIENT, content_type="text/plain; charset=utf-8")
        return await _serve_file(web_client, "/")

    @app.get("/<path:_path>")
    async def file(_path: str) -> Response:
        if request.path.startswith(API_PATHS):
            raise NotFound
        return await _serve_file(web_client, request.path)

    @app.after_request
    async def dress(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Content-Security-Policy", web_client.policy)
        response.headers.setdefault("Cache-Control", "no-store")
        rule = request.url_rule.rule if request.url_rule is not None else "none"
        metrics.http_requests.labels(rule, str(response.status_code)).inc()
        return response

    return app


def _explain_errors(app: QuartTrio, web_client: WebClient) -> None:
    """How every kind of failure is answered."""

    @app.errorhandler(CallError)
    async def refused(error: CallError) -> Response:
        return problem(error)

    @app.errorhandler(HTTPException)
    async def http_error(error: HTTPException) -> Response:
        return await _http_error(error, web_client)

    @app.errorhandler(OperationalError)
    async def without_database(error: OperationalError) -> Response:
        log.error("the database could not be used", route=str(request.url_rule), error=str(error.orig))
        return problem(CallError(CallErrorCode.UNAVAILABLE, "The server's database cannot be used now; try later."))

    @app.errorhandler(Exception)
    async def failed(error: Exception) -> Response:
        log.error("a request failed", route=str(request.url_rule), exc_info=error)
        return problem(CallError(CallErrorCode.INTERNAL, "The server failed to do this; its log has the reason."))


async def _serve_file(web_client: WebClient, path: str, status: int = 200) -> Response:
    found = web_client.find(path)
    if isinstance(found, str):
        return Response(b"", 308, headers={"Location": quote(found), "Cache-Control": "no-cache"})
    if found is None:
        return await _not_found(web_client)
    return await _serve_asset(found, status)


async def _serve_asset(asset: Asset, status: int) -> Response:
    headers = {"ETag": asset.etag, "Cache-Control": asset.cache}
    if status == 200 and asset.etag in request.headers.get("If-None-Match", ""):
        return Response(b"", 304, headers=headers)
    try:
        content = await trio.Path(asset.path).read_bytes()
    except OSError:
        log.error("a file of the web client is gone; restart after a new build", file=asset.path.name)
        return Response(b"gone\n", 404, content_type="text/plain")
    return Response(content, status, headers=headers, content_type=asset.content_type)


async def _not_found(web_client: WebClient) -> Response:
    if web_client.not_found is not None and request.method in ("GET", "HEAD"):
        return await _serve_asset(web_client.not_found, 404)
    return Response(b"There is nothing here.\n", 404, content_type="text/plain")


async def _http_error(error: HTTPException, web_client: WebClient) -> Response:
    status = error.code or 500
    if not request.path.startswith(API_PATHS):
        if status == 404:
            return await _not_found(web_client)
        shown = Response(f"{error.name}\n".encode(), status, content_type="text/plain")
    else:
        codes = {404: "not_found", 405: "unsupported", 413: "limit"}
        code = codes.get(status, "bad_request" if status < 500 else "internal")
        body = {"error": {"code": code, "message": f"{error.name}: {error.description}"}}
        shown = Response(msgspec.json.encode(body), status, content_type="application/json")
    for name, value in error.get_headers():
        if name == "Allow":
            shown.headers[name] = value
    return shown


class AsgiSocket:
    """An ASGI WebSocket as `session.Socket`. Every method is a checkpoint, even on a socket that is closed already."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send

    async def receive(self) -> str | bytes | None:
        """The next message; None once the client is gone."""
        event = await self._receive()
        if event["type"] != "websocket.receive":
            return None
        text: str | None = event.get("text")
        return event["bytes"] if text is None else text

    async def send(self, text: str) -> None:
        """Send one text frame."""
        await self._send({"type": "websocket.send", "text": text})
        await trio.lowlevel.checkpoint()

    async def close(self, code: int, reason: str) -> None:
        """Send the closing frame."""
        await self._send({"type": "websocket.close", "code": code, "reason": reason})
        await trio.lowlevel.checkpoint()


class Front:
    """The ASGI application: `/ws` to the sessions, everything else to Quart."""

    def __init__(self, app: QuartTrio, sessions: Sessions, config: SignalingConfig) -> None:
        self._app = app
        self._sessions = sessions
        self._config = config

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)  # type: ignore[arg-type]
        elif scope["path"] != "/ws":
            await _reject(send, 404, b"There is no socket here; it is at /ws.\n")
        elif not self._origin_allowed(scope):
            await _reject(send, 403, b"Pages of this origin may connect only with --allow-origin.\n")
        else:
            await receive()  # websocket.connect
            await send({"type": "websocket.accept"})
            await self._sessions.serve(AsgiSocket(receive, send))

    def _origin_allowed(self, scope: dict[str, Any]) -> bool:
        """Browsers say which page connects (RFC 6455 section 10.2); what is no browser needs no permission."""
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        origin = headers.get(b"origin")
        if origin is None or "*" in self._config.allowed_origins or origin in self._config.allowed_origins:
            return True
        try:
            return bool(urlsplit(origin).netloc == headers.get(b"host"))
        except ValueError:
            return False


async def _reject(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
