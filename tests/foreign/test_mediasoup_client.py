"""Stock mediasoup-client, the current release and an old one, in a page of these tests, against our /ws.

`mediasoup_client/page.js` is all of it: nothing of our web client is in it. Its two bundles come from the npm releases
as they are, so what passes here is what any application on mediasoup-client can rely on.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from playwright.sync_api import Browser, Page

from tests.foreign.browsers import chromium, eventually
from tests.foreign.sightline_up import Sightline
from tests.needs import need_program

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent / "mediasoup_client"
VERSIONS = {"3.24": "3.24.1", "3.7": "3.7.17"}


@pytest.fixture(scope="module")
def bundles() -> Path:
    """The folder of the two bundles, made anew; their packages are installed where they are missing."""
    npm = need_program("npm")
    installed = (HERE / "node_modules" / "esbuild").is_dir()
    for arguments in ([] if installed else [["ci", "--ignore-scripts"]]) + [["run", "build"]]:
        done = subprocess.run([npm, *arguments], cwd=HERE, capture_output=True, text=True, timeout=300)
        if done.returncode:
            pytest.fail(f"npm {' '.join(arguments)} in {HERE} failed:\n{done.stderr}")
    return HERE / "out"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def socket_address(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(("wss" if parts.scheme == "https" else "ws", parts.netloc, "/ws", "", ""))


@contextlib.contextmanager
def foreign_client(
    browser: Browser, bundles: Path, server: Sightline, version: str, room: str, role: str
) -> Iterator[Page]:
    """A page with that release in `room`. `role`: send, recv or both. It has left afterwards."""
    context = browser.new_context(bypass_csp=True)
    try:
        # On the server's own origin, since it takes sockets from no other. What the page itself says does not matter.
        page = context.new_page()
        page.goto(f"{server.url}/healthz")
        page.add_script_tag(path=bundles / f"{version}.js")
        joined = page.evaluate(
            "options => run(options)", {"url": socket_address(server.url), "room": room, "role": role}
        )
        assert joined["version"] == VERSIONS[version]
        yield page
        page.evaluate("() => leave()")
    finally:
        context.close()


def received(page: Page, kind: str) -> list[dict[str, Any]]:
    """The figures of everything of that kind that the page receives. Fails with what went wrong in the page, if so."""
    figures = page.evaluate("() => figures()")
    assert figures["failure"] is None, figures["failure"]
    return [row for row in figures["received"] if row["kind"] == kind]


def sees_and_hears(page: Page, *, more_than_frames: int = 20) -> bool:
    """Whether exactly one picture and one sound are decoded, the sound being no silence."""
    pictures, sounds = received(page, "video"), received(page, "audio")
    return (
        len(pictures) == len(sounds) == 1
        and pictures[0]["framesDecoded"] > more_than_frames
        and sounds[0]["totalAudioEnergy"] > 0.001
    )


@pytest.mark.parametrize("receiver", VERSIONS)
@pytest.mark.parametrize("sender", VERSIONS)
def test_one_sends_and_one_receives(
    browser: Browser, bundles: Path, live_server: Sightline, sender: str, receiver: str
):
    """Whoever comes first: the viewer is there before the sender, and another comes after it."""
    room = f"stock-{sender}-{receiver}".replace(".", "-")
    with (
        foreign_client(browser, bundles, live_server, receiver, room, "recv") as early,
        foreign_client(browser, bundles, live_server, sender, room, "send"),
        foreign_client(browser, bundles, live_server, receiver, room, "recv") as late,
    ):
        for page in (early, late):
            eventually("picture and sound arrive", lambda page=page: sees_and_hears(page), seconds=20)
            before = received(page, "video")[0]["framesDecoded"]
            eventually(
                "and go on", lambda page=page, n=before: sees_and_hears(page, more_than_frames=n + 20), seconds=10
            )


def test_both_releases_talk_to_each_other(browser: Browser, bundles: Path, live_server: Sightline):
    """Both send and receive in one room; when one leaves, its streams go from the other."""
    with foreign_client(browser, bundles, live_server, "3.24", "stock-both", "both") as new:
        with foreign_client(browser, bundles, live_server, "3.7", "stock-both", "both") as old:
            for page in (new, old):
                eventually("picture and sound arrive", lambda page=page: sees_and_hears(page), seconds=20)
        eventually(
            "the streams of who left are gone",
            lambda: received(new, "video") == received(new, "audio") == [],
            seconds=5,
        )
