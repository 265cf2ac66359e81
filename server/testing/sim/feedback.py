"""RTCP as a browser writes and reads it: transport-wide feedback, REMB, receiver reports with real loss.

draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1, draft-alvestrand-rmcat-remb-03 section 2.2, RFC 3550
section 6.4. Written apart from the plane's, so that each finds the other's mistakes. Compiled with the types of
feedback.pxd.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from server.testing import rtp

TICK = 250_000  # nanoseconds: one unit of a receive delta
_TICK, _REFERENCE = TICK, 256 * TICK  # 64 ms: one unit of the reference time
_MISSING, _SMALL, _LARGE = 0, 1, 2
_RUN, _VECTOR = 8191, 7  # the most that a run-length chunk and a vector of two-bit symbols can say
TRANSPORT_FEEDBACK = 15  # the format of an RTPFB
APPLICATION_LAYER = 15  # the format of a PSFB


def write_transport_feedback(
    own_ssrc: int, ssrc: int, count: int, arrivals: Sequence[tuple[int, int | None]]
) -> list[bytes]:
    """Feedback about (unwrapped sequence number, arrival in ns or None), ascending by number: mostly one message.

    Numbers that are left out did not arrive either. `count` numbers the first; another begins where an arrival is too
    far from the one before for 16 bits.
    """
    messages: list[bytes] = []
    rest = list(arrivals)
    while rest:
        message, taken = _one_message(own_ssrc, ssrc, (count + len(messages)) & 0xFF, rest)
        messages.append(message)
        rest = rest[taken:]
    return messages


def _one_message(own_ssrc: int, ssrc: int, count: int, arrivals: Sequence[tuple[int, int | None]]) -> tuple[bytes, int]:
    base = arrivals[0][0]
    reference = next((at for _, at in arrivals if at is not None), 0) // _REFERENCE
    clock = reference * 256  # ticks
    symbols: list[int] = []
    deltas = bytearray()
    taken = 0
    for number, arrived in arrivals:
        if arrived is None:
            symbols.extend([_MISSING] * (number - base + 1 - len(symbols)))
            taken += 1
            continue
        delta = arrived // _TICK - clock
        if not -0x8000 <= delta <= 0x7FFF or number - base > 0x7FFF:
            break
        symbols.extend([_MISSING] * (number - base - len(symbols)))
        if 0 <= delta <= 255:
            symbols.append(_SMALL)
            deltas.append(delta)
        else:
            symbols.append(_LARGE)
            deltas += struct.pack("!h", delta)
        clock += delta
        taken += 1
    body = struct.pack("!IIHH", own_ssrc, ssrc, base & 0xFFFF, len(symbols))
    body += (reference & 0xFFFFFF).to_bytes(3, "big") + bytes((count,)) + _chunks(symbols) + deltas
    return rtp.rtcp(rtp.RTPFB, TRANSPORT_FEEDBACK, body + bytes(-len(body) % 4)), taken


def _chunks(symbols: Sequence[int]) -> bytes:
    chunks = bytearray()
    at = 0
    while at < len(symbols):
        end = at + 1
        while end < len(symbols) and symbols[end] == symbols[at] and end - at < _RUN:
            end += 1
        if end - at >= _VECTOR or end == len(symbols):
            chunks += struct.pack("!H", symbols[at] << 13 | (end - at))
            at = end
            continue
        word = 0xC000
        for place, symbol in enumerate(symbols[at : at + _VECTOR]):
            word |= symbol << (12 - 2 * place)
        chunks += struct.pack("!H", word)
        at += _VECTOR
    return bytes(chunks)


def read_transport_feedback(body: bytes) -> list[tuple[int, int | None]]:
    """(16-bit sequence number, arrival in ns of the receiver's clock or None) for each number that a message covers.

    ValueError when it is broken.
    """
    try:
        return _read_transport_feedback(body)
    except (struct.error, IndexError):
        raise ValueError("the transport-wide feedback ends before what it announces") from None


def _read_transport_feedback(body: bytes) -> list[tuple[int, int | None]]:
    base, total = struct.unpack_from("!HH", body, 8)
    reference = int.from_bytes(body[12:15], "big", signed=True)
    symbols: list[int] = []
    at = 16
    while len(symbols) < total:
        (word,) = struct.unpack_from("!H", body, at)
        at += 2
        if not word & 0x8000:
            symbols += [word >> 13 & 3] * (word & 0x1FFF)
            if not word & 0x1FFF:
                raise ValueError("a run of no packets")
        elif word & 0x4000:
            symbols += [word >> (12 - 2 * place) & 3 for place in range(7)]
        else:
            symbols += [word >> (13 - place) & 1 for place in range(14)]
    results: list[tuple[int, int | None]] = []
    clock = reference * _REFERENCE
    for place, symbol in enumerate(symbols[:total]):
        number = (base + place) & 0xFFFF
        if symbol == _MISSING:
            results.append((number, None))
            continue
        if symbol == _SMALL:
            delta = body[at]
            at += 1
        elif symbol == _LARGE:
            (delta,) = struct.unpack_from("!h", body, at)
            at += 2
        else:
            raise ValueError("a reserved status symbol")
        clock += delta * _TICK
        results.append((number, clock))
    return results


def write_remb(own_ssrc: int, bps: int, ssrcs: Sequence[int]) -> bytes:
    """A receiver's own estimate."""
    exponent = max(0, bps.bit_length() - 18)
    word = len(ssrcs) << 24 | exponent << 18 | bps >> exponent
    return rtp.rtcp(
        rtp.PSFB, APPLICATION_LAYER, struct.pack(f"!II4sI{len(ssrcs)}I", own_ssrc, 0, b"REMB", word, *ssrcs)
    )


def read_remb(body: bytes) -> int | None:
    """Bit/s; None when the message is another one."""
    if len(body) < 16 or body[8:12] != b"REMB":
        return None
    (word,) = struct.unpack_from("!I", body, 12)
    return int((word & 0x3FFFF) << (word >> 18 & 0x3F))


def write_receiver_report(own_ssrc: int, blocks: Sequence[bytes]) -> bytes:
    """An RR with as many blocks as fit."""
    blocks = blocks[:31]
    return rtp.rtcp(rtp.RR, len(blocks), struct.pack("!I", own_ssrc) + b"".join(blocks))


def report_block(
    ssrc: int, *, fraction_lost: float, lost: int, highest: int, jitter: int, last_sr: int, delay_ns: int
) -> bytes:
    """One block. `jitter` in units of the stream's clock; `last_sr` the middle 32 bits of its NTP time."""
    return struct.pack(
        "!IB3sIIII",
        ssrc,
        min(255, int(fraction_lost * 256)),
        max(-0x800000, min(0x7FFFFF, lost)).to_bytes(3, "big", signed=True),
        highest & 0xFFFFFFFF,
        jitter,
        last_sr,
        delay_ns * 65536 // 1_000_000_000 & 0xFFFFFFFF if last_sr else 0,
    )
