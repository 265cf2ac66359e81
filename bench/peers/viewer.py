"""What a viewer of a comparison takes."""

from __future__ import annotations

from server.rtc import uris
from server.rtc.capabilities import router_capabilities
from server.rtc.parameters import RtpCapabilities


def viewer_capabilities() -> RtpCapabilities:
    """Every codec, with retransmission, and of the header extensions only the MID.

    Every further extension would be work for the peer, and none of them says anything to a bench. The numbers are those
    of a router of ours, which are mediasoup's too.
    """
    everything = router_capabilities()
    wanted = tuple(extension for extension in everything.header_extensions if extension.uri == uris.MID)
    return RtpCapabilities(codecs=everything.codecs, header_extensions=wanted)
