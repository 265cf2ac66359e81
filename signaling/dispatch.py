"""One client's requests, whichever carrier brings them: a table from method to message and handler.

A carrier makes one `Client`, hands it the callbacks, and calls `perform`. Replies are plain JSON objects; refusals are
CallError. `lane_of` says which requests must run in order of arrival: those of one transport.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from signaling import messages as m
from signaling import rtp_json
from signaling.auth import Authoriser
from signaling.calls import Calls
from signaling.errors import CallError, CallErrorCode
from signaling.rooms import Closed, Notify, Peer

Reply = dict[str, Any]


class Client:
    """What one carrier's client is: nobody yet, or a peer."""

    def __init__(self, calls: Calls, authoriser: Authoriser, *, notify: Notify, closed: Closed) -> None:
        self.calls = calls
        self.authoriser = authoriser
        self.notify = notify
        self.closed = closed
        self.peer: Peer | None = None
        self.joining = False

    def joined(self) -> Peer:
        """The peer, or `not_joined`."""
        if self.peer is None or self.peer.left:
            raise CallError(CallErrorCode.NOT_JOINED, "Join a room first.")
        return self.peer

    async def perform(self, method: str, data: msgspec.Raw) -> Reply:
        """Run one request. Raises CallError."""
        entry = METHODS.get(method)
        if entry is None:
            raise CallError(CallErrorCode.UNKNOWN_METHOD, f"method: there is none called {method!r}.")
        return await entry.handler(self, m.decode_untrusted(data, entry.shape))

    def lane_of(self, method: str, data: msgspec.Raw) -> str:
        """The name of the queue this request waits in: its transport's id where it touches one."""
        entry = METHODS.get(method)
        if entry is None or self.peer is None:
            return ""
        try:
            ids = msgspec.json.decode(data, type=_Ids)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return ""
        if ids.transport_id in self.peer.transports:
            return str(ids.transport_id)
        producer = self.peer.producers.get(ids.producer_id or "")
        if producer is not None:
            return producer.transport.id
        if ids.consumer_id in self.peer.consumers or method == "consume":
            recv = self.peer.transport_to("recv")
            return "" if recv is None else recv.id
        return ""


class _Ids(rtp_json.Wire):
    """Only what `lane_of` looks at."""

    transport_id: m.Id | None = None
    producer_id: m.Id | None = None
    consumer_id: m.Id | None = None


async def _get_router_rtp_capabilities(client: Client, data: m.GetRouterRtpCapabilities) -> Reply:
    capabilities = await client.calls.router_capabilities(data.room)
    return {"routerRtpCapabilities": rtp_json.rtp_capabilities_to_json(capabilities)}


async def _join(client: Client, data: m.Join) -> Reply:
    if client.joining or (client.peer is not None and not client.peer.left):
        raise CallError(CallErrorCode.ALREADY_JOINED, "This socket is in a room already; leave it first.")
    grant = client.authoriser.check_join(data.token, data.room)
    capabilities = None
    if data.rtp_capabilities is not None:
        capabilities = rtp_json.rtp_capabilities_to_pb(data.rtp_capabilities)
    client.joining = True
    try:
        peer = await client.calls.join(
            data.room,
            grant.name or m.trimmed_name(data.display_name),
            notify=client.notify,
            closed=client.closed,
            role=grant.role,
            device=data.device,
            rtp_capabilities=capabilities,
            resume=data.resume or "",
            auto_consume=data.auto_consume,
        )
    finally:
        client.joining = False
    client.peer = peer
    return {
        "peerId": peer.id,
        "resume": peer.resume,
        "room": peer.room.name,
        "iceServers": [_ice_server(server) for server in client.calls.ice_servers],
        "routerRtpCapabilities": rtp_json.rtp_capabilities_to_json(peer.room.rtp_capabilities),
        "peers": [other.view() for other in peer.room.visible_to(peer)],
        "chat": [message.view() for message in peer.room.chat],
    }


def _ice_server(server: Any) -> dict[str, Any]:
    shown: dict[str, Any] = {"urls": list(server.urls)}
    if server.username:
        shown |= {"username": server.username, "credential": server.credential}
    return shown


async def _set_rtp_capabilities(client: Client, data: m.SetRtpCapabilities) -> Reply:
    client.calls.set_rtp_capabilities(client.joined(), rtp_json.rtp_capabilities_to_pb(data.rtp_capabilities))
    return {}


async def _leave(client: Client, _data: m.Nothing) -> Reply:
    client.calls.leave(client.joined())
    client.peer = None
    return {}


async def _create_web_rtc_transport(client: Client, data: m.CreateWebRtcTransport) -> Reply:
    peer = client.joined()
    if data.sctp:
        raise CallError(CallErrorCode.UNSUPPORTED, "sctp: there are no data channels; leave it out.")
    return rtp_json.transport_to_json(await client.calls.create_transport(peer, data.direction))


async def _connect_web_rtc_transport(client: Client, data: m.ConnectWebRtcTransport) -> Reply:
    dtls = rtp_json.dtls_parameters_to_pb(data.dtls_parameters)
    await client.calls.connect_transport(client.joined(), data.transport_id, dtls)
    return {}


async def _restart_ice(client: Client, data: m.OneTransport) -> Reply:
    parameters = await client.calls.restart_ice(client.joined(), data.transport_id)
    return {"iceParameters": rtp_json.ice_parameters_to_json(parameters)}


