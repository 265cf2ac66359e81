"""The node's figures for Prometheus, read when it asks: nothing is counted twice and nothing is kept here.

| metric | labels | meaning |
|---|---|---|
| sightline_<name>_total | lane | each counter of the plane, as docs/forwarding.md names it: forwarded_packets, … |
| sightline_<name> | lane | its gauges: streams, buffers and history_slots, each with …_free |
| sightline_dropped_packets_total | lane, reason | dropped by the plane |
| sightline_refused_datagrams_total | reason | STUN and DTLS that the node refused |
| sightline_lane_<name>_total | lane | each counter of the lane: wakeups, send_calls, … |
| sightline_lane_<name> | lane | its gauges: send_waiting, lock_wait_max_ns |
| sightline_routers, _transports, _producers, _consumers | - | how many there are |
| sightline_ice_transports | state | WebRTC transports by their ICE state |
| sightline_dtls_handshakes_total | result | ended handshakes: connected, or why they failed |
| sightline_tcp_connections | lane | ICE-TCP connections that are open |
| sightline_tcp_events_total | lane, event | accepted, refused, closed (why) and packets lost to full queues |
| sightline_transport_defects_total | - | transports closed by a fault of the node; the log has the traceback |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from server.io.udp import LaneShell
from server.media.core import MediaCore
from server.media.webrtc_transport import WebRtcTransport

_DROP = "drop_"
# What the plane tells of now, not since its beginning.
_GAUGES = {"streams", "history_slots", "history_slots_free", "buffers", "buffers_free"}
_LANE_GAUGES = {"send_waiting", "lock_wait_max_ns"}  # the same for the lane


class MediaCollector(Collector):
    """Over one core and its lanes. To be collected on the node's own thread."""

    def __init__(self, core: MediaCore, shells: Sequence[LaneShell]) -> None:
        self._core = core
        self._shells = tuple(shells)

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead of time: which counters there are, the planes say."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All families, with the figures of this moment."""
        yield from self._planes()
        yield from self._lanes()
        yield from self._entities()
        yield from self._connections()

    def _planes(self) -> Iterator[Metric]:
        drops = CounterMetricFamily("sightline_dropped_packets", "What the plane dropped.", labels=["lane", "reason"])
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for shell in self._shells:
            lane = str(shell.index)
            for name, value in shell.plane.counters().items():
                if name.startswith(_DROP):
                    drops.add_metric([lane, name.removeprefix(_DROP)], value)
                    continue
                family = families.get(name)
                if family is None:
                    kind = GaugeMetricFamily if name in _GAUGES else CounterMetricFamily
                    family = families[name] = kind(
                        f"sightline_{name}", "See docs/forwarding.md of Sightline.", labels=["lane"]
                    )
                family.add_metric([lane], value)
        yield from families.values()
        yield drops

    def _lanes(self) -> Iterator[Metric]:
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for shell in self._shells:
            for name, value in shell.lane.counters().items():
                family = families.get(name)
                if family is None:
                    kind = GaugeMetricFamily if name in _LANE_GAUGES else CounterMetricFamily
                    family = families[name] = kind(
                        f"sightline_lane_{name}", "A figure of the lane's loop.", labels=["lane"]
                    )
                family.add_metric([str(shell.index)], value)
        yield from families.values()

    def _entities(self) -> Iterator[Metric]:
        core = self._core
        for name, count in (
            ("routers", len(core.routers)),
            ("transports", len(core.transports)),
            ("producers", len(core.shared.producers)),
            ("consumers", len(core.shared.consumers)),
        ):
            yield GaugeMetricFamily(f"sightline_{name}", f"How many {name} there are.", value=count)
        states = Counter(
            transport.ice_state for transport in core.transports.values() if isinstance(transport, WebRtcTransport)
        )
        ice = GaugeMetricFamily("sightline_ice_transports", "WebRTC transports by ICE state.", labels=["state"])
        for state in ("new", "connected", "completed", "disconnected"):
            ice.add_metric([state], states[state])
        yield ice

    def _connections(self) -> Iterator[Metric]:
        core = self._core
        yield _labelled("sightline_refused_datagrams", "STUN and DTLS refused.", "reason", core.drops)
        yield _labelled("sightline_dtls_handshakes", "DTLS handshakes that ended.", "result", core.shared.handshakes)
        yield CounterMetricFamily(
            "sightline_transport_defects", "Transports closed by a fault of the node.", value=core.defects
        )
        tcp = GaugeMetricFamily("sightline_tcp_connections", "Open ICE-TCP connections.", labels=["lane"])
        events = CounterMetricFamily(
            "sightline_tcp_events", "What happened to ICE-TCP connections.", labels=["lane", "event"]
        )
        for shell in self._shells:
            tcp.add_metric([str(shell.index)], shell.tcp.open_connections)
            for event, count in shell.tcp.counters.items():
                events.add_metric([str(shell.index), event], count)
        yield tcp
        yield events


def _labelled(name: str, text: str, label: str, counts: Counter[str]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family
