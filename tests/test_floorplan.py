"""The floor plan of docs/architecture.md where import-linter can't see it: Cython, coroutines, the clock, sizes."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CYTHON = sorted(path for root in ("rtpfwd", "bench") for path in (ROOT / root).rglob("*.p[yx][xd]"))
PRODUCT = sorted(
    path
    for root in ("server", "rtpfwd", "signaling", "protos", "ops", "bench")
    for path in (ROOT / root).rglob("*.py")
    if not path.name.endswith("_pb2.py")
)
CORE = ("rtc", "media", "policy")
SANS_IO = [path for path in PRODUCT if path.is_relative_to(ROOT / "server") and path.parts[len(ROOT.parts) + 1] in CORE]
PLANE = [path for path in CYTHON if path.is_relative_to(ROOT / "rtpfwd")]
PLANE_BODIES = [path for path in PLANE if path.suffix == ".pyx"]
MAY_READ_A_CLOCK = {"server/io/clock.py", "server/doctor.py", "server/testing/emulator.py"}  # each a loop of its own

IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import|c?import\s+([\w., ]+))", re.MULTILINE)
RTPFWD_MAY_IMPORT = {"rtpfwd", "libc", "posix", "cpython", "cython", "pylibsrtp", "__future__", "collections", "typing"}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported_roots(text: str) -> set[str]:
    modules = [match[1] or part for match in IMPORT.finditer(text) for part in (match[2] or "x").split(",")]
    return {module.split()[0].split(".")[0] for module in modules}


def test_every_package_is_in_the_wheel():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert listed == sorted(
        ".".join(path.relative_to(ROOT).parent.parts) for path in PRODUCT if path.stem == "__init__"
    )


def test_there_is_something_to_check():
    assert len(PRODUCT) > 30
    assert len(CYTHON) > 10


@pytest.mark.parametrize("path", PLANE, ids=name)
def test_the_plane_imports_nothing_of_ours(path: Path):
    foreign = imported_roots(path.read_text()) - RTPFWD_MAY_IMPORT
    assert not foreign, f"{name(path)} imports {foreign}; rtpfwd knows only libc, libsrtp and itself"


@pytest.mark.parametrize("path", CYTHON, ids=name)
def test_cython_has_no_textual_include_and_no_def_constant(path: Path):
    text = path.read_text()
    assert not re.search(r"^\s*include\s+[\"']", text, re.MULTILINE)
    assert not re.search(r"^\s*DEF\s", text, re.MULTILINE)


@pytest.mark.parametrize("path", [p for p in CYTHON if p.suffix == ".pxd"], ids=name)
def test_every_header_function_says_how_it_fails(path: Path):
    declared = re.findall(
        r"^\s*(?:cdef|ctypedef)\s+(?!class\b)[^\n#=:]*\([^\n]*\)[^\n]*$", path.read_text(), re.MULTILINE
    )
    loose = [line for line in declared if "noexcept" not in line and "except" not in line and "__cinit__" not in line]
    assert not loose, f"{name(path)}: say `noexcept nogil` or `except -1`: {loose}"


@pytest.mark.parametrize("path", PLANE_BODIES, ids=name)
def test_only_the_lane_makes_system_calls_or_reads_a_clock(path: Path):
    if path.stem in {"lane", "egress"}:  # egress is the sending half of the lane
        return
    calls = re.findall(r"\b(clock_gettime|(?:recv|send)m?msg|sendto|epoll_\w+|time\.monotonic)\b", path.read_text())
    assert not calls, f"{name(path)} uses {set(calls)}; only rtpfwd/lane.pyx and egress.pyx may"


@pytest.mark.parametrize("path", SANS_IO, ids=name)
def test_the_core_has_no_coroutine(path: Path):
    tree = ast.parse(path.read_text())
    found = [node.lineno for node in ast.walk(tree) if isinstance(node, (ast.AsyncFunctionDef, ast.Await))]
    assert not found, f"{name(path)}:{found} is async; the core is sans-I/O"


@pytest.mark.parametrize("path", PRODUCT, ids=name)
def test_only_the_clock_reads_the_monotonic_clock(path: Path):
    if name(path) in MAY_READ_A_CLOCK or path.relative_to(ROOT).parts[0] in ("bench", "ops"):
        return
    assert not re.search(r"\btime\.(monotonic|perf_counter)(_ns)?\(", path.read_text()), name(path)


def opening(path: Path) -> str:
    """The module's docstring or first comment, where a long file says why."""
    return path.read_text()[:1500].lower()


@pytest.mark.parametrize("path", PRODUCT + CYTHON, ids=name)
def test_a_long_file_says_why(path: Path):
    lines = path.read_text().count("\n")
    if lines > 400:
        assert "lines" in opening(path), f"{name(path)} has {lines} lines: split it, or say on top why it is one file"


@pytest.mark.parametrize("path", PRODUCT, ids=name)
def test_a_long_function_says_why(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            explained = "lines" in (ast.get_docstring(node) or "").lower()
            assert length <= 60 or explained, (
                f"{name(path)}:{node.lineno} {node.name} has {length} lines: split it, or say why"
            )


@pytest.mark.parametrize("path", PRODUCT, ids=name)
def test_banned_names_are_not_used(path: Path):
    words = re.findall(r"\b(?:class|def)\s+(\w*(?:[Mm]anager|[Hh]elper|[Uu]til)\w*)", path.read_text())
    assert not words, f"{name(path)}: {words} name nothing; see the vocabulary in docs/architecture.md"


def test_no_host_of_a_package_registry_and_no_machine_path_is_committed():
    hosts = re.compile(r"registry\.npmjs\.|files\.pythonhosted|pypi\.org/simple")
    for path in [*ROOT.glob("requirements/*.txt"), *ROOT.glob("**/package-lock.json"), *ROOT.glob("**/.npmrc")]:
        if "node_modules" not in path.parts and ".venv" not in path.parts:
            assert not hosts.search(path.read_text()), name(path)
