"""Refusals, drops by reason, removal cascades, and every bound."""

from __future__ import annotations

import random
import struct

import pytest

from rtpfwd.params import CodecParams, ConsumerParams, EncodingParams, PayloadMapping, ProducerParams, SrtpProfile
from rtpfwd.plane import Plane
from tests.rtpfwd.plane_world import MID, OPUS, RID, VP8, VP8_MAPPING, World, rtp, vp8

SOURCE = ("udp", "127.0.0.1", 1)


def drops(world: World) -> dict[str, int]:
    return {key: value for key, value in world.plane.counters().items() if key.startswith("drop_") and value}


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"", "empty"),
        (bytes([0x80]) * 3000, "truncated"),
        (b"\x40hello", "unknown_protocol"),
        (b"\xff", "unknown_protocol"),
        (b"\x80\x60", "rtp_short"),
        (rtp(1, b"", ssrc=1)[:11], "rtp_short"),
        (b"\xa0" + rtp(1, b"\x00", ssrc=0x1000)[1:], "rtp_padding"),
        (b"\x90" + rtp(1, b"\xbe\xde\x00\x01\x1fabc", ssrc=0x1000)[1:], "rtp_extension"),
        (rtp(1, b"x", ssrc=0xDEAD), "unknown_ssrc"),
        (rtp(1, b"x", ssrc=0x1000, payload_type=42), "unknown_payload_type"),
        (rtp(1, b"", ssrc=0x1001, payload_type=97), "rtx_empty"),
        (rtp(1, b"x", ssrc=0x1001, payload_type=97), "rtx_short"),
        (b"\x80\xc8\x00", "rtcp_short"),
        (b"\x80\xc8\x00\x09abcd", "rtcp_short"),
    ],
)
def test_every_kind_of_rubbish_is_counted_under_its_reason(datagram, reason):
    world = World()
    publisher = world.end(1, None)
    world.video(publisher)
    world.plane.ingest([(0, SOURCE, datagram)], world.now)
    assert drops(world) == {f"drop_{reason}": 1}
    assert world.plane.counters()["received_packets"] == 1


def test_srtp_drops_have_their_reasons():
    world = World()
    publisher = world.end(1)
    world.video(publisher)
    good = publisher.protect(rtp(1, vp8(keyframe=True), ssrc=0x1000))
    damaged = bytearray(publisher.protect(rtp(2, vp8(), ssrc=0x1000)))
    damaged[-1] ^= 1
    world.plane.ingest([(0, SOURCE, good), (0, SOURCE, good), (0, SOURCE, bytes(damaged))], world.now)
    keyless = world.plane.add_transport(srtp=True)
    world.plane.admit(keyless, 0, ("udp", "127.0.0.1", 9))
    world.plane.ingest([(0, ("udp", "127.0.0.1", 9), good), (0, ("udp", "127.0.0.1", 10), good)], world.now)
    assert drops(world) == {
        "drop_srtp_replay": 1,
        "drop_srtp_auth": 1,
        "drop_no_keys": 1,
        "drop_unknown_source": 1,
    }


def test_stun_and_dtls_are_handed_over_with_their_source_and_bounded():
    world = World()
    stranger = ("udp", "2001:db8::1", 77)
    world.plane.ingest([(3, stranger, b"\x00\x01stun"), (3, stranger, b"\x16dtls")], world.now)
    assert world.plane.poll_handoff() == (3, stranger, b"\x00\x01stun")
    assert world.plane.poll_handoff() == (3, stranger, b"\x16dtls")
    assert world.plane.poll_handoff() is None
    world.plane.ingest([(3, stranger, b"\x00\x01stun")] * 600, world.now)
    assert drops(world) == {"drop_handoff_full": 344}
    assert sum(world.plane.poll_handoff() is not None for _ in range(600)) == 256


