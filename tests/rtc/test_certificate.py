"""Fingerprints: what is accepted, what matches."""

from __future__ import annotations

import hashlib

import pytest

from server.errors import LocalError
from server.rtc.certificate import Certificate, Fingerprint


@pytest.mark.parametrize("algorithm", ["sha-256", "sha-384", "sha-512", "SHA-256"])
def test_matches_its_certificate_only(algorithm: str) -> None:
    certificate, other = Certificate.generate(), Certificate.generate()
    digest = hashlib.new(algorithm.lower().replace("-", ""), certificate.der).digest()
    fingerprint = Fingerprint(algorithm, digest.hex(":"))
    assert fingerprint.algorithm == algorithm.lower()
    assert fingerprint.value == digest.hex(":").upper()
    assert fingerprint.matches(certificate.der)
    assert not fingerprint.matches(other.der)


def test_ours_is_sha_256() -> None:
    certificate = Certificate.generate()
    assert certificate.fingerprint == Fingerprint.of(certificate.der)
    assert certificate.fingerprint.algorithm == "sha-256"
    assert certificate.fingerprint != Certificate.generate().fingerprint


@pytest.mark.parametrize(
    ("algorithm", "value"),
    [
        ("sha-1", ":".join(["AA"] * 20)),
        ("md5", ":".join(["AA"] * 16)),
        ("", ""),
        ("sha-256", ""),
        ("sha-256", ":".join(["AA"] * 31)),
        ("sha-256", ":".join(["AA"] * 33)),
        ("sha-256", "AA" * 32),
        ("sha-256", ":".join(["AA"] * 31 + ["GG"])),
        ("sha-256", ":".join(["AA"] * 31 + ["+1"])),
        ("sha-256", ":".join(["AA"] * 31 + ["²²"])),
        ("sha-512", ":".join(["AA"] * 32)),
    ],
)
def test_refused(algorithm: str, value: str) -> None:
    with pytest.raises(LocalError, match="fingerprint"):
        Fingerprint(algorithm, value)


def test_repr_is_short() -> None:
    assert len(repr(Certificate.generate())) < 40
