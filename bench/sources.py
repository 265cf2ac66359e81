"""From what a publisher is to play to the script that bench.load plays: packets, their places, and their parameters.

Everything here is decided once for each publisher: SSRCs, first numbers, where stamps and extensions are.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from bench.errors import BenchError
from bench.trace import Trace, is_rtcp, rtp_header_length
from server.rtc import uris
from server.rtc.parameters import (
    RtcpFeedback,
    RtcpParameters,
    RtpCodecParameters,
    RtpEncodingParameters,
    RtpHeaderExtensionParameters,
    RtpParameters,
    RtxParameters,
    is_rtx,
)
from server.testing.rtp import RtpPacket
from server.testing.stamps import STAMP_BYTES, Stamp, payload

SECOND = 1_000_000_000
LONGEST = 1500  # bytes of a packet in the clear
KEPT = 64  # bytes of recorded payload that no stamp may touch: what a server reads of it
TRACE_FRAME = SECOND // 30  # what counts as a frame interval of a recording
_KEY_HEADER = 11  # bytes of server/testing/stamps.py's VP8 header of a key frame
_MID_ID, _SEND_TIME_ID, _TRANSPORT_ID, _OFFSET_ID = 4, 2, 3, 14  # as Chromium numbers them, but for the MID


@dataclass(frozen=True, slots=True)
class SyntheticSource:
    """VP8-like video at exact times: `packets` packets of `size` payload bytes sent at once, `fps` times a second.

    `extensions` are those on every packet: "mid", or "webrtc": what Chromium sends (MID, abs-send-time, transport-wide
    sequence number, transmission time offset).
    """

    packets: int = 10
    size: int = 1200
    fps: int = 30
    extensions: Literal["mid", "webrtc"] = "mid"
    seed: int = 1


@dataclass(frozen=True, slots=True)
class TraceSource:
    """A recorded trace in a loop: its sizes and times, under SSRCs of its own for each publisher."""

    trace: Trace
    seed: int = 1


Source: TypeAlias = SyntheticSource | TraceSource


@dataclass(frozen=True, slots=True)
class Script:
    """What bench.load plays; `sents` and `steps` are as its `publish` takes them. Times are ns."""

    media: tuple[tuple[str, RtpParameters], ...]
    sents: list[tuple[int, int, int, int, bool, int, int, int]]
    steps: list[tuple[int, int, int, int, int, int, int, int, int, int, int, bool, int]]
    data: bytes
    duration: int
    frame: int
    transport_seq: int
    stamped_from: int  # bytes of payload: smaller packets have no stamp
    exact: bool  # whether a server should forward every packet


def write_script(source: Source, seed: str) -> Script:
    """`seed` tells publishers of the same source apart. BenchError when the source can't be played."""
    rng = random.Random(f"{seed} {source.seed}")
    if isinstance(source, SyntheticSource):
        return _synthetic(source, rng)
    return _Recording(source.trace, rng).script()


# ---- synthetic ----


def _synthetic(source: SyntheticSource, rng: random.Random) -> Script:
    least = _KEY_HEADER + STAMP_BYTES
    if not 1 <= source.packets <= 1024 or not 1 <= source.fps <= 1000 or source.size < least:
        raise BenchError(f"a synthetic source has 1 to 1024 packets of {least} bytes or more, 1 to 1000 times a second")
    extensions = [(_MID_ID, b"0")]
    if source.extensions == "webrtc":
        extensions = [(_SEND_TIME_ID, bytes(3)), (_TRANSPORT_ID, bytes(2)), *extensions, (_OFFSET_ID, bytes(3))]
    ssrc, rtx_ssrc = _fresh(rng), _fresh(rng)
    steps = []
    data = bytearray()
    for rank in range(source.packets):
        first, last = rank == 0, rank == source.packets - 1
        body = payload(Stamp(0, 0), source.size, video=True, first=first)
        packet = bytes(RtpPacket(96, ssrc, 0, 0, body, marker=last, extensions=tuple(extensions)))
        if len(packet) > LONGEST:
            raise BenchError(f"packets of {len(packet)} bytes are too large; {LONGEST} are possible")
        places = extension_places(packet)
        header = len(packet) - len(body)
        steps.append(
            (
                0,
                len(data),
                0,
                rank,
                len(packet),
                len(packet),
                header,
                len(packet) - STAMP_BYTES,
                places.get(_TRANSPORT_ID, 0),
                places.get(_SEND_TIME_ID, 0),
                0,
                first,
                _KEY_HEADER if first else 0,
            )
        )
        data += packet
    interval = SECOND // source.fps
    return Script(
        media=(("video", _synthetic_parameters(source, ssrc, rtx_ssrc)),),
        sents=[(ssrc, rtx_ssrc, 97, 90_000, True, rng.getrandbits(16), rng.getrandbits(32), source.packets)],
        steps=steps,
        data=bytes(data),
        duration=interval,
        frame=interval,
        transport_seq=rng.getrandbits(16),
        stamped_from=STAMP_BYTES,
        exact=True,
    )


