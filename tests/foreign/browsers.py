"""Headless Chromium with fake devices, driven by playwright, and what the tests ask of our page."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from tests.needs import need_program
from tests.patience import patience

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream=fps=20",
    "--use-fake-ui-for-media-stream",
    "--auto-select-desktop-capture-source=Entire screen",
    "--allow-loopback-in-peer-connection",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
]


@contextmanager
def chromium(*flags: str, namespace: str | None = None, folder: Path | None = None) -> Iterator[Browser]:
    """One browser process. `namespace`: run it in that network namespace (`folder` holds the wrapper that does so)."""
    with sync_playwright() as playwright, launched(playwright, *flags, namespace=namespace, folder=folder) as browser:
        yield browser


@contextmanager
def launched(
    playwright: Playwright, *flags: str, namespace: str | None = None, folder: Path | None = None
) -> Iterator[Browser]:
    """The same for those who need several at once: a thread can have one `playwright` only."""
    program = need_program("chromium")
    if namespace is not None:
        assert folder is not None
        wrapper = folder / f"chromium-{namespace}"
        wrapper.write_text(f'#!/bin/sh\nexec ip netns exec {namespace} {program} "$@"\n')
        wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
        program = str(wrapper)
    browser = playwright.chromium.launch(executable_path=program, headless=True, args=[*FLAGS, *flags])
    try:
        yield browser
    finally:
        browser.close()


def join(browser: Browser, url: str, room: str, name: str) -> Page:
    """A new visitor in a browser profile of its own, past the lobby; returns once it has joined the room."""
    page = browser.new_context(permissions=["camera", "microphone"]).new_page()
    page.goto(f"{url}/r/{room}?name={name}&join=1")
    page.wait_for_selector("[data-testid=call]", timeout=30_000)
    return page


# For every remote tile of the page: who it is, and what was decoded of it so far.
REMOTE_FIGURES = """
() => [...document.querySelectorAll('[data-testid=tile][data-peer-id]')]
  .filter((tile) => tile.dataset.local !== 'true')
  .map((tile) => {
    const video = tile.querySelector('video');
    const quality = video ? video.getVideoPlaybackQuality() : null;
    return {
      peer: tile.dataset.peerId,
      name: tile.dataset.peerName,
      frames: quality ? quality.totalVideoFrames : 0,
      width: video ? video.videoWidth : 0,
    };
  })
"""


def remote_tiles(page: Page) -> list[dict[str, Any]]:
    """Peer, name, frames shown and width in pixels of every remote tile."""
    tiles: list[dict[str, Any]] = page.evaluate(REMOTE_FIGURES)
    return tiles


def inbound(page: Page) -> list[dict[str, Any]]:
    """The inbound-rtp figures of every consumer, from the page's documented `window.sightline.stats()`."""
    rows: list[dict[str, Any]] = page.evaluate("() => window.sightline.stats()")
    return [row for row in rows if row.get("type") == "inbound-rtp"]


def eventually(
    what: str,
    condition: Callable[[], Any],
    *,
    seconds: float,
    promised: bool = False,
    seen: Callable[[], Any] | None = None,
) -> Any:
    """Poll until the condition holds; its value. Fails after `seconds` with `what` and the last value, or `seen()`.

    `promised`: users are promised it within `seconds`, so CI is no more patient.
    """
    bound = seconds if promised else patience(seconds)
    deadline, value = time.monotonic() + bound, None
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)  # a foreign program can only be polled
    raise AssertionError(f"not within {bound} s: {what}; last seen: {(seen() if seen else value)!r}")
