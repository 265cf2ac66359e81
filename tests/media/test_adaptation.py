"""What viewers are sent, over real planes and fake browsers on links that change, in virtual time."""

from __future__ import annotations

from itertools import pairwise

import pytest
from msgspec.structs import replace

from protos import media_pb2 as pb
from server.control.watch import event_to_pb
from server.media.adaptation_settings import AdaptationSettings
from server.media.consumer import Consumer
from server.media.errors import InvalidArgument
from server.media.events import (
    ActiveSpeakersChanged,
    CloseReason,
    ConsumerHeld,
    ConsumerLayersChanged,
    EntityKind,
    MediaEvent,
    ProducerEncodingsWanted,
)
from server.media.policies import Choice
from server.media.stats import stats
from server.policy.layers.fair import Fair
from server.policy.registry import Registry, Role, UnknownPolicy, standard_registry
from server.testing.netem import SECOND
from server.testing.sim.call import Call, Policies
from server.testing.sim.player import VideoPlayer
from server.testing.sim.scenario import parse
from server.testing.sim.watching import watch

ANNA = """
[[visitors]]
name = "anna"
sends = ["camera", "microphone"]
talks = 1.0
watches = false
up = { kbps = 20000, delay_ms = 10 }
"""


def viewer(name: str, kbps: int) -> str:
    return f"""
[[visitors]]
name = "{name}"
up = {{ kbps = 5000, delay_ms = 20 }}
down = {{ kbps = {kbps}, delay_ms = 20, queue_ms = 200 }}
"""


class Rehearsal(Call):
    """A call that can be stopped at any second, and remembers what the node said."""

    def __init__(self, scenario: str, *, registry: Registry | None = None, **policies: str) -> None:
        self.events: list[MediaEvent] = []
        head = 'title = "t"\nabout = "a"\nduration_s = 300\n'
        super().__init__(
            parse((head + scenario).encode(), "test"), seed=5, policies=Policies(**policies), registry=registry
        )
        self.commands, self.adaptation = self.node.commands, self.node.core.adaptation

    def _happened(self, event: MediaEvent) -> None:
        self.events.append(event)
        super()._happened(event)

    def camera_of(self, name: str, source: str = "anna-camera") -> Consumer:
        return self.commands.consumer(f"{name}<{source}")

    def said(self, kind: type) -> list[MediaEvent]:
        return [event for event in self.events if isinstance(event, kind)]

    def decided(self, name: str, what: str) -> list[tuple[str, str, str]]:
        entries, _ = self.commands.decisions(name, 0, 0)
        return [(entry.before, entry.after, entry.reason) for entry in entries if entry.what == what]


def test_each_viewer_gets_what_its_link_carries():
    call = Rehearsal(ANNA + viewer("slow", 300) + viewer("fast", 5000))
    call.run(20)
    assert call.camera_of("fast").flowing[0] == 2
    assert call.camera_of("slow").flowing[0] == 0
    assert not call.camera_of("slow").held
    assert call.decided("fast", "layer") == [("", "0/2", "start"), ("0/2", "2/2", "fits")]  # nothing is known at first
    assert all(entry[2] for entry in call.decided("slow", "estimate"))
    layers = [event for event in call.said(ConsumerLayersChanged) if event.consumer_id == "fast<anna-camera"]
    assert layers[-1].spatial == 2


def test_a_viewer_gets_no_more_than_it_wants():
    call = Rehearsal(ANNA + viewer("bert", 5000))
    call.run(5)
    consumer = call.camera_of("bert")
    assert consumer.flowing[0] == 2
    call.commands.set_preferred_layers(consumer.id, 1, 0, call.now)
    call.run(8)
    assert consumer.flowing == (1, 0)
    call.commands.set_preferred_layers(consumer.id, 9, None, call.now)
    call.run(16)
    assert consumer.flowing[0] == 2
    call.commands.set_view(consumer.id, 300, 170, call.now, hidden=False)
    call.run(20)
    assert consumer.flowing[0] == 0
    assert call.adaptation.viewers["bert"].decided[consumer.id].reason == "tile"


def test_a_hidden_picture_is_the_smallest():
    call = Rehearsal(ANNA + viewer("bert", 5000))
    call.run(5)
    call.commands.set_view("bert<anna-camera", 0, 0, call.now, hidden=True)
    call.run(8)
    assert call.camera_of("bert").target[0] == 0
    assert call.decided("bert", "layer")[-1][2] == "hidden"


