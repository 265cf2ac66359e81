"""Router: one call's part on one node. It fixes the codecs, and the lane that its transports prefer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.media.policies import Choice
from server.policy.decisions import DecisionLog
from server.policy.registry import Role
from server.rtc.parameters import RtpCapabilities

if TYPE_CHECKING:
    from server.media.core import Endpoint
    from server.media.producer import Producer


class Router:
    """Producers of one router can be consumed on its transports. Closed through MediaCore, with its transports."""

    def __init__(self, router_id: str, home: int, rtp_capabilities: RtpCapabilities) -> None:
        self.id = router_id
        self.home = home  # a lane: see placement.py
        self.rtp_capabilities = rtp_capabilities
        self.transports: dict[str, Endpoint] = {}  # by id
        self.producers: dict[str, Producer] = {}  # by id, of all its transports
        self.policies: dict[Role, Choice] = {}  # where it has others than the node's
        self.decisions = DecisionLog()

    def dump(self) -> dict[str, object]:
        """For people and tools: what it holds, by id."""
        return {
            "id": self.id,
            "home": self.home,
            "transportIds": list(self.transports),
            "producerIds": list(self.producers),
            "codecs": [codec.mime_type for codec in self.rtp_capabilities.codecs],
        }
