"""SRTCP of the native backend against libsrtp, the RFC's vectors, and packets made with another library.

ops/sanitize.sh runs all of it but the two tests with half a million packets.
"""

from __future__ import annotations

import hashlib
import hmac
import random
import struct

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rtpfwd.crypto import control_probe, native
from rtpfwd.params import SrtpProfile
from rtpfwd.srtp import Session, SrtpError
from tests.rtpfwd.crypto_world import alone, each_case, each_profile, key_of, libsrtp, ours

GCM = SrtpProfile.AEAD_AES_128_GCM
QUICK, FULL = 20_000, 500_000
LAST = 2**31 - 1  # index

Case = tuple[SrtpProfile, str]


def protect(case: Case, count: int, seed: int) -> None:
    profile, tier = case
    control_probe.compare_protect(ours(profile, tier, inbound=False), libsrtp(profile, inbound=False), count, seed)


def unprotect(case: Case, count: int, seed: int) -> dict[str, int]:
    profile, tier = case
    return control_probe.compare_unprotect(
        libsrtp(profile, inbound=False), ours(profile, tier, inbound=True), libsrtp(profile, inbound=True), count, seed
    )


@each_case
def test_protected_packets_are_libsrtp_s(case):
    protect(case, QUICK, seed=1)


@each_case
def test_received_packets_are_taken_and_refused_as_by_libsrtp(case):
    statuses = unprotect(case, QUICK, seed=2)
    assert all(statuses[name] > QUICK * 0.02 for name in ("ok", "auth", "replay", "failed")), statuses


@pytest.mark.slow
@each_case
def test_half_a_million_protected_packets_are_libsrtp_s(case):
    protect(case, FULL, seed=3)


@pytest.mark.slow
@each_case
def test_half_a_million_received_packets_are_taken_and_refused_as_by_libsrtp(case):
    assert unprotect(case, FULL, seed=4)["ok"] > FULL * 0.5


@each_case
def test_the_native_backend_opens_no_session_of_libsrtp(case):
    profile, tier = case
    mine = [ours(profile, tier, inbound=inbound) for inbound in (False, True)]
    theirs = [libsrtp(profile, inbound=inbound) for inbound in (False, True)]
    assert control_probe.opens_libsrtp(*mine) == (False, False)
    assert control_probe.opens_libsrtp(*theirs) == (True, True)


@each_profile
def test_the_comparison_can_fail(profile):
    """Of libsrtp with itself under two keys, as no CPU lacks that."""
    one, other = libsrtp(profile, inbound=False, seed=1), libsrtp(profile, inbound=False, seed=2)
    with pytest.raises(AssertionError, match="packet 0 of seed 1"):
        control_probe.compare_protect(one, other, 100, 1)
    with pytest.raises(AssertionError, match="expected auth"):
        control_probe.compare_unprotect(
            one, libsrtp(profile, inbound=True, seed=1), libsrtp(profile, inbound=True, seed=2), 100, 1
        )


@each_case
def test_nothing_is_read_or_written_outside_of_the_packet(case):
    profile, tier = case
    policies = f"ours(p, {tier!r}, inbound=False), ours(p, {tier!r}, inbound=True), libsrtp(p, inbound=False)"
    program = f"p = SrtpProfile({int(profile)}); assert control_probe.between_fences({policies}, 1400) == 2786"
    assert alone(program) == 0


# RFC 7714 sections 17.1 and 17.3, whose keys are session keys.
KEY, SALT = bytes(range(16)), bytes.fromhex("517569642070726f2071756f")
CLEAR = bytes.fromhex("81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61" + "deadbeef" * 5)
SEALED = bytes.fromhex(
    "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275b"
    "c84aa45896cf4d2fc5abf87245d9eade800005d4"
)
TAGGED = CLEAR + bytes.fromhex("841dd9683dd78ec92ae58790125f62b3000005d4")
needs_aes = pytest.mark.skipif(not native.has_tier(GCM, "aesni"), reason="this CPU has no AES instructions")


@needs_aes
def test_the_vectors_of_rfc_7714():
    assert native.protect_control_with(KEY, SALT, CLEAR, 0x5D4) == SEALED
    assert native.unprotect_control_with(KEY, SALT, SEALED) == CLEAR
    assert native.unprotect_control_with(KEY, SALT, TAGGED) == CLEAR


