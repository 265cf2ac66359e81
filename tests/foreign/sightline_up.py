"""`sightline up` as a user starts it, for tests: a process of its own on free ports of loopback."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
READY = re.compile(r"is ready: open (http://\S+)")
MEDIA = re.compile(r"media: UDP and TCP port ([\d, ]+) at")


@dataclass
class Sightline:
    """A running server. `lines` is everything that it has said on stderr so far."""

    url: str
    media_port: int
    process: subprocess.Popen[str]
    data_dir: Path
    lines: list[str] = field(default_factory=list)

    def tracebacks(self) -> list[str]:
        """Lines that show an exception nobody expected. A healthy server has none, whatever it was sent."""
        return [line for line in self.lines if "Traceback" in line or '"exception"' in line]


def command(*options: str) -> list[str]:
    """The command line of the installed `sightline`, in this Python."""
    return [sys.executable, "-m", "server", *options]


@contextmanager
def sightline_up(
    data_dir: Path,
    *options: str,
    prefix: list[str] | None = None,
    media_host: str | None = "127.0.0.1",
    environment: dict[str, str] | None = None,
    folder: Path = CHECKOUT,
) -> Iterator[Sightline]:
    """Start in `folder`, wait until it says that it is ready, stop with SIGINT at the end. `prefix`: ip netns exec …"""
    arguments = ["up", "--port", "0", "--media-port", "0", "--data-dir", str(data_dir), "--log-level", "debug"]
    if media_host is not None:
        arguments += ["--media-host", media_host]
    process = subprocess.Popen(
        [*(prefix or []), *command(*arguments, *options)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
        cwd=folder,
    )
    lines: list[str] = []
    news: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    reader = threading.Thread(target=_read, args=(process, lines, news), daemon=True)
    reader.start()
    try:
        url, port = _wait_until_ready(news, lines)
        yield Sightline(url, port, process, data_dir, lines)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            reader.join(timeout=5)
            assert process.stderr is not None
            process.stderr.close()


def _read(process: subprocess.Popen[str], lines: list[str], news: queue.SimpleQueue[str | None]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        lines.append(line.rstrip("\n"))
        news.put(line)
    news.put(None)


def _wait_until_ready(news: queue.SimpleQueue[str | None], lines: list[str]) -> tuple[str, int]:
    url, deadline = "", time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            line = news.get(timeout=1)
        except queue.Empty:
            continue
        if line is None:
            break
        if found := READY.search(line):
            url = found[1]
        if url and (media := MEDIA.search(line)):
            return url, int(media[1].split(",")[0])
    raise RuntimeError("sightline up did not become ready:\n" + "\n".join(lines[-30:]))
