"""MediaNode as its callers see it, over every carrier: replies, refusals with their codes, events."""

from __future__ import annotations

import ipaddress
import json

import pytest
import trio

from protos import media_pb2 as pb
from protos.control import ErrorCode, MediaNode, NodeError
from tests.control.carriers import CARRIERS
from tests.patience import patience

FINGERPRINT = pb.DtlsFingerprint(algorithm="sha-256", value=":".join(["AB"] * 32))
DTLS = pb.DtlsParameters(role="client", fingerprints=[FINGERPRINT])
MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
CAMERA = pb.RtpParameters(
    mid="0",
    codecs=[
        pb.RtpCodecParameters(
            mime_type="video/VP8",
            payload_type=120,
            clock_rate=90000,
            rtcp_feedback=[pb.RtcpFeedback(type="nack"), pb.RtcpFeedback(type="nack", parameter="pli")],
        ),
        pb.RtpCodecParameters(
            mime_type="video/rtx",
            payload_type=124,
            clock_rate=90000,
            parameters={"apt": pb.ParameterValue(integer=120)},
        ),
    ],
    header_extensions=[pb.RtpHeaderExtensionParameters(uri=MID, id=4)],
    encodings=[pb.RtpEncodingParameters(ssrc=2222, rtx_ssrc=2223)],
    rtcp=pb.RtcpParameters(cname="anna"),
)


@pytest.fixture(params=list(CARRIERS))
async def node(request):
    with trio.fail_after(patience(20)):
        async with CARRIERS[request.param]() as media_node:
            yield media_node


async def send_transport(node: MediaNode, transport_id: str = "anna") -> None:
    """A connected transport on the router "room"."""
    await node.create_web_rtc_transport(pb.CreateWebRtcTransportRequest(router_id="room", id=transport_id))
    await node.connect_web_rtc_transport(
        pb.ConnectWebRtcTransportRequest(transport_id=transport_id, dtls_parameters=DTLS)
    )


async def call(node: MediaNode) -> pb.RouterInfo:
    """Router "room", transports "anna" and "bert", producer "camera"."""
    room = await node.create_router(pb.CreateRouterRequest(id="room"))
    await send_transport(node, "anna")
    await send_transport(node, "bert")
    await node.produce(pb.ProduceRequest(transport_id="anna", id="camera", kind=pb.VIDEO, rtp_parameters=CAMERA))
    return room


def watch_camera(room: pb.RouterInfo, **options) -> pb.ConsumeRequest:
    return pb.ConsumeRequest(
        transport_id="bert", producer_id="camera", rtp_capabilities=room.rtp_capabilities, **options
    )


async def test_a_node_tells_about_itself(node):
    await call(node)
    info = await node.get_node_info(pb.GetNodeInfoRequest())
    assert (info.node_id, info.lanes, info.routers, info.transports, info.producers, info.consumers) == (
        "under-test",
        1,
        1,
        2,
        1,
        0,
    )
    assert info.version
    assert not info.draining


async def test_a_router_has_the_codecs_it_was_asked_for(node):
    codec = pb.RtpCodecCapability(kind=pb.VIDEO, mime_type="video/VP8", clock_rate=90000)
    info = await node.create_router(pb.CreateRouterRequest(codecs=[codec]))
    assert [c.mime_type for c in info.rtp_capabilities.codecs] == ["video/VP8", "video/rtx"]
    again = await node.get_router_capabilities(pb.GetRouterCapabilitiesRequest(router_id=info.id))
    assert again == info.rtp_capabilities


async def test_a_webrtc_transport_names_where_and_who_it_is(node):
    await node.create_router(pb.CreateRouterRequest(id="room"))
    info = await node.create_web_rtc_transport(pb.CreateWebRtcTransportRequest(router_id="room"))
    assert info.id
    assert info.ice_parameters.ice_lite
    assert len(info.ice_parameters.password) >= 22
    assert info.dtls_parameters.role == "auto"
    assert [f.algorithm for f in info.dtls_parameters.fingerprints] == ["sha-256"]
    assert [(c.protocol, c.tcp_type, c.address) for c in info.ice_candidates] == [
        ("udp", "", "127.0.0.1"),
        ("tcp", "passive", "127.0.0.1"),
    ]
    assert len({c.port for c in info.ice_candidates}) == 1


