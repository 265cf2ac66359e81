"""The whole service: starting, refusing to start, stopping, and its metrics."""

from __future__ import annotations

import dataclasses
import socket
import threading

import pytest
import trio
from aioice import stun
from prometheus_client import CollectorRegistry, generate_latest

import rtpfwd.srtp
from protos import media_pb2 as pb
from protos.control import ErrorCode, NodeError
from rtpfwd.srtp import backends, set_backend
from server.config import MediaConfig
from server.errors import LocalError
from server.media.adaptation_settings import AdaptationSettings
from server.node import serve_node
from tests.control.carriers import LOOPBACK, running_node
from tests.control.test_media_node import call
from tests.io.test_foreign_clients import tcp_client
from tests.patience import patience


async def test_lanes_have_ports_and_threads_of_their_own_and_leave_none_behind():
    before = set(threading.enumerate())
    with trio.fail_after(patience(10)):
        async with running_node(dataclasses.replace(LOOPBACK, lanes=3)) as handle:
            assert len(set(handle.ports)) == 3
            assert handle.addresses == ("127.0.0.1",)
            info = await handle.media_node.get_node_info(pb.GetNodeInfoRequest())
            assert info.lanes == 3
            rooms = [await handle.media_node.create_router(pb.CreateRouterRequest()) for _ in range(3)]
            ports = set()
            for room in rooms:
                transport = await handle.media_node.create_web_rtc_transport(
                    pb.CreateWebRtcTransportRequest(router_id=room.id)
                )
                ports |= {candidate.port for candidate in transport.ice_candidates}
            assert ports == set(handle.ports)
    for port in handle.ports:  # free again
        with socket.socket(type=socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", port))
    alive = {thread for thread in threading.enumerate() if thread not in before and not thread.daemon}
    assert not alive


async def test_stopping_takes_less_than_a_second_and_says_goodbye_over_tcp():
    with trio.fail_after(patience(10)):
        async with trio.open_nursery() as nursery:
            handle = await nursery.start(serve_node, LOOPBACK)
            await handle.media_node.create_router(pb.CreateRouterRequest(id="room"))
            client, stream = await tcp_client(handle.media_node, "t")
            async with stream:
                with trio.fail_after(1):
                    nursery.cancel_scope.cancel()
                    with trio.CancelScope(shield=True):
                        frames = await client.receive_until_closed()
                assert frames[-1][0] == 21


async def test_a_stopped_node_takes_nothing_new():
    with trio.fail_after(patience(10)):
        async with running_node() as handle:
            pass
        with pytest.raises(NodeError) as refused:
            await handle.media_node.create_router(pb.CreateRouterRequest())
        assert refused.value.code is ErrorCode.UNAVAILABLE


async def test_a_taken_port_is_named():
    with trio.fail_after(patience(10)):
        async with running_node() as handle:
            taken = dataclasses.replace(LOOPBACK, media_port=handle.ports[0])
            with pytest.raises(LocalError, match=f"port {handle.ports[0]} .* is taken"):
                await serve_node(taken)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"listen_host": "localhost"}, "listen_host: 'localhost' is not an IP address"),
        ({"announced": ("media.example",)}, "announced"),
        ({"announced": ("0.0.0.0",)}, "wildcard"),
        ({"lanes": 65}, "lanes"),
        ({"media_port": 65535, "lanes": 2}, "lower port"),
        ({"media_port": -1}, "media_port"),
        ({"socket_buffer_bytes": 1}, "socket_buffer_bytes"),
        ({"srtp_backend": "rot13"}, "srtp_backend: 'rot13' is none of auto, native, libsrtp"),
        ({"consent_timeout_ns": 5}, "consent_timeout_ns"),
        ({"adaptation": AdaptationSettings(most_playout_delay_ms=-1)}, "most_playout_delay: -1 ms is not in 0 … 10000"),
    ],
)
def test_a_config_that_cannot_work_says_what_to_change(options, text):
    with pytest.raises(LocalError, match=text):
        MediaConfig(**options)


