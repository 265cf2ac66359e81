"""What a simulated browser sends: a camera with simulcast and temporal layers, a shared screen, a microphone.

An encoder here makes no picture, only frames of the sizes that one would make: log-normal around the target, the
lower temporal layers larger, a keyframe five to ten times a delta frame, and what a keyframe overdraws is saved on the
frames after it. Payloads are VP8's (RFC 7741) so far as a node reads them, and end with a stamp (stamps.py).
Compiled with the types of sources.pxd.
"""

from __future__ import annotations

import math
import random
import struct
from dataclasses import dataclass

from server.testing.netem import MS, SECOND
from server.testing.stamps import STAMP_BYTES

MID_ID, RID_ID, REPAIRED_RID_ID, TRANSPORT_CC_ID, LEVEL_ID = 4, 10, 11, 3, 1  # unlike the router's
_HISTORY = 1024  # packets of one stream that can be sent again
_PAYLOAD = 1150  # bytes; a frame is cut into equal parts of at most so many
_HEAD = struct.Struct("!BBHII")
_STAMP = struct.Struct("!IQ")
_DESCRIPTOR = struct.Struct("!BBHBB")
# Of L1T3 (draft-ietf-avtext-framemarking's pattern 0-2-1-2): temporal layer, layer sync, size against the average.
_L1T3 = ((0, False, 1.6), (2, True, 0.8), (1, True, 0.8), (2, False, 0.8))
_L1T1 = ((0, False, 1.0),)


class Outgoing:
    """One packet but for its transport-wide number, which stands between the parts."""

    def __init__(self, head: bytes, tail: bytes) -> None:
        self.head = head
        self.tail = tail
        self.size = len(head) + 2 + len(tail)  # bytes of the finished packet


class SendStream:
    """One SSRC with its retransmissions. Every packet carries MID and, where there is one, RID."""

    def __init__(
        self,
        rng: random.Random,
        *,
        ssrc: int,
        payload_type: int,
        mid: str,
        rid: str = "",
        rtx_ssrc: int = 0,
        rtx_payload_type: int = 0,
    ) -> None:
        self.ssrc, self.rtx_ssrc = ssrc, rtx_ssrc
        self.sent = self.sent_bytes = self.retransmitted = 0
        self.last_timestamp = 0
        self._payload_type, self._rtx_payload_type = payload_type, rtx_payload_type
        self._seq, self._rtx_seq = rng.randrange(65536), rng.randrange(65536)
        self._history: list[tuple[int, int, bool, bytes] | None] = [None] * _HISTORY if rtx_ssrc else []
        name = bytes((MID_ID << 4,)) + mid.encode()
        number = bytes((TRANSPORT_CC_ID << 4 | 1,))
        block = b"\xbe\xde\x00\x02" + name
        # MID, RID or level, and the number: two words in each case.
        self._prefix = block + (bytes((RID_ID << 4,)) + rid.encode() if rid else b"") + number
        self._rtx_prefix = block + (bytes((REPAIRED_RID_ID << 4,)) + rid.encode() if rid else b"") + number
        self._level_prefix, self._number = block + bytes((LEVEL_ID << 4,)), number
        self._pad = bytes(12 - len(self._prefix) - 2)

    def packet(self, payload: bytes, timestamp: int, marker: bool) -> Outgoing:
        """The next one."""
        seq = self._seq
        self._seq = (seq + 1) & 0xFFFF
        self.sent += 1
        self.sent_bytes += len(payload)
        self.last_timestamp = timestamp
        if self._history:
            self._history[seq & (_HISTORY - 1)] = (seq, timestamp, marker, payload)
        head = _HEAD.pack(0x90, marker << 7 | self._payload_type, seq, timestamp, self.ssrc)
        return Outgoing(head + self._prefix, self._pad + payload)

    def with_level(self, payload: bytes, timestamp: int, *, marker: bool, level: int, voice: bool) -> Outgoing:
        """The next one of an audio stream, with its level (RFC 6464) in -dBov."""
        seq = self._seq
        self._seq = (seq + 1) & 0xFFFF
        self.sent += 1
        self.sent_bytes += len(payload)
        self.last_timestamp = timestamp
        head = _HEAD.pack(0x90, marker << 7 | self._payload_type, seq, timestamp, self.ssrc)
        return Outgoing(head + self._level_prefix + bytes((voice << 7 | level,)) + self._number, b"\x00" + payload)

    def again(self, seq: int) -> Outgoing | None:
        """A packet once more (RFC 4588); None when it is forgotten."""
        kept = self._history[seq & (_HISTORY - 1)] if self._history else None
        if kept is None or kept[0] != seq:
            return None
        self.retransmitted += 1
        _, timestamp, marker, payload = kept
        head = _HEAD.pack(0x90, marker << 7 | self._rtx_payload_type, self._rtx_seq, timestamp, self.rtx_ssrc)
        self._rtx_seq = (self._rtx_seq + 1) & 0xFFFF
        return Outgoing(head + self._rtx_prefix, self._pad + seq.to_bytes(2, "big") + payload)

    def report(self, now: int) -> tuple[int, int, int, int, int]:
        """What a sender report says: SSRC, NTP time, RTP timestamp, packets, bytes."""
        return self.ssrc, now * (1 << 32) // SECOND, self.last_timestamp, self.sent, self.sent_bytes


