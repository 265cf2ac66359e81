"""The figures of a signaling front, as prometheus-client instruments over a registry that is handed in."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# A request that stays in the process takes well under a millisecond; one that waits for a media node, a few.
LATENCY_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class SignalingMetrics:
    """Made once per registry. Labels take only values from our own lists, so that strangers cannot add series."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.rooms = Gauge("sightline_signaling_rooms", "Live rooms", registry=registry)
        self.peers = Gauge("sightline_signaling_peers", "Peers in rooms", registry=registry)
        self.sockets = Gauge("sightline_signaling_sockets", "Open WebSockets", registry=registry)
        self.producers = Gauge("sightline_signaling_producers", "Live producers", ["kind"], registry=registry)
        self.request_seconds = Histogram(
            "sightline_signaling_request_seconds",
            "Time from the arrival of a request to its reply",
            ["method"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.request_errors = Counter(
            "sightline_signaling_request_errors", "Error replies", ["method", "code"], registry=registry
        )
        self.sockets_cut = Counter(
            "sightline_signaling_sockets_cut", "Sockets ended by the server", ["reason"], registry=registry
        )
        self.http_requests = Counter(
            "sightline_signaling_http_requests", "Answered HTTP requests", ["route", "status"], registry=registry
        )
        self.connection_faults = Counter(
            "sightline_signaling_connection_faults",
            "Connections ended because handling them failed (a fault of ours or of a library)",
            registry=registry,
        )
        self.history_dropped = Counter(
            "sightline_signaling_history_dropped", "Facts of call history lost to a slow database", registry=registry
        )