def test_authenticated_strangers_are_bounded():
    world = World()
    publisher = world.end(1)
    world.video(publisher)
    for ssrc in range(0x9000, 0x9000 + 100):
        world.send(publisher, rtp(1, b"x", ssrc=ssrc))
    assert drops(world) == {"drop_unknown_ssrc": 100}
    # A stream that is known flows on, and RTCP of an SSRC beyond the bound is refused before it costs anything.
    viewer = world.end(2)
    world.watch(viewer, world.video(publisher, ssrc=0x1100))
    world.send(publisher, rtp(1, vp8(keyframe=True), ssrc=0x1100))
    world.send(publisher, struct.pack("!BBHI", 0x80, 201, 1, 0xBEEF))
    assert len(viewer.rtp) == 1
    assert world.plane.counters()["rtcp_received"] == 0


def test_ssrc_and_mid_collisions_are_refused_whole():
    world = World()
    publisher, viewer = world.end(1), world.end(2)
    producer = world.video(publisher)
    before = world.plane.counters()["streams"]
    for encodings in (
        (EncodingParams(ssrc=0x1000),),
        (EncodingParams(ssrc=0x3000, rtx_ssrc=0x1001),),
        (EncodingParams(ssrc=0x3000), EncodingParams(ssrc=0x1001)),
        (EncodingParams(ssrc=0x3000), EncodingParams(ssrc=0x3000)),
        (EncodingParams(rid="a"), EncodingParams(rid="a")),
        (EncodingParams(), EncodingParams(rid="a")),
        (),
    ):
        with pytest.raises(ValueError, match=r".+"):
            world.video(publisher, encodings=encodings)
    world.video(publisher, ssrc=0x3000)  # nothing of the refused ones stayed
    named = {"mid": "m", "extensions": ((MID, 1), (RID, 2))}
    world.video(publisher, encodings=(EncodingParams(rid="a"),), **named)
    with pytest.raises(ValueError, match="MID"):
        world.video(publisher, encodings=(EncodingParams(rid="a"),), **named)
    world.watch(viewer, producer)
    for ssrc, rtx in ((0x2000, 0x4000), (0x2001, 0x4000), (0x4000, 0x2000), (0x4000, 0x4000)):
        with pytest.raises(ValueError, match="SSRC"):
            world.watch(viewer, producer, ssrc=ssrc, rtx_ssrc=rtx)
    world.watch(viewer, producer, ssrc=0x4000, rtx_ssrc=0x4001)
    assert world.plane.counters()["streams"] == before + 4


@pytest.mark.parametrize(
    "change",
    [
        {"ssrc": 0},
        {"ssrc": 1 << 32},
        {"payload_types": ()},
        {"payload_types": (PayloadMapping(96, 200),)},
        {"payload_types": (PayloadMapping(95, 100),)},
        {"payload_types": (PayloadMapping(96, 100), PayloadMapping(96, 101))},
        {"selector": "no such selector"},
        {"mid": "x" * 40},
        {"extensions": ((MID, 0),)},
        {"extensions": ((MID, 3), (RID, 3))},
    ],
)
def test_consumer_parameters_that_cannot_be_right_change_nothing(change):
    world = World()
    publisher, viewer = world.end(1), world.end(2)
    producer = world.video(publisher)
    before = world.plane.counters()
    with pytest.raises(ValueError, match=r".+"):
        world.watch(viewer, producer, **change)
    assert world.plane.counters() == before


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "data"},
        {"codecs": ()},
        {"codecs": (VP8, VP8)},
        {"codecs": (CodecParams(128, "video/vp8", 90000),)},
        {"codecs": (CodecParams(96, "video/vp8", 0),)},
        {"encodings": tuple(EncodingParams(ssrc=n + 1) for n in range(17))},
        {"encodings": (EncodingParams(rid="r" * 17),)},
        {"mid": "m" * 17},
        {"cname": "c" * 256},
        {"extensions": ((MID, 256),)},
    ],
)
def test_producer_parameters_that_cannot_be_right_are_refused(change):
    world = World()
    with pytest.raises(ValueError, match=r".+"):
        world.video(world.end(1), **change)
    assert world.plane.counters()["streams"] == 0


