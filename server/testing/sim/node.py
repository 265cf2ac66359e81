"""The node of a simulation: the real core, transports, policies and plane, without DTLS and SRTP.

A handshake takes randomness from the system and ciphers take time, and neither shows anything about adaptation. So DTLS
is replaced by an endpoint that is connected as soon as it starts, and the plane sees packets in the clear. Everything
else is what `sightline media` runs, seeded.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence

from rtpfwd.params import Handle, SrtpProfile
from rtpfwd.plane import Plane
from server.media.adaptation_settings import AdaptationSettings
from server.media.commands import Commands
from server.media.core import MediaCore
from server.media.webrtc_transport import WebRtcTransport
from server.policy.registry import Registry
from server.rtc.certificate import Fingerprint
from server.rtc.dtls import DtlsConnected, DtlsEvent, DtlsRole, DtlsState, SrtpKeys
from server.rtc.dtls_context import PROFILE_AEAD_AES_128_GCM
from server.rtc.parameters import DtlsFingerprint, DtlsParameters
from server.testing.browser import shared_certificate


class OpenPlane(Plane):
    """A plane whose transports have no SRTP, whatever they ask for."""

    def add_transport(self, *, srtp: bool) -> Handle:
        """Without."""
        return super().add_transport(srtp=False)

    def set_keys(self, transport: Handle, profile: SrtpProfile, send_key: bytes, recv_key: bytes) -> None:
        """Nothing to lock."""


class TrustedHandshake:
    """In the place of a DtlsEndpoint: connected at once, and silent."""

    def __init__(self) -> None:
        self.state = DtlsState.NEW
        self._events: deque[DtlsEvent] = deque()

    def start(self, role: DtlsRole, remote_fingerprints: Sequence[Fingerprint], now: int) -> None:
        """Done."""
        self.state = DtlsState.CONNECTED
        self._events.append(DtlsConnected(SrtpKeys(PROFILE_AEAD_AES_128_GCM, b"", b"")))

    def receive_untrusted(self, data: bytes, now: int) -> None:
        """Nobody sends any."""

    def poll_event(self) -> DtlsEvent | None:
        """That it is connected, once."""
        return self._events.popleft() if self._events else None

    def poll_transmit(self) -> bytes | None:
        """It says nothing."""
        return None

    def next_timeout(self) -> int | None:
        """It waits for nothing."""
        return None

    def handle_timeout(self, now: int) -> None:
        """Nothing is ever due."""

    def close(self, now: int) -> None:
        """Without a word."""
        self.state = DtlsState.CLOSED


class Node:
    """One plane, one core, one router."""

    def __init__(self, seed: int, adaptation: AdaptationSettings, registry: Registry) -> None:
        self.plane = OpenPlane(seed=seed)
        self.defects: list[tuple[str, BaseException]] = []
        self.core = MediaCore(
            [self.plane],
            [()],
            certificate=shared_certificate(),
            on_defect=lambda what, error: self.defects.append((what, error)),
            rng=random.Random(seed),
            adaptation=adaptation,
            registry=registry,
        )
        self.commands = Commands(self.core)
        self.router = self.commands.create_router("sim", ())

    def add_transport(self, name: str, now: int) -> WebRtcTransport:
        """Connected but for ICE."""
        transport = self.commands.create_webrtc_transport(self.router.id, name, now)
        # The one seam that production code need not have: nobody but a simulation wants another handshake.
        transport._dtls = TrustedHandshake()  # type: ignore[assignment]
        nobody = DtlsParameters(role="client", fingerprints=(DtlsFingerprint("sha-256", _NO_FINGERPRINT),))
        self.commands.connect_webrtc_transport(name, nobody, now)
        return transport


_NO_FINGERPRINT = ":".join(["00"] * 32)
