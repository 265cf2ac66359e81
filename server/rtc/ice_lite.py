"""The lite, controlled side of ICE (RFC 8445): answers the peer's checks and follows its nominations.

See docs/connection.md for the states and rules.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from server.rtc.address import Address


class IceState(enum.Enum):
    """NEW: no valid check yet. CONNECTED: a path works. COMPLETED: the peer nominated one. DISCONNECTED: every path has
    gone silent, but a check brings it back. CLOSED: silent for as long again; final."""

    NEW = "new"
    CONNECTED = "connected"
    COMPLETED = "completed"
    DISCONNECTED = "disconnected"
    CLOSED = "closed"


class Path(NamedTuple):
    """Where a datagram came from or goes to."""

    socket: int  # the local socket, by its id in the plane
    remote: Address


@dataclass(frozen=True, slots=True)
class IceCredentials:
    """A username fragment and the password that proves it (RFC 8839 section 5.4)."""

    username_fragment: str
    password: str

    @classmethod
    def generate(cls, random: Callable[[int], bytes] = os.urandom) -> IceCredentials:
        """New ones: 96 and 192 random bits. `random` answers so many bytes."""
        return cls(random(12).hex(), random(24).hex())


@dataclass(frozen=True, slots=True)
class PathValidated:
    """The peer proved on this path that it knows the password: media from there is welcome."""

    path: Path


@dataclass(frozen=True, slots=True)
class PathSelected:
    """Send here from now on."""

    path: Path


@dataclass(frozen=True, slots=True)
class PathDropped:
    """The path went silent or had to make room: admit nothing more from there."""

    path: Path


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The state of the whole agent."""

    state: IceState


IceEvent = PathValidated | PathSelected | PathDropped | StateChanged
