"""The plane's own STUN against Python's and aioice's: either the same bytes, or it is left to Python."""

from __future__ import annotations

import hashlib
import hmac
import random
import struct
from collections.abc import Callable
from dataclasses import replace
from zlib import crc32

import pytest
from aioice import stun as foreign_stun

from rtpfwd.params import IceCheck
from rtpfwd.plane import Plane
from rtpfwd.probe import answer_check, hmac_sha1, stun_authentic
from server.errors import BadPacket
from server.rtc.address import Address
from server.rtc.ice_lite import IceCredentials, IceLite, Path
from server.rtc.stun import Attribute, Class, build, build_success

OURS = IceCredentials("ourfrag", "our-password-of-some-length")
CHECK = IceCheck(b"ourfrag:peer", OURS.password.encode(), 1853824767, may_nominate=True)
V4 = Address("udp", "192.0.2.77", 50000)
V6 = Address("udp", "2001:db8::1:ff", 65535)
TIE_BREAKER = (Attribute.ICE_CONTROLLING.value, bytes(8))
USERNAME = (Attribute.USERNAME.value, CHECK.username)
PRIORITY = (Attribute.PRIORITY.value, CHECK.priority.to_bytes(4, "big"))
NOMINATE = (Attribute.USE_CANDIDATE.value, b"")
ORDINARY = (USERNAME, TIE_BREAKER, PRIORITY)
ID = bytes(range(12))
Attributes = tuple[tuple[int, bytes], ...]


def request(attributes: Attributes = ORDINARY, *, password: str = OURS.password, transaction: bytes = ID) -> bytes:
    return build(Class.REQUEST, transaction, attributes, password)


def agent_at(source: Address) -> IceLite:
    """One that has completed with such a check from there."""
    agent = IceLite(OURS)
    agent.receive_untrusted(request((*ORDINARY, NOMINATE)), Path(0, source), 1)
    assert agent.poll_transmit() is not None
    while agent.poll_event() is not None:
        pass
    return agent


def python_answer(agent: IceLite, data: bytes, source: Address) -> bytes | None:
    """What goes out without the shortcut."""
    try:
        agent.receive_untrusted(data, Path(0, source), 2)
    except BadPacket:
        return None
    sent = agent.poll_transmit()
    return sent[1] if sent is not None else None


def compare(data: bytes, source: Address) -> bool:
    """Whether the plane answered; it must be Python's answer, and nothing that Python would have noted."""
    ours = answer_check(data, CHECK, source)
    if ours is None:
        return False
    agent = agent_at(source)
    before = agent.routine()
    assert python_answer(agent, data, source) == ours
    assert agent.poll_event() is None
    assert agent.routine() == before
    return True


@pytest.mark.parametrize("key_size", [1, 20, 48, 63, 64, 65, 256])
def test_hmac_of_every_length(key_size: int):
    rng = random.Random(key_size)
    key = rng.randbytes(key_size)
    for size in range(200):
        data = rng.randbytes(size)
        assert hmac_sha1(key, data) == hmac.digest(key, data, "sha1")
    long = rng.randbytes(5000)
    assert hmac_sha1(key, long) == hmac.new(key, long, hashlib.sha1).digest()


def test_the_vector_of_rfc_2202():
    assert hmac_sha1(b"Jefe", b"what do ya want for nothing?").hex() == "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"


