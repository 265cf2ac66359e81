"""A selector that another package brings: compiled against the shipped headers only, found by its name."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from rtpfwd import probe, selector

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


@pytest.mark.slow
def test_an_outside_package_brings_a_selector(tmp_path: Path) -> None:
    (tmp_path / "outside.pyx").write_text(SOURCE)
    build = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from Cython.Build import cythonize\nfrom setuptools import setup\n"
        "setup(name='outside', script_args=['-q', 'build_ext', '--inplace'],"
        " ext_modules=cythonize(['outside.pyx'], include_path=[sys.argv[1]], language_level=3, quiet=True))\n"
    )
    subprocess.run([sys.executable, "-c", build, str(ROOT)], cwd=tmp_path, check=True, capture_output=True)
    (built,) = tmp_path.glob("outside.*.so")
    spec = importlib.util.spec_from_file_location("outside", built)
    assert spec is not None
    assert spec.loader is not None
    outside = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(outside)

    selector.register("every-second", outside.EverySecond)
    chosen = selector.create("every-second", video=True)
    data = bytes.fromhex("8060 0000 00000000 00000001 10 00")
    assert probe.forward_many(data, "video/vp8", probe.Plan(), chosen, 1000) == 500
    probe.reset(chosen)
    assert [probe.select(chosen) for _ in range(4)] == ["switch", "drop", "forward", "drop"]
