"""What a bench can measure: a server that takes publishers and viewers over ICE, DTLS and SRTP.

The generator plays the remote ends; a Target tells the server of them, in whatever way that server is told. All remote
ends are ICE controlling and DTLS clients, so that the bench, not the server, chooses the SRTP profile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from server.rtc.certificate import Fingerprint
from server.rtc.parameters import RtpParameters


@dataclass(frozen=True, slots=True)
class LocalEnd:
    """One remote end, as the server is told of it. Its one candidate is the UDP address that it sends from."""

    address: str
    port: int
    username_fragment: str
    password: str
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True)
class ServerEnd:
    """Where and how a remote end reaches the server."""

    address: str
    port: int
    username_fragment: str
    password: str
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True)
class Stream:
    """One publisher's media as one viewer will receive it."""

    publisher: str
    parameters: RtpParameters  # with the SSRC in encodings[0]


@dataclass(frozen=True, slots=True)
class Subscription:
    """One transport towards one viewer."""

    id: str
    server: ServerEnd
    streams: tuple[Stream, ...]


class Room(Protocol):
    """One call on a server. Every method raises BenchError when the server refuses."""

    async def publish(self, local: LocalEnd, parameters: Sequence[tuple[str, RtpParameters]]) -> tuple[str, ServerEnd]:
        """Take one publisher of these ("audio" or "video", parameters) over one transport. Answers its id."""

    async def subscribe(self, local: LocalEnd, publishers: Sequence[str]) -> Subscription:
        """Prepare all media of these publishers for one viewer, over one transport."""

    async def start(self, subscription: Subscription) -> None:
        """The viewer is connected and watches: let its media flow."""


class Target(Protocol):
    """A running server."""

    name: str  # "sightline", "janus", …
    version: str
    tuning: str  # how it is set up, for the report
    pid: int  # of the process whose CPU time counts

    async def open_room(self) -> Room:
        """A new call."""

    async def counters(self) -> dict[str, float]:
        """Whatever the server counts, by name; empty when it tells nothing."""
