"""Damaged datagrams to a load generator's remote ends: nothing breaks, and what is authentic is counted afterwards.

What a mutation can't do is be authentic, so half of the packets are damaged before they are protected. The sanitizers'
build (ops/sanitize.sh) is where this finds most.
"""

from __future__ import annotations

import struct

import pytest

from bench.sources import SyntheticSource, write_script
from rtpfwd.srtp import SrtpError
from server.io.clock import monotonic_ns
from server.rtc import stun
from server.testing import rtp
from server.testing.rtp import RtpPacket
from tests.bench.wire import OWN_PASSWORD, REMOTE_PASSWORD, RTX_SSRC, SSRC, VIDEO, Wire, packet, wire
from tests.fuzz.mutate import mutated

PUBLISHED = write_script(SyntheticSource(packets=4, size=100, fps=100), "fuzz")
SENT_SSRC = PUBLISHED.sents[0][0]

MEDIA = [
    packet(1, seq=1, at=1),
    packet(2, seq=2, transport=7),
    bytes(RtpPacket(97, RTX_SSRC, 1, 0, b"\x00\x01" + bytes(50))),
    bytes((0xB2,)) + packet(3, seq=3)[1:12] + bytes(8) + b"\x10\x00\x00\x01\x03\x02\x00\x01" + bytes(20) + b"\x04",
]
CONTROL = [
    rtp.rtcp(rtp.SR, 0, struct.pack("!IQIII", SSRC, 1 << 40, 0, 1, 1)),
    rtp.nack(1, SENT_SSRC, [PUBLISHED.sents[0][5], PUBLISHED.sents[0][5] + 3, 9]),
    rtp.pli(1, SENT_SSRC),
    rtp.rtcp(rtp.PSFB, 4, struct.pack("!IIIBxxx", 1, 0, SENT_SSRC, 1)),
    rtp.rtcp(rtp.RTPFB, 15, struct.pack("!IIHHI", 1, SENT_SSRC, 1, 1, 1) + b"\x20\x01\x00\x00"),
]
CHECKS = [
    stun.build_request("us:them", OWN_PASSWORD.decode(), priority=1, transaction_id=bytes(12)),
    stun.build_request("us:them", "wrong-password-of-22-bytes", priority=1, transaction_id=bytes(12)),
    stun.build(stun.Class.SUCCESS, bytes(12), [], REMOTE_PASSWORD.decode()),
]


@pytest.mark.parametrize("protected", [False, True], ids=["raw", "protected"])
def test_remote_end(protected: bool) -> None:
    with wire([VIDEO], nacks=True, transport_id=3) as one:
        one.load.publish(
            one.number,
            PUBLISHED.sents,
            PUBLISHED.steps,
            PUBLISHED.data,
            duration=PUBLISHED.duration,
            frame=PUBLISHED.frame,
            transport_seq=0,
        )
        one.load.play(one.number, monotonic_ns(), PUBLISHED.duration * 2)
        for place, data in enumerate(mutated([*MEDIA, *CONTROL, *CHECKS], seed=3)):
            send(one, data, protected=protected)
            if place % 64 == 0:
                drain(one)
        drain(one)
        # It still counts, answers, and examines.
        before = one.settle()
        strange = before["foreign"]
        one.server.send(one.outgoing.protect(packet(0, ssrc=0x7777)))
        after = one.settle()
        assert after["foreign"] == strange + 1
        assert after["checks_served"] == before["checks_served"] + 1


def send(one: Wire, data: bytes, *, protected: bool) -> None:
    """As it is, or as the holder of the keys sends it, when it can be protected at all."""
    if protected and len(data) >= 12 and data[0] >> 6 == 2:
        try:
            is_control = 64 <= data[1] & 127 <= 95
            data = one.outgoing.protect_rtcp(data) if is_control else one.outgoing.protect(data)
        except (SrtpError, ValueError):
            return
    if data:
        one.server.send(data[:2000])


def drain(one: Wire) -> None:
    """What the load says, so that neither socket overflows: up to its answer to a check."""
    one.settle()
    while one.load.poll() is not None:
        pass
