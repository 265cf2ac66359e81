"""What a simulated browser watches and hears: loss repair, the VP8 decoder's rules, a jitter buffer.

A frame is decodable when it is complete and what it builds on was decoded, told by picture id, TL0PICIDX, temporal id
and the layer sync bit (RFC 7741 section 4.2). It is shown when its playout time has come, or at once when that has
passed. Asked to keep frames back (the playout-delay extension), it lets none overtake one that may be repaired in that
time. Compiled with the types of player.pxd.
"""

from __future__ import annotations

from collections import deque

from server.testing import netem, rtp
from server.testing.netem import MS, SECOND
from server.testing.sim.feedback import report_block
from server.testing.sim.watching import Shown
from server.testing.stamps import STAMP_BYTES

_SECOND, _NEVER = SECOND, netem.NEVER  # which player.pxd makes integers of C
_NONE = -1  # in place of a number of anything that has not come yet
_LEAST_OF = 10 * SECOND  # what the least transit is the least of
_TRIES = 10  # NACKs for one packet, as libwebrtc
_MOST_MISSING = 1000
_CLOCK_BYTES = 8  # at the end of a stamp: when the packet was made
_WAIT_FOR_KEYFRAME = 200 * MS  # libwebrtc's two waits before a keyframe is asked for
_WAIT_FOR_FRAME = 3 * SECOND
_LEAST_DELAY, _MOST_DELAY = 10 * MS, 500 * MS  # of the jitter buffer


