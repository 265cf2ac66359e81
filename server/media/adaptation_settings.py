"""How a node adapts what it sends. Checked and filled in by server/config.py."""

from __future__ import annotations

from dataclasses import dataclass

from server.policy.registry import DEFAULTS, Role


@dataclass(frozen=True, slots=True)
class AdaptationSettings:
    """Rates are bit/s, with IP and UDP headers."""

    on: bool = True  # False: everything is forwarded to everybody, as far as they asked for it
    start_bps: int = 600_000
    min_bps: int = 30_000
    max_bps: int = 100_000_000
    congestion_controller: str = DEFAULTS[Role.CONGESTION]
    layer_allocator: str = DEFAULTS[Role.LAYERS]
    speaker_detector: str = DEFAULTS[Role.SPEAKERS]
    audio_forwarding: int = 0  # how many microphones of a router are heard, the ones that speak; 0: all
    most_playout_delay_ms: int = 250  # that viewers on lossy paths keep frames back, for repairs; 0: never

    def policy(self, role: Role) -> str:
        """The name of the policy that a role has when nobody asks for another."""
        return {
            Role.CONGESTION: self.congestion_controller,
            Role.LAYERS: self.layer_allocator,
            Role.SPEAKERS: self.speaker_detector,
        }[role]
