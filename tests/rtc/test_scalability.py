"""Scalability modes to numbers and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.rtc.scalability import ScalabilityMode, parse_scalability_mode

# W3C webrtc-svc, table of section 6.
STANDARD = [
    *(f"L1T{t}" for t in (1, 2, 3)),
    *(f"L{s}T{t}{suffix}" for s in (2, 3) for t in (1, 2, 3) for suffix in ("", "h", "_KEY")),
    *(f"L{s}T{t}_KEY_SHIFT" for s in (2, 3) for t in (2, 3)),
    *(f"S{s}T{t}{suffix}" for s in (2, 3) for t in (1, 2, 3) for suffix in ("", "h")),
]


@pytest.mark.parametrize("text", STANDARD)
def test_every_standard_mode_survives(text: str) -> None:
    assert str(parse_scalability_mode(text)) == text


def test_fields() -> None:
    assert parse_scalability_mode("S2T3h") == ScalabilityMode(2, 3, simulcast=True, half_steps=True)
    assert parse_scalability_mode("L3T2_KEY_SHIFT") == ScalabilityMode(3, 2, key=True, shift=True)


@pytest.mark.parametrize("text", [None, "", "nonsense", "L0T1", "l1t3", "L٣T3"])
def test_what_is_no_mode_is_one_layer(text: str | None) -> None:
    assert parse_scalability_mode(text) == ScalabilityMode()


@given(st.integers(1, 99), st.integers(1, 99), st.booleans(), st.booleans())
def test_numbers_survive(spatial: int, temporal: int, simulcast: bool, key: bool) -> None:
    mode = ScalabilityMode(spatial, temporal, simulcast=simulcast, key=key)
    assert parse_scalability_mode(str(mode)) == mode
