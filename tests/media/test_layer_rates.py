"""What can be sent of a producer, and what each choice costs."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rtpfwd.events import LayerRate
from server.media.layer_rates import GRACE_NS, RateBook, on_wire
from server.rtc.parameters import RtpEncodingParameters

SECOND = 1_000_000_000
SIZES = [
    RtpEncodingParameters(rid="q", max_bitrate=150_000, scale_resolution_down_by=4.0, scalability_mode="L1T3"),
    RtpEncodingParameters(rid="h", max_bitrate=400_000, scale_resolution_down_by=2.0, scalability_mode="L1T3"),
    RtpEncodingParameters(rid="f", max_bitrate=1_500_000, scale_resolution_down_by=1.0, scalability_mode="L1T3"),
]


def flowing(spatial: int, *bps: int) -> list[LayerRate]:
    return [LayerRate(spatial, temporal, each, 7.5 * 2 ** max(temporal - 1, 0)) for temporal, each in enumerate(bps)]


def test_before_anything_flows_the_sender_is_believed():
    options = RateBook("simulcast", SIZES, 0).options()
    assert [option[:2] for option in options] == [(s, t) for s in range(3) for t in range(3)]
    assert [option.width for option in options if option.temporal == 2] == [320, 640, 1280]
    assert [option.frames_per_second for option in options[:3]] == [7.5, 15.0, 30.0]
    top = options[-1].bps
    assert 1_500_000 < top < 1_600_000


def test_a_measured_layer_costs_what_it_takes_on_the_wire_with_what_it_needs():
    book = RateBook("simulcast", [RtpEncodingParameters(rid="a"), RtpEncodingParameters(rid="b")], 0)
    book.measure([*flowing(0, 50_000, 30_000), *flowing(1, 200_000)], SECOND)
    assert [(o.spatial, o.temporal, o.bps) for o in book.options()] == [
        (0, 0, on_wire(50_000, 7.5)),
        (0, 1, on_wire(80_000, 15.0)),
        (1, 0, on_wire(200_000, 7.5)),
    ]


def test_layers_of_one_stream_need_those_below_unless_they_stand_alone():
    layers = [*flowing(0, 100_000, 50_000), *flowing(1, 300_000, 100_000)]
    full = RateBook("svc", [RtpEncodingParameters(scalability_mode="L2T2")], 0)
    full.measure(layers, 0)
    assert [o.bps for o in full.options()][-1] == on_wire(550_000, 15.0)
    keyed = RateBook("svc", [RtpEncodingParameters(scalability_mode="L2T2_KEY")], 0)
    keyed.measure(layers, 0)
    assert [o.bps for o in keyed.options()][-1] == on_wire(400_000, 15.0)


def test_what_was_switched_off_costs_what_it_cost():
    book = RateBook("simulcast", SIZES, 0)
    for second in range(20):
        book.measure([*flowing(0, 60_000), *flowing(2, 1_000_000)], second * SECOND)
    cost = next(o.bps for o in book.options() if o.spatial == 2)
    book.want([True, False, False], 20 * SECOND)
    for second in range(20, 60):
        book.measure(flowing(0, 60_000), second * SECOND)
    assert next(o.bps for o in book.options() if o.spatial == 2) == cost


def test_what_is_asked_for_and_does_not_come_is_no_choice():
    book = RateBook("simulcast", SIZES, 0)
    book.measure(flowing(0, 60_000), GRACE_NS - 1)
    assert {o.spatial for o in book.options()} == {0, 1, 2}
    book.measure(flowing(0, 60_000), GRACE_NS)
    assert {o.spatial for o in book.options()} == {0}
    book.measure([*flowing(0, 60_000), *flowing(1, 200_000)], GRACE_NS + 1)
    assert {o.spatial for o in book.options()} == {0, 1}


def test_one_that_is_asked_for_again_has_time_to_begin():
    book = RateBook("simulcast", SIZES, 0)
    book.want([True, True, False], SECOND)
    book.measure([*flowing(0, 60_000), *flowing(1, 200_000)], 60 * SECOND)
    book.want([True, True, True], 60 * SECOND)
    book.measure([*flowing(0, 60_000), *flowing(1, 200_000)], 60 * SECOND + GRACE_NS - 1)
    assert {o.spatial for o in book.options()} == {0, 1, 2}


def test_a_first_keyframe_is_not_taken_for_the_rate():
    book = RateBook("simulcast", SIZES, 0)
    book.measure(flowing(0, 900_000), 0)
    assert next(o.bps for o in book.options()) < 100_000


def test_options_stay_the_same_until_something_matters():
    book = RateBook("simulcast", SIZES, 0)
    first = book.offered()
    book.measure(flowing(0, 61_000, 29_000, 61_000), SECOND)
    assert book.offered() is first
    version = book.version
    for second in range(2, 10):
        book.measure(flowing(0, 30_000, 15_000, 30_000), second * SECOND)
        book.offered()
    assert book.version > version


def test_a_simple_source_has_one_option():
    book = RateBook("simple", [RtpEncodingParameters(ssrc=1, max_bitrate=700_000)], 0)
    assert [o[:2] for o in book.options()] == [(0, 0)]
    book.measure([LayerRate(-1, -1, 500_000, 25.0)], 0)
    assert book.options()[0].bps == on_wire(500_000, 25.0)


@given(
    st.sampled_from(["simulcast", "svc", "simple"]),
    st.lists(
        st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 3), st.integers(0, 5_000_000), st.floats(0, 60))),
        max_size=6,
    ),
)
def test_there_is_always_an_option_and_each_step_costs_more(kind, reports):
    encodings = SIZES if kind == "simulcast" else [RtpEncodingParameters(scalability_mode="L3T3")]
    book = RateBook(kind, encodings, 0)
    for second, report in enumerate(reports):
        book.measure([LayerRate(*each) for each in report], second * 2 * SECOND)
        options = book.options()
        assert options
        assert all(option.bps > 0 for option in options)
        for lower, upper in pairwise(options):
            assert lower[:2] < upper[:2]
            if lower.spatial == upper.spatial:
                assert lower.bps <= upper.bps
