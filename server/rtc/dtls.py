"""DTLS 1.2 as WebRTC uses it: mutual authentication by fingerprint, keys for SRTP (RFC 6347, RFC 5763, RFC 5764)."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from OpenSSL import SSL

from server.errors import BadPacket, LocalError
from server.rtc.certificate import Certificate, Fingerprint
from server.rtc.dtls_alerts import CLOSE_NOTIFY, Alerts
from server.rtc.dtls_context import (
    PROFILE_AEAD_AES_128_GCM,
    PROFILE_AES128_CM_SHA1_80,
    PROFILES,
    PeerCheck,
    shared_context,
)
from server.rtc.dtls_record import (
    ALERT,
    APPLICATION_DATA,
    HANDSHAKE,
    LONGEST_RECORD,
    Record,
    split_records_untrusted,
)

_MILLISECOND: Final = 1_000_000
# RFC 6347 section 4.2.4.1 starts at one second because it knows nothing of the path. Here ICE has just measured that it
# works, a call waits for every handshake, and flights are small; so the first resend comes after about the longest
# round trip that people can talk over. Doubling keeps the RFC's promise not to add to congestion.
_FIRST_RESEND_NS: Final = 125 * _MILLISECOND
_LONGEST_RESEND_NS: Final = 2_000 * _MILLISECOND
_HANDSHAKE_LIMIT_NS: Final = 30_000 * _MILLISECOND
# Repeats of the peer's last flight are answered at most so often: they are not authenticated.
_ANSWER_INTERVAL_NS: Final = 50 * _MILLISECOND

_FATAL: Final = 2  # level of an alert
_EARLY_DATAGRAMS: Final = 8
_EARLY_BYTES: Final = 16_384


class DtlsState(enum.Enum):
    """FAILED and CLOSED are final."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    FAILED = "failed"
    CLOSED = "closed"


class DtlsRole(enum.Enum):
    """CLIENT speaks first (`a=setup:active`), SERVER waits (`a=setup:passive`)."""

    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """The master key followed by the master salt of each direction (RFC 5764 section 4.2)."""

    profile: int  # the IANA number: PROFILE_AEAD_AES_128_GCM or PROFILE_AES128_CM_SHA1_80
    send: bytes = field(repr=False)
    recv: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DtlsConnected:
    """The peer is who the fingerprint says."""

    keys: SrtpKeys


@dataclass(frozen=True, slots=True)
class DtlsFailed:
    """`reason` is a short constant: fingerprint-mismatch, no-use-srtp, timeout, alert-…, protocol-error."""

    reason: str


@dataclass(frozen=True, slots=True)
class DtlsClosed:
    """The peer said close_notify, or a fatal alert after the handshake."""


DtlsEvent = DtlsConnected | DtlsFailed | DtlsClosed