def unwrap(value: int, last: int, span: int) -> int:
    """The number nearest to `last` that is `value` but for a multiple of `span`, a power of two."""
    return last + ((value - last + span // 2) & (span - 1)) - span // 2


def number_in(data: bytes, start: int, end: int) -> int:
    """What data[start:end] says in network order."""
    value = 0
    for at in range(start, end):
        value = value << 8 | data[at]
    return value


class _Frame:
    def __init__(self, timestamp: int) -> None:
        self.timestamp = timestamp
        self.first = self.last = _NONE  # unwrapped sequence numbers
        self.packets = 0
        self.stamp = 0  # when it was captured
        self.keyframe = False
        self.height = 0
        self.picture = self.tl0 = 0
        self.temporal = _NONE
        self.sync = False


class StreamFigures:
    """Of one received stream, video or audio."""

    def __init__(self) -> None:
        self.packets = 0  # distinct
        self.bytes = 0  # of RTP packets as received, retransmissions too
        self.duplicates = 0
        self.missing = 0  # sequence numbers that were passed over at first
        self.repaired = 0  # of those, by RTX
        self.nacks = 0  # sequence numbers asked for
        self.keyframe_requests = 0
        self.keyframes = 0
        self.undecodable = 0  # complete frames that never could be decoded
        self.transit: list[int] = []  # ns from stamp to arrival, first transmissions


class Receiver:
    """What a video and an audio stream have in common: numbering, loss and reports."""

    def __init__(self, ssrc: int, clock_rate: int) -> None:
        self.ssrc = ssrc
        self.clock_rate = clock_rate
        self.figures = StreamFigures()
        self.highest = _NONE  # unwrapped
        self._first = 0
        self._received = 0  # not counting RTX
        self._reported = (0, 0)  # expected and received by the last report
        self._jitter = 0.0  # nanoseconds
        self._last_transit = _NEVER
        self._sr: tuple[int, int] = (0, 0)  # middle bits of its NTP time; when it came

    def receive(self, seq: int, timestamp: int, marker: int, data: bytes, start: int, end: int, at: int) -> None:
        """One packet of the stream: its payload is data[start:end]. Each kind of player has its own."""
        raise NotImplementedError

    def sender_report(self, ntp: int, now: int) -> None:
        """One came."""
        self._sr = (ntp >> 16 & 0xFFFFFFFF, now)

    def report_block(self, now: int) -> bytes | None:
        """For a receiver report; None before the first packet."""
        if self.highest == _NONE:
            return None
        expected = self.highest - self._first + 1
        due, got = expected - self._reported[0], self._received - self._reported[1]
        self._reported = (expected, self._received)
        return report_block(
            self.ssrc,
            fraction_lost=max(0.0, (due - got) / due) if due > 0 else 0.0,
            lost=expected - self._received,
            highest=self.highest,
            jitter=int(self._jitter * self.clock_rate / SECOND),
            last_sr=self._sr[0],
            delay_ns=now - self._sr[1],
        )

    def _count(self, timestamp: int, at: int) -> None:
        """A packet of the stream itself: RFC 3550 appendix A.8, once a frame's worth is enough."""
        self._received += 1
        transit = at - timestamp * _SECOND // self.clock_rate
        if abs(transit - self._last_transit) < _SECOND:
            self._jitter += (abs(transit - self._last_transit) - self._jitter) / 16
        self._last_transit = transit


class AudioPlayer(Receiver):
    """Opus without repair."""

    def __init__(self, ssrc: int) -> None:
        super().__init__(ssrc, 48_000)

    def receive(self, seq: int, timestamp: int, marker: int, data: bytes, start: int, end: int, at: int) -> None:
        """One packet."""
        figures = self.figures
        if self.highest == _NONE:
            self.highest = self._first = seq
        else:
            number = unwrap(seq, self.highest, 1 << 16)
            if number > self.highest:
                self.highest = number
        figures.packets += 1
        figures.bytes += len(data)
        self._count(timestamp, at)
        if end - start >= STAMP_BYTES:
            figures.transit.append(at - number_in(data, end - _CLOCK_BYTES, end))

    @property
    def lost(self) -> int:
        """Packets so far."""
        return max(0, self.expected - self.figures.packets)

    @property
    def expected(self) -> int:
        """Packets so far, the lost ones too."""
        return 0 if self.highest == _NONE else self.highest - self._first + 1


class VideoPlayer(Receiver):
    """VP8 with NACK, RTX and PLI."""

    def __init__(self, ssrc: int, own_ssrc: int, *, rtt_ns: int, now: int) -> None:
        super().__init__(ssrc, 90_000)
        self.shown: list[Shown] = []
        self.output: deque[bytes] = deque()
        self.rtt_ns = rtt_ns
        self.delay_ns = 20 * MS  # of the jitter buffer
        self.least_delay_ns = 0  # that the sender asks for
        self._held_until = _NEVER  # a whole frame lets an earlier one pass until then
        self._own_ssrc = own_ssrc
        self._frames: dict[int, _Frame] = {}  # being received, by timestamp
        self._waiting: dict[int, _Frame] = {}  # complete, by picture
        self._missing: dict[int, tuple[int, int]] = {}  # (ask again at, times asked)
        self._ask_at = _NEVER
        self._groups: dict[int, int] = {}  # decoded temporal layers, a bit each, by unwrapped TL0PICIDX
        self._picture = self._tl0 = 0  # last ones that were decoded, unwrapped
        self._needs_keyframe = True
        self._keyframe_at = now + _WAIT_FOR_KEYFRAME  # when one is asked for, unless a frame is decoded before
        self._height = 0
        self._timestamp = _NEVER  # unwrapped, the last
        self._least = self._least_before = _NEVER  # transit in this and in the last ten seconds
        self._least_since = 0

    def receive(self, seq: int, timestamp: int, marker: int, data: bytes, start: int, end: int, at: int) -> None:
        """One packet of the stream: its payload is data[start:end]."""
        self._count(timestamp, at)
        self._take(seq, timestamp, marker, data, start, end, at, False)

    def receive_again(self, timestamp: int, marker: int, data: bytes, start: int, end: int, at: int) -> None:
        """One of its retransmissions; padding counts for nothing."""
        if end - start > 2:
            seq = data[start] << 8 | data[start + 1]
            self._take(seq, timestamp, marker, data, start + 2, end, at, True)

    def next_timeout(self) -> int:
        """When something is to be asked for."""
        return min(self._keyframe_at, self._ask_at, self._held_until)

    def handle_timeout(self, now: int) -> None:
        """NACK, PLI, and frames that waited long enough for others."""
        if self._held_until <= now:
            self._held_until = _NEVER
            self._decode_followers(now)
        if self._ask_at <= now:
            self._ask(now)
        if self._keyframe_at <= now:
            self._keyframe_at = now + (_WAIT_FOR_KEYFRAME if self._needs_keyframe else _WAIT_FOR_FRAME)
            self.figures.keyframe_requests += 1
            self.output.append(rtp.pli(self._own_ssrc, self.ssrc))

    def _ask(self, now: int) -> None:
        due = [number for number, (at, _) in self._missing.items() if at <= now]
        for number in due:
            times = self._missing[number][1] + 1
            if times > _TRIES:
                del self._missing[number]
            else:
                self._missing[number] = (now + max(self.rtt_ns, 20 * MS), times)
        asked = [number & 0xFFFF for number in due if number in self._missing]
        if asked:
            self.figures.nacks += len(asked)
            self.output.append(rtp.nack(self._own_ssrc, self.ssrc, asked))
        self._ask_at = min((at for at, _ in self._missing.values()), default=_NEVER)

    def _take(
        self, seq: int, timestamp: int, marker: int, data: bytes, start: int, end: int, at: int, again: bool
    ) -> None:
        figures = self.figures
        figures.bytes += len(data)
        highest = self.highest
        if highest == _NONE:
            number = self.highest = self._first = seq
        else:
            number = unwrap(seq, highest, 1 << 16)
            if number > highest:
                if number > highest + 1:
                    self._note_missing(highest + 1, number, at)
                self.highest = number
            elif number in self._missing:
                del self._missing[number]
                figures.repaired += again
            else:
                figures.duplicates += 1
                return
        figures.packets += 1
        if end <= start:
            return  # padding that keeps the numbering
        frame = self._frames.get(timestamp)
        if frame is None:
            frame = self._frames[timestamp] = _Frame(timestamp)
        frame.packets += 1
        if data[start] & 0x17 == 0x10:
            frame.first = number
            self._describe(frame, data, start)
        if marker:
            frame.last = number
        frame.stamp = number_in(data, end - _CLOCK_BYTES, end)
        if not again:
            figures.transit.append(at - frame.stamp)
        if frame.last != _NONE and frame.first != _NONE and frame.packets == frame.last - frame.first + 1:
            del self._frames[timestamp]
            self._complete(frame, at)

    def _note_missing(self, start: int, end: int, at: int) -> None:
        self.figures.missing += end - start
        if end - start > _MOST_MISSING:
            self._missing.clear()
            self._needs_keyframe = True
            self._keyframe_at = at
            return
        for number in range(start, end):
            self._missing[number] = (at, 0)
        self._ask_at = at

    def _describe(self, frame: _Frame, data: bytes, start: int) -> None:
        """RFC 7741 section 4.2: the payload descriptor, and of the frame header what a keyframe says of its size."""
        extended, at = data[start] & 0x80, start + 1
        flags = 0
        if extended:
            flags = data[at]
            at += 1
            if flags & 0x80:
                if data[at] & 0x80:
                    frame.picture = unwrap((data[at] & 0x7F) << 8 | data[at + 1], self._picture, 1 << 15)
                    at += 2
                else:
                    frame.picture = unwrap(data[at], self._picture, 1 << 7)
                    at += 1
            if flags & 0x40:
                frame.tl0 = unwrap(data[at], self._tl0, 1 << 8)
                at += 1
            if flags & 0x30:
                if flags & 0x20:
                    frame.temporal, frame.sync = data[at] >> 6, bool(data[at] & 0x20)
                at += 1
        frame.keyframe = not data[at] & 1
        if frame.keyframe:
            frame.height = (data[at + 8] | data[at + 9] << 8) & 0x3FFF

    def _complete(self, frame: _Frame, at: int) -> None:
        if not frame.keyframe and not self._needs_keyframe and frame.picture < self._picture:
            return  # too late: the decoder has passed it
        if not self._decodable(frame) or self._lets_pass(frame, at):
            self._waiting[frame.picture] = frame
            return
        self._decode(frame, at)
        self._decode_followers(at)

    def _decode_followers(self, at: int) -> None:
        while self._waiting:
            for picture in sorted(self._waiting):
                follower = self._waiting[picture]
                if self._decodable(follower):
                    break
            else:
                return
            if self._lets_pass(follower, at):
                return
            del self._waiting[follower.picture]
            self._decode(follower, at)

    def _lets_pass(self, frame: _Frame, at: int) -> bool:
        """Whether it is kept back, since an earlier packet may still come."""
        if not self.least_delay_ns or self._least == _NEVER:
            return False
        due = self._captured(frame) + min(self._least, self._least_before) + self.least_delay_ns
        if due <= at:
            return False
        for number in self._missing:
            if number < frame.first:
                self._held_until = min(due, self._held_until)
                return True
        return False

    def _captured(self, frame: _Frame) -> int:
        """Nanoseconds by the sender's clock."""
        return self._unwrapped(frame) * 100_000 // 9

    def _unwrapped(self, frame: _Frame) -> int:
        return frame.timestamp if self._timestamp == _NEVER else unwrap(frame.timestamp, self._timestamp, 1 << 32)

    def _decodable(self, frame: _Frame) -> bool:
        if frame.keyframe:
            return True
        if self._needs_keyframe:
            return False
        if frame.temporal == _NONE:
            return frame.picture == self._picture + 1
        if frame.temporal == 0:
            return bool(self._groups.get(frame.tl0 - 1, 0) & 1)
        decoded = self._groups.get(frame.tl0, 0)
        return bool(decoded & 1) if frame.temporal == 1 or frame.sync else decoded & 3 == 3

    def _decode(self, frame: _Frame, at: int) -> None:
        if frame.keyframe:
            self._begin_anew(frame)
        self._groups[frame.tl0] = self._groups.get(frame.tl0, 0) | 1 << max(0, frame.temporal)
        self._picture = max(self._picture, frame.picture)
        if frame.temporal <= 0:
            self._tl0 = frame.tl0
            self._groups.pop(frame.tl0 - 4, None)
        self._keyframe_at = at + _WAIT_FOR_FRAME
        self._show(frame, at)

    def _begin_anew(self, frame: _Frame) -> None:
        """Nothing before a keyframe is needed any more."""
        self.figures.keyframes += 1
        self._needs_keyframe = False
        self._groups.clear()
        self._picture = frame.picture
        stale = [picture for picture in self._waiting if picture < frame.picture]
        self.figures.undecodable += len(stale)
        for picture in stale:
            del self._waiting[picture]
        for number in [number for number in self._missing if number < frame.first]:
            del self._missing[number]
        for timestamp in [t for t in self._frames if unwrap(t, frame.timestamp, 1 << 32) < frame.timestamp]:
            del self._frames[timestamp]
        self._height = frame.height

    def _show(self, frame: _Frame, at: int) -> None:
        """The jitter buffer: a delay over the least transit that rises quickly and falls slowly."""
        transit = at - self._captured(frame)
        self._timestamp = self._unwrapped(frame)
        if self._least == _NEVER:
            self._least_before, self._least_since = transit, at
        elif at - self._least_since > _LEAST_OF:
            self._least_before, self._least_since = self._least, at
            self._least = transit
        self._least = min(self._least, transit)
        late = transit - min(self._least, self._least_before)
        step = (late - self.delay_ns) // (4 if late > self.delay_ns else 200)
        due = at - late + max(self.delay_ns, self.least_delay_ns)
        self.delay_ns = min(_MOST_DELAY, max(_LEAST_DELAY, self.delay_ns + step))
        self.shown.append(Shown(max(at, due), frame.stamp, self._height, max(0, frame.temporal)))
