"""Headless Firefox ESR, driven over WebDriver BiDi: a dozen lines of protocol, since playwright cannot drive it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import trio
from trio_websocket import WebSocketConnection, wrap_client_stream

from server.testing.emulator import within
from tests.needs import need_program
from tests.patience import patience

PREFERENCES = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.peerconnection.ice.loopback": True,
    "media.autoplay.default": 0,
    "media.devices.insecure.enabled": True,
    "media.getusermedia.insecure.enabled": True,
    "network.proxy.type": 0,
    "remote.active-protocols": 1,
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "browser.region.update.enabled": False,
    "extensions.systemAddon.update.enabled": False,
}


class Firefox:
    """One browser with one tab."""

    def __init__(self, connection: WebSocketConnection) -> None:
        self._connection = connection
        self._number = 0
        self._context = ""

    async def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One BiDi command and its result; events in between are skipped. RuntimeError for an error reply."""
        self._number += 1
        await self._connection.send_message(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            reply = json.loads(await self._connection.get_message())
            if reply.get("id") == self._number:
                if reply["type"] == "error":
                    raise RuntimeError(f"{method}: {reply['error']}: {reply['message']}")
                result: dict[str, Any] = reply["result"]
                return result

    async def start(self) -> None:
        """Open the BiDi session and find the tab."""
        await self.command("session.new", capabilities={})
        tree = await self.command("browsingContext.getTree")
        self._context = tree["contexts"][0]["context"]

    async def goto(self, url: str) -> None:
        """Load a page and wait until it has loaded."""
        await self.command("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def evaluate(self, function: str) -> Any:
        """Call a JavaScript function of no arguments; what it returns must survive JSON."""
        expression = f"Promise.resolve(({function})()).then((value) => JSON.stringify(value ?? null))"
        reply = await self.command(
            "script.evaluate", expression=expression, target={"context": self._context}, awaitPromise=True
        )
        if reply["type"] == "exception":
            raise RuntimeError(reply["exceptionDetails"]["text"])
        return json.loads(reply["result"]["value"])


@asynccontextmanager
async def firefox(folder: Path, *, namespace: str | None = None) -> AsyncIterator[Firefox]:
    """A fresh Firefox with fake devices. `namespace`: in that network namespace (it gathers no ICE candidate without a
    default route, so a namespace with one is the sure way)."""
    program = need_program("firefox-esr")
    profile = folder / "profile"
    profile.mkdir()
    (profile / "user.js").write_text(
        "".join(f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items())
    )
    prefix = ["ip", "netns", "exec", namespace] if namespace else []
    arguments = ["--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0", "about:blank"]
    process = await trio.lowlevel.open_process(
        [*prefix, program, *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder), "MOZ_HEADLESS": "1"},
    )
    try:
        async with trio.open_nursery() as nursery:
            with trio.fail_after(patience(40)):
                port = await nursery.start(_port, process)
                sock = _connect(port, within(namespace) if namespace else nullcontext())
                stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
                connection = await wrap_client_stream(nursery, stream, f"127.0.0.1:{port}", "/session")
                browser = Firefox(connection)
                await browser.start()
            try:
                yield browser
            finally:
                await trio.aclose_forcefully(stream)
            nursery.cancel_scope.cancel()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            assert process.stderr is not None
            await process.stderr.aclose()


def _connect(port: int, where: AbstractContextManager[None]) -> socket.socket:
    with where:
        sock = socket.create_connection(("127.0.0.1", port))
    sock.setblocking(False)
    return sock


async def _port(process: trio.Process, *, task_status: trio.TaskStatus[int]) -> None:
    """Say the port once Firefox has said it, then keep reading so that the browser never blocks on its stderr."""
    assert process.stderr is not None
    seen, told = b"", False
    async for piece in process.stderr:
        seen = (seen + piece)[-4096:]
        found = re.search(rb"WebDriver BiDi listening on ws://[^:]+:(\d+)", seen)
        if found and not told:
            told = True
            task_status.started(int(found[1]))
