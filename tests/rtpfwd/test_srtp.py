"""rtpfwd.srtp against pylibsrtp.Session: both profiles, by both backends."""

from __future__ import annotations

import random
import struct

import pylibsrtp
import pytest

from rtpfwd.crypto import native
from rtpfwd.params import SrtpProfile
from rtpfwd.srtp import Session, SrtpError, SrtpPolicy

PROFILES = {SrtpProfile.AES128_CM_SHA1_80: 30, SrtpProfile.AEAD_AES_128_GCM: 28}
each_profile = pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.name)


@pytest.fixture(params=["native", "libsrtp"])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "native" and native.best_tier(SrtpProfile.AES128_CM_SHA1_80) is None:
        pytest.skip("this CPU lacks what the native backend needs")
    return request.param


def key_of(profile: SrtpProfile, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(PROFILES[profile])


def rtp(sequence: int, payload: bytes = b"payload", ssrc: int = 0x1234) -> bytes:
    return struct.pack("!BBHII", 0x80, 96, sequence & 0xFFFF, 9000, ssrc) + payload


def receiver_report(ssrc: int = 0x1234) -> bytes:
    return struct.pack("!BBHI", 0x80, 201, 1, ssrc)


def oracle(profile: SrtpProfile, *, inbound: bool, seed: int = 1) -> pylibsrtp.Session:
    kind = pylibsrtp.Policy.SSRC_ANY_INBOUND if inbound else pylibsrtp.Policy.SSRC_ANY_OUTBOUND
    return pylibsrtp.Session(pylibsrtp.Policy(key=key_of(profile, seed), ssrc_type=kind, srtp_profile=int(profile)))


def ours(profile: SrtpProfile, backend: str, *, inbound: bool, seed: int = 1) -> Session:
    return Session(SrtpPolicy(profile, key_of(profile, seed), inbound=inbound, backend=backend))


@each_profile
def test_protect_is_byte_identical_to_the_oracle_past_a_roll_over(profile, backend):
    sender, other, receiver = (
        ours(profile, backend, inbound=False),
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
def test_unprotect_follows_the_oracle_past_a_roll_over(profile, backend):
    sender, receiver = oracle(profile, inbound=False), ours(profile, backend, inbound=True)
    for sequence in range(65000, 65000 + 1200):
        assert receiver.unprotect(sender.protect(rtp(sequence))) == rtp(sequence)


@each_profile
def test_rtcp_both_ways(profile, backend):
    assert ours(profile, backend, inbound=True).unprotect_rtcp(
        oracle(profile, inbound=False).protect_rtcp(receiver_report())
    )
    protected = ours(profile, backend, inbound=False).protect_rtcp(receiver_report())
    assert oracle(profile, inbound=True).unprotect_rtcp(protected) == receiver_report()


@each_profile
def test_replay_damage_and_rubbish_have_their_own_reasons(profile, backend):
    sender, receiver = oracle(profile, inbound=False), ours(profile, backend, inbound=True)
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
def test_rtcp_replay_and_damage(profile, backend):
    sender, receiver = oracle(profile, inbound=False), ours(profile, backend, inbound=True)
    protected = sender.protect_rtcp(receiver_report())
    receiver.unprotect_rtcp(protected)
    with pytest.raises(SrtpError, match="replay"):
        receiver.unprotect_rtcp(protected)
    damaged = bytearray(sender.protect_rtcp(receiver_report()))
    damaged[9] ^= 1
    with pytest.raises(SrtpError, match="auth"):
        receiver.unprotect_rtcp(bytes(damaged))


@each_profile
def test_reordering_inside_the_window_passes(profile, backend):
    sender, receiver = oracle(profile, inbound=False), ours(profile, backend, inbound=True)
    packets = [sender.protect(rtp(65500 + n)) for n in range(100)]
    random.Random(3).shuffle(packets)
    assert len({receiver.unprotect(packet) for packet in packets}) == 100


@each_profile
def test_a_number_that_was_used_is_never_used_again(profile, backend):
    """Its keystream would be; under GCM that gives the authentication key away too."""
    sender, other = ours(profile, backend, inbound=False), oracle(profile, inbound=False)
    for sequence in (65000, 65530, 65450, 3, 65535, 1100):
        assert sender.protect(rtp(sequence)) == other.protect(rtp(sequence))
    for sequence in (1100, 3, 65535, 65450, 65530):  # inside the window, then older than it
        with pytest.raises(SrtpError, match="replay"):
            sender.protect(rtp(sequence, b"changed"))


@each_profile
def test_every_ssrc_has_numbers_of_its_own(profile, backend):
    sender, receiver = oracle(profile, inbound=False), ours(profile, backend, inbound=True)
    for sequence in (65534, 65535, 0, 1):
        for ssrc in range(100):
            packet = rtp((sequence + 300 * ssrc) & 0xFFFF, ssrc=ssrc)
            protected = sender.protect(packet)
            assert receiver.unprotect(protected) == packet
            with pytest.raises(SrtpError, match="replay"):
                receiver.unprotect(protected)


@each_profile
def test_a_key_of_the_wrong_length_is_refused(profile):
    with pytest.raises(ValueError, match="bytes of master key and salt"):
        SrtpPolicy(profile, b"short", inbound=True)


def test_an_unknown_profile_is_refused():
    with pytest.raises(ValueError, match="99"):
        SrtpPolicy(99, bytes(30), inbound=True)  # type: ignore[arg-type]
