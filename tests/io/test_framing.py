"""RFC 4571: a length before every packet."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import BadPacket
from server.io.framing import MAX_FRAME, FrameReader, frame

PACKETS = st.lists(st.binary(min_size=1, max_size=MAX_FRAME), max_size=8)


@given(packets=PACKETS, cuts=st.lists(st.integers(0, 8 * MAX_FRAME), max_size=12))
def test_any_way_to_cut_the_stream_gives_the_same_packets(packets: list[bytes], cuts: list[int]):
    stream = b"".join(map(frame, packets))
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    reader = FrameReader()
    got = [packet for start, end in itertools.pairwise(edges) for packet in reader.receive_untrusted(stream[start:end])]
    assert got == packets


def test_an_empty_frame_carries_nothing_and_breaks_nothing():
    assert FrameReader().receive_untrusted(frame(b"") + frame(b"x") + frame(b"")) == [b"x"]


@pytest.mark.parametrize(("length", "fits"), [(MAX_FRAME, True), (MAX_FRAME + 1, False), (65535, False)])
def test_a_frame_has_a_longest_length(length: int, fits: bool):
    reader = FrameReader()
    if fits:
        assert reader.receive_untrusted(frame(bytes(length))) == [bytes(length)]
    else:
        with pytest.raises(BadPacket) as refused:
            reader.receive_untrusted(length.to_bytes(2, "big"))
        assert refused.value.reason == "tcp-frame-too-long"
