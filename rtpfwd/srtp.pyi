"""The typed face of SRTP: for benches and tests. The plane uses the C functions of srtp.pxd."""

from rtpfwd.params import SrtpProfile

class SrtpError(Exception):
    """reason is "auth", "replay" or "failed"."""

    reason: str

class SrtpPolicy:
    profile: int
    inbound: bool

    def __init__(self, profile: SrtpProfile, key: bytes, *, inbound: bool) -> None:
        """`key` is the master key followed by the master salt: 30 bytes (CM) or 28 (GCM). ValueError otherwise."""

class Session:
    """One SRTP session: every SSRC received, or the SSRCs sent, under one key."""

    def __init__(self, policy: SrtpPolicy) -> None: ...
    def protect(self, packet: bytes) -> bytes: ...
    def protect_rtcp(self, packet: bytes) -> bytes: ...
    def unprotect(self, packet: bytes) -> bytes:
        """SrtpError when the packet is not to be used."""

    def unprotect_rtcp(self, packet: bytes) -> bytes: ...
