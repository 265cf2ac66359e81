"""What bench.load counts, says and answers, over real sockets, with this test in the place of the server."""

from __future__ import annotations

import struct

import pytest
from aioice import stun as foreign_stun
from aiortc.rtp import RtcpPacket, RtcpPsfbPacket, RtcpRrPacket, RtcpRtpfbPacket

from bench.load import Load
from bench.remote_end import queue_drops
from rtpfwd.params import SrtpProfile
from rtpfwd.srtp import SrtpPolicy
from server.io.clock import monotonic_ns
from server.rtc import stun
from server.rtc.address import Address
from server.testing import rtp
from server.testing.rtp import RtpPacket
from tests.bench.wire import (
    GCM,
    KEYS,
    OWN_PASSWORD,
    OWN_SSRC,
    REMOTE_PASSWORD,
    RTX_SSRC,
    SSRC,
    VIDEO,
    packet,
    wire,
)


@pytest.mark.parametrize("profile", list(SrtpProfile))
def test_what_arrives_is_counted_and_a_sample_authenticated_and_timed(profile: SrtpProfile):
    with wire([VIDEO], profile=profile) as one:
        for number in range(640):  # passes the sequence number's end
            one.send(packet(number, seq=65500 + number & 0xFFFF, at=monotonic_ns()))
        counts = one.settle()
        assert (counts["packets"], counts["gaps"]) == (640, 0)
        assert 20 <= counts["verified"] <= 60  # one of 16
        assert (counts["duplicates"], counts["late"], counts["rejected"], counts["foreign"]) == (0, 0, 0, 0)
        delays = list(one.load.take_delays())
        assert len(delays) == counts["verified"]
        assert all(0 < delay < 10_000_000_000 for delay in delays)
        assert len(one.load.take_delays()) == 0
        assert queue_drops(one.client) == 0


def test_holes_repeats_and_strangers_are_told_apart():
    with wire([VIDEO]) as one:
        # Unprotected packets do for counting, which comes before decrypting.
        for number in (0, 1, 3, 2, 2, 3, 5, 100, 100, 1200, 101):
            one.server.send(packet(number, seq=65000 + number & 0xFFFF))
        one.server.send(packet(6, ssrc=SSRC + 5))
        counts = one.settle()
        assert (counts["packets"], counts["late"], counts["foreign"]) == (7, 1, 1)
        # 101 comes so long after 1200 that nobody knows: it counts as a duplicate.
        assert counts["duplicates"] == 4
        assert counts["gaps"] == 1201 - 7


def test_what_is_forged_is_rejected():
    with wire([VIDEO]) as one:
        for number in range(200):
            one.server.send(packet(number, seq=number))
        counts = one.settle()
        assert (counts["packets"], counts["verified"]) == (200, 0)
        assert counts["rejected"] > 5
        assert len(one.load.take_delays()) == 0


@pytest.mark.parametrize("in_place", [True, False])
def test_a_packet_whose_number_is_not_its_stamp_s_is_rejected_where_nothing_may_be_left_out(in_place: bool):
    with wire([(*VIDEO[:5], in_place, VIDEO[6])]) as one:
        for number in range(120):  # from the sixtieth on, one was left out
            one.send(packet(number + (number >= 60), seq=number, at=monotonic_ns()))
        counts = one.settle()
        assert counts["verified"] > 0
        assert (counts["rejected"] > 0) == in_place


def test_nacks_name_what_is_missing_and_repairs_are_no_duplicates():
    missing = [3, 4, 9, 40]
    with wire([VIDEO], nacks=True) as one:
        for number in range(50):
            if number not in missing:
                one.send(packet(number, seq=(65520 + number) & 0xFFFF))
        (nack,) = RtcpPacket.parse(one.receive_rtcp())
        assert isinstance(nack, RtcpRtpfbPacket)
        assert (nack.fmt, nack.ssrc, nack.media_ssrc) == (1, OWN_SSRC, SSRC)
        assert sorted(nack.lost) == sorted((65520 + number) & 0xFFFF for number in missing)
        # Two come as RTX, one under its own SSRC; one of the RTX comes twice; the last never comes.
        for seq, number in enumerate((3, 3, 4)):
            clear = RtpPacket(97, RTX_SSRC, seq, 0, ((65520 + number) & 0xFFFF).to_bytes(2, "big") + bytes(100))
            one.send(bytes(clear))
        one.send(packet(9, seq=65529))
        counts = one.settle()
        assert (counts["packets"], counts["repaired"], counts["gaps"]) == (49, 3, 1)
        assert (counts["duplicates"], counts["late"]) == (0, 0)
        (again,) = RtcpPacket.parse(one.receive_rtcp())  # after a round trip
        assert isinstance(again, RtcpRtpfbPacket)
        assert again.lost == [(65520 + 40) & 0xFFFF]


