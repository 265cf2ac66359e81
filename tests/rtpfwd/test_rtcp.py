"""RTCP: read and written, against tables and against aiortc's reader and writer."""

from __future__ import annotations

from typing import Any

import pytest
from aiortc import rtp as foreign
from hypothesis import given
from hypothesis import strategies as st

from rtpfwd import probe

word = st.integers(0, 2**32 - 1)
blocks = st.lists(
    st.fixed_dictionaries(
        {
            "ssrc": word,
            "fraction_lost": st.integers(0, 255),
            "cumulative_lost": st.integers(-0x800000, 0x7FFFFF),
            "highest_seq": word,
            "jitter": word,
            "last_sr": word,
            "delay_since_last_sr": word,
        }
    ),
    max_size=31,
)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "rtcp_short"),
        ("80c900", "rtcp_short"),
        ("80c90001 000000", "rtcp_short"),
        ("80c90001 00000001 80", "rtcp_short"),  # rest of a datagram that is no header
        ("40c90001 00000001", "rtcp_version"),
        ("80c90001 00000001 00c90001 00000001", "rtcp_version"),
        ("a0c90002 00000001 00000000", "rtcp_padding"),
        ("a0c90002 00000001 00000009", "rtcp_padding"),
        ("a0c90000", "rtcp_padding"),
        ("a0c90002 00000001 00000004 80c90001 00000001", "rtcp_padding"),  # not on the last
        ("80c90000", "rtcp_malformed"),  # an RR without its sender
        ("81c90001 00000001", "rtcp_malformed"),  # a block announced
        ("80c80005 00000001 0000000000000000 00000000 00000000", "rtcp_malformed"),  # SR without octets
        ("81cb0000", "rtcp_malformed"),
        ("81cd0001 00000001", "rtcp_malformed"),  # NACK without media SSRC
        ("84ce0003 00000001 00000000 00000001", "rtcp_malformed"),  # half a FIR entry
        ("a1ce0002 00000001 00000004", "rtcp_malformed"),  # a PLI whose media SSRC is padding
        ("81ca0001 00000001", "rtcp_malformed"),  # a chunk without an end
        ("81ca0002 00000001 01ff6162", "rtcp_malformed"),  # a CNAME longer than the packet
    ],
)
def test_what_makes_no_sense_is_refused_whole(data: str, reason: str) -> None:
    with pytest.raises(probe.Refused) as refused:
        probe.parse_rtcp(bytes.fromhex("80c90001 0000002a" * bool(len(data) > 8) + data))
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("data", "items"),
    [
        ("80c90001 00000001", [{"kind": "receiver_report", "sender": 1}]),
        ("81cd0003 00000001 00000002 00050003", [{"kind": "nack", "sender": 1, "media": 2, "pid": 5, "blp": 3}]),
        ("81ce0002 00000001 00000002", [{"kind": "pli", "sender": 1, "media": 2}]),
        (
            "84ce0006 00000001 00000000 00000002 07000000 00000003 08000000",
            [
                {"kind": "fir", "sender": 1, "media": 2, "fir_seq": 7},
                {"kind": "fir", "sender": 1, "media": 3, "fir_seq": 8},
            ],
        ),
        ("82cb0003 00000001 00000002 02626262", [{"kind": "bye", "sender": 1}, {"kind": "bye", "sender": 2}]),
        (
            "82ca0005 00000001 01026162 02016100 00000002 01016100",
            [{"kind": "cname", "body": b"ab"}, {"kind": "cname", "body": b"a"}],
        ),
        ("81ca0002 00000001 02016100", []),  # an SDES without CNAME
        ("80cc0003 00000001 6e616d65 00000009", [{"kind": "app", "body": bytes.fromhex("6e616d6500000009")}]),
        ("8fcd0003 00000001 00000002 00010203", [{"kind": "transport_cc", "body": bytes.fromhex("00010203")}]),
        (
            "8fce0005 00000001 00000000 52454d42 010c1234 00000002",
            [{"kind": "remb", "body": bytes.fromhex("52454d42 010c1234 00000002")}],
        ),
        ("8fce0003 00000001 00000000 58585858", [{"kind": "unknown", "body": b"XXXX"}]),
        ("80cf0001 01020304", [{"kind": "unknown", "body": b"\1\2\3\4"}]),
        ("80c90001 00000001 a1ce0003 00000001 00000002 00000004",  # padding on the last, reduced size elsewhere
         [{"kind": "receiver_report", "sender": 1}, {"kind": "pli", "sender": 1, "media": 2}]),
    ],
)  # fmt: skip
def test_every_kind_is_read(data: str, items: list[dict[str, Any]]) -> None:
    assert probe.parse_rtcp(bytes.fromhex(data)) == items


def foreign_block(block: dict[str, int]) -> foreign.RtcpReceiverInfo:
    return foreign.RtcpReceiverInfo(
        ssrc=block["ssrc"],
        fraction_lost=block["fraction_lost"],
        packets_lost=block["cumulative_lost"],
        highest_sequence=block["highest_seq"],
        jitter=block["jitter"],
        lsr=block["last_sr"],
        dlsr=block["delay_since_last_sr"],
    )


def items_of(sender: int, blocks: list[dict[str, int]]) -> list[dict[str, Any]]:
    return [{"kind": "report_block", "sender": sender, **block} for block in blocks]


