"""Publisher to viewers: SRTP, numbering, pauses, extensions, simulcast."""

from __future__ import annotations

import itertools

import pytest

from rtpfwd.events import RemoteLearned, StreamStarted
from rtpfwd.params import CodecParams, ConsumerParams, EncodingParams, PayloadMapping, ProducerParams
from tests.rtpfwd.plane_world import (
    MID,
    OPUS,
    OPUS_MAPPING,
    PROFILES,
    RID,
    RRID,
    VP8,
    World,
    rtp,
    vp8,
)

each_profile = pytest.mark.parametrize("profile", [*PROFILES, None], ids=lambda p: p.name if p else "clear")


@each_profile
def test_two_viewers_get_every_packet_renumbered(profile):
    world = World()
    publisher, *viewers = (world.end(port, profile) for port in (1, 2, 3))
    producer = world.video(publisher)
    for index, viewer in enumerate(viewers):
        world.watch(viewer, producer, ssrc=0x2000 + 16 * index)
    for seq in range(65500, 65600):
        world.send(publisher, rtp(seq, vp8(keyframe=seq == 65500) + seq.to_bytes(4, "big"), ssrc=0x1000))
        world.advance(20)
    for index, viewer in enumerate(viewers):
        assert len(viewer.rtp) == 100
        assert {packet.ssrc for packet in viewer.rtp} == {0x2000 + 16 * index}
        assert {packet.payload_type for packet in viewer.rtp} == {101}
        first = viewer.rtp[0]
        for step, packet in enumerate(viewer.rtp):
            assert packet.seq == (first.seq + step) & 0xFFFF
            assert packet.timestamp == (first.timestamp + 3000 * step) & 0xFFFFFFFF
            assert packet.payload.endswith((65500 + step).to_bytes(4, "big"))
    assert world.plane.counters()["forwarded_packets"] == 200
    assert world.plane.transport_stats(publisher.handle)["received_packets"] == 100


def test_a_batch_leaves_viewer_by_viewer():
    world = World()
    publisher, one, two = (world.end(port) for port in (1, 2, 3))
    producer = world.video(publisher)
    world.watch(one, producer)
    world.watch(two, producer)
    publisher.send(world.now, *[rtp(seq, vp8(keyframe=seq == 1), ssrc=0x1000) for seq in range(1, 11)])
    ports = []
    while (sent := world.plane.poll_transmit()) is not None:
        if not 192 <= sent[2][1] <= 223:
            ports.append(sent[1][2])
    assert sorted(ports) == [2] * 10 + [3] * 10
    assert len([None for a, b in itertools.pairwise(ports) if a != b]) == 1


def test_video_begins_at_a_keyframe_and_audio_at_once():
    world = World()
    publisher, viewer = world.end(1), world.end(2)
    video = world.video(publisher)
    audio = world.plane.add_producer(publisher.handle, ProducerParams("audio", (OPUS,), (EncodingParams(ssrc=0x1100),)))
    world.watch(viewer, video)
    world.plane.add_consumer(viewer.handle, audio, ConsumerParams(0x2100, OPUS_MAPPING), world.now)
    world.send(publisher, rtp(1, vp8(), ssrc=0x1000), rtp(1, b"opus", ssrc=0x1100, payload_type=111))
    assert [packet.payload for packet in viewer.rtp] == [b"opus"]
    assert world.plane.counters()["drop_selector"] == 1
    world.send(publisher, rtp(2, vp8(keyframe=True), ssrc=0x1000))
    assert [packet.ssrc for packet in viewer.rtp] == [0x2100, 0x2000]


def test_a_paused_consumer_resumes_without_a_gap_at_a_keyframe():
    world = World()
    publisher, viewer = world.end(1), world.end(2)
    producer = world.video(publisher)
    consumer = world.watch(viewer, producer)
    for seq in range(1, 11):
        world.send(publisher, rtp(seq, vp8(keyframe=seq == 1), ssrc=0x1000))
    world.plane.pause_consumer(consumer)
    for seq in range(11, 21):
        world.send(publisher, rtp(seq, vp8(), ssrc=0x1000))
    assert len(viewer.rtp) == 10
    world.advance(600)
    publisher.rtcp.clear()
    world.plane.resume_consumer(consumer, world.now)
    world.drain()
    assert len(publisher.took_rtcp(206, 1)) == 1
    for seq in range(21, 31):
        world.send(publisher, rtp(seq, vp8(keyframe=seq == 25), ssrc=0x1000))
    assert len(viewer.rtp) == 16
    assert [(packet.seq - viewer.rtp[0].seq) & 0xFFFF for packet in viewer.rtp] == list(range(16))
    assert viewer.rtp[10].payload == vp8(keyframe=True)


