"""What Python tells the plane about transports, producers and consumers. Values only; frozen once made."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TypeAlias

# One remote end: ("udp" or "tcp", IP literal, port). Never an IPv4-mapped IPv6 literal.
Address: TypeAlias = tuple[str, str, int]

# A transport, producer or consumer of one plane. A stale one is refused, never reused within 2**16 removals.
Handle: TypeAlias = int


class SrtpProfile(enum.IntEnum):
    """DTLS-SRTP protection profiles, by their IANA numbers (RFC 5764 section 4.1.2, RFC 7714 section 14.2)."""

    AES128_CM_SHA1_80 = 0x0001  # 16-byte key, 14-byte salt
    AEAD_AES_128_GCM = 0x0007  # 16-byte key, 12-byte salt


@dataclass(frozen=True, slots=True)
class IceCheck:
    """What a check of a transport's remote says (RFC 8445 section 7.1) while nothing changes."""

    username: bytes  # of both sides, "ours:theirs"; 513 bytes at most
    password: bytes = field(repr=False)  # ours
    priority: int  # 32 bits
    may_nominate: bool  # with USE-CANDIDATE too, which then changes nothing either


@dataclass(frozen=True, slots=True)
class CodecParams:
    """One media codec as its sender numbers it."""

    payload_type: int
    mime_type: str  # lower case: "video/vp8"
    clock_rate: int  # Hz
    rtx_payload_type: int | None = None  # RFC 4588; None: no retransmission stream
    nack: bool = False  # generic NACK may be sent to this sender
    pli: bool = False
    fir: bool = False


@dataclass(frozen=True, slots=True)
class EncodingParams:
    """One encoding of a producer. Found by ssrc, else by MID and RID."""

    ssrc: int | None = None
    rid: str | None = None
    rtx_ssrc: int | None = None


@dataclass(frozen=True, slots=True)
class ProducerParams:
    """One media source entering on a transport."""

    kind: str  # "audio" or "video"
    codecs: tuple[CodecParams, ...]
    encodings: tuple[EncodingParams, ...]
    mid: str | None = None
    extensions: tuple[tuple[str, int], ...] = ()  # (uri, id) as the sender numbers them
    paused: bool = False
    cname: str = ""


@dataclass(frozen=True, slots=True)
class PayloadMapping:
    """How one payload type of the producer is renumbered for a consumer."""

    producer: int
    consumer: int
    consumer_rtx: int | None = None  # None: this consumer gets no retransmissions


@dataclass(frozen=True, slots=True)
class ConsumerParams:
    """One producer leaving on a transport."""

    ssrc: int
    payload_types: tuple[PayloadMapping, ...]
    rtx_ssrc: int | None = None
    mid: str = ""  # sent in the MID extension when extensions names it; at most 8 bytes
    extensions: tuple[tuple[str, int], ...] = ()  # (uri, id) as the viewer numbers them; others are stripped
    cname: str = ""
    paused: bool = False
    selector: str = "passthrough"


@dataclass(frozen=True, slots=True)
class CongestionParams:
    """Limits of the estimate of what a path carries. Bit/s, with IP and UDP headers."""

    start_bps: int = 600_000
    min_bps: int = 30_000
    max_bps: int = 100_000_000
    controller: str = "gcc"  # "gcc": the plane's own; "external": set_estimate alone decides
