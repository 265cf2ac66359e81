"""The typed face of the C core. The functions on bytes are for tests against the vectors of the standards.

Every function raises ValueError when a length is wrong or this CPU lacks the instructions.
"""

TIERS: dict[str, int]
"""By name, slowest first."""

def best_tier(profile: int) -> str | None:
    """The fastest tier of this CPU for an SrtpProfile. None: it has none."""

def has_tier(profile: int, tier: str) -> bool: ...
def gcm_seal(tier: str, key: bytes, nonce: bytes, aad: bytes, text: bytes) -> tuple[bytes, bytes]:
    """(ciphertext, tag of 16 bytes): AES-128-GCM as in NIST SP 800-38D."""

def ctr(tier: str, key: bytes, block: bytes, text: bytes) -> bytes:
    """AES-128 in counter mode from this counter block; its last 32 bits count."""

def hmac_sha1(key: bytes, text: bytes) -> bytes:
    """All 20 bytes (RFC 2202)."""

def derive(master: bytes, label: int, size: int) -> bytes:
    """RFC 3711 section 4.3.3: `size` bytes of session key from a master key with its 14 bytes of salt."""

def protect_control_with(key: bytes, salt: bytes, packet: bytes, index: int) -> bytes:
    """SRTCP with GCM (RFC 7714 section 9) under session keys of 16 bytes and 12, instead of derived ones."""

def unprotect_control_with(key: bytes, salt: bytes, packet: bytes) -> bytes | None:
    """The clear packet; None where the tag is wrong."""
