"""What kind of datagram is it? Its first byte says (RFC 7983); RTP and RTCP differ in the second (RFC 5761)."""

from __future__ import annotations

import enum


class Kind(enum.Enum):
    """The protocols that share one transport address."""

    STUN = "stun"
    ZRTP = "zrtp"
    DTLS = "dtls"
    TURN_CHANNEL = "turn-channel"
    RTP = "rtp"
    RTCP = "rtcp"
    UNKNOWN = "unknown"


# The sizes of the fixed headers: a shorter datagram cannot be what its first byte claims.
_STUN_HEADER = 20
_DTLS_HEADER = 13
_RTP_HEADER = 12
_RTCP_HEADER = 8


def classify(datagram: bytes) -> Kind:
    """Any bytes at all; never raises. Only the kind is claimed, not that the rest is well formed."""
    if not datagram:
        return Kind.UNKNOWN
    first = datagram[0]
    size = len(datagram)
    if 128 <= first <= 191:
        # RFC 5761 section 4: RTP does not use payload types 64 to 95 here, so a second byte that would be one of
        # them with the marker bit set is an RTCP packet type.
        if size >= 2 and 192 <= datagram[1] <= 223:
            return Kind.RTCP if size >= _RTCP_HEADER else Kind.UNKNOWN
        return Kind.RTP if size >= _RTP_HEADER else Kind.UNKNOWN
    if 20 <= first <= 63:
        return Kind.DTLS if size >= _DTLS_HEADER else Kind.UNKNOWN
    if first <= 3:
        return Kind.STUN if size >= _STUN_HEADER else Kind.UNKNOWN
    if 16 <= first <= 19:
        return Kind.ZRTP
    if 64 <= first <= 79:
        return Kind.TURN_CHANNEL
    return Kind.UNKNOWN
