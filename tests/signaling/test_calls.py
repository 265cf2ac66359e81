"""Calls without any carrier: peers that have no socket, the node's events, races."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing
from prometheus_client import CollectorRegistry

from ops.metrics import SignalingMetrics
from protos import media_pb2 as pb
from protos.control import ErrorCode, NodeError
from signaling.calls import Calls
from signaling.config import Limits
from signaling.errors import HTTP_STATUS, CallError, CallErrorCode, call_error_of
from signaling.history import CallEnded, CallStarted, PeerJoined, PeerLeft
from signaling.reactions import serve_calls
from tests.signaling.fake_node import CAPABILITIES, FakeNode

DTLS = pb.DtlsParameters(role="client", fingerprints=[pb.DtlsFingerprint(algorithm="sha-256", value="AB")])
OPUS = pb.RtpParameters(codecs=[pb.RtpCodecParameters(mime_type="audio/opus", payload_type=111, clock_rate=48000)])


class World:
    def __init__(self, node: FakeNode, **limits: float) -> None:
        self.facts: list[object] = []
        self.node = node
        self.calls = Calls(
            node,
            limits=Limits(**limits),
            metrics=SignalingMetrics(CollectorRegistry()),
            record=self.facts.append,
            wall_clock=lambda: int(trio.current_time() * 1000),
        )
        self.notes: list[tuple[str, str, dict]] = []
        self.ended: list[tuple[str, str]] = []

    async def join(self, name: str, **options):
        return await self.calls.join(
            options.pop("room", "room"),
            name,
            notify=lambda method, data: self.notes.append((name, method, data)),
            closed=lambda reason: self.ended.append((name, reason)),
            **options,
        )

    async def send(self, peer) -> tuple[str, str]:
        transport = (await self.calls.create_transport(peer, "send")).id
        await self.calls.connect_transport(peer, transport, DTLS)
        return transport, (await self.calls.produce(peer, transport, "audio", OPUS)).id

    def heard(self, name: str) -> list[str]:
        return [method for who, method, _ in self.notes if who == name]


@pytest.fixture
async def world(node) -> AsyncIterator[World]:
    made = World(node)
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_calls, made.calls)
        yield made
        nursery.cancel_scope.cancel()


async def test_a_whip_peer_is_its_transport(world, autojump_clock):
    ada = await world.join("ada")
    whip = await world.join("whip", kind="whip", auto_consume=False)
    transport, _ = await world.send(whip)
    assert world.heard("ada") == ["newPeer", "newProducer"]
    world.node.die(transport, "ice-expired")
    await trio.testing.wait_all_tasks_blocked()
    assert world.heard("ada")[2:] == ["producerClosed", "peerLeft"]
    assert world.ended == [("whip", "transport-closed")]
    assert list(ada.room.peers.values()) == [ada]


async def test_a_whep_peer_is_not_shown_but_counts(world, autojump_clock):
    ada = await world.join("ada")
    _, mic = await world.send(ada)
    whep = await world.join("whep", kind="whep", auto_consume=False, rtp_capabilities=CAPABILITIES)
    await world.calls.create_transport(whep, "recv")
    consumer, info = await world.calls.consume(whep, mic, paused=False, adopt_viewer_numbers=True, mid="a")
    assert info.rtp_parameters.mid == "a"
    assert consumer.paused is False
    assert len(ada.room.peers) == 2
    assert ada.room.visible_to(ada) == []
    world.calls.leave(whep)
    assert world.heard("ada") == ["transportState"]


async def test_what_the_node_says_of_layers_and_speakers_reaches_whom_it_concerns(world, autojump_clock):
    ada, bob = await world.join("ada"), await world.join("bob", auto_consume=False, rtp_capabilities=CAPABILITIES)
    _, mic = await world.send(ada)
    await world.calls.create_transport(bob, "recv")
    consumer, _ = await world.calls.consume(bob, mic)
    world.notes.clear()
    for event in (
        pb.Event(consumer_layers=pb.ConsumerLayersChanged(consumer_id=consumer.id, spatial=0, temporal=2)),
        pb.Event(consumer_layers=pb.ConsumerLayersChanged(consumer_id=consumer.id)),
        pb.Event(consumer_held=pb.ConsumerHeld(consumer_id=consumer.id, held=True)),
        pb.Event(encodings_wanted=pb.ProducerEncodingsWanted(producer_id=mic, wanted=[True, False])),
        pb.Event(
            speakers=pb.ActiveSpeakersChanged(
                router_id=ada.room.router_id, dominant_producer_id=mic, producer_ids=[mic, "gone"]
            )
        ),
        pb.Event(speakers=pb.ActiveSpeakersChanged(router_id=ada.room.router_id)),
        pb.Event(encodings_wanted=pb.ProducerEncodingsWanted(producer_id="gone", wanted=[True])),
        pb.Event(consumer_held=pb.ConsumerHeld(consumer_id="gone", held=True)),
    ):
        world.node.emit(event)
    await trio.testing.wait_all_tasks_blocked()
    floor = [("activeSpeaker", {"peerId": ada.id, "speaking": [ada.id]})]
    floor.append(("activeSpeaker", {"peerId": None, "speaking": []}))
    layers = {"consumerId": consumer.id, "spatialLayer": 0, "temporalLayer": 2}
    assert [note[1:] for note in world.notes if note[0] == "bob"] == [
        ("consumerLayersChanged", layers),
        ("consumerLayersChanged", layers | {"spatialLayer": None, "temporalLayer": None}),
        ("consumerHeld", {"consumerId": consumer.id, "held": True}),
        *floor,
    ]
    wanted = ("producerEncodingsWanted", {"producerId": mic, "wanted": [True, False]})
    assert [note[1:] for note in world.notes if note[0] == "ada"] == [wanted, *floor]


async def test_after_lost_events_every_encoding_is_wanted_again(world, autojump_clock):
    _, mic = await world.send(await world.join("ada"))
    world.node.emit(pb.Event(lagged=pb.WatchLagged(dropped=1)))
    await trio.testing.wait_all_tasks_blocked()
    assert ("ada", "producerEncodingsWanted", {"producerId": mic, "wanted": []}) in world.notes


async def test_a_closed_room_ends_every_peer(world, autojump_clock):
    ada, bob = await world.join("ada"), await world.join("bob", kind="whip")
    world.calls.close_room(ada.room, "closed-by-admin")
    assert world.ended == [("ada", "room-closed"), ("bob", "room-closed")]
    assert world.heard("ada") == ["newPeer", "roomClosed"]
    assert ada.left
    assert bob.left
    world.calls.leave(ada)  # harmless
    await trio.testing.wait_all_tasks_blocked()
    assert world.node.entities == {}


async def test_history_of_a_call_with_a_reload(world, autojump_clock):
    ada = await world.join("ada")
    again = await world.join("ada", resume=ada.resume)
    world.calls.leave(again)
    kinds = [type(fact) for fact in world.facts]
    assert kinds == [CallStarted, PeerJoined, PeerLeft, PeerJoined, PeerLeft, CallEnded]
    assert world.facts[1].peer_id == world.facts[3].peer_id
    assert world.facts[2].reason == "replaced"


async def test_leaving_while_the_node_works_leaves_nothing_there(world, autojump_clock):
    ada = await world.join("ada")
    world.node.frozen = trio.Event()
    caught: list[CallErrorCode] = []

    async def create() -> None:
        try:
            await world.calls.create_transport(ada, "send")
        except CallError as error:
            caught.append(error.code)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(create)
        await trio.testing.wait_all_tasks_blocked()
        world.calls.leave(ada)
        world.node.frozen.set()
    assert caught == [CallErrorCode.BAD_STATE]
    await trio.testing.wait_all_tasks_blocked()
    assert world.node.of(pb.EntityKind.TRANSPORT) == []


async def test_a_cancelled_request_leaves_nothing_on_the_node(world, autojump_clock):
    ada = await world.join("ada")
    world.node.frozen = trio.Event()
    with trio.move_on_after(1):
        await world.calls.create_transport(ada, "send")
    world.node.frozen.set()
    await trio.sleep(0.1)
    assert world.node.of(pb.EntityKind.TRANSPORT) == []
    world.node.frozen = None
    assert await world.calls.create_transport(ada, "send")


async def test_two_first_joins_make_one_router(world, autojump_clock):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.join, "ada")
        nursery.start_soon(world.join, "bob")
    assert len(world.node.of(pb.EntityKind.ROUTER)) == 1


async def test_looking_at_a_room_does_not_keep_its_router(world, autojump_clock):
    await world.calls.open_room("room")
    await trio.sleep(world.calls.limits.room_grace_seconds + 1)
    assert world.calls.live_rooms() == []
    assert world.node.entities == {}


async def test_asking_for_capabilities_makes_no_rooms(world, autojump_clock):
    for index in range(100):
        assert await world.calls.router_capabilities(f"room-{index}") == CAPABILITIES
    assert len(world.calls.live_rooms()) == 1  # the first had to ask the node


async def test_a_producer_closed_while_a_viewer_is_being_given_it(world, autojump_clock):
    ada = await world.join("ada")
    _, mic = await world.send(ada)
    bob = await world.join("bob", rtp_capabilities=CAPABILITIES)
    await world.calls.create_transport(bob, "recv")  # starts consuming
    await world.calls.close_producer(ada, mic)
    await trio.sleep(1)
    assert "newConsumer" not in world.heard("bob")
    assert world.node.of(pb.EntityKind.CONSUMER) == []


async def test_a_broken_watch_is_opened_anew_and_made_up_for(node, autojump_clock):
    breaks = trio.Event()
    whole = node.watch

    class Once:
        async def __aenter__(self):
            return self

        async def __aexit__(self, *_args):
            return False

        def __aiter__(self):
            return self

        async def __anext__(self):
            await breaks.wait()
            node.watch = whole
            raise NodeError(ErrorCode.UNAVAILABLE, "the node is gone for a moment")

    node.watch = lambda _request: Once()
    world = World(node)
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_calls, world.calls)
        ada = await world.join("ada")
        transport, _ = await world.send(ada)
        world.node.die(transport, "dtls-failed")  # nobody hears it
        breaks.set()
        await trio.sleep(2)
        assert "transportClosed" in world.heard("ada")
        nursery.cancel_scope.cancel()


async def test_chat_is_bounded_and_forgotten_with_the_call(node, autojump_clock):
    world = World(node, chat_messages=3)
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_calls, world.calls)
        ada = await world.join("ada")
        for text in "abcde":
            world.calls.chat(ada, text)
        assert [message.text for message in ada.room.chat] == ["c", "d", "e"]
        world.calls.leave(ada)
        assert list((await world.join("bob")).room.chat) == []
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_refusal_of_the_node_has_a_code_and_a_status(code):
    error = call_error_of(NodeError(code, "the node's words"))
    assert error.code in HTTP_STATUS
    hidden = code in (ErrorCode.INTERNAL, ErrorCode.ALREADY_EXISTS)
    assert ("the node's words" not in error.message) is hidden


def test_every_code_has_a_status():
    assert set(HTTP_STATUS) == set(CallErrorCode)
