"""The lite, controlled side of ICE (RFC 8445): answers the peer's checks and follows its nominations.

See docs/connection.md for the states and rules.
"""

from __future__ import annotations

import enum
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from server.errors import BadPacket, LocalError
from server.rtc.address import Address
from server.rtc.stun import BINDING, Class, Message, build_error, build_success, parse_untrusted

_MAX_ACCEPTED: Final = 3  # credentials in use, offered last, offered before that
_MAX_UNKNOWN: Final = 16  # attribute types listed in one 420 error, so that an answer stays small


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
class RoutineCheck:
    """What a good check says while nothing changes: to answer one that says no more, this is all one has to know."""

    username: str
    password: str = field(repr=False)
    priority: int
    may_nominate: bool  # with USE-CANDIDATE too


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


class _Candidate:
    """What is known of one valid path."""

    __slots__ = ("checked_at", "credentials", "nominated", "nominating_check_at", "priority", "username")

    def __init__(self) -> None:
        self.checked_at = 0  # ns; the last valid check: consent to send there (RFC 7675)
        self.priority = 0  # of the peer's candidate, as its last check claimed
        self.nominated = False  # whether the last check carried USE-CANDIDATE
        self.nominating_check_at = 0  # ns; the last check that did
        self.username = ""  # of the last check, and with whose password
        self.credentials: IceCredentials | None = None


