"""Damaged STUN: only BadPacket, no path without the password, answers never larger than a datagram."""

from __future__ import annotations

import contextlib
import hmac
from zlib import crc32

import pytest

from rtpfwd.params import IceCheck
from rtpfwd.probe import answer_check, stun_authentic
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
    parsed = tried = 0
    for damaged in mutated(CORPUS, seed=8489 + repair):
        tried += 1
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
    assert parsed > tried / 100  # or the mutator makes nothing but noise


ROUTINE = IceCheck(b"frag:peer", OURS.password.encode(), 1, may_nominate=True)
# Signed with the right one, so that what is not damaged where it counts is answered.
GOOD = [
    build_request("frag:peer", OURS.password, priority=1, ice_controlling=2, use_candidate=True, transaction_id=ID),
    build_request("frag:peer", OURS.password, priority=1, ice_controlling=2, transaction_id=ID),
    build(
        Class.REQUEST,
        ID,
        [(Attribute.USERNAME, b"frag:peer"), (Attribute.PRIORITY, bytes((0, 0, 0, 1))), (0xC057, bytes(40))],
        OURS.password,
    ),
]


def resigned(data: bytes) -> bytes:
    """Whatever attributes the damage has left, signed anew: what they mean is all that is wrong."""
    message = data[:20].ljust(20, b"\0") + data[20 : len(data) & ~3][:-32]
    head = b"\x00\x01" + (len(message) + 4).to_bytes(2, "big") + b"\x21\x12\xa4\x42"
    covered = head + message[8:]
    digest = hmac.digest(OURS.password.encode(), covered, "sha1")
    return repaired(covered + b"\x00\x08\x00\x14" + digest + bytes(8))


@pytest.mark.parametrize("how", ["raw", "repaired", "resigned"])
def test_the_plane_answers_what_ice_would(how: str) -> None:
    """Every read ends at an unreadable page (rtpfwd/probe.pyx), and every answer is ICE's, which notes nothing."""
    agent = IceLite(OURS)
    agent.receive_untrusted(GOOD[0], PATH, 0)
    agent.poll_transmit()
    while agent.poll_event() is not None:
        pass
    answered = 0
    for damaged in mutated([*GOOD, *CORPUS], seed=7675):
        data = damaged
        if how != "raw" and len(damaged) >= 20:
            data = repaired(damaged) if how == "repaired" else resigned(damaged)
        stun_authentic(data, ROUTINE.password)
        answer = answer_check(data, ROUTINE, PATH.remote)
        if answer is None:
            continue
        answered += 1
        before = agent.routine()
        agent.receive_untrusted(data, PATH, 0)
        assert agent.poll_transmit() == (PATH, answer)
        assert (agent.poll_event(), agent.routine(), agent.paths()) == (None, before, (PATH,))
    assert answered >= (0 if how == "raw" else 5)
