"""What one payload shows of its frame."""

from __future__ import annotations

import struct

import pytest

from rtpfwd import probe

KEY, START, SWITCH = "is_keyframe", "is_frame_start", "is_switch_point"
END, LOWER = "is_frame_end", "needs_lower"

# (mime type, payload, layer, what is true of it)
CASES = [
    # VP8: X R N S R PID, then I L T K, picture id, TL0PICIDX, TID Y KEYIDX; then the frame header.
    ("video/vp8", "10 00", (-1, -1), {KEY, START, SWITCH}),
    ("video/vp8", "10 01", (-1, -1), {START}),
    ("video/vp8", "00 00", (-1, -1), set()),  # a later packet of the frame
    ("video/vp8", "11 00", (-1, -1), set()),  # the start of another partition
    ("video/vp8", "90 80 05 00", (-1, -1), {KEY, START, SWITCH}),
    ("video/vp8", "90 80 85 05 01", (-1, -1), {START}),
    ("video/vp8", "90 e0 85 05 09 40 01", (-1, 1), {START}),
    ("video/vp8", "90 e0 85 05 09 a0 01", (-1, 2), {START, SWITCH}),
    ("video/vp8", "80 e0 85 05 09 a0 01", (-1, 2), set()),
    ("video/vp8", "90 10 1f 00", (-1, -1), {KEY, START, SWITCH}),  # K alone: the byte holds no TID
    ("video/vp8", "90 e0 85 05 09 a0", (-1, -1), set()),  # no frame header left
    ("video/vp8", "90", (-1, -1), set()),
    ("video/vp8", "", (-1, -1), set()),
    # VP9: I P L F B E V Z.
    ("video/vp9", "88 05 ff", (-1, -1), {KEY, START, SWITCH}),
    ("video/vp9", "88 85 05 ff", (-1, -1), {KEY, START, SWITCH}),
    ("video/vp9", "c8 05 ff", (-1, -1), {START}),
    ("video/vp9", "80 05 ff", (-1, -1), set()),
    ("video/vp9", "a8 05 00 07 ff", (0, 0), {KEY, START, SWITCH}),
    (
        "video/vp9",
        "a8 05 03 07 ff",
        (1, 0),
        {START, SWITCH, LOWER},
    ),  # upper layer of the key picture, inter-layer predicted
    ("video/vp9", "ac 05 02 07 ff", (1, 0), {KEY, START, END, SWITCH}),  # an upper layer that stands alone
    ("video/vp9", "e0 05 03 07 ff", (1, 0), {LOWER}),
    ("video/vp9", "e4 05 02 07 ff", (1, 0), {END}),
    ("video/vp9", "e8 05 10 07 ff", (0, 0), {START}),  # U on the lowest layer speaks of later frames
    ("video/vp9", "e8 05 50 07 ff", (0, 2), {START, SWITCH}),  # U: a temporal switching point
    ("video/vp9", "e8 05 40 07 ff", (0, 2), {START}),
    ("video/vp9", "f8 05 40 03 05 02 ff", (0, 2), {START}),  # flexible: three reference indices, no TL0PICIDX
    ("video/vp9", "8a 05 18 0140 00f0 01 04 01 ff", (-1, -1), {KEY, START, SWITCH}),  # scalability structure
    ("video/vp9", "8a 05 18 0140 00f0 01 04 01", (-1, -1), set()),  # no payload behind it
    ("video/vp9", "8a 05 18 0140", (-1, -1), set()),
    ("video/vp9", "8a 05 08 ff 0c", (-1, -1), set()),
    ("video/vp9", "", (-1, -1), set()),
    # H.264
    ("video/h264", "67 42", (-1, -1), {KEY, START, SWITCH}),  # SPS
    ("video/h264", "68 ce", (-1, -1), {START}),  # PPS
    ("video/h264", "65 88", (-1, -1), {KEY, START, SWITCH}),  # IDR, first slice
    ("video/h264", "65 40", (-1, -1), set()),  # IDR, another slice
    ("video/h264", "65", (-1, -1), set()),
    ("video/h264", "41 9a", (-1, -1), {START}),
    ("video/h264", "41 5a", (-1, -1), set()),
    ("video/h264", "78 0002 6742 0002 68ce", (-1, -1), {KEY, START, SWITCH}),  # STAP-A
    ("video/h264", "78 0002 0680 0002 6588", (-1, -1), {KEY, START, SWITCH}),
    ("video/h264", "78 0002 68ce 0002 419a", (-1, -1), {START}),
    ("video/h264", "78 0002 6742 0009 68ce", (-1, -1), set()),  # cut short
    ("video/h264", "78 0000", (-1, -1), set()),
    ("video/h264", "7c 85 88", (-1, -1), {KEY, START, SWITCH}),  # FU-A, start of an IDR picture
    ("video/h264", "7c 05 88", (-1, -1), set()),
    ("video/h264", "7c 81 9a", (-1, -1), {START}),
    ("video/h264", "7c", (-1, -1), set()),
    ("video/h264", "", (-1, -1), set()),
    # AV1: Z Y W W N; OBU header: forbidden, type, extension, size.
    ("video/av1", "18 0a 00", (-1, -1), {KEY, START, SWITCH}),
    ("video/av1", "10 32 00", (-1, -1), {START}),
    ("video/av1", "90 32 00", (-1, -1), set()),
    ("video/av1", "98 0a 00", (-1, -1), set()),  # Z and N together make no sense
    ("video/av1", "28 01 0a 48 02", (-1, -1), {KEY, START, SWITCH}),
    ("video/av1", "28 01 0e 48 02", (-1, -1), set()),  # an OBU too short for its own header
    ("video/av1", "28 00 0a 48 02", (-1, -1), set()),
    ("video/av1", "28 02 0e 48 02", (1, 2), {KEY, START, SWITCH}),
    ("video/av1", "10 36 28", (1, 1), {START}),
    ("video/av1", "10 36", (-1, -1), set()),
    ("video/av1", "10 b2 00", (-1, -1), set()),  # the forbidden bit
    ("video/av1", "00 80 80 80 80 80 80 80 80 80", (-1, -1), set()),
    ("video/av1", "", (-1, -1), set()),
    # What stands alone.
    ("audio/opus", "78", (-1, -1), {KEY, START, SWITCH, END}),
    ("audio/opus", "", (-1, -1), {KEY, START, SWITCH, END}),
    ("audio/pcmu", "ff", (-1, -1), {KEY, START, SWITCH, END}),
]