class IceLite:
    """One transport's side. It only answers, so it needs no candidates of its own, no pairs and no timers but consent.

    Whoever holds it drains `poll_transmit` and `poll_event` after every call, also after one that raised.
    """

    def __init__(
        self, credentials: IceCredentials, *, consent_timeout_ns: int = 30_000_000_000, max_paths: int = 8
    ) -> None:
        """`consent_timeout_ns`: how long a path lives without a valid check; RFC 7675 section 5.1 says 30 s."""
        if max_paths < 2:
            raise LocalError("max_paths must be at least 2: a client that moves has two for a moment")
        self.credentials = credentials
        self.state = IceState.NEW
        self.selected: Path | None = None
        self.refused: Counter[int] = Counter()  # checks answered with an error, by its code
        # Newest first. All are accepted, until a check proves that the peer has the newer ones.
        self._accepted = [credentials]
        self._confirmed: IceCredentials | None = None
        self._nomination = -1  # the highest NOMINATION number of these credentials
        self._paths: dict[Path, _Candidate] = {}
        self._max_paths = max_paths
        self._consent_timeout = consent_timeout_ns
        self._closes_at: int | None = None  # ns; set while DISCONNECTED
        # Lists: they are drained after every call and lie empty for hours, and an empty deque takes 700 bytes.
        self._transmits: list[tuple[Path, bytes]] = []
        self._events: list[IceEvent] = []

    def username_fragments(self) -> tuple[str, ...]:
        """Every one that is accepted now. Changes at `restart` and with the first check after it."""
        return tuple(credentials.username_fragment for credentials in self._accepted)

    def paths(self) -> tuple[Path, ...]:
        """The valid ones, in the order in which they were validated."""
        return tuple(self._paths)

    def routine(self) -> RoutineCheck | None:
        """The check that would change nothing on the selected path but the time of its last one: who knows this may
        answer it in our place, and says so with `refresh`. None: there is no such check now."""
        candidate = self._paths.get(self.selected) if self.selected is not None else None
        if candidate is None or candidate.credentials is None or candidate.credentials is not self._confirmed:
            return None
        # A nomination of the selected path changes something once.
        completed = self.state is IceState.COMPLETED
        return RoutineCheck(candidate.username, candidate.credentials.password, candidate.priority, completed)

    def restart(self, credentials: IceCredentials, now: int) -> None:
        """Accept `credentials` too, and nothing older once the peer has used them (RFC 8445 section 9).

        Media goes on along the selected path until the peer nominates another.
        """
        if self.state is IceState.CLOSED:
            raise LocalError("ICE is closed: make a new transport instead of restarting this one")
        if credentials.username_fragment in self.username_fragments():
            raise LocalError("ICE restart needs a new username fragment: generate new credentials")
        self._accepted.insert(0, credentials)
        if len(self._accepted) > _MAX_ACCEPTED:
            # The last are in use; of those offered since and never used, the oldest goes.
            del self._accepted[-2]
        self.credentials = credentials
        if self._closes_at is not None:
            # A restart is how an application brings a silent client back: give it the whole time again.
            self._closes_at = now + self._consent_timeout

    def receive_untrusted(self, data: bytes, path: Path, now: int) -> None:
        """A STUN datagram that came along `path`. BadPacket when it is none, or none that a lite agent gets.

        A request that is well formed is answered, with an error if need be; nothing is kept of it unless its integrity
        is right (RFC 8445 section 7.3, RFC 8489 sections 6.3.1 and 9.1.3).
        """
        if self.state is IceState.CLOSED:
            raise BadPacket("ice-closed")
        message = parse_untrusted(data)
        if message.method != BINDING:
            raise BadPacket("stun-method")
        if message.message_class is Class.INDICATION:
            return  # A keepalive (RFC 8445 section 11); it is not authenticated, so it proves nothing.
        if message.message_class is not Class.REQUEST:
            raise BadPacket("stun-unexpected-response")
        if not message.has_fingerprint:
            raise BadPacket("stun-no-fingerprint")
        username = message.username
        if username is None or not message.has_integrity:
            self._refuse(message, path, 400, "Bad Request", None)
            return
        credentials = self._find_credentials(username)
        if credentials is None or not message.check_integrity(credentials.password):
            self._refuse(message, path, 401, "Unauthorized", None)
            return
        password = credentials.password
        priority = message.priority
        if message.unknown:
            self._refuse(message, path, 420, "Unknown Attribute", password)
        elif priority is None:
            self._refuse(message, path, 400, "Bad Request", password)
        elif message.ice_controlled is not None:
            # A lite agent never controls, so the other side has to (RFC 8445 section 6.1.1).
            self._refuse(message, path, 487, "Role Conflict", password)
        else:
            self._transmits.append((path, build_success(message.transaction_id, path.remote, password)))
            self._confirm(credentials)
            self._grant(message, priority, path, now)
            candidate = self._paths[path]
            candidate.username, candidate.credentials = username, credentials

    def refresh(self, path: Path, checked_at: int, nominated_at: int) -> None:
        """Routine checks on `path` were answered elsewhere, the last at `checked_at`, the last with USE-CANDIDATE at
        `nominated_at` (ns; 0: none). What is known already changes nothing."""
        candidate = self._paths.get(path)
        if candidate is not None and checked_at > candidate.checked_at:
            candidate.checked_at = checked_at
            candidate.nominated = nominated_at == checked_at
            candidate.nominating_check_at = max(candidate.nominating_check_at, nominated_at)

    def drop_path(self, path: Path, now: int) -> None:
        """The path is gone, as its TCP connection has closed. Unknown ones are ignored."""
        if path in self._paths:
            self._drop(path)
            self._reselect(now)

    def close(self) -> None:
        """Nothing is answered from now on. No event tells of it: the caller knows."""
        self.state = IceState.CLOSED
        self._paths.clear()
        self._transmits.clear()
        self.selected = None
        self._closes_at = None

    def next_timeout(self) -> int | None:
        """When to call `handle_timeout`, ns; None while nothing can expire."""
        if self._closes_at is not None:
            return self._closes_at
        if not self._paths:
            return None
        return min(candidate.checked_at for candidate in self._paths.values()) + self._consent_timeout

    def handle_timeout(self, now: int) -> None:
        """Drop the paths whose consent has expired; close when there has been none for as long again."""
        if self._closes_at is not None:
            if now >= self._closes_at:
                self._closes_at = None
                self._change_state(IceState.CLOSED)
            return
        silent = [
            path for path, candidate in self._paths.items() if now - candidate.checked_at >= self._consent_timeout
        ]
        for path in silent:
            self._drop(path)
        if silent:
            self._reselect(now)

    def poll_transmit(self) -> tuple[Path, bytes] | None:
        """The next datagram to send."""
        return self._transmits.pop(0) if self._transmits else None

    def poll_event(self) -> IceEvent | None:
        """The next thing that happened."""
        return self._events.pop(0) if self._events else None

    def _find_credentials(self, username: str) -> IceCredentials | None:
        fragment, colon, _ = username.partition(":")
        if not colon:
            return None
        return next((known for known in self._accepted if known.username_fragment == fragment), None)

    def _refuse(self, message: Message, path: Path, code: int, reason: str, password: str | None) -> None:
        self.refused[code] += 1
        answer = build_error(
            message.transaction_id,
            code,
            reason,
            password,
            unknown=message.unknown[:_MAX_UNKNOWN] if code == 420 else (),
        )
        self._transmits.append((path, answer))

    def _confirm(self, credentials: IceCredentials) -> None:
        """The peer has these, so older ones are done with."""
        if credentials is self._confirmed:
            return
        del self._accepted[self._accepted.index(credentials) + 1 :]
        if self._confirmed is not None:
            # A restart begins a new nomination; until it is made, the selected path of the last one serves.
            self._nomination = -1
            for candidate in self._paths.values():
                candidate.nominated = False
            if self.state is IceState.COMPLETED:
                self._change_state(IceState.CONNECTED)
        self._confirmed = credentials

    def _grant(self, message: Message, priority: int, path: Path, now: int) -> None:
        """A valid check: consent for its path, and perhaps a nomination."""
        candidate = self._paths.get(path)
        if candidate is None:
            candidate = self._admit(path)
        nominates = self._nominates(message, priority, path, candidate)
        candidate.checked_at = now
        candidate.priority = priority
        candidate.nominated = message.use_candidate
        if message.use_candidate:
            candidate.nominating_check_at = now
        self._closes_at = None
        if nominates or self.selected is None:
            self._select(path)
        if nominates:
            self._change_state(IceState.COMPLETED)
        elif self.state in (IceState.NEW, IceState.DISCONNECTED):
            self._change_state(IceState.CONNECTED)

    def _nominates(self, message: Message, priority: int, path: Path, candidate: _Candidate) -> bool:
        """Whether media shall move to `path`, or stay if it is there.

        With NOMINATION the highest number wins. Without, a peer of RFC 8445 nominates one path and, when it changes its
        mind, another. A peer of RFC 5245 may nominate every path in every check, and then the best priority wins
        (its section 8.1.1.2); that case shows in nominating checks arriving on two paths by turns.
        """
        if message.nomination is not None:
            if message.nomination < self._nomination:
                return False
            if message.nomination > self._nomination:
                self._nomination = message.nomination
                return True
            return self.selected in (None, path)
        if not message.use_candidate:
            return False
        selected = self._paths.get(self.selected) if self.selected is not None else None
        if selected is None or selected is candidate:
            return True
        by_turns = (
            candidate.nominated and selected.nominated and selected.nominating_check_at >= candidate.nominating_check_at
        )
        return not by_turns or priority > selected.priority

    def _admit(self, path: Path) -> _Candidate:
        """A new valid path, in the place of the one silent for longest if there are too many."""
        if len(self._paths) >= self._max_paths:
            unselected = (known for known in self._paths if known != self.selected)
            self._drop(min(unselected, key=lambda known: self._paths[known].checked_at))
        candidate = self._paths[path] = _Candidate()
        self._events.append(PathValidated(path))
        return candidate

    def _drop(self, path: Path) -> None:
        del self._paths[path]
        if path == self.selected:
            self.selected = None
        self._events.append(PathDropped(path))

    def _reselect(self, now: int) -> None:
        """After a drop: the path heard from last takes over, and without any the transport is disconnected."""
        if self.selected is None and self._paths:
            self._select(max(self._paths, key=lambda path: self._paths[path].checked_at))
        elif not self._paths:
            self._closes_at = now + self._consent_timeout
            self._change_state(IceState.DISCONNECTED)

    def _select(self, path: Path) -> None:
        if path != self.selected:
            self.selected = path
            self._events.append(PathSelected(path))

    def _change_state(self, state: IceState) -> None:
        if state is not self.state:
            self.state = state
            self._events.append(StateChanged(state))
