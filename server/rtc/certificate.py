"""The certificate a node proves itself with, and the fingerprints that name a peer's (RFC 8122, RFC 8827)."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from server.errors import LocalError

# SHA-1 and MD5 are missing on purpose: only the fingerprint ties media to signaling, and those two can be forged.
_DIGEST_SIZES: Final = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
# Peers check the fingerprint and not the dates of a self-signed certificate, and the core reads no clock.
_NOT_BEFORE: Final = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
_NOT_AFTER: Final = dt.datetime(2120, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The hash of a certificate in DER form (RFC 8122 section 5).

    `algorithm` is "sha-256", "sha-384" or "sha-512"; `value` is hex pairs between colons. Both may be given in either
    case and are kept in the usual one. LocalError when the algorithm is not supported or the value is no such digest.
    """

    algorithm: str
    value: str

    def __post_init__(self) -> None:
        algorithm = self.algorithm.lower()
        size = _DIGEST_SIZES.get(algorithm)
        if size is None:
            known = ", ".join(_DIGEST_SIZES)
            raise LocalError(f"fingerprint algorithm {self.algorithm[:20]!r} is not supported: offer one of {known}")
        pairs = self.value.split(":")
        try:
            digest = bytes(int(pair, 16) for pair in pairs if len(pair) == 2 and pair.isalnum())
        except ValueError:
            digest = b""
        if len(digest) != size or len(pairs) != size:
            raise LocalError(
                f"fingerprint value is not a {algorithm} digest: it must be {size} hex pairs between colons"
            )
        object.__setattr__(self, "algorithm", algorithm)
        object.__setattr__(self, "value", digest.hex(":").upper())

    @classmethod
    def of(cls, der: bytes, algorithm: str = "sha-256") -> Fingerprint:
        """The fingerprint of a certificate given in DER form."""
        if algorithm not in _DIGEST_SIZES:
            raise LocalError(f"fingerprint algorithm {algorithm!r} is not supported")
        return cls(algorithm, hashlib.new(algorithm.replace("-", ""), der).digest().hex(":"))

    def matches(self, der: bytes) -> bool:
        """Whether this names the certificate `der`; the comparison takes the same time wherever they differ."""
        return hmac.compare_digest(Fingerprint.of(der, self.algorithm).value, self.value)


class Certificate:
    """An ECDSA P-256 key and a self-signed certificate for it. One serves all transports of a node."""

    __slots__ = ("__weakref__", "_der", "_fingerprint", "private_key", "x509")

    def __init__(self, private_key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        """`private_key` must belong to `certificate`; both are what pyOpenSSL's Context takes."""
        self.private_key = private_key
        self.x509 = certificate
        self._der = certificate.public_bytes(serialization.Encoding.DER)
        self._fingerprint = Fingerprint.of(self._der)

    @classmethod
    def generate(cls) -> Certificate:
        """A new key and certificate."""
        private_key = ec.generate_private_key(ec.SECP256R1())
        # A random name: a fixed one would tell an observer of the handshake which software this is.
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, secrets.token_hex(8))])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(private_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_NOT_BEFORE)
            .not_valid_after(_NOT_AFTER)
            .sign(private_key, hashes.SHA256())
        )
        return cls(private_key, certificate)

    @property
    def der(self) -> bytes:
        """The certificate in DER form."""
        return self._der

    @property
    def fingerprint(self) -> Fingerprint:
        """The SHA-256 fingerprint, to be offered to peers."""
        return self._fingerprint

    def __repr__(self) -> str:
        return f"Certificate({self._fingerprint.value[:11]}…)"
