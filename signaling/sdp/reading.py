"""Bytes of a stranger into an `Offer` or a `Fragment`, or an SdpError; nothing else, and within fixed bounds.

The grammar is RFC 8866 with the attributes of JSEP (RFC 9429). Attributes that mean nothing to a forwarding server are
skipped, malformed ones that do are refused, with the line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from signaling.sdp.attributes import MAX_SECTIONS, Draft, media_line, read_attribute
from signaling.sdp.model import Codec, Extension, Fragment, Offer, SdpError, Section, TransportDescription

MAX_BYTES = 64 * 1024
MAX_LINES = 2_000
MAX_LINE_LENGTH = 4_096  # characters

_PROTOCOLS = frozenset({"UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "TCP/DTLS/RTP/SAVPF", "TCP/DTLS/RTP/SAVP"})


def parse_untrusted(data: bytes | str) -> Offer:
    """Read an offer.

    Raises SdpError when it is malformed, too large, or can't be answered over one DTLS-SRTP transport: no ICE
    credentials, no fingerprint, no rtcp-mux, several sections that are not bundled.
    """
    session = Draft(line=0, kind="", port=0, protocol="", formats=())
    drafts: list[Draft] = []
    lines = _lines(data)
    number, first = next(lines, (0, ""))
    if first != "v=0":
        raise SdpError(number, "a description starts with v=0")
    for number, line in lines:
        if line[0] == "m":
            if len(drafts) == MAX_SECTIONS:
                raise SdpError(number, f"more than {MAX_SECTIONS} m= sections")
            drafts.append(media_line(number, line[2:]))
        elif line[0] == "a":
            read_attribute(drafts[-1] if drafts else session, number, line[2:])
    if not drafts:
        raise SdpError(0, "the description has no m= section")
    if session.ice_lite:
        raise SdpError(0, "the offerer is ICE-lite, as is this server: one side must be a full ICE agent")
    return _offer(session, drafts)


def parse_fragment_untrusted(data: bytes | str) -> Fragment:
    """Read the body of a trickle PATCH (application/trickle-ice-sdpfrag). Raises SdpError."""
    draft = Draft(line=0, kind="", port=0, protocol="", formats=())
    for number, line in _lines(data):
        if line[0] == "a":
            name = line[2:].partition(":")[0]
            if name in ("ice-ufrag", "ice-pwd", "candidate", "end-of-candidates"):
                read_attribute(draft, number, line[2:])
        elif line[0] == "m":
            media_line(number, line[2:])
        else:
            raise SdpError(number, "a fragment has only m= and a= lines")
    if draft.ufrag or draft.pwd:
        _check_credentials(0, draft.ufrag, draft.pwd)
    return Fragment(
        credentials=(draft.ufrag, draft.pwd) if draft.ufrag else None,
        candidates=tuple(draft.candidates),
        end_of_candidates=draft.end_of_candidates,
    )


# ---- lines ----


def _lines(data: bytes | str) -> Iterator[tuple[int, str]]:
    """(number from 1, line) of every line that is not empty."""
    if len(data) > MAX_BYTES:
        raise SdpError(0, f"the description is larger than {MAX_BYTES // 1024} KiB")
    if isinstance(data, bytes):
        try:
            data = data.decode()
        except UnicodeDecodeError:
            raise SdpError(0, "the description is not UTF-8") from None
    lines = data.split("\n")
    if len(lines) > MAX_LINES:
        raise SdpError(0, f"the description has more than {MAX_LINES} lines")
    for number, raw in enumerate(lines, 1):
        line = raw.removesuffix("\r")
        if not line:
            continue
        if len(line) > MAX_LINE_LENGTH:
            raise SdpError(number, f"the line is longer than {MAX_LINE_LENGTH} characters")
        if len(line) < 2 or line[1] != "=" or not line[0].islower() or not line[0].isascii():
            raise SdpError(number, "a line is one lower-case letter, =, and a value")
        if any(ord(char) < 0x20 and char != "\t" for char in line):
            raise SdpError(number, "the line has a control character")
        yield number, line


# ---- the whole ----


def _offer(session: Draft, drafts: list[Draft]) -> Offer:
    live = [draft for draft in drafts if draft.port or draft.bundle_only]
    if not live:
        raise SdpError(0, "every m= section is rejected (port 0)")
    mids = [draft.mid for draft in drafts if draft.mid]
    if len(set(mids)) != len(mids):
        raise SdpError(0, "two m= sections have the same mid")
    if unknown := [mid for mid in session.bundle if mid not in mids]:
        raise SdpError(0, f"BUNDLE names mid {unknown[0]!r}, which no section has")
    if len(live) > 1:
        for draft in live:
            if not draft.mid or draft.mid not in session.bundle:
                raise SdpError(
                    draft.line,
                    "this section is not in the BUNDLE group: offer all sections on one transport (max-bundle)",
                )
    for draft in live:
        _check_rtp(draft, session)
    # The offerer-tagged section: the first of the group that is not rejected (RFC 9143 section 7.2).
    order = {mid: place for place, mid in enumerate(session.bundle)}
    tagged = min(live, key=lambda draft: order.get(draft.mid, len(order)))
    return Offer(
        sections=tuple(_section(draft, session) for draft in drafts),
        bundle=session.bundle if live[0].mid in session.bundle else (),
        transport=_transport(tagged, session),
    )


def _check_rtp(draft: Draft, session: Draft) -> None:
    if draft.kind not in ("audio", "video"):
        return
    if draft.protocol not in _PROTOCOLS:
        raise SdpError(draft.line, "media must be offered as UDP/TLS/RTP/SAVPF (DTLS-SRTP)")
    if not (draft.rtcp_mux or session.rtcp_mux):
        raise SdpError(draft.line, "the section lacks a=rtcp-mux; RTCP on a port of its own is not supported")


def _transport(tagged: Draft, session: Draft) -> TransportDescription:
    ufrag, pwd = (tagged.ufrag, tagged.pwd) if tagged.ufrag else (session.ufrag, session.pwd)
    _check_credentials(tagged.line, ufrag, pwd)
    fingerprints = tagged.fingerprints or session.fingerprints
    if not fingerprints:
        raise SdpError(tagged.line, "no a=fingerprint with sha-256, sha-384 or sha-512: DTLS-SRTP needs one")
    setup = tagged.setup or session.setup or "actpass"
    if setup == "holdconn":
        raise SdpError(tagged.line, "a=setup:holdconn can't start a session; offer actpass")
    return TransportDescription(ufrag, pwd, tuple(fingerprints), setup)


def _check_credentials(number: int, ufrag: str, pwd: str) -> None:
    """RFC 8839 section 5.4: at least 4 and 22 characters."""
    if len(ufrag) < 4 or len(pwd) < 22:
        raise SdpError(number, "a=ice-ufrag (4 characters or more) or a=ice-pwd (22 or more) is missing or too short")


def _section(draft: Draft, session: Draft) -> Section:
    return Section(
        line=draft.line,
        kind=draft.kind,
        protocol=draft.protocol,
        formats=draft.formats,
        mid=draft.mid,
        direction=draft.direction or session.direction or "sendrecv",
        rejected=not (draft.port or draft.bundle_only),
        codecs=tuple(_codecs(draft)),
        extensions=_unique_extensions(draft, session),
        ssrcs=tuple(draft.ssrcs),
        groups=tuple(draft.groups),
        cname=draft.cname,
        msid=draft.msid,
        rids=tuple(draft.rids),
        simulcast_send=draft.simulcast_send,
        candidates=tuple(draft.candidates),
        extmap_allow_mixed=draft.extmap_allow_mixed or session.extmap_allow_mixed,
    )


def _codecs(draft: Draft) -> Iterable[Codec]:
    """In the order of the m= line, which is the offerer's preference. A format without rtpmap is skipped."""
    for text in dict.fromkeys(draft.formats):
        payload_type = int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else -1
        if payload_type not in draft.rtpmaps:
            continue
        name, clock_rate, channels = draft.rtpmaps[payload_type]
        feedback = (item for target, item in draft.feedback if target is None or target == payload_type)
        yield Codec(
            payload_type,
            name,
            clock_rate,
            channels,
            draft.fmtps.get(payload_type, {}),
            tuple(dict.fromkeys(feedback)),
        )


def _unique_extensions(draft: Draft, session: Draft) -> tuple[Extension, ...]:
    """The section's own first; of two with one id or one uri the first counts."""
    found: dict[int, Extension] = {}
    uris: set[str] = set()
    for extension in (*draft.extensions, *session.extensions):
        if extension.id not in found and extension.uri not in uris:
            found[extension.id] = extension
            uris.add(extension.uri)
    return tuple(found.values())
