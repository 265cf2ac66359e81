"""Damaged JSON: decoders raise nothing but `bad_request`, and a whole session never answers `internal`."""

from __future__ import annotations

import json
import random
from collections import Counter

import trio
from prometheus_client import CollectorRegistry

from ops.metrics import SignalingMetrics
from signaling import messages, rtp_json
from signaling.api import shapes
from signaling.api.rest import decode_body_untrusted, number_untrusted
from signaling.auth import Authoriser
from signaling.calls import Calls
from signaling.config import Limits
from signaling.dispatch import METHODS
from signaling.errors import CallError, CallErrorCode
from signaling.reactions import serve_calls
from signaling.session import Session
from tests.fuzz.mutate import fuzz_seconds, mutated
from tests.signaling.client import AUDIO, DTLS, VIDEO
from tests.signaling.fake_node import CAPABILITIES, FakeNode

CODECS = rtp_json.rtp_capabilities_to_json(CAPABILITIES)
DATA: list[tuple[str, dict]] = [
    ("getRouterRtpCapabilities", {"room": "room"}),
    ("join", {"room": "room", "displayName": "Ada", "rtpCapabilities": CODECS, "device": {"name": "x"}, "token": "t"}),
    ("join", {"room": "other", "displayName": "Äda", "autoConsume": False, "resume": "secret"}),
    ("setRtpCapabilities", {"rtpCapabilities": CODECS}),
    ("leave", {}),
    ("createWebRtcTransport", {"direction": "send", "sctp": False}),
    ("createWebRtcTransport", {"direction": "recv"}),
    ("connectWebRtcTransport", {"transportId": "$t", "dtlsParameters": DTLS}),
    ("restartIce", {"transportId": "$t"}),
    ("closeTransport", {"transportId": "$t"}),
    ("produce", {"transportId": "$t", "kind": "audio", "rtpParameters": AUDIO, "appData": {"source": "mic"}}),
    ("produce", {"transportId": "$t", "kind": "video", "rtpParameters": VIDEO, "paused": True}),
    ("closeProducer", {"producerId": "$p"}),
    ("pauseProducer", {"producerId": "$p"}),
    ("resumeProducer", {"producerId": "$p"}),
    ("consume", {"producerId": "$p", "paused": True}),
    ("pauseConsumer", {"consumerId": "$c"}),
    ("resumeConsumer", {"consumerId": "$c"}),
    ("closeConsumer", {"consumerId": "$c"}),
    ("requestConsumerKeyFrame", {"consumerId": "$c"}),
    ("setConsumerPreferredLayers", {"consumerId": "$c", "spatialLayer": 1, "temporalLayer": None}),
    ("setConsumerPriority", {"consumerId": "$c", "priority": 200}),
    ("setConsumerView", {"consumerId": "$c", "width": 640, "height": 360, "hidden": False}),
    ("getStats", {"transportId": "$t"}),
    ("chat", {"text": "hello \U0001f44b"}),
    ("raiseHand", {"raised": True}),
    ("changeDisplayName", {"displayName": "Bob"}),
]
FRAMES = [json.dumps({"id": 7, "method": method, "data": data}).encode() for method, data in DATA]
# What ends things comes seldom, so that there is something to end.
WEIGHTS = [{"leave": 1, "closeTransport": 1, "join": 15, "createWebRtcTransport": 10}.get(m, 4) for m, _ in DATA]
HOSTILE = [
    b'{"id":1,"method":"join","data":' + b'{"device":' * 2000 + b"1" + b"}" * 2001,
    b'{"id":1e0,"method":"leave"}',
    b'{"id":9999999999999999999999,"method":"leave"}',
    b'{"id":1,"method":"chat","data":{"text":"\\ud800"}}',
    b'{"id":1,"method":"chat","data":{"text":"\\ud83d\\ude00"}}',
    b'{"id":1,"id":2,"method":"leave","data":{},"data":[]}',
    b'{"id":1,"method":"produce","data":{"appData":{"a":1e400}}}',
]


def test_the_corpus_has_every_method():
    assert {method for method, _ in DATA} == set(METHODS)


def convert(shape: object) -> None:
    """What handlers do with the parts of a decoded message."""
    for part in (getattr(shape, name, None) for name in ("rtp_capabilities", "rtp_parameters", "dtls_parameters")):
        if isinstance(part, rtp_json.RtpCapabilities):
            rtp_json.rtp_capabilities_to_json(rtp_json.rtp_capabilities_to_pb(part))
        elif isinstance(part, rtp_json.RtpParameters):
            rtp_json.rtp_parameters_to_json(rtp_json.rtp_parameters_to_pb(part))
        elif isinstance(part, rtp_json.DtlsParameters):
            rtp_json.dtls_parameters_to_pb(part)


def test_decoders():
    accepted, codes = Counter[str](), set()
    for frame in mutated(FRAMES + HOSTILE, seed=1):
        text = frame.decode("utf-8", "replace")
        try:
            request = messages.decode_request_untrusted(text)
            if request.method in METHODS:
                convert(messages.decode_untrusted(request.data, METHODS[request.method].shape))
                accepted[request.method] += 1
        except CallError as refused:
            codes.add(refused.code)
    assert codes == {CallErrorCode.BAD_REQUEST}
    assert len(accepted) > 15  # the damage is not so great that nothing gets through


