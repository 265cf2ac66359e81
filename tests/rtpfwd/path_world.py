"""A publisher and viewers of a controlled plane, in virtual time; what viewers say is written here, by other code."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from rtpfwd.params import CodecParams, CongestionParams, EncodingParams, Handle, ProducerParams, SrtpProfile
from tests.rtpfwd.plane_world import MS, OPUS, OPUS_MAPPING, TRANSPORT_CC, End, Rtp, World, rtp, vp8

ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
EXTENSIONS = ((TRANSPORT_CC, 5), (ABS_SEND_TIME, 4))
EXTERNAL = CongestionParams(start_bps=500_000, controller="external")


def transport_feedback(media: int, base: int, arrivals: Sequence[int | None], count: int = 0) -> bytes:
    """Transport-wide feedback: `arrivals` in units of 250 µs, None where lost, one two-bit vector symbol each."""
    known = [at for at in arrivals if at is not None]
    reference = known[0] // 256 if known else 0
    chunks, deltas, last = [], b"", reference * 256
    symbols = []
    for at in arrivals:
        symbols.append(0 if at is None else 2)
        if at is not None:
            deltas += struct.pack("!h", at - last)
            last = at
    for first in range(0, len(symbols), 7):
        word = 0xC000
        for place, symbol in enumerate(symbols[first : first + 7]):
            word |= symbol << (12 - 2 * place)
        chunks.append(struct.pack("!H", word))
    body = struct.pack("!IIHH", 7, media, base & 0xFFFF, len(arrivals))
    body += reference.to_bytes(3, "big") + bytes([count]) + b"".join(chunks) + deltas
    body += bytes(-len(body) % 4)
    return struct.pack("!BBH", 0x8F, 205, len(body) // 4) + body


def remb(bps_mantissa: int, exponent: int, *ssrcs: int) -> bytes:
    body = struct.pack("!II", 7, 0) + b"REMB"
    body += struct.pack("!I", len(ssrcs) << 24 | exponent << 18 | bps_mantissa)
    body += b"".join(struct.pack("!I", ssrc) for ssrc in ssrcs)
    return struct.pack("!BBH", 0x8F, 206, len(body) // 4) + body


def parse_remb(body: bytes) -> tuple[int, int, int, list[int]]:
    """Sender, media, bit/s and streams of the body of a REMB."""
    sender, media = struct.unpack_from("!II", body)
    assert body[8:12] == b"REMB"
    count, high, low = body[12], body[13], struct.unpack_from("!H", body, 14)[0]
    assert len(body) == 16 + 4 * count
    return sender, media, ((high & 3) << 16 | low) << (high >> 2), list(struct.unpack_from(f"!{count}I", body, 16))


class Path:
    """One video publisher, one controlled viewer of it. Wire figures come with the time of their sending."""

    def __init__(
        self,
        params: CongestionParams = EXTERNAL,
        *,
        profile: SrtpProfile | None = SrtpProfile.AEAD_AES_128_GCM,
        control: bool = True,
        nack: bool = True,
        **changes: object,
    ) -> None:
        self.world = World()
        self.publisher = self.world.end(1000, None)
        self.viewer = self.world.end(2000, profile)
        codec = CodecParams(96, "video/vp8", 90000, rtx_payload_type=97, nack=nack, pli=True)
        self.producer = self.world.video(self.publisher, codecs=(codec,))
        self.consumer = self.watch(self.viewer, **changes)
        self.seq = 0
        self.frames = 0
        self.log: list[tuple[int, Rtp]] = []
        if control:
            self.control(params)

    @property
    def plane(self):  # type: ignore[no-untyped-def]
        return self.world.plane

    def control(self, params: CongestionParams = EXTERNAL) -> None:
        self.plane.control_congestion(self.viewer.handle, params, self.world.now)

    def watch(self, end: End, ssrc: int = 0x2000, **changes: object) -> Handle:
        return self.world.watch(end, self.producer, ssrc, **{"extensions": EXTENSIONS, **changes})

    def listen(self, end: End) -> Handle:
        """Audio of the same publisher, to this viewer."""
        params = ProducerParams("audio", (OPUS,), (EncodingParams(ssrc=0x5000),))
        source = self.plane.add_producer(self.publisher.handle, params)
        return self.world.watch(end, source, 0x6000, rtx_ssrc=None, payload_types=OPUS_MAPPING, extensions=EXTENSIONS)

    def frame(self, packets: int = 1, *, keyframe: bool = False, size: int = 1000) -> None:
        """One video frame of so many packets, received together."""
        parts = []
        for index in range(packets):
            payload = vp8(keyframe=keyframe, size=size) if index == 0 else bytes([0x00]) + bytes(size + 1)
            last = index == packets - 1
            parts.append(rtp(self.seq, payload, ssrc=0x1000, timestamp=3000 * self.frames, marker=last))
            self.seq += 1
        self.frames += 1
        self.take(lambda: self.world.send(self.publisher, *parts))

    def audio(self, seq: int) -> None:
        packet = rtp(seq, bytes(80), ssrc=0x5000, payload_type=111, timestamp=960 * seq)
        self.take(lambda: self.world.send(self.publisher, packet))

    def say(self, *packets: bytes) -> None:
        self.take(lambda: self.world.send(self.viewer, *packets))

    def advance(self, ms: float) -> None:
        """As World.advance, with a note of what left when."""
        end = self.world.now + int(ms * MS)
        while (due := self.plane.next_timeout()) is not None and due <= end:
            self.world.now = max(self.world.now, due)
            now = self.world.now
            self.take(lambda now=now: self.plane.handle_timeout(now))  # type: ignore[misc]
        self.world.now = end

    def take(self, action) -> None:  # type: ignore[no-untyped-def]
        before = len(self.viewer.rtp)
        action()
        self.world.drain()
        self.log += [(self.world.now, packet) for packet in self.viewer.rtp[before:]]

    def media(self, ssrc: int = 0x2000) -> list[tuple[int, Rtp]]:
        return [(at, packet) for at, packet in self.log if packet.ssrc == ssrc]

    def numbers(self) -> list[int]:
        """Transport-wide numbers as they left."""
        return [int.from_bytes(packet.extensions[5], "big") for _, packet in self.log if 5 in packet.extensions]

    def acknowledge(self, *, delay: float = 20, lost: Sequence[int] = (), since: int = 0) -> None:
        """Feedback on all from the log's entry `since` on: each arrived `delay` ms after it left."""
        entries = [(at, number) for (at, _), number in zip(self.log[since:], self.numbers()[since:], strict=True)]
        base = entries[0][1]
        arrivals = [None if number in lost else (at + int(delay * MS)) // 250_000 for at, number in entries]
        self.say(transport_feedback(0x2000, base, arrivals))
