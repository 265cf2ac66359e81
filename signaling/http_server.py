"""Hypercorn's HTTP/1.1 and WebSocket server with the faults we know of fenced in.

Each class here overrides as little of hypercorn 0.18 as its fault needs:

- an exception while one connection is handled reached the listener and stopped the whole server (one stray byte after
  an upgrade request was enough): `Connection` contains it;
- sends were shielded from cancellation, so that a client which stops reading could hold up the shutdown: a send has a
  deadline and can be cancelled, which breaks that connection, for half a frame may be out;
- closing at once lost what the client had not read yet (a close frame, an error page), and a cancelled close did
  nothing: `Connection` lingers for a moment, and ends then whatever its tasks wait for;
- the cancellation of one connection's tasks went on to the listener: `Tasks`;
- events for an application that has returned filled a queue nobody reads, and the connection never ended: `Tasks`;
- permessage-deflate was always accepted, at 100 KiB a socket: it is never offered back;
- messages were measured in characters and one too large left its socket open: `Frames`, `WebSocketStream`;
- pings were sent but nobody looked for signs of life, and the ping task held up the end of its connection;
- cleartext HTTP/2 could be asked for: it is not served, there is no user for it behind a TLS proxy.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from io import BytesIO, StringIO
from typing import Any, cast

import h11
import structlog
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Body, Data, Request, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol, H11WSConnection
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.protocol.ws_stream import FrameTooLargeError, WebsocketBuffer, WSStream
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import MAX_RECV, TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState
from hypercorn.utils import parse_socket_addr
from wsproto.connection import ConnectionState as WsState
from wsproto.events import CloseConnection, Message, Ping, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import ProtocolError

log = structlog.get_logger(__name__)
LINGER_SECONDS = 0.5
SILENT_PINGS = 3  # unanswered pings after which a client is gone


class Tasks(TaskGroup):
    """The tasks of one connection. Events for an application that has returned are dropped instead of waiting."""

    async def __aexit__(self, *details: Any) -> Any:  # noqa: PYI036  (passed on)
        # Its own cancellation ends here. Hypercorn's loses what its nursery answers, so that a cancelled connection
        # would cancel the listener too.
        if self._nursery_manager is None:
            return None
        return await self._nursery_manager.__aexit__(*details)

    async def spawn_app(
        self, app: AppWrapper, config: Config, scope: Any, send: Callable[[Any], Awaitable[None]]
    ) -> Callable[[Any], Awaitable[None]]:
        put, take = trio.open_memory_channel[Any](config.max_app_queue_size)

        async def run() -> None:
            try:
                with take:
                    await app(scope, take.receive, send, trio.to_thread.run_sync, trio.from_thread.run)
            except* Exception:
                log.exception("a request was not handled", kind=scope["type"])
            finally:
                await send(None)

        async def deliver(event: Any) -> None:
            try:
                await put.send(event)
            except trio.BrokenResourceError:
                await trio.lowlevel.checkpoint()

        self.spawn(run)
        return deliver

    def cancel(self) -> None:
        """End all of them."""
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()


class Frames(WebsocketBuffer):
    """One message in the making, measured in bytes as it comes over the wire."""

    def extend(self, event: Message[Any]) -> None:
        self.length += len(event.data.encode()) if isinstance(event, TextMessage) else len(event.data)
        if self.length > self.max_length:
            raise FrameTooLargeError
        if self.value is None:
            self.value = StringIO() if isinstance(event, TextMessage) else BytesIO()
        self.value.write(event.data)


class WebSocketStream(WSStream):
    """One WebSocket."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.buffer = Frames(self.config.websocket_max_message_size)
        self._last_heard = trio.current_time()
        self._over = trio.Event()

    async def handle(self, event: StreamEvent) -> None:
        """One event of the connection."""
        if isinstance(event, StreamClosed):
            self._over.set()
        if isinstance(event, (Body, Data)) and not self.closed:
            self._last_heard = trio.current_time()
            if not self.handshake.accepted:
                await self._refuse_early_bytes()
                return
        await super().handle(event)

    async def _refuse_early_bytes(self) -> None:
        """A client may not speak before it has our answer (RFC 6455 section 4.1)."""
        self.closed = True  # first: whatever the application sends from here on goes nowhere
        self._over.set()
        await self._send_error_response(400)
        if self.app_put is not None:
            await self.app_put({"type": "websocket.disconnect", "code": CloseReason.ABNORMAL_CLOSURE.value})
        await self.send(StreamClosed(stream_id=self.stream_id))

    async def _handle_events(self) -> None:
        for event in self.connection.events():
            if isinstance(event, Message):
                try:
                    self.buffer.extend(event)
                except FrameTooLargeError:
                    await self._send_wsproto_event(
                        CloseConnection(code=CloseReason.MESSAGE_TOO_BIG, reason="message too large")
                    )
                    await self.send(StreamClosed(stream_id=self.stream_id))
                    return
                if event.message_finished and self.app_put is not None:
                    await self.app_put(self.buffer.to_message())
                    self.buffer.clear()
            elif isinstance(event, Ping):
                await self._send_wsproto_event(event.response())
            elif isinstance(event, CloseConnection):
                if self.connection.state == WsState.REMOTE_CLOSING:
                    await self._send_wsproto_event(event.response())
                await self.send(StreamClosed(stream_id=self.stream_id))
                return

    async def _send_pings(self) -> None:
        interval = self.config.websocket_ping_interval or math.inf
        while not self._over.is_set():
            with trio.move_on_after(interval):
                await self._over.wait()
                return
            if trio.current_time() - self._last_heard > SILENT_PINGS * interval:
                await self.send(StreamClosed(stream_id=self.stream_id))
                return
            await self._send_wsproto_event(Ping())


