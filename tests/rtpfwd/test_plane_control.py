"""Commands whose work is divided, so that they never hold the plane for long."""

from __future__ import annotations

from rtpfwd.params import SrtpProfile
from tests.rtpfwd.plane_world import PROFILES, World, rtp, vp8

PROFILE = SrtpProfile.AEAD_AES_128_GCM


def test_keys_that_come_late_reach_every_consumer() -> None:
    world = World()
    publisher = world.end(5000)
    producer = world.video(publisher)
    viewer = world.end(6000)
    for number in range(9):
        world.watch(viewer, producer, ssrc=0x2000 + 16 * number)
    for again in range(3):
        if again:
            viewer.set_keys()  # the same ones; the sessions begin anew
            viewer.rtp.clear()
        world.send(publisher, rtp(1 + again, vp8(keyframe=True) + bytes([again]), ssrc=0x1000))
        assert sorted(packet.ssrc for packet in viewer.rtp) == [0x2000 + 16 * number for number in range(9)]


def test_nothing_is_sent_before_the_keys() -> None:
    world = World()
    publisher = world.end(5000)
    producer = world.video(publisher)
    late = world.plane.add_transport(srtp=True)
    world.plane.set_remote(late, 0, ("udp", "127.0.0.1", 6000))
    viewer = world.end(6001)
    viewer.handle, kept = late, viewer.handle
    consumer = world.watch(viewer, producer)
    world.send(publisher, rtp(1, vp8(keyframe=True), ssrc=0x1000))
    assert world.plane.counters()["drop_no_remote"] == 1
    key = bytes(PROFILES[PROFILE])
    world.plane.set_keys(late, PROFILE, send_key=key, recv_key=key)
    world.plane.set_remote(late, 0, viewer.address)
    publisher.send(world.now, rtp(2, vp8(keyframe=True), ssrc=0x1000))
    assert world.plane.consumer_stats(consumer)["packets"] == 1
    assert kept != late


def test_a_producer_goes_with_all_its_consumers() -> None:
    world = World()
    publisher = world.end(5000)
    producer = world.video(publisher)
    viewers = [world.end(6000 + number, None) for number in range(40)]
    for viewer in viewers:
        for number in range(3):
            world.watch(viewer, producer, ssrc=0x2000 + 16 * number)
    assert world.plane.counters()["streams"] == 121
    world.plane.remove_producer(producer)
    assert world.plane.counters()["streams"] == 0
    world.send(publisher, rtp(1, vp8(keyframe=True), ssrc=0x1000))
    assert all(viewer.rtp == [] for viewer in viewers)


def test_a_transport_goes_with_its_producers_consumers_of_any_number() -> None:
    world = World()
    publisher = world.end(5000)
    producers = [world.video(publisher, ssrc=0x1000 + 16 * number) for number in range(3)]
    viewer = world.end(6000)
    for number in range(90):
        world.watch(viewer, producers[number % 3], ssrc=0x2000 + 16 * number)
    world.watch(publisher, producers[0], ssrc=0x9000)
    world.plane.remove_transport(publisher.handle)
    assert world.plane.counters()["streams"] == 0


def test_addresses_are_free_again_after_their_transport() -> None:
    world = World(max_transports=1)
    for _ in range(50):
        handle = world.plane.add_transport(srtp=False)
        for port in range(1, 5):
            world.plane.admit(handle, 0, ("udp", "127.0.0.1", port))
        world.plane.dismiss(0, ("udp", "127.0.0.1", 2))
        world.plane.admit(handle, 0, ("udp", "127.0.0.1", 9))
        world.plane.remove_transport(handle)


def test_an_address_that_moved_stays_with_its_new_transport() -> None:
    world = World()
    first, second = world.plane.add_transport(srtp=False), world.plane.add_transport(srtp=False)
    address = ("udp", "127.0.0.1", 7000)
    world.plane.admit(first, 0, address)
    world.plane.admit(second, 0, address)
    world.plane.remove_transport(first)
    world.plane.ingest([(0, address, rtp(1, b"x", ssrc=1))], world.now)
    assert world.plane.transport_stats(second)["received_packets"] == 1
