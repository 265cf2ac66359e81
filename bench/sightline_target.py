"""Our own media node behind the bench's contract: a process of its own, commanded through protos.control.MediaNode."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Literal, TypeAlias

from bench.node_process import NodeProcess, open_node
from bench.target import LocalEnd, Room, ServerEnd, Stream, Subscription
from protos import media_pb2 as pb
from server.control import convert
from server.rtc import uris
from server.rtc.certificate import Fingerprint
from server.rtc.parameters import RtpParameters

ViewerExtensions: TypeAlias = Literal["all", "mid"]


class SightlineRoom:
    """One router. A publisher's id is its transport's."""

    def __init__(self, node: NodeProcess, router: pb.RouterInfo, capabilities: pb.RtpCapabilities) -> None:
        self.router_id = router.id
        self._node = node
        self._capabilities = capabilities
        self._producers: dict[str, list[str]] = {}
        self._consumers: dict[str, list[str]] = {}

    async def publish(self, local: LocalEnd, parameters: Sequence[tuple[str, RtpParameters]]) -> tuple[str, ServerEnd]:
        """Take one publisher of these ("audio" or "video", parameters) over one transport. Answers its id."""
        transport, server = await self._connect(local)
        produced = []
        for kind, stream in parameters:
            request = pb.ProduceRequest(
                transport_id=transport,
                kind=pb.VIDEO if kind == "video" else pb.AUDIO,
                rtp_parameters=convert.rtp_parameters_to_pb(stream),
            )
            produced.append((await self._node.call("produce", request, pb.ProducerInfo)).id)
        self._producers[transport] = produced
        return transport, server

    async def subscribe(self, local: LocalEnd, publishers: Sequence[str]) -> Subscription:
        """Prepare all media of these publishers for one viewer, over one transport."""
        transport, server = await self._connect(local)
        streams: list[Stream] = []
        consumers: list[str] = []
        for publisher in publishers:
            for producer in self._producers[publisher]:
                request = pb.ConsumeRequest(
                    transport_id=transport,
                    producer_id=producer,
                    rtp_capabilities=self._capabilities,
                    paused=True,  # until the viewer counts, so that the first packet is counted too
                )
                info = await self._node.call("consume", request, pb.ConsumerInfo)
                consumers.append(info.id)
                streams.append(Stream(publisher, convert.rtp_parameters_from_pb(info.rtp_parameters)))
        self._consumers[transport] = consumers
        return Subscription(transport, server, tuple(streams))

    async def start(self, subscription: Subscription) -> None:
        """The viewer is connected and watches: let its media flow."""
        for consumer in self._consumers.pop(subscription.id):
            await self._node.call("resume", pb.ResumeRequest(kind=pb.CONSUMER, id=consumer), pb.Empty)

    async def _connect(self, local: LocalEnd) -> tuple[str, ServerEnd]:
        request = pb.CreateWebRtcTransportRequest(router_id=self.router_id)
        info = await self._node.call("create_web_rtc_transport", request, pb.WebRtcTransportInfo)
        theirs = pb.DtlsFingerprint(algorithm=local.fingerprint.algorithm, value=local.fingerprint.value)
        await self._node.call(
            "connect_web_rtc_transport",
            pb.ConnectWebRtcTransportRequest(
                transport_id=info.id, dtls_parameters=pb.DtlsParameters(role="client", fingerprints=[theirs])
            ),
            pb.ConnectWebRtcTransportReply,
        )
        candidate, ice = info.ice_candidates[0], info.ice_parameters
        ours = info.dtls_parameters.fingerprints[0]
        fingerprint = Fingerprint(ours.algorithm, ours.value)
        return info.id, ServerEnd(candidate.address, candidate.port, ice.username_fragment, ice.password, fingerprint)


class Sightline:
    """A running node."""

    name = "sightline"

    def __init__(self, node: NodeProcess, version: str, tuning: str, viewer_extensions: ViewerExtensions) -> None:
        self.node = node
        self.version = version
        self.tuning = tuning
        self.pid = node.pid
        self._viewer_extensions = viewer_extensions

    async def open_room(self) -> Room:
        """A new call."""
        router = await self.node.call("create_router", pb.CreateRouterRequest(), pb.RouterInfo)
        capabilities = pb.RtpCapabilities()
        capabilities.CopyFrom(router.rtp_capabilities)
        if self._viewer_extensions == "mid":
            wanted = [extension for extension in capabilities.header_extensions if extension.uri == uris.MID]
            del capabilities.header_extensions[:]
            capabilities.header_extensions.extend(wanted)
        return SightlineRoom(self.node, router, capabilities)

    async def counters(self) -> dict[str, float]:
        """Every counter and gauge of the node, by the names of server/io/metrics.py."""
        return await self.node.counters()


@asynccontextmanager
async def open_sightline(
    *,
    address: str = "127.0.0.1",
    lanes: int = 1,
    cpus: Sequence[int] = (),
    options: Mapping[str, str] | None = None,
    viewer_extensions: ViewerExtensions = "all",
) -> AsyncIterator[Sightline]:
    """A node for as long as the context lasts. `options`: fields of MediaConfig by name, their values as text.

    `viewer_extensions`: which header extensions viewers take; "mid" is what a comparison gives every server.
    """
    async with open_node(address=address, lanes=lanes, cpus=cpus, options=options) as node:
        info = await node.call("get_node_info", pb.GetNodeInfoRequest(), pb.NodeInfo)
        tuning = [f"{info.lanes} lane{'s' if info.lanes != 1 else ''}"]
        tuning += [f"{name}={value}" for name, value in (options or {}).items()]
        yield Sightline(node, info.version, ", ".join(tuning), viewer_extensions)
