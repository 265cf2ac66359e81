"""A constant: for links that somebody else watches over, and as the smallest example of the role."""

from __future__ import annotations

from collections.abc import Mapping

from server.policy.protocols import Feedback


class Fixed:
    """Whatever happens, `bps` (bit/s, with IP and UDP headers)."""

    def __init__(self, bps: int = 1_000_000) -> None:
        if bps <= 0:
            raise ValueError(f"bps must be positive, not {bps}")
        self._bps = bps

    def on_feedback(self, feedback: Feedback) -> None:
        """Of no interest."""

    def on_report(self, loss: float, rtt_ns: int | None, now: int) -> None:
        """Of no interest."""

    def on_remb(self, bps: int, now: int) -> None:
        """Of no interest."""

    def on_tick(self, now: int) -> None:
        """Of no interest."""

    def estimate(self) -> int:
        return self._bps

    def explain(self) -> Mapping[str, float | str]:
        return {"cause": "set"}