@pytest.mark.parametrize("source", [V4, V6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize(
    "attributes",
    [
        ORDINARY,
        (*ORDINARY, NOMINATE),
        (NOMINATE, PRIORITY, TIE_BREAKER, USERNAME),
        (USERNAME, PRIORITY),
        ((Attribute.SOFTWARE.value, b"a browser"), *ORDINARY),
        (*ORDINARY, (0xC057, bytes(4)), (0xC070, b"")),
        (*ORDINARY, (0x8000, bytes(1100))),
        (*ORDINARY, *(((0xC000 + number), b"") for number in range(27))),
    ],
)
def test_what_a_browser_sends_is_answered(attributes: Attributes, source: Address):
    assert compare(request(attributes), source)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (request(password="another password"), "wrong password"),
        (request(((USERNAME[0], b"ourfrag:pear"), *ORDINARY[1:])), "another peer"),
        (request(((USERNAME[0], CHECK.username + b"x"), *ORDINARY[1:])), "a longer name"),
        (request(((USERNAME[0], CHECK.username[:-1]), *ORDINARY[1:])), "a shorter name"),
        (request(((USERNAME[0], b"x" * 513), *ORDINARY[1:])), "the longest name"),
        (request(ORDINARY[1:]), "no name"),
        (request(ORDINARY[:2]), "no priority"),
        (request((USERNAME, TIE_BREAKER, (PRIORITY[0], b"\0\0\0\1"))), "another priority"),
        (request((*ORDINARY, (Attribute.ICE_CONTROLLED.value, bytes(8)))), "the other role"),
        (request((*ORDINARY, (Attribute.NOMINATION.value, bytes(4)))), "renomination"),
        (request((*ORDINARY, (0x7777, b""))), "not understood"),
        (request((*ORDINARY, (Attribute.REALM.value, b"r"))), "long-term credentials"),
        (request((USERNAME, *ORDINARY)), "twice"),
        (request((*ORDINARY, (0xC000, b""), *(((0xC000 + n), b"") for n in range(27)))), "too many attributes"),
        (request((USERNAME, PRIORITY, (Attribute.ICE_CONTROLLING.value, b"short"))), "a wrong size"),
        (build(Class.REQUEST, ID, ORDINARY, None), "no integrity"),
        (build(Class.INDICATION, ID, ORDINARY, OURS.password), "an indication"),
        (build(Class.REQUEST, ID, ORDINARY, OURS.password, method=2), "another method"),
        (build_success(ID, V4, OURS.password), "an answer"),
        (request()[:-8], "cut"),
        (request() + bytes(4), "more than the message"),
        (b"", "nothing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_everything_else_is_left_to_python(data: bytes, why: str):
    assert answer_check(data, CHECK, V4) is None, why


def test_without_a_fingerprint_it_is_left_to_python_which_does_not_answer():
    signed = request()[:-8]
    data = signed[:2] + (len(signed) - 20).to_bytes(2, "big") + signed[4:]
    assert stun_authentic(data, CHECK.password)
    assert answer_check(data, CHECK, V4) is None
    assert python_answer(agent_at(V4), data, V4) is None


def test_a_nomination_is_answered_only_where_it_changes_nothing():
    connected = replace(CHECK, may_nominate=False)
    assert answer_check(request(), connected, V4) is not None
    assert answer_check(request((*ORDINARY, NOMINATE)), connected, V4) is None


def test_an_answer_is_read_by_a_foreign_agent():
    for source in (V4, V6):
        asked = foreign_stun.Message(foreign_stun.Method.BINDING, foreign_stun.Class.REQUEST)
        asked.attributes["USERNAME"] = CHECK.username.decode()
        asked.attributes["PRIORITY"] = CHECK.priority
        asked.attributes["ICE-CONTROLLING"] = 1 << 60
        asked.attributes["USE-CANDIDATE"] = None
        asked.add_message_integrity(CHECK.password)
        asked.add_fingerprint()
        assert compare(bytes(asked), source)
        answer = answer_check(bytes(asked), CHECK, source)
        assert answer is not None
        read = foreign_stun.parse_message(answer)  # checks the FINGERPRINT
        assert read.check_message_integrity(CHECK.password)
        assert read.transaction_id == asked.transaction_id
        assert read.message_class is foreign_stun.Class.RESPONSE
        assert read.attributes["XOR-MAPPED-ADDRESS"] == (source.host, source.port)


# Thousands of checks, made of a seed.

KINDS = [attribute.value for attribute in Attribute] + [0x7777, 0x8000, 0xC057, 0xFFFF]


def random_attributes(rng: random.Random) -> Attributes:
    """Mostly good ones."""
    chosen = [USERNAME, PRIORITY]
    if rng.random() < 0.9:
        chosen.append((Attribute.ICE_CONTROLLING.value, rng.randbytes(8)))
    if rng.random() < 0.5:
        chosen.append(NOMINATE)
    chosen += [
        (rng.randrange(0x8030, 0x10000), rng.randbytes(rng.choice((0, 1, 4, 7, 20, 200))))
        for _ in range(rng.choice((0, 0, 0, 1, 2, 4)))
    ]
    if rng.random() < 0.2:
        chosen.append((rng.choice(KINDS), rng.randbytes(rng.choice((0, 1, 3, 4, 8, 20)))))
    if rng.random() < 0.1:
        chosen.append(rng.choice(chosen))
    if rng.random() < 0.1:
        del chosen[rng.randrange(len(chosen))]
    rng.shuffle(chosen)
    return tuple(pair for pair in chosen if pair[0] not in (Attribute.MESSAGE_INTEGRITY, Attribute.FINGERPRINT))


def refingerprinted(body: bytes) -> bytes:
    """Any bytes of a message before its FINGERPRINT, with a right length and FINGERPRINT."""
    message = body[:2] + ((len(body) - 12) & 0xFFFF).to_bytes(2, "big") + body[4:]
    return message + b"\x80\x28\x00\x04" + struct.pack("!I", crc32(message) ^ 0x5354554E)


def resigned(data: bytes, rng: random.Random) -> bytes:
    """Something between the two last attributes, or before or after them; all sums right."""
    extra = struct.pack("!HH", rng.choice(KINDS), 4) + rng.randbytes(4)
    return refingerprinted(data[:-8] + extra)


def bit_flipped(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def flipped_under_the_fingerprint(data: bytes, rng: random.Random) -> bytes:
    return refingerprinted(bit_flipped(data[:-8], rng))


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def grown(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(rng.choice((1, 4, 8))) + data[at:]


def length_changed(data: bytes, rng: random.Random) -> bytes:
    return data[:2] + rng.choice((0, 4, len(data), len(data) - 24, 0xFFFC)).to_bytes(2, "big") + data[4:]


DAMAGES: list[Callable[[bytes, random.Random], bytes]] = [
    resigned,
    bit_flipped,
    flipped_under_the_fingerprint,
    cut,
    grown,
    length_changed,
]


@pytest.mark.parametrize("damage", [None, *DAMAGES], ids=lambda damage: getattr(damage, "__name__", "whole"))
def test_either_python_s_answer_or_none(damage: Callable[[bytes, random.Random], bytes] | None):
    rng = random.Random(8489)
    answered = 0
    for number in range(1500):
        password = OURS.password if rng.random() < 0.9 else "wrong"
        data = request(random_attributes(rng), password=password, transaction=rng.randbytes(12))
        if damage is not None:
            data = damage(data, rng)
        answered += compare(data, V6 if number % 2 else V4)
    if damage is None:
        assert answered > 700
    else:
        assert answered < 30  # a reserved bit here and there is all that may be damaged


# In the plane.


def plane_with(remote: Address = V4, *, srtp: bool = True) -> tuple[Plane, int]:
    plane = Plane(seed=1)
    transport = plane.add_transport(srtp=srtp)
    plane.admit(transport, 0, remote)
    plane.set_remote(transport, 0, remote)
    plane.set_ice(transport, CHECK)
    return plane, transport


def outcome(plane: Plane, data: bytes, *, source: Address = V4, socket: int = 0, now: int = 1) -> str:
    """Where one datagram went: "answered" or "python"."""
    before = plane.counters()["consent_checks_answered"]
    plane.ingest([(socket, source, data)], now)
    sent, handed = plane.poll_transmit(), plane.poll_handoff()
    assert (sent is None) != (handed is None)
    assert plane.counters()["consent_checks_answered"] - before == (sent is not None)
    if handed is not None:
        assert handed == (socket, source, data)
        return "python"
    assert sent == (socket, source, answer_check(data, CHECK, source))
    return "answered"


@pytest.mark.parametrize("remote", [V4, V6, Address("tcp", "192.0.2.77", 50000)], ids=["IPv4", "IPv6", "TCP"])
def test_the_plane_answers_its_remote_and_notes_when(remote: Address):
    plane, transport = plane_with(remote)
    assert plane.consent(transport) == (0, 0)
    assert outcome(plane, request(), source=remote, now=70) == "answered"
    assert plane.consent(transport) == (70, 0)
    assert outcome(plane, request((*ORDINARY, NOMINATE)), source=remote, now=80) == "answered"
    assert plane.consent(transport) == (80, 80)
    assert outcome(plane, request(), source=remote, now=90) == "answered"
    assert plane.consent(transport) == (90, 80)
    assert outcome(plane, request(password="wrong"), source=remote, now=95) == "python"
    assert plane.consent(transport) == (90, 80)
    stats = plane.transport_stats(transport)
    assert (stats["sent_packets"], stats["queued_bytes"]) == (3, 0)


def test_only_the_remote_s_own_path_is_answered():
    plane, transport = plane_with()
    other = Address("udp", "192.0.2.78", 50000)
    assert outcome(plane, request(), source=other) == "python"
    plane.admit(transport, 0, other)
    assert outcome(plane, request(), source=other) == "python"
    plane.admit(transport, 1, V4)
    assert outcome(plane, request(), socket=1) == "python"
    thief = plane.add_transport(srtp=True)
    plane.admit(thief, 0, V4)
    assert outcome(plane, request()) == "python"
    plane.admit(transport, 0, V4)
    assert outcome(plane, request()) == "answered"


@pytest.mark.parametrize(
    "change",
    [
        lambda plane, transport: plane.set_ice(transport, None),
        lambda plane, transport: plane.set_ice(transport, replace(CHECK, username=b"ourfrag:else")),
        lambda plane, transport: plane.set_ice(transport, replace(CHECK, password=b"of a restart")),
        lambda plane, transport: plane.set_remote(transport, 0, None),
        lambda plane, transport: plane.set_remote(transport, 0, V6),
        lambda plane, transport: (plane.set_remote(transport, 0, V6), plane.set_remote(transport, 0, V4)),
        lambda plane, transport: plane.dismiss(0, V4),
    ],
    ids=["taken back", "another name", "another password", "no remote", "moved", "moved and back", "dismissed"],
)
def test_python_hears_the_next_check_after(change: Callable[[Plane, int], object]):
    plane, transport = plane_with()
    assert outcome(plane, request(), now=5) == "answered"
    change(plane, transport)
    assert outcome(plane, request(), now=6) == "python"
    assert plane.consent(transport) in ((5, 0), (0, 0))


def test_the_same_remote_again_changes_nothing():
    plane, transport = plane_with()
    assert outcome(plane, request(), now=5) == "answered"
    plane.set_remote(transport, 0, V4)
    assert plane.consent(transport) == (5, 0)
    assert outcome(plane, request(), now=6) == "answered"


def test_what_there_is_no_room_to_answer_goes_to_python():
    plane, transport = plane_with(tcp := Address("tcp", "192.0.2.77", 50000))
    full = 0
    for now in range(1, 5000):
        plane.ingest([(0, tcp, request())], now)
        if plane.counters()["handed_off"]:
            full = now
            break
    assert full > 4000  # the FIFO's places
    assert plane.consent(transport) == (full - 1, 0)
    assert plane.poll_handoff() == (0, tcp, request())


def test_a_removed_transport_has_no_consent_and_stale_handles_are_refused():
    plane, transport = plane_with()
    plane.remove_transport(transport)
    for call in (lambda: plane.consent(transport), lambda: plane.set_ice(transport, CHECK)):
        with pytest.raises(KeyError, match="any more"):
            call()
    assert outcome(plane, request()) == "python"


@pytest.mark.parametrize(
    "check",
    [
        replace(CHECK, username=b""),
        replace(CHECK, username=b"x" * 514),
        replace(CHECK, password=b""),
        replace(CHECK, priority=-1),
        replace(CHECK, priority=1 << 32),
    ],
)
def test_a_check_that_can_not_be_is_refused_and_changes_nothing(check: IceCheck):
    plane, transport = plane_with()
    with pytest.raises(ValueError, match="a check"):
        plane.set_ice(transport, check)
    assert outcome(plane, request()) == "answered"


def test_the_password_is_not_shown():
    assert OURS.password not in repr(CHECK)
    routine = agent_at(V4).routine()
    assert routine is not None
    assert OURS.password not in repr(routine)
