"""RFC 7983 and RFC 5761 as a table."""

from __future__ import annotations

import pytest

from server.rtc.demux import Kind, classify


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (0, Kind.STUN),
        (3, Kind.STUN),
        (4, Kind.UNKNOWN),
        (15, Kind.UNKNOWN),
        (16, Kind.ZRTP),
        (19, Kind.ZRTP),
        (20, Kind.DTLS),
        (63, Kind.DTLS),
        (64, Kind.TURN_CHANNEL),
        (79, Kind.TURN_CHANNEL),
        (80, Kind.UNKNOWN),
        (127, Kind.UNKNOWN),
        (128, Kind.RTP),
        (191, Kind.RTP),
        (192, Kind.UNKNOWN),
        (255, Kind.UNKNOWN),
    ],
)
def test_first_byte(first: int, kind: Kind) -> None:
    assert classify(bytes([first]) + bytes(39)) is kind


@pytest.mark.parametrize(
    ("second", "kind"),
    [
        (0, Kind.RTP),
        (96, Kind.RTP),
        (127, Kind.RTP),
        (191, Kind.RTP),  # payload type 63 with marker
        (192, Kind.RTCP),
        (200, Kind.RTCP),
        (206, Kind.RTCP),
        (223, Kind.RTCP),
        (224, Kind.RTP),  # payload type 96 with marker
        (255, Kind.RTP),
    ],
)
def test_second_byte(second: int, kind: Kind) -> None:
    assert classify(bytes([0x80, second]) + bytes(38)) is kind


@pytest.mark.parametrize(("first", "second", "header"), [(0, 1, 20), (22, 0xFE, 13), (0x80, 96, 12), (0x80, 200, 8)])
def test_shorter_than_its_header_is_unknown(first: int, second: int, header: int) -> None:
    whole = bytes([first, second]) + bytes(header - 2)
    assert classify(whole) is not Kind.UNKNOWN
    assert classify(whole[:-1]) is Kind.UNKNOWN


def test_empty_and_single_bytes_are_unknown() -> None:
    assert classify(b"") is Kind.UNKNOWN
    assert all(classify(bytes([first])) in (Kind.UNKNOWN, Kind.ZRTP, Kind.TURN_CHANNEL) for first in range(256))