async def _close_transport(client: Client, data: m.OneTransport) -> Reply:
    await client.calls.close_transport(client.joined(), data.transport_id)
    return {}


async def _produce(client: Client, data: m.Produce) -> Reply:
    producer = await client.calls.produce(
        client.joined(),
        data.transport_id,
        data.kind,
        rtp_json.rtp_parameters_to_pb(data.rtp_parameters),
        paused=data.paused,
        app_data=data.app_data,
    )
    return {"id": producer.id}


async def _close_producer(client: Client, data: m.OneProducer) -> Reply:
    await client.calls.close_producer(client.joined(), data.producer_id)
    return {}


async def _pause_producer(client: Client, data: m.OneProducer) -> Reply:
    await client.calls.pause_producer(client.joined(), data.producer_id)
    return {}


async def _resume_producer(client: Client, data: m.OneProducer) -> Reply:
    await client.calls.resume_producer(client.joined(), data.producer_id)
    return {}


async def _consume(client: Client, data: m.Consume) -> Reply:
    consumer, info = await client.calls.consume(client.joined(), data.producer_id, paused=data.paused)
    return client.calls.describe_consumer(consumer, info)


async def _pause_consumer(client: Client, data: m.OneConsumer) -> Reply:
    await client.calls.pause_consumer(client.joined(), data.consumer_id)
    return {}


async def _resume_consumer(client: Client, data: m.OneConsumer) -> Reply:
    await client.calls.resume_consumer(client.joined(), data.consumer_id)
    return {}


async def _close_consumer(client: Client, data: m.OneConsumer) -> Reply:
    await client.calls.close_consumer(client.joined(), data.consumer_id)
    return {}


async def _request_consumer_key_frame(client: Client, data: m.OneConsumer) -> Reply:
    await client.calls.request_key_frame(client.joined(), data.consumer_id)
    return {}


async def _set_consumer_preferred_layers(client: Client, data: m.SetConsumerPreferredLayers) -> Reply:
    peer = client.joined()
    await client.calls.set_preferred_layers(peer, data.consumer_id, data.spatial_layer, data.temporal_layer)
    return {}


async def _set_consumer_priority(client: Client, data: m.SetConsumerPriority) -> Reply:
    await client.calls.set_priority(client.joined(), data.consumer_id, data.priority)
    return {}


async def _set_consumer_view(client: Client, data: m.SetConsumerView) -> Reply:
    await client.calls.set_view(client.joined(), data.consumer_id, data.width, data.height, hidden=data.hidden)
    return {}


async def _get_stats(client: Client, data: m.GetStats) -> Reply:
    stats = await client.calls.stats(
        client.joined(),
        transport_id=data.transport_id or "",
        producer_id=data.producer_id or "",
        consumer_id=data.consumer_id or "",
    )
    return rtp_json.stats_to_json(stats)


async def _chat(client: Client, data: m.Chat) -> Reply:
    message = client.calls.chat(client.joined(), data.text)
    return {"id": message.id, "at": message.at}


async def _raise_hand(client: Client, data: m.RaiseHand) -> Reply:
    client.calls.raise_hand(client.joined(), data.raised)
    return {}


async def _change_display_name(client: Client, data: m.ChangeDisplayName) -> Reply:
    client.calls.change_display_name(client.joined(), m.trimmed_name(data.display_name))
    return {}


@dataclass(frozen=True, slots=True)
class Method:
    """One row of the protocol."""

    shape: type[rtp_json.Wire]
    handler: Callable[[Client, Any], Awaitable[Reply]]


METHODS: dict[str, Method] = {
    "getRouterRtpCapabilities": Method(m.GetRouterRtpCapabilities, _get_router_rtp_capabilities),
    "join": Method(m.Join, _join),
    "setRtpCapabilities": Method(m.SetRtpCapabilities, _set_rtp_capabilities),
    "leave": Method(m.Nothing, _leave),
    "createWebRtcTransport": Method(m.CreateWebRtcTransport, _create_web_rtc_transport),
    "connectWebRtcTransport": Method(m.ConnectWebRtcTransport, _connect_web_rtc_transport),
    "restartIce": Method(m.OneTransport, _restart_ice),
    "closeTransport": Method(m.OneTransport, _close_transport),
    "produce": Method(m.Produce, _produce),
    "closeProducer": Method(m.OneProducer, _close_producer),
    "pauseProducer": Method(m.OneProducer, _pause_producer),
    "resumeProducer": Method(m.OneProducer, _resume_producer),
    "consume": Method(m.Consume, _consume),
    "pauseConsumer": Method(m.OneConsumer, _pause_consumer),
    "resumeConsumer": Method(m.OneConsumer, _resume_consumer),
    "closeConsumer": Method(m.OneConsumer, _close_consumer),
    "requestConsumerKeyFrame": Method(m.OneConsumer, _request_consumer_key_frame),
    "setConsumerPreferredLayers": Method(m.SetConsumerPreferredLayers, _set_consumer_preferred_layers),
    "setConsumerPriority": Method(m.SetConsumerPriority, _set_consumer_priority),
    "setConsumerView": Method(m.SetConsumerView, _set_consumer_view),
    "getStats": Method(m.GetStats, _get_stats),
    "chat": Method(m.Chat, _chat),
    "raiseHand": Method(m.RaiseHand, _raise_hand),
    "changeDisplayName": Method(m.ChangeDisplayName, _change_display_name),
}
