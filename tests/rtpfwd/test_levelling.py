"""Frames whose packets differ by a few bytes leave in packets of equal size (docs/forwarding.md)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from rtpfwd.params import ConsumerParams, SrtpProfile
from tests.rtpfwd.plane_world import VP8_MAPPING, nack, parse_rtp, rtp, vp8
from tests.rtpfwd.test_lane import Call, call, receive, running

FIRST = vp8(keyframe=True)


def frame(sizes: Sequence[int], seq: int = 1) -> list[bytes]:
    """One frame; its payloads have these sizes and differ."""
    bodies = [(FIRST + bytes([n + 1]) * size)[:size] for n, size in enumerate(sizes)]
    return [
        rtp(seq + n, body, ssrc=0x1000, timestamp=9_000, marker=n == len(sizes) - 1) for n, body in enumerate(bodies)
    ]


def through(made: Call, packets: list[bytes]) -> list[tuple[int, bytes, bytes]]:
    """What the viewer got of each: the datagram's size, the clear packet, and the payload without padding."""
    # One message to the lane's queue before it runs, so that they are one batch.
    made.publish(*packets)
    found = []
    with running(made.lane):
        while len(found) < len(packets):
            data = receive(made.sockets[1])
            if not 192 <= data[1] <= 223:
                clear = made.viewers[0].rx.unprotect(data)
                found.append((len(data), clear, unpadded(clear)))
    return found


def unpadded(clear: bytes) -> bytes:
    """RFC 3550 section 5.1: the last byte counts the padding, itself included."""
    if not clear[0] & 0x20:
        return clear[12:]
    assert 1 <= clear[-1] <= len(clear) - 12
    assert clear[-clear[-1] : -1] == bytes(clear[-1] - 1)
    return clear[12 : len(clear) - clear[-1]]


def check(sizes: Sequence[int], expected: Sequence[int]) -> None:
    packets = frame(sizes)
    with call(viewers=1) as made:
        found = through(made, packets)
    assert [payload for _, _, payload in found] == [packet[12:] for packet in packets]
    assert [size - found[0][0] for size, _, _ in found] == [size - expected[0] for size in expected]
    for (_, clear, _), size, wanted in zip(found, sizes, expected, strict=True):
        assert len(clear) == 12 + wanted
        assert bool(clear[0] & 0x20) == (size != wanted)


def test_sizes_that_differ_by_one_byte_become_equal() -> None:
    check([1100, 1099, 1100, 1099, 1099], [1100, 1100, 1100, 1100, 1099])


def test_the_last_packet_of_a_frame_stays_as_it_is() -> None:
    check([1000, 1000, 400], [1000, 1000, 400])


def test_packets_too_different_stay_as_they_are() -> None:
    check([1100, 1084, 1083, 1100], [1100, 1100, 1083, 1100])


def test_one_packet_alone_stays_as_it_is() -> None:
    check([700], [700])


def test_frames_are_levelled_each_by_itself() -> None:
    packets = [
        rtp(seq, FIRST + bytes(size), ssrc=0x1000, timestamp=stamp)
        for seq, (size, stamp) in enumerate([(500, 1), (499, 1), (500, 1), (509, 2), (510, 2), (300, 2)], 1)
    ]
    with call(viewers=1) as made:
        found = through(made, packets)
    assert [payload for _, _, payload in found] == [packet[12:] for packet in packets]
    assert [len(clear) - 12 - len(FIRST) for _, clear, _ in found] == [500, 500, 500, 510, 510, 300]


def test_clear_transports_are_levelled_too() -> None:
    packets = frame([800, 799, 800])
    with call(viewers=1, profile=None) as made:
        made.publish(*packets)
        with running(made.lane):
            found = [receive(made.sockets[1]) for _ in packets]
    assert [unpadded(clear) for clear in found] == [packet[12:] for packet in packets]
    assert [len(clear) for clear in found] == [812, 812, 812]


def test_retransmissions_carry_no_padding() -> None:
    packets = frame([900, 899, 900])
    with call(viewers=1, profile=SrtpProfile.AEAD_AES_128_GCM) as made:
        viewer = made.viewers[0]
        made.plane.add_consumer(viewer.handle, made.producer, ConsumerParams(0x4000, VP8_MAPPING, rtx_ssrc=0x4001), 0)
        made.publish(*packets)
        with running(made.lane):
            seqs = []
            while len(seqs) < 3:
                clear = viewer.rx.unprotect(receive(made.sockets[1]))
                if struct.unpack_from("!I", clear, 8)[0] == 0x4000:
                    seqs.append(struct.unpack_from("!H", clear, 2)[0])
            made.sockets[1].sendto(viewer.protect(nack(1, 0x4000, seqs[1])), made.to)
            again = b""
            while struct.unpack_from("!I", again or bytes(12), 8)[0] != 0x4001:
                data = receive(made.sockets[1])
                if not 192 <= data[1] <= 223:
                    again = viewer.rx.unprotect(data)
    assert parse_rtp(again).payload == struct.pack("!H", seqs[1]) + packets[1][12:]
