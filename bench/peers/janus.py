"""Janus with its VideoRoom plugin: a process that the bench starts, tunes and commands."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import trio

from bench.errors import BenchError
from bench.peers.descriptions import answer_offer, read_description, server_end, write_offer
from bench.peers.janus_config import HOW_TO_GET, TUNINGS, Tuning, find_modules, write_configuration
from bench.peers.janus_session import JanusSession, Jsep, open_session
from bench.peers.missing import require_program
from bench.peers.process import ServerProcess, free_port, open_server
from bench.target import LocalEnd, Room, ServerEnd, Stream, Subscription
from server.rtc.parameters import RtpParameters

START_SECONDS = 20

# Nothing that would cap, disturb or watch the media. Codecs are taken as the publisher offers them.
_ROOM: Final = {
    "request": "create",
    "permanent": False,
    "publishers": 1000,
    "bitrate": 0,
    "fir_freq": 0,
    "audiocodec": "opus",
    "videocodec": "vp8,vp9,h264,av1",
    "video_svc": True,
    "opus_fec": False,
    "audiolevel_ext": False,
    "audiolevel_event": False,
    "videoorient_ext": False,
    "playoutdelay_ext": False,
    "transport_wide_cc_ext": False,
    "notify_joining": False,
    "record": False,
}


class JanusRoom:
    """One VideoRoom. Each publisher and each viewer is a handle of its own, with one PeerConnection."""

    def __init__(self, session: JanusSession, room: int) -> None:
        self._session = session
        self._room = room
        self._handles: dict[str, int] = {}  # of publishers

    async def publish(self, local: LocalEnd, parameters: Sequence[tuple[str, RtpParameters]]) -> tuple[str, ServerEnd]:
        """See bench.target.Room."""
        handle = await self._session.attach()
        body = {"request": "joinandconfigure", "room": self._room, "ptype": "publisher", "record": False}
        said, answer = await self._session.ask(handle, body, Jsep("offer", write_offer(local, parameters)))
        if answer is None or answer.type != "answer" or "id" not in said:
            raise BenchError("Janus took the publisher but did not answer its offer")
        publisher = str(said["id"])
        self._handles[publisher] = handle
        return publisher, server_end(read_description(answer.sdp))

    async def subscribe(self, local: LocalEnd, publishers: Sequence[str]) -> Subscription:
        """See bench.target.Room."""
        for publisher in publishers:
            await self._session.wait_connected(self._handles[publisher])
        handle = await self._session.attach()
        said, jsep = await self._session.ask(
            handle,
            {
                "request": "join",
                "room": self._room,
                "ptype": "subscriber",
                "streams": [{"feed": int(publisher)} for publisher in publishers],
            },
        )
        if jsep is None or jsep.type != "offer":
            raise BenchError("Janus took the viewer but offered it nothing")
        offer = read_description(jsep.sdp)
        answer, coming = answer_offer(local, offer)
        await self._session.ask(handle, {"request": "start"}, Jsep("answer", answer))
        # "start" is also what carries the answer; nothing is to flow before the viewer watches.
        await self._session.ask(handle, {"request": "pause"})
        feeds = _feeds(said)
        streams = tuple(Stream(feeds[mid], parameters) for mid, parameters in coming.items() if mid in feeds)
        return Subscription(str(handle), server_end(offer), streams)

    async def start(self, subscription: Subscription) -> None:
        """See bench.target.Room."""
        await self._session.ask(int(subscription.id), {"request": "start"})


def _feeds(said: dict[str, Any]) -> dict[str, str]:
    """The publisher of each section, by mid."""
    streams = said.get("streams", [])
    return {str(stream["mid"]): str(stream["feed_id"]) for stream in streams if "mid" in stream and "feed_id" in stream}


class Janus:
    """A running Janus (bench.target.Target)."""

    name = "janus"

    def __init__(self, process: ServerProcess, session: JanusSession, *, version: str, tuning: Tuning) -> None:
        self.version = version
        self.tuning = TUNINGS[tuning]
        self.pid = process.pid
        self._process = process
        self._session = session

    async def open_room(self) -> Room:
        """See bench.target.Target."""
        self._process.check()
        said, _ = await self._session.ask(await self._session.attach(), _ROOM)
        if "room" not in said:
            raise BenchError("Janus made no room")
        return JanusRoom(self._session, int(said["room"]))

    async def counters(self) -> dict[str, float]:
        """None: what Janus counts is behind its admin API, per handle."""
        return {}


@asynccontextmanager
async def open_janus(*, address: str, tuning: Tuning = "best", cpus: Sequence[int] = ()) -> AsyncIterator[Janus]:
    """A Janus for as long as the context lasts. `address`: an IPv4 address of this machine that is not loopback."""
    program = require_program("janus", HOW_TO_GET)
    modules = find_modules(program)
    version = await _version(program)
    with tempfile.TemporaryDirectory(prefix="sightline-janus-") as name:
        folder = Path(name)
        port = free_port("127.0.0.1")
        write_configuration(folder, modules, address=address, port=port, tuning=tuning)
        command = [program, "--config", str(folder / "janus.jcfg"), "--configs-folder", str(folder)]
        async with open_server("Janus", command, log=folder / "janus.log", cpus=cpus) as process:
            await process.wait_for_port("127.0.0.1", port, START_SECONDS)
            async with open_session(port) as session:
                yield Janus(process, session, version=version, tuning=tuning)


async def _version(program: str) -> str:
    """Janus prints its version on standard output or error and ends with a failure or a success, by version."""
    done = await trio.run_process([program, "--version"], capture_stdout=True, stderr=subprocess.STDOUT, check=False)
    found = re.search(rb"\d+\.\d+(\.\d+)?", done.stdout)
    return found.group().decode() if found else "unknown"