def test_what_has_no_room_is_held_and_comes_back():
    two = ANNA + ANNA.replace('"anna"', '"cleo"').replace('"microphone"', '"screen"')
    change = '\n[[changes]]\nat_s = 20\nvisitor = "bert"\ndown = { kbps = 5000 }\n'
    call = Rehearsal(two + viewer("bert", 150) + change)
    call.run(20)
    held = [consumer for consumer in call.adaptation.viewers["bert"].media.consumers.values() if consumer.held]
    assert len(held) >= 2, "one at most is tried"
    assert all(ConsumerHeld(consumer.id, held=True) in call.events for consumer in held)
    assert all(consumer.producer.kind == "video" for consumer in held)
    assert call.decided("bert", "pause")[0][2] == "no room"
    call.run(60)
    assert not any(consumer.held for consumer in call.adaptation.viewers["bert"].media.consumers.values())
    assert all(ConsumerHeld(consumer.id, held=False) in call.events for consumer in held)
    assert call.decided("bert", "resume")


def test_publishers_stop_what_nobody_watches_and_resume_at_once():
    call = Rehearsal(ANNA + viewer("bert", 5000))
    call.run(3)
    consumer = call.camera_of("bert")
    call.commands.set_preferred_layers(consumer.id, 0, None, call.now)
    call.run(65)
    assert call.said(ProducerEncodingsWanted)[-1].wanted == (True, False, False)
    assert call.adaptation._limits["anna"] < 500_000
    assert call.decided("anna", "dynacast")[-1][1:] == ("100", "watched")
    asked = call.now
    call.commands.set_preferred_layers(consumer.id, 2, None, call.now)
    while consumer.flowing[0] != 2 and call.now < asked + 3 * 10**9:
        call.run((call.now - asked) / 1e9 + 65.05)
    assert call.said(ProducerEncodingsWanted)[-1].wanted[2]
    assert call.now - asked < 500_000_000, "the publisher is told at once, and a keyframe asked for"


def test_a_source_that_nobody_watches_is_not_sent_at_all():
    call = Rehearsal(ANNA + viewer("bert", 5000))
    call.run(3)
    for source in ("camera", "microphone"):
        call.commands.close(EntityKind.CONSUMER, f"bert<anna-{source}", call.now, CloseReason.REQUESTED)
    call.run(15)
    assert call.said(ProducerEncodingsWanted)[-1].wanted == (False, False, False)
    assert not call.adaptation.viewers


def test_who_speaks_is_told_and_their_picture_is_preferred():
    silent = ANNA.replace('"anna"', '"cleo"').replace("talks = 1.0", "talks = 0.0")
    call = Rehearsal(ANNA + silent + viewer("bert", 5000))
    call.run(10)
    (event, *more) = call.said(ActiveSpeakersChanged)
    assert event.dominant == "anna-microphone"
    assert len(more) < 20
    assert call.adaptation._speaks(call.commands.producer("anna-camera"))
    assert not call.adaptation._speaks(call.commands.producer("cleo-camera"))


def test_only_those_who_speak_are_heard():
    silent = ANNA.replace('"anna"', '"cleo"').replace("talks = 1.0", "talks = 0.0")
    call = Rehearsal(silent + ANNA + viewer("bert", 5000))
    call.adaptation.shelf.settings = AdaptationSettings(audio_forwarding=1)
    call.run(5)
    rows = {name: stats(call.commands, EntityKind.CONSUMER, f"bert<{name}-microphone")[1] for name in ("anna", "cleo")}
    call.run(10)
    later = {name: stats(call.commands, EntityKind.CONSUMER, f"bert<{name}-microphone")[1] for name in ("anna", "cleo")}
    assert later["anna"].figures["packets"] > rows["anna"].figures["packets"] + 200
    assert later["cleo"].figures["packets"] == rows["cleo"].figures["packets"]


def lossy(most_playout_delay_ms: int, *, nack: bool = True) -> tuple[Rehearsal, float]:
    """A viewer whose path loses 2 % until second 40, and its frames a second meanwhile."""
    bert = viewer("bert", 3000).replace("delay_ms = 20", "delay_ms = 30").replace("queue_ms", "loss = 0.02, queue_ms")
    change = '\n[[changes]]\nat_s = 40\nvisitor = "bert"\ndown = { loss = 0.0 }\n'
    call = Rehearsal(ANNA + bert + change)
    call.adaptation.shelf.settings = AdaptationSettings(most_playout_delay_ms=most_playout_delay_ms)
    call.run(1)
    if not nack:
        consumer = call.camera_of("bert")
        codecs = tuple(replace(codec, rtcp_feedback=()) for codec in consumer.rtp_parameters.codecs)
        consumer.rtp_parameters = replace(consumer.rtp_parameters, codecs=codecs)
    call.run(40)
    (player,) = (view.player for view in call.visitors["bert"].views if isinstance(view.player, VideoPlayer))
    seen = watch(player.shown, call.now - 30 * SECOND, call.now)
    call.run(70)
    return call, seen.frames / 30