def _synthetic_parameters(source: SyntheticSource, ssrc: int, rtx_ssrc: int) -> RtpParameters:
    feedback = [RtcpFeedback("nack"), RtcpFeedback("nack", "pli"), RtcpFeedback("ccm", "fir")]
    extensions = [RtpHeaderExtensionParameters(uris.MID, _MID_ID)]
    if source.extensions == "webrtc":
        feedback.append(RtcpFeedback("transport-cc"))
        extensions += [
            RtpHeaderExtensionParameters(uris.ABS_SEND_TIME, _SEND_TIME_ID),
            RtpHeaderExtensionParameters(uris.TRANSPORT_CC, _TRANSPORT_ID),
            RtpHeaderExtensionParameters(uris.TRANSMISSION_OFFSET, _OFFSET_ID),
        ]
    return RtpParameters(
        mid="0",
        codecs=(
            RtpCodecParameters("video/VP8", 96, 90_000, rtcp_feedback=tuple(feedback)),
            RtpCodecParameters("video/rtx", 97, 90_000, parameters={"apt": 96}),
        ),
        header_extensions=tuple(extensions),
        encodings=(RtpEncodingParameters(ssrc=ssrc, rtx=RtxParameters(rtx_ssrc)),),
        rtcp=RtcpParameters(cname="bench"),
    )


# ---- recorded ----


@dataclass(slots=True)
class _Recorded:
    """One SSRC of a recording."""

    ssrc: int  # the new one
    clock_rate: int
    video: bool
    first_timestamp: int
    highest: int  # extended sequence number
    numbers: list[int]  # extended sequence numbers, in the order of sending
    timestamp: int = -1  # of the packet before


