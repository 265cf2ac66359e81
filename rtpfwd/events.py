"""What the plane tells Python. Few and bounded: never one per packet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from rtpfwd.params import Address, Handle


@dataclass(frozen=True, slots=True)
class StreamStarted:
    """The first packet of one encoding was received."""

    producer: Handle
    encoding: int  # index into ProducerParams.encodings
    ssrc: int


@dataclass(frozen=True, slots=True)
class RemoteLearned:
    """A comedia transport knows its remote now."""

    transport: Handle
    socket: int
    address: Address


PlaneEvent: TypeAlias = StreamStarted | RemoteLearned
