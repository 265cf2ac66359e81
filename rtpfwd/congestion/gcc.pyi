"""The plane's congestion controller by itself, for shadow policies, the simulator and tests.

Rates are bit/s with IP and UDP headers, sizes bytes with them, times monotonic ns given by the caller.
"""

from typing import Any

CAUSES: tuple[str, ...]  # by CongestionCause

class Gcc:
    def __init__(self, *, start_bps: int = 600_000, min_bps: int = 30_000, max_bps: int = ..., now: int = 0) -> None:
        """max_bps: 100 Mbit/s. ValueError unless 0 < min <= start <= max."""

    def configure(self, *, start_bps: int, min_bps: int, max_bps: int, now: int) -> None:
        """New limits. The estimate stays where it is within them."""

    def sent(self, seq: int, size: int, probe: int, now: int) -> None:
        """A packet left under this transport-wide number, for the probe with this number or 0."""

    def sent_beside(self, size: int, now: int) -> None:
        """One left without such a number: it takes its share of the path, and no feedback tells of it."""

    def feedback(self, body: bytes, now: int) -> bool:
        """FCI of one transport-wide feedback message, from the base sequence number on. False: malformed, and nothing
        has changed."""

    def results(self) -> tuple[tuple[int, int | None, int, int], ...]:
        """(sent, arrived by the viewer's clock or None, bytes, probe) of every packet that the last feedback told of
        first; as rtpfwd.events.FeedbackReceived has it."""

    def report(self, fraction_lost: int, packets: int, rtt: int, now: int) -> None:
        """One block of a receiver report (RFC 3550 section 6.4): loss of 256, round trip in ns or 0."""

    def remb(self, bps: int, now: int) -> None: ...
    def set_wanted(self, bps: int, now: int) -> None:
        """What could be used at most. Probes go a little above it, and none are sent with 0."""

    def override(self, bps: int | None, now: int) -> None:
        """Somebody else's estimate instead; None: our own again."""

    def tick(self, now: int) -> None: ...
    def due(self) -> int | None:
        """When tick is to be called; None: not needed."""

    def take_probe(self, now: int) -> tuple[int, int, int, int] | None:
        """(number, bit/s to send it at, bytes at least, packets at least). To be asked after feedback, tick and
        set_wanted."""

    @property
    def estimate_bps(self) -> int: ...
    @property
    def pacing_bps(self) -> int: ...
    def state(self) -> dict[str, Any]:
        """The fields of CongestionState, cause by name, and pacing_bps."""
