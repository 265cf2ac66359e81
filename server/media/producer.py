"""Producer: one source entering a router on a transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtpfwd.params import Handle
from server.media.dynacast import Dynacast
from server.media.layer_rates import RateBook
from server.rtc.ortc import ProducerType, RtpMapping
from server.rtc.parameters import MediaKind, RtpParameters

if TYPE_CHECKING:
    from rtpfwd.plane import Plane
    from server.media.consumer import Consumer
    from server.media.transport import Transport


@dataclass(frozen=True, slots=True)
class Mirror:
    """A producer as consumers on another lane than its own see it."""

    plane: Plane
    handle: Handle
    streams: int  # that it counts for on that lane


class Producer:
    """What the domain knows of one source; the packets are the plane's. Made by `Transport.produce`."""

    def __init__(
        self,
        producer_id: str,
        transport: Transport,
        kind: MediaKind,
        producer_type: ProducerType,
        rtp_parameters: RtpParameters,
        mapping: RtpMapping,
        consumable: RtpParameters,
        handle: Handle,
        now: int,
        *,
        paused: bool,
        screen: bool = False,
    ) -> None:
        self.id = producer_id
        self.transport = transport
        self.kind = kind
        self.type = producer_type  # "simple", "simulcast" or "svc"
        self.rtp_parameters = rtp_parameters  # as the sender numbers it
        self.mapping = mapping
        self.consumable = consumable  # as the router numbers it
        self.handle = handle
        self.paused = paused
        self.screen = screen  # a screen share
        self.rates = RateBook(producer_type, rtp_parameters.encodings, now, screen=screen)
        self.dynacast = Dynacast(len(rtp_parameters.encodings), now)
        self.consumers: dict[str, Consumer] = {}  # by id, on any transport of the router
        self.mirrors: dict[int, Mirror] = {}  # by lane: where it has viewers beside its own
        self.started_ssrcs: dict[int, int] = {}  # encoding index to the SSRC that was seen

    def pause(self) -> bool:
        """Stop forwarding to every consumer. False when it was paused already."""
        if self.paused:
            return False
        self.transport.plane.pause_producer(self.handle)
        for mirror in self.mirrors.values():
            mirror.plane.pause_producer(mirror.handle)
        self.paused = True
        return True

    def resume(self, now: int) -> bool:
        """Forward again; running video consumers ask for a keyframe. False when it was not paused."""
        if not self.paused:
            return False
        self.transport.plane.resume_producer(self.handle, now)
        for mirror in self.mirrors.values():
            mirror.plane.resume_producer(mirror.handle, now)
        self.paused = False
        return True

    def dump(self) -> dict[str, object]:
        """For people and tools."""
        return {
            "id": self.id,
            "transportId": self.transport.id,
            "kind": self.kind,
            "type": self.type,
            "paused": self.paused,
            "screen": self.screen,
            "encodingsWanted": list(self.dynacast.wanted),
            "mid": self.rtp_parameters.mid,
            "codecs": [codec.mime_type for codec in self.rtp_parameters.codecs],
            "encodings": len(self.rtp_parameters.encodings),
            "startedEncodings": sorted(self.started_ssrcs),
            "consumerIds": list(self.consumers),
            "mirroredOnLanes": sorted(self.mirrors),
        }
