"""Chromium behind a firewall that blocks UDP: the call goes through ICE-TCP (RFC 6544), on the same port number."""

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


def selected_protocols(page: Page) -> list[str]:
    """Of the candidate pairs that carry media: the protocol of our side's candidate."""
    rows: list[dict[str, Any]] = page.evaluate("() => window.sightline.stats()")
    by_id = {row["id"]: row for row in rows}
    pairs = [by_id[row["selectedCandidatePairId"]] for row in rows if row.get("selectedCandidatePairId") in by_id]
    return [by_id[pair["remoteCandidateId"]]["protocol"] for pair in pairs]


def test_a_call_without_udp(tmp_path: Path):
    need_network_namespaces()
    with NetworkPair(LinkConfig(delay_ns=5 * MS), seed=41, blocks_udp=True) as pair:
        host = pair.address("b")
        server = sightline_up(tmp_path / "data", "--host", host, prefix=pair.inside("b", []), media_host=host)
        with server as sightline:
            trusted = f"--unsafely-treat-insecure-origin-as-secure={sightline.url}"
            with chromium(trusted, namespace=pair.name("a"), folder=tmp_path) as browser:
                anna = join(browser, sightline.url, "office", "Anna")
                bert = join(browser, sightline.url, "office", "Bert")
                for page in (anna, bert):
                    eventually(
                        "picture and sound arrive over TCP",
                        lambda page=page: (
                            {
                                row["kind"]
                                for row in inbound(page)
                                if row.get("framesDecoded", 0) > 40 or row.get("totalSamplesReceived", 0) > 48_000
                            }
                            == {"audio", "video"}
                        ),
                        seconds=40,
                    )
                    assert set(selected_protocols(page)) == {"tcp"}
            assert sightline.tracebacks() == []
