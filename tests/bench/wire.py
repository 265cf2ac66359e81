"""One remote end of bench.load over a real socket, and this test as its server, with the keys of both directions."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.load import Load
from bench.remote_end import open_udp
from rtpfwd.params import SrtpProfile
from rtpfwd.srtp import Session, SrtpPolicy
from server.rtc import stun
from server.testing.rtp import RtpPacket
from server.testing.stamps import Stamp, payload

KEYS = {SrtpProfile.AES128_CM_SHA1_80: bytes(range(30)), SrtpProfile.AEAD_AES_128_GCM: bytes(range(28))}
GCM = SrtpProfile.AEAD_AES_128_GCM
SSRC, RTX_SSRC, OWN_SSRC = 0x1234, 0x1235, 0x77
STAMP_FROM = 12
REMOTE_PASSWORD, OWN_PASSWORD = b"server-password-of-22-b", b"our-password-of-22-byte"

StreamRow = tuple[int, int, int, bool, bool, bool, int]
VIDEO: StreamRow = (SSRC, RTX_SSRC, 90_000, True, True, True, STAMP_FROM)


def packet(
    number: int, *, seq: int | None = None, ssrc: int = SSRC, at: int = 0, transport: int | None = None
) -> bytes:
    """Clear, of 200 bytes of payload; `number` and `at` are its stamp."""
    body = payload(Stamp(number, at), 200, video=True, first=True)
    extensions = () if transport is None else ((3, transport.to_bytes(2, "big")),)
    return bytes(
        RtpPacket(96, ssrc, 65500 + number if seq is None else seq, number * 3000, body, extensions=extensions)
    )


class Wire:
    """`server` is the test's socket; `outgoing` and `incoming` protect and unprotect as the server does."""

    def __init__(self, load: Load, server: socket.socket, client: socket.socket, profile: SrtpProfile) -> None:
        self.load = load
        self.server = server
        self.client = client
        self.number = load.add(client.fileno())
        key = KEYS[profile]
        self.outgoing = Session(SrtpPolicy(profile, key, inbound=False))
        self.incoming = Session(SrtpPolicy(profile, key, inbound=True))
        load.activate(
            self.number,
            SrtpPolicy(profile, key, inbound=True),
            SrtpPolicy(profile, key, inbound=False),
            OWN_SSRC,
            request=stun.build_request("them:us", REMOTE_PASSWORD.decode(), priority=1, transaction_id=bytes(12)),
            remote_password=REMOTE_PASSWORD,
            own_password=OWN_PASSWORD,
            server_address=0x7F000001,
            server_port=server.getsockname()[1],
        )

    def send(self, *packets: bytes) -> None:
        """Protect and send."""
        for clear in packets:
            self.server.send(self.outgoing.protect(clear))

    def receive(self) -> bytes:
        """The next datagram from the load."""
        return self.server.recv(2048)

    def receive_rtcp(self) -> bytes:
        """The next one that is RTCP, in the clear."""
        while True:
            data = self.receive()
            if data[0] >> 6 == 2 and 192 <= data[1] <= 223:
                return self.incoming.unprotect_rtcp(data)

    def settle(self) -> dict[str, int]:
        """Everything sent so far has been counted once this check has been answered."""
        transaction = os.urandom(12)
        self.server.send(stun.build_request("us:them", OWN_PASSWORD.decode(), priority=1, transaction_id=transaction))
        while (data := self.receive())[:2] != b"\x01\x01" or data[8:20] != transaction:
            pass
        return self.load.counts()


@contextmanager
def wire(
    streams: Sequence[StreamRow] = (), *, profile: SrtpProfile = GCM, nacks: bool = False, transport_id: int = 0
) -> Iterator[Wire]:
    """A running load with one remote end that watches these streams."""
    load = Load(2, nacks=nacks, seed=1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, open_udp("127.0.0.1", gro=True) as client:
        server.settimeout(10)
        server.bind(("127.0.0.1", 0))
        client.connect(server.getsockname())
        server.connect(client.getsockname())
        made = Wire(load, server, client, profile)
        if streams:
            load.watch(made.number, list(streams), transport_id)
        thread = threading.Thread(target=load.run)
        thread.start()
        try:
            yield made
        finally:
            load.stop()
            thread.join(10)
            assert not thread.is_alive()
