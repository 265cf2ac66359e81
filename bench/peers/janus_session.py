"""Janus's JSON API over one WebSocket: requests and their replies, in one session.

Documented at https://janus.conf.meetecho.com/docs/rest.html and, for what the plugin says,
https://janus.conf.meetecho.com/docs/videoroom.html.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, open_websocket

from bench.errors import BenchError

ANSWER_SECONDS = 15
VIDEOROOM = "janus.plugin.videoroom"


class Jsep(msgspec.Struct, frozen=True):
    """A session description of Janus."""

    type: str
    sdp: str


class _Identity(msgspec.Struct, frozen=True):
    id: int = 0


class _Refusal(msgspec.Struct, frozen=True):
    code: int
    reason: str


class _PluginData(msgspec.Struct, frozen=True):
    data: dict[str, Any]


class Message(msgspec.Struct, frozen=True):
    """Anything that Janus says, as far as it matters here."""

    janus: str
    transaction: str = ""
    sender: int = 0  # the handle that an event is about
    data: _Identity = _Identity()
    plugindata: _PluginData | None = None
    jsep: Jsep | None = None
    error: _Refusal | None = None


def read_message(text: str | bytes) -> Message:
    """BenchError when it is not what the API documents."""
    try:
        return msgspec.json.decode(text, type=Message)
    except msgspec.DecodeError as error:
        raise BenchError(f"Janus said something that is not in its API's form: {error}") from error


def refusal(message: Message) -> str | None:
    """Why the request was refused, by the core or by the plugin; None when it was not."""
    if message.error is not None:
        return f"{message.error.reason} (code {message.error.code})"
    said = message.plugindata.data if message.plugindata is not None else {}
    if "error" in said:
        return f"{said['error']} (code {said.get('error_code', 'unknown')})"
    return None


class JanusSession:
    """One session. Every method raises BenchError when Janus refuses, has gone, or takes longer than 15 s."""

    def __init__(self, socket: WebSocketConnection) -> None:
        self._socket = socket
        self._transactions = (str(number) for number in itertools.count(1))
        self._waiting: dict[str, trio.MemorySendChannel[Message]] = {}
        self._connected: dict[int, trio.Event] = {}
        self._ended: BenchError | None = None
        self._session_id = 0

    async def create(self) -> None:
        """Must come first."""
        self._session_id = (await self._request({"janus": "create"})).data.id

    async def attach(self) -> int:
        """A new handle of the VideoRoom plugin: one PeerConnection."""
        return (await self._request({"janus": "attach", "plugin": VIDEOROOM})).data.id

    async def wait_connected(self, handle: int) -> None:
        """Until Janus, too, has this handle's PeerConnection: a publisher is no feed to subscribe to before."""
        with trio.move_on_after(ANSWER_SECONDS):
            await self._connection(handle).wait()
            return
        raise BenchError(f"Janus has not noticed a publisher's connection within {ANSWER_SECONDS} s")

    def _connection(self, handle: int) -> trio.Event:
        return self._connected.setdefault(handle, trio.Event())

    async def ask(
        self, handle: int, body: Mapping[str, Any], jsep: Jsep | None = None
    ) -> tuple[dict[str, Any], Jsep | None]:
        """One request to the plugin: what it says, and its session description."""
        request: dict[str, Any] = {"janus": "message", "handle_id": handle, "body": body}
        if jsep is not None:
            request["jsep"] = msgspec.to_builtins(jsep)
        message = await self._request(request)
        return (message.plugindata.data if message.plugindata is not None else {}), message.jsep

    async def _request(self, request: Mapping[str, Any]) -> Message:
        transaction = next(self._transactions)
        whole = {**request, "transaction": transaction}
        if self._session_id:
            whole["session_id"] = self._session_id
        send, receive = trio.open_memory_channel[Message](1)
        if self._ended is not None:
            raise self._ended
        self._waiting[transaction] = send
        try:
            await self._socket.send_message(msgspec.json.encode(whole).decode())
            with trio.fail_after(ANSWER_SECONDS):
                message = await receive.receive()
        except trio.TooSlowError:
            raise BenchError(f"Janus did not answer within {ANSWER_SECONDS} s; is this machine busy?") from None
        except (trio.EndOfChannel, trio.BrokenResourceError):
            raise BenchError("Janus has ended the connection") from None
        finally:
            self._waiting.pop(transaction, None)
        if (why := refusal(message)) is not None:
            asked = request.get("body", request)
            raise BenchError(f"Janus refused {asked.get('request', asked.get('janus'))!r}: {why}")
        return message

    async def serve(self) -> None:
        """Hand replies to who waits for them, until the connection ends. Of events only "webrtcup" means something."""
        try:
            while True:
                message = read_message(await self._socket.get_message())
                if message.janus == "webrtcup":
                    self._connection(message.sender).set()
                # The plugin's answer to a request comes after an "ack" of its arrival.
                elif message.janus != "ack" and message.transaction in self._waiting:
                    self._waiting.pop(message.transaction).send_nowait(message)
        except ConnectionClosed:
            self._ended = BenchError("Janus has ended the connection")
        finally:
            for waiting in self._waiting.values():
                waiting.close()


@asynccontextmanager
async def open_session(port: int) -> AsyncIterator[JanusSession]:
    """A session over the WebSocket of a Janus on this machine."""
    async with (
        open_websocket("127.0.0.1", port, "/", use_ssl=False, subprotocols=["janus-protocol"]) as socket,
        trio.open_nursery() as nursery,
    ):
        session = JanusSession(socket)
        nursery.start_soon(session.serve)
        await session.create()
        yield session
        nursery.cancel_scope.cancel()
