"""STUN messages as ICE uses them: read, check, build (RFC 8489, RFC 8445 section 7 and 16).

Only the attributes of connectivity checks are known by name. A message is read in one pass that also checks the size of
every known attribute, so that its accessors cannot fail; and is written in one pass, with the integrity and fingerprint
computed over the very bytes that are sent. Attribute values are kept as bytes.
"""

from __future__ import annotations

import enum
import functools
import hmac
import ipaddress
import os
import struct
from collections.abc import Iterable
from typing import Final
from zlib import crc32

from server.errors import BadPacket
from server.rtc.address import Address

MAGIC_COOKIE: Final = 0x2112A442
BINDING: Final = 0x001

_HEADER_SIZE: Final = 20
_FINGERPRINT_XOR: Final = 0x5354554E
_INTEGRITY_SIZE: Final = 24  # the whole attribute: header and HMAC-SHA1
_FINGERPRINT_SIZE: Final = 8
_MOST_ATTRIBUTES: Final = 32  # a browser's check has seven; two thousand bytes of empty ones would take 3 ms to read
_USERNAME_LIMIT: Final = 513  # bytes; RFC 8445 section 16.1

_header = struct.Struct("!HHI12s")
_attribute = struct.Struct("!HH")
_u32 = struct.Struct("!I")


class Class(enum.IntEnum):
    """The class bits of the message type."""

    REQUEST = 0x000
    INDICATION = 0x010
    SUCCESS = 0x100
    ERROR = 0x110


class Attribute(enum.IntEnum):
    """Attribute types. Those below 0x8000 must be understood by whoever answers a request."""

    MAPPED_ADDRESS = 0x0001
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    UNKNOWN_ATTRIBUTES = 0x000A
    REALM = 0x0014
    NONCE = 0x0015
    MESSAGE_INTEGRITY_SHA256 = 0x001C
    XOR_MAPPED_ADDRESS = 0x0020
    PRIORITY = 0x0024
    USE_CANDIDATE = 0x0025
    NOMINATION = 0x0030  # draft-thatcher-ice-renomination
    SOFTWARE = 0x8022
    FINGERPRINT = 0x8028
    ICE_CONTROLLED = 0x8029
    ICE_CONTROLLING = 0x802A


_KNOWN: Final = frozenset(int(attribute) for attribute in Attribute)
# Sizes in bytes of those attributes whose size is fixed.
_SIZES: Final = {
    Attribute.MESSAGE_INTEGRITY.value: 20,
    Attribute.PRIORITY.value: 4,
    Attribute.USE_CANDIDATE.value: 0,
    Attribute.NOMINATION.value: 4,
    Attribute.FINGERPRINT.value: 4,
    Attribute.ICE_CONTROLLED.value: 8,
    Attribute.ICE_CONTROLLING.value: 8,
}