@pytest.mark.parametrize(("theirs", "ours"), [("client", "server"), ("auto", "server"), ("server", "client")])
async def test_dtls_roles(node, theirs, ours):
    await node.create_router(pb.CreateRouterRequest(id="room"))
    await node.create_web_rtc_transport(pb.CreateWebRtcTransportRequest(router_id="room", id="t"))
    reply = await node.connect_web_rtc_transport(
        pb.ConnectWebRtcTransportRequest(
            transport_id="t", dtls_parameters=pb.DtlsParameters(role=theirs, fingerprints=[FINGERPRINT])
        )
    )
    assert reply.dtls_local_role == ours


async def test_restarting_ice_gives_new_credentials(node):
    await node.create_router(pb.CreateRouterRequest(id="room"))
    info = await node.create_web_rtc_transport(pb.CreateWebRtcTransportRequest(router_id="room", id="t"))
    ice = await node.restart_ice(pb.RestartIceRequest(transport_id="t"))
    assert ice.ice_lite
    assert ice.username_fragment != info.ice_parameters.username_fragment
    assert ice.password != info.ice_parameters.password


async def test_a_consumer_is_told_what_it_will_receive(node):
    room = await call(node)
    info = await node.consume(watch_camera(room, id="view", paused=True))
    assert (info.id, info.producer_id, info.kind, info.type) == ("view", "camera", pb.VIDEO, "simple")
    assert (info.paused, info.producer_paused) == (True, False)
    assert info.rtp_parameters.mid == "0"
    assert info.rtp_parameters.rtcp.cname == "anna"
    (encoding,) = info.rtp_parameters.encodings
    assert encoding.ssrc not in (0, 2222)
    assert encoding.rtx_ssrc == encoding.ssrc + 1
    assert [c.mime_type for c in info.rtp_parameters.codecs] == ["video/VP8", "video/rtx"]


async def test_every_command_on_a_consumer(node):
    room = await call(node)
    await node.consume(watch_camera(room, id="view", paused=True))
    await node.resume(pb.ResumeRequest(kind=pb.CONSUMER, id="view"))
    await node.request_key_frame(pb.RequestKeyFrameRequest(consumer_id="view"))
    await node.set_preferred_layers(pb.SetPreferredLayersRequest(consumer_id="view", spatial=1, temporal=2))
    await node.set_priority(pb.SetPriorityRequest(consumer_id="view", priority=255))
    await node.pause(pb.PauseRequest(kind=pb.CONSUMER, id="view"))
    state = json.loads((await node.dump(pb.DumpRequest(kind=pb.CONSUMER, id="view"))).json)
    assert (state["paused"], state["priority"], state["producerId"]) == (True, 255, "camera")
    await node.close(pb.CloseRequest(kind=pb.CONSUMER, id="view"))
    with pytest.raises(NodeError) as gone:
        await node.dump(pb.DumpRequest(kind=pb.CONSUMER, id="view"))
    assert gone.value.code is ErrorCode.NOT_FOUND


def produce(**changes) -> pb.ProduceRequest:
    request = pb.ProduceRequest(transport_id="anna", kind=pb.VIDEO, rtp_parameters=CAMERA)
    request.rtp_parameters.encodings[0].ssrc = 9
    request.rtp_parameters.encodings[0].rtx_ssrc = 10
    request.rtp_parameters.mid = "9"
    request.MergeFrom(pb.ProduceRequest(**changes))
    return request


def exotic() -> pb.RtpParameters:
    codec = pb.RtpCodecParameters(mime_type="video/theora", payload_type=99, clock_rate=90000)
    return pb.RtpParameters(mid="5", codecs=[codec], encodings=[pb.RtpEncodingParameters(ssrc=5)])


