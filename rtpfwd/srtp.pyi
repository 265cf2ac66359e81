"""The typed face of SRTP: the choice of a backend, and packets as bytes for benches and tests.

The plane uses the C functions of srtp.pxd.
"""

from typing import Literal, NamedTuple

from rtpfwd.params import SrtpProfile

BACKENDS: tuple[str, ...]
"""What set_backend takes: "auto" (native where the CPU can, else libsrtp), "native" and "libsrtp"."""

class Backend(NamedTuple):
    """Who protects the RTP and RTCP of one profile."""

    profile: SrtpProfile
    name: Literal["native", "libsrtp"]
    tier: str | None  # of rtpfwd.crypto.native.TIERS; None with libsrtp
    why: str  # the rest of a sentence: "chosen", "this CPU lacks …"

def set_backend(name: str) -> None:
    """For every SrtpPolicy made from now on. ValueError, and nothing changes: unknown, or not on this CPU."""

def backends(name: str | None = None) -> tuple[Backend, ...]:
    """What an SrtpPolicy made now would use, by profile; with `name`: after set_backend(name). ValueError like it."""

class SrtpError(Exception):
    """reason is "auth", "replay" or "failed"."""

    reason: str

class SrtpPolicy:
    profile: int
    inbound: bool
    backend: str  # Backend.name

    def __init__(
        self, profile: SrtpProfile, key: bytes, *, inbound: bool, backend: str | None = None, tier: str | None = None
    ) -> None:
        """`key` is the master key followed by the master salt: 30 bytes (CM) or 28 (GCM). ValueError otherwise.

        `backend` instead of the process's, and `tier` instead of the best, are for benches and tests; ValueError when
        this CPU has no such thing.
        """

class Session:
    """One SRTP session: every SSRC received, or the SSRCs sent, under one key."""

    def __init__(self, policy: SrtpPolicy) -> None: ...
    def protect(self, packet: bytes) -> bytes: ...
    def protect_rtcp(self, packet: bytes) -> bytes: ...
    def unprotect(self, packet: bytes) -> bytes:
        """SrtpError when the packet is not to be used."""

    def unprotect_rtcp(self, packet: bytes) -> bytes: ...
