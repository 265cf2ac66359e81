"""Firefox publishes simulcast by WHIP and watches it by WHEP, from a namespace of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from server.testing.emulator import NetworkPair
from server.testing.netem import MS, LinkConfig
from tests.foreign.firefox import Firefox, firefox
from tests.foreign.sightline_up import sightline_up
from tests.foreign.wish_pages import CONNECT, PUBLISH, WATCH
from tests.needs import need_network_namespaces, need_program
from tests.patience import patience

pytestmark = pytest.mark.slow


async def test_firefox_watches_itself(tmp_path: Path):
    need_network_namespaces()
    need_program("firefox-esr")
    web_root = tmp_path / "web"
    web_root.mkdir()
    (web_root / "index.html").write_text("<!doctype html><title>blank</title>")
    with NetworkPair(LinkConfig(delay_ns=5 * MS), seed=9725) as pair:
        host = pair.address("b")
        options = ("--host", host, "--web-root", str(web_root))
        with sightline_up(tmp_path / "data", *options, prefix=pair.inside("b", []), media_host=host) as server:
            async with firefox(tmp_path, namespace=pair.name("a")) as fox:
                await fox.goto(server.url)
                await fox.evaluate(CONNECT)
                await fox.evaluate(f"() => ({PUBLISH})('/whip/fox').then(() => {{ window.publisher = window.pc; }})")
                await fox.evaluate(f"() => ({WATCH})('/whep/fox')")
                with trio.fail_after(patience(30)):
                    while not await _flows(fox):
                        await trio.sleep(0.2)  # a foreign program can only be polled
                sent = await fox.evaluate(
                    "async () => { window.pc = window.publisher; return await window.rows('outbound-rtp', 'video'); }"
                )
                assert {row["rid"] for row in sent if row["framesEncoded"] > 0} == {"q", "f"}
            assert server.tracebacks() == []


async def _flows(fox: Firefox) -> bool:
    video = await fox.evaluate("() => window.rows('inbound-rtp', 'video')")
    audio = await fox.evaluate("() => window.rows('inbound-rtp', 'audio')")
    return any(row.get("framesDecoded", 0) > 30 for row in video) and any(
        row.get("packetsReceived", 0) > 30 for row in audio
    )