REFUSALS = [
    ("create_router", pb.CreateRouterRequest(id="room"), ErrorCode.ALREADY_EXISTS, "room"),
    (
        "create_router",
        pb.CreateRouterRequest(
            codecs=[pb.RtpCodecCapability(kind=pb.VIDEO, mime_type="video/theora", clock_rate=90000)]
        ),
        ErrorCode.UNIMPLEMENTED,
        "theora",
    ),
    ("get_router_capabilities", pb.GetRouterCapabilitiesRequest(router_id="x"), ErrorCode.NOT_FOUND, "'x'"),
    ("create_web_rtc_transport", pb.CreateWebRtcTransportRequest(router_id="x"), ErrorCode.NOT_FOUND, "router"),
    (
        "create_web_rtc_transport",
        pb.CreateWebRtcTransportRequest(router_id="room", id="anna"),
        ErrorCode.ALREADY_EXISTS,
        "anna",
    ),
    (
        "connect_web_rtc_transport",
        pb.ConnectWebRtcTransportRequest(transport_id="anna", dtls_parameters=DTLS),
        ErrorCode.FAILED_PRECONDITION,
        "already",
    ),
    (
        "connect_web_rtc_transport",
        pb.ConnectWebRtcTransportRequest(transport_id="bert", dtls_parameters=pb.DtlsParameters(role="client")),
        ErrorCode.INVALID_ARGUMENT,
        "fingerprints",
    ),
    ("restart_ice", pb.RestartIceRequest(transport_id="x"), ErrorCode.NOT_FOUND, "transport"),
    ("produce", produce(transport_id="x"), ErrorCode.NOT_FOUND, "transport"),
    ("produce", produce(transport_id="carol"), ErrorCode.FAILED_PRECONDITION, "not connected"),
    ("produce", produce(id="camera"), ErrorCode.ALREADY_EXISTS, "camera"),
    (
        "produce",
        pb.ProduceRequest(transport_id="anna", kind=pb.VIDEO, rtp_parameters=exotic()),
        ErrorCode.UNIMPLEMENTED,
        "theora",
    ),
    ("produce", pb.ProduceRequest(transport_id="anna", kind=pb.VIDEO), ErrorCode.INVALID_ARGUMENT, "codecs"),
    ("produce", pb.ProduceRequest(transport_id="anna"), ErrorCode.INVALID_ARGUMENT, "kind"),
    ("consume", pb.ConsumeRequest(transport_id="bert", producer_id="x"), ErrorCode.NOT_FOUND, "producer"),
    ("consume", pb.ConsumeRequest(transport_id="bert", producer_id="camera"), ErrorCode.UNIMPLEMENTED, "VP8"),
    ("pause", pb.PauseRequest(kind=pb.ROUTER, id="room"), ErrorCode.INVALID_ARGUMENT, "kind"),
    ("pause", pb.PauseRequest(id="room"), ErrorCode.INVALID_ARGUMENT, "kind"),
    ("resume", pb.ResumeRequest(kind=pb.PRODUCER, id="x"), ErrorCode.NOT_FOUND, "producer"),
    ("set_preferred_layers", pb.SetPreferredLayersRequest(consumer_id="x"), ErrorCode.NOT_FOUND, "consumer"),
    ("set_priority", pb.SetPriorityRequest(consumer_id="x", priority=1), ErrorCode.NOT_FOUND, "consumer"),
    ("request_key_frame", pb.RequestKeyFrameRequest(consumer_id="x"), ErrorCode.NOT_FOUND, "consumer"),
    ("set_view", pb.SetViewRequest(consumer_id="x"), ErrorCode.NOT_FOUND, "consumer"),
    (
        "set_policy",
        pb.SetPolicyRequest(kind=pb.ROUTER, id="room", role=pb.LAYER_ALLOCATOR, name="fairest"),
        ErrorCode.NOT_FOUND,
        "speaker_first",
    ),
    (
        "set_policy",
        pb.SetPolicyRequest(kind=pb.TRANSPORT, id="anna", role=pb.SPEAKER_DETECTOR, name="loudest"),
        ErrorCode.INVALID_ARGUMENT,
        "router",
    ),
    (
        "set_policy",
        pb.SetPolicyRequest(kind=pb.TRANSPORT, id="anna", role=pb.LAYER_ALLOCATOR, shadow="fair"),
        ErrorCode.INVALID_ARGUMENT,
        "name",
    ),
    (
        "set_policy",
        pb.SetPolicyRequest(kind=pb.TRANSPORT, id="anna", role=pb.CONGESTION_CONTROLLER, name="nada", shadow="gcc"),
        ErrorCode.INVALID_ARGUMENT,
        "shadow",
    ),
    ("set_policy", pb.SetPolicyRequest(kind=pb.ROUTER, id="room"), ErrorCode.INVALID_ARGUMENT, "role"),
    (
        "set_policy",
        pb.SetPolicyRequest(kind=pb.ROUTER, id="x", role=pb.LAYER_ALLOCATOR),
        ErrorCode.NOT_FOUND,
        "router",
    ),
    ("get_decisions", pb.GetDecisionsRequest(transport_id="x"), ErrorCode.NOT_FOUND, "transport"),
    ("close", pb.CloseRequest(kind=pb.TRANSPORT, id="x"), ErrorCode.NOT_FOUND, "transport"),
    ("get_stats", pb.GetStatsRequest(kind=pb.ROUTER, id="x"), ErrorCode.NOT_FOUND, "router"),
    ("dump", pb.DumpRequest(kind=pb.PRODUCER, id="x"), ErrorCode.NOT_FOUND, "producer"),
    (
        "create_plain_transport",
        pb.CreatePlainTransportRequest(router_id="room", srtp_crypto_suite="ROT13"),
        ErrorCode.UNIMPLEMENTED,
        "ROT13",
    ),
    ("create_plain_transport", pb.CreatePlainTransportRequest(router_id="x"), ErrorCode.NOT_FOUND, "router"),
    (
        "connect_plain_transport",
        pb.ConnectPlainTransportRequest(transport_id="anna", address="127.0.0.1", port=9),
        ErrorCode.FAILED_PRECONDITION,
        "ConnectWebRtcTransport",
    ),
]


