"""A MediaNode in memory: keeps ids and states, refuses as the real one does, forwards nothing.

It is the stand-in where no media flows; `die` plays what the network does to a real node.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from protos import media_pb2 as pb
from protos.control import ErrorCode, NodeError

OPUS = pb.RtpCodecCapability(
    kind=pb.MediaKind.AUDIO,
    mime_type="audio/opus",
    preferred_payload_type=100,
    clock_rate=48000,
    channels=2,
    parameters={"useinbandfec": pb.ParameterValue(integer=1)},
    rtcp_feedback=[pb.RtcpFeedback(type="transport-cc")],
)
VP8 = pb.RtpCodecCapability(
    kind=pb.MediaKind.VIDEO,
    mime_type="video/VP8",
    preferred_payload_type=101,
    clock_rate=90000,
    rtcp_feedback=[pb.RtcpFeedback(type="nack"), pb.RtcpFeedback(type="nack", parameter="pli")],
)
MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
CAPABILITIES = pb.RtpCapabilities(
    codecs=[OPUS, VP8],
    header_extensions=[
        pb.RtpHeaderExtensionCapability(kind=kind, uri=MID, preferred_id=1, direction="sendrecv")
        for kind in (pb.MediaKind.AUDIO, pb.MediaKind.VIDEO)
    ],
)


@dataclass
class Entity:
    """A router, transport, producer or consumer."""

    kind: pb.EntityKind
    id: str
    parent: str
    connected: bool = False
    paused: bool = False
    media: pb.MediaKind = pb.MediaKind.MEDIA_KIND_UNSPECIFIED
    rtp: pb.RtpParameters = field(default_factory=pb.RtpParameters)
    producer: str = ""


def refuse(code: ErrorCode, message: str) -> NodeError:
    return NodeError(code, message)


class FakeNode:
    def __init__(self) -> None:
        self.entities: dict[str, Entity] = {}
        self.commands: list[str] = []
        self.draining = False
        self.frozen: trio.Event | None = None  # while set, commands wait for it
        self._watchers: list[trio.MemorySendChannel[pb.Event]] = []
        self._mids = 0

    # ---- for tests ----

    def of(self, kind: pb.EntityKind) -> list[Entity]:
        return [entity for entity in self.entities.values() if entity.kind == kind]

    def emit(self, event: pb.Event) -> None:
        for watcher in self._watchers:
            watcher.send_nowait(event)

    def die(self, entity_id: str, reason: str) -> None:
        """An entity ends by itself, with its children."""
        self._remove(entity_id, reason)

    # ---- MediaNode ----

    async def _command(self, name: str) -> None:
        await trio.lowlevel.checkpoint()
        self.commands.append(name)
        if self.frozen is not None:
            await self.frozen.wait()

    def _find(self, kind: pb.EntityKind, entity_id: str) -> Entity:
        entity = self.entities.get(entity_id)
        if entity is None or entity.kind != kind:
            raise refuse(ErrorCode.NOT_FOUND, f"no {pb.EntityKind.Name(kind).lower()} {entity_id!r}")
        return entity

    def _add(self, entity: Entity) -> Entity:
        if entity.id in self.entities:
            raise refuse(ErrorCode.ALREADY_EXISTS, f"{entity.id!r} is taken")
        self.entities[entity.id] = entity
        return entity

    def _remove(self, entity_id: str, reason: str) -> None:
        entity = self.entities.pop(entity_id, None)
        if entity is None:
            return
        self.emit(pb.Event(closed=pb.EntityClosed(kind=entity.kind, id=entity.id, reason=reason)))
        for child in [e for e in self.entities.values() if e.parent == entity_id]:
            self._remove(child.id, "parent-closed")
        for consumer in [e for e in self.entities.values() if e.producer == entity_id]:
            self._remove(consumer.id, "producer-closed")

    async def get_node_info(self, request: pb.GetNodeInfoRequest) -> pb.NodeInfo:
        await self._command("get_node_info")
        return pb.NodeInfo(node_id="fake", version="0", lanes=1, draining=self.draining)

    async def create_router(self, request: pb.CreateRouterRequest) -> pb.RouterInfo:
        await self._command("create_router")
        self._add(Entity(pb.EntityKind.ROUTER, request.id, ""))
        return pb.RouterInfo(id=request.id, rtp_capabilities=CAPABILITIES)

    async def get_router_capabilities(self, request: pb.GetRouterCapabilitiesRequest) -> pb.RtpCapabilities:
        await self._command("get_router_capabilities")
        self._find(pb.EntityKind.ROUTER, request.router_id)
        return CAPABILITIES

    async def create_web_rtc_transport(self, request: pb.CreateWebRtcTransportRequest) -> pb.WebRtcTransportInfo:
        await self._command("create_web_rtc_transport")
        self._find(pb.EntityKind.ROUTER, request.router_id)
        self._add(Entity(pb.EntityKind.TRANSPORT, request.id, request.router_id))
        candidate = pb.IceCandidate(
            foundation="udp1", priority=1, address="127.0.0.1", protocol="udp", port=40000, type="host"
        )
        return pb.WebRtcTransportInfo(
            id=request.id,
            ice_parameters=pb.IceParameters(username_fragment="u" * 8, password="p" * 24, ice_lite=True),
            ice_candidates=[candidate],
            dtls_parameters=pb.DtlsParameters(
                role="auto", fingerprints=[pb.DtlsFingerprint(algorithm="sha-256", value="AA:BB")]
            ),
        )

    async def connect_web_rtc_transport(
        self, request: pb.ConnectWebRtcTransportRequest
    ) -> pb.ConnectWebRtcTransportReply:
        await self._command("connect_web_rtc_transport")
        transport = self._find(pb.EntityKind.TRANSPORT, request.transport_id)
        if transport.connected:
            raise refuse(ErrorCode.FAILED_PRECONDITION, "connected already")
        if not any(f.algorithm.startswith("sha-") for f in request.dtls_parameters.fingerprints):
            raise refuse(ErrorCode.INVALID_ARGUMENT, "dtlsParameters.fingerprints: no algorithm that we know")
        transport.connected = True
        self.emit(
            pb.Event(
                transport_state=pb.TransportStateChanged(
                    transport_id=transport.id, ice_state="connected", dtls_state="connecting"
                )
            )
        )
        return pb.ConnectWebRtcTransportReply(dtls_local_role="server")

    async def restart_ice(self, request: pb.RestartIceRequest) -> pb.IceParameters:
        await self._command("restart_ice")
        self._find(pb.EntityKind.TRANSPORT, request.transport_id)
        return pb.IceParameters(username_fragment="n" * 8, password="q" * 24, ice_lite=True)

    async def create_plain_transport(self, request: pb.CreatePlainTransportRequest) -> pb.PlainTransportInfo:
        raise refuse(ErrorCode.UNIMPLEMENTED, "no plain transports here")

    async def connect_plain_transport(self, request: pb.ConnectPlainTransportRequest) -> pb.PlainTransportInfo:
        raise refuse(ErrorCode.UNIMPLEMENTED, "no plain transports here")

    async def produce(self, request: pb.ProduceRequest) -> pb.ProducerInfo:
        await self._command("produce")
        transport = self._find(pb.EntityKind.TRANSPORT, request.transport_id)
        if not transport.connected:
            raise refuse(ErrorCode.FAILED_PRECONDITION, "connect the transport first")
        known = {codec.mime_type.lower() for codec in CAPABILITIES.codecs}
        if not any(codec.mime_type.lower() in known for codec in request.rtp_parameters.codecs):
            raise refuse(ErrorCode.UNIMPLEMENTED, "rtpParameters.codecs: none that the router forwards")
        self._add(
            Entity(
                pb.EntityKind.PRODUCER,
                request.id,
                request.transport_id,
                paused=request.paused,
                media=request.kind,
                rtp=request.rtp_parameters,
            )
        )
        return pb.ProducerInfo(id=request.id, type="simple")

    async def consume(self, request: pb.ConsumeRequest) -> pb.ConsumerInfo:
        await self._command("consume")
        self._find(pb.EntityKind.TRANSPORT, request.transport_id)
        producer = self._find(pb.EntityKind.PRODUCER, request.producer_id)
        mime = producer.rtp.codecs[0].mime_type.lower()
        if not any(codec.mime_type.lower() == mime for codec in request.rtp_capabilities.codecs):
            raise refuse(ErrorCode.UNIMPLEMENTED, "rtpCapabilities: no codec in common")
        self._add(
            Entity(
                pb.EntityKind.CONSUMER,
                request.id,
                request.transport_id,
                paused=request.paused,
                media=producer.media,
                producer=producer.id,
            )
        )
        rtp = pb.RtpParameters(
            mid=request.mid or str(self._mids),
            codecs=[producer.rtp.codecs[0]],
            header_extensions=[pb.RtpHeaderExtensionParameters(uri=MID, id=1)],
            encodings=[pb.RtpEncodingParameters(ssrc=1000 + self._mids)],
            rtcp=pb.RtcpParameters(cname="fake", reduced_size=True),
        )
        self._mids += 1
        return pb.ConsumerInfo(
            id=request.id,
            producer_id=producer.id,
            kind=producer.media,
            type="simple",
            rtp_parameters=rtp,
            paused=request.paused,
            producer_paused=producer.paused,
        )

    async def pause(self, request: pb.PauseRequest) -> pb.Empty:
        await self._command("pause")
        self._set_paused(request.kind, request.id, True)
        return pb.Empty()

    async def resume(self, request: pb.ResumeRequest) -> pb.Empty:
        await self._command("resume")
        self._set_paused(request.kind, request.id, False)
        return pb.Empty()

    def _set_paused(self, kind: pb.EntityKind, entity_id: str, paused: bool) -> None:
        entity = self._find(kind, entity_id)
        if entity.paused == paused:
            return
        entity.paused = paused
        if kind == pb.EntityKind.PRODUCER:
            watching = [e.id for e in self.entities.values() if e.producer == entity_id]
            change = pb.ProducerPauseChanged(producer_id=entity_id, paused=paused, consumer_ids=watching)
            self.emit(pb.Event(producer_pause=change))

    async def set_preferred_layers(self, request: pb.SetPreferredLayersRequest) -> pb.Empty:
        await self._command("set_preferred_layers")
        consumer = self._find(pb.EntityKind.CONSUMER, request.consumer_id)
        if consumer.media != pb.MediaKind.VIDEO:
            raise refuse(ErrorCode.INVALID_ARGUMENT, "an audio consumer has no layers")
        return pb.Empty()

    async def set_priority(self, request: pb.SetPriorityRequest) -> pb.Empty:
        await self._command("set_priority")
        self._find(pb.EntityKind.CONSUMER, request.consumer_id)
        return pb.Empty()

    async def request_key_frame(self, request: pb.RequestKeyFrameRequest) -> pb.Empty:
        await self._command("request_key_frame")
        self._find(pb.EntityKind.CONSUMER, request.consumer_id)
        return pb.Empty()

    async def set_view(self, request: pb.SetViewRequest) -> pb.Empty:
        await self._command("set_view")
        self._find(pb.EntityKind.CONSUMER, request.consumer_id)
        return pb.Empty()

    async def set_policy(self, request: pb.SetPolicyRequest) -> pb.PolicyInfo:
        await self._command("set_policy")
        self._find(request.kind, request.id)
        return pb.PolicyInfo(name=request.name or "default", shadow=request.shadow, available=["default"])

    async def get_decisions(self, request: pb.GetDecisionsRequest) -> pb.Decisions:
        await self._command("get_decisions")
        self._find(pb.EntityKind.TRANSPORT, request.transport_id)
        return pb.Decisions()

    async def close(self, request: pb.CloseRequest) -> pb.Empty:
        await self._command("close")
        self._find(request.kind, request.id)
        self._remove(request.id, "requested")
        return pb.Empty()

    async def get_stats(self, request: pb.GetStatsRequest) -> pb.Stats:
        await self._command("get_stats")
        entity = self._find(request.kind, request.id)
        row = pb.StatsRow(
            type=pb.EntityKind.Name(entity.kind).lower(), id=entity.id, figures={"bytes": 1.0}, labels={"state": "new"}
        )
        return pb.Stats(taken_unix_ms=1, rows=[row])

    async def dump(self, request: pb.DumpRequest) -> pb.DumpReply:
        await self._command("dump")
        return pb.DumpReply(json="{}")

    @asynccontextmanager
    async def watch(self, request: pb.WatchRequest) -> AsyncIterator[AsyncIterator[pb.Event]]:
        put, take = trio.open_memory_channel[pb.Event](math.inf)
        self._watchers.append(put)
        try:
            async with take:
                yield take
        finally:
            self._watchers.remove(put)
