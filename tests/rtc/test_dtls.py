"""DTLS associations between two of our endpoints and with foreign clients; keys, refusals, odd packets.

Over 400 lines: the cases of one handshake, over the same two endpoints.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from OpenSSL import SSL

from server.errors import BadPacket, LocalError
from server.rtc.certificate import Certificate, Fingerprint
from server.rtc.dtls import (
    DtlsClosed,
    DtlsConnected,
    DtlsEndpoint,
    DtlsEvent,
    DtlsFailed,
    DtlsRole,
    DtlsState,
    SrtpKeys,
)
from server.rtc.dtls_context import PROFILE_AEAD_AES_128_GCM as GCM
from server.rtc.dtls_context import PROFILE_AES128_CM_SHA1_80 as CM
from server.rtc.dtls_record import split_records_untrusted

MILLISECOND = 1_000_000
SECOND = 1_000_000_000
CLIENT, SERVER, STRANGER = Certificate.generate(), Certificate.generate(), Certificate.generate()


def sent(endpoint: DtlsEndpoint) -> list[bytes]:
    return list(iter(endpoint.poll_transmit, None))


def events(endpoint: DtlsEndpoint) -> list[DtlsEvent]:
    return list(iter(endpoint.poll_event, None))


def carry(one: DtlsEndpoint, other: DtlsEndpoint, now: int = 0) -> None:
    """A perfect network, until nothing is left to carry."""
    while (forth := sent(one)) + (back := sent(other)):
        for receiver, datagrams in ((other, forth), (one, back)):
            for data in datagrams:
                if receiver.state in (DtlsState.FAILED, DtlsState.CLOSED):
                    continue
                receiver.receive_untrusted(data, now)


def pair(**options: tuple[int, ...]) -> tuple[DtlsEndpoint, DtlsEndpoint]:
    client = DtlsEndpoint(CLIENT, profiles=options.get("client", (GCM, CM)))
    server = DtlsEndpoint(SERVER, profiles=options.get("server", (GCM, CM)))
    server.start(DtlsRole.SERVER, [CLIENT.fingerprint], 0)
    client.start(DtlsRole.CLIENT, [SERVER.fingerprint], 0)
    return client, server


def connected() -> tuple[DtlsEndpoint, DtlsEndpoint]:
    client, server = pair()
    carry(client, server)
    assert client.state is server.state is DtlsState.CONNECTED
    events(client), events(server)
    return client, server


def keys(endpoint: DtlsEndpoint) -> SrtpKeys:
    (event,) = events(endpoint)
    assert isinstance(event, DtlsConnected), event
    return event.keys


@pytest.mark.parametrize(
    ("client_offers", "server_prefers", "chosen", "size"),
    [
        ((GCM, CM), (GCM, CM), GCM, 28),
        ((CM, GCM), (GCM, CM), GCM, 28),
        ((GCM, CM), (CM, GCM), CM, 30),
        ((CM,), (GCM, CM), CM, 30),
        ((GCM, CM), (CM,), CM, 30),
        ((GCM,), (GCM,), GCM, 28),
    ],
)
def test_the_server_chooses_the_profile_and_both_have_the_same_keys(
    client_offers: tuple[int, ...], server_prefers: tuple[int, ...], chosen: int, size: int
) -> None:
    client, server = pair(client=client_offers, server=server_prefers)
    carry(client, server)
    ours, theirs = keys(server), keys(client)
    assert ours.profile == theirs.profile == chosen
    assert (ours.send, ours.recv) == (theirs.recv, theirs.send)
    assert len(ours.send) == len(ours.recv) == size
    assert ours.send != ours.recv
    assert "send" not in repr(ours)
    assert client.next_timeout() is None
    assert server.next_timeout() is None


def test_no_common_profile() -> None:
    client, server = pair(client=(GCM,), server=(CM,))
    carry(client, server)
    assert DtlsFailed("no-use-srtp") in events(server)
    assert not any(isinstance(event, DtlsConnected) for event in events(client))


@pytest.mark.parametrize("deceived", [DtlsRole.CLIENT, DtlsRole.SERVER])
def test_wrong_fingerprint(deceived: DtlsRole) -> None:
    client, server = DtlsEndpoint(CLIENT), DtlsEndpoint(SERVER)
    server.start(DtlsRole.SERVER, [(STRANGER if deceived is DtlsRole.SERVER else CLIENT).fingerprint], 0)
    client.start(DtlsRole.CLIENT, [(STRANGER if deceived is DtlsRole.CLIENT else SERVER).fingerprint], 0)
    carry(client, server)
    victim, other = (client, server) if deceived is DtlsRole.CLIENT else (server, client)
    assert events(victim) == [DtlsFailed("fingerprint-mismatch")]
    (told,) = events(other)
    assert isinstance(told, DtlsFailed)
    assert told.reason.startswith("alert-"), told
    assert client.state is server.state is DtlsState.FAILED
    assert client.next_timeout() is None
    with pytest.raises(BadPacket, match="dtls-closed"):
        victim.receive_untrusted(bytes.fromhex("16fefd00000000000000000000"), 0)


@pytest.mark.parametrize("algorithm", ["sha-256", "sha-384", "sha-512"])
def test_one_of_several_fingerprints_is_enough(algorithm: str) -> None:
    client, server = DtlsEndpoint(CLIENT), DtlsEndpoint(SERVER)
    server.start(DtlsRole.SERVER, [STRANGER.fingerprint, Fingerprint.of(CLIENT.der, algorithm)], 0)
    client.start(DtlsRole.CLIENT, [SERVER.fingerprint], 0)
    carry(client, server)
    assert keys(server).send == keys(client).recv


def split_client_hello(record: bytes, at: int, first_number: int = 40) -> list[bytes]:
    """One handshake message as two fragments in two records (RFC 6347 section 4.2.3).

    Their numbers are some that the client will not come to, or its own would be taken for replays.
    """
    header, message = record[:13], record[13:]
    kind, size, seq, body = message[:1], message[1:4], message[4:6], message[12:]
    pieces = []
    for number, (start, end) in enumerate(((0, at), (at, len(body)))):
        fragment = kind + size + seq + start.to_bytes(3, "big") + (end - start).to_bytes(3, "big") + body[start:end]
        sequence = (first_number + number).to_bytes(6, "big")
        pieces.append(header[:5] + sequence + len(fragment).to_bytes(2, "big") + fragment)
    return pieces


@pytest.mark.parametrize(
    "order",
    [(0, 1), (1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 0, 1), (1, 0, 1)],
    ids=lambda order: "".join(map(str, order)),
)
@pytest.mark.parametrize("early", [False, True])
def test_client_hello_in_two_datagrams(order: tuple[int, ...], early: bool) -> None:
    """In either order, repeated, and also when they overtake `start`."""
    client, server = DtlsEndpoint(CLIENT), DtlsEndpoint(SERVER)
    client.start(DtlsRole.CLIENT, [SERVER.fingerprint], 0)
    (hello,) = sent(client)
    halves = split_client_hello(hello, 90)
    if not early:
        server.start(DtlsRole.SERVER, [CLIENT.fingerprint], 0)
    for index in order:
        server.receive_untrusted(halves[index], 0)
    if early:
        assert sent(server) == []
        server.start(DtlsRole.SERVER, [CLIENT.fingerprint], 0)
    carry(client, server)
    assert keys(server).send == keys(client).recv


@pytest.mark.parametrize("lost", [0, 1])
def test_half_a_client_hello_is_lost_and_the_whole_resent(lost: int) -> None:
    """The resend may be cut elsewhere than the first time."""
    client, server = pair()
    (hello,) = sent(client)
    server.receive_untrusted(split_client_hello(hello, 90)[1 - lost], 0)
    assert sent(server) == []
    client.handle_timeout(125 * MILLISECOND)
    (again,) = sent(client)
    assert again != hello  # another record number
    for half in split_client_hello(again, 40, first_number=42):
        server.receive_untrusted(half, 125 * MILLISECOND)
    carry(client, server)
    assert keys(server).send == keys(client).recv


@pytest.mark.parametrize("mtu", [256, 500, 1200])
def test_the_mtu_is_kept(mtu: int) -> None:
    client, server = DtlsEndpoint(CLIENT, mtu=mtu), DtlsEndpoint(SERVER, mtu=mtu)
    server.start(DtlsRole.SERVER, [CLIENT.fingerprint], 0)
    client.start(DtlsRole.CLIENT, [SERVER.fingerprint], 0)
    sizes: list[int] = []
    for sender, receiver in itertools.islice(itertools.cycle(((client, server), (server, client))), 4):
        for data in sent(sender):
            sizes.append(len(data))
            receiver.receive_untrusted(data, 0)
    assert client.state is server.state is DtlsState.CONNECTED
    assert max(sizes) <= mtu
    assert (len(sizes) == 4) == (mtu == 1200)


def test_lost_last_flight_is_sent_again_by_the_server_only() -> None:
    client, server = pair()
    for data in sent(client):
        server.receive_untrusted(data, 0)
    for data in sent(server):
        client.receive_untrusted(data, 0)
    for data in sent(client):
        server.receive_untrusted(data, 0)
    assert server.state is DtlsState.CONNECTED
    lost = sent(server)
    assert lost
    assert server.next_timeout() is None
    # The client misses it and repeats its own; however fast it does, the answers are bounded.
    answers = 0
    for now in range(125, 175, 5):
        client.handle_timeout(client.next_timeout() or 0)
        for data in sent(client):
            server.receive_untrusted(data, now * MILLISECOND)
        answers += len(answer := sent(server))
        if answer:
            last = answer
    assert answers == 1
    for data in last:
        client.receive_untrusted(data, SECOND)
    assert keys(client).recv == keys(server).send
    # And the client never answers the server's.
    for data in last:
        client.receive_untrusted(data, SECOND)
    assert sent(client) == []


def test_early_datagrams_are_bounded() -> None:
    server = DtlsEndpoint(SERVER)
    record = bytes.fromhex("16fefd0000000000000000") + (1000).to_bytes(2, "big") + bytes(1000)
    for _ in range(100):
        server.receive_untrusted(record, 0)
    assert server.counters["early_dropped"] == 92
    server = DtlsEndpoint(SERVER)
    large = bytes.fromhex("16fefd0000000000000000") + (9000).to_bytes(2, "big") + bytes(9000)
    for _ in range(3):
        server.receive_untrusted(large, 0)
    assert server.counters["early_dropped"] == 2


def test_garbage_before_start_does_not_make_start_raise() -> None:
    server = DtlsEndpoint(SERVER)
    for _ in range(3):
        server.receive_untrusted(bytes.fromhex("16fefd0000000000000000000c") + bytes(range(12)), 0)
    server.start(DtlsRole.SERVER, [CLIENT.fingerprint], 0)
    assert server.state in (DtlsState.CONNECTING, DtlsState.FAILED)


@pytest.mark.parametrize("closer", ["client", "server"])
def test_close_tells_the_peer(closer: str) -> None:
    client, server = connected()
    ours, peer = (client, server) if closer == "client" else (server, client)
    ours.close(SECOND)
    assert ours.state is DtlsState.CLOSED
    carry(client, server)
    assert events(peer) == [DtlsClosed()]
    assert peer.state is DtlsState.CLOSED
    assert events(ours) == []


@pytest.mark.parametrize("state", ["new", "connecting", "closed"])
def test_close_in_any_state(state: str) -> None:
    endpoint = DtlsEndpoint(CLIENT)
    if state != "new":
        endpoint.start(DtlsRole.CLIENT, [SERVER.fingerprint], 0)
    if state == "closed":
        endpoint.close(0)
    endpoint.close(0)
    assert endpoint.state is DtlsState.CLOSED
    assert endpoint.next_timeout() is None
    with pytest.raises(LocalError, match="cannot start"):
        endpoint.start(DtlsRole.CLIENT, [SERVER.fingerprint], 0)


def test_impossible_arguments() -> None:
    with pytest.raises(LocalError, match="fingerprint"):
        DtlsEndpoint(CLIENT).start(DtlsRole.CLIENT, [], 0)
    with pytest.raises(LocalError, match="profiles"):
        DtlsEndpoint(CLIENT, profiles=())
    with pytest.raises(LocalError, match="profiles"):
        DtlsEndpoint(CLIENT, profiles=(0x0002,))
    with pytest.raises(LocalError, match="mtu"):
        DtlsEndpoint(CLIENT, mtu=100)


EMPTY_RECORD = bytes.fromhex("16fefd00000000000000000000")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "dtls-short"),
        (EMPTY_RECORD[:12], "dtls-short"),
        (EMPTY_RECORD + EMPTY_RECORD[:12], "dtls-short"),
        (b"\x13" + EMPTY_RECORD[1:], "dtls-not-dtls"),
        (b"\x18" + EMPTY_RECORD[1:], "dtls-not-dtls"),
        (b"\x16\x03\x03" + EMPTY_RECORD[3:], "dtls-not-dtls"),
        (EMPTY_RECORD[:-1] + b"\x01", "dtls-length"),
        (EMPTY_RECORD[:-2] + b"\x48\x01" + bytes(0x4801), "dtls-length"),
    ],
)
def test_what_is_no_dtls_is_refused_in_every_state(data: bytes, reason: str) -> None:
    client, server = connected()
    for endpoint in (DtlsEndpoint(CLIENT), pair()[1], client, server):
        before = endpoint.state
        with pytest.raises(BadPacket) as refusal:
            endpoint.receive_untrusted(data, 0)
        assert refusal.value.reason == reason
        assert endpoint.state is before


def damaging(server_flight: list[bytes]) -> Iterator[bytes]:
    """What a stranger without keys could throw at an association."""
    plain_alert = bytes.fromhex("15fefd0000000000000063 0002 0228".replace(" ", ""))
    yield plain_alert
    yield bytes.fromhex("14fefd0000000000000064 0001 01".replace(" ", ""))
    yield bytes.fromhex("15fefd0001000000000063 0020".replace(" ", "")) + bytes(32)
    yield bytes.fromhex("17fefd0001000000000065 0020".replace(" ", "")) + bytes(32)
    yield bytes.fromhex("16fefd0001000000000066 0020".replace(" ", "")) + bytes(32)
    yield bytes.fromhex("17fefd0001000000000067 0000".replace(" ", ""))
    yield bytes.fromhex("17fefdffff000000000067 0004".replace(" ", "")) + bytes(4)
    yield from server_flight


def test_nothing_from_a_stranger_ends_an_association() -> None:
    newcomer = DtlsEndpoint(STRANGER)
    newcomer.start(DtlsRole.CLIENT, [SERVER.fingerprint], 0)
    hello = sent(newcomer)
    client, server = connected()
    for victim, data in itertools.product((client, server), damaging(hello)):
        victim.receive_untrusted(data, SECOND)
        assert victim.state is DtlsState.CONNECTED
        assert events(victim) == []
    sent(client), sent(server)
    # It still works: the goodbye of one is heard by the other.
    client.close(2 * SECOND)
    carry(client, server)
    assert events(server) == [DtlsClosed()]


class ForeignClient:
    """OpenSSL used plainly, with its own record numbers, as any foreign peer would."""

    def __init__(self, certificate: Certificate | None, profiles: bytes, mtu: int = 1200) -> None:
        context = SSL.Context(SSL.DTLS_CLIENT_METHOD)
        if certificate is not None:
            context.use_certificate(certificate.x509)
            context.use_privatekey(certificate.private_key)
        if profiles:
            context.set_tlsext_use_srtp(profiles)
        context.set_options(SSL.OP_NO_QUERY_MTU)
        self.connection = SSL.Connection(context, None)
        self.connection.set_ciphertext_mtu(mtu)
        self.connection.set_connect_state()
        self.done = False
        self.error = ""

    def step(self, incoming: list[bytes]) -> list[bytes]:
        """Each record goes out as a datagram of its own."""
        for data in incoming or [b""]:
            if data:
                self.connection.bio_write(data)
            try:
                self.connection.do_handshake()
                self.done = True
            except SSL.WantReadError:
                pass
            except SSL.Error as error:
                self.error = self.error or str(error)
        try:
            return [record.data for record in split_records_untrusted(self.connection.bio_read(65536))]
        except SSL.WantReadError:
            return []


def meet(foreign: ForeignClient, server: DtlsEndpoint) -> None:
    incoming: list[bytes] = []
    for _ in range(6):
        for data in foreign.step(incoming):
            if server.state not in (DtlsState.FAILED, DtlsState.CLOSED):
                server.receive_untrusted(data, 0)
        incoming = sent(server)


@pytest.mark.parametrize(
    ("offer", "profile"),
    [
        (b"SRTP_AEAD_AES_128_GCM", GCM),
        (b"SRTP_AES128_CM_SHA1_80", CM),
        (b"SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_128_GCM", GCM),
        (b"SRTP_AES128_CM_SHA1_32:SRTP_AES128_CM_SHA1_80", CM),
    ],
)
@pytest.mark.parametrize("mtu", [1200, 256])
def test_foreign_client(offer: bytes, profile: int, mtu: int) -> None:
    foreign = ForeignClient(CLIENT, offer, mtu)
    server = DtlsEndpoint(SERVER)
    server.start(DtlsRole.SERVER, [CLIENT.fingerprint], 0)
    meet(foreign, server)
    found = keys(server)
    assert foreign.done
    assert found.profile == profile
    key, salt = 16, len(found.send) - 16
    material = foreign.connection.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (key + salt))
    assert found.recv == material[:key] + material[2 * key : 2 * key + salt]
    assert found.send == material[key : 2 * key] + material[2 * key + salt :]


def test_foreign_client_without_use_srtp() -> None:
    server = DtlsEndpoint(SERVER)
    server.start(DtlsRole.SERVER, [CLIENT.fingerprint], 0)
    meet(ForeignClient(CLIENT, b""), server)
    assert events(server) == [DtlsFailed("no-use-srtp")]


def test_foreign_client_without_certificate() -> None:
    server = DtlsEndpoint(SERVER)
    server.start(DtlsRole.SERVER, [CLIENT.fingerprint], 0)
    foreign = ForeignClient(None, b"SRTP_AEAD_AES_128_GCM")
    meet(foreign, server)
    assert events(server) == [DtlsFailed("protocol-error")]
    assert "alert" in foreign.error  # it was told


def test_application_data_is_counted() -> None:
    foreign = ForeignClient(CLIENT, b"SRTP_AEAD_AES_128_GCM")
    server = DtlsEndpoint(SERVER)
    server.start(DtlsRole.SERVER, [CLIENT.fingerprint], 0)
    meet(foreign, server)
    for _ in range(3):
        foreign.connection.send(b"an SCTP packet")
    server.receive_untrusted(foreign.connection.bio_read(65536), 0)
    assert server.counters["application_data"] == 3
    assert server.state is DtlsState.CONNECTED