@pytest.mark.parametrize(
    ("method", "request_", "code", "text"),
    [pytest.param(*case, id=f"{case[0]} {case[2].value} {case[3]}") for case in REFUSALS],
)
async def test_refusals(node, method, request_, code, text):
    await call(node)
    await node.create_web_rtc_transport(pb.CreateWebRtcTransportRequest(router_id="room", id="carol"))
    with pytest.raises(NodeError) as refused:
        await getattr(node, method)(request_)
    assert refused.value.code is code
    assert text in refused.value.message
    info = await node.get_node_info(pb.GetNodeInfoRequest())
    assert (info.routers, info.transports, info.producers, info.consumers) == (1, 3, 1, 0)


async def test_how_a_viewer_shows_a_picture_is_remembered(node):
    room = await call(node)
    await node.consume(watch_camera(room, id="view"))
    await node.set_view(pb.SetViewRequest(consumer_id="view", width=320, height=180, hidden=True))
    shown = json.loads((await node.dump(pb.DumpRequest(kind=pb.CONSUMER, id="view"))).json)
    assert (shown["tile"], shown["hidden"]) == ([320, 180], True)
    with pytest.raises(NodeError, match="width") as refused:
        await node.set_view(pb.SetViewRequest(consumer_id="view", width=1 << 20))
    assert refused.value.code is ErrorCode.INVALID_ARGUMENT


async def test_policies_are_swapped_and_asked_for(node):
    room = await call(node)
    await node.consume(watch_camera(room, id="view"))
    ask = pb.SetPolicyRequest(kind=pb.TRANSPORT, id="bert", role=pb.LAYER_ALLOCATOR)
    before = await node.set_policy(ask)
    assert (before.name, before.shadow) == ("speaker_first", "")
    assert {"fair", "priority", "marginal"} <= set(before.available)
    of_room = pb.SetPolicyRequest(kind=pb.ROUTER, id="room", role=pb.LAYER_ALLOCATOR, name="fair", shadow="marginal")
    assert await node.set_policy(of_room) == pb.PolicyInfo(name="fair", shadow="marginal", available=before.available)
    assert (await node.set_policy(ask)).name == "fair"
    # One that comes later has what its room has.
    await send_transport(node, "carol")
    later = pb.SetPolicyRequest(kind=pb.TRANSPORT, id="carol", role=pb.LAYER_ALLOCATOR)
    assert (await node.set_policy(later)).name == "fair"
    speakers = pb.SetPolicyRequest(kind=pb.ROUTER, id="room", role=pb.SPEAKER_DETECTOR, name="loudest")
    assert (await node.set_policy(speakers)).name == "loudest"


