"""Consumer: one producer leaving on one transport."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtpfwd.params import Handle
from server.media.errors import InvalidArgument, Unsupported
from server.rtc.parameters import RtpParameters

if TYPE_CHECKING:
    from server.media.producer import Producer
    from server.media.transport import Transport

DEFAULT_PRIORITY = 1


class Consumer:
    """What the domain knows of one viewer's stream; the packets are the plane's. Made by `Transport.consume`.

    Its own pause and its producer's are separate: media flows when neither is paused, and each is remembered while the
    other changes.
    """

    def __init__(
        self,
        consumer_id: str,
        transport: Transport,
        producer: Producer,
        rtp_parameters: RtpParameters,
        handle: Handle,
        *,
        paused: bool,
    ) -> None:
        self.id = consumer_id
        self.transport = transport
        self.producer = producer
        self.rtp_parameters = rtp_parameters  # as the viewer is to number it
        self.handle = handle
        self.paused = paused
        self.priority = DEFAULT_PRIORITY  # 1 to 255: whom to serve first when bandwidth is short

    @property
    def producer_paused(self) -> bool:
        """Whether the other end of it is paused."""
        return self.producer.paused

    def pause(self) -> None:
        """Stop sending to this viewer."""
        if not self.paused:
            self.transport.plane.pause_consumer(self.handle)
            self.paused = True

    def resume(self, now: int) -> None:
        """Send again, from a keyframe on. One that was not paused asks for a keyframe anew: its viewer starts over."""
        if self.paused:
            self.transport.plane.resume_consumer(self.handle, now)
            self.paused = False
        self.request_key_frame(now)

    def request_key_frame(self, now: int) -> None:
        """Ask the sender, merged with other viewers' requests. Audio has none; a paused one is not worth one."""
        if self.producer.kind == "video" and not self.paused and not self.producer.paused:
            self.transport.plane.request_keyframe(self.handle, now)

    def set_preferred_layers(self, spatial: int, temporal: int | None) -> None:
        """Which layer the viewer asks for. A producer with a single layer has nothing to choose from: any wish is met.

        Raises Unsupported for several layers: no selector chooses between them yet.
        """
        if self.producer.type != "simple":
            raise Unsupported(
                f"consumer {self.id}: layer {spatial}/{temporal} of a {self.producer.type} producer can't be chosen: "
                "this node forwards without layer selection"
            )

    def set_priority(self, priority: int) -> None:
        """1 to 255. Raises InvalidArgument."""
        if not 1 <= priority <= 255:
            raise InvalidArgument(f"priority: {priority} is not in 1 … 255")
        self.priority = priority

    def dump(self) -> dict[str, object]:
        """For people and tools."""
        return {
            "id": self.id,
            "transportId": self.transport.id,
            "producerId": self.producer.id,
            "kind": self.producer.kind,
            "paused": self.paused,
            "producerPaused": self.producer_paused,
            "priority": self.priority,
            "mid": self.rtp_parameters.mid,
            "ssrcs": [encoding.ssrc for encoding in self.rtp_parameters.encodings],
        }
