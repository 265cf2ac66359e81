"""What the viewer itself estimates (REMB, draft-alvestrand-rmcat-remb), slowed on the way up, and cut by loss."""

from __future__ import annotations

from collections.abc import Mapping

from server.policy.protocols import Feedback

SECOND = 1_000_000_000  # ns
RISE = 1.5  # at most so much a second: a viewer's first REMB after a drop may be far off
STALE_NS = 10 * SECOND  # libwebrtc repeats its REMB every second; one this old says nothing any more
HIGH_LOSS = 0.10
LOSS_PERIOD_NS = 300_000_000  # between two cuts for loss, as receiver reports overlap


class Remb:
    """Follows REMB down at once and up by a half a second; loss over 10 % cuts by half of it, as libwebrtc's
    loss-based part does (draft-ietf-rmcat-gcc-02 section 6). Without REMB for 10 s it stays where it is."""

    def __init__(self, start_bps: int = 600_000, min_bps: int = 30_000, max_bps: int = 100_000_000) -> None:
        if not 0 < min_bps <= start_bps <= max_bps:
            raise ValueError("it must be 0 < min_bps <= start_bps <= max_bps")
        self._min, self._max = min_bps, max_bps
        self._estimate = float(start_bps)
        self._remb: int | None = None
        self._heard = 0
        self._moved: int | None = None
        self._cut: int | None = None
        self._loss = 0.0
        self._cause = "start"

    def inherit(self, estimate_bps: int, now: int) -> None:
        """Go on from the estimate of the one before."""
        self._estimate = float(min(max(estimate_bps, self._min), self._max))
        self._moved = now

    def on_feedback(self, feedback: Feedback) -> None:
        """A viewer that sends transport-wide feedback sends no REMB."""

    def on_report(self, loss: float, rtt_ns: int | None, now: int) -> None:
        self._loss = loss
        if loss > HIGH_LOSS and (self._cut is None or now - self._cut >= LOSS_PERIOD_NS):
            self._set(self._estimate * (1 - loss / 2), "loss")
            self._cut = now

    def on_remb(self, bps: int, now: int) -> None:
        self._remb, self._heard = bps, now
        self._follow(now)

    def on_tick(self, now: int) -> None:
        if self._remb is not None and now - self._heard < STALE_NS:
            self._follow(now)
        elif self._remb is not None:
            self._remb, self._cause = None, "silence"

    def _follow(self, now: int) -> None:
        assert self._remb is not None
        elapsed = 0.0 if self._moved is None else min((now - self._moved) / SECOND, 1.0)
        first = self._moved is None
        self._moved = now
        if self._remb <= self._estimate or first:
            self._set(self._remb, "remb")
        elif self._loss <= HIGH_LOSS:
            self._set(min(self._remb, self._estimate * RISE**elapsed), "remb")

    def _set(self, bps: float, cause: str) -> None:
        self._estimate, self._cause = min(max(bps, self._min), self._max), cause

    def estimate(self) -> int:
        return int(self._estimate)

    def explain(self) -> Mapping[str, float | str]:
        return {"cause": self._cause, "remb_bps": float(self._remb or 0), "loss": self._loss}