async def test_decisions_say_when_what_and_why(node):
    room = await call(node)
    await node.consume(watch_camera(room, id="view"))
    await node.set_policy(pb.SetPolicyRequest(kind=pb.TRANSPORT, id="bert", role=pb.LAYER_ALLOCATOR, name="fair"))
    await node.request_key_frame(pb.RequestKeyFrameRequest(consumer_id="view"))
    reply = await node.get_decisions(pb.GetDecisionsRequest(transport_id="bert"))
    told = {(d.what, d.subject, getattr(d, "from"), d.to) for d in reply.decisions}
    assert ("policy", "bert", "speaker_first", "fair") in told
    assert ("keyframe", "view", "", "") in told
    stats = await node.get_stats(pb.GetStatsRequest(kind=pb.TRANSPORT, id="bert"))
    assert all(abs(stats.taken_unix_ms - d.at_unix_ms) < 10_000 for d in reply.decisions)
    # A decision keeps its time: asked for over some milliseconds, it is the same.
    for _ in range(50):
        (newest,) = (await node.get_decisions(pb.GetDecisionsRequest(transport_id="bert", most=1))).decisions
        assert newest == reply.decisions[-1]
    future = pb.GetDecisionsRequest(transport_id="bert", since_unix_ms=stats.taken_unix_ms + 60_000)
    assert not (await node.get_decisions(future)).decisions


async def test_events_tell_of_every_close_and_pause(node):
    room = await call(node)
    await node.consume(watch_camera(room, id="view"))
    async with node.watch(pb.WatchRequest()) as events:
        await node.pause(pb.PauseRequest(kind=pb.PRODUCER, id="camera"))
        await node.close(pb.CloseRequest(kind=pb.ROUTER, id="room"))
        seen = []
        async for event in events:
            seen.append(event)
            if event.WhichOneof("event") == "closed" and event.closed.kind == pb.ROUTER:
                break
    assert seen[0].producer_pause == pb.ProducerPauseChanged(producer_id="camera", paused=True, consumer_ids=["view"])
    closed = [(e.closed.kind, e.closed.id, e.closed.reason) for e in seen[1:]]
    assert closed == [
        (pb.CONSUMER, "view", "producer-closed"),
        (pb.PRODUCER, "camera", "parent-closed"),
        (pb.TRANSPORT, "anna", "parent-closed"),
        (pb.TRANSPORT, "bert", "parent-closed"),
        (pb.ROUTER, "room", "requested"),
    ]


async def test_every_watcher_sees_every_event(node):
    await node.create_router(pb.CreateRouterRequest(id="room"))
    async with node.watch(pb.WatchRequest()) as first, node.watch(pb.WatchRequest()) as second:
        await node.close(pb.CloseRequest(kind=pb.ROUTER, id="room"))
        for events in (first, second):
            assert (await anext(events)).closed.id == "room"


async def test_stats_have_a_row_for_everything_on_a_transport(node):
    room = await call(node)
    await node.consume(watch_camera(room, id="view"))
    sender = await node.get_stats(pb.GetStatsRequest(kind=pb.TRANSPORT, id="anna"))
    assert [(row.type, row.id) for row in sender.rows] == [
        ("transport", "anna"),
        ("producer", "camera"),
        ("inbound-rtp", "camera"),
    ]
    assert sender.rows[0].labels["ice_state"] == "new"
    assert sender.rows[1].figures["consumers"] == 1
    viewer = await node.get_stats(pb.GetStatsRequest(kind=pb.TRANSPORT, id="bert"))
    assert [row.type for row in viewer.rows] == ["transport", "consumer", "outbound-rtp"]
    assert viewer.rows[1].labels["producer_id"] == "camera"
    assert sender.taken_unix_ms > 1_600_000_000_000
    whole = await node.get_stats(pb.GetStatsRequest(kind=pb.ROUTER, id="room"))
    assert sorted(row.id for row in whole.rows) == ["anna", "bert"]


async def test_a_plain_transport_has_a_port_of_its_own(node):
    await node.create_router(pb.CreateRouterRequest(id="room"))
    first = await node.create_plain_transport(pb.CreatePlainTransportRequest(router_id="room", id="a"))
    second = await node.create_plain_transport(
        pb.CreatePlainTransportRequest(router_id="room", id="b", srtp_crypto_suite="AEAD_AES_128_GCM")
    )
    assert first.local_port != second.local_port
    assert ipaddress.ip_address(first.local_address).is_loopback
    assert not first.HasField("srtp_parameters")
    assert len(second.srtp_parameters.key) == 28
    connected = await node.connect_plain_transport(
        pb.ConnectPlainTransportRequest(transport_id="a", address="127.0.0.1", port=5004)
    )
    assert (connected.remote_address, connected.remote_port) == ("127.0.0.1", 5004)
    await node.close(pb.CloseRequest(kind=pb.TRANSPORT, id="a"))
    info = await node.get_node_info(pb.GetNodeInfoRequest())
    assert info.transports == 1
