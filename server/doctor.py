"""`sightline doctor`: is this machine fit for calls, and what would make it faster?"""

from __future__ import annotations

import importlib
import os
import platform
import resource
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import version
from pathlib import Path

import ifaddr
from cryptography.hazmat.backends.openssl import backend as openssl
from rich.console import Console
from rich.table import Table

UDP_SEGMENT, UDP_GRO = 103, 104  # linux/udp.h
WANTED_FILES = 4096  # sockets of callers, and room beside them
WANTED_BUFFER = 2 * 1024 * 1024  # bytes: about 10 ms of a saturated lane


class Verdict(Enum):
    """Fine; works, but could be better; calls would not work."""

    OK = "ok"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `advice` says what to do and is empty when there is nothing to do."""

    what: str
    verdict: Verdict
    seen: str
    advice: str = ""


def examine(
    *, port: int, media_port: int, data_dir: Path, web_root: Path | None, srtp_backend: str = "auto"
) -> list[Finding]:
    """Look at everything. Changes nothing but for opening and closing a few local sockets."""
    return [
        Finding(
            "system", Verdict.OK, f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores"
        ),
        _port("HTTP port", port, socket.SOCK_STREAM, "--port"),
        _port("media port, UDP", media_port, socket.SOCK_DGRAM, "--media-port"),
        _port("media port, TCP", media_port, socket.SOCK_STREAM, "--media-port"),
        *_addresses(),
        _kernel("UDP GSO", UDP_SEGMENT, "sending in one call what goes to one viewer"),
        _kernel("UDP GRO", UDP_GRO, "receiving bursts in one call"),
        _buffers(),
        _files(),
        _clock(),
        _srtp(srtp_backend),
        _crypto(),
        _data(data_dir),
        _web(web_root),
    ]


def report(findings: list[Finding]) -> int:
    """Print the findings; 1 when one is BAD, else 0."""
    colours = {Verdict.OK: "green", Verdict.NOTE: "yellow", Verdict.BAD: "red"}
    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in findings:
        colour = colours[finding.verdict]
        advice = f"\n[dim]{finding.advice}[/dim]" if finding.advice else ""
        table.add_row(f"[{colour}]{finding.verdict.value}[/{colour}]", finding.what, finding.seen + advice)
    Console().print(table)
    return int(any(finding.verdict is Verdict.BAD for finding in findings))


def _system() -> Finding:
    seen = f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores"
    return Finding("system", Verdict.OK, seen)


def _port(what: str, port: int, kind: socket.SocketKind, option: str) -> Finding:
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind is socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            advice = f"Sightline may be running already; else choose another with {option}."
            return Finding(what, Verdict.BAD, f"{port}: {error.strerror}", advice)
    return Finding(what, Verdict.OK, f"{port} is free")


def _addresses() -> Iterator[Finding]:
    ips = [ip.ip if ip.is_IPv4 else ip.ip[0] for adapter in ifaddr.get_adapters() for ip in adapter.ips]
    reachable = [str(ip) for ip in ips if not str(ip).startswith(("127.", "::1", "fe80"))]
    if reachable:
        yield Finding("addresses", Verdict.OK, ", ".join(reachable))
    else:
        yield Finding("addresses", Verdict.NOTE, "only loopback", "Only browsers on this machine can call.")
    yield Finding("IPv6", Verdict.OK, "yes") if socket.has_ipv6 else Finding("IPv6", Verdict.NOTE, "no")


def _kernel(what: str, option: int, purpose: str) -> Finding:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.setsockopt(socket.IPPROTO_UDP, option, 1200 if option == UDP_SEGMENT else 1)
        except OSError as error:
            advice = f"Without it {purpose} is not possible, and forwarding costs more CPU (Linux >= 5.0 has it)."
            return Finding(what, Verdict.NOTE, error.strerror or "refused", advice)
    return Finding(what, Verdict.OK, "yes")


def _buffers() -> Finding:
    limits = {name: _number(Path("/proc/sys/net/core") / name) for name in ("rmem_max", "wmem_max")}
    seen = ", ".join(f"{name} {value or 'unknown'}" for name, value in limits.items())
    if all(value is None or value >= WANTED_BUFFER for value in limits.values()):
        return Finding("socket buffers", Verdict.OK, seen)
    advice = f"For many viewers: sysctl -w net.core.rmem_max={WANTED_BUFFER * 2} net.core.wmem_max={WANTED_BUFFER * 2}"
    return Finding("socket buffers", Verdict.NOTE, seen, advice)


def _files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= WANTED_FILES:
        return Finding("open files", Verdict.OK, f"{soft} of {hard}")
    return Finding("open files", Verdict.NOTE, f"{soft} of {hard}", f"For many callers: ulimit -n {WANTED_FILES}")


def _clock() -> Finding:
    source = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    name = source.read_text().strip() if source.is_file() else "unknown"
    resolution = time.get_clock_info("monotonic").resolution
    seen = f"{name}, resolution {resolution * 1e9:.0f} ns"
    if resolution > 1e-6:
        return Finding("clock", Verdict.BAD, seen, "Forwarding needs a monotonic clock of at least a microsecond.")
    if name in ("hpet", "acpi_pm"):
        return Finding("clock", Verdict.NOTE, seen, "Reading this clock is slow; tsc or kvm-clock would be better.")
    return Finding("clock", Verdict.OK, seen)


def _srtp(wanted: str) -> Finding:
    """Which backend protects each profile, with which tier of instructions, and why."""
    try:
        srtp = importlib.import_module("rtpfwd.srtp")  # compares libsrtp's signatures too
        importlib.import_module("rtpfwd.lane")
    except ImportError as error:
        return Finding("SRTP", Verdict.BAD, f"the forwarding plane is not usable: {error}", "Run `make compile`.")
    try:
        backends = srtp.backends(wanted)
    except ValueError as refused:
        return Finding("SRTP", Verdict.BAD, f"{wanted}: {refused}", "Choose another with --srtp-backend.")
    said = [
        f"{backend.profile.name}: {backend.name}{f' with {backend.tier}' if backend.tier else ''} ({backend.why})"
        for backend in backends
    ]
    seen = f"{'; '.join(said)}; libsrtp: that of pylibsrtp {version('pylibsrtp')}"
    if wanted == "auto" and any(backend.name == "libsrtp" for backend in backends):
        return Finding("SRTP", Verdict.NOTE, seen, "Calls work, but encryption costs about three times as much CPU.")
    return Finding("SRTP", Verdict.OK, seen)


def _crypto() -> Finding:
    flags = _cpu_flags()
    useful = [flag for flag in ("aes", "pclmulqdq", "vaes", "vpclmulqdq", "sha_ni", "pmull", "sha1") if flag in flags]
    seen = f"{openssl.openssl_version_text()}; CPU: {' '.join(useful) or 'no crypto instructions'}"
    if "aes" in flags:
        return Finding("crypto", Verdict.OK, seen)
    advice = "This CPU has no AES instructions: encryption will cost several times more."
    return Finding("crypto", Verdict.NOTE, seen, advice)


def _data(folder: Path) -> Finding:
    existing = folder
    while not existing.exists():
        existing = existing.parent
    if os.access(existing, os.W_OK):
        return Finding("data directory", Verdict.OK, str(folder))
    advice = "Choose another with --data-dir."
    return Finding("data directory", Verdict.BAD, f"{folder}: {existing} can't be written", advice)


def _web(root: Path | None) -> Finding:
    if root is not None:
        return Finding("web client", Verdict.OK, "built")
    return Finding("web client", Verdict.BAD, "not built", "Run `make web`.")


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split(":", 1)[1].split()}
