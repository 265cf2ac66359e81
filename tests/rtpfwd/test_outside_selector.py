"""A selector that another package brings: compiled against the shipped headers only, found by its name."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from rtpfwd import probe, selector
from rtpfwd.selector_probe import Choosing

ROOT = Path(__file__).parent.parent.parent
SOURCE = """
from rtpfwd.selector cimport Selector
from rtpfwd.types cimport DROP, FORWARD, SWITCH, PacketView, Verdict

cdef class EverySecond(Selector):
    cdef int seen

    cdef Verdict select(self, const PacketView* view) noexcept nogil:
        self.seen += 1
        if self.seen == 1:
            return SWITCH
        return FORWARD if self.seen % 2 else DROP

    cdef void reset(self) noexcept nogil:
        Selector.reset(self)
        self.seen = 0
"""


def build(folder: Path, source: str, headers: Path = ROOT) -> ModuleType:
    (folder / "outside.pyx").write_text(source)
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from Cython.Build import cythonize\nfrom setuptools import setup\n"
        "setup(name='outside', script_args=['-q', 'build_ext', '--inplace'],"
        " ext_modules=cythonize(['outside.pyx'], include_path=[sys.argv[1]], language_level=3, quiet=True))\n"
    )
    subprocess.run([sys.executable, "-c", script, str(headers)], cwd=folder, check=True, capture_output=True)
    (built,) = folder.glob("outside.*.so")
    spec = importlib.util.spec_from_file_location("outside", built)
    assert spec is not None
    assert spec.loader is not None
    outside = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(outside)
    return outside


@pytest.mark.slow
def test_the_selector_of_the_page(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "layers.md").read_text()
    build(tmp_path, page.partition("```cython\n")[2].partition("```")[0])
    packets = Choosing(selector.create("lowest_only", video=True))
    assert packets.wants_keyframe
    assert packets.wanted_encoding == 0
    layers = [(0, 0, False), (1, 0, True), (0, 0, True), (0, 1, False), (0, 0, False)]
    sent = [
        packets.take(ext_seq=seq, now=seq, encoding=encoding, temporal=temporal, keyframe=keyframe)
        for seq, (encoding, temporal, keyframe) in enumerate(layers)
    ]
    assert [got and got[:2] for got in sent] == [None, None, ("switch", 0), None, ("forward", 1)]
    assert not packets.wants_keyframe


@pytest.mark.slow
def test_an_outside_package_brings_a_selector(tmp_path: Path) -> None:
    outside = build(tmp_path, SOURCE)
    selector.register("every-second", outside.EverySecond)
    chosen = selector.create("every-second", video=True)
    data = bytes.fromhex("8060 0000 00000000 00000001 10 00")
    assert probe.forward_many(data, "video/vp8", probe.Plan(), chosen, 1000) == 500
    probe.reset(chosen)
    assert [probe.select(chosen) for _ in range(4)] == ["switch", "drop", "forward", "drop"]
