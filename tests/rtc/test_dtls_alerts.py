"""After the handshake our endpoint reads and writes alerts without OpenSSL; the peer here is OpenSSL used plainly."""

from __future__ import annotations

import contextlib

import pytest
from OpenSSL import SSL

from server.rtc import dtls_context
from server.rtc.certificate import Certificate
from server.rtc.dtls import DtlsClosed, DtlsConnected, DtlsEndpoint, DtlsRole, DtlsState
from server.rtc.dtls_record import ALERT, split_records_untrusted

OURS, THEIRS = Certificate.generate(), Certificate.generate()
GCM_SUITES = (b"ECDHE-ECDSA-AES128-GCM-SHA256", b"ECDHE-ECDSA-AES256-GCM-SHA384")
OTHER_SUITES = (b"ECDHE-ECDSA-CHACHA20-POLY1305", b"ECDHE-ECDSA-AES128-SHA")


def meet(suite: bytes, role: DtlsRole) -> tuple[DtlsEndpoint, SSL.Connection]:
    """Our endpoint in this role, connected to an OpenSSL that takes one suite only."""
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_cipher_list(suite)
    context.use_certificate(THEIRS.x509)
    context.use_privatekey(THEIRS.private_key)
    context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    context.set_tlsext_use_srtp(b"SRTP_AEAD_AES_128_GCM")
    context.set_options(SSL.OP_NO_QUERY_MTU)
    foreign = SSL.Connection(context, None)
    foreign.set_ciphertext_mtu(1200)
    foreign.set_connect_state() if role is DtlsRole.SERVER else foreign.set_accept_state()
    ours = DtlsEndpoint(OURS)
    ours.start(role, [THEIRS.fingerprint], 0)
    for _ in range(8):
        for datagram in iter(ours.poll_transmit, None):
            foreign.bio_write(datagram)
            step(foreign)
        step(foreign)
        output = written(foreign)
        if output and ours.state is DtlsState.CONNECTING:
            ours.receive_untrusted(output, 0)
    assert isinstance(ours.poll_event(), DtlsConnected)
    assert (foreign.get_cipher_name() or "").encode() == suite
    return ours, foreign


def step(foreign: SSL.Connection) -> None:
    with contextlib.suppress(SSL.WantReadError):
        foreign.do_handshake()


def written(foreign: SSL.Connection) -> bytes:
    try:
        return foreign.bio_read(65536)
    except SSL.WantReadError:
        return b""


def keeps_openssl(endpoint: DtlsEndpoint) -> bool:
    return endpoint._connection is not None


@pytest.mark.parametrize("role", DtlsRole)
@pytest.mark.parametrize("suite", GCM_SUITES + OTHER_SUITES)
def test_our_goodbye_is_heard(suite: bytes, role: DtlsRole) -> None:
    ours, foreign = meet(suite, role)
    assert keeps_openssl(ours) is (suite in OTHER_SUITES)
    ours.close(1)
    goodbye = ours.poll_transmit()
    assert goodbye is not None
    foreign.bio_write(goodbye)
    with pytest.raises(SSL.ZeroReturnError):
        foreign.recv(100)


@pytest.mark.parametrize("role", DtlsRole)
@pytest.mark.parametrize("suite", GCM_SUITES + OTHER_SUITES)
def test_the_peer_is_heard(suite: bytes, role: DtlsRole) -> None:
    ours, foreign = meet(suite, role)
    foreign.send(b"an SCTP packet")
    ours.receive_untrusted(written(foreign), 1)
    assert ours.counters["application_data"] == 1
    foreign.shutdown()
    ours.receive_untrusted(written(foreign), 2)
    assert ours.state is DtlsState.CLOSED
    assert ours.poll_event() == DtlsClosed()


@pytest.mark.parametrize("suite", GCM_SUITES)
def test_a_forged_goodbye_is_not(suite: bytes) -> None:
    ours, foreign = meet(suite, DtlsRole.SERVER)
    foreign.shutdown()
    (record,) = split_records_untrusted(written(foreign))
    assert record.content_type == ALERT
    for at in range(3, len(record.data)):
        if at in (11, 12):
            continue  # the length: then it is no record at all
        damaged = bytearray(record.data)
        damaged[at] ^= 1
        ours.receive_untrusted(bytes(damaged), 1)
        assert ours.state is DtlsState.CONNECTED, at
    ours.receive_untrusted(record.data[:11] + b"\x00\x01" + b"x", 1)  # too short to be encrypted
    assert ours.state is DtlsState.CONNECTED
    ours.receive_untrusted(record.data, 1)
    assert ours.poll_event() == DtlsClosed()


def test_the_record_keys_are_not_shown() -> None:
    ours, _ = meet(GCM_SUITES[0], DtlsRole.SERVER)
    assert repr(ours._alerts) == f"Alerts(_sequence={1 << 32})"


def test_the_preferred_suites_are_those_that_need_no_openssl() -> None:
    preferred = dtls_context._CIPHERS.split(b":")[:2]
    assert all(b"AES128-GCM-SHA256" in suite for suite in preferred)
