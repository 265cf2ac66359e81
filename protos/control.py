"""MediaNode: what a front may ask of a media node, whichever carrier takes it there.

Two carriers implement this Protocol: `server.control.local.LocalNode` in process and, over gRPC, a client in
`signaling.nodes`. The messages are the protobuf messages themselves in both, so one test suite runs over both.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from protos import media_pb2 as pb


class ErrorCode(enum.Enum):
    """Why a command was refused. The values are the gRPC status names, so that a carrier maps without a table."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"  # the request can never succeed as written
    NOT_FOUND = "NOT_FOUND"  # no entity has that id (any more)
    ALREADY_EXISTS = "ALREADY_EXISTS"  # the id chosen by the caller is taken
    FAILED_PRECONDITION = "FAILED_PRECONDITION"  # right request, wrong state: produce before connect
    UNIMPLEMENTED = "UNIMPLEMENTED"  # valid, but nothing here can do it: a codec that the router lacks
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"  # a limit of the node is reached
    UNAVAILABLE = "UNAVAILABLE"  # the node is draining, stopping or out of reach: try another
    INTERNAL = "INTERNAL"  # our fault


class NodeError(Exception):
    """A refused command. The message says what was wrong, where, and what to do; nothing was changed."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class MediaNode(Protocol):
    """One media node. Every method raises NodeError, and only that, when it refuses."""

    async def get_node_info(self, request: pb.GetNodeInfoRequest) -> pb.NodeInfo: ...

    async def create_router(self, request: pb.CreateRouterRequest) -> pb.RouterInfo: ...

    async def get_router_capabilities(self, request: pb.GetRouterCapabilitiesRequest) -> pb.RtpCapabilities: ...

    async def create_web_rtc_transport(self, request: pb.CreateWebRtcTransportRequest) -> pb.WebRtcTransportInfo: ...

    async def connect_web_rtc_transport(
        self, request: pb.ConnectWebRtcTransportRequest
    ) -> pb.ConnectWebRtcTransportReply: ...

    async def restart_ice(self, request: pb.RestartIceRequest) -> pb.IceParameters: ...

    async def create_plain_transport(self, request: pb.CreatePlainTransportRequest) -> pb.PlainTransportInfo: ...

    async def connect_plain_transport(self, request: pb.ConnectPlainTransportRequest) -> pb.PlainTransportInfo: ...

    async def produce(self, request: pb.ProduceRequest) -> pb.ProducerInfo: ...

    async def consume(self, request: pb.ConsumeRequest) -> pb.ConsumerInfo: ...

    async def pause(self, request: pb.PauseRequest) -> pb.Empty: ...

    async def resume(self, request: pb.ResumeRequest) -> pb.Empty: ...

    async def set_preferred_layers(self, request: pb.SetPreferredLayersRequest) -> pb.Empty: ...

    async def set_priority(self, request: pb.SetPriorityRequest) -> pb.Empty: ...

    async def request_key_frame(self, request: pb.RequestKeyFrameRequest) -> pb.Empty: ...

    async def set_view(self, request: pb.SetViewRequest) -> pb.Empty: ...

    async def set_policy(self, request: pb.SetPolicyRequest) -> pb.PolicyInfo: ...

    async def get_decisions(self, request: pb.GetDecisionsRequest) -> pb.Decisions: ...

    async def close(self, request: pb.CloseRequest) -> pb.Empty: ...

    async def get_stats(self, request: pb.GetStatsRequest) -> pb.Stats: ...

    async def dump(self, request: pb.DumpRequest) -> pb.DumpReply: ...

    def watch(self, request: pb.WatchRequest) -> AbstractAsyncContextManager[AsyncIterator[pb.Event]]:
        """Every event from entering the context on. Bounded: a slow reader gets one WatchLagged instead of memory."""
        ...
