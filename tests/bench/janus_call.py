"""One publisher and two viewers through a real Janus, as a program: tests/bench/test_peers_janus.py runs it.

Usage, in a network namespace of its own: janus_call.py gcm|cm best|default. Prints what happened as JSON.
"""

from __future__ import annotations

import json
import socket
import sys

import trio

from bench.namespace import ADDRESS, set_up
from bench.peers.janus import open_janus
from bench.target import LocalEnd, ServerEnd
from server.io.clock import monotonic_ns
from server.rtc.address import Address
from server.rtc.dtls_context import PROFILE_AEAD_AES_128_GCM, PROFILE_AES128_CM_SHA1_80
from server.testing.browser import PeerConnection, shared_certificate
from server.testing.streams import MS, SECOND, Sink, SinkConfig, Source, SourceConfig
from server.testing.world import MID_ID, rtp_parameters

PROFILES = {"gcm": PROFILE_AEAD_AES_128_GCM, "cm": PROFILE_AES128_CM_SHA1_80}
CAMERA = SourceConfig(
    ssrc=0x5EED0001,
    payload_type=96,
    clock_rate=90_000,
    video=True,
    rtx_ssrc=0x5EED0002,
    rtx_payload_type=97,
    extensions=((MID_ID, b"0"),),
)


class End:
    """One remote end on a UDP socket."""

    def __init__(self, seed: int, profile: int) -> None:
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.udp.bind((ADDRESS, 0))
        port = self.udp.getsockname()[1]
        self.connection = PeerConnection(
            server=Address("udp", ADDRESS, 1), seed=seed, profiles=(profile,), certificate=shared_certificate()
        )
        fingerprint = self.connection.certificate.fingerprint
        self.local = LocalEnd(ADDRESS, port, self.connection.username_fragment, self.connection.password, fingerprint)

    def connect(self, server: ServerEnd) -> None:
        self.udp.connect((server.address, server.port))
        self.connection.server = Address("udp", server.address, server.port)
        self.connection.connect(server.username_fragment, server.password, server.fingerprint, monotonic_ns())

    def step(self) -> None:
        now = monotonic_ns()
        if (due := self.connection.next_timeout()) is not None and due <= now:
            self.connection.handle_timeout(now)
        while True:
            try:
                data = self.udp.recv(4096)
            except BlockingIOError:
                break
            self.connection.receive(data, now)
        while (datagram := self.connection.poll_transmit()) is not None:
            self.udp.send(datagram)


async def run(ends: list[End], nanoseconds: int, *, until_connected: bool = False) -> None:
    deadline = monotonic_ns() + nanoseconds
    while monotonic_ns() < deadline:
        for end in ends:
            end.step()
        if until_connected and all(end.connection.connected_at is not None for end in ends):
            return
        await trio.sleep(0.001)


async def call(profile: str, tuning: str) -> dict[str, object]:
    set_up()
    async with open_janus(address=ADDRESS, tuning="best" if tuning == "best" else "default") as janus:
        room = await janus.open_room()
        publisher = End(1, PROFILES[profile])
        parameters = rtp_parameters(CAMERA, mid="0")
        publisher_id, server = await room.publish(publisher.local, [("video", parameters)])
        publisher.connect(server)
        ends = [publisher]
        await run(ends, 15 * SECOND, until_connected=True)
        viewers = []
        for seed in (11, 12):
            viewer = End(seed, PROFILES[profile])
            subscription = await room.subscribe(viewer.local, [publisher_id])
            viewer.connect(subscription.server)
            ends.append(viewer)
            viewers.append((viewer, subscription))
        await run(ends, 15 * SECOND, until_connected=True)
        source = Source(CAMERA, seed=1)
        publisher.connection.add_source(source, monotonic_ns())
        await run(ends, 300 * MS)
        before_start = [viewer.connection.unclaimed for viewer, _ in viewers]
        sent_before = source.sent
        sinks = []
        for viewer, subscription in viewers:
            (stream,) = subscription.streams
            ssrc = stream.parameters.encodings[0].ssrc
            assert ssrc is not None
            assert stream.publisher == publisher_id
            sink = Sink(SinkConfig(ssrc, 96, video=True), own_ssrc=viewer.connection.own_ssrc)
            viewer.connection.add_sink(sink)
            sinks.append(sink)
            await room.start(subscription)
        await run(ends, 2 * SECOND)
        return {
            "version": janus.version,
            "asked_profile": PROFILES[profile],
            "profiles": [viewer.connection.profile for viewer, _ in viewers],
            "before_start": before_start,
            "sent": source.sent - sent_before,
            "received": [sink.figures.packets for sink in sinks],
            "holes": [sink.figures.holes for sink in sinks],
        }


if __name__ == "__main__":
    print(json.dumps(trio.run(call, *sys.argv[1:])))
