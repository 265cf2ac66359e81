"""One WebSocket: a receive task that never waits for anything else, a bounded outbound queue with a write deadline,
and one worker per transport so that requests which touch it run in order of arrival.

Whatever a client does wrong costs its own socket at most. A client that stops reading is cut: its queue is bounded and
each frame has a deadline. A peer outlives its socket for a few seconds (`Calls.carrier_lost`): `resume` finds it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import structlog
import trio

from ops.metrics import SignalingMetrics
from signaling import messages
from signaling.auth import Authoriser
from signaling.calls import Calls
from signaling.config import Limits
from signaling.dispatch import METHODS, Client
from signaling.errors import CallError, CallErrorCode
from signaling.rates import TokenBucket

log = structlog.get_logger(__name__)

# WebSocket close codes (RFC 6455 section 7.4).
NORMAL = 1000
GOING_AWAY = 1001
POLICY = 1008
INTERNAL = 1011
TRY_LATER = 1013
REPLACED = 4001  # ours: another socket resumed this peer, so the client must not connect anew
CLOSE_SECONDS = 0.5  # for the closing frame of a socket that we end
# How long a client waits before it connects again after a restart; they must not all come at once, so it adds its own.
RECONNECT_AFTER_MS = 1_000


class Socket(Protocol):
    """What a session needs of its carrier. Every method is a checkpoint."""

    async def receive(self) -> str | bytes | None:
        """The next message; None once the client is gone."""
        ...

    async def send(self, text: str) -> None:
        """Send one text frame; cancelling it breaks the connection."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye."""
        ...


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The last item of an outbound queue."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Pending:
    """A request that waits for its turn. `arrived`: trio time."""

    id: int
    method: str
    data: msgspec.Raw
    arrived: float


