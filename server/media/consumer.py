"""Consumer: one producer leaving on one transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtpfwd.params import Handle
from server.media.errors import InvalidArgument
from server.rtc import uris
from server.rtc.parameters import RtpParameters

if TYPE_CHECKING:
    from server.media.producer import Producer
    from server.media.transport import Transport

DEFAULT_PRIORITY = 1
MOST_PIXELS = 32768  # of a tile's side
MOST_TEMPORAL = 7  # the highest temporal layer that any codec can name: means every one


@dataclass(frozen=True, slots=True)
class Tile:
    """How a viewer shows a consumer."""

    width: int = 0  # pixels; 0: not told
    height: int = 0
    hidden: bool = False


ANY_TILE = Tile()


class Consumer:
    """What the domain knows of one viewer's stream; the packets are the plane's. Made by `Transport.consume`.

    Its own pause, its producer's, and the hold of a path without room are separate: media flows when there is none of
    them, and each is remembered while the others change.
    """

    __slots__ = (
        "flowing",
        "handle",
        "held",
        "id",
        "paused",
        "playout_ms",
        "preferred",
        "priority",
        "producer",
        "rtp_parameters",
        "target",
        "tile",
        "transport",
    )

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
        self.preferred: tuple[int, int] | None = None  # the best (spatial, temporal) that the viewer wants; None: all
        self.tile = ANY_TILE
        self.held = False  # nothing is sent, for want of bandwidth
        self.target: tuple[int, int] | None = None  # what the plane was told last; None: nothing, so the best there is
        self.playout_ms = 0  # that the viewer is asked to keep frames back at least
        self.flowing: tuple[int, int] | None = None  # the layer that the plane sends now, as far as there are layers

    @property
    def producer_paused(self) -> bool:
        """Whether the other end of it is paused."""
        return self.producer.paused

    @property
    def layered(self) -> bool:
        """Whether there is anything to choose from."""
        return self.producer.kind == "video" and self.producer.type != "simple"

    @property
    def numbered(self) -> bool:
        """Whether its packets have transport-wide numbers, of which its viewer tells."""
        extensions = {extension.uri for extension in self.rtp_parameters.header_extensions}
        return uris.TRANSPORT_CC in extensions and self._is_told_by("transport-cc")

    @property
    def measured(self) -> bool:
        """Whether its viewer tells enough to estimate what the path carries."""
        return self.numbered or self._is_told_by("goog-remb")

    def _is_told_by(self, feedback: str) -> bool:
        return any(fb.type == feedback for codec in self.rtp_parameters.codecs for fb in codec.rtcp_feedback)

    @property
    def repaired(self) -> bool:
        """Whether its viewer asks for what it misses (NACK, RFC 4585)."""
        return any(
            fb.type == "nack" and not fb.parameter for codec in self.rtp_parameters.codecs for fb in codec.rtcp_feedback
        )

    def pause(self) -> None:
        """Stop sending to this viewer."""
        if not self.paused:
            if not self.held:
                self.transport.plane.pause_consumer(self.handle)
            self.paused = True

    def resume(self, now: int) -> None:
        """Send again, from a keyframe on. One that was not paused asks for a keyframe anew: its viewer starts over."""
        if self.paused:
            if not self.held:
                self.transport.plane.resume_consumer(self.handle, now)
            self.paused = False
        self.request_key_frame(now)

    def hold(self) -> bool:
        """Send nothing for now: there is no room. False when it is held already."""
        if self.held:
            return False
        if not self.paused:
            self.transport.plane.pause_consumer(self.handle)
        self.held = True
        return True

    def release(self, now: int) -> bool:
        """There is room again. Video begins with a keyframe. False when it was not held."""
        if not self.held:
            return False
        if not self.paused:
            self.transport.plane.resume_consumer(self.handle, now)
        self.held = False
        self.request_key_frame(now)
        return True

    def request_key_frame(self, now: int) -> None:
        """Ask the sender, merged with other viewers' requests. Audio has none; a paused one is not worth one."""
        if self.producer.kind == "video" and not (self.paused or self.held or self.producer.paused):
            self.transport.plane.request_keyframe(self.handle, now)

    def set_preferred_layers(self, spatial: int, temporal: int | None) -> None:
        """The best that the viewer wants; no temporal layer: every one. What is above all that there is means the best,
        as in mediasoup. A producer with a single layer has nothing to choose from: any wish is met."""
        if not self.layered:
            return
        book = self.producer.rates
        best = book.spatial_layers - 1, book.temporal_layers - 1
        spatial = min(spatial, best[0])
        if temporal is None or temporal >= best[1]:
            # A sender may turn out to have more temporal layers than it has said.
            self.preferred = (spatial, MOST_TEMPORAL)
        else:
            self.preferred = (spatial, temporal)

    def set_tile(self, width: int, height: int, *, hidden: bool) -> None:
        """How it is shown. Raises InvalidArgument."""
        for name, value in (("width", width), ("height", height)):
            if not 0 <= value <= MOST_PIXELS:
                raise InvalidArgument(f"{name}: {value} pixels is not in 0 … {MOST_PIXELS}; 0 where it is not known")
        self.tile = Tile(width, height, hidden)

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
            "held": self.held,
            "priority": self.priority,
            "preferredLayers": self.preferred,
            "targetLayers": self.target,
            "currentLayers": self.flowing,
            "tile": [self.tile.width, self.tile.height],
            "hidden": self.tile.hidden,
            "mid": self.rtp_parameters.mid,
            "ssrcs": [encoding.ssrc for encoding in self.rtp_parameters.encodings],
        }