def test_bodies():
    corpus = [b'{"name": "standup", "title": "Every day"}', b"{}", b'{"title": "\\u0000"}', b"[" * 3000]
    codes = set()
    for body in mutated(corpus, seed=2):
        try:
            decode_body_untrusted(body, shapes.RoomRequest)
        except CallError as refused:
            codes.add(refused.code)
    assert codes == {CallErrorCode.BAD_REQUEST}


def test_numbers_of_a_query():
    accepted = set()
    codes = set()
    for text in mutated([b"17", b"1000", b"-1", b"1e3", b" 5", "\u0663".encode(), b"9" * 40], seed=3):
        try:
            accepted.add(number_untrusted("limit", text.decode("utf-8", "surrogateescape"), 100, 1, 1000))
        except CallError as refused:
            codes.add(refused.code)
    assert codes == {CallErrorCode.BAD_REQUEST}
    assert accepted
    assert all(1 <= number <= 1000 for number in accepted)


class Feed:
    """A socket that plays a hostile client: undamaged and damaged requests with ids that exist, in any order."""

    def __init__(self, seed: int, frames: int, node: FakeNode) -> None:
        self._rng = random.Random(seed)
        self._left = frames
        self._node = node
        self._damaged = mutated(FRAMES + HOSTILE, seed, at_least=frames)
        self._own: list[str] = []  # its last two transports
        self._unanswered = 0
        self.answers = Counter[str]()

    def connected_anew(self) -> None:
        self._unanswered = 0

    @property
    def over(self) -> bool:
        return self._left == 0

    def _with_ids(self, text: str) -> str:
        for mark, kind in (("$t", 2), ("$p", 3), ("$c", 4)):
            ids = [entity.id for entity in self._node.of(kind)]
            if mark == "$t" and self._own and self._rng.random() < 0.8:
                ids = self._own
            text = text.replace(mark, self._rng.choice(ids) if ids else "none")
        return text

    async def receive(self) -> str | bytes | None:
        await trio.lowlevel.checkpoint()
        if self._left == 0:
            return None
        while self._unanswered > 4:  # every frame has exactly one reply, so this ends
            await trio.sleep(0.001)
        self._left -= 1
        self._unanswered += 1
        if self._rng.random() < 0.02:
            self._kill_something()
        frame = next(self._damaged) if self._rng.random() < 0.25 else self._rng.choices(FRAMES, WEIGHTS)[0]
        text = frame.decode("utf-8", "replace").replace('"id": 7', f'"id": {self._left}')
        return self._with_ids(text) if self._rng.random() < 0.98 else frame

    def _kill_something(self) -> None:
        """Mostly not a router, which would end the room for all three."""
        kinds = (2, 3, 4) if self._rng.random() < 0.95 else (1, 2, 3, 4)
        ids = sorted(entity.id for entity in self._node.entities.values() if entity.kind in kinds)
        if ids:
            self._node.die(self._rng.choice(ids), "ice-expired")

    async def send(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        frame = json.loads(text)
        if "method" in frame:
            self.answers[frame["method"]] += 1
        else:
            self._unanswered -= 1
            self.answers["ok" if frame["ok"] else frame["error"]["code"]] += 1
            if "iceCandidates" in frame.get("data", {}):
                self._own = [*self._own[-1:], frame["data"]["id"]]

    async def close(self, code: int, reason: str) -> None:
        await trio.lowlevel.checkpoint()
        self.answers[f"close {code}"] += 1


async def test_whole_sessions(autojump_clock):
    # Tasks take turns in an order that trio draws, so one story alone may never come to a consumer.
    answers = sum([await whole_sessions(seed) for seed in range(5)], Counter())
    assert answers["newConsumer"] > 0, answers


async def whole_sessions(seed: int) -> Counter[str]:
    """Three sockets that send anything in any order; everything is gone in the end. What was answered."""
    node = FakeNode()
    limits = Limits(requests_per_second=1e9, request_burst=1e9, open_requests=10_000, transports_per_minute=10**9)
    metrics = SignalingMetrics(CollectorRegistry())
    calls = Calls(node, limits=limits, metrics=metrics, wall_clock=lambda: 1_000)
    frames = int(400 * max(1.0, fuzz_seconds()))
    feeds = [Feed(seed * 10 + index, frames, node) for index in range(3)]

    async def play(feed: Feed) -> None:
        while not feed.over:
            feed.connected_anew()
            await Session(feed, calls, Authoriser(""), limits, metrics).run()

    async with trio.open_nursery() as nursery:
        await nursery.start(serve_calls, calls)
        async with trio.open_nursery() as sessions:
            for feed in feeds:
                sessions.start_soon(play, feed)
        answers = sum((feed.answers for feed in feeds), Counter())
        assert answers["internal"] == 0
        assert answers["ok"] > frames / 10, answers
        # Everybody is gone: after the graces nothing is left, here or on the node.
        await trio.sleep(limits.resume_seconds + limits.room_grace_seconds + 1)
        assert calls.live_rooms() == []
        assert calls.known_entities() == []
        assert node.entities == {}
        nursery.cancel_scope.cancel()
    return answers
