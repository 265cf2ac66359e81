"""The remote end of a path."""

from __future__ import annotations

from typing import NamedTuple


class Address(NamedTuple):
    """Structurally rtpfwd's Address. One TCP connection has one remote port, so this names it too."""

    protocol: str  # "udp" or "tcp"
    host: str  # IP literal, never IPv4-mapped IPv6
    port: int