@given(word, st.integers(0, 2**64 - 1), word, word, word, blocks)
def test_aiortc_and_we_agree_on_reports(ssrc: int, ntp: int, rtp: int, packets: int, octets: int, blocks: Any) -> None:
    sr = {"kind": "sr", "sender": ssrc, "ntp": ntp, "rtp": rtp, "packets": packets, "octets": octets, "blocks": blocks}
    data = probe.write_rtcp([sr, {"kind": "rr", "sender": ssrc, "blocks": blocks}], capacity=2000)
    theirs = [
        foreign.RtcpSrPacket(
            ssrc=ssrc,
            sender_info=foreign.RtcpSenderInfo(
                ntp_timestamp=ntp, rtp_timestamp=rtp, packet_count=packets, octet_count=octets
            ),
            reports=[foreign_block(block) for block in blocks],
        ),
        foreign.RtcpRrPacket(ssrc=ssrc, reports=[foreign_block(block) for block in blocks]),
    ]
    assert data == b"".join(bytes(packet) for packet in theirs)
    info = {"kind": "sender_info", "sender": ssrc, "ntp": ntp, "rtp": rtp, "packets": packets, "octets": octets}
    assert probe.parse_rtcp(data) == [
        info,
        *items_of(ssrc, blocks),
        {"kind": "receiver_report", "sender": ssrc},
        *items_of(ssrc, blocks),
    ]


@given(word, word, st.binary(max_size=255), st.lists(word, max_size=31), st.integers(0, 255))
def test_aiortc_reads_what_we_write(sender: int, media: int, cname: bytes, ssrcs: list[int], fir_seq: int) -> None:
    data = probe.write_rtcp(
        [
            {"kind": "rr", "sender": sender, "blocks": []},
            {"kind": "cname", "sender": sender, "body": cname},
            {"kind": "pli", "sender": sender, "media": media},
            {"kind": "fir", "sender": sender, "media": media, "fir_seq": fir_seq},
            {"kind": "bye", "ssrcs": ssrcs},
        ]
    )
    _, sdes, pli, fir, bye = foreign.RtcpPacket.parse(data)
    assert [(chunk.ssrc, chunk.items) for chunk in sdes.chunks] == [(sender, [(1, cname)])]
    assert (pli.fmt, pli.ssrc, pli.media_ssrc) == (1, sender, media)
    assert (fir.fmt, fir.ssrc, fir.media_ssrc, fir.fci) == (
        4,
        sender,
        0,
        media.to_bytes(4, "big") + bytes([fir_seq, 0, 0, 0]),
    )
    assert bye.sources == ssrcs
    kinds = [item["kind"] for item in probe.parse_rtcp(data)]
    assert kinds == ["receiver_report", "cname", "pli", "fir", *["bye"] * len(ssrcs)]


@given(word, word, st.integers(0, 65535), st.sets(st.integers(0, 600), min_size=1, max_size=200))
def test_a_nack_names_each_lost_packet_once(sender: int, media: int, first: int, offsets: set[int]) -> None:
    seqs = [(first + offset) % 65536 for offset in sorted(offsets)]
    data = probe.write_rtcp([{"kind": "nack", "sender": sender, "media": media, "seqs": seqs}])
    (theirs,) = foreign.RtcpPacket.parse(data)
    assert sorted(number % 65536 for number in theirs.lost) == sorted(seqs)  # theirs do not wrap
    ours = [
        (item["pid"] + extra) % 65536
        for item in probe.parse_rtcp(data)
        for extra in [0, *(bit + 1 for bit in range(16) if item["blp"] >> bit & 1)]
    ]
    assert ours == seqs


def test_a_packet_that_does_not_fit_leaves_the_ones_before_it() -> None:
    rr = {"kind": "rr", "sender": 1, "blocks": []}
    others: list[dict[str, Any]] = [
        {"kind": "cname", "sender": 1, "body": b"name"},
        {"kind": "pli", "sender": 1, "media": 2},
        {"kind": "fir", "sender": 1, "media": 2, "fir_seq": 0},
        {"kind": "nack", "sender": 1, "media": 2, "seqs": [1, 100]},
        {"kind": "bye", "ssrcs": [1]},
        {"kind": "sr", "sender": 1, "ntp": 0, "rtp": 0, "packets": 0, "octets": 0, "blocks": []},
    ]
    for other in others:
        whole = probe.write_rtcp([rr, other])
        assert len(whole) > 8
        for capacity in range(8, len(whole)):
            assert probe.write_rtcp([rr, other], capacity=capacity) == whole[:8]
        assert probe.write_rtcp([rr, other], capacity=len(whole)) == whole


NO_BLOCK = dict.fromkeys(
    ["ssrc", "fraction_lost", "cumulative_lost", "highest_seq", "jitter", "last_sr", "delay_since_last_sr"], 0
)


@pytest.mark.parametrize(
    "packet",
    [
        {"kind": "bye", "ssrcs": [0] * 32},
        {"kind": "cname", "sender": 1, "body": bytes(256)},
        {"kind": "rr", "sender": 1, "blocks": [NO_BLOCK] * 32},
    ],
)
def test_what_a_count_field_can_not_say_is_not_written(packet: dict[str, Any]) -> None:
    assert probe.write_rtcp([packet]) == b""
