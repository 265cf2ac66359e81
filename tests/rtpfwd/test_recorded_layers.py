"""A recorded Chromium publisher's VP9 L3T3_KEY through a plane: what a viewer of the lowest layer gets."""

from __future__ import annotations

import itertools

from bench.trace import load_trace
from rtpfwd.events import KeyframeAsked, LayersChanged
from rtpfwd.params import ConsumerParams, PayloadMapping
from rtpfwd.plane import Plane
from server.media.plane_params import producer_params

PUBLISHER, VIEWER = ("udp", "192.0.2.1", 1000), ("udp", "192.0.2.2", 1000)
BEGINNING = 10**12
SECOND = 1_000_000_000


class Watching:
    """Plays the trace; the viewer's target becomes (0, 2) at `at`, ns from the beginning."""

    def __init__(self, at: int) -> None:
        trace = load_trace("vp9-svc-720p")
        kind, rtp = trace.media[0]
        params = producer_params(kind, rtp, cname="recorded", paused=False)
        codec = params.codecs[0]
        plane = Plane(seed=1)
        ends = [plane.add_transport(srtp=False) for _ in range(2)]
        for end, address in zip(ends, (PUBLISHER, VIEWER), strict=True):
            plane.admit(end, 0, address)
            plane.set_remote(end, 0, address)
        producer = plane.add_producer(ends[0], params)
        mapping = PayloadMapping(codec.payload_type, codec.payload_type)
        viewer = ConsumerParams(ssrc=0x2000, payload_types=(mapping,), selector="svc")
        consumer = plane.add_consumer(ends[1], producer, viewer, BEGINNING)
        self.packets: list[tuple[int, bytes]] = []  # (ns from the beginning, RTP)
        self.events: list[object] = []
        told = False
        for packet in trace.packets:
            if packet.at_ns >= at and not told:
                told = True
                plane.set_target(consumer, 0, 2, BEGINNING + packet.at_ns)
            now = BEGINNING + packet.at_ns
            plane.ingest([(0, PUBLISHER, packet.data.ljust(packet.size, b"\0"))], now)
            plane.handle_timeout(now)
            while (sent := plane.poll_transmit()) is not None:
                if sent[1] == VIEWER and not 192 <= sent[2][1] <= 223:
                    self.packets.append((packet.at_ns, sent[2]))
            self.events += iter(plane.poll_event, None)


def test_the_lowest_layer_alone_ends_every_picture_with_the_marker() -> None:
    packets = [data for _, data in Watching(0).packets]
    assert len(packets) > 250
    for this, following in itertools.pairwise(packets):
        ends_here = this[4:8] != following[4:8]  # the timestamp
        assert bool(this[1] & 0x80) is ends_here
        assert (int.from_bytes(following[2:4], "big") - int.from_bytes(this[2:4], "big")) & 0xFFFF == 1


def test_less_flows_at_once_and_without_wavering_until_the_keyframe_lets_it_go_down() -> None:
    seen = Watching(5 * SECOND)
    asked = [event for event in seen.events if isinstance(event, KeyframeAsked) and event.at > BEGINNING + 5 * SECOND]
    assert asked, "nobody answers in a recording, but it must be asked for"
    changed = [event for event in seen.events if isinstance(event, LayersChanged)]
    late = [event for event in changed if event.at > BEGINNING + 5 * SECOND]
    assert [(event.spatial, event.temporal) for event in late] == [(2, 0)]
    before = sum(len(data) for at, data in seen.packets if 3 * SECOND < at < 5 * SECOND)
    after = sum(len(data) for at, data in seen.packets if 6 * SECOND < at < 8 * SECOND)
    assert after < 0.7 * before