class _Recording:
    def __init__(self, trace: Trace, rng: random.Random) -> None:
        self._trace = trace
        self._rng = rng
        self._renamed: dict[int, int] = {}
        self._rates = {
            codec.payload_type: (codec.clock_rate, kind == "video")
            for kind, parameters in trace.media
            for codec in parameters.codecs
            if not is_rtx(codec)
        }
        self._streams: dict[int, _Recorded] = {}  # by recorded SSRC
        self._ids = {
            extension.uri: extension.id for _, parameters in trace.media for extension in parameters.header_extensions
        }

    def script(self) -> Script:
        """One pass to number the packets, one to write them down."""
        played = list(self._played())
        if not played:
            raise BenchError(f"the trace {self._trace.name} has no media of the codecs that it names")
        ranks = [
            {number: rank for rank, number in enumerate(sorted(stream.numbers))} for stream in self._streams.values()
        ]
        order = {ssrc: place for place, ssrc in enumerate(self._streams)}
        data = bytearray()
        steps = []
        for at, packet, size, ssrc, number, new_frame in played:
            place, stream = order[ssrc], self._streams[ssrc]
            steps.append(self._step(at, packet, size, len(data), place, ranks[place][number], stream, new_frame))
            data += packet
        return Script(
            media=tuple((kind, self._rename(parameters)) for kind, parameters in self._trace.media),
            sents=[self._sent(ssrc, stream) for ssrc, stream in self._streams.items()],
            steps=steps,
            data=bytes(data),
            # One nanosecond more than the last packet at least, or it would be sent with the next loop's first.
            duration=max(self._trace.duration_ns, played[-1][0] + 1),
            frame=TRACE_FRAME,
            transport_seq=self._rng.getrandbits(16),
            stamped_from=KEPT + STAMP_BYTES,
            exact=all(_exact(parameters) for _, parameters in self._trace.media)
            and not any(_only_padding(packet, size) for _, packet, size, *_ in played),
        )

    def _played(self) -> Iterator[tuple[int, bytes, int, int, int, bool]]:
        """Media packets, each sequence number once: (at, data, size, recorded SSRC, extended number, new frame)."""
        heard: set[tuple[int, int]] = set()
        for packet in self._trace.packets:
            data = packet.data
            payload_type = data[1] & 127
            if is_rtcp(data) or payload_type not in self._rates:
                continue
            if packet.size > LONGEST:
                raise BenchError(
                    f"the trace {self._trace.name} has a packet of {packet.size} bytes; {LONGEST} can be sent"
                )
            ssrc = int.from_bytes(data[8:12], "big")
            seq, timestamp = int.from_bytes(data[2:4], "big"), int.from_bytes(data[4:8], "big")
            stream = self._streams.get(ssrc)
            if stream is None:
                rate, video = self._rates[payload_type]
                stream = _Recorded(self._new(ssrc), rate, video, timestamp, 65536 + seq, [])
                self._streams[ssrc] = stream
            number = stream.highest + ((seq - stream.highest + 0x8000) & 0xFFFF) - 0x8000
            if (ssrc, number) in heard:
                continue
            heard.add((ssrc, number))
            stream.highest = max(stream.highest, number)
            stream.numbers.append(number)
            yield packet.at_ns, data, packet.size, ssrc, number, timestamp != stream.timestamp
            stream.timestamp = timestamp

    def _step(
        self, at: int, data: bytes, size: int, offset: int, place: int, rank: int, stream: _Recorded, new_frame: bool
    ) -> tuple[int, int, int, int, int, int, int, int, int, int, int, bool, int]:
        header = rtp_header_length(data)
        assert header is not None
        padding = data[-1] if data[0] & 0x20 else 0
        stamp = size - padding - STAMP_BYTES
        places = extension_places(data)
        timestamp = (int.from_bytes(data[4:8], "big") - stream.first_timestamp) & 0xFFFFFFFF
        return (
            at,
            offset,
            timestamp,
            rank,
            len(data),
            size,
            header,
            stamp if stamp >= header + KEPT else 0,
            places.get(self._ids.get(uris.TRANSPORT_CC, -1), 0),
            places.get(self._ids.get(uris.ABS_SEND_TIME, -1), 0),
            place,
            new_frame,
            0,
        )

    def _sent(self, recorded: int, stream: _Recorded) -> tuple[int, int, int, int, bool, int, int, int]:
        rtx_ssrc, rtx_payload_type = self._rtx(recorded)
        first_seq, first_timestamp = self._rng.getrandbits(16), self._rng.getrandbits(32)
        count = len(stream.numbers)
        return (
            stream.ssrc,
            rtx_ssrc,
            rtx_payload_type,
            stream.clock_rate,
            stream.video,
            first_seq,
            first_timestamp,
            count,
        )

    def _rtx(self, recorded: int) -> tuple[int, int]:
        """SSRC and payload type of its retransmissions; zeros when the parameters do not say."""
        for _, parameters in self._trace.media:
            formats = [codec.payload_type for codec in parameters.codecs if is_rtx(codec)]
            for encoding in parameters.encodings:
                if encoding.ssrc == recorded and encoding.rtx is not None and formats:
                    return self._new(encoding.rtx.ssrc), formats[0]
        return 0, 0

    def _rename(self, parameters: RtpParameters) -> RtpParameters:
        encodings = tuple(
            msgspec.structs.replace(
                encoding,
                ssrc=None if encoding.ssrc is None else self._new(encoding.ssrc),
                rtx=None if encoding.rtx is None else RtxParameters(self._new(encoding.rtx.ssrc)),
            )
            for encoding in parameters.encodings
        )
        return msgspec.structs.replace(parameters, encodings=encodings)

    def _new(self, recorded: int) -> int:
        if recorded not in self._renamed:
            self._renamed[recorded] = _fresh(self._rng)
        return self._renamed[recorded]


def _exact(parameters: RtpParameters) -> bool:
    """No simulcast and no layers: nothing that a server may choose from."""
    modes: Sequence[str | None] = [encoding.scalability_mode for encoding in parameters.encodings]
    return len(modes) <= 1 and all(mode in (None, "", "L1T1", "S1T1") for mode in modes)


def _only_padding(packet: bytes, size: int) -> bool:
    """What a browser probes a link with: RTP without payload (RFC 3550 section 5.1); a server need not forward it."""
    return bool(packet[0] & 0x20) and len(packet) == size and (rtp_header_length(packet) or 0) + packet[-1] >= size


def _fresh(rng: random.Random) -> int:
    return rng.randrange(1, 1 << 31)


def extension_places(packet: bytes) -> dict[int, int]:
    """Where the data of each header extension begin (RFC 8285, both forms), by its id."""
    if not packet[0] & 0x10:
        return {}
    at = 12 + 4 * (packet[0] & 15)
    two_bytes = packet[at] == 0x10
    end = at + 4 + 4 * int.from_bytes(packet[at + 2 : at + 4], "big")
    at += 4
    places: dict[int, int] = {}
    while at < end - 1:
        if not packet[at]:
            at += 1
            continue
        number, length = (packet[at], packet[at + 1]) if two_bytes else (packet[at] >> 4, (packet[at] & 15) + 1)
        at += 2 if two_bytes else 1
        places[number] = at
        at += length
    return places
