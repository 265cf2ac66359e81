"""A headless Chromium with one page, for as long as a recording takes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import trio

from bench.errors import BenchError

# Chromium slows down what it thinks nobody sees, asks at first start, and calls home; nothing of that here.
FLAGS: Final = (
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--window-size=1400,1000",
)
STOP_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Browser:
    """`complaint()` is empty while it runs."""

    ours: bool
    version: str
    complaint: Callable[[], str]


@asynccontextmanager
async def open_browser(program: str, url: str, say: Callable[[str], None]) -> AsyncIterator[Browser]:
    """Open `url` in a browser of ours, which is closed in the end; with "none", ask the user to. Raises BenchError."""
    if program == "none":
        say(f"open {url} in a browser on this machine")
        yield Browser(ours=False, version="a browser of the user's", complaint=lambda: "")
        return
    path = shutil.which(program)
    if path is None:
        raise BenchError(
            f"{program}: no such program. Install Chromium (on Debian: apt-get install chromium), name yours with "
            "--browser PATH, or open the page yourself with --browser none"
        )
    version = await _version(path)
    say(f"starting {version}")
    with tempfile.TemporaryDirectory(prefix="sightline-record-", ignore_cleanup_errors=True) as folder:
        with (Path(folder) / "stderr").open("w+b") as stderr:
            process = await _start(path, url, folder, stderr)
            try:
                yield Browser(ours=True, version=version, complaint=lambda: _complaint(process, stderr))
            finally:
                with trio.CancelScope(shield=True):
                    await _stop(process)


async def _version(path: str) -> str:
    """ "Chromium 140.0.1"."""
    try:
        with trio.fail_after(20):
            result = await trio.run_process([path, "--version"], capture_stdout=True, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError, trio.TooSlowError) as error:
        raise BenchError(f"{path} does not tell its version: {error}") from error
    words = result.stdout.decode(errors="replace").split()
    return " ".join(words[:2]) or "an unknown browser"


async def _start(path: str, url: str, folder: str, stderr: IO[bytes]) -> trio.Process:
    flags = [*FLAGS, f"--user-data-dir={folder}/profile"]
    if os.geteuid() == 0:
        flags.append("--no-sandbox")  # Chromium refuses to run as root with one
    try:
        # In a process group of its own, so that its children end with it and Ctrl-C is ours to handle.
        return await trio.lowlevel.open_process(
            [path, *flags, url], stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, start_new_session=True
        )
    except OSError as error:
        raise BenchError(f"{path} can't be started: {error.strerror}") from error


def _complaint(process: trio.Process, stderr: IO[bytes]) -> str:
    if process.poll() is None:
        return ""
    stderr.seek(0)
    lines = stderr.read(1 << 16).decode(errors="replace").strip().splitlines()
    return f"exit code {process.returncode}" + (f"; it said: {lines[-1][:200]}" if lines else "")


async def _stop(process: trio.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with trio.move_on_after(STOP_SECONDS):
            await process.wait()
            return
