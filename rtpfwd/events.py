"""What the plane tells Python. Few and bounded: never one per packet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

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


@dataclass(frozen=True, slots=True)
class CongestionFigures:
    """What is known of the path to a remote. Rates in bit/s with IP and UDP headers."""

    estimate_bps: int  # the least of those that are known
    delay_bps: int
    loss_bps: int
    remb_bps: int  # 0: the remote sent no REMB
    acked_bps: int  # what arrived lately; 0: unknown
    pacing_bps: int
    rtt_ms: float  # 0: unknown
    loss: float  # 0 to 1
    inherent_loss: float  # 0 to 1, what the path loses whatever is sent
    trend: float  # ms of queue per ms
    usage: int  # -1: the queue drains, 0: it stays, 1: it grows
    cause: str  # start, hold, increase, overuse, loss, probe, remb, silence, set
    queued_bytes: int  # in the pacer
    queued_ms: float  # how long they take


@dataclass(frozen=True, slots=True)
class EstimateChanged:
    """The estimate moved by 5 % or more since the last event, or its cause changed. At most one in 50 ms, but never a
    drop that waits."""

    transport: Handle
    at: int  # monotonic ns
    figures: CongestionFigures


@dataclass(frozen=True, slots=True)
class FeedbackReceived:
    """One transport-wide feedback message, for a controller outside. Only where watch_feedback is on."""

    transport: Handle
    at: int  # monotonic ns
    # In order of sending: (sent, ns of our clock; arrived, ns of the viewer's clock, None when lost; bytes with IP and
    # UDP headers; number of the probe that it belongs to, 0 when none).
    packets: tuple[tuple[int, int | None, int, int], ...]


@dataclass(frozen=True, slots=True)
class LayersChanged:
    """Another layer flows to a consumer now; -1: none, or the payload names none."""

    consumer: Handle
    at: int  # monotonic ns
    spatial: int
    temporal: int


@dataclass(frozen=True, slots=True)
class KeyframeAsked:
    """A keyframe request went out to the sender."""

    producer: Handle
    at: int  # monotonic ns
    encoding: int


PlaneEvent: TypeAlias = (
    StreamStarted | RemoteLearned | EstimateChanged | FeedbackReceived | LayersChanged | KeyframeAsked
)


class LayerRate(NamedTuple):
    """One layer by itself, without those below."""

    spatial: int
    temporal: int
    bps: int  # RTP bytes
    frames_per_second: float


class AudioLevel(NamedTuple):
    """RFC 6464."""

    producer: Handle
    level: int  # -dBov: 0 is the loudest, 127 silence; the loudest since the last call
    voice: bool  # some packet had the V bit
