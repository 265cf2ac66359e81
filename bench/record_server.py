"""The page that publishes, served on 127.0.0.1 to one browser.

Its path holds a secret, so that no other page of the same browser can speak to the recorder. One request a connection
(RFC 9112), and four routes: a web framework would be the larger part of this.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from importlib import resources
from typing import Final

import h11
import msgspec
import trio

from bench.errors import BenchError
from bench.record_node import Publication

LARGEST_BODY: Final = 256 << 10
REQUEST_SECONDS: Final = 20.0
DOCUMENT: Final = "publish.html"
_MAX_ROWS: Final = 16


class EncodingFigures(msgspec.Struct, frozen=True):
    """What the browser's encoder says of one encoding."""

    rid: str = ""
    codec: str = ""
    width: int = 0
    height: int = 0
    fps: float = 0
    mode: str = ""
    limited: str = ""

    def text(self) -> str:
        """For people."""
        mode = f", {self.mode}" if self.mode else ""
        limit = f", limited by {self.limited}" if self.limited not in {"", "none"} else ""
        return _printable(f"{self.width}x{self.height} at {self.fps:g} frames/s{mode}{limit}")


class Page:
    """What the page is told, and what it has said so far. `publish` takes its offer and answers the answer."""

    def __init__(self, settings: dict[str, object], publish: Callable[[bytes], tuple[Publication, str]]) -> None:
        self.settings = settings
        self.figures: tuple[EncodingFigures, ...] = ()
        self._publish = publish
        self._publication: Publication | None = None
        self._failure = ""

    def published(self) -> Publication | None:
        """None until the page has offered."""
        return self._publication

    def reply(self, method: str, path: str | None, body: bytes) -> tuple[int, str, bytes]:
        """Status, content type and body for a request; `path` is below the secret one, None outside of it."""
        match method, path:
            case "GET", "":
                return (
                    200,
                    "text/html; charset=utf-8",
                    (resources.files("bench") / "record_page" / DOCUMENT).read_bytes(),
                )
            case "GET", "settings":
                return 200, "application/json", msgspec.json.encode(self.settings)
            case "POST", "offer":
                try:
                    return 200, "application/sdp", self._offered(body).encode()
                except BenchError as refused:
                    return 400, "text/plain; charset=utf-8", str(refused).encode()
            case "POST", "figures":
                return self._measured(body)
            case "POST", "failed":
                self.fail(body.decode(errors="replace"))
                return 200, "text/plain", b""
        return 404, "text/plain", b"There is nothing here."

    def _measured(self, body: bytes) -> tuple[int, str, bytes]:
        try:
            rows = msgspec.json.decode(body, type=tuple[EncodingFigures, ...])
        except (msgspec.DecodeError, UnicodeError) as error:
            return 400, "text/plain; charset=utf-8", str(error).encode()
        self.figures = tuple(sorted(rows[:_MAX_ROWS], key=lambda row: row.rid))
        return 200, "text/plain", b""

    def _offered(self, offer: bytes) -> str:
        if self._publication is not None:
            raise BenchError("this recorder has its publisher already: start another, or reload nothing")
        try:
            self._publication, answer = self._publish(offer)
        except BenchError as refused:
            self.fail(str(refused))
            raise
        return answer

    def fail(self, why: str) -> None:
        """The page can't go on."""
        self._failure = self._failure or _printable(why)

    def check(self) -> None:
        """Raises BenchError when the page can't go on."""
        if self._failure:
            raise BenchError(f"the page failed: {self._failure}")

    def summary(self) -> str:
        """The frame rates, for a progress line."""
        rates = [f"{row.fps:g}" for row in self.figures if row.width]
        return f", {' / '.join(rates)} frames/s" if rates else ""


async def serve_page(page: Page, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
    """Until cancelled; starts with the page's URL."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    root = f"/{secrets.token_urlsafe(16)}/"

    async def handle(stream: trio.SocketStream) -> None:
        # A browser that goes away in the middle costs nothing but its request.
        with trio.move_on_after(REQUEST_SECONDS), suppress(OSError, trio.BrokenResourceError, h11.RemoteProtocolError):
            async with stream:
                await _serve_request(page, root, stream)

    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, handle, [listener])
        port = listener.socket.getsockname()[1]
        task_status.started(f"http://localhost:{port}{root}")


async def _serve_request(page: Page, root: str, stream: trio.SocketStream) -> None:
    connection = h11.Connection(h11.SERVER)
    target, method, body = "", "", bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(65536))
        elif isinstance(event, h11.Request):
            target, method = event.target.decode("ascii", "replace"), event.method.decode("ascii", "replace")
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > LARGEST_BODY:
                return
        elif isinstance(event, h11.EndOfMessage):
            break
        else:  # the browser closed a connection that it had opened ahead
            return
    status, kind, content = page.reply(
        method, target.removeprefix(root) if target.startswith(root) else None, bytes(body)
    )
    headers = [("Content-Type", kind), ("Content-Length", str(len(content))), ("Connection", "close")]
    for part in (
        h11.Response(status_code=status, headers=headers),
        h11.Data(data=content),
        h11.EndOfMessage(),
    ):
        await stream.send_all(connection.send(part) or b"")


def _printable(text: str) -> str:
    """One line for a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)[:300]
