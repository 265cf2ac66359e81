"""MediaCore: the root of the domain on one node. Sans-I/O; server/io/drive.py drains it after every mutation.

Datagrams that a lane hands off come in by `receive`: a STUN check finds its transport by the username fragment, DTLS by
the path that ICE has validated. Media never comes here: the planes forward it. Commands are in `commands.py`, which
changes this core and then calls `settle`. Whatever goes wrong inside one transport costs that transport only.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Protocol, TypeVar
from uuid import UUID

from rtpfwd.events import PlaneEvent, RemoteLearned, StreamStarted
from rtpfwd.params import Address as PlaneAddress
from server.errors import BadPacket, LocalError
from server.media.adaptation import Adaptation
from server.media.adaptation_settings import AdaptationSettings
from server.media.errors import AlreadyExists, Broken, InvalidArgument, NotFound
from server.media.events import CloseReason, MediaEvent
from server.media.limits import MediaLimits
from server.media.placement import least_loaded
from server.media.plain_transport import PlainTransport
from server.media.policies import Shelf
from server.media.router import Router
from server.media.transport import Shared, Transport
from server.media.webrtc_transport import WebRtcTransport
from server.policy.registry import Registry, standard_registry
from server.rtc import demux, stun
from server.rtc.address import Address
from server.rtc.certificate import Certificate
from server.rtc.ice_lite import Path
from server.rtc.parameters import IceCandidate

if TYPE_CHECKING:
    from rtpfwd.plane import Plane

T = TypeVar("T")
_MAX_ID_LENGTH = 128
ICE_SOCKET = 0  # of every lane: the one that candidates name; the others belong to plain transports


class Endpoint(Protocol):
    """What every kind of transport is to the core."""

    media: Transport

    @property
    def id(self) -> str: ...
    @property
    def closing(self) -> CloseReason | None:
        """Why this transport has come to its end by itself."""

    def next_timeout(self) -> int | None: ...
    def handle_timeout(self, now: int) -> None: ...
    def drain(self, now: int) -> list[tuple[Path, bytes]]: ...
    def close(self, reason: CloseReason, now: int) -> list[tuple[Path, bytes]]: ...
    def dump(self) -> dict[str, object]: ...


class MediaCore:
    """Routers, transports, producers and consumers by id, and where each datagram belongs.

    `planes` (linked when there are several) and `candidates` are in lane order. `on_defect(what, error)` is called once
    for every broken invariant. `stopwatch` (monotonic ns) times the calls of policies; without one none is too slow.
    Raises UnknownPolicy or PolicyRefused when `adaptation` names what `registry` doesn't have.
    """

    def __init__(
        self,
        planes: Sequence[Plane],
        candidates: Sequence[Sequence[IceCandidate]],
        *,
        certificate: Certificate,
        on_defect: Callable[[str, BaseException], None],
        limits: MediaLimits | None = None,
        consent_timeout_ns: int = 30_000_000_000,
        rng: Random | None = None,
        adaptation: AdaptationSettings | None = None,
        registry: Registry | None = None,
        stopwatch: Callable[[], int] = lambda: 0,
    ) -> None:
        self.planes = tuple(planes)
        self.candidates = tuple(tuple(lane) for lane in candidates)
        self.certificate = certificate
        self.limits = limits or MediaLimits()
        self.consent_timeout_ns = consent_timeout_ns
        self.routers: dict[str, Router] = {}
        self.transports: dict[str, Endpoint] = {}
        self.shared = Shared(self.limits, rng or SystemRandom(), [0] * len(self.planes))
        shelf = Shelf(registry or standard_registry(())[0], adaptation or AdaptationSettings(), stopwatch)
        self.adaptation = Adaptation(self.planes, self.shared, shelf, self._contained_media)
        self.shared.observers.append(self.adaptation)
        self.drops: Counter[str] = Counter()  # datagrams refused, by reason
        self.defects = 0  # broken invariants, each of which has cost a transport
        self.stopping = False
        self._on_defect = on_defect
        self._placed = [0] * len(self.planes)  # by lane: transports
        self._fragments: dict[str, str] = {}  # our username fragment to transport id
        self._fragments_of: dict[str, tuple[str, ...]] = {}  # by transport id
        self._output: deque[tuple[int, Path, bytes]] = deque()
        self._due: list[tuple[int, str]] = []  # a heap of (when, transport id); outdated entries are skipped
        self._due_of: dict[str, int] = {}  # by transport id: which entry is up to date

    # ---- the five verbs ----

    def receive(self, lane: int, socket: int, address: PlaneAddress, datagram: bytes, now: int) -> None:
        """A datagram that a plane handed off. Anything may be in it; what is refused is counted in `drops`."""
        path = Path(socket, Address(*address))
        try:
            endpoint, kind = self._addressee_untrusted(lane, path, datagram)
        except BadPacket as bad:
            self.drops[bad.reason] += 1
            return
        with self._contained(endpoint, now):
            if kind is demux.Kind.STUN:
                endpoint.receive_stun_untrusted(datagram, path, now)
            else:
                endpoint.receive_dtls_untrusted(datagram, path, now)
        self.settle(endpoint, now)

    def handle_timeout(self, now: int) -> None:
        """Whatever is due by `now`."""
        while self._due and self._due[0][0] <= now:
            when, transport_id = heapq.heappop(self._due)
            if self._due_of.get(transport_id) != when:
                continue
            del self._due_of[transport_id]
            endpoint = self.transports[transport_id]
            with self._contained(endpoint, now):
                endpoint.handle_timeout(now)
            # One that is due again at once waits for the next call, so that a fault can't spin here.
            self.settle(endpoint, now, not_before=now + 1)
        self.adaptation.handle_timeout(now)

    def poll_transmit(self) -> tuple[int, int, Address, bytes] | None:
        """The next datagram to send: (lane, socket, destination, datagram)."""
        if not self._output:
            return None
        lane, path, datagram = self._output.popleft()
        return lane, path.socket, path.remote, datagram

    def poll_event(self) -> MediaEvent | None:
        """The next thing that happened."""
        return self.shared.events.popleft() if self.shared.events else None

    def next_timeout(self) -> int | None:
        """When `handle_timeout` wants to be called, monotonic ns; None: not until something else happens."""
        while self._due and self._due_of.get(self._due[0][1]) != self._due[0][0]:
            heapq.heappop(self._due)
        due = self.adaptation.next_timeout()
        if not self._due:
            return due
        return self._due[0][0] if due is None else min(self._due[0][0], due)

    # ---- beside them ----

    def plane_event(self, lane: int, event: PlaneEvent) -> None:
        """What a plane said. One that arrives after its entity was closed means nothing any more."""
        if isinstance(event, RemoteLearned):
            for endpoint in self.transports.values():
                here = (endpoint.media.lane, endpoint.media.handle) == (lane, event.transport)
                if here and isinstance(endpoint, PlainTransport):
                    endpoint.learned(Address(*event.address))
        elif isinstance(event, StreamStarted):
            for producer in self.shared.producers.values():
                if producer.transport.lane == lane and producer.handle == event.producer:
                    producer.started_ssrcs[event.encoding] = event.ssrc
        else:
            self.adaptation.plane_event(lane, event)

    def path_lost(self, lane: int, socket: int, address: PlaneAddress, now: int) -> None:
        """The TCP connection of this path has ended."""
        path = Path(socket, Address(*address))
        self._lose_path(self.shared.routes.get((lane, path), ""), path, now)

    def _lose_path(self, transport_id: str, path: Path, now: int) -> None:
        endpoint = self.transports.get(transport_id)
        if isinstance(endpoint, WebRtcTransport):
            with self._contained(endpoint, now):
                endpoint.path_lost(path, now)
            self.settle(endpoint, now)

    def owns_path(self, lane: int, socket: int, address: PlaneAddress) -> bool:
        """Whether ICE has validated this path for some transport."""
        return (lane, Path(socket, Address(*address))) in self.shared.routes

    def lane_loads(self) -> list[int]:
        """By lane, what placement.py goes by."""
        return [streams + placed for streams, placed in zip(self.shared.streams, self._placed, strict=True)]

    def new_home(self) -> int:
        """For the next router: the least loaded lane, counting the routers at home there too."""
        homes = Counter(router.home for router in self.routers.values())
        return least_loaded([load + homes[lane] for lane, load in enumerate(self.lane_loads())])

    def new_id(self, registry: Mapping[str, object], what: str, wanted: str) -> str:
        """`wanted` if it is free, a random one if it is empty. Raises AlreadyExists or InvalidArgument."""
        if not wanted:
            return str(UUID(bytes=self.shared.rng.randbytes(16), version=4))
        if len(wanted) > _MAX_ID_LENGTH or not wanted.isprintable():
            raise InvalidArgument(f"id: a {what}'s id has 1 to {_MAX_ID_LENGTH} printable characters")
        if wanted in registry:
            raise AlreadyExists(f"id: {wanted!r} is the id of another {what}; choose another, or leave it empty")
        return wanted

    def adopt(self, endpoint: Endpoint, now: int) -> None:
        """Take in a transport just made."""
        self.transports[endpoint.id] = endpoint
        self._placed[endpoint.media.lane] += 1
        endpoint.media.router.transports[endpoint.id] = endpoint
        self.settle(endpoint, now)

    def settle(self, endpoint: Endpoint, now: int, not_before: int = 0) -> None:
        """After every mutation of a transport: collect its output, follow its end, note its next timeout."""
        if endpoint.id not in self.transports:
            return
        with self._contained(endpoint, now):
            lane = endpoint.media.lane
            self._output.extend((lane, path, datagram) for path, datagram in endpoint.drain(now))
            while self.shared.displaced:
                self._lose_path(*self.shared.displaced.popleft(), now)
            if endpoint.closing is not None:
                self.discard(endpoint, endpoint.closing, now)
                return
            if isinstance(endpoint, WebRtcTransport):
                self._note_fragments(endpoint.id, tuple(endpoint.username_fragments()))
            self._schedule(endpoint, not_before)

    def discard(self, endpoint: Endpoint, reason: CloseReason, now: int) -> None:
        """Close a transport with everything on it. Even a broken one is gone afterwards."""
        lane = endpoint.media.lane
        if self.transports.pop(endpoint.id, None) is not None:
            self._placed[lane] -= 1
        endpoint.media.router.transports.pop(endpoint.id, None)
        self._note_fragments(endpoint.id, ())
        self._due_of.pop(endpoint.id, None)
        try:
            self._output.extend((lane, path, datagram) for path, datagram in endpoint.close(reason, now))
        except Exception as error:  # a transport that can't even be closed must still not cost the others
            endpoint.media.forget()
            self._defect(endpoint, error)

    @contextmanager
    def command(self, endpoint: Endpoint, now: int) -> Iterator[None]:
        """Around a command on one transport: a refusal passes, a defect closes the transport and raises Broken."""
        try:
            yield
        except LocalError:
            raise
        except Exception as error:
            self._defect(endpoint, error)
            self.discard(endpoint, CloseReason.INTERNAL_ERROR, now)
            raise Broken(f"transport {endpoint.id} failed by a fault of this node and was closed") from error
        finally:
            self.settle(endpoint, now)

    def _addressee_untrusted(self, lane: int, path: Path, datagram: bytes) -> tuple[WebRtcTransport, demux.Kind]:
        """Whose a datagram is. Raises BadPacket."""
        kind = demux.classify(datagram)
        if path.socket != ICE_SOCKET and kind in {demux.Kind.STUN, demux.Kind.DTLS}:
            # A plain transport's: it may be closed before what ICE wants to send there.
            raise BadPacket("ice-on-plain-socket")
        if kind is demux.Kind.STUN:
            transport_id = self._fragments.get(stun.local_username_fragment_untrusted(datagram))
            reason = "stun-unknown-username"
        elif kind is demux.Kind.DTLS:
            transport_id = self.shared.routes.get((lane, path))
            reason = "dtls-unknown-path"
        else:
            raise BadPacket("not-stun-or-dtls")
        endpoint = self.transports.get(transport_id) if transport_id is not None else None
        if not isinstance(endpoint, WebRtcTransport) or endpoint.media.lane != lane:
            raise BadPacket(reason)
        return endpoint, kind

    @contextmanager
    def _contained(self, endpoint: Endpoint, now: int) -> Iterator[None]:
        """Nothing that a transport does on its own account gets out of here."""
        try:
            yield
        except BadPacket as bad:
            self.drops[bad.reason] += 1
        except Exception as error:  # the boundary where a broken invariant costs one transport and not the node
            self._defect(endpoint, error)
            self.discard(endpoint, CloseReason.INTERNAL_ERROR, now)

    @contextmanager
    def _contained_media(self, media: Transport, now: int) -> Iterator[None]:
        """The same, for who knows only the media of a transport."""
        endpoint = self.transports.get(media.id)
        if endpoint is None:  # it is about to be forgotten by everybody
            yield
            return
        with self._contained(endpoint, now):
            yield

    def _defect(self, endpoint: Endpoint, error: BaseException) -> None:
        self.defects += 1
        self._on_defect(f"transport {endpoint.id}", error)

    def _schedule(self, endpoint: Endpoint, not_before: int) -> None:
        """Note when it wants its turn. A deadline that moved away keeps its old entry: the early call does nothing, and
        the heap doesn't grow with every consent check."""
        when = endpoint.next_timeout()
        noted = self._due_of.get(endpoint.id)
        if when is None:
            self._due_of.pop(endpoint.id, None)
        elif noted is None or when < noted:
            when = max(when, not_before)
            self._due_of[endpoint.id] = when
            heapq.heappush(self._due, (when, endpoint.id))

    def _note_fragments(self, transport_id: str, fragments: tuple[str, ...]) -> None:
        before = self._fragments_of.pop(transport_id, ())
        if fragments:
            self._fragments_of[transport_id] = fragments
        if before != fragments:
            for fragment in before:
                self._fragments.pop(fragment, None)
            self._fragments.update(dict.fromkeys(fragments, transport_id))


def find(registry: Mapping[str, T], what: str, wanted: str) -> T:
    """The entity with that id. Raises NotFound."""
    found = registry.get(wanted)
    if found is None:
        raise NotFound(f"no {what} has the id {wanted[:80]!r}: it was never made on this node, or it is closed")
    return found
