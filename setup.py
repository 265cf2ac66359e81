"""The compiled part of Sightline: every .pyx under rtpfwd/ and bench/ is one extension. Everything else: pyproject.toml.

RTPFWD_DEBUG=1 builds with bounds checks, line tracing (for coverage) and no optimisation.
"""

from __future__ import annotations

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("RTPFWD_DEBUG") == "1"

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": DEBUG,
    "embedsignature": True,
    "linetrace": DEBUG,
    "overflowcheck": False,
}


def extensions() -> list[Extension]:
    """One extension per .pyx, named by its path."""
    found = sorted(path for root in ("rtpfwd", "bench") for path in Path(root).rglob("*.pyx"))
    return [
        Extension(
            ".".join(path.with_suffix("").parts),
            [str(path)],
            define_macros=[("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_USE_SYS_MONITORING", "0")] if DEBUG else [],
            extra_compile_args=["-O0", "-g"] if DEBUG else ["-O3", "-fno-strict-aliasing"],
            depends=[str(header) for header in Path("rtpfwd").rglob("*.h")],
        )
        for path in found
    ]


if __name__ == "__main__":
    setup(ext_modules=cythonize(extensions(), compiler_directives=DIRECTIVES, build_dir="build/cython"))