def test_a_viewer_on_a_path_that_loses_keeps_frames_back_until_repairs_are_there():
    call, frames = lossy(250)
    without, fewer = lossy(0)
    on, off = call.decided("bert", "playout")
    assert on[0] == off[1] == "0"
    assert on[1] == off[0]
    assert 100 <= int(on[1]) <= 150  # a round trip of 60 ms, the wait for feedback, and a frame
    assert call.camera_of("bert").playout_ms == 0
    assert frames > 24.8
    assert fewer < 24.4
    assert without.decided("bert", "playout") == []


def test_a_viewer_that_asks_for_no_repairs_is_not_asked_to_wait_for_them():
    call, _ = lossy(250, nack=False)
    assert call.decided("bert", "playout") == []


class Broken(Fair):
    """Works for a while."""

    calls = 0

    def allocate(self, request):
        Broken.calls += 1
        if Broken.calls > 3:
            raise RuntimeError("out of ideas")
        return super().allocate(request)


def test_a_policy_that_raises_loses_its_place_and_the_call_goes_on():
    registry = standard_registry(())[0]
    registry.add(Role.LAYERS, "broken", Broken)
    Broken.calls = 0
    call = Rehearsal(ANNA + viewer("bert", 5000), registry=registry, layers="broken")
    call.run(10)
    assert call.camera_of("bert").flowing[0] == 2
    ((before, after, reason),) = call.decided("bert", "fallback")
    assert (before, after) == ("broken", "speaker_first")
    assert "out of ideas" in reason
    assert call.adaptation.viewers["bert"].policy(Role.LAYERS) == "speaker_first"


def test_policies_are_swapped_while_media_flows():
    call = Rehearsal(ANNA + viewer("bert", 5000))
    call.run(10)
    swap = call.commands.set_policy
    name, shadow, available = swap(EntityKind.TRANSPORT, "bert", Role.CONGESTION, Choice("fixed", "nada"), call.now)
    assert (name, shadow) == ("fixed", "nada")
    assert {"gcc", "fixed", "remb", "nada"} <= set(available)
    call.run(20)
    viewer_of_bert = call.adaptation.viewers["bert"]
    assert viewer_of_bert.estimate_bps == 1_000_000
    assert call.node.plane.congestion(viewer_of_bert.media.handle).estimate_bps == 1_000_000
    assert call.camera_of("bert").flowing[0] == 1
    assert call.decided("bert", "shadow"), "nada sees more room than a million"
    swap(EntityKind.ROUTER, "sim", Role.CONGESTION, Choice("gcc"), call.now)
    call.run(40)
    assert call.camera_of("bert").flowing[0] == 2
    assert [entry[:2] for entry in call.decided("bert", "policy")] == [("gcc", "fixed"), ("fixed", "gcc")]
    assert swap(EntityKind.TRANSPORT, "bert", Role.CONGESTION, None, call.now)[0] == "gcc"


@pytest.mark.parametrize("controller", ["nada", "remb", "fixed"])
def test_controllers_of_python_are_fed(controller):
    call = Rehearsal(ANNA + viewer("bert", 800), congestion=controller)
    call.run(15)
    assert call.adaptation.viewers["bert"].policy(Role.CONGESTION) == controller
    assert not call.decided("bert", "fallback")
    assert call.camera_of("bert").flowing is not None


@pytest.mark.parametrize(
    ("kind", "entity", "role", "choice", "error", "part"),
    [
        (EntityKind.TRANSPORT, "bert", Role.LAYERS, Choice("fairest"), UnknownPolicy, "speaker_first"),
        (EntityKind.TRANSPORT, "bert", Role.SPEAKERS, Choice("loudest"), InvalidArgument, "router"),
        (EntityKind.CONSUMER, "x", Role.LAYERS, None, InvalidArgument, "ROUTER"),
    ],
)
def test_what_can_not_be_swapped_is_refused(kind, entity, role, choice, error, part):
    call = Rehearsal(ANNA + viewer("bert", 5000))
    call.run(1)
    with pytest.raises(error, match=part):
        call.commands.set_policy(kind, entity, role, choice, call.now)
    assert not call.decided("bert", "policy")


def test_allocators_are_asked_when_something_has_changed_and_not_too_often():
    asked: list[int] = []

    class Spy(Fair):
        def allocate(self, request):
            asked.append(request.now)
            return super().allocate(request)

    registry = standard_registry(())[0]
    registry.add(Role.LAYERS, "spy", Spy)
    call = Rehearsal(ANNA + viewer("bert", 500), registry=registry, layers="spy")
    call.run(20)
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert min(gaps) >= 100_000_000
    assert max(gaps) <= 1_050_000_000
    asked.clear()
    call = Rehearsal(ANNA + viewer("bert", 20000), registry=registry, layers="spy")
    call.run(20)
    settled = [at for at in asked if at > call.now - 10 * 10**9]
    assert len(settled) <= 3, "everybody has all that they can use"


