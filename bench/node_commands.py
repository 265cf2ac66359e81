"""What a bench asks of a media node beside its contract: the time of each call without the pipe, and its memory.

bench/node.py runs these inside the node's own trio loop.
"""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any, Final, TypeVar

import trio
import trio.lowlevel
from google.protobuf.message import Message

from protos import media_pb2 as pb
from protos.control import MediaNode
from rtpfwd.memory import memory_report
from server.control import convert
from server.node import NodeHandle
from server.rtc import uris
from server.rtc.parameters import rtp_parameters

M = TypeVar("M", bound=Message)
FINGERPRINT: Final = pb.DtlsFingerprint(algorithm="sha-256", value=":".join(["AB"] * 32))
REQUESTS: Final = ("time_calls", "populate", "memory")


async def run_command(node: NodeHandle, asked: dict[str, Any]) -> dict[str, Any]:
    """One of REQUESTS."""
    match asked["method"]:
        case "time_calls":
            return await time_calls(node.media_node, asked["rounds"], asked["seed"])
        case "populate":
            return await populate(node.media_node, asked["consumers"], asked["transports"], asked["seed"])
        case "memory":
            return memory(node)
        case other:
            raise ValueError(f"no command is called {other}")


def camera(ssrc: int) -> pb.RtpParameters:
    """A browser's VP8 camera with retransmissions."""
    feedback = [{"type": "nack"}, {"type": "nack", "parameter": "pli"}, {"type": "transport-cc"}]
    return convert.rtp_parameters_to_pb(
        rtp_parameters(
            {
                "mid": "0",
                "codecs": [
                    {"mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000, "rtcpFeedback": feedback},
                    {"mimeType": "video/rtx", "payloadType": 97, "clockRate": 90000, "parameters": {"apt": 96}},
                ],
                "headerExtensions": [{"uri": uris.MID, "id": 4}, {"uri": uris.TRANSPORT_CC, "id": 3}],
                "encodings": [{"ssrc": ssrc, "rtx": {"ssrc": ssrc + 1}}],
                "rtcp": {"cname": "bench"},
            }
        )
    )


class CallTimes:
    """Calls a node and keeps how long each took."""

    def __init__(self) -> None:
        self.taken: dict[str, list[int]] = {}

    async def __call__(self, name: str, method: Callable[[Any], Awaitable[M]], request: Message) -> M:
        begun = perf_counter_ns()
        answered = await method(request)
        self.taken.setdefault(name, []).append(perf_counter_ns() - begun)
        return answered


async def time_calls(node: MediaNode, rounds: int, seed: int) -> dict[str, list[int]]:
    """Every call as a session makes them, `rounds` times over. Answers ns by name; leaves the node as it was."""
    call = CallTimes()
    router = await call("CreateRouter", node.create_router, pb.CreateRouterRequest())
    for number in range(rounds):
        await _session(node, call, router, 1 + 4 * (seed * rounds + number) % (1 << 30))
        await trio.lowlevel.checkpoint()
    await call("CloseRouter", node.close, pb.CloseRequest(kind=pb.ROUTER, id=router.id))
    return call.taken


async def _session(node: MediaNode, call: CallTimes, router: pb.RouterInfo, ssrc: int) -> None:
    capabilities = await call(
        "GetRouterCapabilities", node.get_router_capabilities, pb.GetRouterCapabilitiesRequest(router_id=router.id)
    )
    ends = []
    for _ in range(2):
        made = await call(
            "CreateWebRtcTransport",
            node.create_web_rtc_transport,
            pb.CreateWebRtcTransportRequest(router_id=router.id),
        )
        dtls = pb.DtlsParameters(role="client", fingerprints=[FINGERPRINT])
        await call(
            "ConnectWebRtcTransport",
            node.connect_web_rtc_transport,
            pb.ConnectWebRtcTransportRequest(transport_id=made.id, dtls_parameters=dtls),
        )
        ends.append(made.id)
    produce = pb.ProduceRequest(transport_id=ends[0], kind=pb.VIDEO, rtp_parameters=camera(ssrc))
    producer = await call("Produce", node.produce, produce)
    consume = pb.ConsumeRequest(transport_id=ends[1], producer_id=producer.id, rtp_capabilities=capabilities)
    consumer = await call("Consume", node.consume, consume)
    await call("Pause", node.pause, pb.PauseRequest(kind=pb.CONSUMER, id=consumer.id))
    await call("Resume", node.resume, pb.ResumeRequest(kind=pb.CONSUMER, id=consumer.id))
    await call("GetStats", node.get_stats, pb.GetStatsRequest(kind=pb.CONSUMER, id=consumer.id))
    await call("CloseConsumer", node.close, pb.CloseRequest(kind=pb.CONSUMER, id=consumer.id))
    await call("CloseProducer", node.close, pb.CloseRequest(kind=pb.PRODUCER, id=producer.id))
    for end in ends:
        await call("CloseTransport", node.close, pb.CloseRequest(kind=pb.TRANSPORT, id=end))


async def populate(node: MediaNode, consumers: int, transports: int, seed: int) -> dict[str, int]:
    """A room with so many consumers over so many transports that nobody ever connects to; 0 for one each."""
    router = await node.create_router(pb.CreateRouterRequest())
    create = pb.CreateWebRtcTransportRequest(router_id=router.id)

    async def transport() -> str:
        made = await node.create_web_rtc_transport(create)
        dtls = pb.DtlsParameters(role="client", fingerprints=[FINGERPRINT])
        await node.connect_web_rtc_transport(
            pb.ConnectWebRtcTransportRequest(transport_id=made.id, dtls_parameters=dtls)
        )
        return made.id

    publisher = await transport()
    produce = pb.ProduceRequest(transport_id=publisher, kind=pb.VIDEO, rtp_parameters=camera(seed))
    producer = await node.produce(produce)
    viewers = [await transport() for _ in range(transports or consumers)]
    for number in range(consumers):
        await node.consume(
            pb.ConsumeRequest(
                transport_id=viewers[number % len(viewers)],
                producer_id=producer.id,
                rtp_capabilities=router.rtp_capabilities,
            )
        )
    return {"transports": len(viewers) + 1, "producers": 1, "consumers": consumers}


def memory(node: NodeHandle) -> dict[str, Any]:
    """The process's memory and the exact share of each plane, bytes. Garbage is collected first."""
    gc.collect()
    return {"process": process_memory("self"), "planes": [memory_report(plane) for plane in node.planes]}


def process_memory(pid: str) -> dict[str, int]:
    """RSS and PSS in bytes."""
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("Rss", "Pss", "Pss_Anon"):
            found[name.lower()] = int(rest.split()[0]) * 1024
    return found
