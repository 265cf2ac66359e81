"""GCC, which runs in the forwarding plane: a marker that stands for it where policies are chosen by name."""

from __future__ import annotations

from collections.abc import Mapping

from server.policy.protocols import Feedback


class Native:
    """Says only that the plane estimates (`CongestionParams.controller`). It is told nothing and knows no estimate."""

    native = True

    def on_feedback(self, feedback: Feedback) -> None:
        """The plane sees it first."""

    def on_report(self, loss: float, rtt_ns: int | None, now: int) -> None:
        """The plane sees it first."""

    def on_remb(self, bps: int, now: int) -> None:
        """The plane sees it first."""

    def on_tick(self, now: int) -> None:
        """The plane has its own."""

    def estimate(self) -> int:
        """0: ask the plane."""
        return 0

    def explain(self) -> Mapping[str, float | str]:
        return {"cause": "native"}
