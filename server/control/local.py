"""LocalNode: the MediaNode of this process. Decodes, commands the domain through the drive, encodes."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import trio

from protos import media_pb2 as pb
from protos.control import ErrorCode, NodeError
from server.control import convert
from server.control.watch import Watchers
from server.errors import LocalError
from server.io.clock import unix_ms
from server.io.drive import Drive
from server.media import errors
from server.media.commands import Commands
from server.media.events import EntityKind
from server.media.plain_transport import PlainTransport, SrtpParameters
from server.media.policies import Choice
from server.media.stats import dump, stats
from server.policy.registry import UnknownPolicy
from server.rtc.address import Address
from server.rtc.ortc import UnsupportedCodec
from server.rtc.parameters import DtlsFingerprint, DtlsParameters

log = logging.getLogger(__name__)

# Most special first. Every other LocalError says that the request can't be right.
_CODES: tuple[tuple[type[LocalError], ErrorCode], ...] = (
    (errors.NotFound, ErrorCode.NOT_FOUND),
    (errors.AlreadyExists, ErrorCode.ALREADY_EXISTS),
    (errors.WrongState, ErrorCode.FAILED_PRECONDITION),
    (errors.Unsupported, ErrorCode.UNIMPLEMENTED),
    (UnsupportedCodec, ErrorCode.UNIMPLEMENTED),
    (UnknownPolicy, ErrorCode.NOT_FOUND),
    (errors.LimitReached, ErrorCode.RESOURCE_EXHAUSTED),
    (errors.Stopping, ErrorCode.UNAVAILABLE),
    (LocalError, ErrorCode.INVALID_ARGUMENT),
)
_KINDS = {int(pb.EntityKind.Value(kind.value)): kind for kind in EntityKind}


class PlainSockets(Protocol):
    """Who opens the sockets of plain transports."""

    def open(self, lane: int) -> tuple[int, Address]:
        """(socket id, the address to tell the remote). Raises LocalError."""

    def release(self, lane: int, socket: int) -> None: ...


@asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    """Around every command: a checkpoint, then the command whole, or a NodeError."""
    # Before the command and not after it, so that a cancelled caller has not commanded.
    await trio.lowlevel.checkpoint()
    try:
        yield
    except LocalError as refused:
        code = next(code for kind, code in _CODES if isinstance(refused, kind))
        raise NodeError(code, str(refused)) from refused
    except errors.Broken as broken:
        raise NodeError(ErrorCode.INTERNAL, str(broken)) from broken
    except Exception as error:  # the carrier's caller must not die of our faults
        log.exception("a command failed by a fault of this node")
        raise NodeError(ErrorCode.INTERNAL, "the command failed by a fault of this node; its log says more") from error


class LocalNode:
    """Implements protos.control.MediaNode. Its methods need the node's trio loop, which they never block."""

    def __init__(self, drive: Drive, watchers: Watchers, sockets: PlainSockets, *, node_id: str, version: str) -> None:
        self._drive = drive
        self._core = drive.core
        self._commands = Commands(drive.core)
        self._watchers = watchers
        self._sockets = sockets
        self._node_id = node_id
        self._version = version
        # Taken once: a decision keeps its time however often it is asked for.
        self._unix_offset = unix_ms() * 1_000_000 - drive.clock()

    async def get_node_info(self, request: pb.GetNodeInfoRequest) -> pb.NodeInfo:
        async with _answering():
            core = self._core
            return pb.NodeInfo(
                node_id=self._node_id,
                version=self._version,
                lanes=len(core.planes),
                routers=len(core.routers),
                transports=len(core.transports),
                producers=len(core.shared.producers),
                consumers=len(core.shared.consumers),
                draining=core.stopping,
            )

    async def create_router(self, request: pb.CreateRouterRequest) -> pb.RouterInfo:
        async with _answering():
            codecs = convert.rtp_codec_capabilities_from_pb(request.codecs)
            router = self._drive.run(lambda now: self._commands.create_router(request.id, codecs))
            return pb.RouterInfo(id=router.id, rtp_capabilities=convert.rtp_capabilities_to_pb(router.rtp_capabilities))

    async def get_router_capabilities(self, request: pb.GetRouterCapabilitiesRequest) -> pb.RtpCapabilities:
        async with _answering():
            return convert.rtp_capabilities_to_pb(self._commands.router(request.router_id).rtp_capabilities)

    async def create_web_rtc_transport(self, request: pb.CreateWebRtcTransportRequest) -> pb.WebRtcTransportInfo:
        async with _answering():
            transport = self._drive.run(
                lambda now: self._commands.create_webrtc_transport(request.router_id, request.id, now)
            )
            ours = transport.local_fingerprint
            fingerprint = DtlsFingerprint(algorithm="sha-256", value=ours.value)
            return pb.WebRtcTransportInfo(
                id=transport.id,
                ice_parameters=convert.ice_parameters_to_pb(transport.ice_parameters),
                ice_candidates=[convert.ice_candidate_to_pb(candidate) for candidate in transport.candidates],
                dtls_parameters=convert.dtls_parameters_to_pb(DtlsParameters(fingerprints=(fingerprint,), role="auto")),
            )

    async def connect_web_rtc_transport(
        self, request: pb.ConnectWebRtcTransportRequest
    ) -> pb.ConnectWebRtcTransportReply:
        async with _answering():
            dtls = convert.dtls_parameters_from_pb(request.dtls_parameters)
            role = self._drive.run(lambda now: self._commands.connect_webrtc_transport(request.transport_id, dtls, now))
            return pb.ConnectWebRtcTransportReply(dtls_local_role=role.value)

    async def restart_ice(self, request: pb.RestartIceRequest) -> pb.IceParameters:
        async with _answering():
            ice = self._drive.run(lambda now: self._commands.restart_ice(request.transport_id, now))
            return convert.ice_parameters_to_pb(ice)

    async def create_plain_transport(self, request: pb.CreatePlainTransportRequest) -> pb.PlainTransportInfo:
        async with _answering():
            suite = request.srtp_crypto_suite
            lane = self._commands.check_plain_transport(request.router_id, request.id, suite)
            socket, local = self._sockets.open(lane)
            try:
                transport = self._drive.run(
                    lambda now: self._commands.create_plain_transport(
                        request.router_id,
                        request.id,
                        lane,
                        socket,
                        local,
                        now,
                        comedia=request.comedia,
                        crypto_suite=suite,
                    )
                )
            except BaseException:
                self._sockets.release(lane, socket)
                raise
            return _plain_info(transport)

    async def connect_plain_transport(self, request: pb.ConnectPlainTransportRequest) -> pb.PlainTransportInfo:
        async with _answering():
            srtp = None
            if request.HasField("srtp_parameters"):
                srtp = SrtpParameters(request.srtp_parameters.crypto_suite, request.srtp_parameters.key)
            transport = self._drive.run(
                lambda now: self._commands.connect_plain_transport(
                    request.transport_id, request.address, request.port, srtp, now
                )
            )
            return _plain_info(transport)

    async def produce(self, request: pb.ProduceRequest) -> pb.ProducerInfo:
        async with _answering():
            kind = convert.media_kind_from_pb(request.kind)
            rtp = convert.rtp_parameters_from_pb(request.rtp_parameters)
            producer = self._drive.run(
                lambda now: self._commands.produce(
                    request.transport_id, request.id, kind, rtp, now, paused=request.paused, screen=request.screen
                )
            )
            return pb.ProducerInfo(id=producer.id, type=producer.type)

    async def consume(self, request: pb.ConsumeRequest) -> pb.ConsumerInfo:
        async with _answering():
            capabilities = convert.rtp_capabilities_from_pb(request.rtp_capabilities)
            consumer = self._drive.run(
                lambda now: self._commands.consume(
                    request.transport_id,
                    request.id,
                    request.producer_id,
                    capabilities,
                    now,
                    paused=request.paused,
                    adopt_viewer_numbers=request.adopt_viewer_numbers,
                    mid=request.mid,
                )
            )
            return pb.ConsumerInfo(
                id=consumer.id,
                producer_id=consumer.producer.id,
                kind=convert.media_kind_to_pb(consumer.producer.kind),
                type=consumer.producer.type,
                rtp_parameters=convert.rtp_parameters_to_pb(consumer.rtp_parameters),
                paused=consumer.paused,
                producer_paused=consumer.producer_paused,
            )

    async def pause(self, request: pb.PauseRequest) -> pb.Empty:
        async with _answering():
            kind = _kind(request.kind)
            self._drive.run(lambda now: self._commands.pause(kind, request.id, now))
            return pb.Empty()

    async def resume(self, request: pb.ResumeRequest) -> pb.Empty:
        async with _answering():
            kind = _kind(request.kind)
            self._drive.run(lambda now: self._commands.resume(kind, request.id, now))
            return pb.Empty()

    async def set_preferred_layers(self, request: pb.SetPreferredLayersRequest) -> pb.Empty:
        async with _answering():
            temporal = request.temporal if request.HasField("temporal") else None
            self._drive.run(
                lambda now: self._commands.set_preferred_layers(request.consumer_id, request.spatial, temporal, now)
            )
            return pb.Empty()

    async def set_priority(self, request: pb.SetPriorityRequest) -> pb.Empty:
        async with _answering():
            self._drive.run(lambda now: self._commands.set_priority(request.consumer_id, request.priority, now))
            return pb.Empty()

    async def set_view(self, request: pb.SetViewRequest) -> pb.Empty:
        async with _answering():
            self._drive.run(
                lambda now: self._commands.set_view(
                    request.consumer_id, request.width, request.height, now, hidden=request.hidden
                )
            )
            return pb.Empty()

    async def set_policy(self, request: pb.SetPolicyRequest) -> pb.PolicyInfo:
        async with _answering():
            kind, role = _kind(request.kind), convert.policy_role_from_pb(request.role)
            choice = Choice(request.name, request.shadow) if request.name else None
            if choice is None and request.shadow:
                raise errors.InvalidArgument("name: name the policy that decides beside the shadow; empty only asks")
            name, shadow, available = self._drive.run(
                lambda now: self._commands.set_policy(kind, request.id, role, choice, now)
            )
            return pb.PolicyInfo(name=name, shadow=shadow, available=available)

    async def get_decisions(self, request: pb.GetDecisionsRequest) -> pb.Decisions:
        async with _answering():
            # Decisions are kept in monotonic time, as everything is; only what leaves the node is in the world's.
            offset = self._unix_offset
            since = max(request.since_unix_ms * 1_000_000 - offset, 0) if request.since_unix_ms else 0
            found, forgotten = self._commands.decisions(request.transport_id, since, request.most)
            return pb.Decisions(
                decisions=[convert.decision_to_pb(decision, offset) for decision in found], forgotten=forgotten
            )

    async def request_key_frame(self, request: pb.RequestKeyFrameRequest) -> pb.Empty:
        async with _answering():
            self._drive.run(lambda now: self._commands.request_key_frame(request.consumer_id, now))
            return pb.Empty()

    async def close(self, request: pb.CloseRequest) -> pb.Empty:
        async with _answering():
            kind = _kind(request.kind)
            self._drive.run(lambda now: self._commands.close(kind, request.id, now))
            return pb.Empty()

    async def get_stats(self, request: pb.GetStatsRequest) -> pb.Stats:
        async with _answering():
            rows = stats(self._commands, _kind(request.kind), request.id)
            return pb.Stats(
                taken_unix_ms=unix_ms(),
                rows=[pb.StatsRow(type=row.type, id=row.id, figures=row.figures, labels=row.labels) for row in rows],
            )

    async def dump(self, request: pb.DumpRequest) -> pb.DumpReply:
        async with _answering():
            return pb.DumpReply(json=json.dumps(dump(self._commands, _kind(request.kind), request.id)))

    def watch(self, request: pb.WatchRequest) -> AbstractAsyncContextManager[AsyncIterator[pb.Event]]:
        """Every event from entering the context on."""
        return self._watchers.watch()


def _kind(kind: int) -> EntityKind:
    known = _KINDS.get(kind)
    if known is None:
        raise errors.InvalidArgument("kind: expected ROUTER, TRANSPORT, PRODUCER or CONSUMER")
    return known


def _plain_info(transport: PlainTransport) -> pb.PlainTransportInfo:
    remote, srtp = transport.remote, transport.srtp_parameters
    return pb.PlainTransportInfo(
        id=transport.id,
        local_address=transport.local.host,
        local_port=transport.local.port,
        remote_address=remote.host if remote is not None else "",
        remote_port=remote.port if remote is not None else 0,
        srtp_parameters=pb.SrtpParameters(crypto_suite=srtp.crypto_suite, key=srtp.key) if srtp is not None else None,
    )
