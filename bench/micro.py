"""`sightline bench micro`: what each stage of a packet's way costs, and what this machine could do at best.

Everything runs in one thread of this process, over the product's own code (bench/stages.pyx). A cell is one figure: a
stage under one set of circumstances. All cells are measured in turns, so that a slow moment of the machine touches
every cell of one turn and not all turns of one cell.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from bench.errors import BenchError
from bench.measurement import PROFILES, Progress, Run, silent
from bench.report import Figure
from bench.stages import CryptoStage, PacketStages, PlaneStage, copy, loopback
from rtpfwd.names import EXTENSION_URIS, codec_of
from rtpfwd.params import (
    Address,
    CodecParams,
    ConsumerParams,
    EncodingParams,
    PayloadMapping,
    ProducerParams,
    SrtpProfile,
)
from rtpfwd.plane import Plane
from rtpfwd.selector import create
from rtpfwd.srtp import SrtpPolicy, backends, set_backend
from server import __version__
from server.rtc import uris
from server.testing.rtp import RtpPacket

SIZES: Final = (100, 200, 600, 1200)  # payload bytes
BATCHES: Final = (1, 10, 50)  # packets protected by one call
RUNS: Final = (1, 2, 5, 10, 20, 40)  # packets in a row for one viewer: what one segmented message can hold
BACKENDS: Final = ("native", "libsrtp")
KEY_SIZE: Final = {SrtpProfile.AEAD_AES_128_GCM: 28, SrtpProfile.AES128_CM_SHA1_80: 30}  # with the salt
VIEWERS: Final = 10  # of the whole plane
STREAMS: Final = 4000  # in the look-up table
PACKETS: Final = 64
SSRC: Final = 0x01020304
RECEIVE_BUFFER: Final = 4 << 20
_UDP_GRO: Final = 104  # linux/udp.h
_PUBLISHER: Final[Address] = ("udp", "127.0.0.1", 9)  # sends nothing by itself
_MEDIA: Final = "video/vp8"
_EXTENSIONS: Final = ((uris.MID, 1), (uris.ABS_SEND_TIME, 2), (uris.TRANSPORT_CC, 3))
# How each codec's packets begin: a keyframe's first, and one that continues a frame.
_PAYLOADS: Final = {
    "video/vp8": (b"\x90\xe0\x81\x23\x05\x20\x10\x02\x00\x9d\x01\x2a", b"\x80\xe0\x81\x23\x05\x20"),
    "video/vp9": (b"\xa8\x81\x23\x00\x00\x05", b"\xe0\x81\x23\x04"),
    "video/h264": (b"\x78\x00\x04\x67\x42\xc0\x1f\x00\x04\x68\xce\x3c\x80\x00\x02\x65\x88", b"\x7c\x05\x88"),
    "video/av1": (b"\x18\x0a\x0b\x00\x00\x00", b"\x90\x30"),
    "audio/opus": (b"\x78\x80", b"\x78\x80"),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure. `measure` answers it, from a count of rounds that is the bench's effort."""

    figure: Figure
    measure: Callable[[int], float]


@contextmanager
def open_cells(seed: int) -> Iterator[list[Cell]]:
    """Everything that can be measured on this machine. Restores the process's SRTP backend."""
    with ExitStack() as stack:
        stack.callback(set_backend, "auto")
        yield [*_packet_cells(), *_crypto_cells(seed), *_plane_cells(stack, seed), *_limit_cells(stack)]


def measure_cells(cells: Sequence[Cell], repeat: int, effort: int, progress: Progress = silent) -> list[Run]:
    """All cells `repeat` times, in turns, after one turn that only warms up."""
    runs = []
    for number in range(repeat + 1):
        load = os.getloadavg()[0]
        figures: dict[str, float | None] = {}
        for index, cell in enumerate(cells):
            progress(f"turn {number} of {repeat}", (number + index / len(cells)) / (repeat + 1))
            figures[cell.figure.key] = cell.measure(effort if number else 1)
        if number:
            runs.append(Run(f"sightline {__version__}", "one thread of the bench", figures, {}, load, ()))
    return runs


def _ns(key: str, title: str) -> Figure:
    return Figure(f"{key}_ns", title, "ns", 1)