def test_a_paused_producer_forwards_nothing_and_resumes():
    world = World()
    publisher, viewer = world.end(1), world.end(2)
    producer = world.video(publisher)
    world.watch(viewer, producer)
    world.send(publisher, rtp(1, vp8(keyframe=True), ssrc=0x1000))
    world.plane.pause_producer(producer)
    world.send(publisher, rtp(2, vp8(keyframe=True), ssrc=0x1000))
    assert len(viewer.rtp) == 1
    assert world.plane.counters()["drop_producer_paused"] == 1
    world.plane.resume_producer(producer, world.now)
    world.send(publisher, rtp(3, vp8(), ssrc=0x1000), rtp(4, vp8(keyframe=True), ssrc=0x1000))
    assert [packet.seq - viewer.rtp[0].seq & 0xFFFF for packet in viewer.rtp] == [0, 1]


def test_extensions_are_renumbered_stripped_and_the_mid_is_the_consumers():
    world = World()
    publisher, viewer = world.end(1), world.end(2)
    level = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
    unknown = "urn:example:private"
    producer = world.plane.add_producer(
        publisher.handle,
        ProducerParams(
            "audio",
            (OPUS,),
            (EncodingParams(ssrc=0x1100),),
            mid="0",
            extensions=((MID, 1), (level, 2), (unknown, 3)),
        ),
    )
    world.plane.add_consumer(
        viewer.handle,
        producer,
        ConsumerParams(0x2100, OPUS_MAPPING, mid="17", extensions=((MID, 9), (level, 10))),
        world.now,
    )
    extensions = {1: b"0", 2: b"\x55", 3: b"xyz"}
    world.send(publisher, rtp(1, b"opus", ssrc=0x1100, payload_type=111, extensions=extensions))
    assert viewer.rtp[0].extensions == {9: b"17", 10: b"\x55"}


def test_simulcast_is_found_by_mid_and_rid_and_its_retransmissions_by_repaired_rid():
    world = World()
    publisher, viewer = world.end(1), world.end(2)
    producer = world.plane.add_producer(
        publisher.handle,
        ProducerParams(
            "video",
            (VP8,),
            tuple(EncodingParams(rid=rid) for rid in ("q", "h", "f")),
            mid="1",
            extensions=((MID, 1), (RID, 2), (RRID, 3)),
        ),
    )
    world.watch(viewer, producer)
    for index, rid in enumerate((b"q", b"h", b"f")):
        named = {1: b"1", 2: rid}
        ssrc = 0x5000 + index
        world.send(publisher, rtp(1, vp8(keyframe=True), ssrc=ssrc, extensions=named))
        world.send(publisher, rtp(3, vp8(), ssrc=ssrc))  # found by SSRC from now on
        # The lost packet comes back on an SSRC that only the repaired RID names.
        world.send(
            publisher,
            rtp(77, (2).to_bytes(2, "big") + vp8(), ssrc=ssrc + 16, payload_type=97, extensions={1: b"1", 3: rid}),
        )
    assert [(e.producer, e.encoding, e.ssrc) for e in world.events() if isinstance(e, StreamStarted)] == [
        (producer, 0, 0x5000),
        (producer, 1, 0x5001),
        (producer, 2, 0x5002),
    ]
    stats = world.plane.producer_stats(producer)
    assert [row["packets"] for row in stats] == [3, 3, 3]
    assert [row["recovered"] for row in stats] == [1, 1, 1]
    assert [row["rid"] for row in stats] == ["q", "h", "f"]
    # The passthrough selector shows the first one that began, and nothing of the others.
    assert len(viewer.rtp) == 3


