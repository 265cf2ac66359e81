"""A page of a few lines publishes simulcast by WHIP and another one watches by WHEP, both in Chromium."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.foreign.browsers import chromium, eventually
from tests.foreign.sightline_up import Sightline
from tests.foreign.wish_pages import CONNECT, PUBLISH, RESTART, WATCH

pytestmark = pytest.mark.slow


def rows(page: Page, kind: str, direction: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate("([type, kind]) => window.rows(type, kind)", [direction, kind])
    return found


def opened(browser: Browser, url: str) -> Page:
    """A page of the server's origin that knows the functions above."""
    page = browser.new_context(permissions=["camera", "microphone"]).new_page()
    page.goto(url)
    page.evaluate(CONNECT)
    return page


def test_ice_restart(live_server: Sightline):
    """The viewer's path is made anew with the new credentials, and its picture goes on."""
    with chromium() as browser:
        publisher, viewer = opened(browser, live_server.url), opened(browser, live_server.url)
        publisher.evaluate(PUBLISH, "/whip/restart")
        viewer.evaluate(WATCH, "/whep/restart")

        def decoded() -> int:
            return sum(row["framesDecoded"] for row in rows(viewer, "video", "inbound-rtp"))

        eventually("the viewer sees", lambda: decoded() > 10, seconds=15)
        fresh = viewer.evaluate(RESTART)
        pair = "window.pc.getReceivers()[0].transport.iceTransport.getSelectedCandidatePair()?.remote.usernameFragment"
        eventually("the new path is taken", lambda: viewer.evaluate(pair) == fresh, seconds=10)
        before = decoded()
        eventually("the picture goes on", lambda: decoded() > before + 20, seconds=10)


def test_simulcast_from_page_to_page(live_server: Sightline):
    with chromium() as browser:
        publisher, viewer = opened(browser, live_server.url), opened(browser, live_server.url)
        publisher.evaluate(PUBLISH, "/whip/pages?name=page")
        eventually(
            "both encodings are sent",
            lambda: len([r for r in rows(publisher, "video", "outbound-rtp") if r.get("framesEncoded", 0) > 10]) == 2,
            seconds=15,
            seen=lambda: [rows(publisher, "video", kind) for kind in ("outbound-rtp", "remote-inbound-rtp")],
        )
        viewer.evaluate(WATCH, "/whep/pages?peer=page")
        eventually(
            "the viewer decodes the larger encoding",
            lambda: (
                [r.get("frameWidth") for r in rows(viewer, "video", "inbound-rtp") if r["framesDecoded"] > 30] == [640]
            ),
            seconds=15,
            seen=lambda: rows(viewer, "video", "inbound-rtp"),
        )
        eventually(
            "the viewer hears",
            lambda: sum(r["packetsReceived"] for r in rows(viewer, "audio", "inbound-rtp")) > 20,
            seconds=10,
        )
        assert publisher.evaluate("fetch(window.session, { method: 'DELETE' }).then((r) => r.status)") == 200
        dtls = "window.pc.getReceivers()[0].transport.state"
        eventually("the viewer is told", lambda: viewer.evaluate(dtls) == "closed", seconds=5)
