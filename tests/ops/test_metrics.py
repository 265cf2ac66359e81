"""The instruments of a front."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from ops.metrics import SignalingMetrics


def test_every_instrument_is_in_the_registry_that_was_given():
    registry = CollectorRegistry()
    metrics = SignalingMetrics(registry)
    metrics.rooms.inc()
    metrics.request_seconds.labels("join").observe(0.003)
    metrics.request_errors.labels("join", "limit").inc()
    text = generate_latest(registry).decode()
    assert "sightline_signaling_rooms 1.0" in text
    assert 'sightline_signaling_request_seconds_bucket{le="0.005",method="join"} 1.0' in text
    assert 'sightline_signaling_request_errors_total{code="limit",method="join"} 1.0' in text


def test_two_fronts_need_two_registries():
    registry = CollectorRegistry()
    SignalingMetrics(registry)
    with pytest.raises(ValueError, match="Duplicated"):
        SignalingMetrics(registry)