def test_a_rid_without_mid_and_an_unsignalled_stream_are_found():
    world = World()
    publisher = world.end(1)
    by_rid = world.plane.add_producer(
        publisher.handle,
        ProducerParams("video", (VP8,), (EncodingParams(rid="a"),), mid="0", extensions=((MID, 1), (RID, 2))),
    )
    by_type = world.plane.add_producer(publisher.handle, ProducerParams("audio", (OPUS,), (EncodingParams(),)))
    world.send(publisher, rtp(1, vp8(keyframe=True), ssrc=0x77, extensions={2: b"a"}))
    world.send(publisher, rtp(1, b"opus", ssrc=0x88, payload_type=111))
    assert {(e.producer, e.ssrc) for e in world.events() if isinstance(e, StreamStarted)} == {
        (by_rid, 0x77),
        (by_type, 0x88),
    }
    world.send(publisher, rtp(1, b"opus", ssrc=0x99, payload_type=111))
    world.send(publisher, rtp(1, vp8(), ssrc=0x9A, extensions={2: b"zz"}))
    assert world.plane.counters()["drop_unknown_ssrc"] == 2


def test_a_sender_that_begins_anew_under_another_ssrc_goes_on():
    world = World()
    publisher, viewer = world.end(1), world.end(2)
    producer = world.plane.add_producer(
        publisher.handle,
        ProducerParams("video", (VP8,), (EncodingParams(),), mid="0", extensions=((MID, 1),)),
    )
    world.watch(viewer, producer)
    world.send(publisher, rtp(1, vp8(keyframe=True), ssrc=0x70, extensions={1: b"0"}))
    world.send(publisher, rtp(9000, vp8(), ssrc=0x71, extensions={1: b"0"}))
    world.send(publisher, rtp(9001, vp8(keyframe=True), ssrc=0x71, extensions={1: b"0"}))
    assert [(packet.seq - viewer.rtp[0].seq) & 0xFFFF for packet in viewer.rtp] == [0, 1]


def test_padding_only_packets_leave_no_gap():
    world = World()
    publisher, viewer = world.end(1), world.end(2)
    world.watch(viewer, world.video(publisher))
    padding = bytearray(rtp(2, bytes(9) + b"\x0a", ssrc=0x1000))
    padding[0] |= 0x20
    world.send(publisher, rtp(1, vp8(keyframe=True), ssrc=0x1000), bytes(padding), rtp(3, vp8(), ssrc=0x1000))
    assert [(packet.seq - viewer.rtp[0].seq) & 0xFFFF for packet in viewer.rtp] == [0, 1]


def test_comedia_learns_the_first_valid_source_and_keeps_it():
    world = World()
    viewer = world.end(2, None)
    plain = world.plane.add_transport(srtp=False)
    world.plane.admit_any(plain, 5, comedia=True)
    producer = world.plane.add_producer(plain, ProducerParams("audio", (OPUS,), (EncodingParams(),)))
    world.plane.add_consumer(viewer.handle, producer, ConsumerParams(0x2100, OPUS_MAPPING), world.now)
    packet = rtp(1, b"opus", ssrc=7, payload_type=111)
    world.plane.ingest([(5, ("udp", "127.0.0.9", 9), b"\x80")], world.now)
    world.plane.ingest([(5, ("udp", "127.0.0.1", 40), packet)], world.now)
    world.plane.ingest([(5, ("udp", "127.0.0.1", 41), rtp(2, b"evil", ssrc=7, payload_type=111))], world.now)
    world.drain()
    assert RemoteLearned(plain, 5, ("udp", "127.0.0.1", 40)) in world.events()
    assert [packet.payload for packet in viewer.rtp] == [b"opus"]
    assert world.plane.counters()["drop_unknown_source"] == 1


def test_keys_that_come_late_and_a_remote_that_moves():
    world = World()
    publisher, viewer = world.end(1), world.end(2)
    producer = world.video(publisher)
    late = world.plane.add_transport(srtp=True)
    world.plane.set_remote(late, 0, ("udp", "127.0.0.1", 3))
    world.plane.add_consumer(late, producer, ConsumerParams(0x2000, (PayloadMapping(96, 101),)), world.now)
    world.send(publisher, rtp(1, vp8(keyframe=True), ssrc=0x1000))
    assert world.plane.counters()["drop_no_remote"] == 1
    assert world.plane.poll_transmit() is None
    # The viewer's own End takes the place of the late transport's remote.
    viewer.handle = late
    viewer.set_keys()
    world.ends[("udp", "127.0.0.1", 3)] = viewer
    world.send(publisher, rtp(2, vp8(keyframe=True), ssrc=0x1000))
    assert len(viewer.rtp) == 1
    world.plane.set_remote(late, 0, ("udp", "::1", 4))
    world.ends[("udp", "::1", 4)] = viewer
    world.send(publisher, rtp(3, vp8(), ssrc=0x1000))
    assert len(viewer.rtp) == 2
    world.plane.set_remote(late, 0, None)
    world.send(publisher, rtp(4, vp8(), ssrc=0x1000))
    assert len(viewer.rtp) == 2