def test_without_nacks_nothing_is_asked_for():
    with wire([VIDEO], nacks=False) as one:
        one.send(packet(0, seq=1), packet(1, seq=30))
        one.settle()
        report = RtcpPacket.parse(one.receive_rtcp())
        assert [type(part) for part in report] == [RtcpRrPacket]
        assert one.load.counts()["nacks"] == 0


def test_receiver_reports_say_what_was_lost_and_which_sender_report_was_heard():
    with wire([VIDEO]) as one:
        ntp = 0x1122334455667788
        body = struct.pack("!IQIII", SSRC, ntp, 0, 1, 1)
        one.server.send(one.outgoing.protect_rtcp(rtp.rtcp(rtp.SR, 0, body)))
        for number in range(0, 100, 2):
            one.send(packet(number, seq=(65500 + number) & 0xFFFF))
        (report,) = RtcpPacket.parse(one.receive_rtcp())
        assert isinstance(report, RtcpRrPacket)
        (block,) = report.reports
        assert (report.ssrc, block.ssrc) == (OWN_SSRC, SSRC)
        assert (block.packets_lost, block.highest_sequence) == (49, 65500 + 98)
        assert block.fraction_lost == 256 * 49 // 99
        assert block.lsr == 0x33445566
        assert 0 < block.dlsr < 2 * 65536


def test_a_viewer_asks_for_a_key_frame_at_the_start():
    audio = (0x99, 0, 48_000, False, False, True, 12)
    with wire([VIDEO, audio]) as one:
        one.load.started(one.number)
        (pli,) = RtcpPacket.parse(one.receive_rtcp())
        assert isinstance(pli, RtcpPsfbPacket)
        assert (pli.fmt, pli.ssrc, pli.media_ssrc) == (1, OWN_SSRC, SSRC)
        assert one.load.counts()["plis"] == 1


def read_transport_feedback(data: bytes) -> list[tuple[int, int | None]]:
    """(number, arrival in units of 250 µs or None): draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1."""
    base, count, reference = struct.unpack_from("!HHI", data, 12)
    at, symbols = 20, []
    while len(symbols) < count:
        (chunk,) = struct.unpack_from("!H", data, at)
        at += 2
        if not chunk & 0x8000:
            symbols += [chunk >> 13] * (chunk & 0x1FFF)
        elif chunk & 0x4000:
            symbols += [chunk >> shift & 3 for shift in range(12, -1, -2)]
        else:
            symbols += [chunk >> shift & 1 for shift in range(13, -1, -1)]
    time, found = (reference >> 8) * 256, []
    for place, symbol in enumerate(symbols[:count]):
        if symbol:
            (delta,) = struct.unpack_from("!B" if symbol == 1 else "!h", data, at)
            at += symbol
            time += delta
        found.append(((base + place) & 0xFFFF, time if symbol else None))
    padding = data[-1] if data[0] & 0x20 else 0
    assert at + padding == len(data)
    return found


def test_transport_feedback_tells_when_each_number_came():
    order = [65530, 65531, 65533, 65535, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 30, 29, 31]
    with wire([VIDEO], transport_id=3) as one:
        before = monotonic_ns()
        for number, transport in enumerate(order):
            one.send(packet(number, seq=number, transport=transport))
        data = one.receive_rtcp()
        after = monotonic_ns()
        # aiortc's parser refuses padding, as libwebrtc puts it behind this, so the frame is read by the fake browser's.
        (framed,) = rtp.parse_rtcp(data)
        assert (framed.type, framed.subtype) == (rtp.RTPFB, 15)
        assert struct.unpack_from("!II", framed.body) == (OWN_SSRC, SSRC)
        read = read_transport_feedback(data)
        assert [number for number, _ in read] == [number & 0xFFFF for number in range(65530, 65536 + 32)]
        came = {number: time for number, time in read if time is not None}
        assert sorted(came) == sorted(order)
        # The reference time has 24 bits of 64 ms: three days or so, then it begins anew.
        turn = (1 << 24) * 256
        assert all(
            before // 250_000 - 1 <= time + before // 250_000 // turn * turn <= after // 250_000
            for time in came.values()
        )
        assert one.load.counts()["transport_feedback"] == 1
        # Numbers that come after their feedback are left alone; the next begins where this one ended.
        one.send(packet(100, seq=100, transport=20), packet(101, seq=101, transport=33))
        (_, first), *_ = following = read_transport_feedback(one.receive_rtcp())
        assert [number for number, _ in following] == [32, 33]
        assert first is None


