"""LocalNode's own promise: whatever happens inside, its caller sees NodeError and nothing half done."""

from __future__ import annotations

import dataclasses
import logging

import pytest
import trio

from protos import media_pb2 as pb
from protos.control import ErrorCode, NodeError
from server.control.local import LocalNode
from server.media.commands import Commands
from server.media.limits import MediaLimits
from tests.control.carriers import LOOPBACK, running_node


async def test_a_fault_of_ours_is_internal_and_logged(monkeypatch, caplog):
    async with running_node() as handle:
        monkeypatch.setattr(Commands, "create_router", lambda *_: 1 // 0)
        with caplog.at_level(logging.ERROR), pytest.raises(NodeError) as failed:
            await handle.media_node.create_router(pb.CreateRouterRequest())
    assert failed.value.code is ErrorCode.INTERNAL
    assert "ZeroDivisionError" in caplog.text
    assert "division" not in failed.value.message


async def test_a_broken_transport_is_internal_closed_and_logged_once(monkeypatch, caplog):
    async with running_node() as handle:
        node = handle.media_node
        await node.create_router(pb.CreateRouterRequest(id="room"))
        await node.create_web_rtc_transport(pb.CreateWebRtcTransportRequest(router_id="room", id="t"))
        assert isinstance(node, LocalNode)
        transport = node._core.transports["t"]
        monkeypatch.setattr(transport, "restart_ice", lambda now: 1 // 0)
        async with node.watch(pb.WatchRequest()) as events:
            with caplog.at_level(logging.ERROR), pytest.raises(NodeError) as failed:
                await node.restart_ice(pb.RestartIceRequest(transport_id="t"))
            assert (await anext(events)).closed.reason == "internal-error"
    assert failed.value.code is ErrorCode.INTERNAL
    assert caplog.text.count("ZeroDivisionError") == 1


async def test_the_sockets_of_plain_transports_are_limited_and_given_back():
    limits = MediaLimits(max_plain_transports=1)
    async with running_node(dataclasses.replace(LOOPBACK, limits=limits)) as handle:
        node = handle.media_node
        await node.create_router(pb.CreateRouterRequest(id="room"))
        await node.create_plain_transport(pb.CreatePlainTransportRequest(router_id="room", id="a"))
        with pytest.raises(NodeError) as refused:
            await node.create_plain_transport(pb.CreatePlainTransportRequest(router_id="room", id="b"))
        assert refused.value.code is ErrorCode.RESOURCE_EXHAUSTED
        await node.close(pb.CloseRequest(kind=pb.TRANSPORT, id="a"))
        await node.create_plain_transport(pb.CreatePlainTransportRequest(router_id="room", id="b"))


async def test_a_plain_transport_that_is_refused_late_gives_its_socket_back(monkeypatch):
    limits = MediaLimits(max_plain_transports=1)
    async with running_node(dataclasses.replace(LOOPBACK, limits=limits)) as handle:
        node = handle.media_node
        await node.create_router(pb.CreateRouterRequest(id="room"))
        with monkeypatch.context() as patched:
            patched.setattr(Commands, "create_plain_transport", lambda *_, **__: 1 // 0)
            with pytest.raises(NodeError):
                await node.create_plain_transport(pb.CreatePlainTransportRequest(router_id="room"))
        await node.create_plain_transport(pb.CreatePlainTransportRequest(router_id="room"))


async def test_a_cancelled_caller_has_not_commanded():
    async with running_node() as handle:
        with trio.CancelScope() as scope:
            scope.cancel()
            await handle.media_node.create_router(pb.CreateRouterRequest())
        assert scope.cancelled_caught
        assert (await handle.media_node.get_node_info(pb.GetNodeInfoRequest())).routers == 0
