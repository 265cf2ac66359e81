"""ICE-lite: calls as lists of steps in virtual time, and what is answered to whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from server.errors import BadPacket, LocalError
from server.rtc.address import Address
from server.rtc.ice_lite import (
    IceCredentials,
    IceEvent,
    IceLite,
    IceState,
    Path,
    PathDropped,
    PathSelected,
    PathValidated,
    StateChanged,
)
from server.rtc.stun import Attribute, Class, build, build_request, build_success, parse_untrusted

SECOND = 1_000_000_000
OLD = IceCredentials("oldu", "old-password-old-password")
NEW = IceCredentials("newu", "new-password-new-password")
NEWER = IceCredentials("newr", "newer-password-newer-password")

A = Path(1, Address("udp", "192.0.2.1", 1000))
B = Path(1, Address("udp", "192.0.2.2", 2000))
C = Path(2, Address("tcp", "2001:db8::3", 3000))
PATHS = {"A": A, "B": B, "C": C}
CREDENTIALS = {"old": OLD, "new": NEW, "newer": NEWER}


def check(credentials: IceCredentials = OLD, *, nominate: bool = False, **options: Any) -> bytes:
    options.setdefault("priority", 100)
    if "ice_controlled" not in options:
        options.setdefault("ice_controlling", 1)
    username = f"{credentials.username_fragment}:peer"
    return build_request(username, credentials.password, use_candidate=nominate, **options)


def answer(agent: IceLite, path: Path) -> bytes:
    """The one datagram to send, which must go back where the check came from."""
    transmit = agent.poll_transmit()
    assert transmit is not None
    assert agent.poll_transmit() is None
    assert transmit[0] == path
    return transmit[1]


def events(agent: IceLite) -> list[IceEvent]:
    found = []
    while (event := agent.poll_event()) is not None:
        found.append(event)
    return found


def brief(event: IceEvent) -> str:
    """`+A` validated, `>A` selected, `-A` dropped, or the name of a state."""
    if isinstance(event, StateChanged):
        return event.state.value
    sign = {PathValidated: "+", PathSelected: ">", PathDropped: "-"}[type(event)]
    return sign + next(name for name, path in PATHS.items() if path == event.path)


@dataclass(frozen=True)
class Step:
    """At `at` seconds `what` happens: `A` is a check on path A, `A*` one that nominates, `A#3` one with NOMINATION 3,
    each with `by` credentials; `restart` and `drop A` say what they do. Empty: only time passes."""

    at: float
    what: str
    expected: str  # brief events
    by: str = "old"
    priority: int = 100


SCENARIOS: dict[str, list[Step]] = {
    "a usual call": [
        Step(0.0, "A", "+A >A connected"),
        Step(0.1, "A*", "completed"),
        Step(2.5, "A*", ""),
        Step(5.0, "A", ""),
    ],
    "nominated at once": [Step(0.0, "A*", "+A >A completed")],
    "the nominated path is not the first": [
        Step(0.0, "A", "+A >A connected"),
        Step(0.0, "B", "+B"),
        Step(0.1, "B*", ">B completed"),
    ],
    "a live client moves to another network": [
        Step(0, "A*", "+A >A completed"),
        Step(10, "B", "+B"),
        Step(10.1, "B*", ">B"),
        Step(30, "", "-A"),
        Step(31, "B*", ""),
    ],
    "and comes back": [
        Step(0, "A*", "+A >A completed"),
        Step(1, "B*", "+B >B"),
        Step(2, "A", ""),
        Step(3, "A*", ">A"),
        Step(3.1, "B", ""),
    ],
    "nominating every check (RFC 5245), the best priority stays": [
        Step(0.0, "A*", "+A >A completed", priority=200),
        Step(0.1, "B*", "+B >B", priority=100),
        Step(2.0, "A*", ">A", priority=200),
        Step(2.1, "B*", "", priority=100),
        Step(4.0, "A*", "", priority=200),
        Step(4.1, "B*", "", priority=100),
        Step(6.1, "B*", ">B", priority=100),  # nothing on A since B's last: it is gone
    ],
    "renomination: the highest number wins": [
        Step(0.0, "A#1", "+A >A completed"),
        Step(0.1, "B#2", "+B >B"),
        Step(0.2, "A#1", ""),
        Step(0.3, "B#2", ""),
        Step(0.4, "A#3", ">A"),
    ],
    "silence disconnects, then closes": [
        Step(0, "A*", "+A >A completed"),
        Step(29.9, "", ""),
        Step(30, "", "-A disconnected"),
        Step(59.9, "", ""),
        Step(60, "", "closed"),
    ],
    "a check ends the silence": [
        Step(0, "A*", "+A >A completed"),
        Step(30, "", "-A disconnected"),
        Step(59, "B", "+B >B connected"),
        Step(59.1, "B*", "completed"),
        Step(89, "", ""),
        Step(89.1, "", "-B disconnected"),
    ],
    "consent is renewed by every check": [
        Step(0, "A*", "+A >A completed"),
        Step(20, "A", ""),
        Step(40, "A", ""),
        Step(69.9, "", ""),
        Step(70, "", "-A disconnected"),
    ],
    "another path takes over when the selected one dies": [
        Step(0, "A*", "+A >A completed"),
        Step(5, "B", "+B"),
        Step(6, "C", "+C"),
        Step(30, "", "-A >C"),
    ],
    "restart on the same path": [
        Step(0, "A*", "+A >A completed"),
        Step(1, "restart", "", by="new"),
        Step(2, "A*", "", by="old"),
        Step(3, "A", "connected", by="new"),
        Step(3.1, "A*", "completed", by="new"),
    ],
    "restart to another path, media stays until the nomination": [
        Step(0, "A#5", "+A >A completed"),
        Step(1, "restart", "", by="new"),
        Step(2, "B", "connected +B", by="new"),
        Step(2.1, "B#1", ">B completed", by="new"),
        Step(30, "", "-A"),
    ],
    "a restart gives a silent client more time": [
        Step(0, "A*", "+A >A completed"),
        Step(30, "", "-A disconnected"),
        Step(50, "restart", "", by="new"),
        Step(61, "", ""),
        Step(79, "B*", "+B >B completed", by="new"),
    ],
    "a TCP connection closes": [
        Step(0, "C*", "+C >C completed"),
        Step(1, "A", "+A"),
        Step(2, "drop C", "-C >A"),
        Step(2, "drop C", ""),
        Step(3, "drop A", "-A disconnected"),
        Step(33, "", "closed"),
    ],
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name: str) -> None:
    agent = IceLite(OLD)
    for step in SCENARIOS[name]:
        now = round(step.at * SECOND)
        due = agent.next_timeout()
        if due is not None and due <= now:
            agent.handle_timeout(now)
        credentials = CREDENTIALS[step.by]
        if step.what == "restart":
            agent.restart(credentials, now)
        elif step.what.startswith("drop "):
            agent.drop_path(PATHS[step.what[5:]], now)
        elif step.what:
            path = PATHS[step.what[0]]
            nomination = int(step.what[2:]) if "#" in step.what else None
            data = check(credentials, nominate="*" in step.what, nomination=nomination, priority=step.priority)
            agent.receive_untrusted(data, path, now)
            assert parse_untrusted(answer(agent, path)).message_class is Class.SUCCESS
        found = events(agent)
        assert [brief(event) for event in found] == step.expected.split(), f"step at {step.at} s"
        for event in found:
            if isinstance(event, PathSelected):
                assert event.path == agent.selected
        assert agent.selected is None or agent.selected in agent.paths()


@pytest.mark.parametrize("path", PATHS.values(), ids=list(PATHS))
def test_success_tells_the_remote_address_and_is_signed(path: Path) -> None:
    agent = IceLite(OLD)
    agent.receive_untrusted(check(transaction_id=bytes(range(12))), path, 0)
    message = parse_untrusted(answer(agent, path))
    assert message.transaction_id == bytes(range(12))
    assert message.xor_mapped_address == (path.remote.host, path.remote.port)
    assert message.check_integrity(OLD.password)
    assert message.has_fingerprint


def request(*attributes: tuple[int, bytes], password: str | None = OLD.password) -> bytes:
    return build(Class.REQUEST, bytes(12), attributes, password)


USERNAME = (Attribute.USERNAME, b"oldu:peer")
PRIORITY = (Attribute.PRIORITY, bytes(4))
CONTROLLING = (Attribute.ICE_CONTROLLING, bytes(8))


@pytest.mark.parametrize(
    ("data", "code", "signed"),
    [
        (request(USERNAME, PRIORITY, CONTROLLING, password=None), 400, False),
        (request(PRIORITY, CONTROLLING), 400, False),
        (request(USERNAME, CONTROLLING), 400, True),
        (request((Attribute.USERNAME, b"nobody:peer"), PRIORITY), 401, False),
        (request((Attribute.USERNAME, b"oldu"), PRIORITY), 401, False),
        (request(USERNAME, PRIORITY, CONTROLLING, password="wrong"), 401, False),
        (request((Attribute.USERNAME, b"newu:peer"), PRIORITY), 401, False),
        (request(USERNAME, PRIORITY, CONTROLLING, (0x7777, b"")), 420, True),
        (check(ice_controlled=2**63), 487, True),
        (check(ice_controlled=0, nominate=True), 487, True),
    ],
    ids=[
        "no integrity",
        "no name",
        "no priority",
        "another's name",
        "half a name",
        "a wrong password",
        "a newer name with the old password",
        "an attribute that must be understood",
        "both are controlled, it wins",
        "both are controlled, we would win",
    ],
)
def test_refused_with(data: bytes, code: int, signed: bool) -> None:
    agent = IceLite(OLD)
    agent.receive_untrusted(data, A, 0)
    message = parse_untrusted(answer(agent, A))
    assert message.message_class is Class.ERROR
    assert message.error_code == code
    assert message.check_integrity(OLD.password) is signed
    assert message.has_integrity is signed
    assert message.unknown_attributes == ((0x7777,) if code == 420 else ())
    assert agent.refused == {code: 1}
    # Nothing is kept of it.
    assert (agent.state, agent.paths(), agent.next_timeout(), events(agent)) == (IceState.NEW, (), None, [])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (build_success(bytes(12), A.remote, OLD.password), "stun-unexpected-response"),
        (build(Class.REQUEST, bytes(12), [USERNAME], OLD.password, method=3), "stun-method"),
        (b"nonsense", "stun-short"),
    ],
    ids=["an answer", "another method", "nonsense"],
)
def test_dropped_without_an_answer(data: bytes, reason: str) -> None:
    agent = IceLite(OLD)
    with pytest.raises(BadPacket) as refusal:
        agent.receive_untrusted(data, A, 0)
    assert refusal.value.reason == reason
    assert agent.poll_transmit() is None


def test_a_request_without_fingerprint_is_dropped() -> None:
    data = check()[:-8]
    data = data[:2] + (len(data) - 20).to_bytes(2, "big") + data[4:]
    assert parse_untrusted(data).check_integrity(OLD.password)
    with pytest.raises(BadPacket, match="stun-no-fingerprint"):
        IceLite(OLD).receive_untrusted(data, A, 0)


def test_indications_are_no_consent() -> None:
    agent = IceLite(OLD)
    agent.receive_untrusted(check(), A, 0)
    agent.receive_untrusted(build(Class.INDICATION, bytes(12), [], None), A, 29 * SECOND)
    agent.handle_timeout(30 * SECOND)
    assert agent.state is IceState.DISCONNECTED


def test_old_credentials_end_with_the_first_check_by_the_new_ones() -> None:
    agent = IceLite(OLD)
    agent.receive_untrusted(check(OLD), A, 0)
    agent.restart(NEW, 0)
    assert agent.credentials == NEW
    assert agent.username_fragments() == ("newu", "oldu")
    # Neither a bad check nor an old one ends them.
    agent.receive_untrusted(check(IceCredentials("newu", "wrong")), A, 0)
    agent.receive_untrusted(check(OLD), A, 0)
    assert agent.username_fragments() == ("newu", "oldu")
    agent.receive_untrusted(check(NEW), A, 0)
    assert agent.username_fragments() == ("newu",)
    while agent.poll_transmit() is not None:
        pass
    agent.receive_untrusted(check(OLD), A, 0)
    assert parse_untrusted(answer(agent, A)).error_code == 401


def test_restarts_that_the_client_never_used_do_not_pile_up() -> None:
    agent = IceLite(OLD)
    agent.receive_untrusted(check(OLD), A, 0)
    for number in range(20):
        agent.restart(IceCredentials(f"u{number}", "p" * 24), 0)
    assert agent.username_fragments() == ("u19", "u18", "oldu")


def test_restart_refuses_credentials_in_use_and_a_closed_agent() -> None:
    agent = IceLite(OLD)
    with pytest.raises(LocalError, match="new username fragment"):
        agent.restart(OLD, 0)
    agent.close()
    with pytest.raises(LocalError, match="closed"):
        agent.restart(NEW, 0)
    with pytest.raises(BadPacket, match="ice-closed"):
        agent.receive_untrusted(check(), A, 0)


def test_paths_are_bounded_and_the_selected_one_stays() -> None:
    agent = IceLite(OLD, max_paths=3)
    paths = [Path(1, Address("udp", "192.0.2.9", port)) for port in range(1, 11)]
    for now, path in enumerate(paths):
        agent.receive_untrusted(check(nominate=path is paths[0]), path, now)
    assert agent.selected == paths[0]
    assert agent.paths() == (paths[0], paths[8], paths[9])
    dropped = [event.path for event in events(agent) if isinstance(event, PathDropped)]
    assert dropped == paths[1:8]


def test_credentials_are_long_and_random() -> None:
    one, other = IceCredentials.generate(), IceCredentials.generate()
    assert one != other
    # RFC 8839 section 5.4: 4 to 256 and 22 to 256 ice-chars.
    assert len(one.username_fragment) >= 4
    assert len(one.password) >= 22
    assert (one.username_fragment + one.password).isalnum()
    assert IceCredentials.generate(lambda size: bytes(size)) == IceCredentials("0" * 24, "0" * 48)
