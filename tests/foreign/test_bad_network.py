"""Two Chromiums in one room across an emulated link that loses packets: the picture keeps moving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from server.testing.emulator import NetworkPair
from server.testing.netem import MS, LinkConfig
from tests.foreign.browsers import chromium, eventually, inbound, join
from tests.foreign.sightline_up import sightline_up
from tests.needs import need_network_namespaces

pytestmark = pytest.mark.slow

WATCHED_SECONDS = 20


def video(page: Page) -> dict[str, Any]:
    """The figures of the one remote picture."""
    rows = [row for row in inbound(page) if row.get("kind") == "video" and row.get("framesDecoded", 0) > 0]
    return rows[0] if rows else {}


def test_five_percent_loss_each_way(tmp_path: Path):
    """Both people are behind the bad link. RTX brings back what is lost, and no freeze lasts."""
    need_network_namespaces()
    bad = LinkConfig(loss=0.05, delay_ns=20 * MS)
    with NetworkPair(bad, seed=31) as pair:
        host = pair.address("b")
        server = sightline_up(tmp_path / "data", "--host", host, prefix=pair.inside("b", []), media_host=host)
        with server as sightline:
            trusted = f"--unsafely-treat-insecure-origin-as-secure={sightline.url}"
            with chromium(trusted, namespace=pair.name("a"), folder=tmp_path) as browser:
                anna = join(browser, sightline.url, "lossy", "Anna")
                bert = join(browser, sightline.url, "lossy", "Bert")
                for page in (anna, bert):
                    eventually(
                        "the picture plays", lambda page=page: video(page).get("framesDecoded", 0) > 20, seconds=40
                    )
                before = {page: video(page) for page in (anna, bert)}
                worst = {page: watch(page) for page in (anna,)}
                for page in (anna, bert):
                    after = video(page)
                    frames = after["framesDecoded"] - before[page]["framesDecoded"]
                    lost = after["packetsLost"] - before[page]["packetsLost"]
                    again = after["retransmittedPacketsReceived"] - before[page].get("retransmittedPacketsReceived", 0)
                    assert frames > WATCHED_SECONDS * 5
                    assert again > 0
                    # packetsLost counts what is missing now, RTX not considered; what RTX brought must match it.
                    assert again >= 0.95 * (lost - 5), (again, lost)
                assert worst[anna] < 3
            assert sightline.tracebacks() == []
    assert pair.counters["a_to_b"]["lost"] > 50
    assert pair.counters["b_to_a"]["lost"] > 50


def watch(page: Page) -> float:
    """The longest time, in seconds, that the picture stood still while watching."""
    longest, still, frames = 0.0, 0.0, video(page)["framesDecoded"]
    for _ in range(WATCHED_SECONDS * 4):
        page.wait_for_timeout(250)
        now = video(page)["framesDecoded"]
        still = 0.0 if now > frames else still + 0.25
        longest, frames = max(longest, still), now
    return longest
