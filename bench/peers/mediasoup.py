"""mediasoup: one worker, driven through a small Node.js script (mediasoup_server.mjs) over JSON lines.

Its API is documented at https://mediasoup.org/documentation/v3/mediasoup/api/. The process that counts is the worker.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import trio

from bench.errors import BenchError
from bench.peers.missing import PeerMissing, require_program
from bench.peers.process import end, pinned
from bench.peers.viewer import viewer_capabilities
from bench.target import LocalEnd, Room, ServerEnd, Stream, Subscription
from server.errors import LocalError
from server.rtc.capabilities import DEFAULT_CODECS
from server.rtc.certificate import Fingerprint
from server.rtc.parameters import InvalidParameters, RtpParameters, rtp_parameters

ANSWER_SECONDS = 15
START_SECONDS = 20
LONGEST_LINE = 1 << 20
SCRIPT: Final = Path(__file__).with_name("mediasoup_server.mjs")
WORKER: Final = "node_modules/mediasoup/worker/out/Release/mediasoup-worker"
TUNING: Final = (
    "one worker, one WebRtcServer port over UDP only, 4 MiB socket buffers, log level none, initial outgoing bitrate "
    "1 Gbit/s, viewers without header extensions but the MID (no transport-cc, so no bandwidth estimation)"
)
HOW_TO_GET: Final = (
    "In any directory: npm install mediasoup@3 (it downloads or builds its worker binary). Then name that directory "
    "with MEDIASOUP_DIR, or run this inside it; a worker binary from elsewhere is named with MEDIASOUP_WORKER_BIN."
)


class _Greeting(msgspec.Struct, frozen=True):
    version: str = ""
    pid: int = 0
    error: str | None = None


class _Answer(msgspec.Struct, frozen=True):
    reply: msgspec.Raw = msgspec.Raw(b"null")
    error: str | None = None


class Created(msgspec.Struct, frozen=True):
    """A router, a producer, or nothing but an id."""

    id: str


class Consumed(msgspec.Struct, frozen=True, rename="camel"):
    """A new consumer."""

    id: str
    rtp_parameters: dict[str, Any]


class _Ice(msgspec.Struct, frozen=True, rename="camel"):
    username_fragment: str
    password: str


class _Candidate(msgspec.Struct, frozen=True):
    address: str
    port: int
    protocol: str


class _Hash(msgspec.Struct, frozen=True):
    algorithm: str
    value: str


class _Dtls(msgspec.Struct, frozen=True):
    fingerprints: list[_Hash]


class Transport(msgspec.Struct, frozen=True, rename="camel"):
    """A new WebRtcTransport."""

    id: str
    ice_parameters: _Ice
    ice_candidates: list[_Candidate]
    dtls_parameters: _Dtls

    def server_end(self) -> ServerEnd:
        """Where it is reached. BenchError without a UDP candidate or a SHA-256 fingerprint."""
        ice = self.ice_parameters
        for candidate in self.ice_candidates:
            for found in self.dtls_parameters.fingerprints:
                if candidate.protocol == "udp" and found.algorithm == "sha-256":
                    fingerprint = _fingerprint(found)
                    return ServerEnd(
                        candidate.address, candidate.port, ice.username_fragment, ice.password, fingerprint
                    )
        raise BenchError("mediasoup made a transport without a UDP candidate or a SHA-256 fingerprint")


def _fingerprint(found: _Hash) -> Fingerprint:
    try:
        return Fingerprint(found.algorithm, found.value)
    except LocalError as error:
        raise BenchError(f"mediasoup's certificate can't be checked: {error}") from error


R = TypeVar("R")


class Script:
    """The running script. Commands of several tasks wait for each other."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._pending = b""
        self._turn = trio.Lock()

    async def call(self, method: str, data: dict[str, Any], shape: type[R]) -> R:
        """One method of the script. BenchError when it refuses or has gone."""
        async with self._turn:
            try:
                await self._stdin.send_all(msgspec.json.encode({"method": method, "data": data}) + b"\n")
            except trio.BrokenResourceError:
                raise BenchError("mediasoup's process ended; what it said is above") from None
            answer = _decoded(await self._read_line(ANSWER_SECONDS), _Answer)
        if answer.error is not None:
            raise BenchError(f"mediasoup refused {method}: {answer.error}")
        return _decoded(answer.reply, shape)

    async def greeting(self) -> _Greeting:
        """What it says first. PeerMissing with its reason when mediasoup could not be started."""
        said = _decoded(await self._read_line(START_SECONDS), _Greeting)
        if said.error is not None:
            raise PeerMissing(f"mediasoup could not be started: {said.error}. {HOW_TO_GET}")
        return said

    async def _read_line(self, seconds: float) -> bytes:
        with trio.move_on_after(seconds):
            while b"\n" not in self._pending:
                chunk = await self._stdout.receive_some()
                if not chunk or len(self._pending) > LONGEST_LINE:
                    raise BenchError("mediasoup's process ended; what it said is above")
                self._pending += chunk
            line, _, self._pending = self._pending.partition(b"\n")
            return line
        raise BenchError(f"mediasoup did not answer within {seconds:g} s; is this machine busy?")


