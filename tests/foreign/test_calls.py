"""People call each other through the real page, the real server and real browsers."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.foreign.browsers import chromium, eventually, inbound, join, remote_tiles
from tests.foreign.sightline_up import Sightline, sightline_up

pytestmark = pytest.mark.slow


def figures(page: Page, kind: str) -> dict[str, float]:
    """What this page has decoded so far, by consumer: frames, or the energy of the sound."""
    measure = "framesDecoded" if kind == "video" else "totalAudioEnergy"
    return {row["id"]: row.get(measure, 0) for row in inbound(page) if row.get("kind") == kind}


def growing(page: Page, kind: str, streams: int, *, ms: int = 1500) -> bool:
    """Whether exactly `streams` streams of that kind are there and every one of them grew in `ms` milliseconds."""
    before = figures(page, kind)
    page.wait_for_timeout(ms)
    after = figures(page, kind)
    return len(after) == streams and all(after[stream] > before.get(stream, 0) for stream in after)


def expect_media(page: Page, others: int, *, seconds: float) -> None:
    for kind in ("video", "audio"):
        eventually(f"{kind} of {others} others grows", lambda kind=kind: growing(page, kind, others), seconds=seconds)


def test_three_people_in_a_room(tmp_path: Path):
    """Each sees and hears both others for 20 s; a late joiner has a picture within 2 s; one closes its tab and its
    tiles go; one reloads and is back within 3 s."""
    with sightline_up(tmp_path) as sightline, chromium() as browser:
        anna = join(browser, sightline.url, "trio", "Anna")
        bert = join(browser, sightline.url, "trio", "Bert")
        expect_media(anna, 1, seconds=15)

        cleo = join(browser, sightline.url, "trio", "Cleo")
        eventually(
            "a late joiner sees both others",
            lambda: sorted(t["name"] for t in remote_tiles(cleo) if t["frames"] > 0) == ["Anna", "Bert"],
            seconds=2,
            promised=True,
        )
        for page in (anna, bert, cleo):
            expect_media(page, 2, seconds=10)
        for _ in range(5):
            before = [(figures(page, kind), page, kind) for page in (anna, bert, cleo) for kind in ("video", "audio")]
            anna.wait_for_timeout(4000)
            for earlier, page, kind in before:
                later = figures(page, kind)
                assert len(later) == 2
                assert all(later[stream] > earlier[stream] for stream in later), (kind, earlier, later)

        cleo.close()
        for page in (anna, bert):
            eventually("the tile of a closed tab goes", lambda page=page: len(remote_tiles(page)) == 1, seconds=10)

        bert.reload()
        eventually(
            "after a reload both see each other again, and no tile is there twice",
            lambda: (
                [t["name"] for t in remote_tiles(anna) if t["frames"] > 0] == ["Bert"]
                and [t["name"] for t in remote_tiles(bert) if t["frames"] > 0] == ["Anna"]
            ),
            seconds=3,
            promised=True,
        )
        expect_media(bert, 1, seconds=5)
        assert_healthy(sightline)


def test_muting_sharing_chatting_and_leaving(tmp_path: Path):
    with sightline_up(tmp_path) as sightline, chromium() as browser:
        anna = join(browser, sightline.url, "pair", "Anna")
        bert = join(browser, sightline.url, "pair", "Bert")
        expect_media(bert, 1, seconds=15)

        anna.get_by_test_id("camera-button").click()
        eventually("a camera that is off stops", lambda: not growing(bert, "video", 1), seconds=10)
        anna.get_by_test_id("camera-button").click()
        eventually("and comes back", lambda: growing(bert, "video", 1), seconds=10)

        anna.get_by_test_id("share-button").click()
        eventually("a shared screen arrives", lambda: len(figures(bert, "video")) == 2, seconds=10)
        anna.get_by_test_id("share-button").click()
        eventually("and goes", lambda: len(figures(bert, "video")) == 1, seconds=10)

        bert.get_by_test_id("chat-button").click()
        bert.get_by_test_id("chat-input").fill("hello Anna")
        bert.get_by_test_id("chat-input").press("Enter")
        anna.get_by_test_id("chat-button").click()
        eventually("a chat line arrives", lambda: "hello Anna" in anna.content(), seconds=5)

        anna.get_by_test_id("leave-button").click()
        eventually("who leaves is gone at once", lambda: remote_tiles(bert) == [], seconds=3, promised=True)
        assert_healthy(sightline)


def test_two_rooms_do_not_see_each_other(tmp_path: Path):
    with sightline_up(tmp_path) as sightline, chromium() as browser:
        anna = join(browser, sightline.url, "one", "Anna")
        bert = join(browser, sightline.url, "one", "Bert")
        cleo = join(browser, sightline.url, "two", "Cleo")
        expect_media(anna, 1, seconds=15)
        assert [tile["name"] for tile in remote_tiles(bert)] == ["Anna"]
        assert remote_tiles(cleo) == []


def assert_healthy(sightline: Sightline) -> None:
    assert sightline.process.poll() is None
    assert sightline.tracebacks() == []