@needs_aes
@pytest.mark.parametrize("packet", [SEALED, TAGGED], ids=["encrypted", "tagged"])
def test_the_vectors_with_any_bit_changed_are_refused(packet):
    for bit in range(8 * len(packet)):
        changed = bytearray(packet)
        changed[bit // 8] ^= 1 << bit % 8
        assert native.unprotect_control_with(KEY, SALT, bytes(changed)) is None, bit


def rtcp(size: int, ssrc: int = 1, seed: int = 0) -> bytes:
    return struct.pack("!BBHI", 0x80, 201, 1, ssrc) + random.Random(seed).randbytes(size - 8)


def made(profile: SrtpProfile, packet: bytes, index: int, *, encrypted: bool = True) -> bytes:
    """As RFC 3711 section 3.4 and RFC 7714 section 9 say, with another library's AES and HMAC."""
    master = key_of(profile, 0).ljust(30, b"\0")
    word = struct.pack("!I", index | encrypted << 31)
    ssrc = struct.unpack("!I", packet[4:8])[0]
    cipher = native.derive(master, 3, 16)
    if profile == GCM:
        nonce = ssrc << 48 | index
        nonce ^= int.from_bytes(native.derive(master, 5, 12), "big")
        text, additional = (packet[8:], packet[:8]) if encrypted else (b"", packet)
        return additional + AESGCM(cipher).encrypt(nonce.to_bytes(12, "big"), text, additional + word) + word
    block = int.from_bytes(native.derive(master, 5, 14), "big") << 16 ^ ssrc << 64 ^ index << 16
    stream = Cipher(algorithms.AES(cipher), modes.CTR(block.to_bytes(16, "big"))).encryptor()
    authentic = (packet[:8] + stream.update(packet[8:]) if encrypted else packet) + word
    return authentic + hmac.digest(native.derive(master, 4, 20), authentic, hashlib.sha1)[:10]


def outcome(session: Session, packet: bytes, *, rtp: bool = False) -> bytes | str:
    try:
        return session.unprotect(packet) if rtp else session.unprotect_rtcp(packet)
    except SrtpError as refused:
        return refused.reason


def receivers(case: Case) -> tuple[Session, Session]:
    profile, tier = case
    return Session(ours(profile, tier, inbound=True)), Session(libsrtp(profile, inbound=True))


@each_case
def test_the_first_packets_of_each_ssrc(case):
    """Index 1, then 2, each SSRC on its own."""
    profile, tier = case
    sender = Session(ours(profile, tier, inbound=False))
    for index in (1, 2, 3):
        for ssrc in (7, 8, 9, 10, 11):
            packet = rtcp(28, ssrc, seed=index)
            assert sender.protect_rtcp(packet) == made(profile, packet, index)


@each_case
def test_what_was_not_encrypted_is_taken_or_refused_as_by_libsrtp(case):
    profile, _ = case
    mine, theirs = receivers(case)
    for index, size in enumerate(range(8, 300)):
        packet = rtcp(size, ssrc=index % 3, seed=index)
        sent = made(profile, packet, index, encrypted=False)
        damaged = sent[:9] + bytes([sent[9] ^ 1]) + sent[10:]
        for received in (damaged, sent, sent):
            assert outcome(mine, received) == outcome(theirs, received)
        assert outcome(mine, sent) == ("replay" if profile == GCM else "failed")
        both = made(profile, packet, 1000 + index)
        assert outcome(mine, both) == outcome(theirs, both) == packet


@each_case
def test_the_window_s_edges_are_libsrtp_s_up_to_the_last_index(case):
    profile, _ = case
    rng = random.Random(5)
    for start in (0, 1, 126, 127, 128, 255, 256, 5000, LAST - 300, LAST - 129, LAST - 128, LAST - 1, LAST):
        mine, theirs = receivers(case)
        steps = [0, 127, 128, 129, 0, 1, 2, 255, 256, 257, 130, 384, 385, *(rng.randrange(600) for _ in range(40))]
        for step in (*steps, -1, -127, -128, -129):
            packet = made(profile, rtcp(28), min(max(start + step, 0), LAST))
            assert outcome(mine, packet) == outcome(theirs, packet), (start, step)


@each_case
def test_a_key_is_used_up_with_the_last_index(case):
    profile, tier = case
    packet = rtcp(52)
    policy = ours(profile, tier, inbound=False)
    sent = control_probe.last_packets(policy, packet, LAST - 2, 4)
    assert sent == [made(profile, packet, LAST - 1), made(profile, packet, LAST), None, None]
    _, theirs = receivers(case)
    assert [outcome(theirs, last) for last in sent if last] == [packet, packet]


@each_case
def test_rtp_and_rtcp_of_the_same_ssrcs_do_not_disturb_each_other(case):
    profile, _ = case
    mine, theirs = receivers(case)
    sender = Session(libsrtp(profile, inbound=False))
    rng = random.Random(6)
    sent: list[tuple[bytes, bool]] = []
    for count in range(3000):
        ssrc, media = rng.randrange(12), rng.random() < 0.5
        if media:
            packet = struct.pack("!BBHII", 0x80, 96, (65000 + count) & 0xFFFF, 0, ssrc) + rng.randbytes(20)
            sent.append((sender.protect(packet), True))
        else:
            sent.append((sender.protect_rtcp(rtcp(8 + rng.randrange(100), ssrc)), False))
        received, rtp = sent[-1] if rng.random() < 0.8 else rng.choice(sent)
        assert outcome(mine, received, rtp=rtp) == outcome(theirs, received, rtp=rtp), count


@needs_aes
def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="16 bytes"):
        native.protect_control_with(b"short", SALT, CLEAR, 1)
    assert native.unprotect_control_with(KEY, SALT, SEALED[:27]) is None
