"""Everything that a stranger, or a front gone wrong, could otherwise make grow in the domain."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """Counts per node where nothing else is said."""

    max_routers: int = 2048
    max_transports: int = 4096
    max_streams: int = 65536  # per lane: encodings received plus streams sent, each with its retransmissions
    max_producers_per_transport: int = 64
    max_ssrcs_per_transport: int = 1024  # signalled over its whole life: SRTP keeps the state of every one
    max_consumers_per_transport: int = 1024
    max_plain_transports: int = 512  # per lane: each takes a socket, and so an open file
    max_paths_per_transport: int = 8  # addresses that one remote may have validated at the same time
