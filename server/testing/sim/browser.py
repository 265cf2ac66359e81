"""One simulated browser: ICE checks, cameras and microphones behind a pacer, players, and the feedback of both sides.

There is no DTLS and no SRTP here (see node.py): a packet is in the clear, so nothing hangs on the system's randomness.
Everything random comes from the seed. Times are nanoseconds of the simulation. Compiled with the types of browser.pxd.
"""

from __future__ import annotations

import random
import struct
from collections import deque

from server.rtc import stun
from server.rtc.address import Address
from server.testing import netem, rtp
from server.testing.netem import MS, SECOND
from server.testing.rtp import RtpPacket
from server.testing.sim import feedback
from server.testing.sim.player import AudioPlayer, Receiver, VideoPlayer, number_in, unwrap
from server.testing.sim.rate_control import DelayAimd
from server.testing.sim.sources import Camera, Microphone, Outgoing, SendStream

_MS, _SECOND, _NEVER = MS, SECOND, netem.NEVER  # which browser.pxd makes integers of C
_NUMBER = struct.Struct("!H")
OVERHEAD = 28  # bytes of IPv4 and UDP headers around each datagram
TRANSPORT_CC_ID, PLAYOUT_DELAY_ID = 5, 11  # as the router numbers them
_AUDIO_BPS = 50_000  # kept back for audio with its headers
_CONSENT = 5 * SECOND
_PACING = 5 / 2  # of the target, as browsers do
_FEEDBACK_BITS = 68 * 8  # libwebrtc's reckoning: feedback takes a twentieth of what it is about
_FIRST_RTT = 100 * MS
_FORGOTTEN = 2000  # packets behind the newest, whose sending is no longer remembered


