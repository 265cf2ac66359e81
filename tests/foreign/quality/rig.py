"""A publisher, a node and a viewer behind the emulated link: real programs, put together and watched."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from server.testing.emulator import NetworkPair
from tests.foreign.browsers import eventually, launched
from tests.foreign.quality.figures import Crossing
from tests.foreign.quality.scenes import SIMULCAST, UNIMPAIRED, Scene, way_back
from tests.foreign.sightline_up import Sightline, sightline_up
from tests.needs import need_program

HERE = Path(__file__).parent
PACKAGES = HERE.parent / "mediasoup_client"
LOOK_MS = 250


def bundle(folder: Path) -> Path:
    """page.js with stock mediasoup-client 3.24 in it, as one file in `folder`."""
    npm = need_program("npm")
    tool = PACKAGES / "node_modules" / ".bin" / "esbuild"
    commands = [] if tool.exists() else [[npm, "ci", "--ignore-scripts"]]
    made = folder / "quality.js"
    packed = "--alias:mediasoup-client=./node_modules/mediasoup-client-3-24"
    commands.append([str(tool), str(HERE / "page.js"), "--bundle", "--format=iife", packed, f"--outfile={made}"])
    for command in commands:
        done = subprocess.run(command, cwd=PACKAGES, capture_output=True, text=True, timeout=300)
        if done.returncode:
            pytest.fail(f"{' '.join(command)} in {PACKAGES} failed:\n{done.stderr}")
    return made


@dataclass
class Rig:
    """Two browsers and a node that run. The publisher is beside the node; the viewer is across the link."""

    pair: NetworkPair
    server: Sightline
    script: Path
    publishing: Browser
    viewing: Browser

    @property
    def socket(self) -> str:
        return self.server.url.replace("http", "ws", 1) + "/ws"

    @contextmanager
    def page(self, browser: Browser) -> Iterator[Page]:
        """A blank page of the node's own origin with the script in it."""
        context = browser.new_context(bypass_csp=True)
        try:
            page = context.new_page()
            page.goto(f"{self.server.url}/healthz")
            page.add_script_tag(path=self.script)
            yield page
        finally:
            context.close()

    @contextmanager
    def publisher(
        self,
        room: str,
        *,
        codec: str = "video/VP8",
        encodings: list[dict[str, Any]] | None = None,
        height: int = 720,
    ) -> Iterator[tuple[Page, dict[str, Any]]]:
        """Somebody who publishes; the page, and {"sent": parameters} or {"missing": codec}."""
        with self.page(self.publishing) as page:
            options: dict[str, Any] = {"url": self.socket, "room": room, "codec": codec, "height": height}
            options["encodings"] = encodings or SIMULCAST
            yield page, page.evaluate("options => publish(options)", options)

    def watch(self, room: str, scene: Scene) -> tuple[dict[str, Any], list[Crossing]]:
        """A viewer comes into the room over the scene's link and stays to its end."""
        with self.page(self.viewing) as page:
            self.pair.change([(window.starts, window.link, way_back(window.link)) for window in scene.windows])
            page.evaluate("options => { view(options).catch(error => { console.error(error) }) }", self._entry(room))
            crossings, ends = [], time.monotonic() + scene.seconds
            while time.monotonic() < ends:
                crossings.append(self._crossing(page))
                page.wait_for_timeout(LOOK_MS)
            measured: dict[str, Any] = page.evaluate("() => samples()")
            self.pair.change([(0.0, UNIMPAIRED, UNIMPAIRED)])
            page.evaluate("() => leave()")
        assert measured["failure"] is None, measured["failure"]
        return measured, crossings

    @contextmanager
    def viewer(self, room: str) -> Iterator[Page]:
        """Somebody who watches over a link without faults; returns once a picture plays."""
        with self.page(self.viewing) as page:
            page.evaluate("options => view(options)", self._entry(room))
            eventually("the picture plays", lambda: newest(page).get("framesDecoded", 0) > 10, seconds=20)
            yield page

    def _entry(self, room: str) -> dict[str, str]:
        return {"url": self.socket, "room": room}

    def _crossing(self, page: Page) -> Crossing:
        counters = self.pair.read()["a_to_b"]
        at = page.evaluate("() => samples().now")
        return Crossing(at, counters["sent_bytes"], counters["sent"], counters["overflowed"], counters["lost"])


def newest(page: Page) -> dict[str, Any]:
    """The last sample of a viewer; fails with what went wrong in its page."""
    measured = page.evaluate("() => ({ failure: samples().failure, row: samples().rows.at(-1) ?? {} })")
    assert measured["failure"] is None, measured["failure"]
    row: dict[str, Any] = measured["row"]
    return row


def encoder(page: Page) -> list[dict[str, Any]]:
    """The publisher's outbound-rtp rows."""
    rows: list[dict[str, Any]] = page.evaluate("() => encoder()")
    return rows


@contextmanager
def rig(folder: Path, *options: str, seed: int = 1) -> Iterator[Rig]:
    """All of it, with nothing published yet. `options` are the server's."""
    script = bundle(folder)
    with NetworkPair(UNIMPAIRED, seed=seed) as pair:
        host = pair.address("a")
        web_root = folder / "web"
        web_root.mkdir(exist_ok=True)
        (web_root / "index.html").write_text("<!doctype html><title>blank</title>")
        arguments = ("--host", host, "--web-root", str(web_root), *options)
        server = sightline_up(folder / "data", *arguments, prefix=pair.inside("a", []), media_host=host)
        with server as running, sync_playwright() as playwright:
            trusted = f"--unsafely-treat-insecure-origin-as-secure={running.url}"
            with (
                launched(playwright, trusted, namespace=pair.name("a"), folder=folder) as publishing,
                launched(playwright, trusted, namespace=pair.name("b"), folder=folder) as viewing,
            ):
                yield Rig(pair, running, script, publishing, viewing)
            assert running.tracebacks() == []
