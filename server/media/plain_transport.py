"""PlainTransport: RTP or SRTP without ICE and DTLS, on a socket of its own. For servers, recorders and FFmpeg."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from rtpfwd.params import SrtpProfile
from server.media.errors import InvalidArgument, Unsupported, WrongState
from server.media.events import CloseReason, EntityClosed, EntityKind, SocketReleased
from server.media.transport import Shared, Transport
from server.rtc.address import Address
from server.rtc.ice_lite import Path

# Names of RFC 4568 and RFC 7714; sizes of master key and salt together, in bytes.
_SUITES = {
    "AES_CM_128_HMAC_SHA1_80": (SrtpProfile.AES128_CM_SHA1_80, 30),
    "AEAD_AES_128_GCM": (SrtpProfile.AEAD_AES_128_GCM, 28),
}


@dataclass(frozen=True, slots=True)
class SrtpParameters:
    """A suite by its name, and the master key followed by the master salt."""

    crypto_suite: str
    key: bytes = field(repr=False)


class PlainTransport:
    """One remote, told by `connect` or (comedia) learned from the first valid packet."""

    closing: CloseReason | None = None  # nothing but a command or a defect ends one

    def __init__(
        self, media: Transport, shared: Shared, *, socket: int, local: Address, comedia: bool, crypto_suite: str
    ) -> None:
        """`socket` is the plane's id of the socket opened for it; `local` is what to tell the remote."""
        self.media = media
        self.socket = socket
        self.local = local
        self.comedia = comedia
        self.remote: Address | None = None
        self.connected = False
        self.srtp_parameters: SrtpParameters | None = None  # ours
        self._shared = shared
        if crypto_suite:
            _, size = suite(crypto_suite)
            self.srtp_parameters = SrtpParameters(crypto_suite, shared.rng.randbytes(size))
        if comedia:
            media.plane.admit_any(media.handle, socket, comedia=True)

    @property
    def id(self) -> str:
        """The transport's id."""
        return self.media.id

    def connect(self, host: str, port: int, srtp: SrtpParameters | None) -> None:
        """Learn the remote's address (unless comedia) and its key (if this transport is an SRTP one)."""
        if self.connected:
            raise WrongState(f"transport {self.id} is connected already; create another for another remote")
        remote = self._remote_address(host, port)
        profile = self._remote_profile(srtp)
        plane = self.media.plane
        if profile is not None and srtp is not None and self.srtp_parameters is not None:
            plane.set_keys(self.media.handle, profile, self.srtp_parameters.key, srtp.key)
        if remote is not None:
            plane.admit(self.media.handle, self.socket, remote)
            plane.set_remote(self.media.handle, self.socket, remote)
            self.remote = remote
        self.connected = True

    def learned(self, remote: Address) -> None:
        """The plane knows the comedia remote now, and sends to it."""
        self.remote = remote

    def next_timeout(self) -> int | None:
        """It has none."""
        return None

    def handle_timeout(self, now: int) -> None:
        """Nothing is ever due."""

    def drain(self, now: int) -> list[tuple[Path, bytes]]:
        """The plane says everything for it."""
        return []

    def close(self, reason: CloseReason, now: int) -> list[tuple[Path, bytes]]:
        """Take everything out of the plane and give the socket back."""
        if self.remote is not None and not self.comedia:
            self.media.plane.dismiss(self.socket, self.remote)
        self.media.close()
        self._shared.events.append(SocketReleased(self.media.lane, self.socket))
        self._shared.events.append(EntityClosed(EntityKind.TRANSPORT, self.id, reason))
        return []

    def dump(self) -> dict[str, object]:
        """For people and tools. No keys, no addresses."""
        return {
            **self.media.dump(),
            "type": "plain",
            "comedia": self.comedia,
            "connected": self.connected,
            "remoteKnown": self.remote is not None,
            "cryptoSuite": self.srtp_parameters.crypto_suite if self.srtp_parameters is not None else None,
        }

    def _remote_address(self, host: str, port: int) -> Address | None:
        if self.comedia:
            if host or port:
                raise InvalidArgument(f"transport {self.id} learns its remote (comedia): leave address and port empty")
            return None
        try:
            ip = ipaddress.ip_address(host)
        except ValueError:
            raise InvalidArgument(f"address: {host[:80]!r} is not an IP address") from None
        if ip.is_unspecified or ip.is_multicast or not 1 <= port <= 65535:
            raise InvalidArgument(f"address: {host} port {port} is not one that can be sent to")
        if ip.version == 6 and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        return Address("udp", str(ip), port)

    def _remote_profile(self, srtp: SrtpParameters | None) -> SrtpProfile | None:
        ours = self.srtp_parameters
        if ours is None:
            if srtp is not None:
                raise InvalidArgument(f"srtp_parameters: transport {self.id} was made without srtp_crypto_suite")
            return None
        if srtp is None:
            raise InvalidArgument(f"srtp_parameters: transport {self.id} needs the remote's {ours.crypto_suite} key")
        if srtp.crypto_suite != ours.crypto_suite:
            stated = srtp.crypto_suite[:40]
            raise InvalidArgument(f"srtp_parameters.crypto_suite: {stated!r}, but {self.id} speaks {ours.crypto_suite}")
        profile, size = suite(srtp.crypto_suite)
        if len(srtp.key) != size:
            raise InvalidArgument(f"srtp_parameters.key: has {len(srtp.key)} bytes, {srtp.crypto_suite} takes {size}")
        return profile


def suite(name: str) -> tuple[SrtpProfile, int]:
    """Profile, and bytes of key and salt, of a crypto suite. Raises Unsupported."""
    found = _SUITES.get(name)
    if found is None:
        raise Unsupported(f"srtp_crypto_suite: {name[:40]!r} is not one of {', '.join(_SUITES)}")
    return found
