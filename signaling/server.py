"""The signaling front as one service: opens what it needs, serves HTTP and WebSocket, and stops within two seconds."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple, cast

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.logging import Logger
from hypercorn.trio.worker_context import WorkerContext
from prometheus_client import CollectorRegistry
from quart_trio import QuartTrio

from ops.metrics import SignalingMetrics
from protos.control import MediaNode
from signaling.app import Front, make_app
from signaling.auth import Admin, Authoriser, open_admin_token
from signaling.calls import Calls
from signaling.config import SignalingConfig
from signaling.errors import SignalingError
from signaling.http_server import Connection
from signaling.reactions import serve_calls
from signaling.session import Sessions
from signaling.static import open_web_client
from signaling.store.database import Database, open_database
from signaling.store.writer import History

log = structlog.get_logger(__name__)
SPARE_CONNECTIONS = 500  # beside the sockets: plain HTTP
KEEP_ALIVE_REQUESTS = 100_000
LIFESPAN_SECONDS = 0.25


class Serving(NamedTuple):
    """What `serve_signaling` reports once it takes connections."""

    host: str
    port: int


class StructlogLogger(Logger):
    """Hypercorn's log as ours. Requests are a debug matter: their paths name rooms."""

    def __init__(self, _config: Config) -> None:
        self.access_logger = None
        self.error_logger = cast("Any", structlog.stdlib.get_logger("hypercorn"))

    async def access(self, request: Any, response: Any, request_time: float) -> None:
        log.debug(
            "request",
            path=request["path"],
            status=None if response is None else response["status"],
            seconds=round(request_time, 4),
        )


def _hypercorn_config(config: SignalingConfig) -> Config:
    settings = Config()
    settings.logger_class = cast("Any", StructlogLogger)
    settings.include_server_header = False
    settings.keep_alive_max_requests = KEEP_ALIVE_REQUESTS
    settings.keep_alive_timeout = 15.0
    settings.websocket_max_message_size = config.limits.frame_bytes
    settings.websocket_ping_interval = config.ping_seconds
    settings.h11_max_incomplete_size = 32_768
    return settings


async def _listen(config: SignalingConfig) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(config.port, host=config.host or None)
    except OSError as error:
        where = f"{config.host}:{config.port}"
        if error.errno == errno.EADDRINUSE:
            raise SignalingError(f"{where} is taken: stop what listens there or choose another with --port.") from None
        raise SignalingError(f"Cannot listen on {where}: {error.strerror or error}.") from None


async def serve_signaling(
    config: SignalingConfig,
    node: MediaNode,
    *,
    registry: CollectorRegistry,
    task_status: trio.TaskStatus[Serving] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve calls over `node` until cancelled. Raises SignalingError, with one line to act on, if it cannot start.

    When cancelled: every client hears `serverStopping` and is closed with 1001, calls are ended and their history is
    written, all within `config.stop_seconds`.
    """
    metrics = SignalingMetrics(registry)
    listeners = await _listen(config)
    try:
        authoriser = Authoriser(config.auth_secret)
        admin = Admin(await trio.to_thread.run_sync(open_admin_token, config))
        web_client = await open_web_client(config.web_root)
        async with open_database(config) as database:
            history = History(metrics, keep=config.limits.history_records)
            calls = Calls(
                node,
                limits=config.limits,
                metrics=metrics,
                ice_servers=config.ice_servers,
                record=history.record,
            )
            sessions = Sessions(calls, authoriser, config.limits, metrics)
            app = make_app(
                calls,
                config,
                database=database,
                admin=admin,
                authoriser=authoriser,
                registry=registry,
                metrics=metrics,
                web_client=web_client,
            )
            shell = _Shell(config, metrics, calls, sessions, history, database, app, listeners)
            await shell.serve(task_status)
    finally:
        for listener in listeners:
            await trio.aclose_forcefully(listener)


class _Shell:
    """The running half of `serve_signaling`: everything is open, now serve and stop."""

    def __init__(
        self,
        config: SignalingConfig,
        metrics: SignalingMetrics,
        calls: Calls,
        sessions: Sessions,
        history: History,
        database: Database,
        app: QuartTrio,
        listeners: list[trio.SocketListener],
    ) -> None:
        self._config = config
        self._metrics = metrics
        self._calls = calls
        self._sessions = sessions
        self._history = history
        self._database = database
        self._app = app
        self._listeners = listeners
        self._context = WorkerContext(None)
        self._connections = 0
        self._scope = trio.CancelScope()

    async def serve(self, task_status: trio.TaskStatus[Serving]) -> None:
        """Run until cancelled, then stop in good order."""
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._run)
                # From here on a cancelled caller does not cut the clients off: we do, after telling them.
                self._scope.shield = True
                address = self._listeners[0].socket.getsockname()
                log.info("signaling serves", host=address[0], port=address[1])
                task_status.started(Serving(address[0], address[1]))
                try:
                    await trio.sleep_forever()
                finally:
                    await self._stop()
                    self._scope.cancel()
        finally:
            with trio.move_on_after(self._config.stop_seconds * 0.25, shield=True):
                await self._history.flush(self._database)

    async def _stop(self) -> None:
        with trio.move_on_after(self._config.stop_seconds * 0.6, shield=True) as farewell:
            await self._sessions.stop()
        if farewell.cancelled_caught:
            log.warning("some clients did not take their farewell and are cut off")
        await self._context.terminated.set()
        with trio.move_on_after(self._config.stop_seconds * 0.15, shield=True):
            await self._calls.close_all("server-stopping")

    async def _run(self, *, task_status: trio.TaskStatus[None]) -> None:
        application = ASGIWrapper(Front(self._app, self._sessions, self._config))  # type: ignore[arg-type]
        settings = _hypercorn_config(self._config)
        with self._scope:
            async with trio.open_nursery() as services:
                await services.start(serve_calls, self._calls)
                await services.start(self._history.serve, self._database)
                async with _lifespan(self._app), trio.open_nursery() as connections:
                    handler = partial(self._handle, application, settings)
                    serving = partial(trio.serve_listeners, handler, self._listeners, handler_nursery=connections)
                    await connections.start(serving)
                    task_status.started()

    async def _handle(self, application: ASGIWrapper, settings: Config, stream: trio.SocketStream) -> None:
        if self._connections >= self._config.limits.sockets + SPARE_CONNECTIONS:
            await trio.aclose_forcefully(stream)
            return
        self._connections += 1
        try:
            connection = Connection(
                application,
                settings,
                self._context,
                stream,
                write_seconds=2 * self._config.limits.write_seconds,  # the session notices its own slow client first
                on_fault=self._metrics.connection_faults.inc,
            )
            await connection.run()
        finally:
            self._connections -= 1


@asynccontextmanager
async def _lifespan(app: QuartTrio) -> AsyncIterator[None]:
    """What an ASGI server's lifespan does for Quart: start and stop hooks, and a nursery for background tasks."""
    async with trio.open_nursery() as nursery:
        app.nursery = nursery
        await app.startup()
        try:
            yield
        finally:
            with trio.move_on_after(LIFESPAN_SECONDS, shield=True):
                await app.shutdown()
            nursery.cancel_scope.cancel()
