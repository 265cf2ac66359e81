"""What `--node-option` sets in the node of a bench."""

from __future__ import annotations

import click
import pytest

from bench.node import parse_options
from server.media.adaptation_settings import AdaptationSettings


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("on", AdaptationSettings()),
        ("off", AdaptationSettings(on=False)),
        ("5000000", AdaptationSettings(start_bps=5_000_000)),
    ],
)
def test_adaptation_is_off_or_on_or_on_from_a_rate(text: str, settings: AdaptationSettings):
    assert parse_options([f"adaptation={text}"]) == {"adaptation": settings}


@pytest.mark.parametrize("option", ["adaptation=fast", "adaptation", "colour=red", "coalesce_us=soon"])
def test_what_is_no_setting_is_refused(option: str):
    with pytest.raises(click.BadParameter, match=option.partition("=")[0]):
        parse_options([option])