class Browser:
    """Everything that goes to and comes from one address of the server. Drain `output` after every call."""

    def __init__(self, name: str, server: Address, rng: random.Random, *, max_bps: int) -> None:
        self.name = name
        self.server = server
        self.own_ssrc = rng.randrange(1, 1 << 31)
        self.output: list[bytes] = []
        self.cameras: list[Camera] = []
        self.microphones: list[Microphone] = []
        self.players: dict[int, Receiver] = {}  # by SSRC
        self.rtt_ns = _FIRST_RTT
        self.connected = False
        self.unclaimed = 0  # packets of no stream that we know: probes, mostly
        self.received_bytes = 0  # with IP and UDP headers
        self.control = DelayAimd(start_bps=300_000, max_bps=max_bps)
        self._rng = rng
        self._fragment, self._password = f"sim{self.own_ssrc:x}", "p" * 24
        self._remote = ("", "")
        self._tie_breaker = rng.getrandbits(64)
        self._check_at = _NEVER
        self._checks: dict[bytes, int] = {}
        self._streams: dict[int, SendStream] = {}
        self._repairs: dict[int, VideoPlayer] = {}  # by RTX SSRC
        self._watched: list[VideoPlayer] = []
        self._paced: deque[Outgoing] = deque()
        self._pace_at = 0
        self._number = rng.randrange(65536)  # transport-wide, of the next packet, unwrapped
        self._sent: dict[int, tuple[int, int]] = {}  # (when, bytes) by unwrapped number
        self._arrivals: dict[int, int] = {}  # of the node's transport-wide numbers, unwrapped, since the last feedback
        self._arrived_bytes = 0
        self._newest = 0
        self._told = 0  # every number below it has been reported
        self._feedback_at = _NEVER
        self._feedback_since = 0
        self._feedbacks = 0
        self._report_at = _NEVER

    # ---- what it does ----

    def connect(self, fragment: str, password: str, now: int) -> None:
        """Begin to check."""
        self._remote = (fragment, password)
        self._check_at = now

    def move(self, now: int) -> None:
        """The network has changed: check at once."""
        self.connected = False
        self._check_at = now

    def add_stream(self, stream: SendStream) -> None:
        """One that a camera or microphone sends on."""
        self._streams[stream.ssrc] = stream

    def add_player(self, player: VideoPlayer | AudioPlayer, rtx_ssrc: int | None) -> None:
        """One that the node will send."""
        self.players[player.ssrc] = player
        if rtx_ssrc is not None and isinstance(player, VideoPlayer):
            self._repairs[rtx_ssrc] = player
            self._watched.append(player)

    # ---- the verbs ----

    def receive(self, data: bytes, at: int) -> None:
        """A datagram from the node. ValueError when it is broken: that is a finding."""
        self.received_bytes += len(data) + OVERHEAD
        first = data[0]
        if first < 4:
            self._receive_stun(data, at)
        elif 192 <= data[1] <= 223:
            for part in rtp.parse_rtcp(data):
                self._receive_rtcp(part, at)
        else:
            self._receive_rtp(data, at)

    def next_timeout(self) -> int:
        """The soonest of everything; far away when there is nothing."""
        soonest = self._check_at
        if not self.connected:
            return soonest
        for camera in self.cameras:
            soonest = min(soonest, camera.next_frame)
        for microphone in self.microphones:
            soonest = min(soonest, microphone.next_frame)
        if self._paced:
            soonest = min(soonest, self._pace_at)
        soonest = min(soonest, self._feedback_at, self._report_at)
        for player in self._watched:
            soonest = min(soonest, player.next_timeout())
        return soonest

    def handle_timeout(self, now: int) -> None:
        """Whatever is due."""
        if self._check_at <= now:
            self._check(now)
        if not self.connected:
            return
        for microphone in self.microphones:
            if microphone.next_frame <= now:
                for packet in microphone.frames(now):
                    self._send(packet, now)
        for camera in self.cameras:
            if camera.next_frame <= now:
                if not self._paced:
                    self._pace_at = now
                self._paced.extend(camera.frames(now))
        self._pace(now)
        for player in self._watched:
            if player.next_timeout() <= now:
                player.handle_timeout(now)
                while player.output:
                    self.output.append(player.output.popleft())
        if self._feedback_at <= now:
            self._send_feedback(now)
        if self._report_at <= now:
            self._report(now)

    # ---- ICE ----

    def _check(self, now: int) -> None:
        transaction = self._rng.randbytes(12)
        self._checks = {transaction: now}
        self.output.append(
            stun.build_request(
                f"{self._remote[0]}:{self._fragment}",
                self._remote[1],
                priority=0x6E7F1EFF,
                ice_controlling=self._tie_breaker,
                use_candidate=True,
                transaction_id=transaction,
            )
        )
        self._check_at = now + (_CONSENT if self.connected else 200 * MS)

    def _receive_stun(self, data: bytes, now: int) -> None:
        message = stun.parse_untrusted(data)
        asked = self._checks.pop(message.transaction_id, None)
        if asked is None or not message.check_integrity(self._remote[1]):
            return
        self.rtt_ns = now - asked
        for player in self._watched:
            player.rtt_ns = self.rtt_ns
        if not self.connected:
            self.connected = True
            self._check_at = now + _CONSENT
            self._report_at = now + SECOND
            for camera in self.cameras:
                camera.next_frame = max(camera.next_frame, now)
            for microphone in self.microphones:
                microphone.next_frame = max(microphone.next_frame, now)
            self.share_rate()

    # ---- sending ----

    def _pace(self, now: int) -> None:
        rate = max(300_000, int(self.control.target * _PACING))
        while self._paced and self._pace_at <= now:
            packet = self._paced.popleft()
            self._send(packet, now)
            self._pace_at += (packet.size + OVERHEAD) * 8 * _SECOND // rate

    def _send(self, packet: Outgoing, now: int) -> None:
        number = self._number
        self._number = number + 1
        data = b"".join((packet.head, _NUMBER.pack(number & 0xFFFF), packet.tail))
        self._sent[number] = (now, len(data) + OVERHEAD)
        self._sent.pop(number - _FORGOTTEN, None)
        self.output.append(data)

    def share_rate(self) -> None:
        """Cameras and screens get the target in proportion to what they could use."""
        rest = max(0, self.control.target - _AUDIO_BPS * len(self.microphones))
        wanted = sum(camera.wanted for camera in self.cameras)
        for camera in self.cameras:
            camera.allow(rest * camera.wanted // wanted if wanted else 0)

    def _receive_rtcp(self, part: rtp.RtcpPacket, now: int) -> None:
        body = part.body
        if part.type == rtp.RTPFB and part.subtype == feedback.TRANSPORT_FEEDBACK:
            self._take_feedback(body, now)
        elif part.type == rtp.RTPFB and part.subtype == 1:
            ssrc, numbers = rtp.nacked(part)
            stream = self._streams.get(ssrc)
            for number in numbers if stream is not None else ():
                again = stream.again(number) if stream is not None else None
                if again is not None:
                    self._send(again, now)
        elif part.type == rtp.PSFB and part.subtype in {1, 4}:
            (ssrc,) = struct.unpack_from("!I", body, 4 if part.subtype == 1 else 8)
            for camera in self.cameras:
                camera.keyframe(ssrc)
        elif part.type == rtp.PSFB and (remb := feedback.read_remb(body)) is not None:
            self.control.remb = remb
            self.share_rate()
        elif part.type == rtp.SR:
            ssrc, ntp = struct.unpack_from("!IQ", body)
            player = self.players.get(ssrc)
            if player is not None:
                player.sender_report(ntp, now)

    def _take_feedback(self, body: bytes, now: int) -> None:
        results = []
        for short, arrived in feedback.read_transport_feedback(body):
            number = self._number - ((self._number - short) & 0xFFFF)
            sent = self._sent.pop(number, None)
            if sent is not None:
                results.append((sent[0], arrived, sent[1]))
        self.control.on_feedback(results, now)
        self.share_rate()

    # ---- receiving ----

    def _receive_rtp(self, data: bytes, at: int) -> None:
        first, kind, seq = data[0], data[1], data[2] << 8 | data[3]
        timestamp, ssrc = number_in(data, 4, 8), number_in(data, 8, 12)
        start, end = 12, len(data)
        if first & 0x10:
            words = data[14] << 8 | data[15]
            start = 16 + 4 * words
            if data[12] == 0xBE:
                place = 16
                while place < start:
                    mark = data[place]
                    if not mark:
                        place += 1
                        continue
                    if mark >> 4 == TRANSPORT_CC_ID:
                        self._arrived(data[place + 1] << 8 | data[place + 2], end, at)
                    elif mark >> 4 == PLAYOUT_DELAY_ID:
                        self._keep_back(ssrc, data[place + 1] << 4 | data[place + 2] >> 4)
                    place += 2 + (mark & 15)
            else:
                for number, value in RtpPacket.parse(data).extensions:
                    if number == TRANSPORT_CC_ID:
                        self._arrived(value[0] << 8 | value[1], end, at)
                    elif number == PLAYOUT_DELAY_ID:
                        self._keep_back(ssrc, value[0] << 4 | value[1] >> 4)
        if first & 0x20:
            end -= data[-1]
        player = self.players.get(ssrc)
        if player is not None:
            player.receive(seq, timestamp, kind & 0x80, data, start, end, at)
        elif (repaired := self._repairs.get(ssrc)) is not None:
            repaired.receive_again(timestamp, kind & 0x80, data, start, end, at)
        else:
            self.unclaimed += 1

    def _keep_back(self, ssrc: int, steps: int) -> None:
        player = self.players.get(ssrc)
        if isinstance(player, VideoPlayer):
            player.least_delay_ns = steps * 10 * MS

    def _arrived(self, short: int, size: int, at: int) -> None:
        number = unwrap(short, self._newest, 1 << 16) if self._feedbacks else short
        if self._feedback_at == _NEVER:
            self._feedback_at, self._feedback_since = at + 50 * _MS, at
            if not self._feedbacks:
                self._newest = self._told = number
                self._feedbacks = 1
        self._newest = max(self._newest, number)
        self._arrivals.setdefault(number, at)
        self._arrived_bytes += size + OVERHEAD

    def _send_feedback(self, now: int) -> None:
        """From the first number not reported yet to the newest; one that comes later gets a message of its own."""
        arrivals = sorted(self._arrivals.items())
        if arrivals:
            self.output += feedback.write_transport_feedback(
                self.own_ssrc, 0, self._feedbacks - 1, self._whole(arrivals)
            )
            self._feedbacks += 1
            self._told = max(self._told, self._newest + 1)
        rate = self._arrived_bytes * 8 * SECOND // max(1, now - self._feedback_since)
        pause = min(250 * MS, max(50 * MS, _FEEDBACK_BITS * SECOND * 20 // max(1, rate)))
        self._arrivals.clear()
        self._arrived_bytes = 0
        self._feedback_at = now + pause if arrivals else _NEVER
        self._feedback_since = now

    def _whole(self, arrivals: list[tuple[int, int]]) -> list[tuple[int, int | None]]:
        """With the numbers that did not arrive between the last message and the first of this one."""
        first = arrivals[0][0]
        if first <= self._told:
            return list(arrivals)
        return [(self._told, None), *arrivals]

    def _report(self, now: int) -> None:
        self._report_at = now + SECOND
        for stream in self._streams.values():
            if stream.sent:
                self.output.append(rtp.rtcp(rtp.SR, 0, struct.pack("!IQIII", *_sender_words(stream, now))))
        blocks = [block for player in self.players.values() if (block := player.report_block(now)) is not None]
        for at in range(0, len(blocks), 31):
            self.output.append(feedback.write_receiver_report(self.own_ssrc, blocks[at : at + 31]))


def _sender_words(stream: SendStream, now: int) -> tuple[int, int, int, int, int]:
    ssrc, ntp, timestamp, packets, size = stream.report(now)
    return ssrc, ntp & (1 << 64) - 1, timestamp, packets & 0xFFFFFFFF, size & 0xFFFFFFFF