def test_more_numbers_than_one_feedback_holds_take_several():
    with wire([VIDEO], transport_id=3) as one:
        for number in range(900):
            if number % 3:
                one.send(packet(number, seq=number, transport=number))
        seen: list[int] = []
        while len(seen) < 600:
            data = one.receive_rtcp()
            assert len(data) <= 1200
            if data[:2] in (b"\x8f\xcd", b"\xaf\xcd"):
                seen += [number for number, time in read_transport_feedback(data) if time is not None]
        assert seen == [number for number in range(900) if number % 3]


def test_consent_is_renewed_with_a_request_that_a_foreign_stack_accepts():
    with wire() as one:
        seen = set()
        for _ in range(2):
            one.load.check_now(one.number)
            request = one.receive()
            message = foreign_stun.parse_message(request)
            assert message.check_message_integrity(REMOTE_PASSWORD)
            assert message.message_method == foreign_stun.Method.BINDING
            assert message.message_class == foreign_stun.Class.REQUEST
            assert message.attributes["USERNAME"] == "them:us"
            seen.add(message.transaction_id)
            # The answer to the last one counts, if it is authentic, and once.
            ours = Address("udp", *one.client.getsockname())
            one.server.send(stun.build_success(message.transaction_id, ours, "wrong-password-of-22-bytes"))
            one.server.send(stun.build_success(message.transaction_id, ours, REMOTE_PASSWORD.decode()))
        assert len(seen) == 2
        counts = one.settle()
        assert (counts["consents"], counts["consents_answered"]) == (2, 2)


def test_the_server_s_own_checks_are_answered_if_it_knows_the_password():
    with wire() as one:
        strange = foreign_stun.Message(foreign_stun.Method.BINDING, foreign_stun.Class.REQUEST)
        strange.add_message_integrity(b"guessed")
        one.server.send(bytes(strange))
        asked = foreign_stun.Message(foreign_stun.Method.BINDING, foreign_stun.Class.REQUEST)
        asked.attributes["USERNAME"] = "us:them"
        asked.attributes["PRIORITY"] = 1
        asked.add_message_integrity(OWN_PASSWORD)
        one.server.send(bytes(asked))
        answer = foreign_stun.parse_message(one.receive())
        assert answer.check_message_integrity(OWN_PASSWORD)
        assert answer.transaction_id == asked.transaction_id
        assert answer.message_class == foreign_stun.Class.RESPONSE
        assert answer.attributes["XOR-MAPPED-ADDRESS"] == one.server.getsockname()
        assert one.load.counts()["checks_served"] == 1


def test_ice_and_dtls_at_set_up_go_to_python():
    with wire() as one:
        one.server.send(b"\x16dtls")
        one.settle()
        assert one.load.poll() == (one.number, b"\x16dtls")
        assert one.load.poll() is None


def test_counts_stay_when_an_end_leaves_and_its_place_is_free_again():
    with wire([VIDEO]) as one:
        one.send(packet(0), packet(1, seq=65501), packet(5, seq=65505))
        one.settle()
        one.load.remove(one.number)
        counts = one.load.counts()
        assert (counts["packets"], counts["gaps"], counts["checks_served"]) == (3, 3, 1)
        with pytest.raises(ValueError, match="no remote end"):
            one.load.streams(one.number)
        assert one.load.add(one.client.fileno()) == one.number


def test_what_can_not_be_is_refused():
    with wire([VIDEO]) as one:
        with pytest.raises(ValueError, match="watches already"):
            one.load.watch(one.number, [VIDEO], 0)
        with pytest.raises(ValueError, match="nothing to play"):
            one.load.play(one.number, 0, 1)
        with pytest.raises(ValueError, match="publishes nothing"):
            one.load.source(one.number)
        with pytest.raises(ValueError, match="active already"):
            one.load.activate(
                one.number,
                SrtpPolicy(GCM, KEYS[GCM], inbound=True),
                SrtpPolicy(GCM, KEYS[GCM], inbound=False),
                OWN_SSRC,
                request=b"",
                remote_password=b"",
                own_password=b"",
                server_address=0,
                server_port=0,
            )
    full = Load(0, nacks=False, seed=1)
    with wire() as one, pytest.raises(RuntimeError, match="0 remote ends"):
        full.add(one.client.fileno())
