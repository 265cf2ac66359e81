"""ffmpeg publishes by WHIP into a room, and a person in that room watches it through the real page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.foreign.browsers import chromium, eventually, inbound, join, remote_tiles
from tests.foreign.sightline_up import sightline_up
from tests.foreign.test_ffmpeg import ffmpeg

pytestmark = pytest.mark.slow


def test_chromium_watches_what_ffmpeg_publishes(tmp_path: Path):
    with sightline_up(tmp_path) as sightline, chromium() as browser:
        page = join(browser, sightline.url, "studio", "Anna")
        with ffmpeg(f"{sightline.url}/whip/studio?name=Camera%20one"):
            tile = eventually(
                "the tile plays",
                lambda: [tile for tile in remote_tiles(page) if tile["name"] == "Camera one" and tile["frames"] > 30],
                seconds=30,
            )[0]
            assert tile["width"] == 320
            eventually(
                "its tone is heard",
                lambda: any(row.get("kind") == "audio" and row.get("totalAudioEnergy", 0) > 0 for row in inbound(page)),
                seconds=10,
            )
        eventually("it leaves when it stops", lambda: remote_tiles(page) == [], seconds=10)
        assert sightline.tracebacks() == []
