"""What a publisher sends: recordings in a loop, synthetic frames, stamps, extensions, reports, answers to feedback."""

from __future__ import annotations

import dataclasses
import itertools
import struct
import time

import pytest
from aiortc.rtp import RtcpPacket, RtcpSrPacket

from bench.errors import BenchError
from bench.sources import Script, SyntheticSource, TraceSource, write_script
from bench.trace import TracePacket, load_trace, shipped
from server.io.clock import monotonic_ns
from server.testing import rtp
from server.testing.rtp import RtpPacket
from server.testing.stamps import is_keyframe, read_stamp
from tests.bench import recordings
from tests.bench.recordings import talk
from tests.bench.wire import Wire, wire

MS = 1_000_000
TRANSPORT_ID, SEND_TIME_ID = recordings.TRANSPORT_ID, recordings.SEND_TIME_ID


def publish(one: Wire, script: Script) -> None:
    one.load.publish(
        one.number,
        script.sents,
        script.steps,
        script.data,
        duration=script.duration,
        frame=script.frame,
        transport_seq=script.transport_seq,
    )


def play(one: Wire, seconds: float, packets: int) -> list[RtpPacket]:
    """Play, and answer the media of so many packets, in the clear."""
    one.load.play(one.number, monotonic_ns(), round(seconds * 1_000_000_000))
    return media(one, packets)


def media(one: Wire, packets: int) -> list[RtpPacket]:
    found: list[RtpPacket] = []
    while len(found) < packets:
        data = one.receive()
        if data[0] >> 6 == 2 and not 192 <= data[1] <= 223:
            found.append(RtpPacket.parse(one.incoming.unprotect(data)))
    return found