def test_full_tables_say_so_and_recover():
    plane = Plane(max_transports=2, max_streams=2, seed=1)
    one, two = (plane.add_transport(srtp=False) for _ in range(2))
    with pytest.raises(RuntimeError, match="max_transports"):
        plane.add_transport(srtp=False)
    params = ProducerParams("audio", (OPUS,), (EncodingParams(ssrc=1), EncodingParams(ssrc=2)))
    producer = plane.add_producer(one, params)
    with pytest.raises(RuntimeError, match="max_streams"):
        plane.add_consumer(two, producer, ConsumerParams(5, (PayloadMapping(111, 111),)), 0)
    plane.remove_transport(one)
    assert plane.add_producer(two, params) != producer
    for port in range(1, 9):
        plane.admit(two, 0, ("udp", "127.0.0.1", port))
    with pytest.raises(RuntimeError, match="addresses"):
        plane.admit(two, 0, ("udp", "127.0.0.1", 99))
    plane.dismiss(0, ("udp", "127.0.0.1", 1))
    plane.admit(two, 0, ("udp", "127.0.0.1", 99))


def test_stale_and_foreign_handles_are_refused_everywhere():
    world = World()
    publisher, viewer = world.end(1), world.end(2)
    producer = world.video(publisher)
    consumer = world.watch(viewer, producer)
    plane = world.plane
    plane.remove_producer(producer)
    for call in (
        lambda: plane.pause_producer(producer),
        lambda: plane.producer_stats(producer),
        lambda: plane.remove_producer(producer),
        lambda: plane.consumer_stats(consumer),
        lambda: plane.resume_consumer(consumer, 1),
        lambda: plane.request_keyframe(consumer, 1),
        lambda: plane.remove_consumer(consumer),
        lambda: plane.remove_transport(producer),
        lambda: plane.transport_stats(0),
        lambda: plane.transport_stats(-1),
        lambda: plane.transport_stats(1 << 80),
        lambda: plane.set_remote(viewer.handle + 1, 0, None),
        lambda: world.watch(viewer, producer),
    ):
        with pytest.raises(KeyError):
            call()
    again = world.video(publisher)
    assert again != producer
    plane.pause_producer(again)


def test_removal_cascades_and_leaves_the_rest():
    world = World()
    first, second, viewer = (world.end(port) for port in (1, 2, 3))
    gone, stays = world.video(first), world.video(second)
    world.watch(viewer, gone, ssrc=0x2000)
    kept = world.watch(viewer, stays, ssrc=0x2100)
    empty = World().plane.counters()["history_slots_free"]
    for seq in range(1, 20):
        world.send(first, rtp(seq, vp8(keyframe=seq == 1), ssrc=0x1000))
        world.send(second, rtp(seq, vp8(keyframe=seq == 1), ssrc=0x1000))
    world.plane.remove_transport(first.handle)
    viewer.rtp.clear()
    world.send(first, rtp(20, vp8(), ssrc=0x1000))
    world.send(second, rtp(20, vp8(), ssrc=0x1000))
    assert [packet.ssrc for packet in viewer.rtp] == [0x2100]
    assert world.plane.consumer_stats(kept)["packets"] == 20
    assert drops(world)["drop_unknown_source"] == 1
    world.plane.remove_transport(viewer.handle)
    world.plane.remove_transport(second.handle)
    counters = world.plane.counters()
    assert counters["streams"] == 0
    assert counters["history_slots_free"] == empty
    assert world.plane.next_timeout() is None or world.advance(3000) is None
    assert world.plane.next_timeout() is None


def test_a_consumer_may_be_on_its_producers_transport():
    world = World()
    end = world.end(1)
    world.watch(end, world.video(end))
    world.send(end, rtp(1, vp8(keyframe=True), ssrc=0x1000))
    assert [packet.ssrc for packet in end.rtp] == [0x2000]
    world.plane.remove_transport(end.handle)
    assert world.plane.counters()["streams"] == 0


def test_an_admitted_address_moves():
    world = World()
    one, two = world.end(1), world.end(2)
    world.video(two, ssrc=0x5000)
    world.plane.admit(two.handle, 0, one.address)
    world.plane.ingest([(0, one.address, two.protect(rtp(1, vp8(), ssrc=0x5000)))], world.now)
    assert drops(world) == {}
    world.plane.remove_transport(one.handle)
    world.plane.ingest([(0, one.address, two.protect(rtp(2, vp8(), ssrc=0x5000)))], world.now)
    assert drops(world) == {}


