"""PlainTransport's connecting: what it takes and what it refuses. The packets are in tests/io/test_plain.py."""

from __future__ import annotations

import pytest

from server.media.errors import InvalidArgument, Unsupported, WrongState
from server.media.events import EntityKind, SocketReleased
from server.media.plain_transport import SrtpParameters
from server.rtc.address import Address
from tests.media.entities import NOW, Bench, opus

LOCAL = Address("udp", "127.0.0.1", 5004)
GCM, CM = "AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80"


def bench(*, comedia: bool = False, suite: str = "") -> Bench:
    made = Bench()
    made.router()
    made.commands.create_plain_transport("room", "p", 0, 3, LOCAL, NOW, comedia=comedia, crypto_suite=suite)
    return made


@pytest.mark.parametrize(
    ("made", "host", "port", "srtp", "error", "text"),
    [
        pytest.param({}, "not-an-ip", 1, None, InvalidArgument, "not-an-ip", id="a name"),
        pytest.param({}, "192.0.2.1", 0, None, InvalidArgument, "port 0", id="no port"),
        pytest.param({}, "192.0.2.1", 65536, None, InvalidArgument, "65536", id="no such port"),
        pytest.param({}, "0.0.0.0", 9, None, InvalidArgument, "sent to", id="a wildcard"),
        pytest.param({}, "224.0.0.1", 9, None, InvalidArgument, "sent to", id="multicast"),
        pytest.param({"comedia": True}, "192.0.2.1", 9, None, InvalidArgument, "comedia", id="comedia with an address"),
        pytest.param(
            {}, "192.0.2.1", 9, SrtpParameters(GCM, bytes(28)), InvalidArgument, "srtp_crypto_suite", id="a key unasked"
        ),
        pytest.param({"suite": GCM}, "192.0.2.1", 9, None, InvalidArgument, "key", id="SRTP without a key"),
        pytest.param(
            {"suite": GCM}, "192.0.2.1", 9, SrtpParameters(CM, bytes(30)), InvalidArgument, CM, id="another suite"
        ),
        pytest.param(
            {"suite": GCM},
            "192.0.2.1",
            9,
            SrtpParameters(GCM, bytes(27)),
            InvalidArgument,
            "27 bytes",
            id="a short key",
        ),
    ],
)
def test_a_refused_connect_changes_nothing(made, host, port, srtp, error, text):
    made = bench(**made)
    before = made.commands.transport("p").dump()
    with pytest.raises(error, match=text):
        made.commands.connect_plain_transport("p", host, port, srtp, NOW)
    assert made.commands.transport("p").dump() == before
    assert not made.defects


def test_it_is_connected_once():
    made = bench()
    assert made.commands.connect_plain_transport("p", "::ffff:192.0.2.1", 9, None, NOW).remote == (
        "udp",
        "192.0.2.1",
        9,
    )
    with pytest.raises(WrongState, match="already"):
        made.commands.connect_plain_transport("p", "192.0.2.1", 9, None, NOW)


def test_a_suite_that_nobody_knows():
    with pytest.raises(Unsupported, match="ROT13"):
        bench(suite="ROT13")


@pytest.mark.parametrize(("suite", "size"), [(GCM, 28), (CM, 30)])
def test_it_makes_a_key_of_its_own(suite: str, size: int):
    first, second = (bench(suite=suite).commands.transport("p").srtp_parameters for _ in range(2))
    assert len(first.key) == size
    assert "key" not in repr(first)
    assert first == second  # the same seed; without one the key is the operating system's randomness


def test_closing_gives_the_socket_back():
    made = bench(comedia=True)
    made.produce("p", "mic", opus())
    made.commands.close(EntityKind.TRANSPORT, "p", NOW)
    assert [event for event in made.events() if isinstance(event, SocketReleased)] == [SocketReleased(0, 3)]
    # The same socket id can be taken again.
    made.commands.create_plain_transport("room", "q", 0, 3, LOCAL, NOW, comedia=True, crypto_suite="")