def _packets(mime_type: str, size: int) -> list[bytes]:
    """A keyframe's first packet and then others, with the extensions that browsers send."""
    first, other = _PAYLOADS[mime_type]
    extensions = ((1, b"0"), (2, b"abc"), (3, b"xy"))
    payloads = [first] + [other] * (PACKETS - 1)
    return [
        bytes(RtpPacket(96, SSRC, number, 3000, payload.ljust(size, b"\x5a"), False, extensions))
        for number, payload in enumerate(payloads)
    ]


def _stages(mime_type: str) -> PacketStages:
    return PacketStages(
        _packets(mime_type, 1200),
        codec=codec_of(mime_type),
        selector=create("passthrough", video=mime_type.startswith("video/")),
        extensions=[(EXTENSION_URIS[uri], number, number) for uri, number in _EXTENSIONS],
        streams=STREAMS,
    )


def _packet_cells() -> Iterator[Cell]:
    stages = _stages(_MEDIA)
    for key, title, method in (
        ("loop", "the loop itself, in some of the following", stages.nothing),
        ("parse", "parse the RTP header", stages.parse),
        ("find", f"find the stream, one of {STREAMS}", stages.find),
        ("recv_stream", "take it into the received stream", stages.receive),
        ("history", "keep it for retransmission, 1200 bytes", stages.keep),
        ("select", "select", stages.select),
        ("rewrite", "rewrite number and timestamp", stages.rewrite),
        ("header", "write the header", stages.header),
        ("send_stream", "note it as sent", stages.note_sent),
    ):
        yield Cell(_ns(key, title), method)
    for mime_type in _PAYLOADS:
        name = mime_type.partition("/")[2]
        yield Cell(_ns(f"describe_{name}", f"describe the payload, {name}"), _stages(mime_type).describe)


def able_backends() -> list[str]:
    """Those that this CPU has."""
    able = []
    for name in BACKENDS:
        with suppress(ValueError):
            backends(name)
            able.append(name)
    return able


def _policies(profile: SrtpProfile, seed: int, backend: str) -> tuple[list[SrtpPolicy], SrtpPolicy]:
    """Of fifty viewers to send to, and the receiving one of the first."""
    rng = random.Random(seed)
    keys = [rng.randbytes(KEY_SIZE[profile]) for _ in range(50)]
    sending = [SrtpPolicy(profile, key, inbound=False, backend=backend) for key in keys]
    return sending, SrtpPolicy(profile, keys[0], inbound=True, backend=backend)


def _protect(stage: CryptoStage, size: int, batch: int) -> Callable[[int], float]:
    return lambda rounds: stage.protect(size, batch, 32 * rounds)


def _unprotect(stage: CryptoStage, size: int) -> Callable[[int], float]:
    return lambda rounds: stage.unprotect(size, 32 * rounds)


