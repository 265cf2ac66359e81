"""The burst and the sink over real sockets, without a server between them."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.burst import Burst
from bench.remote_end import open_udp, queue_drops
from bench.sink import Sink
from rtpfwd.params import SrtpProfile
from rtpfwd.srtp import SrtpPolicy
from server.testing.rtp import RtpPacket
from server.testing.stamps import Stamp, payload

KEYS = {SrtpProfile.AES128_CM_SHA1_80: bytes(range(30)), SrtpProfile.AEAD_AES_128_GCM: bytes(range(28))}
GCM = SrtpProfile.AEAD_AES_128_GCM
SSRC = 0x1234


def policy(profile: SrtpProfile, *, inbound: bool) -> SrtpPolicy:
    return SrtpPolicy(profile, KEYS[profile], inbound=inbound)


def packet(number: int, *, seq: int | None = None, ssrc: int = SSRC) -> bytes:
    body = payload(Stamp(number, 0), 200, video=True, first=True)
    return bytes(RtpPacket(96, ssrc, 65500 + number if seq is None else seq, number * 3000, body))


@contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.1", 0))
        with open_udp(sender.getsockname()) as receiver:
            sender.connect(receiver.getsockname())
            yield sender, receiver


@contextmanager
def running(sink: Sink) -> Iterator[None]:
    thread = threading.Thread(target=sink.run)
    thread.start()
    try:
        yield
    finally:
        sink.stop()
        thread.join(10)
        assert not thread.is_alive()


def settle(sink: Sink, sender: socket.socket) -> None:
    """Everything before a datagram for Python has been counted once that datagram is there."""
    sender.send(b"\x00end of the test's datagrams")
    assert select.select([sink.handoff_fd], [], [], 10)[0], "the sink handed nothing over within 10 s"
    os.read(sink.handoff_fd, 8)
    assert sink.poll() == (0, b"\x00end of the test's datagrams")
    assert sink.poll() is None


@pytest.mark.parametrize("profile", list(SrtpProfile))
def test_what_a_burst_sends_a_sink_counts_authenticates_and_times(profile: SrtpProfile):
    with pair() as (sender, receiver):
        sink = Sink(1)
        sink.watch(sink.add_socket(receiver.fileno()), SSRC, policy(profile, inbound=True))
        burst = Burst(sender.fileno(), policy(profile, inbound=False))
        with running(sink):
            for first in range(0, 640, 10):  # passes the sequence number's end
                assert burst.send([packet(n, seq=65500 + n & 0xFFFF) for n in range(first, first + 10)]) == 10
            settle(sink, sender)
        counts = sink.counts(0)
        assert (counts["packets"], counts["highest"]) == (640, 65500 + 639)
        assert 20 <= counts["verified"] <= 60  # one of 16
        assert (counts["duplicates"], counts["late"], counts["rejected"], counts["foreign"]) == (0, 0, 0, 0)
        delays = list(sink.take_delays())
        assert len(delays) == counts["verified"]
        assert all(0 < delay < 10_000_000_000 for delay in delays)
        assert len(sink.take_delays()) == 0
        assert queue_drops(receiver) == 0


def test_holes_repeats_and_strangers_are_told_apart():
    with pair() as (sender, receiver):
        sink = Sink(1)
        sink.watch(sink.add_socket(receiver.fileno()), SSRC, policy(GCM, inbound=True))
        # Unprotected packets do for counting, which comes before decrypting.
        order = [0, 1, 3, 2, 2, 3, 5, 100, 100]
        with running(sink):
            for number in order:
                sender.send(packet(number))
            sender.send(packet(6, ssrc=SSRC + 1))
            settle(sink, sender)
        counts = sink.counts(0)
        assert (counts["packets"], counts["late"], counts["duplicates"], counts["foreign"]) == (6, 1, 3, 1)
        assert counts["highest"] == 65600


def test_what_is_forged_is_rejected():
    with pair() as (sender, receiver):
        sink = Sink(1)
        sink.watch(sink.add_socket(receiver.fileno()), SSRC, policy(GCM, inbound=True))
        with running(sink):
            for number in range(200):
                sender.send(packet(number, seq=number))
            settle(sink, sender)
        counts = sink.counts(0)
        assert counts["packets"] == 200
        assert counts["verified"] == 0
        assert counts["rejected"] > 5
        assert len(sink.take_delays()) == 0


def test_a_packet_whose_number_is_not_its_stamp_s_is_rejected():
    with pair() as (sender, receiver):
        sink = Sink(1)
        sink.watch(sink.add_socket(receiver.fileno()), SSRC, policy(GCM, inbound=True))
        burst = Burst(sender.fileno(), policy(GCM, inbound=False))
        with running(sink):
            for first, step in ((0, 0), (60, 1)):  # from the second burst on, one was left out
                burst.send([packet(number + step, seq=number) for number in range(first, first + 60)])
            settle(sink, sender)
        counts = sink.counts(0)
        assert counts["packets"] == 120
        assert counts["verified"] > 0
        assert counts["rejected"] > 0


def test_a_burst_refuses_what_it_can_not_send():
    with pair() as (sender, _):
        burst = Burst(sender.fileno(), policy(GCM, inbound=False))
        with pytest.raises(ValueError, match="64 packets"):
            burst.send([packet(1)] * 65)
        with pytest.raises(ValueError, match="24 to 1500"):
            burst.send([bytes(1501)])


def test_a_sink_refuses_sockets_beyond_its_capacity_and_a_second_stream():
    with pair() as (_, receiver):
        sink = Sink(1)
        number = sink.add_socket(receiver.fileno())
        sink.watch(number, SSRC, policy(GCM, inbound=True))
        with pytest.raises(ValueError, match="watched already"):
            sink.watch(number, SSRC, policy(GCM, inbound=True))
        with pytest.raises(RuntimeError, match="1 sockets"):
            sink.add_socket(receiver.fileno())
