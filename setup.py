"""The compiled part of Sightline: every .pyx below rtpfwd/ and bench/ is one extension. The rest: pyproject.toml.

RTPFWD_DEBUG=1 builds with bounds checks, line tracing (for coverage) and no optimisation; RTPFWD_SANITIZE=1 with
AddressSanitizer and UndefinedBehaviorSanitizer (ops/sanitize.sh). A wheel also carries the
built web client, so that an installed `sightline up` needs neither a compiler nor Node.js.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_py import build_py

DEBUG = os.environ.get("RTPFWD_DEBUG") == "1"
SANITIZE = os.environ.get("RTPFWD_SANITIZE") == "1"
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


def extensions() -> list[Extension]:
    """One extension per .pyx, named by its path."""
    found = sorted(path for root in ("rtpfwd", "bench") for path in Path(root).rglob("*.pyx"))
    return [
        Extension(
            ".".join(path.with_suffix("").parts),
            [str(path)],
            define_macros=[("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_USE_SYS_MONITORING", "0")] if DEBUG else [],
            extra_compile_args=compile_flags(),
            extra_link_args=SANITIZERS if SANITIZE else [],
        )
        for path in found
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
    cores = os.cpu_count() or 1
    setup(
        ext_modules=cythonize(
            extensions(), compiler_directives=DIRECTIVES, build_dir="build/cython", nthreads=cores, quiet=True
        ),
        options={"build_ext": {"parallel": cores}},
        cmdclass={"build_py": BuildWithWebClient},
    )
