"""What is left of a DTLS association once the SRTP keys are out: reading and writing encrypted alerts.

OpenSSL keeps 77 KiB for each association; a call of hours needs of it one close_notify in each direction. For the
AES-GCM suites, which every browser takes, that is four short keys (RFC 5246 section 6.3) and one AEAD call (RFC 5288
section 3, RFC 6347 section 4.1), so OpenSSL's object is let go. An association of another suite keeps it.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from OpenSSL import SSL

from server.rtc.dtls_record import ALERT, Record

CLOSE_NOTIFY: Final = b"\x01\x00"  # a warning, RFC 5246 section 7.2.1
_HEADER: Final = 13
_EXPLICIT_NONCE: Final = 8
_TAG: Final = 16
_SALT: Final = 4
_VERSION: Final = b"\xfe\xfd"
# Far from the numbers of the Finished and of whatever OpenSSL encrypted and we did not send: a nonce is used once.
_SEQUENCE: Final = 1 << 32


class _Suite(NamedTuple):
    key: int  # bytes
    digest: str  # of the PRF


_SUITES: Final = {
    "ECDHE-ECDSA-AES128-GCM-SHA256": _Suite(16, "sha256"),
    "ECDHE-RSA-AES128-GCM-SHA256": _Suite(16, "sha256"),
    "ECDHE-ECDSA-AES256-GCM-SHA384": _Suite(32, "sha384"),
    "ECDHE-RSA-AES256-GCM-SHA384": _Suite(32, "sha384"),
}


@dataclass(slots=True)
class Alerts:
    """The record keys of epoch 1. Secret."""

    _send_key: bytes = field(repr=False)
    _send_salt: bytes = field(repr=False)
    _recv_key: bytes = field(repr=False)
    _recv_salt: bytes = field(repr=False)
    _sequence: int = _SEQUENCE

    @classmethod
    def of(cls, connection: SSL.Connection, *, client: bool) -> Self | None:
        """After a handshake, as `client` or server; None for a suite that is not AES-GCM."""
        suite = _SUITES.get(connection.get_cipher_name() or "")
        randoms = connection.server_random(), connection.client_random()
        master = connection.master_key()
        if suite is None or not master or randoms[0] is None or randoms[1] is None:
            return None
        block = _expand(master, b"key expansion" + randoms[0] + randoms[1], 2 * (suite.key + _SALT), suite.digest)
        client_key, server_key = block[: suite.key], block[suite.key : 2 * suite.key]
        salts = block[2 * suite.key :]
        client_salt, server_salt = salts[:_SALT], salts[_SALT:]
        if client:
            return cls(client_key, client_salt, server_key, server_salt)
        return cls(server_key, server_salt, client_key, client_salt)

    def open_untrusted(self, record: Record) -> bytes | None:
        """What an encrypted record of epoch 1 says; None when it is not the peer's."""
        data = record.data
        size = len(data) - _HEADER - _EXPLICIT_NONCE - _TAG
        if record.epoch != 1 or size < 0:
            return None
        nonce = self._recv_salt + data[_HEADER : _HEADER + _EXPLICIT_NONCE]
        associated = data[3:11] + data[:3] + size.to_bytes(2, "big")
        try:
            return AESGCM(self._recv_key).decrypt(nonce, data[_HEADER + _EXPLICIT_NONCE :], associated)
        except InvalidTag:
            return None

    def seal(self, alert: bytes) -> bytes:
        """A record that carries an alert, ready to send."""
        number = (1 << 48 | self._sequence).to_bytes(8, "big")  # epoch and sequence number
        self._sequence += 1
        kind = bytes((ALERT,)) + _VERSION
        associated = number + kind + len(alert).to_bytes(2, "big")
        sealed = number + AESGCM(self._send_key).encrypt(self._send_salt + number, alert, associated)
        return kind + number + len(sealed).to_bytes(2, "big") + sealed


def _expand(secret: bytes, seed: bytes, size: int, digest: str) -> bytes:
    """P_hash of RFC 5246 section 5."""
    output = b""
    link = seed
    while len(output) < size:
        link = hmac.digest(secret, link, digest)
        output += hmac.digest(secret, link + seed, digest)
    return output[:size]
