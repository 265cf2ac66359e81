"""Answers and fragments: our side of an offer, from what the node said.

The numbers (payload types, header extension ids) are the offer's, the sections are the offer's in its order, and what
was not taken is rejected with port 0 (RFC 3264 section 6).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from protos import media_pb2 as pb
from signaling.sdp.model import Offer, Section
from signaling.sdp.parameters import parameter_text

_NOT_TOKEN = re.compile(r"[^0-9A-Za-z!#$%&'*+\-.^_`{|}~]")

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


@dataclass(frozen=True, slots=True)
class Answered:
    """What becomes of one section.

    `rtp`: what its offerer will send (`sends` False) or we send (`sends` True), in the offer's numbers. `rids`: the
    simulcast encodings that we take. `stream_id`: the MediaStream that our media belongs to when `rtp` names none.
    """

    rtp: pb.RtpParameters
    sends: bool
    rids: tuple[str, ...] = ()
    stream_id: str = "-"


def write_answer(
    offer: Offer,
    answered: Sequence[Answered | None],
    transport: pb.WebRtcTransportInfo,
    *,
    dtls_role: str,
    session_id: int,
) -> str:
    """The answer to an offer, one entry of `answered` per section; None rejects the section.

    `dtls_role` is our role, "client" or "server" (RFC 8842: active or passive). `session_id` is the number of the
    origin line, any below 2**62. At least one section is accepted. ICE-lite: our candidates are complete, and only the
    first accepted section of the bundle has them.
    """
    accepted = [section.mid for section, answer in zip(offer.sections, answered, strict=True) if answer is not None]
    order = [mid for mid in offer.bundle if mid in accepted] or accepted
    lines = ["v=0", f"o=- {session_id} 1 IN IP4 127.0.0.1", "s=-", "t=0 0"]
    if offer.bundle:
        lines.append("a=group:BUNDLE " + " ".join(order))
    if any(section.extmap_allow_mixed for section in offer.sections):
        lines.append("a=extmap-allow-mixed")
    lines += ["a=msid-semantic: WMS *", "a=ice-lite"]
    setup = "active" if dtls_role == "client" else "passive"
    for section, answer in zip(offer.sections, answered, strict=True):
        if answer is None:
            lines += _rejected(section)
            continue
        lines += _opening(section, answer)
        lines += _transport(transport, setup)
        if section.mid == order[0]:
            lines += _candidates(transport.ice_candidates)
        lines += _media(section, answer)
    return _joined(lines)


def write_fragment(offer: Offer, parameters: pb.IceParameters, candidates: Sequence[pb.IceCandidate]) -> str:
    """The answer to an ICE restart (RFC 9725 section 4.3.3): new credentials and the candidates that go with them."""
    section = next(section for section in offer.sections if not section.rejected)
    lines = ["a=ice-lite", f"m={section.kind} 9 {section.protocol} 0"]
    if section.mid:
        lines.append(f"a=mid:{section.mid}")
    lines += [f"a=ice-ufrag:{parameters.username_fragment}", f"a=ice-pwd:{parameters.password}"]
    lines += _candidates(candidates)
    return _joined(lines)


def _joined(lines: Sequence[str]) -> str:
    """Codec parameters, cname and msid come from other participants: none of them may end a line."""
    return "".join(_UNPRINTABLE.sub("-", line) + "\r\n" for line in lines)


def _rejected(section: Section) -> Iterator[str]:
    yield f"m={section.kind} 0 {section.protocol} {' '.join(section.formats[:1])}"
    yield "c=IN IP4 0.0.0.0"
    if section.mid:
        yield f"a=mid:{section.mid}"
    yield "a=inactive"


def _opening(section: Section, answer: Answered) -> Iterator[str]:
    payload_types = " ".join(str(codec.payload_type) for codec in answer.rtp.codecs)
    yield f"m={section.kind} 9 {section.protocol} {payload_types}"
    yield "c=IN IP4 0.0.0.0"
    yield "a=rtcp:9 IN IP4 0.0.0.0"
    if section.mid:
        yield f"a=mid:{section.mid}"
    yield "a=sendonly" if answer.sends else "a=recvonly"
    yield "a=rtcp-mux"
    yield "a=rtcp-rsize"


def _transport(transport: pb.WebRtcTransportInfo, setup: str) -> Iterator[str]:
    yield f"a=ice-ufrag:{transport.ice_parameters.username_fragment}"
    yield f"a=ice-pwd:{transport.ice_parameters.password}"
    yield "a=ice-options:trickle"
    for fingerprint in transport.dtls_parameters.fingerprints:
        yield f"a=fingerprint:{fingerprint.algorithm} {fingerprint.value}"
    yield f"a=setup:{setup}"


def _candidates(candidates: Sequence[pb.IceCandidate]) -> Iterator[str]:
    """UDP first: there are clients that look at the first candidate only."""
    for candidate in sorted(candidates, key=lambda c: c.protocol != "udp"):
        tcp = f" tcptype {candidate.tcp_type}" if candidate.tcp_type else ""
        yield (
            f"a=candidate:{candidate.foundation} 1 {candidate.protocol} {candidate.priority} {candidate.address} "
            f"{candidate.port} typ {candidate.type}{tcp}"
        )
    yield "a=end-of-candidates"


def _media(section: Section, answer: Answered) -> Iterator[str]:
    offered = {extension.id: extension for extension in section.extensions}
    for extension in answer.rtp.header_extensions:
        known = offered.get(extension.id)
        direction = "" if known is None or known.direction == "sendrecv" else _mirrored(known.direction)
        yield f"a=extmap:{extension.id}{direction} {extension.uri}"
    formats = {codec.payload_type: codec.parameters for codec in section.codecs}
    for codec in answer.rtp.codecs:
        # What we receive is as it was offered; what we send has its sender's parameters.
        settings = {key: parameter_text(value) for key, value in codec.parameters.items()}
        yield from _codec(codec, settings if answer.sends else formats.get(codec.payload_type, settings))
    if answer.sends:
        yield from _sources(answer)
    elif answer.rids:
        for rid in answer.rids:
            yield f"a=rid:{rid} recv"
        yield f"a=simulcast:recv {';'.join(answer.rids)}"


def _mirrored(direction: str) -> str:
    return {"sendonly": "/recvonly", "recvonly": "/sendonly"}.get(direction, "/inactive")


def _codec(codec: pb.RtpCodecParameters, settings: Mapping[str, str]) -> Iterator[str]:
    name = codec.mime_type.partition("/")[2]
    channels = f"/{codec.channels}" if codec.channels > 1 else ""
    yield f"a=rtpmap:{codec.payload_type} {name}/{codec.clock_rate}{channels}"
    if settings:
        text = ";".join(f"{key}={value}" if value else key for key, value in sorted(settings.items()))
        yield f"a=fmtp:{codec.payload_type} {text}"
    for feedback in codec.rtcp_feedback:
        yield f"a=rtcp-fb:{codec.payload_type} {feedback.type} {feedback.parameter}".rstrip()


def _sources(answer: Answered) -> Iterator[str]:
    """The stream that we send: which MediaStream it belongs to, its SSRCs, and which retransmits which (RFC 5576)."""
    rtp = answer.rtp
    stream, _, name = rtp.msid.partition(" ")
    yield f"a=msid:{_token(stream or answer.stream_id)} {_token(name or rtp.mid or 'media')}"
    for encoding in rtp.encodings:
        if not encoding.HasField("ssrc"):
            continue
        ssrcs = [encoding.ssrc]
        if encoding.HasField("rtx_ssrc"):
            ssrcs.append(encoding.rtx_ssrc)
            yield f"a=ssrc-group:FID {encoding.ssrc} {encoding.rtx_ssrc}"
        for ssrc in ssrcs:
            yield f"a=ssrc:{ssrc} cname:{rtp.rtcp.cname or answer.stream_id}"


def _token(text: str) -> str:
    return _NOT_TOKEN.sub("-", text)[:64] or "-"
