"""Anything may be in a datagram: the plane neither crashes nor lets it disturb another transport's stream."""

from __future__ import annotations

import os
import random
import time

import pytest

from rtpfwd.params import CongestionParams, EncodingParams, SrtpProfile
from tests.rtpfwd.path_world import remb, transport_feedback
from tests.rtpfwd.plane_world import (
    MID,
    MS,
    RID,
    TRANSPORT_CC,
    World,
    nack,
    pli,
    receiver_report,
    rtp,
    sender_report,
    vp8,
)

SECONDS = float(os.environ.get("SIGHTLINE_FUZZ_SECONDS", "2"))


def corpus(rng: random.Random) -> bytes:
    ssrc = rng.choice([0x1000, 0x1001, 0x1100, 0x2000, rng.getrandbits(32)])
    named = {1: rng.choice([b"0", b"1", b"x" * 16]), 2: rng.choice([b"a", b"b"]), 5: rng.randbytes(2)}
    return rng.choice(
        [
            rtp(rng.getrandbits(16), vp8(keyframe=rng.random() < 0.3), ssrc=ssrc),
            rtp(rng.getrandbits(16), rng.randbytes(40), ssrc=ssrc, payload_type=97, extensions=named),
            rtp(rng.getrandbits(16), rng.randbytes(rng.randrange(1400)), ssrc=ssrc, extensions=named),
            nack(9, ssrc, *[rng.getrandbits(16) for _ in range(rng.randrange(1, 60))]),
            pli(9, ssrc) + sender_report(ssrc, rng.getrandbits(64), rng.getrandbits(32)),
            receiver_report(9, ssrc, lost=rng.getrandbits(8), last_sr=rng.getrandbits(32)),
            transport_feedback(
                ssrc, rng.randrange(200), [rng.choice([None, rng.getrandbits(13)]) for _ in range(rng.randrange(1, 60))]
            ),
            remb(rng.getrandbits(18), rng.getrandbits(6), ssrc),
            bytes([0, 1]) + rng.randbytes(30),
            bytes([22]) + rng.randbytes(60),
            rng.randbytes(rng.choice([0, 1, 2, 7, 8, 11, 12, 13, 1500, 2048, 2049])),
        ]
    )


def mutate(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([0, 1, 1, 2, 8])):
        if changed:
            changed[rng.randrange(min(len(changed), 40))] = rng.choice([0, 0xFF, 0x7F, 0x80, rng.getrandbits(8)])
    if rng.random() < 0.2:
        del changed[rng.randrange(len(changed) + 1) :]
    return bytes(changed)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("profile", [SrtpProfile.AEAD_AES_128_GCM, None], ids=["srtp", "clear"])
def test_rubbish_does_not_disturb_a_call(profile, seed):
    rng = random.Random(seed)
    world = World(seed=seed)
    publisher, viewer = world.end(1), world.end(2)
    world.watch(viewer, world.video(publisher))
    attacker = world.end(3, profile)
    extensions = ((MID, 1), (RID, 2), (TRANSPORT_CC, 5))
    own = world.video(attacker, mid="0", extensions=extensions)
    encodings = (EncodingParams(rid="a"), EncodingParams(rid="b"))
    world.video(attacker, mid="1", encodings=encodings, extensions=extensions)
    world.watch(attacker, own, extensions=extensions)
    world.plane.control_congestion(attacker.handle, CongestionParams(), world.now)
    world.plane.set_wanted(attacker.handle, 5_000_000, world.now)
    world.plane.watch_feedback(attacker.handle, on=True)
    world.plane.set_receive_limit(attacker.handle, 500_000, world.now)
    comedia = world.plane.add_transport(srtp=False)
    world.plane.admit_any(comedia, 7, comedia=True)
    attacker.take = lambda data: None  # type: ignore[method-assign]
    until = time.monotonic() + SECONDS / 4
    sent = 0
    offered = 0
    while time.monotonic() < until:
        batch = []
        for _ in range(rng.randrange(1, 40)):
            data = corpus(rng)
            if rng.random() < 0.5 and 12 <= len(data) <= 1300 and 128 <= data[0] <= 191:
                try:
                    data = attacker.protect(mutate(rng, data) if rng.random() < 0.5 else data)
                except Exception:
                    continue
            else:
                data = mutate(rng, data)
            source = rng.choice([attacker.address, attacker.address, ("udp", "127.0.0.66", rng.randrange(1, 65536))])
            batch.append((rng.choice([0, 0, 0, 7]), source, data))
        offered += len(batch)
        world.plane.ingest(batch, world.now)
        while (out := world.plane.poll_transmit()) is not None:
            if out[1] in world.ends:
                world.ends[out[1]].take(out[2])
        while world.plane.poll_handoff() is not None:
            pass
        sent += 1
        world.send(publisher, rtp(sent, vp8(keyframe=sent == 1) + sent.to_bytes(4, "big"), ssrc=0x1000))
        world.now += rng.randrange(0, 30) * MS
        world.plane.handle_timeout(world.now)
        while (out := world.plane.poll_transmit()) is not None:
            if out[1] in world.ends:
                world.ends[out[1]].take(out[2])
        for _ in world.events():
            pass
    assert [int.from_bytes(packet.payload[-4:], "big") for packet in viewer.rtp] == list(range(1, sent + 1))
    first = viewer.rtp[0].seq
    assert [packet.seq for packet in viewer.rtp] == [(first + n) & 0xFFFF for n in range(sent)]
    assert world.plane.counters()["received_packets"] == offered + sent
    assert sum(value for key, value in world.plane.counters().items() if key.startswith("drop_")) > 0
