"""The numbers of frames that one viewer sees, over any interleaving of drops, loss, reordering and switches."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpfwd import probe


def vp8(picture: int, tl0: int, temporal: int = 0, *, bits: int = 15) -> bytes:
    picture %= 1 << bits
    coded = bytes([0x80 | picture >> 8, picture & 0xFF]) if bits == 15 else bytes([picture])
    return bytes([0x90, 0xE0]) + coded + bytes([tl0 % 256, temporal << 6, 1]) + b"rest"


def vp9(picture: int, tl0: int, layers: int = 0, *, flexible: bool = False) -> bytes:
    head = bytes([0xB8 if flexible else 0xA8, 0x80 | picture >> 8 & 0x7F, picture & 0xFF, layers])
    return head + (b"rest" if flexible else bytes([tl0 % 256]) + b"rest")


def numbers(mime_type: str, payload: bytes) -> tuple[int, int]:
    """Picture id and TL0PICIDX."""
    found = probe.describe(mime_type, payload)
    return found["picture_id"][0], found.get("tl0_index", (-1,))[0]


def forward8(
    numbering: probe.Numbering, picture: int, tl0: int, *, switch: bool = False, bits: int = 15
) -> tuple[int, int]:
    payload = vp8(picture, tl0, bits=bits)
    out, _ = numbering.forward("video/vp8", payload, switch=switch)
    assert len(out) == len(payload)
    assert out[-4:] == b"rest"
    return numbers("video/vp8", out)


def test_what_needs_no_change_stays_as_it_is() -> None:
    numbering = probe.Numbering()
    for picture in (32766, 32767, 0, 1, 3):
        assert forward8(numbering, picture, 7, switch=picture == 32766) == (picture, 7)


@pytest.mark.parametrize("bits", [7, 15])
def test_a_dropped_vp8_frame_leaves_no_gap(bits: int) -> None:
    numbering, span = probe.Numbering(), 1 << bits
    assert forward8(numbering, span - 2, 255, switch=True, bits=bits) == (span - 2, 255)
    numbering.drop("video/vp8", vp8(span - 1, 255, 2, bits=bits))
    numbering.drop("video/vp8", vp8(span - 1, 255, 2, bits=bits))  # its second packet
    numbering.drop("video/vp8", vp8(0, 255, 1, bits=bits))
    assert forward8(numbering, 1, 0, bits=bits) == (span - 1, 0)
    assert forward8(numbering, 3, 0, bits=bits) == (1, 0)  # 2 is lost, not dropped: its number is kept
    assert forward8(numbering, 2, 0, bits=bits) == (0, 0)
    assert forward8(numbering, span - 2, 255, bits=bits) == (span - 2, 255)  # late, and the same as before


def test_a_dropped_vp9_picture_keeps_its_gap_because_references_are_differences() -> None:
    numbering = probe.Numbering()
    for switch, picture in ((True, 10), (False, 13)):
        out, _ = numbering.forward("video/vp9", vp9(picture, 1), switch=switch)
        assert numbers("video/vp9", out) == (picture, 1)
        numbering.drop("video/vp9", vp9(picture + 1, 1, 0x40))


@pytest.mark.parametrize("flexible", [False, True])
def test_vp9_goes_on_after_a_switch(flexible: bool) -> None:
    numbering = probe.Numbering()
    numbering.forward("video/vp9", vp9(100, 50, flexible=flexible), switch=True)
    numbering.forward("video/vp9", vp9(101, 51, flexible=flexible))
    for picture, tl0, layers, expected in ((5, 9, 0, (102, 52)), (5, 9, 2, (102, 52)), (7, 10, 0x40, (104, 53))):
        payload = vp9(picture, tl0, layers, flexible=flexible)
        out, _ = numbering.forward("video/vp9", payload, switch=(picture, layers) == (5, 0))
        assert numbers("video/vp9", out) == ((expected[0], -1) if flexible else expected)
        assert out[3] == layers


def test_a_frame_that_is_dropped_in_part_keeps_a_number() -> None:
    numbering = probe.Numbering()
    assert forward8(numbering, 5, 1, switch=True) == (5, 1)
    numbering.drop("video/vp8", vp8(6, 1))
    assert forward8(numbering, 6, 1) == (6, 1)
    assert forward8(numbering, 7, 1) == (7, 1)


def test_frame_numbers_are_moved_at_a_switch_and_only_there() -> None:
    numbering = probe.Numbering()
    sent = [
        (65534, True, 65534),
        (65535, False, 65535),
        (3, False, 3),  # what lies between was dropped, and references are differences
        (2, False, 2),
        (40_000, True, 4),
        (40_004, False, 8),
        (39_999, False, 3),
        (100, True, 9),
    ]
    for number, switch, expected in sent:
        payload = b"\x10\x32\x00"
        assert numbering.forward("video/av1", payload, switch=switch, frame_number=number) == (payload, expected)


def test_a_payload_without_numbers_is_left_alone() -> None:
    numbering = probe.Numbering()
    for switch in (True, False, True):
        assert numbering.forward("video/vp8", b"\x10\x00rest", switch=switch) == (b"\x10\x00rest", None)
    assert forward8(numbering, 9, 3, switch=True) == (9, 3)
    assert numbering.forward("video/vp8", b"\x10\x00rest") == (b"\x10\x00rest", None)


@dataclass(frozen=True)
class Frame:
    picture: int  # not wrapped
    tl0: int
    temporal: int

    @property
    def payload(self) -> bytes:
        return vp8(self.picture, self.tl0, self.temporal)


def frames(first: int, tl0: int, count: int) -> list[Frame]:
    pattern = (0, 2, 1, 2)
    return [Frame(first + i, tl0 + i // 4, pattern[i % 4]) for i in range(count)]


Stretch = tuple[list[Frame], list[int], set[int], set[int], list[float]]


@st.composite
def stretches(draw: st.DrawFn) -> list[Stretch]:
    """Stretches between two switches: frames, packets of each, dropped temporal layers, lost frames, lateness."""
    made = []
    for _ in range(draw(st.integers(1, 4))):
        count = draw(st.integers(1, 40))
        run = frames(draw(st.integers(0, 40_000)), draw(st.integers(0, 255)), count)
        packets = draw(st.lists(st.integers(1, 3), min_size=count, max_size=count))
        dropped = draw(st.sampled_from([set(), {2}, {1, 2}]))
        lost = draw(st.sets(st.integers(1, count), max_size=3))
        late = draw(st.lists(st.sampled_from([0.0, 0.0, 0.0, 1.5, 6.0]), min_size=count, max_size=count))
        made.append((run, packets, dropped, lost, late))
    return made


@given(stretches())
def test_a_viewer_sees_one_row_of_pictures(made: list[Stretch]) -> None:
    numbering = probe.Numbering()
    row: list[tuple[int, int]] = []  # output numbers of all forwarded frames, in the order of the frames
    for run, packets, dropped, lost, late in made:
        order = sorted(
            (index + late[index] * bool(index) + packet / 10, index)
            for index in range(len(run))
            for packet in range(packets[index])
        )
        given_numbers: dict[int, tuple[int, int]] = {}
        newest = -1
        explained = set()  # closed up: dropped when nothing newer had come
        for position, (_, index) in enumerate(order):
            frame = run[index]
            if index in lost:
                continue
            if frame.temporal in dropped:
                numbering.drop("video/vp8", frame.payload)
                if index > newest:
                    explained.add(index)
            else:
                out, _ = numbering.forward("video/vp8", frame.payload, switch=position == 0)
                found = numbers("video/vp8", out)
                assert given_numbers.setdefault(index, found) == found  # every packet of a frame alike
            newest = max(newest, index)
        for (one, first), (two, second) in zip(
            sorted(given_numbers.items()), sorted(given_numbers.items())[1:], strict=False
        ):
            between = set(range(one + 1, two)) - explained
            assert (second[0] - first[0]) % 32768 == 1 + len(between)
            assert (second[1] - first[1]) % 256 == run[two].tl0 - run[one].tl0
        begins, ends = min(given_numbers), max(given_numbers)
        if row:
            assert given_numbers[begins] == ((row[-1][0] + 1) % 32768, (row[-1][1] + 1) % 256)
        row.append(given_numbers[ends])
