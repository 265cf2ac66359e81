"""Damaged DTLS: only BadPacket, and an association that is up stays up."""

from __future__ import annotations

import contextlib
import random

from server.errors import BadPacket
from server.rtc.certificate import Certificate
from server.rtc.dtls import DtlsClosed, DtlsConnected, DtlsEndpoint, DtlsFailed, DtlsRole, DtlsState
from server.rtc.dtls_record import split_records_untrusted
from tests.fuzz.mutate import mutated

CLIENT, SERVER = Certificate.generate(), Certificate.generate()


def fresh() -> tuple[DtlsEndpoint, DtlsEndpoint]:
    client, server = DtlsEndpoint(CLIENT), DtlsEndpoint(SERVER)
    server.start(DtlsRole.SERVER, [CLIENT.fingerprint], 0)
    client.start(DtlsRole.CLIENT, [SERVER.fingerprint], 0)
    return client, server


def finish(client: DtlsEndpoint, server: DtlsEndpoint) -> list[bytes]:
    """Carry on until both are silent; every datagram on the way."""
    seen: list[bytes] = []
    while datagrams := [(server, data) for data in iter(client.poll_transmit, None)] + [
        (client, data) for data in iter(server.poll_transmit, None)
    ]:
        for receiver, data in datagrams:
            seen.append(data)
            with contextlib.suppress(BadPacket):
                receiver.receive_untrusted(data, 0)
    return seen


def recorded() -> list[bytes]:
    """A whole association, hello to goodbye."""
    client, server = fresh()
    seen = finish(client, server)
    assert client.state is server.state is DtlsState.CONNECTED
    client.close(0)
    return seen + finish(client, server)


def test_records() -> None:
    for data in mutated(recorded(), seed=6347):
        with contextlib.suppress(BadPacket):
            assert b"".join(record.data for record in split_records_untrusted(data)) == data


def test_during_the_handshake() -> None:
    """A damaged flight may fail a handshake, which has no keys yet, but says so by an event and answers nothing odd."""
    corpus = recorded()
    rng = random.Random(5763)
    fates = {DtlsConnected: 0, DtlsFailed: 0}
    client, server = fresh()
    for count, data in enumerate(mutated(corpus, seed=5764, at_least=500)):
        victim = rng.choice((client, server))
        before = victim.state
        with contextlib.suppress(BadPacket):
            victim.receive_untrusted(data, 0)
        if victim.state is before and count % 4:
            continue
        finish(client, server)
        for endpoint in (client, server):
            for event in iter(endpoint.poll_event, None):
                assert not isinstance(event, DtlsClosed)
                fates[type(event)] += 1
        client, server = fresh()
    assert fates[DtlsConnected] > 50
    assert fates[DtlsFailed] > 10


def test_after_the_handshake() -> None:
    client, server = fresh()
    corpus = finish(client, server) + recorded()
    for endpoint in (client, server):
        assert isinstance(endpoint.poll_event(), DtlsConnected)
    rng = random.Random(5765)
    for count, data in enumerate(mutated(corpus, seed=5766)):
        victim = rng.choice((client, server))
        with contextlib.suppress(BadPacket):
            victim.receive_untrusted(data, count)
        assert victim.state is DtlsState.CONNECTED
        assert victim.poll_event() is None
        while victim.poll_transmit() is not None:
            pass
    # The goodbye is still understood: nothing above has confused OpenSSL either.
    assert not server.counters["deaf"]
    client.close(0)
    finish(client, server)
    assert server.state is DtlsState.CLOSED
    assert server.poll_event() == DtlsClosed()
