"""What a front remembers of its calls: small facts that `Calls` states and `signaling.store` keeps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The first peer joined. `at`: Unix milliseconds, as everywhere here."""

    call_id: str
    room: str
    at: int


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The last peer left."""

    call_id: str
    at: int


@dataclass(frozen=True, slots=True)
class PeerJoined:
    """A peer takes part in a call."""

    participation_id: str
    call_id: str
    peer_id: str
    display_name: str
    kind: str
    at: int


@dataclass(frozen=True, slots=True)
class PeerLeft:
    """A peer's part ended."""

    participation_id: str
    at: int
    reason: str


Happening = CallStarted | CallEnded | PeerJoined | PeerLeft
