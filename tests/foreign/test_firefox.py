"""Firefox and Chromium in one room see each other, over a path between two namespaces."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import trio

from server.testing.emulator import NetworkPair
from server.testing.netem import MS, LinkConfig
from tests.foreign.browsers import REMOTE_FIGURES, chromium, eventually, join, remote_tiles
from tests.foreign.firefox import Firefox, firefox
from tests.foreign.sightline_up import sightline_up
from tests.needs import need_network_namespaces, need_program
from tests.patience import patience

pytestmark = pytest.mark.slow


async def test_firefox_and_chromium_see_each_other(tmp_path: Path):
    need_network_namespaces()
    need_program("firefox-esr")
    with NetworkPair(LinkConfig(delay_ns=5 * MS), seed=21) as pair:
        host = pair.address("b")
        server = sightline_up(tmp_path / "data", "--host", host, prefix=pair.inside("b", []), media_host=host)
        with server as sightline:
            async with firefox(tmp_path, namespace=pair.name("a")) as fox, trio.open_nursery() as nursery:
                await fox.goto(f"{sightline.url}/r/mixed?name=Fox&join=1")
                seen_by_fox = threading.Event()
                nursery.start_soon(
                    trio.to_thread.run_sync, _chromium, sightline.url, pair.name("a"), tmp_path, seen_by_fox
                )
                try:
                    with trio.fail_after(patience(60)):
                        while not await _fox_sees(fox, "Chrome"):
                            await trio.sleep(0.2)  # a foreign program can only be polled
                finally:
                    seen_by_fox.set()
            assert sightline.tracebacks() == []


async def _fox_sees(fox: Firefox, name: str) -> bool:
    """Whether that person's tile shows a picture, more than 20 frames of it were decoded, and sound arrives.

    Firefox counts no shown frames of a stream without a screen, so its decoder is asked.
    """
    tiles = await fox.evaluate(REMOTE_FIGURES)
    rows = await fox.evaluate("() => window.sightline.stats()")
    received = {row["kind"]: row for row in rows if row.get("type") == "inbound-rtp"}
    return (
        any(tile["name"] == name and tile["width"] > 0 for tile in tiles)
        and received.get("video", {}).get("framesDecoded", 0) > 20
        and received.get("audio", {}).get("packetsReceived", 0) > 50
    )


def _chromium(url: str, namespace: str, folder: Path, seen_by_fox: threading.Event) -> None:
    """Join from Chromium, see Firefox, and stay until Firefox has seen us."""
    with chromium(f"--unsafely-treat-insecure-origin-as-secure={url}", namespace=namespace, folder=folder) as browser:
        page = join(browser, url, "mixed", "Chrome")
        eventually(
            "Chromium sees Firefox",
            lambda: [tile for tile in remote_tiles(page) if tile["name"] == "Fox" and tile["frames"] > 20],
            seconds=40,
        )
        eventually("Firefox sees Chromium", seen_by_fox.is_set, seconds=60)
