"""Scalability modes (W3C webrtc-svc, section 6): "L3T3_KEY" and its relatives to numbers and back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

# mediasoup reads the head of the string and lets anything follow; so do we.
_MODE: Final = re.compile(r"([LS])([1-9][0-9]?)T([1-9][0-9]?)(h?)((?:_KEY(?:_SHIFT)?)?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class ScalabilityMode:
    """How the layers of one RTP stream depend on each other."""

    spatial_layers: int = 1
    temporal_layers: int = 1
    simulcast: bool = False  # "S": spatial layers are independent, though in one stream
    half_steps: bool = False  # "h": each spatial layer is 1.5 times the one below, not 2 times
    key: bool = False  # "_KEY": spatial layers depend on each other in keyframes only
    shift: bool = False  # "_KEY_SHIFT": the temporal patterns of the spatial layers are shifted against each other

    def __str__(self) -> str:
        head = f"{'S' if self.simulcast else 'L'}{self.spatial_layers}T{self.temporal_layers}"
        return head + "h" * self.half_steps + "_KEY" * self.key + "_SHIFT" * self.shift


def parse_scalability_mode(text: str | None) -> ScalabilityMode:
    """The mode that `text` names. What is no mode, or None, means one layer, as in mediasoup."""
    match = _MODE.match(text or "")
    if match is None:
        return ScalabilityMode()
    letter, spatial, temporal, half, suffix = match.groups()
    return ScalabilityMode(
        spatial_layers=int(spatial),
        temporal_layers=int(temporal),
        simulcast=letter == "S",
        half_steps=bool(half),
        key=bool(suffix),
        shift=suffix == "_KEY_SHIFT",
    )
