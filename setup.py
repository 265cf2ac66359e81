"""The compiled part of Sightline: every .pyx below rtpfwd/ and bench/ is one extension, and so is every module of
server/ with a .pxd beside its .py: it is Python, and faster with those types. The rest: pyproject.toml.

RTPFWD_DEBUG=1 builds with bounds checks, line tracing (for coverage) and no optimisation; RTPFWD_SANITIZE=1 with
AddressSanitizer and UndefinedBehaviorSanitizer (ops/sanitize.sh). A wheel also carries the
built web client, so that an installed `sightline up` needs neither a compiler nor Node.js.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_py import build_py

DEBUG = os.environ.get("RTPFWD_DEBUG") == "1"
SANITIZE = os.environ.get("RTPFWD_SANITIZE") == "1"
CORES = os.cpu_count() or 1
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
WEB_EXPORT = Path("web/out")

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


def compile_flags() -> list[str]:
    """By kind of build."""
    if SANITIZE:
        return ["-O1", "-g", "-fno-omit-frame-pointer", "-fno-strict-aliasing", *SANITIZERS]
    return ["-O0", "-g"] if DEBUG else ["-O3", "-fno-strict-aliasing"]


# A module of Python stays one: its integers divide and its indices count as Python's do.
PYTHON_DIRECTIVES = {
    **DIRECTIVES,
    "annotation_typing": False,
    "auto_pickle": False,
    "boundscheck": True,
    "cdivision": False,
    "embedsignature": False,
    "wraparound": True,
}


def extensions(sources: Iterable[Path]) -> list[Extension]:
    """One for each, named by its path."""
    return [
        Extension(
            ".".join(path.with_suffix("").parts),
            [str(path)],
            define_macros=[("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_USE_SYS_MONITORING", "0")] if DEBUG else [],
            extra_compile_args=compile_flags(),
            extra_link_args=SANITIZERS if SANITIZE else [],
        )
        for path in sorted(sources)
    ]


def compiled() -> list[Extension]:
    """All of them, as C."""
    planes = [path for root in ("rtpfwd", "bench") for path in Path(root).rglob("*.pyx")]
    typed = [path.with_suffix(".py") for path in Path("server").rglob("*.pxd")]
    return [
        extension
        for sources, directives in ((planes, DIRECTIVES), (typed, PYTHON_DIRECTIVES))
        for extension in cythonize(
            extensions(sources), compiler_directives=directives, build_dir="build/cython", nthreads=CORES, quiet=True
        )
    ]


class BuildWithWebClient(build_py):
    """Put web/out into the wheel as signaling/web_client. A development install reads web/out in place."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        if not (WEB_EXPORT / "index.html").is_file():
            raise SystemExit("web/out is missing: run `make web` before building a wheel (`make wheel` does both)")
        shutil.copytree(WEB_EXPORT, Path(self.build_lib) / "signaling" / "web_client", dirs_exist_ok=True)


if __name__ == "__main__":
    setup(
        ext_modules=compiled(),
        options={"build_ext": {"parallel": CORES}},
        cmdclass={"build_py": BuildWithWebClient},
    )
