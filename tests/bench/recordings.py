"""Small recordings for the generator: of two media, and of a simulcast. 200 ms each, beginning with a key frame."""

from __future__ import annotations

import msgspec

from bench.trace import Trace, TracePacket, kept
from server.rtc import uris
from server.rtc.parameters import RtpEncodingParameters, RtpParameters, RtxParameters, rtp_parameters
from server.testing.rtp import SR, RtpPacket, rtcp
from tests.bench.traces import VP8_INTERFRAME, VP8_KEYFRAME

MS = 1_000_000
DURATION = 200 * MS
AUDIO_SSRC, VIDEO_SSRC, RTX_SSRC, LARGE_SSRC = 0xA0D10, 0x51DE0, 0x51DE1, 0x1A66E
MID_ID, SEND_TIME_ID, TRANSPORT_ID = 4, 2, 3


def video_parameters(encodings: tuple[RtpEncodingParameters, ...]) -> RtpParameters:
    """VP8 with retransmission and transport-wide feedback."""
    read = rtp_parameters(
        {
            "mid": "0",
            "codecs": [
                {
                    "mimeType": "video/VP8",
                    "payloadType": 96,
                    "clockRate": 90000,
                    "rtcpFeedback": [{"type": "nack"}, {"type": "nack", "parameter": "pli"}, {"type": "transport-cc"}],
                },
                {"mimeType": "video/rtx", "payloadType": 97, "clockRate": 90000, "parameters": {"apt": 96}},
            ],
            "headerExtensions": [
                {"uri": uris.MID, "id": MID_ID},
                {"uri": uris.ABS_SEND_TIME, "id": SEND_TIME_ID},
                {"uri": uris.TRANSPORT_CC, "id": TRANSPORT_ID},
            ],
            "encodings": [{"ssrc": 1}],
        }
    )
    return msgspec.structs.replace(read, encodings=encodings)


def audio_parameters() -> RtpParameters:
    """Opus."""
    return rtp_parameters(
        {
            "mid": "1",
            "codecs": [{"mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2}],
            "headerExtensions": [{"uri": uris.MID, "id": MID_ID}],
            "encodings": [{"ssrc": AUDIO_SSRC}],
        }
    )


def frames(ssrc: int, first_seq: int, sizes: tuple[int, ...]) -> list[tuple[int, bytes]]:
    """(time, packet) of five frames, 40 ms apart; `sizes` are those of each frame's payloads."""
    made = []
    for number in range(5):
        for place, size in enumerate(sizes):
            head = b"\x00" if place else VP8_KEYFRAME if number == 0 else VP8_INTERFRAME
            packet = RtpPacket(
                96,
                ssrc,
                first_seq + number * len(sizes) + place,
                0xFFFFF000 + number * 3600,  # passes the end
                head + bytes(range(1, 100)) * 20,
                place == len(sizes) - 1,
                ((SEND_TIME_ID, bytes(3)), (TRANSPORT_ID, bytes(2)), (MID_ID, b"0")),
            )
            made.append((number * 40 * MS + place, bytes(packet)[: len(bytes(packet)) - len(packet.payload) + size]))
    return made


def traced(name: str, media: tuple[tuple[str, RtpParameters], ...], packets: list[tuple[int, bytes]]) -> Trace:
    """In the order of time, without most of the payload."""
    packets = sorted(packets)
    return Trace(name, media, tuple(TracePacket(at, kept(data), len(data)) for at, data in packets), DURATION)


def talk() -> Trace:
    """One video of three packets a frame, one repeated by RTX; Opus each 20 ms, small and large; a sender report."""
    video = frames(VIDEO_SSRC, 65530, (1000, 1000, 300))
    audio = [
        (
            number * 20 * MS,
            bytes(RtpPacket(111, AUDIO_SSRC, 100 + number, number * 960, bytes(40 + 12 * number), False, ((4, b"1"),))),
        )
        for number in range(10)
    ]
    rtx = bytes(RtpPacket(97, RTX_SSRC, 1, 0, bytes(102)))
    report = rtcp(SR, 0, bytes(24))
    encodings = (RtpEncodingParameters(ssrc=VIDEO_SSRC, rtx=RtxParameters(RTX_SSRC)),)
    media = (("video", video_parameters(encodings)), ("audio", audio_parameters()))
    return traced("talk", media, [*video, *audio, (90 * MS, rtx), (100 * MS, report)])


def simulcast() -> Trace:
    """Two sizes of one picture."""
    packets = [*frames(VIDEO_SSRC, 10, (300,)), *frames(LARGE_SSRC, 20, (900, 900))]
    encodings = (RtpEncodingParameters(ssrc=VIDEO_SSRC), RtpEncodingParameters(ssrc=LARGE_SSRC))
    return traced("simulcast", (("video", video_parameters(encodings)),), packets)
