"""DTLS over networks that drop, duplicate, delay and reorder: every handshake must finish. Virtual time, seeded."""

from __future__ import annotations

import itertools
import random

import pytest

from server.rtc import dtls_record
from server.rtc.certificate import Certificate
from server.rtc.dtls import DtlsConnected, DtlsEndpoint, DtlsEvent, DtlsFailed, DtlsRole, DtlsState, SrtpKeys
from tests.scenarios.terrible_network import SECOND, TerribleNetwork, Weather

CLIENT, SERVER = Certificate.generate(), Certificate.generate()


def handshake(seed: int, weather: Weather, mtu: int) -> TerribleNetwork:
    client, server = DtlsEndpoint(CLIENT, mtu=mtu), DtlsEndpoint(SERVER, mtu=mtu)
    server.start(DtlsRole.SERVER, [CLIENT.fingerprint], 0)
    client.start(DtlsRole.CLIENT, [SERVER.fingerprint], 0)
    network = TerribleNetwork((client, server), weather, random.Random(seed))
    network.run()
    return network


def keys(events: list[DtlsEvent]) -> SrtpKeys:
    assert len(events) == 1
    assert isinstance(events[0], DtlsConnected), events
    return events[0].keys


# At 300 bytes every flight is several datagrams, which can then be lost and overtaken one by one.
@pytest.mark.parametrize("mtu", [1200, 300])
def test_a_hundred_handshakes_all_finish(mtu: int) -> None:
    times = []
    for seed in range(100):
        network = handshake(seed, Weather(), mtu)
        ours, theirs = map(keys, network.events)
        assert (ours.send, ours.recv) == (theirs.recv, theirs.send), seed
        assert network.settled_at is not None
        times.append(network.settled_at)
        assert network.datagrams < 200, seed  # no ping-pong once it is done
    times.sort()
    assert times[50] < 1 * SECOND
    assert times[-1] < 10 * SECOND


@pytest.mark.parametrize(("drop", "p90_s"), [(0.2, 3), (0.4, 12)])
def test_hard_loss_only_takes_longer(drop: float, p90_s: float) -> None:
    times = []
    for seed in range(1000, 1200):
        network = handshake(seed, Weather(drop=drop, latency_ms=10), 300 if seed % 2 else 1200)
        assert keys(network.events[0]).send == keys(network.events[1]).recv, seed
        assert network.settled_at is not None
        times.append(network.settled_at)
    assert sorted(times)[180] < p90_s * SECOND


def test_identical_resends_would_be_taken_for_replays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why records are numbered anew: with identical copies some of these seeds never finish."""
    monkeypatch.setattr(dtls_record.Record, "numbered", lambda self, _sequence: self.data)
    networks = [handshake(seed, Weather(), 300) for seed in range(60)]
    assert any(isinstance(event, DtlsFailed) for network in networks for events in network.events for event in events)


@pytest.mark.parametrize("silent", [DtlsRole.CLIENT, DtlsRole.SERVER])
def test_nobody_there_is_a_timeout(silent: DtlsRole) -> None:
    endpoint = DtlsEndpoint(CLIENT)
    role = DtlsRole.SERVER if silent is DtlsRole.CLIENT else DtlsRole.CLIENT
    endpoint.start(role, [SERVER.fingerprint], 5 * SECOND)
    sent: list[int] = []
    now = 5 * SECOND
    while (due := endpoint.next_timeout()) is not None:
        while endpoint.poll_transmit() is not None:
            sent.append(now)
        now = due
        endpoint.handle_timeout(now)
    assert endpoint.poll_event() == DtlsFailed("timeout")
    assert endpoint.state is DtlsState.FAILED
    assert now == 35 * SECOND
    if role is DtlsRole.CLIENT:
        gaps = [round((after - before) / 1_000_000) for before, after in itertools.pairwise(sent)]
        assert gaps[:6] == [125, 250, 500, 1000, 2000, 2000]
    else:
        assert sent == []
