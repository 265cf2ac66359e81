"""A foreign WebSocket client of a front under test (trio-websocket), and the front itself on a free port."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
import trio_websocket
from prometheus_client import CollectorRegistry

from protos.control import MediaNode
from signaling.config import Limits, SignalingConfig
from signaling.server import Serving, serve_signaling
from tests.patience import patience

AUDIO = {
    "codecs": [
        {
            "mimeType": "audio/opus",
            "payloadType": 111,
            "clockRate": 48000,
            "channels": 2,
            "parameters": {"minptime": 10, "useinbandfec": 1},
            "rtcpFeedback": [{"type": "transport-cc", "parameter": ""}],
        }
    ],
    "headerExtensions": [{"uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 4, "encrypt": False, "parameters": {}}],
    "encodings": [{"ssrc": 11111, "dtx": False}],
    "rtcp": {"cname": "abc", "reducedSize": True},
    "mid": "0",
}
VIDEO = {
    "codecs": [
        {
            "mimeType": "video/VP8",
            "payloadType": 96,
            "clockRate": 90000,
            "parameters": {},
            "rtcpFeedback": [{"type": "nack", "parameter": ""}, {"type": "nack", "parameter": "pli"}],
        }
    ],
    "headerExtensions": [{"uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 4, "encrypt": False, "parameters": {}}],
    "encodings": [{"ssrc": 22222}],
    "rtcp": {"cname": "abc", "reducedSize": True},
    "mid": "1",
}
DTLS = {"role": "client", "fingerprints": [{"algorithm": "sha-256", "value": ":".join(["AB"] * 32)}]}


class Refused(Exception):
    """An error reply."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["code"], error["message"])
        self.code = error["code"]
        self.message = error["message"]


class Client:
    def __init__(self, socket: trio_websocket.WebSocketConnection) -> None:
        self.socket = socket
        self.notes: list[tuple[str, dict[str, Any]]] = []
        self.peer_id = ""
        self.resume = ""
        self.capabilities: dict[str, Any] = {}
        self._next_id = 0
        self._replies: dict[int | None, dict[str, Any]] = {}
        self._news = trio.Condition()

    async def listen(self) -> None:
        try:
            while True:
                frame = json.loads(await self.socket.get_message())
                async with self._news:
                    if "method" in frame:
                        self.notes.append((frame["method"], frame["data"]))
                    else:
                        self._replies[frame["id"]] = frame
                    self._news.notify_all()
        except trio_websocket.ConnectionClosed:
            async with self._news:
                self._news.notify_all()

    @property
    def close_code(self) -> int | None:
        return None if self.socket.closed is None else self.socket.closed.code

    async def until(self, found: Callable[[], Any]) -> Any:
        with trio.fail_after(patience(5)):
            async with self._news:
                while not (answer := found()):
                    assert self.close_code is None, f"the server closed this socket: {self.socket.closed}"
                    await self._news.wait()
                return answer

    async def closed(self) -> int | None:
        await self.until(lambda: self.socket.closed is not None)
        return self.close_code

    async def send(self, text: str | bytes) -> None:
        await self.socket.send_message(text)

    async def reply(self, request_id: int | None) -> dict[str, Any]:
        frame = await self.until(lambda: self._replies.pop(request_id, None))
        if not frame["ok"]:
            raise Refused(frame["error"])
        return frame["data"]

    async def request(self, method: str, **data: Any) -> dict[str, Any]:
        self._next_id += 1
        await self.send(json.dumps({"id": self._next_id, "method": method, "data": data}))
        return await self.reply(self._next_id)

    async def note(self, method: str, **expected: Any) -> dict[str, Any]:
        """Wait for a notification and take it."""

        def find() -> tuple[int] | None:
            for index, (name, data) in enumerate(self.notes):
                if name == method and expected.items() <= data.items():
                    return (index,)
            return None

        (index,) = await self.until(find)
        return self.notes.pop(index)[1]

    def seen(self, method: str) -> list[dict[str, Any]]:
        return [data for name, data in self.notes if name == method]

    async def join(self, room: str = "room", name: str = "Ada", *, capable: bool = True, **more: Any) -> dict[str, Any]:
        capabilities = await self.request("getRouterRtpCapabilities", room=room)
        self.capabilities = capabilities["routerRtpCapabilities"]
        if capable:
            more["rtpCapabilities"] = self.capabilities
        joined = await self.request("join", room=room, displayName=name, **more)
        self.peer_id, self.resume = joined["peerId"], joined["resume"]
        return joined

    async def transport(self, direction: str, *, connect: bool = True) -> str:
        transport = await self.request("createWebRtcTransport", direction=direction)
        if connect:
            await self.request("connectWebRtcTransport", transportId=transport["id"], dtlsParameters=DTLS)
        return transport["id"]

    async def produce(self, transport: str, kind: str = "audio", **more: Any) -> str:
        rtp = AUDIO if kind == "audio" else VIDEO
        made = await self.request("produce", transportId=transport, kind=kind, rtpParameters=rtp, **more)
        return made["id"]


class Front:
    """A running front and its clients."""

    def __init__(self, config: SignalingConfig, node: MediaNode, serving: Serving, nursery: trio.Nursery) -> None:
        self.config = config
        self.node = node
        self.port = serving.port
        self.registry: CollectorRegistry
        self._nursery = nursery
        self.clients: list[Client] = []
        self.scope: trio.CancelScope
        self.stopped = trio.Event()

    async def connect(self, **options: Any) -> Client:
        socket = await trio_websocket.connect_websocket(
            self._nursery, "127.0.0.1", self.port, "/ws", use_ssl=False, **options
        )
        client = Client(socket)
        self.clients.append(client)
        self._nursery.start_soon(client.listen)
        return client

    async def joined(self, room: str = "room", name: str = "Ada", **more: Any) -> Client:
        client = await self.connect()
        await client.join(room, name, **more)
        return client

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def running_front(node: MediaNode, data_dir: Path, **options: Any) -> AsyncIterator[Front]:
    """`limits`: a dict of what differs from the defaults."""
    limits = Limits(**{"room_grace_seconds": 0.2, "resume_seconds": 0.3} | options.pop("limits", {}))
    config = SignalingConfig(port=0, data_dir=data_dir, limits=limits, **options)
    registry = CollectorRegistry()
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        stopped = trio.Event()

        async def serve(*, task_status: trio.TaskStatus[Serving]) -> None:
            with scope:
                await serve_signaling(config, node, registry=registry, task_status=task_status)
            stopped.set()

        serving = await nursery.start(serve)
        front = Front(config, node, serving, nursery)
        front.registry, front.scope, front.stopped = registry, scope, stopped
        try:
            yield front
            scope.cancel()
            with trio.fail_after(patience(5)):
                await stopped.wait()
        finally:
            for client in front.clients:
                await trio.aclose_forcefully(client.socket._stream)
        nursery.cancel_scope.cancel()
