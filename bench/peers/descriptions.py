"""SDP (RFC 8866) between a bench and a peer that speaks it: our publisher's offer, its answer, its offer, our answer.

Reading, and answering, are signaling.sdp's. It is made for an ICE-lite server facing strangers, so two things are
done here: a publisher's offer is written, and the a=ice-lite of a peer that is lite too, which that reader refuses and
that writer would claim for us, is taken out. Our side is a full ICE agent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from bench.errors import BenchError
from bench.peers.viewer import viewer_capabilities
from bench.target import LocalEnd, ServerEnd
from protos import media_pb2 as pb
from server.control import convert
from server.errors import LocalError
from server.rtc.certificate import Fingerprint
from server.rtc.parameters import RtpCodecParameters, RtpEncodingParameters, RtpParameters
from signaling.sdp import Answered, Offer, SdpError, parse_untrusted, produce_parameters, write_answer

_CANDIDATE_PRIORITY: Final = 2130706431  # RFC 8445 section 5.1.2.1: a host candidate, the only one
_SESSION_ID: Final = 1


def read_description(sdp: str) -> Offer:
    """What a peer offers or answers. BenchError when it makes no sense to us."""
    try:
        return parse_untrusted(_without_lite(sdp))
    except SdpError as error:
        raise BenchError(f"the server's session description can't be used: {error}") from error


def server_end(description: Offer) -> ServerEnd:
    """Where the peer is reached: its first UDP candidate."""
    transport = description.transport
    found = [
        candidate
        for section in description.sections
        for candidate in section.candidates
        if candidate.protocol == "udp" and candidate.component == 1
    ]
    if not found:
        raise BenchError(
            "the server's session description has no UDP candidate: it ignores loopback addresses, perhaps"
        )
    theirs = transport.fingerprints[0]
    try:
        fingerprint = Fingerprint(theirs.algorithm, theirs.value)
    except LocalError as error:
        raise BenchError(f"the server's certificate can't be checked: {error}") from error
    return ServerEnd(found[0].address, found[0].port, transport.ufrag, transport.pwd, fingerprint)


# ---- a publisher ----


def write_offer(local: LocalEnd, media: Sequence[tuple[str, RtpParameters]]) -> str:
    """The offer of one publisher, one section for each ("audio" or "video", parameters), on one transport.

    It says a=setup:active, against the custom of offering actpass, so that our side is the DTLS client and picks the
    SRTP profile.
    """
    mids = [parameters.mid or str(place) for place, (_, parameters) in enumerate(media)]
    lines = [*_opening(), f"a=group:BUNDLE {' '.join(mids)}"]
    for mid, (kind, parameters) in zip(mids, media, strict=True):
        formats = " ".join(str(codec.payload_type) for codec in parameters.codecs)
        lines += [f"m={kind} 9 UDP/TLS/RTP/SAVPF {formats}", f"c=IN IP4 {local.address}", f"a=mid:{mid}", "a=sendonly"]
        lines += ["a=rtcp-mux", "a=rtcp-rsize", *_transport(local)]
        lines += [f"a=extmap:{extension.id} {extension.uri}" for extension in parameters.header_extensions]
        for codec in parameters.codecs:
            lines += _codec(codec)
        lines += _encodings(parameters, stream=mid)
    return "".join(f"{line}\r\n" for line in lines)


def _opening() -> list[str]:
    return ["v=0", f"o=- {_SESSION_ID} 1 IN IP4 127.0.0.1", "s=-", "t=0 0"]


def _transport(local: LocalEnd) -> Iterator[str]:
    yield f"a=ice-ufrag:{local.username_fragment}"
    yield f"a=ice-pwd:{local.password}"
    yield f"a=fingerprint:{local.fingerprint.algorithm} {local.fingerprint.value}"
    yield "a=setup:active"
    yield f"a=candidate:1 1 udp {_CANDIDATE_PRIORITY} {local.address} {local.port} typ host"
    yield "a=end-of-candidates"


def _codec(codec: RtpCodecParameters) -> Iterator[str]:
    name = codec.mime_type.partition("/")[2]
    channels = f"/{codec.channels}" if (codec.channels or 1) > 1 else ""
    yield f"a=rtpmap:{codec.payload_type} {name}/{codec.clock_rate}{channels}"
    if codec.parameters:
        settings = ";".join(f"{key}={value}" for key, value in codec.parameters.items())
        yield f"a=fmtp:{codec.payload_type} {settings}"
    for feedback in codec.rtcp_feedback:
        yield f"a=rtcp-fb:{codec.payload_type} {feedback.type} {feedback.parameter}".rstrip()


def _encodings(parameters: RtpParameters, *, stream: str) -> Iterator[str]:
    """Simulcast by RID, highest first (RFC 8853 section 5.2), or by SSRC, lowest first; or one stream."""
    encodings = parameters.encodings
    yield f"a=msid:{stream} {stream}"
    rids = [encoding.rid for encoding in encodings if encoding.rid]
    if len(encodings) > 1 and len(rids) == len(encodings):
        for rid in reversed(rids):
            yield f"a=rid:{rid} send"
        yield f"a=simulcast:send {';'.join(reversed(rids))}"
        return
    known = [encoding.ssrc for encoding in encodings if encoding.ssrc is not None]
    if len(known) > 1:
        yield f"a=ssrc-group:SIM {' '.join(map(str, known))}"
    for encoding in encodings:
        yield from _sources(encoding, parameters.rtcp.cname or "bench")


def _sources(encoding: RtpEncodingParameters, cname: str) -> Iterator[str]:
    if encoding.ssrc is None:
        return
    ssrcs = [encoding.ssrc]
    if encoding.rtx is not None:
        ssrcs.append(encoding.rtx.ssrc)
        yield f"a=ssrc-group:FID {encoding.ssrc} {encoding.rtx.ssrc}"
    for ssrc in ssrcs:
        yield f"a=ssrc:{ssrc} cname:{cname}"


# ---- a viewer ----


def answer_offer(local: LocalEnd, offer: Offer) -> tuple[str, Mapping[str, RtpParameters]]:
    """Take all media that a peer offers a viewer. Answers the SDP, and what will come by the mid of its section."""
    capabilities = convert.rtp_capabilities_to_pb(viewer_capabilities())
    answered: list[Answered | None] = []
    streams: dict[str, RtpParameters] = {}
    for section in offer.sections:
        coming = produce_parameters(section, capabilities) if section.sends else None
        if coming is None:
            answered.append(None)
            continue
        streams[section.mid] = convert.rtp_parameters_from_pb(coming)
        answered.append(Answered(rtp=coming, sends=False))
    if not streams:
        raise BenchError("the server offers a viewer no media that can be received")
    transport = pb.WebRtcTransportInfo(
        ice_parameters=pb.IceParameters(username_fragment=local.username_fragment, password=local.password),
        ice_candidates=[
            pb.IceCandidate(
                foundation="1",
                priority=_CANDIDATE_PRIORITY,
                address=local.address,
                protocol="udp",
                port=local.port,
                type="host",
            )
        ],
        dtls_parameters=pb.DtlsParameters(
            fingerprints=[pb.DtlsFingerprint(algorithm=local.fingerprint.algorithm, value=local.fingerprint.value)]
        ),
    )
    sdp = write_answer(offer, answered, transport, dtls_role="client", session_id=_SESSION_ID)
    return _without_lite(sdp), streams


def _without_lite(sdp: str) -> str:
    return "".join(line for line in sdp.splitlines(keepends=True) if line.strip() != "a=ice-lite")
