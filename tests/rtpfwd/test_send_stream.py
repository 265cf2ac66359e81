"""One sent SSRC: retransmission and reports."""

from __future__ import annotations

import struct

import pytest

from rtpfwd import probe

MS = 1_000_000
SECOND = 1000 * MS
ORIGINAL = struct.pack("!BBHII", 0x80, 96 | 0x80, 500, 1000, 7) + b"payload"


def test_a_packet_asked_for_goes_as_rtx_with_the_numbers_it_had() -> None:
    sending = probe.Sending(rtx_ssrc=77, rtx_seq=65535)
    sending.sent(65536 + 500, 9, 0, timestamp=4000)
    for number, rtx_seq in enumerate([65535, 0]):
        assert sending.nacked(9, SECOND * number) == 65536 + 500
        written = sending.write_rtx(ORIGINAL, 9, payload_type=97)
        assert written is not None
        found = probe.parse_rtp(written)
        assert (found["ssrc"], found["seq"], found["timestamp"], found["payload_type"]) == (77, rtx_seq, 4000, 97)
        assert (found["marker"], found["payload"]) == (True, b"\0\x09payload")
    assert sending.figures(0)["retransmitted"] == 2


def test_what_does_not_fit_uses_no_number() -> None:
    sending = probe.Sending(rtx_seq=5)
    sending.sent(500, 9, 0)
    assert sending.write_rtx(ORIGINAL, 9, payload_type=97, capacity=len(ORIGINAL) + 1) is None
    written = sending.write_rtx(ORIGINAL, 9, payload_type=97, capacity=len(ORIGINAL) + 2)
    assert written is not None
    assert probe.parse_rtp(written)["seq"] == 5


def test_what_was_never_sent_or_too_long_ago_is_not_found() -> None:
    sending = probe.Sending(capacity=64)
    assert sending.nacked(0, 0) is None
    for number in range(65):
        sending.sent(100_000 + number, number, 0)
    assert sending.nacked(0, 0) is None
    assert sending.nacked(1, 0) == 100_001
    assert sending.nacked(65, 0) is None
    assert sending.nacked(64 + 64, 0) is None
    assert sending.figures(0)["not_found"] == 4
    assert sending.write_rtx(ORIGINAL, 0, payload_type=97) is None


def test_without_an_rtx_ssrc_nothing_is_sent_again() -> None:
    sending = probe.Sending(rtx_ssrc=0)
    sending.sent(500, 9, 0)
    assert sending.nacked(9, 0) is None
    assert sending.write_rtx(ORIGINAL, 9, payload_type=97) is None
    assert sending.figures(0)["packets"] == 1


def test_input_numbers_are_kept_by_their_low_bits() -> None:
    sending = probe.Sending()
    sending.sent(2**40 + 5, 9, 0)
    sending.sent(2**40 + 2**16, 10, 0)
    sending.sent(2**40 - 1, 8, 0)  # late
    assert [sending.nacked(seq, 0) for seq in (8, 9, 10)] == [2**32 - 1, 5, 2**16]


def report(last_sr: int, delay: int = 0, lost: int = 0) -> dict[str, int]:
    return {
        "ssrc": 1, "fraction_lost": lost, "cumulative_lost": lost, "highest_seq": 0, "jitter": 0,
        "last_sr": last_sr, "delay_since_last_sr": delay,
    }  # fmt: skip


def source(now: int = 0, ntp: int = 3_900_000_000 << 32, rtp: int = 1000) -> probe.Receiving:
    made = probe.Receiving()
    made.receive(1, now)
    made.sender_report(ntp=ntp, rtp=rtp, now=now)
    return made


def middle(data: bytes) -> int:
    (item,) = probe.parse_rtcp(data)
    return int(item["ntp"]) >> 16 & 0xFFFFFFFF


