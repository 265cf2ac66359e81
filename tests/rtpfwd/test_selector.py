"""Selectors: the one that comes with the plane, and how others are named."""

from __future__ import annotations

import pytest

import rtpfwd.selectors
from rtpfwd import probe, selector


def test_video_begins_at_a_keyframe_and_everything_follows() -> None:
    chosen = selector.create("passthrough", video=True)
    assert chosen.video
    assert probe.wants_keyframe(chosen)
    assert [probe.select(chosen, keyframe=k) for k in (False, False, True, False, True)] == [
        "drop", "drop", "switch", "forward", "forward",
    ]  # fmt: skip
    assert not probe.wants_keyframe(chosen)


def test_video_waits_for_a_keyframe_again_after_a_reset_and_a_restart() -> None:
    chosen = selector.create("passthrough", video=True)
    assert probe.select(chosen, keyframe=True) == "switch"
    probe.reset(chosen)
    assert probe.wants_keyframe(chosen)
    assert [probe.select(chosen), probe.select(chosen, keyframe=True)] == ["drop", "switch"]
    assert probe.select(chosen, restart=True) == "drop"
    assert probe.wants_keyframe(chosen)
    assert probe.select(chosen, keyframe=True, restart=True) == "switch"


def test_audio_begins_at_once() -> None:
    chosen = selector.create("passthrough", video=False)
    assert not probe.wants_keyframe(chosen)
    assert [probe.select(chosen), probe.select(chosen), probe.select(chosen, restart=True)] == [
        "switch", "forward", "switch",
    ]  # fmt: skip
    assert not probe.wants_keyframe(chosen)


def test_the_base_lets_nothing_through() -> None:
    assert probe.select(selector.Selector(video=False), keyframe=True) == "drop"


def test_a_selector_is_found_by_its_name() -> None:
    selector.register("passthrough", rtpfwd.selectors.passthrough.Passthrough)  # the same again does nothing
    with pytest.raises(ValueError, match="registered already"):
        selector.register("passthrough", selector.Selector)
    with pytest.raises(ValueError, match=r"no selector is named 'nothing'; registered: .*passthrough"):
        selector.create("nothing", video=True)


@pytest.mark.parametrize(("payload", "forwarded"), [("1000", 70_000), ("1001", 0)])
def test_packets_flow_from_parsing_to_writing(payload: str, forwarded: int) -> None:
    data = bytes.fromhex("8060 0000 00000000 00000001") + bytes.fromhex(payload)
    chosen = selector.create("passthrough", video=True)
    assert probe.forward_many(data, "video/vp8", probe.Plan(), chosen, 70_000) == forwarded
