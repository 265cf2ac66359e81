"""A fake browser's PeerConnection, sans-I/O: full ICE in the controlling role, DTLS, SRTP, sources and sinks.

It is the other end of a WebRtcTransport in virtual time and in the load generator. The DTLS endpoint is our own
(foreign stacks are in tests/foreign); ICE's controlling side, SRTP (pylibsrtp), RTP and RTCP are written apart from
what they test.
"""

from __future__ import annotations

import functools
import random
from collections import deque
from collections.abc import Iterator

import pylibsrtp

from server.rtc import demux, stun
from server.rtc.address import Address
from server.rtc.certificate import Certificate, Fingerprint
from server.rtc.dtls import DtlsConnected, DtlsEndpoint, DtlsFailed, DtlsRole, SrtpKeys
from server.rtc.dtls_context import PROFILE_AEAD_AES_128_GCM, PROFILE_AES128_CM_SHA1_80
from server.testing import rtp
from server.testing.rtp import RtpPacket
from server.testing.streams import MS, SECOND, Sink, Source

ALL_PROFILES = (PROFILE_AEAD_AES_128_GCM, PROFILE_AES128_CM_SHA1_80)
CHECK_INTERVAL = 50 * MS  # until the first answer (RFC 8445 section 14.2: Ta)
CONSENT_INTERVAL = 5 * SECOND  # RFC 7675 section 5.1, without its randomness
REPORT_INTERVAL = SECOND
_PRIORITY = 0x6E7F1EFF  # of a host candidate
_LIBSRTP_PROFILES = {
    PROFILE_AEAD_AES_128_GCM: pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    PROFILE_AES128_CM_SHA1_80: pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
}


@functools.cache
def shared_certificate() -> Certificate:
    """One certificate for all fake browsers of a process: making it is slow and none of them keeps secrets."""
    return Certificate.generate()


def srtp_session(profile: int, key: bytes, *, outbound: bool) -> pylibsrtp.Session:
    """A libsrtp session for every SSRC of one direction."""
    direction = pylibsrtp.Policy.SSRC_ANY_OUTBOUND if outbound else pylibsrtp.Policy.SSRC_ANY_INBOUND
    policy = pylibsrtp.Policy(key=key, ssrc_type=direction, srtp_profile=_LIBSRTP_PROFILES[profile])
    policy.window_size = 1024
    policy.allow_repeat_tx = True
    return pylibsrtp.Session(policy)