class DtlsEndpoint:
    """One association. OpenSSL does the cryptography and the order of messages; the clock and the resending are here.

    OpenSSL reads the wall clock and resends after a second. Those resends are discarded: the endpoint keeps the last
    flight and sends it again itself, with new record numbers where they are not part of the encryption. The numbers
    matter: a peer that received a record too early to use it (a ChangeCipherSpec that overtook what comes before) drops
    it but remembers its number, and would take an identical copy for a replay for ever.
    """

    def __init__(
        self,
        certificate: Certificate,
        *,
        profiles: tuple[int, ...] = (PROFILE_AEAD_AES_128_GCM, PROFILE_AES128_CM_SHA1_80),
        mtu: int = 1200,
    ) -> None:
        """`profiles`: SRTP protection profiles, best first. `mtu`: the largest datagram to send, UDP payload bytes."""
        if not profiles or any(profile not in PROFILES for profile in profiles):
            raise LocalError(f"SRTP profiles must be some of {sorted(PROFILES)}, not {profiles}")
        if not 256 <= mtu <= 16_384:
            raise LocalError(f"a DTLS mtu of {mtu} bytes cannot work: give 256 to 16384")
        self.state = DtlsState.NEW
        self.counters: Counter[str] = Counter()  # early_dropped, resent_flights, application_data, deaf
        self._certificate = certificate
        self._profiles = profiles
        self._mtu = mtu
        self._role = DtlsRole.SERVER
        self._check = PeerCheck(())
        self._connection: SSL.Connection | None = None
        self._alerts: Alerts | None = None  # instead of the connection, once connected
        self._early: list[bytes] = []
        # The last flight, for resending, and how far OpenSSL's output has been taken over.
        self._flight: list[Record] = []
        self._next_sequence = 0  # of plaintext records
        self._next_message = 0  # message_seq of the next handshake message that is not a resend by OpenSSL
        self._sent_finished = False
        self._resend_at: int | None = None
        self._resend_after = _FIRST_RESEND_NS
        self._answered_at: int | None = None
        self._gives_up_at = 0
        # Lists: they are drained after every call and lie empty for hours, and an empty deque takes 700 bytes.
        self._transmits: list[bytes] = []
        self._events: list[DtlsEvent] = []

    def start(self, role: DtlsRole, remote_fingerprints: Sequence[Fingerprint], now: int) -> None:
        """Begin. The peer's certificate must match one of `remote_fingerprints`. LocalError without any, or twice."""
        if self.state is not DtlsState.NEW:
            raise LocalError(f"DTLS cannot start: it is {self.state.value}")
        if not remote_fingerprints:
            raise LocalError("DTLS needs a fingerprint of the peer's certificate: give at least one")
        self.state = DtlsState.CONNECTING
        self._role = role
        self._check = PeerCheck(remote_fingerprints)
        self._gives_up_at = now + _HANDSHAKE_LIMIT_NS
        connection = self._connection = SSL.Connection(shared_context(self._certificate, self._profiles), None)
        connection.set_app_data(self._check)
        connection.set_ciphertext_mtu(self._mtu)
        if role is DtlsRole.CLIENT:
            connection.set_connect_state()
            self._shake_hands(connection, now)
        else:
            connection.set_accept_state()
        early, self._early = self._early, []
        for datagram in early:
            if self.state in (DtlsState.CONNECTING, DtlsState.CONNECTED):
                self.receive_untrusted(datagram, now)

    def receive_untrusted(self, data: bytes, now: int) -> None:
        """A DTLS datagram. BadPacket when it is not made of DTLS records, or comes after the end.

        Before `start` a few are kept, since a ClientHello may overtake the request that names its fingerprint.
        """
        records = split_records_untrusted(data)
        if self.state is DtlsState.NEW:
            self._keep_early(data)
        elif self.state in (DtlsState.FAILED, DtlsState.CLOSED):
            raise BadPacket("dtls-closed")
        elif self.state is DtlsState.CONNECTED:
            self._receive_connected(records, now)
        else:
            # One datagram at a time: OpenSSL must not read a record that continues in the next one.
            assert self._connection is not None
            self._connection.bio_write(data)
            self._shake_hands(self._connection, now)

    def close(self, now: int) -> None:
        """Say close_notify if there is anybody to hear it. No event tells of it: the caller knows."""
        if self.state is DtlsState.CONNECTED:
            self._say_goodbye()
        self._end(DtlsState.CLOSED)

    def next_timeout(self) -> int | None:
        """When to call `handle_timeout`, ns; None outside the handshake."""
        if self.state is not DtlsState.CONNECTING:
            return None
        return self._gives_up_at if self._resend_at is None else min(self._resend_at, self._gives_up_at)

    def handle_timeout(self, now: int) -> None:
        """Resend the last flight, or give the handshake up."""
        if self.state is not DtlsState.CONNECTING:
            return
        if now >= self._gives_up_at:
            self._fail("timeout")
        elif self._resend_at is not None and now >= self._resend_at:
            self._resend_after = min(2 * self._resend_after, _LONGEST_RESEND_NS)
            self._resend_at = now + self._resend_after
            self._resend()

    def poll_transmit(self) -> bytes | None:
        """The next datagram to send."""
        return self._transmits.pop(0) if self._transmits else None

    def poll_event(self) -> DtlsEvent | None:
        """The next thing that happened."""
        return self._events.pop(0) if self._events else None

    def _keep_early(self, data: bytes) -> None:
        if len(self._early) >= _EARLY_DATAGRAMS or sum(map(len, self._early)) + len(data) > _EARLY_BYTES:
            self.counters["early_dropped"] += 1
        else:
            self._early.append(data)

    def _shake_hands(self, connection: SSL.Connection, now: int) -> None:
        """Let OpenSSL read what has arrived and write what follows."""
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            self._take_output(connection, now)
        except SSL.Error as error:
            self._take_output(connection, now)  # the alert that says why
            self._fail("fingerprint-mismatch" if self._check.mismatch else _reason(error))
        else:
            self._take_output(connection, now)
            self._finish_handshake(connection)

    def _finish_handshake(self, connection: SSL.Connection) -> None:
        certificate = connection.get_peer_certificate()
        if certificate is None or not self._check.matches(certificate):
            self._say_goodbye()
            self._fail("fingerprint-mismatch")
            return
        name = connection.get_selected_srtp_profile()
        profile = next((number for number in self._profiles if PROFILES[number].name == name), None)
        if profile is None:
            self._say_goodbye()
            self._fail("no-use-srtp")
            return
        self.state = DtlsState.CONNECTED
        self._resend_at = None
        if self._role is DtlsRole.CLIENT:
            self._flight = []  # The server has heard us, and has the last word.
        self._events.append(DtlsConnected(self._export_keys(connection, profile)))
        self._read(connection)
        if self.state is DtlsState.CONNECTED:
            self._alerts = Alerts.of(connection, client=self._role is DtlsRole.CLIENT)
            if self._alerts is not None:
                self._connection = None

    def _export_keys(self, connection: SSL.Connection, profile: int) -> SrtpKeys:
        """RFC 5764 section 4.2: client key, server key, client salt, server salt."""
        _, key, salt = PROFILES[profile]
        material = connection.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (key + salt))
        client = material[:key] + material[2 * key : 2 * key + salt]
        server = material[key : 2 * key] + material[2 * key + salt :]
        if self._role is DtlsRole.CLIENT:
            return SrtpKeys(profile, send=client, recv=server)
        return SrtpKeys(profile, send=server, recv=client)

    def _receive_connected(self, records: Sequence[Record], now: int) -> None:
        """Only encrypted alerts and data are read, so that nothing can draw us into a handshake again."""
        wanted = [record for record in records if record.epoch and record.content_type in (ALERT, APPLICATION_DATA)]
        for record in wanted:
            if self._alerts is not None:
                self._read_record(self._alerts, record)
            elif self._connection is not None:
                self._connection.bio_write(record.data)
                self._read(self._connection)
            if self.state is not DtlsState.CONNECTED:
                return
        repeats = any(record.epoch and record.content_type == HANDSHAKE for record in records)
        if repeats and self._flight and (self._answered_at is None or now - self._answered_at >= _ANSWER_INTERVAL_NS):
            # The client repeats its Finished: it has not had ours. Only the server answers, or both would for ever.
            self._answered_at = now
            self._resend()

    def _read_record(self, alerts: Alerts, record: Record) -> None:
        """As `_read`, without OpenSSL. A close_notify or a fatal alert ends it; other warnings mean nothing."""
        said = alerts.open_untrusted(record)
        if said is not None and record.content_type == APPLICATION_DATA:
            self.counters["application_data"] += 1
        elif said is not None and len(said) == 2 and (said == CLOSE_NOTIFY or said[0] == _FATAL):
            self._end(DtlsState.CLOSED)
            self._events.append(DtlsClosed())

    def _read(self, connection: SSL.Connection) -> None:
        """Take what OpenSSL has decrypted. Application data (SCTP) has no use yet and is only counted."""
        try:
            while True:
                connection.recv(LONGEST_RECORD)
                self.counters["application_data"] += 1
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self._end(DtlsState.CLOSED)
            self._events.append(DtlsClosed())
        except SSL.Error as error:
            if _reason(error).startswith("alert-"):
                self._end(DtlsState.CLOSED)
                self._events.append(DtlsClosed())
            else:
                # OpenSSL gives the association up; the media keys are out already and go on.
                self.counters["deaf"] += 1

    def _take_output(self, connection: SSL.Connection, now: int) -> None:
        """Queue what OpenSSL wrote, and if it is a new flight, keep it for resending."""
        flight: list[Record] = []
        others: list[Record] = []
        finished_before = self._sent_finished
        for record in _drain(connection):
            message = record.message_seq
            if record.content_type == ALERT:
                others.append(record)
            elif message is None:
                # ChangeCipherSpec and the encrypted Finished are sent once in an association.
                if not finished_before:
                    self._sent_finished = True
                    flight.append(record)
            elif message >= self._next_message:
                flight.append(record)
        if flight:
            messages = [record.message_seq for record in flight if record.message_seq is not None]
            self._next_message = max(messages, default=self._next_message - 1) + 1
            self._flight = flight
            self._resend_after = _FIRST_RESEND_NS
            self._resend_at = now + self._resend_after
        self._send([*flight, *others])

    def _resend(self) -> None:
        self.counters["resent_flights"] += 1
        self._send(self._flight)

    def _send(self, records: Iterable[Record]) -> None:
        """Number the plaintext records and pack all into as few datagrams as the mtu allows, in order."""
        datagram = b""
        for record in records:
            data = record.data
            if record.epoch == 0:
                data = record.numbered(self._next_sequence)
                self._next_sequence += 1
            if datagram and len(datagram) + len(data) > self._mtu:
                self._transmits.append(datagram)
                datagram = b""
            datagram += data
        if datagram:
            self._transmits.append(datagram)

    def _say_goodbye(self) -> None:
        if self._alerts is not None:
            self._transmits.append(self._alerts.seal(CLOSE_NOTIFY))
            return
        assert self._connection is not None
        try:
            self._connection.shutdown()
        except SSL.Error:
            return
        self._send(_drain(self._connection))

    def _fail(self, reason: str) -> None:
        self._end(DtlsState.FAILED)
        self._events.append(DtlsFailed(reason))

    def _end(self, state: DtlsState) -> None:
        self.state = state
        self._connection = self._alerts = None
        self._early = []
        self._flight = []
        self._resend_at = None


def _drain(connection: SSL.Connection) -> list[Record]:
    """All that OpenSSL wrote. A memory BIO does not keep datagrams apart, but records can be told."""
    output = b""
    try:
        while True:
            output += connection.bio_read(65_536)
    except SSL.WantReadError:
        return split_records_untrusted(output) if output else []


def _reason(error: SSL.Error) -> str:
    """OpenSSL's reason as a short constant: which alert the peer sent, or that it broke the protocol."""
    for entry in error.args[0] if error.args and isinstance(error.args[0], list) else ():
        words = str(entry[-1]).split()
        if "alert" in words:
            return "-".join(("alert", *words[words.index("alert") + 1 :]))
    return "protocol-error"