def _forward(stage: PlaneStage, run: int) -> Callable[[int], float]:
    return lambda rounds: stage.forward(run, 1180, -(-rounds // run))[0]


def _copy(size: int) -> Callable[[int], float]:
    return lambda rounds: copy(size, rounds)


def _loopback(sender: int, receiver: int, run: int, messages: int, index: int) -> Callable[[int], float]:
    """The time of sending (index 0) or receiving (1)."""
    return lambda rounds: loopback(sender, receiver, 1216, run, messages, rounds)[index]


def _crypto_cells(seed: int) -> Iterator[Cell]:
    for name, profile in PROFILES.items():
        for backend in able_backends():
            stage = CryptoStage(*_policies(profile, seed, backend))
            what = f"{name}_{backend}"
            for size in SIZES:
                for batch in BATCHES:
                    yield Cell(
                        _ns(
                            f"protect_{what}_{size}_x{batch}",
                            f"protect, {name}, {backend}, {size} bytes, {batch} a call",
                        ),
                        _protect(stage, size, batch),
                    )
                yield Cell(
                    _ns(f"unprotect_{what}_{size}", f"unprotect, {name}, {backend}, {size} bytes"),
                    _unprotect(stage, size),
                )


def _open_plane(profile: SrtpProfile, seed: int, receivers: Sequence[Address]) -> tuple[Plane, bytes, int]:
    """One VP8 publisher and a viewer at each address. Answers the plane, the publisher's key and the producer."""
    rng = random.Random(seed)
    plane = Plane(max_transports=64, max_streams=256, seed=seed)
    key, size = rng.randbytes(KEY_SIZE[profile]), KEY_SIZE[profile]
    publisher = plane.add_transport(srtp=True)
    plane.set_keys(publisher, profile, rng.randbytes(size), key)
    plane.admit(publisher, 0, _PUBLISHER)
    plane.set_remote(publisher, 0, _PUBLISHER)
    codec = CodecParams(96, _MEDIA, 90000, rtx_payload_type=97, nack=True, pli=True)
    producer = plane.add_producer(
        publisher,
        ProducerParams("video", (codec,), (EncodingParams(ssrc=SSRC),), mid="0", extensions=_EXTENSIONS[:1]),
    )
    for number, address in enumerate(receivers):
        viewer = plane.add_transport(srtp=True)
        plane.set_keys(viewer, profile, rng.randbytes(size), rng.randbytes(size))
        plane.admit(viewer, 0, address)
        plane.set_remote(viewer, 0, address)
        params = ConsumerParams(
            ssrc=1000 + 2 * number,
            rtx_ssrc=1001 + 2 * number,
            payload_types=(PayloadMapping(96, 96, 97),),
            mid="0",
            extensions=_EXTENSIONS[:1],
        )
        plane.add_consumer(viewer, producer, params, 0)
    return plane, key, producer


def _udp(*, gro: bool = False) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    opened.bind(("127.0.0.1", 0))
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, RECEIVE_BUFFER)
    if gro:
        try:
            opened.setsockopt(socket.SOL_UDP, _UDP_GRO, 1)
        except OSError as error:
            opened.close()
            raise BenchError(f"this kernel has no UDP_GRO: {error.strerror}") from error
    return opened


def _plane_stage(
    profile: SrtpProfile, seed: int, backend: str, sender: socket.socket | None, receivers: Sequence[socket.socket]
) -> PlaneStage:
    set_backend(backend)
    addresses: list[Address] = [("udp", "127.0.0.1", one.getsockname()[1]) for one in receivers]
    if not addresses:
        addresses = [("udp", "127.0.0.1", 10000 + number) for number in range(VIEWERS)]
    plane, key, _producer = _open_plane(profile, seed, addresses)
    policy = SrtpPolicy(profile, key, inbound=False)
    head = bytes(RtpPacket(96, SSRC, 0, 0, _PAYLOADS[_MEDIA][0], False, ((1, b"0"),)))
    fds = [one.fileno() for one in receivers]
    return PlaneStage(plane, policy, head, _PUBLISHER, sender.fileno() if sender is not None else -1, fds)


def _plane_cells(stack: ExitStack, seed: int) -> Iterator[Cell]:
    """The whole plane without a socket, by backend; then with one, by the length of a run for one viewer."""
    for name, profile in PROFILES.items():
        for backend in able_backends():
            stage = _plane_stage(profile, seed, backend, None, ())
            yield Cell(
                _ns(f"plane_{name}_{backend}", f"plane without a socket, {name}, {backend}, 10 x 1200 bytes"),
                _forward(stage, 10),
            )
    for gro in (False, True):
        sender = stack.enter_context(_udp())
        receivers = [stack.enter_context(_udp(gro=gro)) for _ in range(VIEWERS)]
        for name, profile in PROFILES.items():
            stage = _plane_stage(profile, seed, able_backends()[0], sender, receivers)
            for run in RUNS:
                yield Cell(
                    _ns(
                        f"egress_{name}_run{run}{'_gro' if gro else ''}",
                        f"plane and socket, {name}, runs of {run}{', receivers with GRO' if gro else ''}",
                    ),
                    _forward(stage, run),
                )


def _limit_cells(stack: ExitStack) -> Iterator[Cell]:
    """What memory and kernel take for it at best."""
    for size in SIZES:
        yield Cell(_ns(f"memcpy_{size}", f"limit: copy {size} bytes"), _copy(size))
    for gro in (False, True):
        sender, receiver = stack.enter_context(_udp()), stack.enter_context(_udp(gro=gro))
        sender.connect(receiver.getsockname())
        to = ", receiver with GRO" if gro else ""
        end = "_gro" if gro else ""
        for run in RUNS:
            messages = max(1, 40 // run)
            how = "plain" if run == 1 else f"UDP_SEGMENT, {run} segments"
            for index, (key, title) in enumerate((("sendmmsg", "sendmmsg"), ("recvmmsg", "recvmmsg after"))):
                yield Cell(
                    _ns(f"{key}_run{run}{end}", f"limit: {title} {how}{to}"),
                    _loopback(sender.fileno(), receiver.fileno(), run, messages, index),
                )