class PeerConnection:
    """One transport's remote end. Everything goes to and comes from one address of the server.

    `role` is our DTLS role. After `connect` the sources start as soon as the keys are there.
    """

    def __init__(
        self,
        *,
        server: Address,
        seed: int,
        role: DtlsRole = DtlsRole.CLIENT,
        profiles: tuple[int, ...] = ALL_PROFILES,
        certificate: Certificate | None = None,
    ) -> None:
        self.server = server
        self.certificate = certificate or shared_certificate()
        self.role = role
        self.ice_connected_at: int | None = None
        self.connected_at: int | None = None
        self.failed: str | None = None
        self.profile: int | None = None
        self.keys: SrtpKeys | None = None  # for a load generator, which protects and unprotects by itself
        self.sources: list[Source] = []
        self.sinks: list[Sink] = []
        self.unclaimed = 0  # media packets that belong to no sink
        self.replayed = 0  # copies that the network made, refused by SRTP
        self._random = random.Random(seed)
        self._fragment = f"fake{seed}"
        self._password = f"{seed:024d}"
        self._tie_breaker = self._random.getrandbits(64)
        self._remote_ice: tuple[str, str] | None = None
        self._remote_fingerprint: Fingerprint | None = None
        self._dtls = DtlsEndpoint(self.certificate, profiles=profiles)
        self._dtls_started = False
        self._check_at: int | None = None
        self._report_at: int | None = None
        self._transactions: deque[bytes] = deque(maxlen=32)
        self._send_session: pylibsrtp.Session | None = None
        self._recv_session: pylibsrtp.Session | None = None
        self._output: deque[bytes] = deque()
        self.own_ssrc = self._random.randrange(1, 1 << 31)

    @property
    def username_fragment(self) -> str:
        """Our ICE user name fragment, for a server that wants to know it."""
        return self._fragment

    @property
    def password(self) -> str:
        """Our ICE password, for a server that checks us too."""
        return self._password

    def connect(self, username_fragment: str, password: str, fingerprint: Fingerprint, now: int) -> None:
        """Start checking; again with new credentials restarts ICE."""
        self._remote_ice = (username_fragment, password)
        self._remote_fingerprint = fingerprint
        self._check_at = now
        if self.role is DtlsRole.SERVER:
            self._start_dtls(now)

    def restart_checks(self, now: int) -> None:
        """Check at once, as a browser does whose network changed."""
        self.ice_connected_at = None
        self._check_at = now

    def add_source(self, source: Source, now: int) -> None:
        """Send it, from now on or from the moment the keys are there."""
        self.sources.append(source)
        if self.connected_at is not None:
            source.start(now)

    def add_sink(self, sink: Sink) -> None:
        """Watch a stream."""
        self.sinks.append(sink)

    def receive(self, data: bytes, now: int) -> None:
        """A datagram from the server. ValueError when the server sent something broken: that is a finding."""
        kind = demux.classify(data)
        if kind is demux.Kind.STUN:
            self._receive_stun(data, now)
        elif kind is demux.Kind.DTLS:
            self._dtls.receive_untrusted(data, now)
            self._drain_dtls(now)
        elif self._recv_session is not None:
            try:
                self._receive_media(self._recv_session, data, kind, now)
            except pylibsrtp.Error as error:
                if "replay" not in str(error):
                    raise
                self.replayed += 1

    def next_timeout(self) -> int | None:
        """The soonest of everything."""
        return min((due for due in self._deadlines() if due is not None), default=None)

    def handle_timeout(self, now: int) -> None:
        """Whatever is due."""
        if self._check_at is not None and self._check_at <= now:
            self._check(now)
        self._dtls.handle_timeout(now)
        self._drain_dtls(now)
        for part in self._parts():
            due = part.next_timeout()
            if due is not None and due <= now:
                part.handle_timeout(now)
        if self._report_at is not None and self._report_at <= now:
            self._report_at = now + REPORT_INTERVAL
            self._report(now)

    def poll_transmit(self) -> bytes | None:
        """The next datagram for the server."""
        self._collect()
        return self._output.popleft() if self._output else None

    def close(self, now: int) -> None:
        """Say close_notify and fall silent."""
        self._dtls.close(now)
        self._check_at = self._report_at = None
        self.sources.clear()
        self.sinks.clear()
        self._drain_dtls(now)

    def vanish(self) -> None:
        """Fall silent without a word, as a crashed tab does."""
        self._check_at = self._report_at = None
        self.sources.clear()
        self.sinks.clear()
        self._output.clear()

    # ---- ICE ----

    @property
    def _remote_fragment(self) -> str:
        return self._remote_ice[0] if self._remote_ice is not None else ""

    def _check(self, now: int) -> None:
        assert self._remote_ice is not None
        fragment, password = self._remote_ice
        transaction = self._random.randbytes(12)
        self._transactions.append(transaction)
        self._output.append(
            stun.build_request(
                f"{fragment}:{self._fragment}",
                password,
                priority=_PRIORITY,
                ice_controlling=self._tie_breaker,
                use_candidate=True,
                transaction_id=transaction,
            )
        )
        self._check_at = now + (CHECK_INTERVAL if self.ice_connected_at is None else CONSENT_INTERVAL)

    def _receive_stun(self, data: bytes, now: int) -> None:
        message = stun.parse_untrusted(data)
        if message.message_class is stun.Class.REQUEST:
            # Our node is ICE-lite and asks nothing; a full agent wants to see that its checks arrive.
            asked = f"{self._fragment}:{self._remote_fragment}"
            if message.username == asked and message.check_integrity(self._password):
                self._output.append(stun.build_success(message.transaction_id, self.server, self._password))
            return
        if message.transaction_id not in self._transactions or message.message_class is not stun.Class.SUCCESS:
            return
        assert self._remote_ice is not None
        if not message.check_integrity(self._remote_ice[1]):
            return
        if self.ice_connected_at is None:
            self.ice_connected_at = now
            self._check_at = now + CONSENT_INTERVAL
        self._start_dtls(now)

    # ---- DTLS and SRTP ----

    def _start_dtls(self, now: int) -> None:
        if not self._dtls_started:
            assert self._remote_fingerprint is not None
            self._dtls_started = True
            self._dtls.start(self.role, [self._remote_fingerprint], now)
            self._drain_dtls(now)

    def _drain_dtls(self, now: int) -> None:
        while (event := self._dtls.poll_event()) is not None:
            if isinstance(event, DtlsConnected):
                self._set_keys(event.keys, now)
            elif isinstance(event, DtlsFailed):
                self.failed = event.reason
        while (datagram := self._dtls.poll_transmit()) is not None:
            self._output.append(datagram)

    def _set_keys(self, keys: SrtpKeys, now: int) -> None:
        self.connected_at = now
        self.profile = keys.profile
        self.keys = keys
        self._send_session = srtp_session(keys.profile, keys.send, outbound=True)
        self._recv_session = srtp_session(keys.profile, keys.recv, outbound=False)
        self._report_at = now + REPORT_INTERVAL
        for source in self.sources:
            source.start(now)

    def _receive_media(self, session: pylibsrtp.Session, data: bytes, kind: demux.Kind, now: int) -> None:
        if kind is demux.Kind.RTCP:
            for part in rtp.parse_rtcp(session.unprotect_rtcp(data)):
                for source in self.sources:
                    source.receive_rtcp(part)
            return
        packet = RtpPacket.parse(session.unprotect(data))
        for sink in self.sinks:
            if packet.ssrc in (sink.config.ssrc, sink.config.rtx_ssrc):
                sink.receive_rtp(packet, now)
                if (due := sink.next_timeout()) is not None and due <= now:
                    sink.handle_timeout(now)
                return
        self.unclaimed += 1

    def _report(self, now: int) -> None:
        reports = [source.sender_report(now) for source in self.sources]
        reports += [report for sink in self.sinks if (report := sink.receiver_report()) is not None]
        for report in reports:
            self._send_rtcp(report)

    def _collect(self) -> None:
        if self._send_session is None:
            return
        for source in self.sources:
            while (packet := source.poll_transmit()) is not None:
                self._output.append(self._send_session.protect(packet))
        for sink in self.sinks:
            while (packet := sink.poll_transmit()) is not None:
                self._send_rtcp(packet)

    def _send_rtcp(self, packet: bytes) -> None:
        if self._send_session is not None:
            self._output.append(self._send_session.protect_rtcp(packet))

    def _parts(self) -> Iterator[Source | Sink]:
        yield from self.sources
        yield from self.sinks

    def _deadlines(self) -> Iterator[int | None]:
        yield self._check_at
        yield self._report_at
        yield self._dtls.next_timeout()
        for part in self._parts():
            yield part.next_timeout()
