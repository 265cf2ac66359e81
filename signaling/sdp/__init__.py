"""SDP (RFC 8866) as WHIP and WHEP need it: read a stranger's offer, turn it into ORTC terms, write the answer.

Nothing else in the project knows SDP. The parts, in the order in which an offer passes them:

- `model`: what an offer says, as frozen values, and SdpError;
- `reading`: `parse_untrusted`, bytes to `Offer`, and `parse_fragment_untrusted`, bytes to `Fragment` (RFC 8840);
- `parameters`: an offer's section as RtpParameters to produce with, or as RtpCapabilities to consume with;
- `writing`: `write_answer` and `write_fragment`.
"""

from __future__ import annotations

from signaling.sdp.model import Candidate, Fragment, Offer, SdpError, Section
from signaling.sdp.parameters import consume_capabilities, produce_parameters, simulcast_rids
from signaling.sdp.reading import parse_fragment_untrusted, parse_untrusted
from signaling.sdp.writing import Answered, write_answer, write_fragment

__all__ = [
    "Answered",
    "Candidate",
    "Fragment",
    "Offer",
    "SdpError",
    "Section",
    "consume_capabilities",
    "parse_fragment_untrusted",
    "parse_untrusted",
    "produce_parameters",
    "simulcast_rids",
    "write_answer",
    "write_fragment",
]
