"""aiortc, a WebRTC stack that shares no code with ours, against a MediaNode: it offers, we answer from the replies.

aiortc speaks asyncio, so it lives on a loop in a thread of its own; `AsyncioThread.run` calls it from trio.
"""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

import aiortc
import trio
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack, VideoStreamTrack
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters
from aiortc.rtcicetransport import RTCIceCandidate, RTCIceParameters
from aiortc.sdp import GroupDescription, MediaDescription, SessionDescription, SsrcDescription

from protos import media_pb2 as pb
from protos.control import MediaNode

T = TypeVar("T")
KINDS = {"audio": pb.AUDIO, "video": pb.VIDEO}


class AsyncioThread:
    """An asyncio loop in a thread, for as long as the context lasts."""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="asyncio")
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        async def finish() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._loop.shutdown_default_executor()

        asyncio.run_coroutine_threadsafe(finish(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it there, await it here."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return await trio.to_thread.run_sync(future.result, abandon_on_cancel=True)
        finally:
            future.cancel()


class Client:
    """One RTCPeerConnection on one WebRtcTransport."""

    def __init__(self, thread: AsyncioThread, node: MediaNode, transport_id: str) -> None:
        self._thread = thread
        self._node = node
        self._transport_id = transport_id
        self.tracks: list[MediaStreamTrack] = []
        self.connection: aiortc.RTCPeerConnection

    async def publish(self, router_id: str) -> dict[str, str]:
        """Send a synthetic microphone and camera. Answers the producers' ids by kind."""
        offer = await self._offer(["sendonly", "sendonly"])
        info = await self._create(router_id)
        await self._connect(offer, "server")
        producers = {}
        for media in offer.media:
            produced = await self._node.produce(
                pb.ProduceRequest(
                    transport_id=self._transport_id, kind=KINDS[media.kind], rtp_parameters=rtp_parameters(media)
                )
            )
            producers[media.kind] = produced.id
        await self._accept(answer_to(offer, info, "recvonly"))
        return producers

    async def view(self, router_id: str, producers: dict[str, str]) -> dict[str, pb.ConsumerInfo]:
        """Receive a microphone and a camera, in the numbers of our own offer. Answers the consumers by kind."""
        offer = await self._offer(["recvonly", "recvonly"])
        info = await self._create(router_id)
        await self._connect(offer, "server")
        answer = answer_to(offer, info, "sendonly")
        consumers = {}
        for media, ours in zip(answer.media, offer.media, strict=True):
            consumer = await self._node.consume(
                pb.ConsumeRequest(
                    transport_id=self._transport_id,
                    producer_id=producers[media.kind],
                    rtp_capabilities=rtp_capabilities(ours),
                    adopt_viewer_numbers=True,
                    mid=ours.rtp.muxId,
                )
            )
            describe_consumer(media, consumer.rtp_parameters)
            consumers[media.kind] = consumer
        await self._accept(answer)
        return consumers

    async def receive(self, kind: str, frames: int) -> list[Any]:
        """The next decoded frames of the received audio or video."""
        (track,) = [track for track in self.tracks if track.kind == kind]

        async def read() -> list[Any]:
            return [await track.recv() for _ in range(frames)]

        return await self._thread.run(read())

    async def close(self) -> None:
        """Hang up."""
        await self._thread.run(self.connection.close())

    async def _offer(self, directions: list[str]) -> SessionDescription:
        async def make() -> str:
            self.connection = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
            self.connection.on("track", self.tracks.append)
            sources: list[MediaStreamTrack] = [AudioStreamTrack(), VideoStreamTrack()]
            for source, direction in zip(sources, directions, strict=True):
                if direction == "sendonly":
                    self.connection.addTransceiver(source, direction=direction)
                else:
                    self.connection.addTransceiver(source.kind, direction=direction)
            await self.connection.setLocalDescription(await self.connection.createOffer())
            return self.connection.localDescription.sdp

        return SessionDescription.parse(await self._thread.run(make()))

    async def _create(self, router_id: str) -> pb.WebRtcTransportInfo:
        return await self._node.create_web_rtc_transport(
            pb.CreateWebRtcTransportRequest(router_id=router_id, id=self._transport_id)
        )

    async def _connect(self, offer: SessionDescription, ours: str) -> None:
        dtls = offer.media[0].dtls
        reply = await self._node.connect_web_rtc_transport(
            pb.ConnectWebRtcTransportRequest(
                transport_id=self._transport_id,
                dtls_parameters=pb.DtlsParameters(
                    role=dtls.role,
                    fingerprints=[pb.DtlsFingerprint(algorithm=f.algorithm, value=f.value) for f in dtls.fingerprints],
                ),
            )
        )
        assert reply.dtls_local_role == ours

    async def _accept(self, answer: SessionDescription) -> None:
        description = aiortc.RTCSessionDescription(sdp=str(answer), type="answer")
        await self._thread.run(self.connection.setRemoteDescription(description))


def rtp_parameters(media: MediaDescription) -> pb.RtpParameters:
    """What an offered m-section sends."""
    ssrcs = list(dict.fromkeys(description.ssrc for description in media.ssrc))
    return pb.RtpParameters(
        mid=media.rtp.muxId,
        codecs=[
            pb.RtpCodecParameters(
                mime_type=codec.mimeType,
                payload_type=codec.payloadType,
                clock_rate=codec.clockRate,
                channels=codec.channels if media.kind == "audio" else None,
                parameters=parameters(codec.parameters),
                rtcp_feedback=[pb.RtcpFeedback(type=f.type, parameter=f.parameter or "") for f in codec.rtcpFeedback],
            )
            for codec in forwarded(media)
        ],
        header_extensions=[
            pb.RtpHeaderExtensionParameters(uri=extension.uri, id=extension.id)
            for extension in media.rtp.headerExtensions
        ],
        encodings=[pb.RtpEncodingParameters(ssrc=ssrcs[0], rtx_ssrc=ssrcs[1] if len(ssrcs) > 1 else None)],
        rtcp=pb.RtcpParameters(cname=media.ssrc[0].cname),
    )


def rtp_capabilities(media: MediaDescription) -> pb.RtpCapabilities:
    """What an offered m-section can receive."""
    return pb.RtpCapabilities(
        codecs=[
            pb.RtpCodecCapability(
                kind=KINDS[media.kind],
                mime_type=codec.mimeType,
                preferred_payload_type=codec.payloadType,
                clock_rate=codec.clockRate,
                channels=codec.channels if media.kind == "audio" else None,
                parameters=parameters(codec.parameters),
                rtcp_feedback=[pb.RtcpFeedback(type=f.type, parameter=f.parameter or "") for f in codec.rtcpFeedback],
            )
            for codec in forwarded(media)
        ],
        header_extensions=[
            pb.RtpHeaderExtensionCapability(
                kind=KINDS[media.kind], uri=extension.uri, preferred_id=extension.id, direction="sendrecv"
            )
            for extension in media.rtp.headerExtensions
        ],
    )


def forwarded(media: MediaDescription) -> list[Any]:
    """The codecs of this test: Opus, and VP8 with its retransmissions."""
    wanted = [codec for codec in media.rtp.codecs if codec.mimeType in ("audio/opus", "video/VP8")]
    types = {codec.payloadType for codec in wanted}
    return wanted + [codec for codec in media.rtp.codecs if codec.parameters.get("apt") in types]


def parameters(stated: dict[str, Any]) -> dict[str, pb.ParameterValue]:
    """fmtp to protobuf."""
    return {
        name: pb.ParameterValue(integer=value) if isinstance(value, int) else pb.ParameterValue(text=str(value))
        for name, value in stated.items()
        if value is not None
    }


def answer_to(offer: SessionDescription, info: pb.WebRtcTransportInfo, direction: str) -> SessionDescription:
    """The offer turned round, with the node's side of ICE and DTLS."""
    answer = copy.deepcopy(offer)
    for media in answer.media:
        media.direction = direction
        media.ssrc, media.ssrc_group, media.msid = [], [], None
        media.rtp.codecs = forwarded(media)
        media.fmt = [codec.payloadType for codec in media.rtp.codecs]
        media.ice = RTCIceParameters(
            usernameFragment=info.ice_parameters.username_fragment,
            password=info.ice_parameters.password,
            iceLite=True,
        )
        media.ice_candidates = [
            RTCIceCandidate(
                component=1,
                foundation=candidate.foundation,
                ip=candidate.address,
                port=candidate.port,
                priority=candidate.priority,
                protocol=candidate.protocol,
                type=candidate.type,
                tcpType=candidate.tcp_type or None,
            )
            for candidate in info.ice_candidates
        ]
        media.ice_candidates_complete = True
        media.dtls = RTCDtlsParameters(
            role="server",
            fingerprints=[
                RTCDtlsFingerprint(algorithm=f.algorithm, value=f.value) for f in info.dtls_parameters.fingerprints
            ],
        )
    return answer


def describe_consumer(media: MediaDescription, rtp: pb.RtpParameters) -> None:
    """Put the SSRCs of a consumer into the answer."""
    (encoding,) = rtp.encodings
    media.ssrc = [SsrcDescription(ssrc=encoding.ssrc, cname=rtp.rtcp.cname)]
    if encoding.HasField("rtx_ssrc"):
        media.ssrc.append(SsrcDescription(ssrc=encoding.rtx_ssrc, cname=rtp.rtcp.cname))
        media.ssrc_group = [GroupDescription(semantic="FID", items=[encoding.ssrc, encoding.rtx_ssrc])]