class Session:
    """One client's socket from accept to end."""

    def __init__(
        self, socket: Socket, calls: Calls, authoriser: Authoriser, limits: Limits, metrics: SignalingMetrics
    ) -> None:
        self._socket = socket
        self._limits = limits
        self._metrics = metrics
        self._calls = calls
        self._client = Client(calls, authoriser, notify=self.notify, closed=self._ended_by_others)
        self._out, self._to_send = trio.open_memory_channel[str | Goodbye](limits.outbound_frames)
        self._waiting = 0  # characters in the outbound queue
        self._open: set[int] = set()
        self._lanes: dict[str, deque[Pending]] = {}
        self._scope = trio.CancelScope()
        self._goodbye: Goodbye | None = None
        self._ending = False  # a Goodbye waits in the queue: nothing comes after it

    async def run(self) -> None:
        """Serve the socket until it ends; then its peer, if any, is left to `Calls`."""
        now = trio.current_time()
        self._bucket = TokenBucket.full(self._limits.requests_per_second, self._limits.request_burst, now)
        self._patience = TokenBucket.full(self._limits.requests_per_second / 10, self._limits.request_burst, now)
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._send_all)
                    nursery.start_soon(self._cut_unless_joined)
                    await self._receive_all(nursery)
                    nursery.cancel_scope.cancel()
        finally:
            peer = self._client.peer
            if peer is not None:
                self._calls.carrier_lost(peer)
            if self._goodbye is not None:
                with trio.move_on_after(CLOSE_SECONDS, shield=True):
                    await self._socket.close(self._goodbye.code, self._goodbye.reason)

    # ---- out ----

    def notify(self, method: str, data: dict[str, Any]) -> None:
        """Queue a notification; never blocks. A client whose queue is full is cut."""
        self._queue(messages.notification_frame(method, data))

    def end(self, code: int, reason: str) -> None:
        """Close the socket once everything queued before has been sent."""
        if not self._ending:
            self._queue(Goodbye(code, reason))
            self._ending = True

    def stop(self) -> None:
        """The server is going: say so, then close with 1001."""
        self.notify("serverStopping", {"reconnectAfterMs": RECONNECT_AFTER_MS})
        self.end(GOING_AWAY, "server stopping")

    def cut(self, code: int, reason: str) -> None:
        """End the socket now, whatever is queued."""
        if self._goodbye is None:
            self._goodbye = Goodbye(code, reason)
            self._metrics.sockets_cut.labels(reason).inc()
        self._scope.cancel()

    def _queue(self, item: str | Goodbye) -> None:
        if self._ending:
            return
        if isinstance(item, str):
            self._waiting += len(item)
            if self._waiting > self._limits.outbound_characters:
                self.cut(TRY_LATER, "too slow")
                return
        try:
            self._out.send_nowait(item)
        except trio.WouldBlock:
            self.cut(TRY_LATER, "too slow")
        except trio.BrokenResourceError:
            pass  # the session is over

    async def _send_all(self) -> None:
        async for item in self._to_send:
            if isinstance(item, Goodbye):
                self._goodbye = item
                self._scope.cancel()
                return
            with trio.move_on_after(self._limits.write_seconds) as deadline:
                await self._socket.send(item)
            self._waiting -= len(item)
            if deadline.cancelled_caught:
                self.cut(TRY_LATER, "too slow")

    def _ended_by_others(self, reason: str) -> None:
        self._client.peer = None
        self.end(REPLACED if reason == "replaced" else NORMAL, reason)

    async def _cut_unless_joined(self) -> None:
        """A socket is for taking part: one that stays outside of any room is closed."""
        while True:
            await trio.sleep(self._limits.join_seconds)
            if self._client.peer is None and not self._client.joining:
                self.cut(POLICY, "join a room")

    # ---- in ----

    async def _receive_all(self, nursery: trio.Nursery) -> None:
        while True:
            message = await self._socket.receive()
            if message is None:
                return
            try:
                pending = self._accept_untrusted(message)
            except _Refused as refused:
                self._refuse(refused.request_id, refused.method, refused.error)
                continue
            self._open.add(pending.id)
            lane = self._client.lane_of(pending.method, pending.data)
            waiting = self._lanes.get(lane)
            if waiting is None:
                self._lanes[lane] = deque([pending])
                nursery.start_soon(self._work, lane)
            else:
                waiting.append(pending)

    def _accept_untrusted(self, message: str | bytes) -> Pending:
        """One frame as a request that may wait for its turn. Raises nothing but _Refused."""
        now = trio.current_time()
        if isinstance(message, bytes):
            self._take_patience(now)
            raise _Refused(None, "invalid", CallErrorCode.BAD_REQUEST, "Text frames only: this one is binary.")
        try:
            request = messages.decode_request_untrusted(message)
        except CallError as error:
            self._take_patience(now)
            raise _Refused(None, "invalid", error.code, error.message) from None
        method = request.method if request.method in METHODS else "unknown"
        refusal = self._why_not(request, now)
        if refusal is not None:
            self._take_patience(now)
            raise _Refused(request.id, method, *refusal)
        return Pending(request.id, request.method, request.data, now)

    def _why_not(self, request: messages.Request, now: float) -> tuple[CallErrorCode, str] | None:
        if request.id in self._open:
            return CallErrorCode.DUPLICATE_ID, f"id: request {request.id} is not answered yet."
        if len(self._open) >= self._limits.open_requests:
            return CallErrorCode.LIMIT, f"At most {self._limits.open_requests} open requests; wait."
        if not self._bucket.take(now):
            return CallErrorCode.LIMIT, f"At most {self._limits.requests_per_second:g} requests a second."
        return None

    def _take_patience(self, now: float) -> None:
        """Refusals cost us too: who goes on and on is cut."""
        if not self._patience.take(now):
            self.cut(POLICY, "too many refused requests")

    async def _work(self, lane: str) -> None:
        """Answer the requests of one lane, one after the other, and end when there are none."""
        waiting = self._lanes[lane]
        while waiting:
            await self._answer(waiting.popleft())
        del self._lanes[lane]

    async def _answer(self, request: Pending) -> None:
        method = request.method if request.method in METHODS else "unknown"
        with self._timed(method, request.arrived):
            try:
                frame = messages.reply_frame(request.id, await self._client.perform(request.method, request.data))
            except CallError as error:
                self._open.discard(request.id)
                self._refuse(request.id, method, error)
                return
            except Exception:
                log.exception("a request failed", method=method)
                self._open.discard(request.id)
                internal = CallError(CallErrorCode.INTERNAL, "The server failed to do this; its log has the reason.")
                self._refuse(request.id, method, internal)
                return
        self._open.discard(request.id)
        self._queue(frame)

    def _refuse(self, request_id: int | None, method: str, error: CallError) -> None:
        self._metrics.request_errors.labels(method, error.code.value).inc()
        self._queue(messages.error_frame(request_id, error))

    @contextmanager
    def _timed(self, method: str, arrived: float) -> Iterator[None]:
        try:
            yield
        finally:
            self._metrics.request_seconds.labels(method).observe(trio.current_time() - arrived)


class _Refused(Exception):
    """A frame that is answered at once."""

    def __init__(self, request_id: int | None, method: str, code: CallErrorCode, message: str) -> None:
        super().__init__(message)
        self.request_id = request_id
        self.method = method
        self.error = CallError(code, message)


class Sessions:
    """Every open socket of this front."""

    def __init__(self, calls: Calls, authoriser: Authoriser, limits: Limits, metrics: SignalingMetrics) -> None:
        self._calls = calls
        self._authoriser = authoriser
        self._limits = limits
        self._metrics = metrics
        self._sessions: set[Session] = set()
        self._stopping = trio.Event()
        self._none_left = trio.Event()

    async def serve(self, socket: Socket) -> None:
        """One accepted socket, until it ends."""
        if self._stopping.is_set() or len(self._sessions) >= self._limits.sockets:
            self._metrics.sockets_cut.labels("server full").inc()
            await socket.close(TRY_LATER, "server stopping" if self._stopping.is_set() else "server full")
            return
        session = Session(socket, self._calls, self._authoriser, self._limits, self._metrics)
        self._sessions.add(session)
        self._metrics.sockets.inc()
        try:
            await session.run()
        finally:
            self._sessions.discard(session)
            self._metrics.sockets.dec()
            if self._stopping.is_set() and not self._sessions:
                self._none_left.set()

    async def stop(self) -> None:
        """Say `serverStopping` to every client and close with 1001. Returns once all are gone: bound it."""
        self._stopping.set()
        if not self._sessions:
            return
        for session in list(self._sessions):
            session.stop()
        await self._none_left.wait()
