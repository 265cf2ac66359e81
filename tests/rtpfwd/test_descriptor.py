"""The dependency descriptor: read like an independent reader reads it, and followed from frame to frame."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpfwd import probe
from tests.rtpfwd.descriptors import Descriptor, Malformed, Structure, Template, letters, read, write
from tests.rtpfwd.test_codecs import rtp

# L1T3 and L2T1 as browsers send them: key templates first of their layer, then what follows.
L1T3 = Structure(
    [
        Template((0, 0), letters("SSS"), [4], [4]),
        Template((0, 0), letters("SSS"), [], [0]),
        Template((0, 1), letters("-DS"), [2], [2]),
        Template((0, 2), letters("--D"), [1], [1]),
        Template((0, 2), letters("--D"), [1], [3]),
    ],
    id_offset=60,
    protected_by=[0, 0, 0],
    resolutions=[(640, 360)],
)
L2T1 = Structure(
    [
        Template((0, 0), letters("SR"), [2], [2, 1]),
        Template((0, 0), letters("SS"), [], [0, 0]),
        Template((1, 0), letters("-S"), [1, 2], [1, 1]),
        Template((1, 0), letters("-S"), [1], [1, 1]),
    ],
    protected_by=[0, 1],
)
L2T1_KEY = Structure(
    [
        Template((0, 0), letters("S-"), [2], [2, 1]),
        Template((0, 0), letters("SS"), [], [0, 0]),
        Template((1, 0), letters("-S"), [2], [1, 2]),
        Template((1, 0), letters("-S"), [1], [1, 1]),
    ],
    protected_by=[0, 1],
)
KEY, SWITCH, LOWER = "is_keyframe", "is_switch_point", "needs_lower"


@st.composite
def structures(draw: st.DrawFn) -> Structure:
    target_count = draw(st.integers(1, 32))
    chain_count = draw(st.integers(0, min(target_count, 4)))
    layers = [(0, 0)]
    for step in draw(st.lists(st.integers(0, 2), max_size=12)):
        spatial, temporal = layers[-1]
        after = [(spatial, temporal), (spatial, temporal + 1), (spatial + 1, 0)][step]
        if max(after) < 8:
            layers.append(after)
    templates = [
        Template(
            layer,
            draw(st.lists(st.integers(0, 3), min_size=target_count, max_size=target_count)),
            draw(st.lists(st.integers(1, 16), max_size=4)),
            draw(st.lists(st.integers(0, 15), min_size=chain_count, max_size=chain_count)),
        )
        for layer in layers
    ]
    chains = st.lists(st.integers(0, max(chain_count - 1, 0)), min_size=target_count, max_size=target_count)
    return Structure(
        templates,
        draw(st.integers(0, 63)),
        draw(chains) if chain_count else [],
        [(1280, 720)] * (layers[-1][0] + 1) if draw(st.booleans()) else [],
    )


@st.composite
def descriptors(draw: st.DrawFn, structure: Structure, *, first: bool) -> Descriptor:
    def some(strategy: st.SearchStrategy) -> object:
        return draw(st.none() | strategy)

    index = draw(st.integers(0, len(structure.templates) - 1))
    count, chains = structure.target_count, structure.chain_count
    return Descriptor(
        draw(st.booleans()),
        draw(st.booleans()),
        (structure.id_offset + index) % 64,
        draw(st.integers(0, 65535)),
        structure if first else None,
        some(st.integers(0, (1 << count) - 1)),
        some(st.lists(st.integers(0, 3), min_size=count, max_size=count)),
        some(st.lists(st.integers(1, 4096), max_size=5)),
        some(st.lists(st.integers(0, 255), min_size=chains, max_size=chains)),
    )


@given(st.data())
def test_what_is_written_is_read_as_another_reader_reads_it(data: st.DataObject) -> None:
    structure = data.draw(structures())
    reader = probe.Structure()
    known = None
    for index in range(3):
        descriptor = data.draw(descriptors(structure, first=index == 0))
        written = write(descriptor, structure)
        expected, known = read(written, known)
        if len(written) > 255:
            assert reader.read(written) is None  # no header extension element is that long
            return
        assert reader.read(written) == expected
        assert expected["layer"] == structure.templates[(descriptor.template_id - structure.id_offset) % 64].layer
        assert descriptor.diffs is None or expected["diffs"] == descriptor.diffs


@given(st.binary(max_size=80), st.binary(max_size=20))
def test_any_bytes_are_read_as_another_reader_reads_them_or_refused(first: bytes, second: bytes) -> None:
    reader = probe.Structure()
    known = None
    for data in (first, second):
        found = reader.read(data)
        try:
            expected, after = read(data, known)
        except Malformed:
            assert found is None
            continue
        if found is None:
            # Ours is bounded where the format is not.
            assert out_of_bounds(expected, after)
            return
        assert found == expected
        known = after


def out_of_bounds(expected: dict, structure: Structure | None) -> bool:
    assert structure is not None
    return (
        len(structure.templates) > 64
        or any(max(t.layer) >= 8 or len(t.diffs) > 8 for t in structure.templates)
        or len(expected["diffs"]) > 8
    )


def test_a_descriptor_that_ends_too_early_is_refused() -> None:
    whole = write(Descriptor(True, True, 61, 7, L1T3, 0b11, letters("SSR"), [300, 2], [9]), L1T3)
    assert probe.Structure().read(whole) is not None
    # The last byte may be padding in part, but never whole.
    for size in range(len(whole)):
        assert probe.Structure().read(whole[:size]) is None


def test_a_template_that_is_not_known_is_refused() -> None:
    reader = probe.Structure()
    short = write(Descriptor(True, True, 60, 1), L1T3)
    assert reader.read(short) is None
    assert reader.read(write(Descriptor(True, True, 61, 0, L1T3), L1T3))
    assert reader.read(short)["layer"] == (0, 0)
    assert reader.read(write(Descriptor(True, True, 0, 1), L1T3))["layer"] == (0, 2)  # ids wrap at 64
    for unknown in (1, 59):
        assert reader.read(write(Descriptor(True, True, unknown, 1), L1T3)) is None


# From frame to frame.


class Sender:
    """Packets of one frame each, described one after the other."""

    def __init__(self, structure: Structure) -> None:
        self.structure = structure
        self.describing = probe.Describing("video/av1")
        self.seq = 100

    def frame(
        self,
        number: int,
        index: int,
        picture: int | None = None,
        *,
        key: bool = False,
        payload: bytes = b"\x10\x32\x00",
        diffs: list[int] | None = None,
        active: int | None = None,
        start: bool = True,
        seq: int | None = None,
    ) -> dict:
        structure = self.structure if key else None
        template_id = (self.structure.id_offset + index) % 64
        element = write(
            Descriptor(start, True, template_id, number % 65536, structure, active, None, diffs), self.structure
        )
        self.seq += 1
        packet = rtp(payload, (7, element), timestamp=number if picture is None else picture)
        return self.describing.describe(packet, ext_seq=self.seq if seq is None else seq, descriptor_id=7)


def true_of(found: dict) -> set[str]:
    return {name for name in (KEY, SWITCH, LOWER) if found[name]}


def test_temporal_layers_may_be_joined_where_nothing_above_the_base_is_needed() -> None:
    sender = Sender(L1T3)
    key = sender.frame(0, 1, key=True)
    assert (key["layer"], true_of(key)) == ((0, 0), {KEY, SWITCH})
    assert (key["active_targets"], key["frame_number"], key["has_descriptor"]) == (0b111, 0, True)
    for base in (0, 1, 65530, 65534):
        sender = Sender(L1T3)
        sender.frame(base, 1, key=True)
        for number, index, layer, true in (
            (1, 3, (0, 2), {SWITCH}),
            (2, 2, (0, 1), {SWITCH}),
            (3, 4, (0, 2), {SWITCH}),
            (4, 0, (0, 0), set()),
            (5, 3, (0, 2), {SWITCH}),
        ):
            found = sender.frame(base + number, index)
            assert (found["layer"], true_of(found)) == (layer, true)
            assert found["frame_number"] == (base + number) % 65536


def test_a_missing_frame_closes_what_may_have_rested_on_it() -> None:
    required = [
        Template((0, 0), letters("SS")),
        Template((0, 0), letters("SR"), [1]),
        Template((0, 1), letters("-R"), [1]),
    ]
    sender = Sender(Structure(required))
    sender.frame(0, 0, key=True)
    assert true_of(sender.frame(1, 2)) == {SWITCH}
    assert true_of(sender.frame(2, 2)) == set()  # may refer to the one before
    sender.frame(3, 0, key=True)
    assert true_of(sender.frame(5, 2)) == set()  # 4 is missing
    assert true_of(sender.frame(4, 2)) == set()  # late: nobody waits for it


def test_an_upper_spatial_layer_may_be_joined_at_the_key_picture_only() -> None:
    sender = Sender(L2T1)
    assert true_of(sender.frame(10, 1, 1, key=True)) == {KEY, SWITCH}
    assert true_of(sender.frame(11, 3, 1)) == {SWITCH, LOWER}
    for picture in range(2, 6):
        assert true_of(sender.frame(8 + 2 * picture, 0, picture)) == set()
        assert true_of(sender.frame(9 + 2 * picture, 2, picture)) == {LOWER}


def test_an_upper_layer_that_was_not_sent_stays_open() -> None:
    sender = Sender(L2T1)
    sender.frame(10, 1, 1, key=True, active=0b01)
    found = sender.frame(11, 0, 2, diffs=[1])
    assert (true_of(found), found["active_targets"]) == (set(), 0b01)
    assert true_of(sender.frame(12, 0, 3, diffs=[1])) == set()
    found = sender.frame(13, 3, 3, active=0b11)
    assert (true_of(found), found["active_targets"]) == ({SWITCH, LOWER}, 0b11)


def test_layers_that_are_predicted_at_keys_alone_need_no_lower_one() -> None:
    sender = Sender(L2T1_KEY)
    sender.frame(10, 1, 1, key=True)
    assert true_of(sender.frame(11, 3, 1)) == {SWITCH, LOWER}
    sender.frame(12, 0, 2)
    assert true_of(sender.frame(13, 2, 2)) == set()


def test_the_frame_before_of_the_same_layer_is_no_lower_one() -> None:
    sender = Sender(L2T1)
    sender.frame(10, 1, 1, key=True)
    sender.frame(11, 3, 1)
    assert true_of(sender.frame(12, 2, 2, diffs=[1])) == set()  # the lower layer was left out of picture 2


@pytest.mark.parametrize("mime_type", ["video/vp8", "video/vp9", "video/h264", "video/av1"])
def test_a_descriptor_counts_more_than_the_payload(mime_type: str) -> None:
    describing = probe.Describing(mime_type)
    key = write(Descriptor(True, False, 61, 9, L1T3), L1T3)
    found = describing.describe(rtp(b"\x10\x00", (7, key)), descriptor_id=7)
    assert (found["layer"], true_of(found), found["is_frame_start"], found["is_frame_end"]) == (
        (0, 0),
        {KEY, SWITCH},
        True,
        False,
    )
    later = write(Descriptor(False, True, 61, 9), L1T3)
    found = describing.describe(rtp(b"\x10\x00", (7, later)), descriptor_id=7)
    assert (found["layer"], true_of(found), found["is_frame_start"], found["is_frame_end"]) == (
        (0, 0),
        set(),
        False,
        True,
    )


def test_what_rests_on_an_unknown_structure_is_described_by_its_payload() -> None:
    describing = probe.Describing("video/vp8")
    short = write(Descriptor(True, True, 3, 770), L1T3)
    found = describing.describe(rtp(bytes.fromhex("90e08505094001"), (7, short)), descriptor_id=7)
    assert not found["has_descriptor"]
    assert (found["layer"], found["picture_id"][0], found["frame_number"]) == ((-1, 1), 0x505, 770)
    found = describing.describe(rtp(bytes.fromhex("90e08505094001"), (7, b"\x00\x01")), descriptor_id=7)
    assert "frame_number" not in found


def test_a_late_packet_does_not_bring_an_old_structure_back() -> None:
    sender = Sender(L1T3)
    sender.frame(0, 1, key=True, seq=500)
    old, sender.structure = L1T3, L2T1
    sender.frame(8, 1, key=True, seq=510)
    sender.structure = old
    assert sender.frame(1, 3, seq=501)["has_descriptor"] is False
    assert sender.frame(0, 1, key=True, seq=499)["layer"] == (0, 0)
    sender.structure = L2T1
    assert sender.frame(9, 3, 8, seq=511)["layer"] == (1, 0)


def test_an_encoder_that_begins_anew_is_followed() -> None:
    sender = Sender(L1T3)
    sender.frame(40_000, 1, key=True)
    sender.frame(40_001, 3)
    assert true_of(sender.frame(20_000, 1, key=True)) == {KEY, SWITCH}
    assert true_of(sender.frame(20_001, 3)) == {SWITCH}


def test_random_damage_is_survived() -> None:
    rng = random.Random(5)
    describing = probe.Describing("video/av1")
    whole = write(Descriptor(True, True, 61, 7, L1T3), L1T3)
    for _ in range(2000):
        element = bytearray(whole)
        for _ in range(rng.randrange(3)):
            element[rng.randrange(len(element))] = rng.randrange(256)
        found = describing.describe(rtp(b"\x10\x32\x00", (7, bytes(element))), descriptor_id=7)
        assert found["is_switch_point"] or not found["is_keyframe"]
