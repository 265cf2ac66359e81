"""The generator against a real node over real sockets, some of it through a relay that loses, repeats and reorders."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio

from bench.errors import BenchError
from bench.generator import Generator, SyntheticSource, TraceSource, open_generator
from bench.sightline_target import open_sightline
from rtpfwd.params import SrtpProfile
from tests.bench.recordings import simulcast, talk
from tests.bench.relay import RelayedRoom, relayed, seq_of, ssrc_of

GCM = SrtpProfile.AEAD_AES_128_GCM
SMALL = SyntheticSource(packets=4, size=200, fps=50)


async def eventually(condition: Callable[[], bool], what: str) -> None:
    """Real sockets need a moment, never long."""
    with trio.move_on_after(10):
        while not condition():
            await trio.sleep(0.005)
        return
    pytest.fail(f"not within 10 s: {what}")


def all_arrived(generator: Generator) -> Callable[[], bool]:
    return lambda: generator.received()["packets"] >= generator.expected()


@pytest.mark.parametrize("profile", list(SrtpProfile))
@pytest.mark.parametrize("extensions", ["mid", "webrtc"])
async def test_every_viewer_gets_what_every_publisher_sends(profile: SrtpProfile, extensions: str):
    source = SyntheticSource(packets=4, size=200, fps=50, extensions=extensions)
    async with open_sightline() as target, open_generator(target, capacity=4, profile=profile, seed=7) as generator:
        room = await target.open_room()
        publishers = [await generator.publish(room, source) for _ in range(2)]
        viewers = [await generator.watch(room, publishers) for _ in range(2)]
        pace = await generator.play(publishers, 0.5)
        assert (pace.frames, pace.refused_packets) == (50, 0)
        assert [publisher.sent for publisher in publishers] == [100, 100]
        assert generator.expected() == 400
        await eventually(all_arrived(generator), "all packets arrive")
        received = generator.received()
        assert received["packets"] == 400
        assert {name: received[name] for name in ("duplicates", "late", "rejected", "foreign")} == dict.fromkeys(
            ("duplicates", "late", "rejected", "foreign"), 0
        )
        assert received["verified"] > 5
        assert len(generator.take_delays()) == received["verified"]
        assert (generator.gaps(), generator.queue_drops(), generator.overflows) == (0, 0, 0)
        assert len(generator.handshakes) == 4
        assert all(0 < ns < 30_000_000_000 for ns in generator.handshakes)
        feedback = generator.feedback()
        assert feedback["plis"] == 4
        assert feedback["key_frame_requests"] >= 2  # of the viewers, through the node
        assert feedback["bad_rtcp"] == 0
        if extensions == "webrtc":
            assert feedback["transport_feedback"] > 0
            assert feedback["transport_feedback_heard"] > 0  # from the node to the publishers
        viewers[0].close()
        publishers[0].close()
        assert (generator.expected(), generator.received()["packets"]) == (400, 400)
        assert (await generator.play(publishers[1:], 0.1)).frames == 5
        assert generator.expected() == 420
        await eventually(all_arrived(generator), "the viewer that stayed gets more")
        refused = [name for name, value in (await target.counters()).items() if "drop" in name and value]
        assert refused == []


async def test_what_is_lost_repeated_or_reordered_on_the_way_is_counted_as_such():
    async with (
        open_sightline() as target,
        open_generator(target, capacity=2, profile=GCM, seed=1, nacks=False) as generator,
        relayed(await target.open_room()) as room,
    ):
        publisher = await generator.publish(room, SMALL)
        viewer = await generator.watch(room, [publisher])
        fates = {"lost": 0, "repeated": 0, "held": 0}
        waiting: list[bytes] = []
        seen: list[int] = []

        def fate(datagram: bytes) -> list[bytes]:
            seen.append(seq_of(datagram))
            place = len(seen)
            if place % 20 == 7:
                fates["lost"] += 1
                return []
            if place % 20 == 13:
                fates["repeated"] += 1
                return [datagram, datagram]
            if place % 20 == 16:
                fates["held"] += 1
                waiting.append(datagram)
                return []
            held = waiting[:]
            waiting.clear()
            return [datagram, *held]

        room.down = fate
        await generator.play([publisher], 1)
        await eventually(lambda: len(seen) == 200, "everything passed the relay")
        assert fates == {"lost": 10, "repeated": 10, "held": 10}
        await eventually(lambda: generator.received()["packets"] == 190, "everything but the lost arrives")
        received = generator.received()
        assert (received["duplicates"], received["late"], received["repaired"]) == (10, 10, 0)
        assert (generator.expected(), generator.gaps()) == (200, 10)
        assert received["rejected"] == 0
        assert viewer.subscription.streams[0].publisher == publisher.id


async def test_viewers_that_ask_get_what_was_lost():
    async with (
        open_sightline() as target,
        open_generator(target, capacity=2, profile=GCM, seed=1) as generator,
        relayed(await target.open_room()) as room,
    ):
        publisher = await generator.publish(room, SMALL)
        viewer = await generator.watch(room, [publisher])
        ssrc = viewer.subscription.streams[0].parameters.encodings[0].ssrc
        lost = drop_one_of(10, room, "down", lambda: ssrc)
        await generator.play([publisher], 1)
        await eventually(all_arrived(generator), "all holes are repaired")
        received = generator.received()
        assert received["packets"] == publisher.sent == 200
        assert received["repaired"] == len(lost) > 10
        assert (received["duplicates"], generator.gaps()) == (0, 0)
        assert generator.feedback()["nacks"] > 0


async def test_publishers_send_again_what_the_server_misses():
    async with (
        open_sightline() as target,
        open_generator(target, capacity=2, profile=GCM, seed=1) as generator,
        relayed(await target.open_room()) as room,
    ):
        publisher = await generator.publish(room, SyntheticSource(packets=4, size=200, fps=50, extensions="webrtc"))
        await generator.watch(room, [publisher])
        (ssrc,) = publisher.sent_by_ssrc
        lost = drop_one_of(10, room, "up", lambda: ssrc)
        await generator.play([publisher], 1)
        await eventually(all_arrived(generator), "the publisher repaired all holes")
        feedback = generator.feedback()
        assert feedback["resent"] >= len(lost) > 10
        assert generator.received()["rejected"] == 0


def drop_one_of(share: int, room: RelayedRoom, way: str, ssrc: Callable[[], int | None]) -> list[int]:
    """Lose one of so many packets of an SSRC, but never among the last: nothing after it would show the hole."""
    lost: list[int] = []
    count = 0

    def fate(datagram: bytes) -> list[bytes]:
        nonlocal count
        if ssrc_of(datagram) == ssrc():
            count += 1
            if count % share == 5 and count < 180:
                lost.append(seq_of(datagram))
                return []
        return [datagram]

    setattr(room, way, fate)
    return lost


async def test_what_was_changed_on_the_way_is_rejected():
    async with (
        open_sightline() as target,
        open_generator(target, capacity=2, profile=GCM, seed=1) as generator,
        relayed(await target.open_room()) as room,
    ):
        publisher = await generator.publish(room, SMALL)
        await generator.watch(room, [publisher])
        room.down = lambda datagram: [datagram[:-1] + bytes((datagram[-1] ^ 1,))]
        await generator.play([publisher], 1)
        await eventually(all_arrived(generator), "all packets arrive")
        assert generator.received()["rejected"] > 0
        assert generator.received()["verified"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("checking", [True, False])
async def test_only_consent_checks_keep_a_connection_alive(checking: bool):
    async with (
        open_sightline(options={"consent_timeout_ns": "1000000000"}) as target,
        open_generator(target, capacity=2, profile=GCM, seed=1) as generator,
    ):
        room = await target.open_room()
        publisher = await generator.publish(room, SMALL)
        viewer = await generator.watch(room, [publisher])
        for _ in range(8):
            await trio.sleep(0.25)
            if checking:
                generator.load.check_now(publisher.end.number)
                generator.load.check_now(viewer.end.number)
        await generator.play([publisher], 0.2)
        if checking:
            await eventually(all_arrived(generator), "media flows after two seconds")
            assert generator.feedback()["consents_answered"] == 16
        else:
            assert generator.received()["packets"] == 0


@pytest.mark.slow
async def test_a_recording_is_forwarded_whole():
    async with open_sightline() as target, open_generator(target, capacity=3, profile=GCM, seed=1) as generator:
        room = await target.open_room()
        publisher = await generator.publish(room, TraceSource(talk()))
        await generator.watch(room, [publisher])
        assert publisher.exact
        assert sorted(publisher.sent_by_ssrc.values()) == [0, 0]
        await generator.play([publisher], 2)  # ten loops
        await eventually(all_arrived(generator), "all packets arrive")
        received = generator.received()
        assert received["packets"] == publisher.sent == generator.expected()
        assert min(publisher.sent_by_ssrc.values()) > 20
        assert (received["rejected"], received["foreign"], generator.gaps()) == (0, 0, 0)
        assert received["verified"] >= len(generator.take_delays()) > 0  # small packets carry no stamp


async def test_of_a_simulcast_only_gaps_are_losses():
    async with open_sightline() as target, open_generator(target, capacity=3, profile=GCM, seed=1) as generator:
        room = await target.open_room()
        publisher = await generator.publish(room, TraceSource(simulcast()))
        await generator.watch(room, [publisher])
        assert not publisher.exact
        await generator.play([publisher], 1)
        await trio.sleep(0.1)
        received = generator.received()
        assert 0 < received["packets"] < publisher.sent
        assert generator.expected() == received["packets"] + generator.gaps()
        assert (generator.gaps(), received["rejected"], received["foreign"]) == (0, 0, 0)


async def test_the_same_seed_gives_the_same_phases_and_numbers():
    numbers = []
    for seed in (5, 5, 6):
        async with open_sightline() as target, open_generator(target, capacity=1, profile=GCM, seed=seed) as generator:
            publisher = await generator.publish(await target.open_room(), SMALL)
            numbers.append((tuple(publisher.sent_by_ssrc), publisher.script))
    assert numbers[0] == numbers[1]
    assert numbers[0] != numbers[2]


async def test_what_can_not_be_is_refused():
    async with open_sightline() as target:
        with pytest.raises(BenchError, match="IPv4 address"):
            async with open_generator(target, capacity=1, profile=GCM, seed=1, address="::1"):
                pass
        async with open_generator(target, capacity=2, profile=GCM, seed=1) as generator:
            with pytest.raises(BenchError, match="23 bytes or more"):
                await generator.publish(await target.open_room(), SyntheticSource(size=10))