def test_the_round_trip_time_comes_from_reports() -> None:
    sending = probe.Sending()
    sending.sent(1, 1, 0)
    sent = [sending.write_sr(source(), SECOND * number) for number in range(1, 4)]
    assert all(sent)
    oldest = middle(sent[0] or b"")
    sending.receive_report(report(oldest, delay=65536 // 2), SECOND + 580 * MS)
    assert sending.figures(0)["rtt"] == 80 * MS
    sending.receive_report(report(12345, lost=9), 2 * SECOND)  # not one of ours: no sample
    assert (sending.figures(0)["rtt"], sending.figures(0)["fraction_lost"]) == (80 * MS, 9)
    sending.receive_report(report(oldest, delay=65536 * 60), 2 * SECOND)  # a lie: earlier than sent
    assert 0 < sending.figures(0)["rtt"] <= 70 * MS


@pytest.mark.parametrize(("rtt_ms", "spacing_ms"), [(0, 20), (80, 60), (1, 10), (4000, 300)])
def test_the_same_packet_is_not_sent_again_within_a_round_trip(rtt_ms: int, spacing_ms: int) -> None:
    sending = probe.Sending()
    sending.sent(500, 9, 0)
    if rtt_ms:
        sr = sending.write_sr(source(), 0)
        assert sr
        sending.receive_report(report(middle(sr)), rtt_ms * MS)
    now = 10 * SECOND
    assert sending.nacked(9, now) == 500
    assert sending.nacked(9, now + (spacing_ms - 1) * MS) is None
    assert sending.figures(0)["too_soon"] == 1
    assert sending.nacked(9, now + spacing_ms * MS) == 500


def test_a_sender_report_keeps_the_producers_clock() -> None:
    """Lip sync: whatever offset a stream was given, its NTP time names the same instant as the producer's own."""
    audio, video = source(ntp=100 << 32, rtp=48_000), source(ntp=100 << 32, rtp=90_000)
    senders = probe.Sending(clock_rate=48000), probe.Sending(clock_rate=90000)
    for sending in senders:
        sending.sent(1, 1, 0)
    now = 2500 * MS
    (a,) = probe.parse_rtcp(senders[0].write_sr(audio, now, timestamp_offset=7) or b"")
    (v,) = probe.parse_rtcp(senders[1].write_sr(video, now, timestamp_offset=2**32 - 90_000) or b"")
    assert a["ntp"] == v["ntp"] == (102 << 32) + (1 << 31)
    assert a["rtp"] == 48_000 * 7 // 2 + 7
    assert v["rtp"] == 90_000 * 5 // 2
    assert (a["packets"], a["octets"], a["sender"]) == (1, 100, 1)


def test_there_is_no_sender_report_before_there_is_something_to_say() -> None:
    sending, silent = probe.Sending(), probe.Receiving()
    assert sending.write_sr(source(), 0) == b""  # nothing sent
    sending.sent(1, 1, 0)
    assert sending.write_sr(silent, 0) == b""  # the producer gave no clock
    assert sending.write_sr(source(), 0, capacity=27) is None


def test_the_record_grows_and_forgets_nothing_by_that() -> None:
    stream = probe.Sending(capacity=512)
    number = 65_400  # so that it wraps

    def send(packets: int) -> None:
        nonlocal number
        for _ in range(packets):
            stream.sent(100_000 + number, number & 0xFFFF, number)
            number += 1

    def is_kept(age: int) -> bool:
        return stream.nacked((number - age) & 0xFFFF, number) == 100_000 + number - age

    send(127)
    assert is_kept(126)
    send(385)
    assert is_kept(512)
    send(2)
    assert is_kept(511)
    assert not is_kept(513)


def test_the_record_of_a_slow_stream_stays_small() -> None:
    stream = probe.Sending(capacity=512)
    for number in range(1_000):
        stream.sent(number, number, 0)
        if number % 50 == 0:
            stream.reported()
    assert stream.nacked(999 - 127, 0) == 999 - 127
    assert stream.nacked(999 - 128, 0) is None


def test_a_record_that_may_not_grow_does_not() -> None:
    stream = probe.Sending(capacity=32)
    for number in range(100):
        stream.sent(number, number, 0)
    assert stream.nacked(99 - 31, 0) == 99 - 31
    assert stream.nacked(99 - 32, 0) is None