@pytest.mark.parametrize(("mime_type", "payload", "layer", "true"), CASES)
def test_a_payload_is_described(mime_type: str, payload: str, layer: tuple[int, int], true: set[str]) -> None:
    found = probe.describe(mime_type, bytes.fromhex(payload))
    assert found.pop("layer") == layer
    assert {name for name, value in found.items() if value is True} == true


# (mime type, payload, picture id with its bits and offset, TL0PICIDX with its offset)
NUMBERS = [
    ("video/vp8", "10 00", None, None),
    ("video/vp8", "90 80 05 00", (5, 7, 2), None),
    ("video/vp8", "90 80 85 05 01", (0x505, 15, 2), None),
    ("video/vp8", "90 e0 85 05 09 40 01", (0x505, 15, 2), (9, 4)),
    ("video/vp8", "90 60 09 40 01", None, (9, 2)),
    ("video/vp8", "90 e0 85 05 09 a0", None, None),  # cut short
    ("video/vp9", "88 7f ff", (127, 7, 1), None),
    ("video/vp9", "88 ff ff ff", (0x7FFF, 15, 1), None),
    ("video/vp9", "a8 85 05 03 07 ff", (0x505, 15, 1), (7, 4)),
    ("video/vp9", "b8 05 03 ff", (5, 7, 1), None),  # flexible mode has no TL0PICIDX
    ("video/vp9", "28 03 07 ff", None, (7, 2)),
    ("video/h264", "65 88", None, None),
    ("audio/opus", "78", None, None),
]


@pytest.mark.parametrize(("mime_type", "payload", "picture_id", "tl0_index"), NUMBERS)
def test_the_numbers_of_a_frame_are_found(
    mime_type: str, payload: str, picture_id: tuple[int, int, int] | None, tl0_index: tuple[int, int] | None
) -> None:
    found = probe.describe(mime_type, bytes.fromhex(payload))
    assert (found.get("picture_id"), found.get("tl0_index")) == (picture_id, tl0_index)


@pytest.mark.parametrize("mime_type", ["video/vp8", "video/h264", "video/av1"])
def test_the_marker_ends_a_frame_where_nothing_finer_says_so(mime_type: str) -> None:
    assert probe.describe(mime_type, b"\x10\x32\x00", marker=True)["is_frame_end"]
    assert not probe.describe(mime_type, b"\x10\x32\x00")["is_frame_end"]


def rtp(
    payload: bytes, *extensions: tuple[int, bytes], seq: int = 0, timestamp: int = 0, marker: bool = False
) -> bytes:
    """An RTP packet with these header extension elements, in the two-byte form."""
    elements = b"".join(bytes([id_, len(value)]) + value for id_, value in extensions)
    elements += bytes(-len(elements) % 4)
    head = struct.pack("!BBHII", 0x90, (0x80 if marker else 0) | 96, seq, timestamp, 1)
    return head + b"\x10\0" + struct.pack("!H", len(elements) // 4) + elements + payload


@pytest.mark.parametrize(
    ("element", "level"), [(b"\x00", (0, False)), (b"\x7f", (127, False)), (b"\xa1\0", (33, True)), (b"", None)]
)
def test_the_loudness_of_audio_is_read(element: bytes, level: tuple[int, bool] | None) -> None:
    described = probe.Describing("audio/opus").describe(rtp(b"\x78", (6, element)), audio_level_id=6)
    assert described.get("audio_level") == level
    assert "audio_level" not in probe.Describing("audio/opus").describe(rtp(b"\x78", (6, element)))


@pytest.mark.parametrize("case", [case for case in CASES if case[0].startswith("video/")])
def test_no_payload_that_is_cut_short_is_read_past_its_end(case: tuple[str, str, tuple[int, int], set[str]]) -> None:
    # Each copy ends where an unreadable page begins, so reading on would end the process.
    payload = bytes.fromhex(case[1])
    for size in range(len(payload)):
        probe.describe(case[0], payload[:size])
