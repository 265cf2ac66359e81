"""Our STUN codec against aioice's, byte by byte, and against the vectors of RFC 5769."""

from __future__ import annotations

import random
from typing import Any

import pytest
from aioice import stun as oracle
from hypothesis import given
from hypothesis import strategies as st

from server.errors import BadPacket
from server.rtc.address import Address
from server.rtc.stun import (
    Attribute,
    Class,
    build,
    build_error,
    build_request,
    build_success,
    local_username_fragment_untrusted,
    parse_untrusted,
)

ID = bytes(range(12))
PASSWORD = "VOkJxbRl1RmTxUk/WvJxBt"

# RFC 5769 section 2.1: a check by "evtj:h6vY"; its padding is spaces, which only matters to the sums.
RFC_5769_REQUEST = bytes.fromhex(
    "00010058 2112a442 b7e7a701 bc34d686 fa87dfae"
    "80220010 5354554e 20746573 7420636c 69656e74"
    "00240004 6e0001ff 80290008 932ff9b1 51263b36"
    "00060009 6576746a 3a683676 59202020"
    "00080014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2"
    "80280004 e57a3bcf"
)


def from_oracle(message_class: oracle.Class, attributes: dict[str, Any], password: str | None) -> bytes:
    message = oracle.Message(oracle.Method.BINDING, message_class, ID, dict(attributes))
    if password is None:
        message.add_fingerprint()
    else:
        message.add_message_integrity(password.encode())
    return bytes(message)


@pytest.mark.parametrize(
    ("ours", "attributes"),
    [
        ({"priority": 1}, {"PRIORITY": 1}),
        (
            {"priority": 2**32 - 1, "ice_controlling": 2**64 - 1, "use_candidate": True},
            {"PRIORITY": 2**32 - 1, "ICE-CONTROLLING": 2**64 - 1, "USE-CANDIDATE": None},
        ),
        ({"priority": 7, "ice_controlled": 5}, {"PRIORITY": 7, "ICE-CONTROLLED": 5}),
    ],
)
@pytest.mark.parametrize("username", ["a:b", "abcd:efgh", "abcde:fghi", "é:ñ"])
def test_requests_are_byte_identical(ours: dict[str, Any], attributes: dict[str, Any], username: str) -> None:
    expected = from_oracle(oracle.Class.REQUEST, {"USERNAME": username, **attributes}, PASSWORD)
    assert build_request(username, PASSWORD, transaction_id=ID, **ours) == expected


@pytest.mark.parametrize(
    ("host", "port"),
    [("192.0.2.1", 32853), ("0.0.0.0", 0), ("255.255.255.255", 65535), ("2001:db8::1", 32853), ("::1", 1)],
)
def test_success_is_byte_identical(host: str, port: int) -> None:
    data = build_success(ID, Address("udp", host, port), PASSWORD)
    assert data == from_oracle(oracle.Class.RESPONSE, {"XOR-MAPPED-ADDRESS": (host, port)}, PASSWORD)
    assert parse_untrusted(data).xor_mapped_address == (host, port)


@pytest.mark.parametrize("password", [None, PASSWORD])
@pytest.mark.parametrize(("code", "reason"), [(400, "Bad Request"), (401, "Unauthorized"), (487, "Role Conflict")])
def test_errors_are_byte_identical(code: int, reason: str, password: str | None) -> None:
    data = build_error(ID, code, reason, password)
    assert data == from_oracle(oracle.Class.ERROR, {"ERROR-CODE": (code, reason)}, password)
    assert parse_untrusted(data).error_code == code


@given(
    username=st.text(min_size=1, max_size=60),
    priority=st.integers(0, 2**32 - 1),
    role=st.integers(0, 2**64 - 1),
    use_candidate=st.booleans(),
    transaction_id=st.binary(min_size=12, max_size=12),
)
def test_the_oracle_reads_what_we_write(
    username: str, priority: int, role: int, use_candidate: bool, transaction_id: bytes
) -> None:
    data = build_request(
        username,
        PASSWORD,
        priority=priority,
        ice_controlling=role,
        use_candidate=use_candidate,
        transaction_id=transaction_id,
    )
    theirs = oracle.parse_message(data)
    assert theirs.check_message_integrity(PASSWORD.encode())
    ours = parse_untrusted(data)
    assert ours.check_integrity(PASSWORD)
    assert not ours.check_integrity(PASSWORD + "x")
    assert ours.username == theirs.attributes["USERNAME"] == username
    assert ours.priority == theirs.attributes["PRIORITY"] == priority
    assert ours.ice_controlling == theirs.attributes["ICE-CONTROLLING"] == role
    assert ours.use_candidate == ("USE-CANDIDATE" in theirs.attributes) == use_candidate
    assert ours.transaction_id == theirs.transaction_id == transaction_id


def test_rfc_5769_vector() -> None:
    message = parse_untrusted(RFC_5769_REQUEST)
    assert message.message_class is Class.REQUEST
    assert message.check_integrity(PASSWORD)
    assert message.username == "evtj:h6vY"
    assert message.priority == 0x6E0001FF
    assert message.ice_controlled == 0x932FF9B151263B36
    assert local_username_fragment_untrusted(RFC_5769_REQUEST) == "evtj"


