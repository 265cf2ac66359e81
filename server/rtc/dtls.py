"""DTLS 1.2 as WebRTC uses it: mutual authentication by fingerprint, keys for SRTP (RFC 6347, RFC 5763, RFC 5764)."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final

PROFILE_AES128_CM_SHA1_80: Final = 0x0001
PROFILE_AEAD_AES_128_GCM: Final = 0x0007


class DtlsState(enum.Enum):
    """FAILED and CLOSED are final."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    FAILED = "failed"
    CLOSED = "closed"


class DtlsRole(enum.Enum):
    """CLIENT speaks first (`a=setup:active`), SERVER waits (`a=setup:passive`)."""

    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """The master key followed by the master salt of each direction (RFC 5764 section 4.2)."""

    profile: int  # the IANA number: PROFILE_AEAD_AES_128_GCM or PROFILE_AES128_CM_SHA1_80
    send: bytes = field(repr=False)
    recv: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DtlsConnected:
    """The peer is who the fingerprint says."""

    keys: SrtpKeys


@dataclass(frozen=True, slots=True)
class DtlsFailed:
    """`reason` is a short constant: fingerprint-mismatch, no-use-srtp, timeout, alert-…, protocol-error."""

    reason: str


@dataclass(frozen=True, slots=True)
class DtlsClosed:
    """The peer said close_notify, or we did."""


DtlsEvent = DtlsConnected | DtlsFailed | DtlsClosed