class Message:
    """One message as it was received. Made by `parse_untrusted` only, which has checked what the accessors rely on."""

    __slots__ = ("_data", "_integrity_at", "attributes", "message_class", "method", "transaction_id", "unknown")

    def __init__(
        self,
        method: int,
        message_class: Class,
        transaction_id: bytes,
        attributes: dict[int, bytes],
        unknown: tuple[int, ...],
        data: bytes,
        integrity_at: int,
    ) -> None:
        """`integrity_at` is the offset of MESSAGE-INTEGRITY in `data`, 0 when there is none."""
        self.method = method
        self.message_class = message_class
        self.transaction_id = transaction_id
        self.attributes = attributes  # value by type; of equal types the first
        self.unknown = unknown  # types that must be understood and are not, in order
        self._data = data
        self._integrity_at = integrity_at

    @property
    def has_integrity(self) -> bool:
        """Whether there is a MESSAGE-INTEGRITY attribute; not whether it is right."""
        return self._integrity_at != 0

    @property
    def has_fingerprint(self) -> bool:
        """Whether there is a FINGERPRINT; a wrong one has been refused by the parser."""
        return Attribute.FINGERPRINT in self.attributes

    @property
    def username(self) -> str | None:
        """`local:remote` fragments, as the receiver of a check sees them (RFC 8445 section 7.2.2)."""
        value = self.attributes.get(Attribute.USERNAME)
        return None if value is None else value.decode()

    @property
    def priority(self) -> int | None:
        """The priority a peer-reflexive candidate would get, 32 bits."""
        return self._number(Attribute.PRIORITY)

    @property
    def nomination(self) -> int | None:
        """The number of the renomination, 32 bits; the highest one wins."""
        return self._number(Attribute.NOMINATION)

    @property
    def use_candidate(self) -> bool:
        """Whether the controlling side nominates this path."""
        return Attribute.USE_CANDIDATE in self.attributes

    @property
    def ice_controlling(self) -> int | None:
        """The tie-breaker of a peer that takes the controlling role, 64 bits."""
        return self._number(Attribute.ICE_CONTROLLING)

    @property
    def ice_controlled(self) -> int | None:
        """The tie-breaker of a peer that takes the controlled role, 64 bits."""
        return self._number(Attribute.ICE_CONTROLLED)

    @property
    def error_code(self) -> int | None:
        """300 to 699 (RFC 8489 section 14.8)."""
        value = self.attributes.get(Attribute.ERROR_CODE)
        return None if value is None else (value[2] & 7) * 100 + value[3]

    @property
    def unknown_attributes(self) -> tuple[int, ...]:
        """The types that the sender of a 420 error did not understand."""
        value = self.attributes.get(Attribute.UNKNOWN_ATTRIBUTES, b"")
        return struct.unpack(f"!{len(value) // 2}H", value)

    @property
    def xor_mapped_address(self) -> tuple[str, int] | None:
        """(host, port) from which the answered request came."""
        value = self.attributes.get(Attribute.XOR_MAPPED_ADDRESS)
        if value is None:
            return None
        mask = self._data[4 : 4 + len(value) - 4]
        port = int.from_bytes(value[2:4], "big") ^ (MAGIC_COOKIE >> 16)
        host = bytes(a ^ b for a, b in zip(value[4:], mask, strict=True))
        return str(ipaddress.ip_address(host)), port

    def check_integrity(self, password: str) -> bool:
        """Whether MESSAGE-INTEGRITY is there and right for the short-term credential (RFC 8489 section 14.5)."""
        at = self._integrity_at
        if not at:
            return False
        covered = b"".join((self._data[:2], (at - _HEADER_SIZE + _INTEGRITY_SIZE).to_bytes(2, "big"), self._data[4:at]))
        digest = hmac.digest(password.encode(), covered, "sha1")
        return hmac.compare_digest(digest, self.attributes[Attribute.MESSAGE_INTEGRITY])

    def _number(self, attribute: Attribute) -> int | None:
        value = self.attributes.get(attribute)
        return None if value is None else int.from_bytes(value, "big")

    def __repr__(self) -> str:
        # No attribute values: a USERNAME is half of a credential.
        names = ", ".join(f"{attribute:#06x}" for attribute in self.attributes)
        return f"Message({self.message_class.name}, method={self.method}, attributes=[{names}])"