def _decoded(text: bytes | msgspec.Raw, shape: type[R]) -> R:
    try:
        return msgspec.json.decode(text, type=shape)
    except msgspec.DecodeError as error:
        raise BenchError(f"the mediasoup script said something unexpected: {error}") from error


class MediasoupRoom:
    """One router; a WebRtcTransport for each publisher and each viewer."""

    def __init__(self, script: Script, router_id: str) -> None:
        self._script = script
        self._router_id = router_id
        self._producers: dict[str, list[str]] = {}
        self._consumers: dict[str, list[str]] = {}

    async def publish(self, local: LocalEnd, parameters: Sequence[tuple[str, RtpParameters]]) -> tuple[str, ServerEnd]:
        """See bench.target.Room."""
        transport = await self._transport(local)
        producers = []
        for kind, sent in parameters:
            data = {"transportId": transport.id, "kind": kind, "rtpParameters": msgspec.to_builtins(sent)}
            producers.append((await self._script.call("produce", data, Created)).id)
        self._producers[transport.id] = producers
        return transport.id, transport.server_end()

    async def subscribe(self, local: LocalEnd, publishers: Sequence[str]) -> Subscription:
        """See bench.target.Room."""
        transport = await self._transport(local)
        capabilities = msgspec.to_builtins(viewer_capabilities())
        streams = []
        consumers = self._consumers.setdefault(transport.id, [])
        for publisher in publishers:
            for producer in self._producers[publisher]:
                data = {"transportId": transport.id, "producerId": producer, "rtpCapabilities": capabilities}
                consumed = await self._script.call("consume", data, Consumed)
                consumers.append(consumed.id)
                streams.append(Stream(publisher, _parameters(consumed)))
        return Subscription(transport.id, transport.server_end(), tuple(streams))

    async def start(self, subscription: Subscription) -> None:
        """See bench.target.Room."""
        for consumer in self._consumers.pop(subscription.id, ()):
            await self._script.call("resume", {"consumerId": consumer}, dict)

    async def _transport(self, local: LocalEnd) -> Transport:
        fingerprint = {"algorithm": local.fingerprint.algorithm, "value": local.fingerprint.value}
        dtls = {"role": "client", "fingerprints": [fingerprint]}
        data = {"routerId": self._router_id, "dtlsParameters": dtls}
        return await self._script.call("createTransport", data, Transport)


def _parameters(consumed: Consumed) -> RtpParameters:
    try:
        return rtp_parameters(consumed.rtp_parameters)
    except InvalidParameters as error:
        raise BenchError(f"mediasoup sends a stream that can't be described: {error}") from error


class Mediasoup:
    """A running worker (bench.target.Target)."""

    name = "mediasoup"
    tuning = TUNING

    def __init__(self, script: Script, greeting: _Greeting) -> None:
        self.version = greeting.version
        self.pid = greeting.pid
        self._script = script

    async def open_room(self) -> Room:
        """See bench.target.Target."""
        codecs = msgspec.to_builtins(DEFAULT_CODECS)
        return MediasoupRoom(
            self._script, (await self._script.call("createRouter", {"mediaCodecs": codecs}, Created)).id
        )

    async def counters(self) -> dict[str, float]:
        """None: mediasoup counts per transport and per stream only."""
        return {}


def check_installed(environment: dict[str, str]) -> tuple[str, Path]:
    """(node, the directory that has mediasoup installed). PeerMissing, saying what to do, when something lacks."""
    node = require_program("node", "mediasoup runs under Node.js 22 or newer: https://nodejs.org")
    folder = Path(environment.get("MEDIASOUP_DIR") or Path.cwd())
    if not (folder / "node_modules/mediasoup/package.json").exists():
        raise PeerMissing(f"the npm package mediasoup is not installed in {folder}. {HOW_TO_GET}")
    named = environment.get("MEDIASOUP_WORKER_BIN")
    worker = Path(named) if named else folder / WORKER
    if not worker.exists():
        raise PeerMissing(f"mediasoup's worker binary {worker} does not exist. {HOW_TO_GET}")
    return node, folder


@asynccontextmanager
async def open_mediasoup(*, address: str, cpus: Sequence[int] = ()) -> AsyncIterator[Mediasoup]:
    """A worker for as long as the context lasts, whose transports are at `address`."""
    node, folder = check_installed(dict(os.environ))
    process = await trio.lowlevel.open_process(
        pinned([node, str(SCRIPT), address], cpus),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "MEDIASOUP_DIR": str(folder.absolute())},
    )
    try:
        script = Script(process)
        yield Mediasoup(script, await script.greeting())
    finally:
        with trio.CancelScope(shield=True):
            assert process.stdin is not None
            await process.stdin.aclose()  # it closes its worker then
            with trio.move_on_after(2):
                await process.wait()
            await end(process)