def test_a_tcp_destination_is_bounded():
    world = World()
    publisher, viewer = world.end(1), world.end(2, protocol="tcp")
    world.watch(viewer, world.video(publisher))
    for seq in range(1, 1001):
        publisher.send(world.now, rtp(seq, vp8(keyframe=seq == 1, size=1000), ssrc=0x1000))
    assert 480 * 1024 < world.plane.transport_stats(viewer.handle)["queued_bytes"] <= 512 * 1024
    assert world.plane.counters()["drop_transmit_full"] > 400
    world.drain()
    assert world.plane.transport_stats(viewer.handle)["queued_bytes"] == 0
    world.send(publisher, rtp(1001, vp8(), ssrc=0x1000))
    assert viewer.rtp[-1].payload == vp8()


def test_codecs_of_one_producer_keep_their_own_numbers():
    world = World()
    publisher, viewer = world.end(1), world.end(2)
    h264 = CodecParams(98, "video/h264", 90000, pli=True)
    producer = world.video(publisher, codecs=(VP8, h264))
    world.watch(viewer, producer, payload_types=(PayloadMapping(96, 101), PayloadMapping(98, 103)))
    idr = b"\x65" + bytes(20)
    world.send(publisher, rtp(1, vp8(keyframe=True), ssrc=0x1000), rtp(2, idr, ssrc=0x1000, payload_type=98))
    world.send(publisher, rtp(3, b"?", ssrc=0x1000, payload_type=99))
    assert [packet.payload_type for packet in viewer.rtp] == [101, 103]
    assert world.plane.counters()["drop_unknown_payload_type"] == 1


def test_passthrough_of_simulcast_stays_on_one_encoding_until_it_falls_silent():
    """Three encodings with numbers of their own, interleaved as a browser sends them. The first keyframe decides. When
    that encoding stops, a keyframe of another is asked for, and the viewer's numbering goes on without a gap."""
    world = World()
    publisher, viewer = world.end(1), world.end(2)
    ssrcs = (0x5000, 0x5001, 0x5002)
    first_seqs = (40_000, 100, 65_530)
    producer = world.plane.add_producer(
        publisher.handle, ProducerParams("video", (VP8,), tuple(EncodingParams(ssrc=ssrc) for ssrc in ssrcs))
    )
    world.watch(viewer, producer)

    def send_frame(frame: int, encodings: tuple[int, ...], *, keyframe: bool = False) -> None:
        for index in encodings:
            body = vp8(keyframe=keyframe, size=100 + index)
            world.send(publisher, rtp(first_seqs[index] + frame, body, ssrc=ssrcs[index], timestamp=frame * 3000))
        world.advance(33)

    send_frame(0, (1, 2, 0), keyframe=True)
    for frame in range(1, 30):
        send_frame(frame, (0, 1, 2))
    assert [len(packet.payload) for packet in viewer.rtp] == [len(vp8(size=101))] * 30
    publisher.rtcp.clear()
    for frame in range(30, 80):
        send_frame(frame, (0, 2))
    asked = publisher.took_rtcp(206, 1)
    assert asked
    assert int.from_bytes(asked[-1][4:8], "big") == ssrcs[0]
    send_frame(80, (0, 2), keyframe=True)
    for frame in range(81, 100):
        send_frame(frame, (0, 2))
    assert [len(packet.payload) for packet in viewer.rtp[30:]] == [len(vp8(size=100))] * 20
    assert [(packet.seq - viewer.rtp[0].seq) & 0xFFFF for packet in viewer.rtp] == list(range(50))
    steps = [(later.timestamp - earlier.timestamp) & 0xFFFFFFFF for earlier, later in itertools.pairwise(viewer.rtp)]
    assert all(0 < step < 300_000 for step in steps)