def test_a_recording_goes_on_over_its_end_and_over_pauses():
    script = write_script(TraceSource(talk()), "a")
    (audio_ssrc,) = [ssrc for ssrc, *_ in script.sents if ssrc == script.media[1][1].encodings[0].ssrc]
    with wire() as one:
        publish(one, script)
        found = play(one, 0.5, 25 * 2 + 14)  # two loops, and what is before 100 ms of the third: not the one at 100
        time.sleep(0.05)
        found += play(one, 0.3, 1)
        video = [packet for packet in found if packet.payload_type == 96]
        audio = [packet for packet in found if packet.payload_type == 111]
        assert {packet.ssrc for packet in audio} == {audio_ssrc}
        assert audio_ssrc != recordings.AUDIO_SSRC
        for stream in (video, audio):
            for before, after in itertools.pairwise(stream):
                assert (after.seq - before.seq) & 0xFFFF == 1
        # Frames are 40 ms apart, also where the recording begins again; Opus packets 20 ms.
        steps = {(after.timestamp - before.timestamp) & 0xFFFFFFFF for before, after in itertools.pairwise(video[:36])}
        assert steps == {0, 3600}
        assert {(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in itertools.pairwise(audio[:25])} == {960}
        assert [len(packet.payload) for packet in video[:3]] == [1000, 1000, 300]
        assert [len(packet.payload) for packet in audio[10:14]] == [40, 52, 64, 76]
        # After the pause the timestamps are ahead by it.
        last = found[-1]
        earlier = [packet for packet in found[:-1] if packet.ssrc == last.ssrc][-1]
        assert (last.timestamp - earlier.timestamp) & 0xFFFFFFFF > 0.05 * (
            90_000 if last.payload_type == 96 else 48_000
        )


def test_stamps_stand_where_there_is_room_and_number_each_stream():
    script = write_script(TraceSource(talk()), "a")
    with wire() as one:
        publish(one, script)
        before = monotonic_ns()
        found = play(one, 0.4, 50)
        after = monotonic_ns()
        numbers: dict[int, list[int]] = {}
        for place, packet in enumerate(found):
            if len(packet.payload) >= script.stamped_from:
                stamp = read_stamp(packet.payload)
                assert before <= stamp.sent_ns <= after
                numbers.setdefault(packet.ssrc, []).append((packet.seq - stamp.number) & 0xFFFF)
            else:
                assert packet.payload == bytes(len(packet.payload)), place  # as recorded
        assert len(numbers) == 2
        assert all(len(set(offsets)) == 1 for offsets in numbers.values())
        # What a server may look at is as it was recorded.
        assert is_keyframe(found[0].payload)
        assert found[0].payload[11:64] == bytes(range(1, 54))


def test_extensions_say_when_and_count_the_transport_s_packets():
    with wire() as one:
        publish(one, write_script(SyntheticSource(packets=3, size=100, fps=100, extensions="webrtc"), "a"))
        found = play(one, 0.1, 30)
        carried = [dict(packet.extensions) for packet in found]
        numbers = [int.from_bytes(one[TRANSPORT_ID], "big") for one in carried]
        assert [(number - numbers[0]) & 0xFFFF for number in numbers] == list(range(30))
        times = [int.from_bytes(one[SEND_TIME_ID], "big") for one in carried]
        # 2 to the 18 a second (6.18 fixed point), modulo 64 s.
        assert abs(((times[-1] - times[0]) & 0xFFFFFF) / 2**18 - 0.09) < 0.08
        assert all(set(one) == {2, 3, 4, 14} for one in carried)


def test_synthetic_frames_come_whole_and_a_key_frame_comes_when_it_is_asked_for():
    script = write_script(SyntheticSource(packets=5, size=300, fps=100), "a")
    (ssrc, rtx_ssrc, *_) = script.sents[0]
    with wire() as one:
        publish(one, script)
        found = play(one, 0.05, 25)
        assert [packet.marker for packet in found] == [False, False, False, False, True] * 5
        assert [is_keyframe(packet.payload) for packet in found] == [place == 0 for place in range(25)]
        assert {(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in itertools.pairwise(found)} == {0, 900}
        one.server.send(one.outgoing.protect_rtcp(rtp.pli(9, ssrc)))
        one.settle()
        assert is_keyframe(play(one, 0.01, 5)[0].payload)
        fir = rtp.rtcp(rtp.PSFB, 4, struct.pack("!IIIBxxx", 9, 0, ssrc, 1))
        one.server.send(one.outgoing.protect_rtcp(fir))
        one.settle()
        assert is_keyframe(play(one, 0.01, 5)[0].payload)
        assert one.load.source(one.number)["key_frame_requests"] == 2
        assert one.load.source(one.number)["sent"] == {ssrc: 35}
        assert rtx_ssrc not in one.load.source(one.number)["sent"]


def test_a_nack_is_answered_by_rtx_with_the_same_payload():
    script = write_script(SyntheticSource(packets=5, size=300, fps=100), "a")
    ssrc, rtx_ssrc = script.sents[0][:2]
    with wire() as one:
        publish(one, script)
        found = play(one, 0.05, 25)
        asked = [found[7], found[9], found[24]]
        numbers = [packet.seq for packet in asked]
        one.server.send(one.outgoing.protect_rtcp(rtp.nack(9, ssrc, [*numbers, (found[0].seq - 1) & 0xFFFF])))
        again = sorted(media(one, 3), key=lambda packet: packet.seq)
        assert {(packet.ssrc, packet.payload_type) for packet in again} == {(rtx_ssrc, 97)}
        originals = {int.from_bytes(packet.payload[:2], "big"): packet.payload[2:] for packet in again}
        assert originals == {packet.seq: packet.payload for packet in asked}
        one.settle()
        counts = one.load.source(one.number)
        assert (counts["nacked"], counts["resent"]) == (4, 3)


def test_sender_reports_say_what_was_sent():
    script = write_script(TraceSource(talk()), "a")
    with wire() as one:
        publish(one, script)
        found = play(one, 0.2, 25)
        reports = RtcpPacket.parse(one.receive_rtcp())
        assert all(isinstance(report, RtcpSrPacket) for report in reports)
        said = {report.ssrc: report.sender_info for report in reports if isinstance(report, RtcpSrPacket)}
        assert {ssrc: info.packet_count for ssrc, info in said.items()} == one.load.source(one.number)["sent"]
        for ssrc, info in said.items():
            mine = [packet for packet in found if packet.ssrc == ssrc]
            assert info.octet_count == sum(len(packet.payload) for packet in mine)
            rate = 90_000 if mine[0].payload_type == 96 else 48_000
            assert 0 <= (info.rtp_timestamp - mine[-1].timestamp) & 0xFFFFFFFF < 2 * rate


def test_publishers_of_one_recording_have_ssrcs_of_their_own_and_the_same_seed_the_same():
    first, again, second = (write_script(TraceSource(talk()), seed) for seed in ("a", "a", "b"))
    assert first == again
    assert not {row[0] for row in first.sents} & {row[0] for row in second.sents}
    (_, video), (_, audio) = first.media
    assert {row[0] for row in first.sents} == {video.encodings[0].ssrc, audio.encodings[0].ssrc}
    (row,) = [row for row in first.sents if row[0] == video.encodings[0].ssrc]
    assert video.encodings[0].rtx is not None
    assert row[1:3] == (video.encodings[0].rtx.ssrc, 97)


@pytest.mark.parametrize("name", shipped())
def test_shipped_traces_can_be_played(name: str):
    trace = load_trace(name)
    script = write_script(TraceSource(trace), "a")
    assert script.duration >= trace.duration_ns
    assert sum(row[-1] for row in script.sents) == len(script.steps) > 100
    with wire() as one:
        publish(one, script)
        assert len(play(one, 0.3, 5)) == 5


def test_what_can_not_be_played_is_refused():
    trace = talk()
    strange = dataclasses.replace(trace, media=(("audio", recordings.audio_parameters()),), packets=trace.packets[:1])
    with pytest.raises(BenchError, match="no media of the codecs"):
        write_script(TraceSource(strange), "a")
    first = trace.packets[0]
    large = dataclasses.replace(trace, packets=(TracePacket(0, first.data, 1600),))
    with pytest.raises(BenchError, match="1600 bytes"):
        write_script(TraceSource(large), "a")
    for source in (SyntheticSource(size=10), SyntheticSource(packets=0), SyntheticSource(size=1490)):
        with pytest.raises(BenchError, match="bytes"):
            write_script(source, "a")
