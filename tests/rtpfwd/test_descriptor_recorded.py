"""Dependency descriptors of AV1 that Chromium 156 sent, recorded by `sightline bench record --codec av1 --svc MODE`."""

from __future__ import annotations

import pytest

from rtpfwd import probe
from tests.rtpfwd.descriptors import Structure, read
from tests.rtpfwd.test_codecs import rtp

# One line a packet: descriptor, picture it belongs to, layer, and the flags that are set: Keyframe, Begins and Ends a
# frame, switch Point, needs a Lower layer.
L1T3 = """
80007c800214eaa860414d1410208427013f00b3 0 0,0 KBP
00007c 0 0,0
40007c 0 0,0 E
c3007d 1 0,2 BEP
c2007e 2 0,1 BEP
c4007f 3 0,2 BEP
810080 4 0,0 B
410080 4 0,0 E
c30081 5 0,2 BEP
c20082 6 0,1 BEP
c40083 7 0,2 BEP
"""
L2T2 = """
80009b8003187aaaf130a0a014d1413823046008642222265013f00b3027f01670 0 0,0 KBP
40009b 0 0,0 E
c3009c 0 1,0 BEPL
c2009d 1 0,1 BEP
85009e 1 1,1 BPL
05009e 1 1,1 L
45009e 1 1,1 EL
81009f 2 0,0 B
41009f 2 0,0 E
8400a0 2 1,0 BL
4400a0 2 1,0 EL
c200a1 3 0,1 BEP
c500a2 3 1,1 BEPL
c100a3 4 0,0 BE
8400a4 4 1,0 BL
"""
FLAGS = {
    "is_keyframe": "K", "is_frame_start": "B", "is_frame_end": "E", "is_switch_point": "P", "needs_lower": "L",
}  # fmt: skip


@pytest.mark.parametrize(("recorded", "targets"), [(L1T3, 3), (L2T2, 4)])
def test_what_chromium_sends_is_understood(recorded: str, targets: int) -> None:
    describing, reader = probe.Describing("video/av1"), probe.Structure()
    known: Structure | None = None
    for line in recorded.split("\n")[1:-1]:
        text, picture, layer, *flags = line.split(" ")
        element = bytes.fromhex(text)
        expected, known = read(element, known)
        assert reader.read(element) == expected
        assert len(known.targets) == targets
        found = describing.describe(rtp(b"\x90\x00", (7, element), timestamp=int(picture) * 3000), descriptor_id=7)
        assert f"{found['layer'][0]},{found['layer'][1]}" == layer
        assert "".join(letter for name, letter in FLAGS.items() if found[name]) == "".join(flags)
        assert found["frame_number"] == int.from_bytes(element[1:3], "big")
        assert found["active_targets"] == (1 << targets) - 1
