"""rtpfwd.srtp against pylibsrtp.Session, both profiles."""

from __future__ import annotations

import random
import struct

import pylibsrtp
import pytest

from rtpfwd.params import SrtpProfile
from rtpfwd.srtp import Session, SrtpError, SrtpPolicy

PROFILES = {SrtpProfile.AES128_CM_SHA1_80: 30, SrtpProfile.AEAD_AES_128_GCM: 28}
each_profile = pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.name)


def key_of(profile: SrtpProfile, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(PROFILES[profile])


def rtp(sequence: int, payload: bytes = b"payload", ssrc: int = 0x1234) -> bytes:
    return struct.pack("!BBHII", 0x80, 96, sequence & 0xFFFF, 9000, ssrc) + payload


def receiver_report(ssrc: int = 0x1234) -> bytes:
    return struct.pack("!BBHI", 0x80, 201, 1, ssrc)


def oracle(profile: SrtpProfile, *, inbound: bool, seed: int = 1) -> pylibsrtp.Session:
    kind = pylibsrtp.Policy.SSRC_ANY_INBOUND if inbound else pylibsrtp.Policy.SSRC_ANY_OUTBOUND
    return pylibsrtp.Session(pylibsrtp.Policy(key=key_of(profile, seed), ssrc_type=kind, srtp_profile=int(profile)))


def ours(profile: SrtpProfile, *, inbound: bool, seed: int = 1) -> Session:
    return Session(SrtpPolicy(profile, key_of(profile, seed), inbound=inbound))


@each_profile
def test_protect_is_byte_identical_to_the_oracle_past_a_roll_over(profile):
    sender, other, receiver = (
        ours(profile, inbound=False),
        oracle(profile, inbound=False),
        oracle(profile, inbound=True),
    )
    rng = random.Random(7)
    for sequence in range(65000, 65000 + 1200):
        packet = rtp(sequence, rng.randbytes(rng.randrange(0, 1180)))
        protected = sender.protect(packet)
        assert protected == other.protect(packet)
        assert receiver.unprotect(protected) == packet


@each_profile
def test_unprotect_follows_the_oracle_past_a_roll_over(profile):
    sender, receiver = oracle(profile, inbound=False), ours(profile, inbound=True)
    for sequence in range(65000, 65000 + 1200):
        assert receiver.unprotect(sender.protect(rtp(sequence))) == rtp(sequence)


@each_profile
def test_rtcp_both_ways(profile):
    assert ours(profile, inbound=True).unprotect_rtcp(oracle(profile, inbound=False).protect_rtcp(receiver_report()))
    protected = ours(profile, inbound=False).protect_rtcp(receiver_report())
    assert oracle(profile, inbound=True).unprotect_rtcp(protected) == receiver_report()


@each_profile
def test_replay_damage_and_rubbish_have_their_own_reasons(profile):
    sender, receiver = oracle(profile, inbound=False), ours(profile, inbound=True)
    first = sender.protect(rtp(1))
    old = sender.protect(rtp(2))
    receiver.unprotect(first)
    with pytest.raises(SrtpError) as replayed:
        receiver.unprotect(first)
    assert replayed.value.reason == "replay"
    damaged = bytearray(sender.protect(rtp(3)))
    damaged[-1] ^= 1
    with pytest.raises(SrtpError) as bad:
        receiver.unprotect(bytes(damaged))
    assert bad.value.reason == "auth"
    for size in (0, 1, 11, 12, 15):
        with pytest.raises(SrtpError):
            receiver.unprotect(first[:size])
    for sequence in range(4, 4 + 1100):
        receiver.unprotect(sender.protect(rtp(sequence)))
    with pytest.raises(SrtpError) as late:
        receiver.unprotect(old)
    assert late.value.reason == "replay"


@each_profile
def test_rtcp_replay_and_damage(profile):
    sender, receiver = oracle(profile, inbound=False), ours(profile, inbound=True)
    protected = sender.protect_rtcp(receiver_report())
    receiver.unprotect_rtcp(protected)
    with pytest.raises(SrtpError, match="replay"):
        receiver.unprotect_rtcp(protected)
    damaged = bytearray(sender.protect_rtcp(receiver_report()))
    damaged[9] ^= 1
    with pytest.raises(SrtpError, match="auth"):
        receiver.unprotect_rtcp(bytes(damaged))


@each_profile
def test_reordering_inside_the_window_passes(profile):
    sender, receiver = oracle(profile, inbound=False), ours(profile, inbound=True)
    packets = [sender.protect(rtp(65500 + n)) for n in range(100)]
    random.Random(3).shuffle(packets)
    assert len({receiver.unprotect(packet) for packet in packets}) == 100


@each_profile
def test_a_key_of_the_wrong_length_is_refused(profile):
    with pytest.raises(ValueError, match="bytes of master key and salt"):
        SrtpPolicy(profile, b"short", inbound=True)


def test_an_unknown_profile_is_refused():
    with pytest.raises(ValueError, match="99"):
        SrtpPolicy(99, bytes(30), inbound=True)  # type: ignore[arg-type]
