"""Who can be compared with, by name: how each is started, and what it needs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

from bench.compare import Contender
from bench.peers.janus import open_janus
from bench.peers.janus_config import HOW_TO_GET, find_modules
from bench.peers.mediasoup import check_installed, open_mediasoup
from bench.peers.missing import require_program
from bench.sightline_target import open_sightline

PEERS: Final = ("janus", "mediasoup")
TUNINGS: Final = ("both", "best", "default")


def check(peer: str) -> None:
    """Raises PeerMissing, saying how to get it, when something that this peer needs is not there."""
    if peer == "janus":
        find_modules(require_program("janus", HOW_TO_GET))
    else:
        check_installed(dict(os.environ))


def contenders(
    peer: str, tuning: str, *, address: str, cpus: Sequence[int], lanes: int, options: Mapping[str, str] | None
) -> tuple[Contender, ...]:
    """Ours, then the peer in its best tuning, then, where it has one and it is asked for, in its default.

    `lanes` and `options` are our node's. Viewers take no header extension but the MID, from whomever.
    """
    ours = Contender(
        "sightline",
        lambda: open_sightline(address=address, lanes=lanes, cpus=cpus, options=options, viewer_extensions="mid"),
    )
    if peer == "mediasoup":
        return ours, Contender("mediasoup", lambda: open_mediasoup(address=address, cpus=cpus))
    janus = {
        "best": Contender("janus", lambda: open_janus(address=address, tuning="best", cpus=cpus)),
        "default": Contender("janus, default", lambda: open_janus(address=address, tuning="default", cpus=cpus)),
    }
    return ours, *(janus.values() if tuning == "both" else (janus[tuning],))
