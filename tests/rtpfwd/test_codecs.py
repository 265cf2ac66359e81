"""What one payload shows of its frame."""

from __future__ import annotations

import pytest

from rtpfwd import probe

KEY, START, SWITCH = "is_keyframe", "is_frame_start", "is_switch_point"

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
    ("video/vp9", "a8 05 03 07 ff", (1, 0), {SWITCH}),  # upper layer of the key picture, inter-layer predicted
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
    ("audio/opus", "78", (-1, -1), {KEY, START, SWITCH}),
    ("audio/opus", "", (-1, -1), {KEY, START, SWITCH}),
    ("audio/pcmu", "ff", (-1, -1), {KEY, START, SWITCH}),
]


@pytest.mark.parametrize(("mime_type", "payload", "layer", "true"), CASES)
def test_a_payload_is_described(mime_type: str, payload: str, layer: tuple[int, int], true: set[str]) -> None:
    found = probe.describe(mime_type, bytes.fromhex(payload))
    assert found.pop("layer") == layer
    assert {name for name, value in found.items() if value} == true


@pytest.mark.parametrize("case", [case for case in CASES if case[0].startswith("video/")])
def test_no_payload_that_is_cut_short_is_read_past_its_end(case: tuple[str, str, tuple[int, int], set[str]]) -> None:
    # Each copy ends where an unreadable page begins, so reading on would end the process.
    payload = bytes.fromhex(case[1])
    for size in range(len(payload)):
        probe.describe(case[0], payload[:size])