def test_without_adaptation_everything_is_forwarded():
    call = Rehearsal(ANNA + viewer("bert", 5000))
    call.adaptation.shelf.settings = AdaptationSettings(on=False)
    call.run(12)
    assert call.camera_of("bert").flowing[0] == 2
    assert call.node.plane.congestion(call.adaptation.viewers["bert"].media.handle) is None
    assert not call.said(ProducerEncodingsWanted)
    assert not call.said(ActiveSpeakersChanged)


def test_sound_is_part_of_an_estimate_from_numbers_and_no_part_of_a_remb_for_video():
    """With sound subtracted, a REMB of what was heard so far left no room for the picture that would raise it."""
    call = Rehearsal(ANNA + viewer("bert", 3000))
    call.run(3)
    bert, camera = call.adaptation.viewers["bert"], call.camera_of("bert")
    assert bert.budget_bps < 0.99 * bert.estimate_bps
    parameters = camera.rtp_parameters
    codecs = tuple(
        replace(
            codec,
            rtcp_feedback=tuple(
                replace(each, type="goog-remb") if each.type == "transport-cc" else each for each in codec.rtcp_feedback
            ),
        )
        for codec in parameters.codecs
    )
    camera.rtp_parameters = replace(parameters, codecs=codecs)
    assert camera.measured
    bert.touch()
    bert.allocate(call.now)
    assert bert.budget_bps == bert.estimate_bps


def test_a_loss_that_is_over_keeps_no_room_back():
    """The plane tells of another estimate, not of another loss: the budget stayed low for the rest of the call."""
    bert = viewer("bert", 3000).replace("queue_ms", "loss = 0.0, queue_ms")
    changes = "".join(
        f'\n[[changes]]\nat_s = {at}\nvisitor = "bert"\ndown = {{ loss = {loss} }}\n'
        for at, loss in ((8, 0.02), (14, 0.0))
    )
    call = Rehearsal(ANNA + bert + changes)
    budgets = {}
    for until in (8, 14, 30):
        call.run(until)
        viewer_of = call.adaptation.viewers["bert"]
        budgets[until] = viewer_of.budget_bps / viewer_of.estimate_bps
    assert budgets[14] < budgets[8] - 0.01
    assert budgets[30] == pytest.approx(budgets[8], abs=0.01)


def test_decisions_say_when_and_why():
    call = Rehearsal(ANNA + viewer("bert", 500).replace('"bert"', '"bert"\njoins_s = 2'))
    call.run(10)
    entries, forgotten = call.commands.decisions("bert", 0, 0)
    assert forgotten == 0
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    layer = next(entry for entry in entries if entry.what == "layer")
    assert layer.inputs["budget_bps"] > 0
    newest, _ = call.commands.decisions("bert", 0, 2)
    assert newest == entries[-2:]
    since = entries[len(entries) // 2].at
    assert all(entry.at >= since for entry in call.commands.decisions("bert", since, 0)[0])
    keyframes, _ = call.commands.decisions("anna", 0, 0)
    assert any(entry.what == "keyframe" and entry.subject == "anna-camera" for entry in keyframes)


def test_the_same_seed_decides_the_same():
    runs = []
    for _ in range(2):
        call = Rehearsal(ANNA + viewer("bert", 700) + viewer("carl", 2500))
        call.run(10)
        runs.append([call.commands.decisions(name, 0, 0) for name in ("anna", "bert", "carl")])
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (
            ConsumerLayersChanged("c", 2, None),
            pb.Event(consumer_layers=pb.ConsumerLayersChanged(consumer_id="c", spatial=2)),
        ),
        (ConsumerLayersChanged("c", None, None), pb.Event(consumer_layers=pb.ConsumerLayersChanged(consumer_id="c"))),
        (ConsumerHeld("c", held=True), pb.Event(consumer_held=pb.ConsumerHeld(consumer_id="c", held=True))),
        (
            ProducerEncodingsWanted("p", (True, False)),
            pb.Event(encodings_wanted=pb.ProducerEncodingsWanted(producer_id="p", wanted=[True, False])),
        ),
        (
            ActiveSpeakersChanged("r", None, ("p",)),
            pb.Event(speakers=pb.ActiveSpeakersChanged(router_id="r", producer_ids=["p"])),
        ),
    ],
)
def test_events_travel(event, message):
    assert event_to_pb(event) == message