def parse_untrusted(data: bytes) -> Message:
    """Read one message, which must fill `data`. BadPacket when it is malformed or its FINGERPRINT is wrong.

    Integrity is the caller's to check, who knows the password. As RFC 8489 sections 14.5 and 14.7 say, attributes after
    MESSAGE-INTEGRITY are ignored (they are not authenticated) except FINGERPRINT, which must come last.
    """
    size = len(data)
    if size < _HEADER_SIZE:
        raise BadPacket("stun-short")
    message_type, length, cookie, transaction_id = _header.unpack_from(data)
    if message_type & 0xC000 or cookie != MAGIC_COOKIE:
        raise BadPacket("stun-not-stun")
    if length & 3 or length != size - _HEADER_SIZE:
        raise BadPacket("stun-length")
    attributes: dict[int, bytes] = {}
    unknown: tuple[int, ...] = ()
    integrity_at = 0
    count = 0
    at = _HEADER_SIZE
    while at < size:
        count += 1
        if count > _MOST_ATTRIBUTES:
            raise BadPacket("stun-too-many-attributes")
        # The length is a multiple of four and so is `at`: a whole attribute header is there.
        attribute, length = _attribute.unpack_from(data, at)
        end = at + 4 + length
        if end > size:
            raise BadPacket("stun-attribute-length")
        if integrity_at and attribute != Attribute.FINGERPRINT:
            at = (end + 3) & ~3
            continue
        value = data[at + 4 : end]
        if attribute in _KNOWN:
            _check_value(attribute, value)
        elif attribute < 0x8000 and attribute not in unknown:
            unknown = (*unknown, attribute)
        attributes.setdefault(attribute, value)
        if attribute == Attribute.MESSAGE_INTEGRITY:
            integrity_at = at
        elif attribute == Attribute.FINGERPRINT:
            if end != size:
                raise BadPacket("stun-fingerprint-not-last")
            if crc32(data[:at]) ^ _FINGERPRINT_XOR != int.from_bytes(value, "big"):
                raise BadPacket("stun-fingerprint")
        at = (end + 3) & ~3
    # The method's twelve bits lie around the two of the class (RFC 8489 section 5).
    method = (message_type & 0x000F) | (message_type & 0x00E0) >> 1 | (message_type & 0x3E00) >> 2
    return Message(method, Class(message_type & 0x0110), transaction_id, attributes, unknown, data, integrity_at)


def _check_value(attribute: int, value: bytes) -> None:
    """BadPacket unless `value` is one that the accessors of Message can read."""
    size = _SIZES.get(attribute)
    if size is not None:
        if len(value) != size:
            raise BadPacket("stun-attribute-size")
    elif attribute == Attribute.USERNAME:
        if len(value) > _USERNAME_LIMIT:
            raise BadPacket("stun-username")
        try:
            value.decode()
        except UnicodeDecodeError:
            raise BadPacket("stun-username") from None
    elif attribute == Attribute.XOR_MAPPED_ADDRESS:
        if len(value) < 4 or (value[1], len(value)) not in ((1, 8), (2, 20)):
            raise BadPacket("stun-address")
    elif attribute == Attribute.ERROR_CODE:
        if len(value) < 4:
            raise BadPacket("stun-attribute-size")
    elif attribute == Attribute.UNKNOWN_ATTRIBUTES and len(value) & 1:
        raise BadPacket("stun-attribute-size")


def local_username_fragment_untrusted(data: bytes) -> str:
    """The first half of the USERNAME: which transport a check is for. Nothing else is checked. BadPacket without one.

    A response carries no USERNAME, so this is also the refusal of stray responses.
    """
    size = len(data)
    if size < _HEADER_SIZE or data[4:8] != b"\x21\x12\xa4\x42":
        raise BadPacket("stun-not-stun")
    at = _HEADER_SIZE
    while at + 4 <= size:
        attribute, length = _attribute.unpack_from(data, at)
        at += 4
        if attribute == Attribute.USERNAME:
            fragment, colon, _ = data[at : min(at + length, size)].partition(b":")
            if not colon or not fragment.isascii():
                raise BadPacket("stun-username")
            return fragment.decode("ascii")
        at += (length + 3) & ~3
    raise BadPacket("stun-no-username")


