"""What an offer says, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias


class SdpError(ValueError):
    """An SDP that can't be used. Says on which line (0: the description as a whole) and what is wrong with it."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}" if line else reason)
        self.line = line
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """RFC 8122: the hash of the certificate that the party will show in DTLS."""

    algorithm: str  # lower case: "sha-256"
    value: str  # upper-case hex pairs with colons


@dataclass(frozen=True, slots=True)
class Candidate:
    """RFC 8839 section 5.1. The address may be a name (mDNS); as an ICE-lite agent we never resolve or call one."""

    foundation: str
    component: int
    protocol: str  # lower case: "udp" or "tcp"
    priority: int
    address: str
    port: int
    type: str
    tcp_type: str = ""


@dataclass(frozen=True, slots=True)
class Codec:
    """One payload type: its a=rtpmap, a=fmtp and a=rtcp-fb lines."""

    payload_type: int
    name: str  # as written: "VP8"
    clock_rate: int  # Hz
    channels: int = 1
    parameters: Mapping[str, str] = field(default_factory=dict)
    feedback: tuple[tuple[str, str], ...] = ()  # ("nack", "pli")


@dataclass(frozen=True, slots=True)
class Extension:
    """RFC 8285: a header extension and its local number."""

    id: int
    uri: str
    direction: str = "sendrecv"


@dataclass(frozen=True, slots=True)
class Rid:
    """RFC 8851: one restriction identifier; no payload types means all of the section's."""

    id: str
    direction: str  # "send" or "recv"
    payload_types: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class TransportDescription:
    """How one party's end is reached and known: ICE credentials, certificate, DTLS role."""

    ufrag: str
    pwd: str
    fingerprints: tuple[Fingerprint, ...]
    setup: str  # "actpass", "active" or "passive" (RFC 8842)


@dataclass(frozen=True, slots=True)
class Section:
    """One m= section of an offer."""

    line: int  # of its m= line
    kind: str  # "audio", "video", "application", …
    protocol: str
    formats: tuple[str, ...]
    mid: str  # empty only in an offer of one section
    direction: str  # from the offerer's side
    rejected: bool  # port 0 and not bundle-only: the offerer doesn't want it
    codecs: tuple[Codec, ...] = ()
    extensions: tuple[Extension, ...] = ()
    ssrcs: tuple[int, ...] = ()
    groups: tuple[tuple[str, tuple[int, ...]], ...] = ()  # ("FID", (1, 2))
    cname: str = ""
    msid: str = ""
    rids: tuple[Rid, ...] = ()
    simulcast_send: tuple[str, ...] = ()  # the first alternative of each stream
    candidates: tuple[Candidate, ...] = ()
    extmap_allow_mixed: bool = False

    @property
    def sends(self) -> bool:
        """Whether the offerer means to send media on it."""
        return not self.rejected and self.direction in ("sendonly", "sendrecv")

    @property
    def receives(self) -> bool:
        """Whether the offerer means to receive media on it."""
        return not self.rejected and self.direction in ("recvonly", "sendrecv")


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer that can be answered: every section that is not rejected shares one transport (BUNDLE, RFC 9143)."""

    sections: tuple[Section, ...]
    bundle: tuple[str, ...]  # mids; empty only in an offer of one section
    transport: TransportDescription


# The two credentials of an ICE session, and what a fragment may carry of them.
Credentials: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Fragment:
    """The body of a PATCH (RFC 8840 section 9): candidates that came late, or the credentials of an ICE restart."""

    credentials: Credentials | None
    candidates: tuple[Candidate, ...]
    end_of_candidates: bool
