"""Mutated offers and fragments: nothing but SdpError comes out, and what is accepted can be answered.

SIGHTLINE_FUZZ_SECONDS sets how long each target runs (2 s by default); the seed is fixed, so a failure repeats.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

import pytest

from signaling import sdp
from signaling.sdp.reading import MAX_BYTES
from tests.signaling.sdp_corpus import NAMES, offer_bytes, router, transport_info

SECONDS = float(os.environ.get("SIGHTLINE_FUZZ_SECONDS", "2"))
CORPUS = [offer_bytes(name) for name in NAMES]
FRAGMENTS = [
    (
        b"a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
        b"a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n"
        b"a=candidate:3471623853 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active\r\na=end-of-candidates\r\n"
    )
]
WORDS = [b"", b"0", b"-1", b"65536", b"4294967296", b"9" * 30, "²".encode(), b"=", b":", b";", b",", b"/", b" ", b"*"]
ROUTER = router()
TRANSPORT = transport_info()


def mutated(rng: random.Random, corpus: list[bytes]) -> bytes:
    """One to eight changes to a real one: of bytes, words, whole lines; lines of another offer; a cut."""
    data = rng.choice(corpus)
    for _ in range(rng.randint(1, 8)):
        lines = data.split(b"\r\n")
        at = rng.randrange(len(lines))
        match rng.randrange(8):
            case 0:
                lines[at] = bytes(b ^ (1 << rng.randrange(8)) if rng.random() < 0.05 else b for b in lines[at])
            case 1:
                lines.insert(at, rng.choice(rng.choice(corpus).split(b"\r\n")))
            case 2:
                del lines[at]
            case 3:
                lines[at:at] = [lines[at]] * rng.choice([1, 2, 200])
            case 4:
                words = lines[at].split(b" ")
                words[rng.randrange(len(words))] = rng.choice(WORDS)
                lines[at] = b" ".join(words)
            case 5:
                other = rng.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case 6:
                lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
            case 7:
                head, colon, tail = lines[at].partition(b":")
                lines[at] = head + colon + rng.choice(WORDS) + tail
        data = b"\r\n".join(lines)
    return data


def fuzz(corpus: list[bytes], target: Callable[[bytes], None]) -> tuple[int, int]:
    """(accepted, refused) until the time is up."""
    rng = random.Random(9725)
    accepted = refused = 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        data = mutated(rng, corpus)
        try:
            target(data)
            accepted += 1
        except sdp.SdpError:
            refused += 1
        except Exception as error:
            error.add_note(f"for {data!r}")
            raise
    return accepted, refused


def answer(data: bytes) -> None:
    """Read an offer and answer it both ways; the answer says nothing that isn't a line."""
    offer = sdp.parse_untrusted(data)
    sdp.consume_capabilities([s for s in offer.sections if s.kind in ("audio", "video") and s.receives], ROUTER)
    answered: list[sdp.Answered | None] = []
    for section in offer.sections:
        wanted = section.kind in ("audio", "video") and (section.sends or section.receives)
        rtp = sdp.produce_parameters(section, ROUTER) if wanted else None
        answered.append(None if rtp is None else sdp.Answered(rtp, section.receives, sdp.simulcast_rids(section)))
    if any(answered):
        text = sdp.write_answer(offer, answered, TRANSPORT, dtls_role="server", session_id=1)
        assert text.count("\r\nm=") == len(offer.sections)
        assert all(line[1:2] == "=" and line.isprintable() for line in text.removesuffix("\r\n").split("\r\n"))
        assert len(text) < 3 * MAX_BYTES
        sdp.write_fragment(offer, TRANSPORT.ice_parameters, TRANSPORT.ice_candidates)


def test_offers():
    accepted, refused = fuzz(CORPUS, answer)
    assert accepted > refused / 20, "mutations that nearly all fail early test little"
    assert refused > accepted / 20


def test_fragments():
    accepted, refused = fuzz(FRAGMENTS + CORPUS[:1], lambda data: sdp.parse_fragment_untrusted(data) and None)
    assert accepted
    assert refused


def test_noise():
    rng = random.Random(1)
    for _ in range(200):
        with pytest.raises(sdp.SdpError):
            sdp.parse_untrusted(rng.randbytes(rng.randrange(200)))


def test_the_largest_offers_cost_little():
    """64 KiB of the dearest repeated lines, within a second each on a slow machine."""
    text = CORPUS[NAMES.index("chromium-publish")].decode()
    for line in ("a=ssrc:{n} cname:x", "a=rtcp-fb:* nack", "a=candidate:1 1 udp 1 a 1 typ host", "a=extmap:1 a{n}"):
        full = text + "".join(line.format(n=n) + "\r\n" for n in range((MAX_BYTES - len(text)) // (len(line) + 4)))
        start = time.monotonic()
        with pytest.raises(sdp.SdpError):
            sdp.parse_untrusted(full)
        assert time.monotonic() - start < 1.0