def build_request(
    username: str,
    password: str,
    *,
    priority: int,
    ice_controlling: int | None = None,
    ice_controlled: int | None = None,
    use_candidate: bool = False,
    nomination: int | None = None,
    transaction_id: bytes | None = None,
) -> bytes:
    """A check (RFC 8445 section 7.1). `username` is `their fragment:our fragment`, `password` is theirs."""
    attributes: list[tuple[int, bytes]] = [
        (Attribute.USERNAME, username.encode()),
        (Attribute.PRIORITY, priority.to_bytes(4, "big")),
    ]
    if ice_controlling is not None:
        attributes.append((Attribute.ICE_CONTROLLING, ice_controlling.to_bytes(8, "big")))
    if ice_controlled is not None:
        attributes.append((Attribute.ICE_CONTROLLED, ice_controlled.to_bytes(8, "big")))
    if use_candidate:
        attributes.append((Attribute.USE_CANDIDATE, b""))
    if nomination is not None:
        attributes.append((Attribute.NOMINATION, nomination.to_bytes(4, "big")))
    return build(Class.REQUEST, transaction_id or os.urandom(12), attributes, password)


def build_success(transaction_id: bytes, mapped: Address, password: str) -> bytes:
    """The answer to a good check, saying from which address it came."""
    value = _xor_mapped_address(mapped.host, mapped.port, transaction_id)
    return build(Class.SUCCESS, transaction_id, ((Attribute.XOR_MAPPED_ADDRESS, value),), password)


def build_error(
    transaction_id: bytes, code: int, reason: str, password: str | None, *, unknown: tuple[int, ...] = ()
) -> bytes:
    """A refusal. `password` is None when the requester did not prove that it knows it (RFC 8489 section 9.1.3)."""
    attributes: list[tuple[int, bytes]] = [
        (Attribute.ERROR_CODE, bytes((0, 0, code // 100, code % 100)) + reason.encode())
    ]
    if unknown:
        attributes.append((Attribute.UNKNOWN_ATTRIBUTES, struct.pack(f"!{len(unknown)}H", *unknown)))
    return build(Class.ERROR, transaction_id, attributes, password)


def build(
    message_class: Class,
    transaction_id: bytes,
    attributes: Iterable[tuple[int, bytes]],
    password: str | None,
    *,
    method: int = BINDING,
) -> bytes:
    """Any message: the attributes in order, MESSAGE-INTEGRITY if there is a password, and FINGERPRINT."""
    parts: list[bytes] = []
    for attribute, value in attributes:
        length = len(value)
        parts.append(_attribute.pack(attribute, length) + value + bytes(-length & 3))
    body = b"".join(parts)
    message_type = (method & 0xF) | (method & 0x70) << 1 | (method & 0xF80) << 2 | message_class
    length = len(body)
    # Each check covers the message as if it ended with the check itself, so the length in the header grows twice.
    if password is not None:
        length += _INTEGRITY_SIZE
        covered = _header.pack(message_type, length, MAGIC_COOKIE, transaction_id) + body
        body += b"\x00\x08\x00\x14" + hmac.digest(password.encode(), covered, "sha1")
    length += _FINGERPRINT_SIZE
    message = _header.pack(message_type, length, MAGIC_COOKIE, transaction_id) + body
    return message + b"\x80\x28\x00\x04" + _u32.pack(crc32(message) ^ _FINGERPRINT_XOR)


def _xor_mapped_address(host: str, port: int, transaction_id: bytes) -> bytes:
    packed = _packed_host(host)
    size = len(packed)
    mask = int.from_bytes((b"\x21\x12\xa4\x42" + transaction_id)[:size], "big")
    masked = (int.from_bytes(packed, "big") ^ mask).to_bytes(size, "big")
    return bytes((0, 1 if size == 4 else 2)) + (port ^ (MAGIC_COOKIE >> 16)).to_bytes(2, "big") + masked


@functools.lru_cache(maxsize=4096)
def _packed_host(host: str) -> bytes:
    # Kept, since a client repeats its checks every few seconds for as long as a call lasts.
    return ipaddress.ip_address(host).packed
