"""Commands: what each refuses and why, and what closing takes along.

Over 400 lines: one case for each command and each refusal, over the same bench of entities.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import structs

from rtpfwd.params import ConsumerParams, PayloadMapping
from rtpfwd.plane import Plane
from server.errors import LocalError
from server.media.consumer import MOST_TEMPORAL
from server.media.errors import (
    AlreadyExists,
    InvalidArgument,
    LimitReached,
    NotFound,
    Stopping,
    WrongState,
)
from server.media.events import CloseReason, EntityClosed, EntityKind, ProducerPauseChanged
from server.media.limits import MediaLimits
from server.media.placement import STAY
from server.rtc.ortc import UnsupportedCodec
from server.rtc.parameters import DtlsFingerprint, DtlsParameters, InvalidParameters, RtpCapabilities, rtp_capabilities
from tests.media.entities import DTLS, NOW, Bench, opus, simulcast, vp8


def call() -> Bench:
    """Anna sends a camera and a microphone, Bert watches both; Carol has an unconnected transport."""
    bench = Bench()
    bench.router("room")
    bench.transport("anna")
    bench.transport("bert")
    bench.transport("carol", connected=False)
    bench.produce("anna", "camera", vp8())
    bench.produce("anna", "mic", opus())
    bench.consume("bert", "camera-for-bert", "camera")
    bench.consume("bert", "mic-for-bert", "mic")
    bench.events()
    return bench


REFUSALS: list[tuple[str, Callable[[Bench], object], type[LocalError], str]] = [
    ("router id taken", lambda b: b.router("room"), AlreadyExists, "choose another"),
    ("transport id taken", lambda b: b.transport("anna"), AlreadyExists, "'anna'"),
    ("producer id taken", lambda b: b.produce("bert", "camera"), AlreadyExists, "'camera'"),
    ("consumer id taken", lambda b: b.consume("bert", "mic-for-bert", "mic"), AlreadyExists, "'mic-for-bert'"),
    ("unprintable id", lambda b: b.router("a\nb"), InvalidArgument, "printable"),
    ("endless id", lambda b: b.router("a" * 129), InvalidArgument, "128"),
    ("no such router", lambda b: b.transport("x", "nowhere"), NotFound, "no router has the id 'nowhere'"),
    ("no such transport", lambda b: b.produce("nobody", "x"), NotFound, "no transport"),
    ("no such producer", lambda b: b.consume("bert", "x", "gone"), NotFound, "no producer"),
    ("close twice", lambda b: b.commands.close(EntityKind.CONSUMER, "gone", NOW), NotFound, "no consumer"),
    ("produce before connect", lambda b: b.produce("carol", "x"), WrongState, "DTLS parameters"),
    ("connect twice", lambda b: b.commands.connect_webrtc_transport("anna", DTLS, NOW), WrongState, "already"),
    (
        "a plain command for a browser",
        lambda b: b.commands.connect_plain_transport("anna", "192.0.2.1", 5004, None, NOW),
        WrongState,
        "ConnectWebRtcTransport",
    ),
    (
        "a fingerprint that proves nothing",
        lambda b: b.commands.connect_webrtc_transport(
            "carol", DtlsParameters(fingerprints=(DtlsFingerprint("sha-1", ":".join(["AB"] * 20)),)), NOW
        ),
        InvalidArgument,
        "fingerprint",
    ),
    ("an SSRC twice", lambda b: b.produce("anna", "x", vp8(mid="9")), InvalidArgument, "anna"),
    ("pausing a transport", lambda b: b.commands.pause(EntityKind.TRANSPORT, "anna", NOW), InvalidArgument, "kind"),
    ("no priority", lambda b: b.commands.set_priority("mic-for-bert", 0, NOW), InvalidArgument, "1 … 255"),
    ("a priority too high", lambda b: b.commands.set_priority("mic-for-bert", 256, NOW), InvalidArgument, "256"),
    (
        "a kind that it isn't",
        lambda b: b.commands.produce("anna", "", "audio", vp8(5), NOW, paused=False),
        InvalidParameters,
        "kind audio",
    ),
    (
        "a viewer without the codec",
        lambda b: b.commands.consume("bert", "x", "camera", RtpCapabilities(), NOW, paused=False),
        UnsupportedCodec,
        "VP8",
    ),
    (
        "a MID twice",
        lambda b: b.commands.consume(
            "bert", "x", "mic", b.commands.router("room").rtp_capabilities, NOW, paused=False, mid="0"
        ),
        InvalidArgument,
        "mid",
    ),
]


@pytest.mark.parametrize(("command", "error", "text"), [pytest.param(*rest, id=name) for name, *rest in REFUSALS])
def test_a_refused_command_says_why_and_changes_nothing(command, error, text):
    bench = call()
    before = snapshot(bench)
    with pytest.raises(error) as refused:
        command(bench)
    assert text in str(refused.value)
    assert snapshot(bench) == before
    assert bench.events() == []
    assert bench.defects == []


def snapshot(bench: Bench) -> object:
    core = bench.core
    return (
        [router.dump() for router in core.routers.values()],
        [transport.dump() for transport in core.transports.values()],
        [producer.dump() for producer in core.shared.producers.values()],
        [consumer.dump() for consumer in core.shared.consumers.values()],
        core.shared.streams[:],
        [len(plane_counts) for plane_counts in (core.shared.producers, core.shared.consumers)],
    )


CASCADES = [
    pytest.param(
        EntityKind.CONSUMER, "mic-for-bert", [("CONSUMER", "mic-for-bert", "requested")], id="a consumer goes alone"
    ),
    pytest.param(
        EntityKind.PRODUCER,
        "camera",
        [("CONSUMER", "camera-for-bert", "producer-closed"), ("PRODUCER", "camera", "requested")],
        id="a producer takes its consumers",
    ),
    pytest.param(
        EntityKind.TRANSPORT,
        "bert",
        [
            ("CONSUMER", "camera-for-bert", "parent-closed"),
            ("CONSUMER", "mic-for-bert", "parent-closed"),
            ("TRANSPORT", "bert", "requested"),
        ],
        id="a viewer's transport takes its consumers",
    ),
    pytest.param(
        EntityKind.TRANSPORT,
        "anna",
        [
            ("CONSUMER", "camera-for-bert", "producer-closed"),
            ("PRODUCER", "camera", "parent-closed"),
            ("CONSUMER", "mic-for-bert", "producer-closed"),
            ("PRODUCER", "mic", "parent-closed"),
            ("TRANSPORT", "anna", "requested"),
        ],
        id="a sender's transport takes its producers and their consumers",
    ),
    pytest.param(
        EntityKind.ROUTER,
        "room",
        [
            ("CONSUMER", "camera-for-bert", "producer-closed"),
            ("PRODUCER", "camera", "parent-closed"),
            ("CONSUMER", "mic-for-bert", "producer-closed"),
            ("PRODUCER", "mic", "parent-closed"),
            ("TRANSPORT", "anna", "parent-closed"),
            ("TRANSPORT", "bert", "parent-closed"),
            ("TRANSPORT", "carol", "parent-closed"),
            ("ROUTER", "room", "requested"),
        ],
        id="a router takes everything",
    ),
]


@pytest.mark.parametrize(("kind", "entity_id", "expected"), CASCADES)
def test_closing_a_parent_closes_its_children_first(kind, entity_id, expected):
    bench = call()
    bench.commands.close(kind, entity_id, NOW)
    closed = [(e.kind.value, e.id, e.reason.value) for e in bench.events() if isinstance(e, EntityClosed)]
    assert closed == expected
    for registry in (
        bench.core.routers,
        bench.core.transports,
        bench.core.shared.producers,
        bench.core.shared.consumers,
    ):
        assert not registry.keys() & {entity for _, entity, _ in expected}
    with pytest.raises(NotFound):
        bench.commands.close(kind, entity_id, NOW)


def test_after_the_last_router_nothing_is_left():
    bench = call()
    bench.commands.close(EntityKind.ROUTER, "room", NOW)
    core = bench.core
    assert not core.routers
    assert not core.transports
    assert not core.shared.producers
    assert not core.shared.consumers
    assert not core.shared.routes
    assert core.shared.streams == [0]
    assert core.next_timeout() is None
    assert not core._fragments


def test_an_id_is_free_again_once_its_entity_is_closed():
    bench = call()
    bench.commands.close(EntityKind.PRODUCER, "camera", NOW)
    assert bench.produce("anna", "camera").id == "camera"


def test_an_empty_id_is_chosen_at_random():
    bench = Bench()
    ids = {bench.router(""), bench.router(""), bench.router("")}
    assert len(ids) == 3
    assert all(len(chosen) == 36 for chosen in ids)


def test_pause_of_producer_and_consumer_are_separate():
    bench = call()
    consumer = bench.commands.consumer("camera-for-bert")
    bench.commands.pause(EntityKind.PRODUCER, "camera", NOW)
    assert (consumer.paused, consumer.producer_paused) == (False, True)
    bench.commands.pause(EntityKind.CONSUMER, "camera-for-bert", NOW)
    bench.commands.resume(EntityKind.PRODUCER, "camera", NOW)
    assert (consumer.paused, consumer.producer_paused) == (True, False)
    bench.commands.resume(EntityKind.CONSUMER, "camera-for-bert", NOW)
    assert (consumer.paused, consumer.producer_paused) == (False, False)
    assert bench.events() == [
        ProducerPauseChanged("camera", True, ("camera-for-bert",)),
        ProducerPauseChanged("camera", False, ("camera-for-bert",)),
    ]


def test_pausing_twice_is_no_error_and_is_told_once():
    bench = call()
    for _ in range(2):
        bench.commands.pause(EntityKind.PRODUCER, "mic", NOW)
        bench.commands.pause(EntityKind.CONSUMER, "mic-for-bert", NOW)
    assert bench.events() == [ProducerPauseChanged("mic", True, ("mic-for-bert",))]


def test_the_viewer_may_be_unconnected():
    """mediasoup-client connects its receiving transport after its first consumer."""
    bench = call()
    assert bench.consume("carol", "x", "camera").rtp_parameters.mid == "0"


def test_mids_are_counted_and_never_reused():
    bench = call()
    mids = [bench.consume("carol", f"c{n}", "camera").rtp_parameters.mid for n in range(3)]
    bench.commands.close(EntityKind.CONSUMER, "c1", NOW)
    mids.append(bench.consume("carol", "c3", "camera").rtp_parameters.mid)
    assert mids == ["0", "1", "2", "3"]


def test_a_viewer_may_choose_its_mid_and_the_count_goes_round_it():
    bench = call()
    capabilities = bench.commands.router("room").rtp_capabilities
    chosen = bench.commands.consume("carol", "a", "camera", capabilities, NOW, paused=True, mid="1")
    counted = [bench.consume("carol", f"c{n}", "camera").rtp_parameters.mid for n in range(2)]
    assert [chosen.rtp_parameters.mid, *counted] == ["1", "0", "2"]


def test_every_consumer_of_a_transport_has_ssrcs_of_its_own():
    bench = call()
    ssrcs = []
    for n in range(50):
        (encoding,) = bench.consume("carol", f"c{n}", "camera").rtp_parameters.encodings
        ssrcs += [encoding.ssrc, encoding.rtx.ssrc]
    assert len(set(ssrcs)) == 100


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        pytest.param(["anna", "other"], ["anna", "anna"], id="the first one stays"),
        pytest.param(["", ""], None, id="one is made up where none is stated"),
    ],
)
def test_producers_of_a_transport_share_their_cname(stated, expected):
    bench = Bench()
    bench.router()
    bench.transport("t")
    producers = [
        bench.produce("t", "a", opus(cname=stated[0])),
        bench.produce("t", "b", vp8(cname=stated[1])),
    ]
    cnames = [producer.consumable.rtcp.cname for producer in producers]
    if expected is None:
        assert cnames[0]
        assert cnames[0] == cnames[1]
    else:
        assert cnames == expected
    assert bench.consume("t", "c", "a").rtp_parameters.rtcp.cname == cnames[0]


def test_a_viewer_may_use_its_own_numbers():
    bench = call()
    theirs = rtp_capabilities(
        {
            "codecs": [
                {"kind": "video", "mimeType": "video/VP8", "clockRate": 90000, "preferredPayloadType": 33},
                {
                    "kind": "video",
                    "mimeType": "video/rtx",
                    "clockRate": 90000,
                    "preferredPayloadType": 34,
                    "parameters": {"apt": 33},
                },
            ]
        }
    )
    seen: list[ConsumerParams] = []
    plane = bench.core.planes[0]

    class Watching:
        """The real plane, with a look at what a consumer is made from."""

        def __getattr__(self, name):
            return getattr(plane, name)

        def add_consumer(self, transport, producer, params, now):
            seen.append(params)
            return plane.add_consumer(transport, producer, params, now)

    bench.commands.transport("carol").media.plane = Watching()
    consumer = bench.commands.consume(
        "carol", "c", "camera", theirs, NOW, paused=False, adopt_viewer_numbers=True, mid="video"
    )
    assert [codec.payload_type for codec in consumer.rtp_parameters.codecs] == [33, 34]
    (params,) = seen
    assert params.payload_types == (PayloadMapping(producer=120, consumer=33, consumer_rtx=34),)
    assert params.mid == "video"


def test_one_layer_meets_any_wish_and_of_several_the_best_is_meant_by_what_is_above_it():
    bench = call()
    bench.commands.set_preferred_layers("camera-for-bert", 2, None, NOW)
    assert bench.commands.consumer("camera-for-bert").preferred is None
    bench.produce("anna", "sizes", simulcast())
    view = bench.consume("bert", "sizes-for-bert", "sizes")
    bench.commands.set_preferred_layers("sizes-for-bert", 0, None, NOW)
    assert view.preferred == (0, MOST_TEMPORAL)
    bench.commands.set_preferred_layers("sizes-for-bert", 9, 9, NOW)
    assert view.preferred == (1, MOST_TEMPORAL)


LIMITS = [
    pytest.param(MediaLimits(max_routers=1), lambda b: b.router("second"), "1 routers", id="routers"),
    pytest.param(MediaLimits(max_transports=1), lambda b: b.transport("second"), "1 transports", id="transports"),
    pytest.param(
        MediaLimits(max_producers_per_transport=1),
        lambda b: b.produce("first", "second", opus()),
        "1 producers",
        id="producers",
    ),
    pytest.param(
        MediaLimits(max_consumers_per_transport=0),
        lambda b: b.consume("first", "c", "p"),
        "0 consumers",
        id="consumers",
    ),
    pytest.param(MediaLimits(max_streams=3), lambda b: b.consume("first", "c", "p"), "3 streams", id="streams sent"),
    pytest.param(
        MediaLimits(max_streams=2), lambda b: b.produce("first", "q", opus()), "2 streams", id="streams received"
    ),
]


@pytest.mark.parametrize(("limits", "command", "text"), LIMITS)
def test_limits(limits, command, text):
    bench = Bench(limits=limits)
    bench.router()
    bench.transport("first")
    bench.produce("first", "p", vp8())
    before = snapshot(bench)
    with pytest.raises(LimitReached, match=text):
        command(bench)
    assert snapshot(bench) == before


def test_closing_makes_room_again():
    bench = Bench(limits=MediaLimits(max_streams=4))
    bench.router()
    bench.transport("t")
    bench.produce("t", "p", vp8())
    for n in range(5):
        bench.consume("t", f"c{n}", "p")
        bench.commands.close(EntityKind.CONSUMER, f"c{n}", NOW)
    assert bench.core.shared.streams == [2]


def test_a_sender_of_ever_new_ssrcs_has_to_make_a_new_transport():
    """SRTP keeps the state of every SSRC that a session ever received, and looks them up one by one."""
    bench = Bench(limits=MediaLimits(max_ssrcs_per_transport=6))
    bench.router()
    bench.transport("t")
    for _ in range(10):
        bench.produce("t", "again", vp8(ssrc=5000))
        bench.commands.close(EntityKind.PRODUCER, "again", NOW)
    for n in range(2):
        bench.produce("t", f"p{n}", vp8(ssrc=6000 + 10 * n))
        bench.commands.close(EntityKind.PRODUCER, f"p{n}", NOW)
    with pytest.raises(LimitReached, match=r"6 SSRCs.*new transport"):
        bench.produce("t", "more", opus(ssrc=7000))
    bench.produce("t", "known", vp8(ssrc=6010))
    bench.transport("fresh")
    bench.produce("fresh", "more", opus(ssrc=7000))


def test_routers_spread_over_the_lanes_and_small_calls_stay_together():
    bench = Bench(lanes=3)
    for n in range(3):
        bench.router(f"r{n}")
    assert sorted(router.home for router in bench.core.routers.values()) == [0, 1, 2]
    bench.transport("t", "r0")
    bench.transport("u", "r0")
    bench.produce("t", "p")
    home = bench.commands.router("r0").home
    assert {bench.commands.transport(t).media.lane for t in ("t", "u")} == {home}
    bench.router("r3")
    assert bench.commands.router("r3").home != home


def test_a_large_call_spreads_and_its_producers_are_mirrored_once_per_lane():
    bench = Bench(lanes=2)
    bench.router()
    bench.transport("source")
    producer = bench.produce("source", "p")
    for n in range(30):
        bench.transport(f"t{n}")
        bench.consume(f"t{n}", f"c{n}", "p")
    lanes = [bench.commands.transport(f"t{n}").media.lane for n in range(30)]
    assert set(lanes) == {0, 1}
    assert abs(bench.core.lane_loads()[0] - bench.core.lane_loads()[1]) <= STAY + 2
    away = 1 - producer.transport.lane
    assert set(producer.mirrors) == {away}
    for n in range(30):
        bench.commands.close(EntityKind.TRANSPORT, f"t{n}", NOW)
    assert producer.mirrors == {}
    bench.commands.close(EntityKind.TRANSPORT, "source", NOW)
    assert bench.core.lane_loads() == [0, 0]
    assert [plane.counters()["streams"] for plane in bench.planes] == [0, 0]


def test_closing_a_mirrored_producer_closes_its_consumers_on_every_lane():
    bench = Bench(lanes=2)
    bench.router()
    bench.transport("source")
    bench.produce("source", "p")
    for n in range(30):
        bench.transport(f"t{n}")
        bench.consume(f"t{n}", f"c{n}", "p")
    bench.commands.pause(EntityKind.PRODUCER, "p", NOW)
    bench.commands.resume(EntityKind.PRODUCER, "p", NOW)
    bench.commands.close(EntityKind.PRODUCER, "p", NOW)
    closed = {event.id for event in bench.events() if isinstance(event, EntityClosed)}
    assert closed == {"p", *(f"c{n}" for n in range(30))}
    assert [plane.counters()["streams"] for plane in bench.planes] == [0, 0]
    assert bench.defects == []


def test_a_producer_is_consumed_within_its_router_only():
    bench = Bench()
    for name in ("one", "two"):
        bench.router(name)
        bench.transport(f"t-{name}", name)
    bench.produce("t-one", "p")
    with pytest.raises(InvalidArgument, match="router one"):
        bench.consume("t-two", "c", "p")


def test_stopping_closes_everything_and_refuses_more():
    bench = call()
    bench.commands.stop(NOW)
    closed = [event for event in bench.events() if isinstance(event, EntityClosed)]
    assert closed[-1] == EntityClosed(EntityKind.ROUTER, "room", CloseReason.NODE_STOPPING)
    assert len(closed) == 8
    with pytest.raises(Stopping, match="another node"):
        bench.router("late")


def test_a_full_plane_is_a_limit_and_no_defect():
    bench = Bench(planes=[Plane(max_transports=1, max_streams=1, seed=1)])
    bench.router()
    bench.transport("first")
    with pytest.raises(LimitReached, match="another node"):
        bench.transport("second")
    bench.produce("first", "mic", opus())
    with pytest.raises(LimitReached, match="another node"):
        bench.produce("first", "camera", vp8())
    with pytest.raises(LimitReached, match="another node"):
        bench.consume("first", "c", "mic")
    assert list(bench.core.transports) == ["first"]
    assert list(bench.core.shared.producers) == ["mic"]
    assert not bench.core.shared.consumers
    assert not bench.defects


@pytest.mark.parametrize("mid", ["probator", "datachannel", "a b", "ä", "far-too-long-for-a-mid"])
def test_a_mid_that_cannot_be_used_is_refused(mid: str):
    bench = call()
    capabilities = bench.commands.router("room").rtp_capabilities
    with pytest.raises(InvalidArgument, match=r"(?i)mid"):
        bench.commands.consume("carol", "c", "camera", capabilities, NOW, paused=False, mid=mid)


def test_viewers_of_a_kind_share_what_is_equal_of_their_parameters():
    bench = call()
    first = bench.consume("carol", "camera-for-carol", "camera").rtp_parameters
    capabilities = bench.commands.transport("carol").media.router.rtp_capabilities
    fewer = structs.replace(capabilities, header_extensions=capabilities.header_extensions[:1])
    other = bench.commands.consume("carol", "again", "camera", fewer, NOW, paused=False).rtp_parameters
    held = bench.commands.consumer("camera-for-bert").rtp_parameters
    assert (first.codecs is held.codecs, first.header_extensions is held.header_extensions) == (True, True)
    assert first.encodings[0].ssrc != held.encodings[0].ssrc
    assert other.header_extensions == held.header_extensions[:1]
