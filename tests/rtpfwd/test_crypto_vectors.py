"""rtpfwd.crypto against the vectors of the standards, and against OpenSSL at every length, tier by tier.

ops/sanitize.sh runs all of it.
"""

from __future__ import annotations

import hashlib
import hmac
import random

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rtpfwd.crypto import native
from rtpfwd.params import SrtpProfile

GCM, CM = SrtpProfile.AEAD_AES_128_GCM, SrtpProfile.AES128_CM_SHA1_80
LENGTHS = [*range(530), 1200, 1484, 1500, 4095, 70000]  # past two groups of every tier


@pytest.fixture(params=native.TIERS)
def tier(request: pytest.FixtureRequest) -> str:
    if not native.has_tier(GCM, request.param):
        pytest.skip(f"this CPU has no {request.param}")
    return request.param


def x(digits: str) -> bytes:
    return bytes.fromhex(digits)


PLAIN = x(
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
)
SEALED = x(
    "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
    "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985"
)
KEY, NONCE = x("feffe9928665731c6d6a8f9467308308"), x("cafebabefacedbaddecaf888")

# key, nonce, additional data, plain text, cipher text, tag
GCM_VECTORS = {
    "GCM specification, case 1": (bytes(16), bytes(12), b"", b"", b"", x("58e2fccefa7e3061367f1d57a4e7455a")),
    "GCM specification, case 2": (
        bytes(16),
        bytes(12),
        b"",
        bytes(16),
        x("0388dace60b6a392f328c2b971b2fe78"),
        x("ab6e47d42cec13bdf53a67b21257bddf"),
    ),
    "GCM specification, case 3": (KEY, NONCE, b"", PLAIN, SEALED, x("4d5c2af327cd64a62cf35abd2ba6fab4")),
    "GCM specification, case 4": (
        KEY,
        NONCE,
        x("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
        PLAIN[:60],
        SEALED[:60],
        x("5bc94fbc3221a5db94fae95ae7121a47"),
    ),
    "CAVP gcmEncryptExtIV128, 128 bits of each": (
        x("c939cc13397c1d37de6ae0e1cb7c423c"),
        x("b3d8cc017cbb89b39e0f67e2"),
        x("24825602bd12a984e0092d3e448eda5f"),
        x("c3b3c41f113a31b73d9a5cd432103069"),
        x("93fe7d9e9bfd10348a5606e5cafa7354"),
        x("0032a1dc85f1c9786925a2e71d8272dd"),
    ),
    "RFC 7714 section 16.1.1": (
        x("000102030405060708090a0b0c0d0e0f"),
        x("51753c6580c2726f20718414"),
        x("8040f17b8041f8d35501a0b2"),
        b"Gallia est omnis divisa in partes tres",
        x("f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833"),
        x("899d7f27beb16a9152cf765ee4390cce"),
    ),
}


@pytest.mark.parametrize("vector", GCM_VECTORS.values(), ids=GCM_VECTORS)
def test_gcm_of_the_standards(tier, vector):
    key, nonce, aad, plain, sealed, tag = vector
    assert native.gcm_seal(tier, key, nonce, aad, plain) == (sealed, tag)


def test_gcm_is_openssl_s_at_every_length(tier):
    rng = random.Random(1)
    for size in LENGTHS:
        key, nonce, text = rng.randbytes(16), rng.randbytes(12), rng.randbytes(size)
        aad = rng.randbytes(rng.choice([0, 1, 12, 16, 20, 60, 320, 324, 1000]))
        assert b"".join(native.gcm_seal(tier, key, nonce, aad, text)) == AESGCM(key).encrypt(nonce, text, aad), size


# RFC 3711 appendix B.2: the block's counter, the keystream from there.
KEYSTREAM = {
    "0000": "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0",
    "FEFF": "EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE 6A2CC3787889374FBEB4C81B17BA6C44",
}


@pytest.mark.parametrize(("start", "stream"), KEYSTREAM.items(), ids=KEYSTREAM)
def test_the_keystream_of_rfc_3711(tier, start, stream):
    block = x("F0F1F2F3F4F5F6F7F8F9FAFBFCFD" + start)
    assert native.ctr(tier, x("2B7E151628AED2A6ABF7158809CF4F3C"), block, bytes(48)) == x(stream)


def test_the_whole_keystream_of_rfc_3711_joins_its_two_ends(tier):
    """From counter 0000 to FF01 in one run: more than 65,000 blocks."""
    blocks = 0xFF02
    stream = native.ctr(
        tier, x("2B7E151628AED2A6ABF7158809CF4F3C"), x("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000"), bytes(16 * blocks)
    )
    assert stream[:48] == x(KEYSTREAM["0000"])
    assert stream[-48:] == x(KEYSTREAM["FEFF"])


def test_counter_mode_is_openssl_s_at_every_length(tier):
    rng = random.Random(2)
    for size in LENGTHS:
        key, block, text = rng.randbytes(16), rng.randbytes(12) + bytes(4), rng.randbytes(size)
        expected = Cipher(algorithms.AES(key), modes.CTR(block)).encryptor().update(text)
        assert native.ctr(tier, key, block, text) == expected, size


needs_aes = pytest.mark.skipif(not native.has_tier(GCM, "aesni"), reason="this CPU has no AES instructions")
needs_sha = pytest.mark.skipif(not native.has_tier(CM, "aesni"), reason="this CPU has no SHA-1 instructions")

# RFC 3711 appendix B.3: label, session key.
DERIVED = {
    0: "C61E7A93744F39EE10734AFE3FF7A087",
    1: "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCE"
    "E049646C43D9327AD175578EF72270986371C10C9A369AC2F94A8C5FBCDDDC25"
    "6D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DBDFB2",
    2: "30CBBC08863D8C85D49DB34A9AE1",
}


@needs_aes
@pytest.mark.parametrize(("label", "expected"), DERIVED.items(), ids=["cipher", "authentication", "salt"])
def test_key_derivation_of_rfc_3711(label, expected):
    master = x("E1F97A0D3E018BE0D64FA32C06DE4139" + "0EC675AD498AFEEBB6960B3AABE6")
    assert native.derive(master, label, len(expected) // 2) == x(expected)


# RFC 2202 section 3, the cases whose keys fit one block: key, text, digest.
HMAC_VECTORS = [
    (b"\x0b" * 20, b"Hi There", "b617318655057264e28bc0b6fb378c8ef146be00"),
    (b"Jefe", b"what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
    (b"\xaa" * 20, b"\xdd" * 50, "125d7342b9ac11cd91a39af48aa17b4f63f175d3"),
    (bytes(range(1, 26)), b"\xcd" * 50, "4c9007f4026250c6bc8414f9bf50c86c2d7235da"),
    (b"\x0c" * 20, b"Test With Truncation", "4c1a03424b55e07fe7f27be1d58bb9324a9a5a04"),
]


@needs_sha
@pytest.mark.parametrize(("key", "text", "digest"), HMAC_VECTORS)
def test_hmac_sha1_of_rfc_2202(key, text, digest):
    assert native.hmac_sha1(key, text).hex() == digest


@needs_sha
def test_hmac_sha1_is_the_standard_library_s_at_every_length():
    rng = random.Random(3)
    for size in range(300):
        key, text = rng.randbytes(rng.randrange(65)), rng.randbytes(size)
        assert native.hmac_sha1(key, text) == hmac.digest(key, text, hashlib.sha1), size


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="16 bytes"):
        native.gcm_seal("aesni", b"short", bytes(12), b"", b"")
    with pytest.raises(ValueError, match="16 bytes each"):
        native.ctr("aesni", bytes(16), b"short", b"")
    with pytest.raises(ValueError, match="at most 64"):
        native.hmac_sha1(bytes(65), b"")
    with pytest.raises(ValueError, match="30 bytes"):
        native.derive(b"short", 0, 16)