async def test_the_srtp_backend_is_the_one_asked_for():
    try:
        with trio.fail_after(patience(10)):
            async with running_node(dataclasses.replace(LOOPBACK, srtp_backend="libsrtp")):
                assert {backend.name for backend in backends()} == {"libsrtp"}
    finally:
        set_backend("auto")


async def test_an_srtp_backend_that_the_cpu_cannot_do_is_refused_before_anything_starts(monkeypatch):
    monkeypatch.setattr(rtpfwd.srtp, "best_tier", lambda _: None)  # no such CPU is at hand
    with (
        trio.fail_after(patience(10)),
        pytest.RaisesGroup(LocalError, flatten_subgroups=True, allow_unwrapped=True) as refused,
    ):
        async with running_node(dataclasses.replace(LOOPBACK, srtp_backend="native")):
            pass
    error = refused.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert str(error).startswith("srtp_backend: the native SRTP backend needs a CPU with the AES")


async def test_announced_addresses_replace_our_own():
    with trio.fail_after(patience(10)):
        async with running_node(dataclasses.replace(LOOPBACK, announced=("203.0.113.7",), tcp=False)) as handle:
            await handle.media_node.create_router(pb.CreateRouterRequest(id="room"))
            info = await handle.media_node.create_web_rtc_transport(pb.CreateWebRtcTransportRequest(router_id="room"))
            assert [(c.address, c.protocol) for c in info.ice_candidates] == [("203.0.113.7", "udp")]


async def test_metrics_show_what_there_is():
    registry = CollectorRegistry()
    with trio.fail_after(patience(10)):
        async with running_node() as handle:
            registry.register(handle.collector)
            await call(handle.media_node)
            client, stream = await tcp_client(handle.media_node, "over-tcp")
            async with stream:
                with socket.socket(type=socket.SOCK_DGRAM) as stranger:
                    stranger.sendto(b"\x16\xfe\xfd" + bytes(40), ("127.0.0.1", handle.ports[0]))
                while 'reason="dtls-unknown-path"' not in (text := generate_latest(registry).decode()):
                    await trio.sleep(0.005)
                assert client
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert lines["sightline_routers"] == "1.0"
    assert lines["sightline_transports"] == "3.0"
    assert lines["sightline_producers"] == "1.0"
    assert lines["sightline_consumers"] == "0.0"
    assert lines['sightline_ice_transports{state="completed"}'] == "1.0"
    assert lines['sightline_dtls_handshakes_total{result="connected"}'] == "1.0"
    assert lines['sightline_refused_datagrams_total{reason="dtls-unknown-path"}'] == "1.0"
    assert lines['sightline_tcp_connections{lane="0"}'] == "1.0"
    assert lines['sightline_tcp_events_total{event="accepted",lane="0"}'] == "1.0"
    assert lines["sightline_transport_defects_total"] == "0.0"
    assert float(lines['sightline_received_packets_total{lane="0"}']) >= 1
    assert lines['sightline_streams{lane="0"}'] == "1.0"
    assert 'sightline_forwarded_bytes_total{lane="0"}' in lines
    assert any(line.startswith("sightline_dropped_packets_total{") for line in lines)
    assert any(line.startswith("sightline_lane_wakeups_total{") for line in lines)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_one_socket_answers_checks_over_ipv4_and_ipv6(host: str):
    with trio.fail_after(patience(10)):
        async with running_node(MediaConfig()) as handle:
            await handle.media_node.create_router(pb.CreateRouterRequest(id="room"))
            info = await handle.media_node.create_web_rtc_transport(pb.CreateWebRtcTransportRequest(router_id="room"))
            request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
            request.attributes["USERNAME"] = f"{info.ice_parameters.username_fragment}:x"
            request.attributes["PRIORITY"] = 1
            request.add_message_integrity(info.ice_parameters.password.encode())
            family = trio.socket.AF_INET6 if ":" in host else trio.socket.AF_INET
            with trio.socket.socket(family, trio.socket.SOCK_DGRAM) as remote:
                await remote.bind((host, 0))
                await remote.sendto(bytes(request), (host, handle.ports[0]))
                answer = stun.parse_message(await remote.recv(2000))
                assert answer.attributes["XOR-MAPPED-ADDRESS"] == remote.getsockname()[:2]
