"""What a fake browser sends and watches: one synthetic source, one viewer of one stream. Sans-I/O, in the clear.

A Source makes frames on its own schedule, keeps a history and answers NACKs by RTX. A Sink notices gaps, asks for them
as libwebrtc does, puts retransmissions in their place, and knows when a frame is complete: what a user would see.
"""

from __future__ import annotations

import random
import struct
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from server.testing import rtp
from server.testing.rtp import RtpPacket
from server.testing.stamps import Stamp, is_keyframe, payload, read_stamp

MS = 1_000_000
SECOND = 1_000_000_000
HISTORY = 1024


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """One source. Sizes are payload bytes; a frame is `packets` packets, sent together."""

    ssrc: int
    payload_type: int
    clock_rate: int
    video: bool
    frames_per_second: int = 25
    packets: int = 4
    size: int = 1000
    rtx_ssrc: int | None = None
    rtx_payload_type: int | None = None
    extensions: tuple[tuple[int, bytes], ...] = ()  # on every packet, for instance the MID
    first_seq: int | None = None  # None: random


class Source:
    """Emits packets from its first `handle_timeout` on."""

    def __init__(self, config: SourceConfig, *, seed: int) -> None:
        rng = random.Random(seed)
        self.config = config
        self.sent = 0  # packets, without retransmissions
        self.retransmitted = 0
        self.keyframe_requests = 0
        self.paused = False
        self._seq = rng.randrange(65536) if config.first_seq is None else config.first_seq
        self._rtx_seq = rng.randrange(65536)
        self._timestamp_base = rng.randrange(1 << 32)
        self._next_frame: int | None = None
        self._keyframe_wanted = True
        self._history: OrderedDict[int, RtpPacket] = OrderedDict()
        self._output: deque[bytes] = deque()

    def start(self, now: int) -> None:
        """The first frame is due at once."""
        self._next_frame = now

    def next_timeout(self) -> int | None:
        """When the next frame is due."""
        return self._next_frame

    def handle_timeout(self, now: int) -> None:
        """Send the frames that are due."""
        while self._next_frame is not None and self._next_frame <= now:
            if not self.paused:
                self._send_frame(self._next_frame, now)
            self._next_frame += SECOND // self.config.frames_per_second

    def poll_transmit(self) -> bytes | None:
        """The next packet, in the clear."""
        return self._output.popleft() if self._output else None

    def receive_rtcp(self, packet: rtp.RtcpPacket) -> None:
        """Feedback; what is not for this source is ignored."""
        if packet.type == rtp.RTPFB and packet.subtype == 1:
            ssrc, numbers = rtp.nacked(packet)
            if ssrc == self.config.ssrc:
                for number in numbers:
                    self._resend(number)
        elif packet.type == rtp.PSFB and packet.subtype in (1, 4):
            media = struct.unpack_from("!I", packet.body, 4 if packet.subtype == 1 else 8)[0]
            if media == self.config.ssrc:
                self.keyframe_requests += 1
                self._keyframe_wanted = True

    def sender_report(self, now: int) -> bytes:
        """An SR with an empty report list; `now` stands for the NTP clock too."""
        ntp = (now << 32) // SECOND
        timestamp = self._timestamp(now)
        return rtp.rtcp(
            rtp.SR,
            0,
            struct.pack("!IQIII", self.config.ssrc, ntp & (1 << 64) - 1, timestamp, self.sent & 0xFFFFFFFF, 0),
        )

    def _timestamp(self, at: int) -> int:
        return (self._timestamp_base + at * self.config.clock_rate // SECOND) & 0xFFFFFFFF

    def _send_frame(self, at: int, now: int) -> None:
        config, keyframe = self.config, self._keyframe_wanted
        self._keyframe_wanted = False
        for index in range(config.packets):
            body = payload(Stamp(self.sent, now), config.size, video=config.video, first=index == 0, keyframe=keyframe)
            packet = RtpPacket(
                config.payload_type,
                config.ssrc,
                self._seq,
                self._timestamp(at),
                body,
                marker=config.video and index == config.packets - 1,
                extensions=config.extensions,
            )
            self._history[self._seq] = packet
            if len(self._history) > HISTORY:
                self._history.popitem(last=False)
            self._seq = (self._seq + 1) & 0xFFFF
            self.sent += 1
            self._output.append(bytes(packet))

    def _resend(self, number: int) -> None:
        packet, config = self._history.get(number), self.config
        if packet is None or config.rtx_ssrc is None or config.rtx_payload_type is None:
            return
        self.retransmitted += 1
        self._output.append(
            bytes(
                RtpPacket(
                    config.rtx_payload_type,
                    config.rtx_ssrc,
                    self._rtx_seq,
                    packet.timestamp,
                    number.to_bytes(2, "big") + packet.payload,
                    packet.marker,
                    packet.extensions,
                )
            )
        )
        self._rtx_seq = (self._rtx_seq + 1) & 0xFFFF


@dataclass(frozen=True, slots=True)
class SinkConfig:
    """One stream to watch. `nack`: ask for what is missing; `rtt_ns`: how long to wait before asking again."""

    ssrc: int
    payload_type: int
    video: bool
    rtx_ssrc: int | None = None
    rtx_payload_type: int | None = None
    nack: bool = True
    rtt_ns: int = 50 * MS
    give_up_ns: int = 1 * SECOND  # after which a hole is final: video asks for a keyframe


@dataclass(slots=True)
class _Hole:
    noticed: int
    ask_at: int


@dataclass(slots=True)
class SinkFigures:
    """What a viewer saw. Times in nanoseconds."""

    packets: int = 0  # distinct ones
    duplicates: int = 0
    holes: int = 0  # sequence numbers that were missing when a later one came
    filled_late: int = 0  # of those, by reordering
    repaired: list[int] = field(default_factory=list)  # of those, by RTX: from noticing to repair
    given_up: int = 0
    frames: int = 0  # complete, in order
    keyframes: int = 0
    longest_gap: int = 0  # between two complete frames
    delays: list[int] = field(default_factory=list)  # from the source's stamp to arrival, first transmissions
    foreign: int = 0  # packets of an SSRC or payload type that was never announced


class Sink:
    """Watches one stream."""

    def __init__(self, config: SinkConfig, *, own_ssrc: int) -> None:
        self.config = config
        self.figures = SinkFigures()
        self.timestamps: list[int] = []  # of complete frames, as received
        self._own_ssrc = own_ssrc
        self._highest: int | None = None
        self._playhead = 0  # next extended sequence number to play
        self._waiting: dict[int, RtpPacket] = {}
        self._holes: dict[int, _Hole] = {}
        self._needs_keyframe = config.video
        self._last_frame: int | None = None
        self._pli_at: int | None = None
        self._output: deque[bytes] = deque()

    def receive_rtp(self, packet: RtpPacket, now: int) -> None:
        """A packet of this sink's SSRC or RTX SSRC."""
        config = self.config
        if packet.ssrc == config.rtx_ssrc and packet.payload_type == config.rtx_payload_type:
            if len(packet.payload) >= 2:
                original = int.from_bytes(packet.payload[:2], "big")
                body = packet.payload[2:]
                self._take(
                    original,
                    RtpPacket(config.payload_type, config.ssrc, original, packet.timestamp, body, packet.marker),
                    now,
                    rtx=True,
                )
        elif packet.ssrc == config.ssrc and packet.payload_type == config.payload_type:
            self._take(packet.seq, packet, now, rtx=False)
        else:
            self.figures.foreign += 1

    def next_timeout(self) -> int | None:
        """When to ask again, or to give a hole up."""
        asks = [hole.ask_at for hole in self._holes.values()]
        if self._pli_at is not None:
            asks.append(self._pli_at)
        return min(asks, default=None)

    def handle_timeout(self, now: int) -> None:
        """Ask for what is missing and due; give up what is too old."""
        old = [seq for seq, hole in self._holes.items() if now - hole.noticed >= self.config.give_up_ns]
        for seq in old:
            del self._holes[seq]
            self.figures.given_up += 1
        if old:
            self._lose_picture(now)
        due = [seq for seq, hole in self._holes.items() if hole.ask_at <= now]
        for seq in due:
            self._holes[seq].ask_at = now + self.config.rtt_ns
        if due and self.config.nack:
            self._output.append(rtp.nack(self._own_ssrc, self.config.ssrc, [seq & 0xFFFF for seq in due]))
        if self._pli_at is not None and self._pli_at <= now:
            self._output.append(rtp.pli(self._own_ssrc, self.config.ssrc))
            self._pli_at = now + SECOND

    def poll_transmit(self) -> bytes | None:
        """The next RTCP packet, in the clear."""
        return self._output.popleft() if self._output else None

    def receiver_report(self) -> bytes | None:
        """An RR about this stream, without loss figures of its own; None before the first packet."""
        if self._highest is None:
            return None
        block = struct.pack("!IIIIII", self.config.ssrc, 0, self._highest & 0xFFFFFFFF, 0, 0, 0)
        return rtp.rtcp(rtp.RR, 1, struct.pack("!I", self._own_ssrc) + block)

    def _take(self, seq: int, packet: RtpPacket, now: int, *, rtx: bool) -> None:
        figures = self.figures
        extended = self._extend(seq)
        if self._highest is None:
            self._highest = self._playhead = extended
            if self.config.video:
                self._pli_at = now + SECOND
        elif extended > self._highest:
            for missing in range(self._highest + 1, extended):
                self._holes[missing] = _Hole(now, now)
                figures.holes += 1
            self._highest = extended
        elif extended in self._holes:
            hole = self._holes.pop(extended)
            if rtx:
                figures.repaired.append(now - hole.noticed)
            else:
                figures.filled_late += 1
        else:
            figures.duplicates += 1
            return
        figures.packets += 1
        if not rtx:
            figures.delays.append(now - read_stamp(packet.payload).sent_ns)
        self._waiting[extended] = packet
        self._play(now)

    def _extend(self, seq: int) -> int:
        if self._highest is None:
            return seq
        return self._highest + ((seq - self._highest + 0x8000) & 0xFFFF) - 0x8000

    def _play(self, now: int) -> None:
        while (packet := self._waiting.pop(self._playhead, None)) is not None:
            self._playhead += 1
            if not self.config.video:
                self._complete(packet, now)
                continue
            if is_keyframe(packet.payload):
                self._needs_keyframe = False
                self._pli_at = None
                self.figures.keyframes += 1
            if packet.marker and not self._needs_keyframe:
                self._complete(packet, now)

    def _complete(self, packet: RtpPacket, now: int) -> None:
        self.figures.frames += 1
        self.timestamps.append(packet.timestamp)
        if self._last_frame is not None:
            self.figures.longest_gap = max(self.figures.longest_gap, now - self._last_frame)
        self._last_frame = now

    def _lose_picture(self, now: int) -> None:
        """Jump over what will not come: to the next keyframe for video, to the next packet for audio."""
        following = [seq for seq in self._waiting if seq >= self._playhead]
        holes = [seq for seq in self._holes if seq >= self._playhead]
        self._playhead = min([*following, *holes], default=(self._highest or 0) + 1)
        if self.config.video and not self._needs_keyframe:
            self._needs_keyframe = True
            self._pli_at = now
        self._play(now)
