"""WebRtcTransport: a browser. ICE finds the path, DTLS makes the keys, the plane forwards.

ICE tells the plane whom to listen to and where to send; DTLS starts with the remote's fingerprint (`connect`) and gives
the plane its SRTP keys. Sans-I/O: the core calls `drain` after every mutation, and forwards what it answers.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtpfwd.params import IceCheck, SrtpProfile
from server.media.errors import WrongState
from server.media.events import CloseReason, EntityClosed, EntityKind, PathClosed, TransportStateChanged
from server.media.transport import Shared, Transport
from server.rtc.certificate import Certificate, Fingerprint
from server.rtc.dtls import (
    DtlsClosed,
    DtlsConnected,
    DtlsEndpoint,
    DtlsFailed,
    DtlsRole,
    DtlsState,
)
from server.rtc.ice_lite import (
    IceCredentials,
    IceLite,
    IceState,
    Path,
    PathDropped,
    PathSelected,
    PathValidated,
    RoutineCheck,
)
from server.rtc.parameters import IceCandidate, IceParameters

# The one that costs least per packet first (docs/media-node.md).
SRTP_PROFILES = (int(SrtpProfile.AEAD_AES_128_GCM), int(SrtpProfile.AES128_CM_SHA1_80))
DTLS_MTU = 1200  # bytes of one handshake datagram: passes any path that WebRTC media passes


class WebRtcTransport:
    """ICE, DTLS and the shared half. `closing` names the reason as soon as the remote's end of it is known."""

    def __init__(
        self,
        media: Transport,
        shared: Shared,
        certificate: Certificate,
        candidates: Sequence[IceCandidate],
        consent_timeout_ns: int,
    ) -> None:
        self.media = media
        self.candidates = tuple(candidates)
        self.closing: CloseReason | None = None
        self.failure = ""  # why DTLS failed, a short constant
        self._paths: set[Path] = set()  # validated; the routes say which of them are still ours
        self._shared = shared
        self._ice = IceLite(
            IceCredentials.generate(shared.rng.randbytes),
            consent_timeout_ns=consent_timeout_ns,
            max_paths=shared.limits.max_paths_per_transport,
        )
        self._dtls = DtlsEndpoint(certificate, profiles=SRTP_PROFILES, mtu=DTLS_MTU)
        self._told = (self.ice_state, self.dtls_state)  # the states of the last TransportStateChanged
        self._local_fingerprint = certificate.fingerprint
        self._role: DtlsRole | None = None
        self._remote_fingerprints: tuple[Fingerprint, ...] = ()
        self._selected: Path | None = None
        self._routine: RoutineCheck | None = None  # what the plane answers without us, on the selected path
        self._last_heard: Path | None = None  # the last path that DTLS came on

    @property
    def id(self) -> str:
        """The transport's id."""
        return self.media.id

    @property
    def ice_state(self) -> str:
        """As in TransportStateChanged."""
        return self._ice.state.value

    @property
    def dtls_state(self) -> str:
        """As in TransportStateChanged."""
        return self._dtls.state.value

    @property
    def protocol(self) -> str:
        """Of the path that we send on: "udp" or "tcp"; empty without one."""
        return self._selected.remote.protocol if self._selected is not None else ""

    @property
    def connected(self) -> bool:
        """Whether `connect` was called: the remote is known, though perhaps not heard of yet."""
        return self._role is not None

    @property
    def ice_parameters(self) -> IceParameters:
        """The credentials that the remote is to use from now on."""
        credentials = self._ice.credentials
        return IceParameters(username_fragment=credentials.username_fragment, password=credentials.password)

    @property
    def local_fingerprint(self) -> Fingerprint:
        """Of the certificate that we will show."""
        return self._local_fingerprint

    def username_fragments(self) -> Sequence[str]:
        """Under which a check finds us: the present one and, during a restart, the one before."""
        return self._ice.username_fragments()

    def connect(self, remote_role: str, fingerprints: Sequence[Fingerprint], now: int) -> DtlsRole:
        """Learn who the remote is. Answers our DTLS role: server, unless the remote insists on being it."""
        if self._role is not None:
            raise WrongState(f"transport {self.id} is connected already; create another for another remote")
        self._role = DtlsRole.CLIENT if remote_role == "server" else DtlsRole.SERVER
        self._remote_fingerprints = tuple(fingerprints)
        self._start_dtls(now)
        return self._role

    def restart_ice(self, now: int) -> IceParameters:
        """New credentials. The old ones stay good until the remote uses the new ones, so media never stops."""
        self._ice.restart(IceCredentials.generate(self._shared.rng.randbytes), now)
        return self.ice_parameters

    def path_lost(self, path: Path, now: int) -> None:
        """The TCP connection behind it has ended."""
        self._ice.drop_path(path, now)

    def receive_stun_untrusted(self, datagram: bytes, path: Path, now: int) -> None:
        """A STUN message. Raises BadPacket."""
        self._take_consent()
        self._ice.receive_untrusted(datagram, path, now)

    def receive_dtls_untrusted(self, datagram: bytes, path: Path, now: int) -> None:
        """A DTLS datagram from a validated path. Raises BadPacket."""
        self._last_heard = path
        self._dtls.receive_untrusted(datagram, now)

    def next_timeout(self) -> int | None:
        """Monotonic ns, or None."""
        deadlines = [at for at in (self._ice.next_timeout(), self._dtls.next_timeout()) if at is not None]
        return min(deadlines, default=None)

    def handle_timeout(self, now: int) -> None:
        """Whatever is due of both."""
        self._take_consent()
        self._ice.handle_timeout(now)
        self._dtls.handle_timeout(now)

    def drain(self, now: int) -> list[tuple[Path, bytes]]:
        """Take in what ICE and DTLS have to say; answers what to send. Called after every mutation."""
        while (event := self._ice.poll_event()) is not None:
            if isinstance(event, PathValidated):
                self._admit(event.path)
            elif isinstance(event, PathSelected):
                self._select(event.path, now)
            elif isinstance(event, PathDropped):
                self._drop(event.path)
            elif event.state is IceState.CLOSED:
                self._end(CloseReason.ICE_EXPIRED)
        self._tell_routine()
        self._drain_dtls_events()
        output: list[tuple[Path, bytes]] = []
        while (answer := self._ice.poll_transmit()) is not None:
            output.append(answer)
        output += self._dtls_output()
        if self._told != (self.ice_state, self.dtls_state):
            self._told = (self.ice_state, self.dtls_state)
            self._shared.events.append(TransportStateChanged(self.id, self.ice_state, self.dtls_state))
        return output

    def close(self, reason: CloseReason, now: int) -> list[tuple[Path, bytes]]:
        """Say goodbye to the remote and take everything out of the plane. Answers the last datagrams."""
        if self._dtls.state in {DtlsState.CONNECTING, DtlsState.CONNECTED}:
            self._dtls.close(now)
        farewell = self._dtls_output()
        self._ice.close()
        for path in list(self._paths):
            self._drop(path)
        self.media.close()
        self._shared.events.append(EntityClosed(EntityKind.TRANSPORT, self.id, reason))
        return farewell

    def dump(self) -> dict[str, object]:
        """For people and tools. No keys, no addresses."""
        return {
            **self.media.dump(),
            "type": "webrtc",
            "iceState": self.ice_state,
            "dtlsState": self.dtls_state,
            "dtlsFailure": self.failure,
            "dtlsRole": self._role.value if self._role is not None else None,
            "paths": len(self._paths),
            "protocol": self.protocol,
        }

    def _start_dtls(self, now: int) -> None:
        """A server waits from the beginning; a client needs a path for its first message."""
        if self._role is None or self._dtls.state is not DtlsState.NEW:
            return
        if self._role is DtlsRole.SERVER or self._selected is not None:
            self._dtls.start(self._role, self._remote_fingerprints, now)

    def _drain_dtls_events(self) -> None:
        while (event := self._dtls.poll_event()) is not None:
            if isinstance(event, DtlsConnected):
                self._shared.handshakes["connected"] += 1
                keys = event.keys
                self.media.plane.set_keys(self.media.handle, SrtpProfile(keys.profile), keys.send, keys.recv)
            elif isinstance(event, DtlsFailed):
                self.failure = event.reason
                self._shared.handshakes[event.reason] += 1
                self._end(CloseReason.DTLS_FAILED)
            elif isinstance(event, DtlsClosed):
                self._end(CloseReason.DTLS_CLOSED)

    def _dtls_output(self) -> list[tuple[Path, bytes]]:
        """Without a route it is lost; DTLS's own timer sends it again."""
        route = self._selected or self._last_heard
        output: list[tuple[Path, bytes]] = []
        while (datagram := self._dtls.poll_transmit()) is not None:
            if route is not None:
                output.append((route, datagram))
        return output

    def _admit(self, path: Path) -> None:
        self._paths.add(path)
        route = (self.media.lane, path)
        before = self._shared.routes.get(route, self.id)
        if before != self.id:
            # It has to prove the path anew: else one who forges a source address could keep another's for good.
            self._shared.displaced.append((before, path))
        self._shared.routes[route] = self.id
        self.media.plane.admit(self.media.handle, path.socket, path.remote)

    def _take_consent(self) -> None:
        """Let ICE know of the checks that the plane has answered, before it concludes anything from their times."""
        if self._routine is not None and self._selected is not None:
            self._ice.refresh(self._selected, *self.media.plane.consent(self.media.handle))

    def _tell_routine(self) -> None:
        """Let the plane know which checks it may answer by itself."""
        routine = self._ice.routine()
        if routine == self._routine:
            return
        self._routine = routine
        check = None
        if routine is not None:
            username, password = routine.username.encode(), routine.password.encode()
            check = IceCheck(username, password, routine.priority, routine.may_nominate)
        self.media.plane.set_ice(self.media.handle, check)

    def _select(self, path: Path, now: int) -> None:
        self._selected = path
        self._routine = None  # the plane forgets it with the path that it was for
        self.media.plane.set_remote(self.media.handle, path.socket, path.remote)
        self._start_dtls(now)

    def _drop(self, path: Path) -> None:
        self._paths.discard(path)
        if self._selected == path:
            self._selected = self._routine = None
            self.media.plane.set_remote(self.media.handle, path.socket, None)
        if self._last_heard == path:
            self._last_heard = None
        lane = self.media.lane
        # A remote that began anew from the same port has proved the path to another transport since: then it is theirs.
        if self._shared.routes.get((lane, path)) == self.id:
            del self._shared.routes[lane, path]
            self.media.plane.dismiss(path.socket, path.remote)
            self._shared.events.append(PathClosed(lane, path.socket, path.remote))

    def _end(self, reason: CloseReason) -> None:
        if self.closing is None:
            self.closing = reason