class Http(H11Protocol):
    """One HTTP/1.1 connection (RFC 9112) that may become a WebSocket."""

    async def handle(self, event: Event) -> None:
        """One event of the connection. What breaks the protocol closes it."""
        try:
            await super().handle(event)
        except (ProtocolError, h11.ProtocolError):
            await self.send(Closed())

    async def _check_protocol(self, _event: h11.Request) -> None:
        """HTTP/2 is never spoken here, whatever the request asks for."""

    async def _create_stream(self, request: h11.Request) -> None:
        headers = [(name, value) for name, value in request.headers if name != b"sec-websocket-extensions"]
        arguments = (self.app, self.config, self.context, self.task_group, self.ssl, self.client, self.server)
        if _is_upgrade(request):
            self.stream = WebSocketStream(*arguments, self.stream_send, STREAM_ID)
            assert isinstance(self.connection, h11.Connection)
            self.connection = H11WSConnection(self.connection)
        else:
            self.stream = HTTPStream(*arguments, self.stream_send, STREAM_ID)
        self.keep_alive_requests += 1
        await self.stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=headers,
                http_version=request.http_version.decode(),
                method=request.method.decode("ascii").upper(),
                raw_path=request.target,
                state=self.connection_state,
            )
        )


def _is_upgrade(request: h11.Request) -> bool:
    upgrade = b",".join(value for name, value in request.headers if name == b"upgrade").strip().lower()
    tokens = b",".join(value for name, value in request.headers if name == b"connection").lower().split(b",")
    return upgrade == b"websocket" and request.method == b"GET" and any(t.strip() == b"upgrade" for t in tokens)


class Connection(TCPServer):
    """One accepted TCP connection, from its first byte to its end. Whatever goes wrong costs this connection only."""

    def __init__(
        self,
        app: AppWrapper,
        config: Config,
        context: WorkerContext,
        stream: trio.SocketStream,
        *,
        write_seconds: float,
        on_fault: Callable[[], None],
    ) -> None:
        super().__init__(app, config, context, ConnectionState({}), cast("Any", stream))
        self._write_seconds = write_seconds
        self._on_fault = on_fault
        self._reading = False
        self._closing = False
        self._linger_scope = trio.CancelScope()

    async def run(self) -> None:
        """Serve the connection until either end closes it."""
        try:
            await self._run()
        except* OSError:
            pass  # the connection went away
        except* Exception:
            self._on_fault()
            log.exception("a connection was ended by a fault")
        finally:
            await trio.aclose_forcefully(self.stream)

    async def _run(self) -> None:
        socket = self.stream.socket
        client = parse_socket_addr(socket.family, socket.getpeername())
        server = parse_socket_addr(socket.family, socket.getsockname())
        tasks = Tasks()
        async with tasks:
            self._task_group = self._tasks = tasks
            http = Http(
                self.app,
                self.config,
                self.context,
                tasks,
                ConnectionState(self.state),
                False,
                client,
                server,
                self.protocol_send,
            )
            self.protocol = cast("Any", http)  # a ProtocolWrapper only ever chooses between HTTP versions
            await self.idle_task.restart(tasks, self._idle_timeout)
            await self._read_data()

    async def protocol_send(self, event: Event) -> None:
        """Bytes for the client, or the wish to close. A send that is late or cancelled breaks the connection."""
        if not isinstance(event, RawData):
            await super().protocol_send(event)
            return
        sent = False
        async with self.send_lock:
            try:
                with trio.move_on_after(self._write_seconds):
                    await self.stream.send_all(event.data)
                    sent = True
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            finally:
                if not sent:
                    await trio.aclose_forcefully(self.stream)
        if not sent:
            await self.protocol.handle(Closed())

    async def _read_data(self) -> None:
        self._reading = True
        try:
            while True:
                data = bytes(await self.stream.receive_some(MAX_RECV))
                if not self._closing:
                    await self.protocol.handle(RawData(data))
                if not data:
                    break
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            pass
        finally:
            self._reading = False
            self._linger_scope.cancel()
        await self.protocol.handle(Closed())
        await self.idle_task.stop()

    async def _close(self) -> None:
        """Say that nothing more comes, and give the client a moment to read what did: a reset would destroy it.

        Quart cancels its tasks as soon as a response is out, so there is no checkpoint before the work is done.
        """
        if self._closing:
            return
        self._closing = True
        with suppress(OSError):
            self.stream.socket.shutdown(trio.socket.SHUT_WR)
        if self._reading:
            self._task_group.spawn(self._linger)
        else:
            await trio.aclose_forcefully(self.stream)

    async def _linger(self) -> None:
        with self._linger_scope:
            await trio.sleep(LINGER_SECONDS)
            # The reader may wait for something that does not come any more, so its task ends too.
            self._tasks.cancel()
