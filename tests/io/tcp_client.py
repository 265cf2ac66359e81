"""A WebRTC client over ICE-TCP, small and foreign: aioice's STUN, OpenSSL's DTLS, libsrtp, RFC 4571 by hand."""

from __future__ import annotations

import struct
from collections import deque

import trio
from aioice import stun
from OpenSSL import SSL
from pylibsrtp import Policy, Session

from protos import media_pb2 as pb
from server.rtc.certificate import Certificate

PROFILES = {
    b"SRTP_AEAD_AES_128_GCM": (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16, 12),
    b"SRTP_AES128_CM_SHA1_80": (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16, 14),
}


class TcpClient:
    """One connection. `connect` goes from TCP to SRTP keys; then `send_rtp` and `receive_rtp`."""

    def __init__(self, stream: trio.abc.Stream, info: pb.WebRtcTransportInfo, certificate: Certificate) -> None:
        self._stream = stream
        self._info = info
        self._buffer = b""
        self._media: deque[bytes] = deque()
        context = SSL.Context(SSL.DTLS_METHOD)
        context.use_certificate(certificate.x509)
        context.use_privatekey(certificate.private_key)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        context.set_tlsext_use_srtp(b":".join(PROFILES))
        self._dtls = SSL.Connection(context, None)
        self._dtls.set_connect_state()
        self._inbound: Session
        self._outbound: Session

    async def connect(self) -> None:
        """ICE check with nomination, then the handshake."""
        ice = self._info.ice_parameters
        request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        request.attributes["USERNAME"] = f"{ice.username_fragment}:client"
        request.attributes["PRIORITY"] = 1_500_000_000
        request.attributes["ICE-CONTROLLING"] = 7
        request.attributes["USE-CANDIDATE"] = None
        request.add_message_integrity(ice.password.encode())
        await self._send(bytes(request))
        answer = stun.parse_message(await self._receive())
        answer.check_message_integrity(ice.password.encode())
        assert answer.message_class is stun.Class.RESPONSE
        assert answer.transaction_id == request.transaction_id
        while not await self._shake_hands():
            self._dtls.bio_write(await self._receive())
        self._derive_keys()

    async def send_rtp(self, packet: bytes) -> None:
        """Protect one packet and send it."""
        await self._send(self._outbound.protect(packet))

    async def receive_rtp(self) -> bytes:
        """The next RTP packet in the clear; RTCP is skipped."""
        while True:
            packet = self._media.popleft() if self._media else await self._receive()
            if packet[0] >> 6 == 2 and not 192 <= packet[1] <= 223:
                return self._inbound.unprotect(packet)

    async def receive_until_closed(self) -> list[bytes]:
        """Every frame until the server closes the connection."""
        frames = []
        try:
            while True:
                frames.append(await self._receive())
        except (EOFError, trio.BrokenResourceError):
            return frames

    async def _shake_hands(self) -> bool:
        done = True
        try:
            self._dtls.do_handshake()
        except SSL.WantReadError:
            done = False
        try:
            while True:
                for record in records(self._dtls.bio_read(65536)):
                    await self._send(record)
        except SSL.WantReadError:
            return done

    def _derive_keys(self) -> None:
        profile, key, salt = PROFILES[self._dtls.get_selected_srtp_profile()]
        material = self._dtls.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (key + salt))
        client = material[:key] + material[2 * key : 2 * key + salt]
        server = material[key : 2 * key] + material[2 * key + salt :]
        self._outbound = Session(Policy(key=client, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
        self._inbound = Session(Policy(key=server, ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=profile))

    async def _send(self, packet: bytes) -> None:
        await self._stream.send_all(struct.pack("!H", len(packet)) + packet)

    async def _receive(self) -> bytes:
        while len(self._buffer) < 2 or len(self._buffer) < 2 + struct.unpack("!H", self._buffer[:2])[0]:
            data = await self._stream.receive_some(65536)
            if not data:
                raise EOFError
            self._buffer += data
        (length,) = struct.unpack("!H", self._buffer[:2])
        packet, self._buffer = self._buffer[2 : 2 + length], self._buffer[2 + length :]
        return packet


def records(flight: bytes) -> list[bytes]:
    """One datagram per DTLS record: OpenSSL's memory BIO keeps no boundaries."""
    found = []
    while flight:
        (length,) = struct.unpack("!H", flight[11:13])
        found.append(flight[: 13 + length])
        flight = flight[13 + length :]
    return found
