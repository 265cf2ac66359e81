"""The `openssl` program as a DTLS client, over a loopback socket: a foreign stack with its own clock."""

from __future__ import annotations

import pathlib
import re
import select
import socket
import subprocess
import time

import pytest
from cryptography.hazmat.primitives import serialization

from server.rtc.certificate import Certificate
from server.rtc.dtls import DtlsConnected, DtlsEndpoint, DtlsEvent, DtlsFailed, DtlsRole
from tests.needs import need_program

CLIENT, SERVER, STRANGER = Certificate.generate(), Certificate.generate(), Certificate.generate()


def write_pem(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(CLIENT.x509.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        CLIENT.private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate, key


def serve(endpoint: DtlsEndpoint, sock: socket.socket, lose: set[int], deadline: float) -> DtlsEvent | None:
    """Until something happens. `lose` names the datagrams that get lost, of those sent, counted from 0."""
    remote, sent = None, 0
    while time.monotonic() < deadline:
        due = endpoint.next_timeout()
        wait = deadline - time.monotonic() if due is None else due / 1e9 - time.monotonic()
        if select.select([sock], [], [], max(wait, 0))[0]:
            data, remote = sock.recvfrom(2048)
            endpoint.receive_untrusted(data, time.monotonic_ns())
        endpoint.handle_timeout(time.monotonic_ns())
        while (answer := endpoint.poll_transmit()) is not None:
            if sent not in lose and remote is not None:
                sock.sendto(answer, remote)
            sent += 1
        if (event := endpoint.poll_event()) is not None:
            return event
    return None


def converse(
    folder: pathlib.Path, endpoint: DtlsEndpoint, options: list[str], lose: set[int]
) -> tuple[DtlsEvent | None, str]:
    """What our side reports, and what the program prints."""
    certificate, key = write_pem(folder)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        command = [need_program("openssl"), "s_client", "-dtls1_2", "-connect", f"127.0.0.1:{sock.getsockname()[1]}"]
        command += ["-cert", str(certificate), "-key", str(key), *options]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as client:
            try:
                event = serve(endpoint, sock, lose, time.monotonic() + 20)
                printed, _ = client.communicate("Q\n", timeout=10)
            finally:
                client.kill()
    return event, printed


@pytest.mark.parametrize(
    ("profile", "number", "salt"), [("SRTP_AEAD_AES_128_GCM", 7, 12), ("SRTP_AES128_CM_SHA1_80", 1, 14)]
)
@pytest.mark.parametrize(
    ("mtu", "lose"),
    [(1200, set()), (300, set()), (1200, {0}), (300, {0, 2, 3}), (1200, {0, 1, 2, 3})],
    # The last takes two seconds, in which both OpenSSLs come to resend by themselves.
    ids=["plain", "small", "plain-lossy", "small-lossy", "long-silence"],
)
def test_same_keys(tmp_path: pathlib.Path, profile: str, number: int, salt: int, mtu: int, lose: set[int]) -> None:
    endpoint = DtlsEndpoint(SERVER, mtu=mtu)
    endpoint.start(DtlsRole.SERVER, [CLIENT.fingerprint], time.monotonic_ns())
    size = 2 * (16 + salt)
    export = ["-keymatexport", "EXTRACTOR-dtls_srtp", "-keymatexportlen", str(size)]
    event, printed = converse(tmp_path, endpoint, ["-use_srtp", profile, "-mtu", str(mtu), *export], lose)
    assert isinstance(event, DtlsConnected), (event, printed)
    assert event.keys.profile == number
    found = re.search(r"Keying material: ([0-9A-F]+)", printed)
    assert found is not None, printed
    material = bytes.fromhex(found[1])
    assert event.keys.recv == material[:16] + material[32 : 32 + salt]
    assert event.keys.send == material[16:32] + material[32 + salt :]
    if lose:
        assert endpoint.counters["resent_flights"] >= 1


def test_refused_without_use_srtp(tmp_path: pathlib.Path) -> None:
    endpoint = DtlsEndpoint(SERVER)
    endpoint.start(DtlsRole.SERVER, [CLIENT.fingerprint], time.monotonic_ns())
    event, _ = converse(tmp_path, endpoint, [], set())
    assert event == DtlsFailed("no-use-srtp")


def test_refused_with_another_certificate(tmp_path: pathlib.Path) -> None:
    endpoint = DtlsEndpoint(SERVER)
    endpoint.start(DtlsRole.SERVER, [STRANGER.fingerprint], time.monotonic_ns())
    event, printed = converse(tmp_path, endpoint, ["-use_srtp", "SRTP_AEAD_AES_128_GCM"], set())
    assert event == DtlsFailed("fingerprint-mismatch")
    assert "alert" in printed
