"""How OpenSSL is set up: ciphers, SRTP profiles, and the peer's fingerprint in the place of a chain of trust."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final, NamedTuple

from OpenSSL import SSL, crypto

from server.rtc.certificate import Certificate, Fingerprint

PROFILE_AES128_CM_SHA1_80: Final = 0x0001
PROFILE_AEAD_AES_128_GCM: Final = 0x0007

_DTLS_1_2: Final = 0xFEFD
# Forward secrecy and authenticated encryption; the last two are for very old peers (RFC 8827 section 6.5).
_CIPHERS: Final = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
    b"ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    b"ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA"
)


class Profile(NamedTuple):
    name: bytes  # OpenSSL's
    key: int  # bytes
    salt: int  # bytes


PROFILES: Final = {
    PROFILE_AES128_CM_SHA1_80: Profile(b"SRTP_AES128_CM_SHA1_80", 16, 14),
    PROFILE_AEAD_AES_128_GCM: Profile(b"SRTP_AEAD_AES_128_GCM", 16, 12),
}


class PeerCheck:
    """What OpenSSL's verify callback needs. Not the endpoint itself, whose connection would then refer to itself."""

    __slots__ = ("fingerprints", "mismatch")

    def __init__(self, fingerprints: Sequence[Fingerprint]) -> None:
        self.fingerprints = tuple(fingerprints)
        self.mismatch = False

    def matches(self, certificate: crypto.X509) -> bool:
        """Whether the fingerprints allow this certificate; never raises, as the callback of a shared context must not.

        The bytes come from OpenSSL as they were received. Reading them as a certificate once more would add nothing,
        and would fail for some that OpenSSL takes.
        """
        try:
            der = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
        except crypto.Error:
            der = b""
        matches = any(fingerprint.matches(der) for fingerprint in self.fingerprints)
        self.mismatch = not matches
        return matches


def _verify(connection: SSL.Connection, certificate: crypto.X509, _error: int, depth: int, _ok: int) -> bool:
    """Instead of a chain of trust: the fingerprint that came by signaling. Only the peer's own certificate counts."""
    check: PeerCheck = connection.get_app_data()
    return depth > 0 or check.matches(certificate)


@functools.lru_cache(maxsize=8)
def shared_context(certificate: Certificate, profiles: tuple[int, ...]) -> SSL.Context:
    """Shared by all endpoints with the same certificate: making one costs more than a handshake."""
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_min_proto_version(_DTLS_1_2)
    context.set_max_proto_version(_DTLS_1_2)
    context.set_cipher_list(_CIPHERS)
    context.use_certificate(certificate.x509)
    context.use_privatekey(certificate.private_key)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verify)
    context.set_tlsext_use_srtp(b":".join(PROFILES[profile].name for profile in profiles))
    # A resumed session would skip the certificates, and a ticket would make the server's last flight larger.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    return context