def test_more_attributes_than_any_check_has_are_refused() -> None:
    few = build(Class.REQUEST, ID, [(0x0100 + n, b"") for n in range(31)], None)
    assert len(parse_untrusted(few).unknown) == 31
    with pytest.raises(BadPacket, match="stun-too-many-attributes"):
        parse_untrusted(build(Class.REQUEST, ID, [(0x0100 + n, b"") for n in range(500)], None))


def test_nomination_and_unknown_attributes() -> None:
    assert parse_untrusted(build_request("a:b", "p", priority=1, nomination=9)).nomination == 9
    # Comprehension-required 0x0002 and 0x7FFF are unknown; optional 0xC057 is not worth a word.
    attributes = ((0x0002, b"x"), (0xC057, b"abc"), (0x7FFF, b""), (0x0002, b"y"), (Attribute.PRIORITY, bytes(4)))
    message = parse_untrusted(build(Class.REQUEST, ID, attributes, "p"))
    assert message.unknown == (0x0002, 0x7FFF)
    refusal = parse_untrusted(build_error(ID, 420, "Unknown Attribute", "p", unknown=message.unknown))
    assert refusal.unknown_attributes == (0x0002, 0x7FFF)
    assert refusal.check_integrity("p")


def test_what_follows_the_integrity_is_ignored() -> None:
    signed = build_request("a:b", "p", priority=1)[:-8]
    forged = signed + bytes.fromhex("00250000")
    size = len(forged) - 20
    message = parse_untrusted(forged[:2] + size.to_bytes(2, "big") + forged[4:])
    assert message.check_integrity("p")
    assert not message.use_candidate


def test_of_equal_attributes_the_first_counts() -> None:
    twice = build(
        Class.REQUEST, ID, [(Attribute.PRIORITY, bytes(3) + b"\1"), (Attribute.PRIORITY, bytes(3) + b"\2")], None
    )
    assert parse_untrusted(twice).priority == 1


def resized(data: bytes) -> bytes:
    return data[:2] + (len(data) - 20).to_bytes(2, "big") + data[4:]


GOOD = build_request("abcd:efgh", PASSWORD, priority=1, ice_controlling=2, transaction_id=ID)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "stun-short"),
        (GOOD[:19], "stun-short"),
        (b"\x40" + GOOD[1:], "stun-not-stun"),
        (GOOD[:4] + bytes(4) + GOOD[8:], "stun-not-stun"),
        (GOOD[:-1], "stun-length"),
        (GOOD + b"\0", "stun-length"),
        (resized(GOOD + b"\0"), "stun-length"),
        (GOOD[:-1] + bytes([GOOD[-1] ^ 1]), "stun-fingerprint"),
        (GOOD[:30] + bytes([GOOD[30] ^ 1]) + GOOD[31:], "stun-fingerprint"),
        (resized(GOOD + bytes.fromhex("80220000")), "stun-fingerprint-not-last"),
        (resized(GOOD[:20] + bytes.fromhex("00240008 00000001")), "stun-attribute-length"),
        (build(Class.REQUEST, ID, [(Attribute.PRIORITY, bytes(3))], None), "stun-attribute-size"),
        (build(Class.REQUEST, ID, [(Attribute.USE_CANDIDATE, b"x")], None), "stun-attribute-size"),
        (build(Class.REQUEST, ID, [(Attribute.USERNAME, b"\xff:a")], None), "stun-username"),
        (build(Class.REQUEST, ID, [(Attribute.USERNAME, b"a" * 514)], None), "stun-username"),
        (build(Class.SUCCESS, ID, [(Attribute.XOR_MAPPED_ADDRESS, bytes(8))], None), "stun-address"),
        (build(Class.ERROR, ID, [(Attribute.ERROR_CODE, bytes(2))], None), "stun-attribute-size"),
        (build(Class.ERROR, ID, [(Attribute.UNKNOWN_ATTRIBUTES, bytes(3))], None), "stun-attribute-size"),
    ],
)
def test_malformed(data: bytes, reason: str) -> None:
    with pytest.raises(BadPacket) as refusal:
        parse_untrusted(data)
    assert refusal.value.reason == reason


@pytest.mark.parametrize("fragment", ["a", "abcd", "+/AZ09"])
def test_local_username_fragment(fragment: str) -> None:
    attributes = [(Attribute.SOFTWARE, b"before"), (Attribute.USERNAME, f"{fragment}:peer".encode())]
    assert local_username_fragment_untrusted(build(Class.REQUEST, ID, attributes, None)) == fragment


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "stun-not-stun"),
        (bytes(40), "stun-not-stun"),
        (build(Class.SUCCESS, ID, [], PASSWORD), "stun-no-username"),
        (build(Class.REQUEST, ID, [(Attribute.USERNAME, b"nocolon")], None), "stun-username"),
        (build(Class.REQUEST, ID, [(Attribute.USERNAME, b"\xc3\xa9:a")], None), "stun-username"),
    ],
)
def test_no_local_username_fragment(data: bytes, reason: str) -> None:
    with pytest.raises(BadPacket) as refusal:
        local_username_fragment_untrusted(data)
    assert refusal.value.reason == reason


def test_methods_and_classes_survive_their_interleaved_bits() -> None:
    rng = random.Random(1)
    for message_class in Class:
        for method in [0, 1, 0xFFF, *(rng.randrange(0x1000) for _ in range(50))]:
            message = parse_untrusted(build(message_class, ID, [], None, method=method))
            assert (message.method, message.message_class) == (method, message_class)
