"""Damaged RTP, RTX and RTCP, and damaged payloads: a drop reason or something that can be forwarded.

The probe puts each input right before an unreadable page and each output into such a place, so one byte read or
written past the end stops the run.
"""

from __future__ import annotations

import contextlib
import random
import struct
from collections.abc import Callable
from typing import TypeVar

import pytest

from rtpfwd import probe
from rtpfwd.names import extension_kind
from tests.fuzz.mutate import mutated
from tests.rtpfwd.descriptors import Descriptor, letters, write
from tests.rtpfwd.test_codecs import rtp
from tests.rtpfwd.test_descriptor import L1T3

T = TypeVar("T")
TRANSPORT_CC = extension_kind("http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01")


def packet(first: int, rest: bytes) -> bytes:
    return struct.pack("!BBHII", first, 96, 65535, 2**32 - 1, 0x12345678) + rest


RTP = [
    packet(0x80, bytes(range(40))),
    packet(0x83, b"csrc" * 3 + b"payload"),
    packet(0x90, bytes.fromhex("BEDE0004 10610022 000000 32aabbcc 5103 e800 61 0102 90e0850509a001")),
    packet(0x90, bytes.fromhex("10000003 0101ff10 0000000e 04666f6f 6f") + bytes(20)),
    packet(0xB2, b"csrc" * 2 + bytes.fromhex("BEDE0001 10610000") + b"payload" + bytes(7) + b"\x08"),
    packet(0xA0, bytes(254) + b"\xff"),
]
RTCP = [
    "80c80006 00000001 1122334455667788 00000003 00000004 00000005 81ca0003 00000001 01026162 00000000",
    f"82c9000d 00000001 {'00000002 ff000001 00000003 00000004 00000005 00000006' * 2}",
    "81cd0004 00000001 00000002 00050003 ffff8001 84ce0004 00000001 00000000 00000002 07000000",
    "81ce0002 00000001 00000002 82cb0003 00000001 00000002 02626262",
    "8fce0005 00000001 00000000 52454d42 010c1234 00000002 80cc0003 00000001 6e616d65 00000009",
    "8fcd0005 00000001 00000002 00010003 0000000a 20030001 a1ce0003 00000001 00000002 00000004",
]
PAYLOADS = {
    "video/vp8": ["90 e0 85 05 09 a0 01", "10 00 9d 01 2a", "90 10 1f 00"],
    "video/vp9": ["f8 05 40 03 05 02 ff", "8a 05 18 0140 00f0 03 04 01 0c 01 02 03 04 01 ff", "a8 85 03 00 07 ff"],
    "video/h264": ["78 0002 6742 0002 68ce 0003 658800", "7c 85 88", "65 88 80", "67 42"],
    "video/av1": ["28 02 0e 48 02 00", "10 36 28 00", "38 80 01 0a 0b 00", "00 81 80 80 00 0a"],
    "audio/opus": ["78 00"],
}


DESCRIPTORS = [
    Descriptor(True, False, 61, 65535, L1T3),
    Descriptor(False, True, 60, 3),
    Descriptor(True, True, 0, 2, None, 0b101, letters("-SR"), [1, 300, 4096], [1]),
    Descriptor(True, True, 62, 0, L1T3, 0, None, [], None),
]


def attempt(read: Callable[[bytes], T], data: bytes) -> tuple[T | None, str]:
    """What was read, or the reason why not. Anything else that is raised is a failure."""
    try:
        return read(data), ""
    except probe.Refused as refused:
        return None, refused.reason


