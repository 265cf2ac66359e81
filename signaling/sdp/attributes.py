"""The a= and m= lines that mean something to a forwarding server, each into the draft of its section.

Everything read here is bounded and checked, so that it may be written into an answer as it is. What is malformed raises
SdpError with its line; attributes without a reader are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from signaling.sdp.model import Candidate, Extension, Fingerprint, Rid, SdpError

MAX_SECTIONS = 16
MAX_PER_SECTION = 128  # of any one repeated thing: formats, extensions, ssrcs, candidates, …

_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_SETUPS = ("actpass", "active", "passive", "holdconn")
# Hashes that may vouch for a certificate, and their length in bytes. Weaker ones are skipped (RFC 8122 section 5).
_HASHES = {"sha-256": 32, "sha-384": 48, "sha-512": 64}

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`{|}~0-9A-Za-z]+")
_ICE_CHARS = re.compile(r"[A-Za-z0-9+/\-_=]+")  # ice-char of RFC 8839, and two that libraries use all the same
_RID = re.compile(r"[A-Za-z0-9_-]{1,16}")  # 16 is what a one-byte header extension carries, of a mid too
_HEX_PAIRS = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2})*")
_PRINTABLE = re.compile(r"[\x20-\x7e]+")
_VISIBLE = re.compile(r"[\x21-\x7e]+")

T = TypeVar("T")


@dataclass(slots=True)
class Draft:
    """A section (or the part above all sections) while its lines are read."""

    line: int
    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    mid: str = ""
    direction: str = ""
    bundle: tuple[str, ...] = ()
    bundle_only: bool = False
    rtcp_mux: bool = False
    ice_lite: bool = False
    extmap_allow_mixed: bool = False
    ufrag: str = ""
    pwd: str = ""
    setup: str = ""
    fingerprints: list[Fingerprint] = field(default_factory=list)
    rtpmaps: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    fmtps: dict[int, dict[str, str]] = field(default_factory=dict)
    feedback: list[tuple[int | None, tuple[str, str]]] = field(default_factory=list)  # None: every payload type
    extensions: list[Extension] = field(default_factory=list)
    ssrcs: list[int] = field(default_factory=list)
    groups: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    cname: str = ""
    msid: str = ""
    rids: list[Rid] = field(default_factory=list)
    simulcast_send: tuple[str, ...] = ()
    candidates: list[Candidate] = field(default_factory=list)
    end_of_candidates: bool = False


def media_line(number: int, value: str) -> Draft:
    """m=<kind> <port>[/<count>] <protocol> <format> …"""
    kind, port, protocol, *formats = _words(number, value, 4, "m=")
    if not (_TOKEN.fullmatch(kind) and all(_TOKEN.fullmatch(word) for word in [*protocol.split("/"), *formats])):
        raise SdpError(number, "m= has a character that is not allowed there")
    if len(formats) > MAX_PER_SECTION:
        raise SdpError(number, f"m= names more than {MAX_PER_SECTION} formats")
    return Draft(number, kind, _number(number, port.partition("/")[0], 65_535, "port"), protocol, tuple(formats))


def read_attribute(draft: Draft, number: int, text: str) -> None:
    """One a= line, without its `a=`."""
    name, _, value = text.partition(":")
    if name in _DIRECTIONS:
        draft.direction = name
        return
    read = _READERS.get(name)
    if read is not None:
        read(draft, number, value.strip())


def _words(number: int, value: str, least: int, what: str) -> list[str]:
    words = value.split()
    if len(words) < least:
        raise SdpError(number, f"{what} needs {least} fields, has {len(words)}")
    return words


def _number(number: int, text: str, most: int, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20) or int(text) > most:
        raise SdpError(number, f"{what} is not a number from 0 to {most}")
    return int(text)


def _matching(number: int, text: str, pattern: re.Pattern[str], longest: int, what: str) -> str:
    if len(text) > longest or not pattern.fullmatch(text):
        raise SdpError(number, f"{what} is empty, longer than {longest} characters, or has one that is not allowed")
    return text


def _append(number: int, items: list[T], item: T, what: str) -> None:
    if len(items) == MAX_PER_SECTION:
        raise SdpError(number, f"more than {MAX_PER_SECTION} {what} in one section")
    items.append(item)


def _payload_type(number: int, text: str) -> int:
    return _number(number, text, 127, "payload type")


def _group(draft: Draft, number: int, value: str) -> None:
    semantics, *mids = value.split() or [""]
    if semantics == "BUNDLE" and not draft.bundle:
        if len(mids) > MAX_SECTIONS or len(set(mids)) != len(mids):
            raise SdpError(number, "BUNDLE names a section twice, or too many")
        draft.bundle = tuple(mids)


def _mid(draft: Draft, number: int, value: str) -> None:
    draft.mid = _matching(number, value, _TOKEN, 16, "mid")


def _bundle_only(draft: Draft, number: int, value: str) -> None:
    draft.bundle_only = True


def _rtcp_mux(draft: Draft, number: int, value: str) -> None:
    draft.rtcp_mux = True


def _allow_mixed(draft: Draft, number: int, value: str) -> None:
    draft.extmap_allow_mixed = True


def _ice_lite(draft: Draft, number: int, value: str) -> None:
    draft.ice_lite = True


def _ufrag(draft: Draft, number: int, value: str) -> None:
    draft.ufrag = _matching(number, value, _ICE_CHARS, 256, "ice-ufrag")


def _pwd(draft: Draft, number: int, value: str) -> None:
    draft.pwd = _matching(number, value, _ICE_CHARS, 256, "ice-pwd")


def _setup(draft: Draft, number: int, value: str) -> None:
    if value not in _SETUPS:
        raise SdpError(number, "setup is none of " + ", ".join(_SETUPS))
    draft.setup = value


def _fingerprint(draft: Draft, number: int, value: str) -> None:
    algorithm, digest, *_ = _words(number, value, 2, "fingerprint")
    algorithm = algorithm.lower()
    length = _HASHES.get(algorithm)
    if length is None:
        return
    if len(digest) != 3 * length - 1 or not _HEX_PAIRS.fullmatch(digest):
        raise SdpError(number, f"a {algorithm} fingerprint is {length} hex pairs with colons between them")
    _append(number, draft.fingerprints, Fingerprint(algorithm, digest.upper()), "fingerprints")


def _rtpmap(draft: Draft, number: int, value: str) -> None:
    payload_type, encoding, *_ = _words(number, value, 2, "rtpmap")
    name, rate, channels = (*encoding.split("/"), "", "")[:3]
    draft.rtpmaps[_payload_type(number, payload_type)] = (
        _matching(number, name, _TOKEN, 64, "codec name"),
        _number(number, rate, 1_000_000, "clock rate"),
        _number(number, channels, 255, "channels") if channels else 1,
    )


def _fmtp(draft: Draft, number: int, value: str) -> None:
    payload_type, _, text = value.partition(" ")
    if not payload_type.isdigit():
        return  # The format of a data channel.
    parameters = draft.fmtps.setdefault(_payload_type(number, payload_type), {})
    for item in text.split(";"):
        key, _, setting = (part.strip() for part in item.partition("="))
        if key:
            if not _PRINTABLE.fullmatch(key + setting):
                raise SdpError(number, "fmtp has a character that is not printable ASCII")
            parameters[key.lower()] = setting
    if len(parameters) > MAX_PER_SECTION:
        raise SdpError(number, f"more than {MAX_PER_SECTION} parameters of one format")


def _rtcp_fb(draft: Draft, number: int, value: str) -> None:
    target, kind, *parameter = _words(number, value, 2, "rtcp-fb")
    for word in (kind, *parameter):
        _matching(number, word, _TOKEN, 64, "rtcp-fb")
    item = (None if target == "*" else _payload_type(number, target), (kind, " ".join(parameter)))
    if len(draft.feedback) == 8 * MAX_PER_SECTION:
        raise SdpError(number, f"more than {8 * MAX_PER_SECTION} rtcp-fb in one section")
    draft.feedback.append(item)


def _extmap(draft: Draft, number: int, value: str) -> None:
    where, uri, *_ = _words(number, value, 2, "extmap")
    id_text, slash, direction = where.partition("/")
    if slash and direction not in _DIRECTIONS:
        raise SdpError(number, "extmap's direction is none of " + ", ".join(_DIRECTIONS))
    ext_id = _number(number, id_text, 4_351, "extmap id")
    if not 1 <= ext_id <= 255:
        return  # 15 and up to 255 need two-byte headers; from 4096 on it is a proposal to be renumbered (RFC 8285).
    _matching(number, uri, _VISIBLE, 256, "extmap uri")
    _append(number, draft.extensions, Extension(ext_id, uri, direction or "sendrecv"), "extmap")


def _ssrc(draft: Draft, number: int, value: str) -> None:
    ssrc_text, _, attribute = value.partition(" ")
    ssrc = _number(number, ssrc_text, 0xFFFFFFFF, "ssrc")
    if ssrc not in draft.ssrcs:
        _append(number, draft.ssrcs, ssrc, "ssrc")
    name, _, setting = attribute.strip().partition(":")
    if name == "cname" and setting and not draft.cname:
        draft.cname = _matching(number, setting.strip(), _VISIBLE, 255, "cname")
    elif name == "msid" and setting and not draft.msid:
        _msid(draft, number, setting)


def _ssrc_group(draft: Draft, number: int, value: str) -> None:
    semantics, *members = _words(number, value, 2, "ssrc-group")
    if len(members) > MAX_PER_SECTION:
        raise SdpError(number, f"ssrc-group names more than {MAX_PER_SECTION} ssrcs")
    ssrcs = tuple(_number(number, member, 0xFFFFFFFF, "ssrc") for member in members)
    _append(number, draft.groups, (semantics, ssrcs), "ssrc-group")


def _msid(draft: Draft, number: int, value: str) -> None:
    words = _words(number, value, 1, "msid")[:2]
    # More than RFC 8830 allows: there are clients that put their cname, with its @, here.
    draft.msid = " ".join(_matching(number, word, _VISIBLE, 128, "msid") for word in words)


def _rid(draft: Draft, number: int, value: str) -> None:
    rid, direction, *restrictions = _words(number, value, 2, "rid")
    if direction not in ("send", "recv"):
        raise SdpError(number, "rid's direction is neither send nor recv")
    payload_types: tuple[int, ...] = ()
    for restriction in " ".join(restrictions).split(";"):
        key, _, setting = restriction.strip().partition("=")
        if key == "pt" and setting:
            payload_types = tuple(_payload_type(number, text) for text in setting.split(",")[:MAX_PER_SECTION])
    _append(number, draft.rids, Rid(_matching(number, rid, _RID, 16, "rid"), direction, payload_types), "rids")


def _simulcast(draft: Draft, number: int, value: str) -> None:
    """RFC 8853: `send h;m,m2;~l recv …`. Of alternatives the first is taken; ~ (initially paused) is nothing to us."""
    words = value.split()
    if len(words) not in (2, 4) or any(word not in ("send", "recv") for word in words[::2]):
        raise SdpError(number, "simulcast is send or recv with a list of rids, or both")
    for direction, streams in zip(words[::2], words[1::2], strict=True):
        firsts = tuple(stream.partition(",")[0].removeprefix("~") for stream in streams.split(";"))
        if len(firsts) > 8 or not all(_RID.fullmatch(rid) for rid in firsts) or len(set(firsts)) != len(firsts):
            raise SdpError(number, "simulcast names at most 8 different rids per direction")
        if direction == "send":
            draft.simulcast_send = firsts


def _candidate(draft: Draft, number: int, value: str) -> None:
    words = _words(number, value, 8, "candidate")
    if len(words) > 64 or words[6] != "typ":
        raise SdpError(number, "candidate is not <foundation> <component> <protocol> <priority> <address> <port> typ …")
    extra = dict(zip(words[8::2], words[9::2], strict=False))
    candidate = Candidate(
        foundation=_matching(number, words[0], _ICE_CHARS, 32, "candidate foundation"),
        component=_number(number, words[1], 256, "candidate component"),
        protocol=_matching(number, words[2].lower(), _TOKEN, 16, "candidate protocol"),
        priority=_number(number, words[3], 0xFFFFFFFF, "candidate priority"),
        address=_matching(number, words[4], _VISIBLE, 255, "candidate address"),
        port=_number(number, words[5], 65_535, "candidate port"),
        type=_matching(number, words[7], _TOKEN, 16, "candidate type"),
        tcp_type=extra.get("tcptype", "")[:16],
    )
    _append(number, draft.candidates, candidate, "candidates")


def _end_of_candidates(draft: Draft, number: int, value: str) -> None:
    draft.end_of_candidates = True


_READERS: dict[str, Callable[[Draft, int, str], None]] = {
    "group": _group,
    "mid": _mid,
    "bundle-only": _bundle_only,
    "rtcp-mux": _rtcp_mux,
    "extmap-allow-mixed": _allow_mixed,
    "ice-lite": _ice_lite,
    "ice-ufrag": _ufrag,
    "ice-pwd": _pwd,
    "setup": _setup,
    "fingerprint": _fingerprint,
    "rtpmap": _rtpmap,
    "fmtp": _fmtp,
    "rtcp-fb": _rtcp_fb,
    "extmap": _extmap,
    "ssrc": _ssrc,
    "ssrc-group": _ssrc_group,
    "msid": _msid,
    "rid": _rid,
    "simulcast": _simulcast,
    "candidate": _candidate,
    "end-of-candidates": _end_of_candidates,
}