@dataclass(frozen=True, slots=True)
class Encoding:
    """One encoding of a camera or screen."""

    rid: str  # one letter; empty: SSRCs are signalled
    width: int
    height: int
    max_bps: int
    min_bps: int  # below it the encoding is not sent
    temporal_layers: int = 3  # 3 or 1


CAMERA = (
    Encoding("l", 320, 180, 150_000, 30_000),
    Encoding("m", 640, 360, 400_000, 150_000),
    Encoding("h", 1280, 720, 1_500_000, 500_000),
)
SCREEN = (
    Encoding("l", 960, 540, 250_000, 50_000, temporal_layers=1),
    Encoding("h", 1920, 1080, 700_000, 250_000, temporal_layers=1),
)


class Encoder:
    """One encoding at work: from a target rate to frames."""

    def __init__(self, encoding: Encoding, stream: SendStream, rng: random.Random, *, fps: int, slides: bool) -> None:
        self.encoding, self.stream = encoding, stream
        self.active = True  # somebody watches it
        self.target = 0  # bit/s; 0: not sent
        self.keyframe_wanted = True
        self.keyframes = self.frames = 0
        self._rng = rng
        self._fps = fps
        self._pattern = _L1T3 if encoding.temporal_layers == 3 else _L1T1
        self._place = 0
        self._picture_id = rng.randrange(1 << 15)
        self._tl0 = rng.randrange(256)
        self._debt = 0.0  # bytes sent beyond the target
        self._slide_in = self._until_slide() if slides else -1  # frames; -1: no slides
        self._refining = 0  # frames that still sharpen the last slide
        self._number = 0

    def allow(self, bps: int) -> None:
        """A new target; what starts anew starts with a keyframe."""
        if bps and not self.target:
            self.keyframe_wanted = True
        self.target = bps

    def set_active(self, *, active: bool) -> None:
        """Whether it is to be sent at all (dynacast)."""
        if active and not self.active:
            self.keyframe_wanted = True
        self.active = active

    def encode(self, timestamp: int, now: int) -> list[Outgoing]:
        """The next frame."""
        keyframe = self.keyframe_wanted
        self.keyframe_wanted = False
        if keyframe:
            self._place = 0
            self.keyframes += 1
        self.frames += 1
        temporal, sync, share = self._pattern[self._place]
        self._place = (self._place + 1) % len(self._pattern)
        self._picture_id = (self._picture_id + 1) & 0x7FFF
        if temporal == 0:
            self._tl0 = (self._tl0 + 1) & 0xFF
        size = self._size(share, keyframe)
        return self._packets(size, timestamp, now, keyframe, temporal, sync)

    def _size(self, share: float, keyframe: bool) -> int:
        average = self.target / 8 / self._fps
        if self._slide_in >= 0:
            return self._slide_size(average, keyframe=keyframe)
        if keyframe:
            size = average * self._rng.uniform(5, 10)
        else:
            wanted = average * share * math.exp(self._rng.gauss(0, 0.18))
            # A quarter of the debt back within about half a second, and never more than two fifths of a frame.
            size = wanted - min(0.4 * wanted, max(0.0, self._debt) / (self._fps / 2))
        self._debt = max(-average, self._debt + size - average)
        return max(60, int(size))

    def _slide_size(self, average: float, *, keyframe: bool) -> int:
        """A screen stands still for seconds, then changes all at once, then is sharpened."""
        second = average * self._fps
        if self._slide_in == 0:
            self._slide_in, self._refining = self._until_slide(), 4
            return int(second * self._rng.uniform(0.4, 0.8))
        self._slide_in -= 1
        if keyframe:
            return int(second * self._rng.uniform(0.4, 0.7))
        if self._refining:
            self._refining -= 1
            return int(second * self._rng.uniform(0.05, 0.12))
        return self._rng.randrange(200, 800)

    def _until_slide(self) -> int:
        return 1 + round(self._rng.expovariate(1 / (4 * self._fps)))

    def _packets(
        self, size: int, timestamp: int, now: int, keyframe: bool, temporal: int, sync: bool
    ) -> list[Outgoing]:
        first = b"\x10\x00\x00\x9d\x01\x2a" if keyframe else b"\x11\x00\x00"
        if keyframe:
            first += self.encoding.width.to_bytes(2, "little") + self.encoding.height.to_bytes(2, "little")
        # Without T and K there is no octet for them.
        flags, length = (0xE0, 6) if self.encoding.temporal_layers > 1 else (0xC0, 5)
        layer = temporal << 6 | sync << 5
        lead = _DESCRIPTOR.pack(0x90, flags, 0x8000 | self._picture_id, self._tl0, layer)[:length] + first
        count = max(1, -(-size // _PAYLOAD))
        part = size // count
        outgoing = []
        for index in range(count):
            filler = bytes(max(0, part - len(lead) - STAMP_BYTES))
            payload = b"".join((lead, filler, _STAMP.pack(self._number & 0xFFFFFFFF, now)))
            self._number += 1
            outgoing.append(self.stream.packet(payload, timestamp, index == count - 1))
            lead = b"\x80" + lead[1:length]
        return outgoing


class Camera:
    """All encodings of one picture source; a shared screen when it has slides."""

    def __init__(
        self, encoders: list[Encoder], rng: random.Random, *, fps: int, starts: int, screen: bool = False
    ) -> None:
        self.encoders = encoders
        self.screen = screen
        self.next_frame = starts
        self._period = SECOND // fps
        self._base = rng.randrange(1 << 32)

    @property
    def wanted(self) -> int:
        """What all encodings that are watched could use, bit/s."""
        return sum(encoder.encoding.max_bps for encoder in self.encoders if encoder.active)

    def allow(self, bps: int) -> None:
        """Share a rate as libwebrtc does: from the lowest up, each to its full, none below its least."""
        for encoder in self.encoders:
            encoding = encoder.encoding
            given = min(encoding.max_bps, bps) if encoder.active else 0
            if given < encoding.min_bps:
                given = 0
            encoder.allow(given)
            bps = max(0, bps - given)

    def frames(self, now: int) -> list[Outgoing]:
        """The packets of the frames that are due by now."""
        outgoing: list[Outgoing] = []
        while self.next_frame <= now:
            timestamp = (self._base + self.next_frame * 9 // 100_000) & 0xFFFFFFFF
            for encoder in self.encoders:
                if encoder.target:
                    outgoing += encoder.encode(timestamp, self.next_frame)
            self.next_frame += self._period
        return outgoing

    def keyframe(self, ssrc: int) -> None:
        """Asked for by PLI or FIR."""
        for encoder in self.encoders:
            if encoder.stream.ssrc == ssrc:
                encoder.keyframe_wanted = True


class Microphone:
    """Opus at 50 packets a second: talk spurts of about 110 bytes, and quiet ones between."""

    def __init__(self, stream: SendStream, rng: random.Random, *, starts: int, talks: float) -> None:
        """`talks`: the share of the time, 0 … 1."""
        self.stream = stream
        self.next_frame = starts
        self._rng = rng
        self._talks = talks
        self._talking = False
        self._turn_at = starts  # when it begins or ends to talk
        self._base = rng.randrange(1 << 32)
        self._number = 0

    def frames(self, now: int) -> list[Outgoing]:
        """The packets that are due by now."""
        outgoing = []
        while self.next_frame <= now:
            outgoing.append(self._frame(self.next_frame))
            self.next_frame += 20 * MS
        return outgoing

    def _frame(self, at: int) -> Outgoing:
        rng = self._rng
        begins = False
        if at >= self._turn_at:
            self._talking = begins = not self._talking if 0 < self._talks < 1 else self._talks >= 1
            mean = 4.0 * (self._talks if self._talking else 1 - self._talks) + 0.1
            self._turn_at = at + round(rng.expovariate(1 / mean) * SECOND)
        level = min(127, max(0, round(rng.gauss(28, 6) if self._talking else rng.gauss(100, 8))))
        size = max(40, round(rng.gauss(110, 15))) if self._talking else rng.randrange(20, 40)
        payload = bytes(max(1, size - STAMP_BYTES)) + _STAMP.pack(self._number & 0xFFFFFFFF, at)
        self._number += 1
        timestamp = (self._base + at * 6 // 125_000) & 0xFFFFFFFF
        return self.stream.with_level(payload, timestamp, marker=begins, level=level, voice=self._talking)
