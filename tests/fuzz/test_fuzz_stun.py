"""Damaged STUN: only BadPacket, no path without the password, answers never larger than a datagram."""

from __future__ import annotations

import contextlib
from zlib import crc32

import pytest

from server.errors import BadPacket
from server.rtc.address import Address
from server.rtc.demux import Kind, classify
from server.rtc.ice_lite import IceCredentials, IceLite, IceState, Path
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
from tests.fuzz.mutate import mutated

OURS = IceCredentials("frag", "a-password-nobody-can-guess")
PATH = Path(1, Address("udp", "192.0.2.1", 1000))
V6 = Address("udp", "2001:db8::1", 65535)
ID = bytes(range(12))
# Signed with another password: no mutation of these may be taken for the peer's.
CORPUS = [
    build_request("frag:peer", "wrong", priority=1, ice_controlling=2, use_candidate=True, transaction_id=ID),
    build_request("frag:peer", "wrong", priority=1, ice_controlled=2, nomination=7, transaction_id=ID),
    build_success(ID, PATH.remote, "wrong"),
    build_success(ID, V6, "wrong"),
    build_error(ID, 420, "Unknown Attribute", "wrong", unknown=(1, 2, 3)),
    build(Class.INDICATION, ID, [(Attribute.SOFTWARE, b"some software")], None),
    build(Class.REQUEST, ID, [(Attribute.USERNAME, b"frag:peer"), (0x7777, b"?"), (0xC057, bytes(4))], None),
]


def repaired(data: bytes) -> bytes:
    """With a right length and FINGERPRINT, so that the damage gets past them."""
    body = data[20 : len(data) & ~3][:-8]
    header = data[:2] + (len(body) + 8).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + data[8:20].ljust(12, b"\0")
    message = header + body
    return message + b"\x80\x28\x00\x04" + (crc32(message) ^ 0x5354554E).to_bytes(4, "big")


def read_everything(data: bytes) -> None:
    message = parse_untrusted(data)
    assert message.check_integrity("not it") is False
    assert len(message.transaction_id) == 12
    _ = (message.username, message.priority, message.nomination, message.use_candidate, message.error_code)
    _ = (message.ice_controlled, message.ice_controlling, message.xor_mapped_address, message.unknown_attributes)
    assert "frag" not in repr(message)


@pytest.mark.parametrize("repair", [False, True], ids=["raw", "repaired"])
def test_parser_and_agent(repair: bool) -> None:
    agent = IceLite(OURS)
    parsed = 0
    for damaged in mutated(CORPUS, seed=8489 + repair):
        data = repaired(damaged) if repair and len(damaged) >= 20 else damaged
        assert isinstance(classify(data), Kind)
        with contextlib.suppress(BadPacket):
            local_username_fragment_untrusted(data)
        with contextlib.suppress(BadPacket):
            read_everything(data)
            parsed += 1
        with contextlib.suppress(BadPacket):
            agent.receive_untrusted(data, PATH, 0)
        while (transmit := agent.poll_transmit()) is not None:
            assert transmit[0] == PATH
            assert len(transmit[1]) <= 128
            assert parse_untrusted(transmit[1]).message_class is Class.ERROR
        assert (agent.state, agent.paths(), agent.poll_event()) == (IceState.NEW, (), None)
    assert parsed > 100  # or the mutator makes nothing but noise