def test_rtp() -> None:
    """What is accepted can be written for a consumer, and reads the same there."""
    rng = random.Random(3550)
    for data in mutated(RTP, seed=3550):
        found, reason = attempt(probe.parse_rtp, data)
        if found is None:
            assert reason.startswith("rtp_")
            continue
        assert len(data) == header_size(data) + len(found["payload"]) + found["padding"]
        renumbered = [(0, id_, rng.choice([0, id_, 14, 200])) for id_, _ in found["extensions"]]
        table = {in_id: out_id for _, in_id, out_id in renumbered}
        plan = probe.Plan([*renumbered, (TRANSPORT_CC, 0, 3)])
        capacity = rng.choice([len(data), 3000])
        written = probe.write_rtp(data, plan, payload_type=1, seq=2, timestamp=3, ssrc=4, capacity=capacity)
        if written is None:
            assert capacity < 3000
            continue
        again = probe.parse_rtp(written[0])
        kept = [(table[id_], value) for id_, value in found["extensions"] if table[id_]]
        assert again["extensions"] == [(3, b"\0\0"), *kept]
        for name in ("payload", "csrc", "marker"):
            assert again[name] == found[name]


def header_size(data: bytes) -> int:
    at = 12 + 4 * (data[0] & 15)
    return at + (4 + 4 * int.from_bytes(data[at + 2 : at + 4], "big") if data[0] & 0x10 else 0)


def test_rtx() -> None:
    for data in mutated(RTP, seed=4588):
        with contextlib.suppress(probe.Refused):
            restored = probe.unwrap_rtx(data, 99, 98)
            assert len(restored) == len(data) - 2
            assert (probe.parse_rtp(restored)["ssrc"], probe.parse_rtp(restored)["payload_type"]) == (99, 98)


def test_rtcp() -> None:
    for data in mutated([bytes.fromhex(text) for text in RTCP], seed=4585):
        items, reason = attempt(probe.parse_rtcp, data)
        if items is None:
            assert reason.startswith("rtcp_")
            continue
        # Nothing is made up: each item stands for some bytes.
        assert len(items) <= len(data) // 4


@pytest.mark.parametrize("mime_type", PAYLOADS)
def test_payloads(mime_type: str) -> None:
    corpus = [bytes.fromhex(text) for text in PAYLOADS[mime_type]]
    for data in mutated(corpus, seed=7741):
        found = probe.describe(mime_type, data)
        assert found["is_switch_point"] or not found["is_keyframe"]
        assert found["is_frame_start"] or not found["is_keyframe"] or mime_type == "video/h264"
        spatial, temporal = found["layer"]
        assert -1 <= spatial <= 7
        assert -1 <= temporal <= 7


def test_dependency_descriptors() -> None:
    """Whatever the extension holds, layers stay in range, and a frame is a keyframe only where a viewer may join."""
    describing = probe.Describing("video/av1")
    for number, data in enumerate(mutated([write(one, L1T3) for one in DESCRIPTORS], seed=1510, at_least=4000)):
        element = data[:255]
        found = describing.describe(rtp(b"\x10\x32\x00", (7, element), timestamp=number // 3), descriptor_id=7)
        spatial, temporal = found["layer"]
        assert -1 <= spatial <= 7
        assert -1 <= temporal <= 7
        assert found.get("active_targets", 0) < 1 << 32
        assert found["is_switch_point"] or not found["is_keyframe"]
        assert len(element) >= 3 or "frame_number" not in found


def test_any_order_of_sequence_numbers() -> None:
    """A hostile sender's numbers: state stays bounded, every accepted packet is a new one."""
    rng = random.Random(4711)
    for steps in mutated([rng.randbytes(60) for _ in range(8)], seed=1889, at_least=300):
        received, now, seq = probe.Receiving(), 0, rng.randrange(65536)
        accepted: set[int] = set()
        for step in steps:
            seq = (seq + (step - 128 if step > 8 else rng.randrange(65536))) % 65536
            now += step * 1_000_000
            with contextlib.suppress(probe.Refused):
                ext_seq, _ = received.receive(seq, now, timestamp=step << 20, recovered=step % 11 == 0)
                assert ext_seq % 65536 == seq
                assert ext_seq not in accepted
                accepted.add(ext_seq)
            asked = received.nacks(now)
            assert len(asked) <= 256
        assert 0 <= received.report(now)["fraction_lost"] <= 255