@pytest.mark.parametrize(
    "address",
    [
        ("udp", "::ffff:127.0.0.1", 1),
        ("udp", "localhost", 1),
        ("sctp", "127.0.0.1", 1),
        ("udp", "127.0.0.1", 0),
        ("udp", "127.0.0.1", 65536),
        ("udp", "fe80::1%lo", 1),
        ("udp", "127.0.0.1"),
        None,
    ],
)
def test_addresses_that_cannot_be_right_are_refused(address):
    world = World()
    handle = world.plane.add_transport(srtp=False)
    with pytest.raises(ValueError, match="address"):
        world.plane.admit(handle, 0, address)
    with pytest.raises(ValueError, match="address"):
        world.plane.ingest([(0, SOURCE, b"x"), (0, address, b"x")], 1)
    assert world.plane.counters()["received_packets"] == 0


def test_keys_that_cannot_be_right_are_refused_and_plain_transports_take_none():
    plane = Plane(seed=1)
    secure, plain = plane.add_transport(srtp=True), plane.add_transport(srtp=False)
    with pytest.raises(ValueError, match="28 bytes"):
        plane.set_keys(secure, SrtpProfile.AEAD_AES_128_GCM, bytes(28), bytes(30))
    with pytest.raises(ValueError, match="no keys"):
        plane.set_keys(plain, SrtpProfile.AEAD_AES_128_GCM, bytes(28), bytes(28))


def test_one_socket_belongs_to_one_plain_transport():
    plane = Plane(seed=1)
    one, two = plane.add_transport(srtp=False), plane.add_transport(srtp=False)
    plane.admit_any(one, 4, comedia=False)
    with pytest.raises(ValueError, match="socket"):
        plane.admit_any(two, 4, comedia=False)
    plane.remove_transport(one)
    plane.admit_any(two, 4, comedia=False)


def test_more_pending_and_output_than_the_areas_hold():
    world = World()
    publisher = world.end(1)
    producer = world.video(publisher)
    viewers = [world.end(100 + n) for n in range(30)]
    for viewer in viewers:
        world.plane.add_consumer(viewer.handle, producer, ConsumerParams(0x2000, VP8_MAPPING), world.now)
    publisher.send(world.now, *[rtp(seq, vp8(keyframe=seq == 1), ssrc=0x1000) for seq in range(1, 131)])
    world.drain()
    assert [len(viewer.rtp) for viewer in viewers] == [130] * 30


def test_the_counters_name_every_drop_reason():
    from rtpfwd.names import DROP_REASONS

    counters = Plane(seed=1).counters()
    assert {f"drop_{name}" for name in DROP_REASONS if name != "none"} == {
        key for key in counters if key.startswith("drop_")
    }


def test_addresses_come_and_go_like_in_a_dictionary():
    rng = random.Random(5)
    plane = Plane(max_transports=16, max_streams=16, seed=5)
    handles = [plane.add_transport(srtp=False) for _ in range(4)]
    model: dict[tuple[int, str, int], int] = {}
    for _ in range(3000):
        key = (rng.randrange(2), f"127.0.0.{rng.randrange(1, 4)}", rng.randrange(1, 9))
        address = ("udp", key[1], key[2])
        if rng.random() < 0.5:
            owner = rng.choice(handles)
            plane.admit(owner, key[0], address)
            model[key] = owner
        else:
            plane.dismiss(key[0], address)
            model.pop(key, None)
        if rng.random() < 0.01:
            gone = handles.pop(rng.randrange(4))
            plane.remove_transport(gone)
            model = {key: owner for key, owner in model.items() if owner != gone}
            handles.append(plane.add_transport(srtp=False))
        probe = (rng.randrange(2), f"127.0.0.{rng.randrange(1, 4)}", rng.randrange(1, 9))
        before = plane.counters()["drop_unknown_source"]
        plane.ingest([(probe[0], ("udp", probe[1], probe[2]), rtp(1, b"x", ssrc=1))], 0)
        assert plane.counters()["drop_unknown_source"] - before == (probe not in model)
        if probe in model:
            assert plane.transport_stats(model[probe])["received_packets"] > 0
