"""Foreign ends for plane tests: publishers and viewers over pylibsrtp, in virtual time."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import pylibsrtp

from rtpfwd.params import (
    Address,
    CodecParams,
    ConsumerParams,
    EncodingParams,
    Handle,
    PayloadMapping,
    ProducerParams,
    SrtpProfile,
)
from rtpfwd.plane import Plane

MS = 1_000_000
MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
RRID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
PROFILES = {SrtpProfile.AES128_CM_SHA1_80: 30, SrtpProfile.AEAD_AES_128_GCM: 28}

VP8 = CodecParams(96, "video/vp8", 90000, rtx_payload_type=97, nack=True, pli=True)
OPUS = CodecParams(111, "audio/opus", 48000)
VP8_MAPPING = (PayloadMapping(producer=96, consumer=101, consumer_rtx=102),)
OPUS_MAPPING = (PayloadMapping(producer=111, consumer=100),)


def vp8(*, keyframe: bool = False, size: int = 100) -> bytes:
    """One whole frame in one packet: descriptor with S=1, then a frame header whose first bit is 0 for a keyframe."""
    return bytes([0x10, 0x00 if keyframe else 0x01]) + bytes(size)


def rtp(
    seq: int,
    payload: bytes,
    *,
    ssrc: int,
    payload_type: int = 96,
    timestamp: int | None = None,
    extensions: dict[int, bytes] | None = None,
    marker: bool = True,
) -> bytes:
    head = struct.pack(
        "!BBHII",
        0x90 if extensions else 0x80,
        payload_type | (0x80 if marker else 0),
        seq & 0xFFFF,
        (seq * 3000 if timestamp is None else timestamp) & 0xFFFFFFFF,
        ssrc,
    )
    if extensions:
        body = b"".join(bytes([number << 4 | len(data) - 1]) + data for number, data in extensions.items())
        body += bytes(-len(body) % 4)
        head += struct.pack("!HH", 0xBEDE, len(body) // 4) + body
    return head + payload


@dataclass(frozen=True)
class Rtp:
    payload_type: int
    marker: bool
    seq: int
    timestamp: int
    ssrc: int
    extensions: dict[int, bytes]
    payload: bytes
    padding: int = 0


def parse_rtp(data: bytes) -> Rtp:
    first, second, seq, timestamp, ssrc = struct.unpack_from("!BBHII", data)
    at = 12 + 4 * (first & 15)
    extensions = {}
    if first & 0x10:
        profile, words = struct.unpack_from("!HH", data, at)
        assert profile in (0xBEDE, 0x1000)
        at += 4
        end = at + 4 * words
        while at < end:
            if data[at] == 0:
                at += 1
                continue
            if profile == 0x1000:
                number, size, at = data[at], data[at + 1], at + 2
            else:
                number, size, at = data[at] >> 4, (data[at] & 15) + 1, at + 1
            extensions[number] = data[at : at + size]
            at += size
        at = end
    padding = data[-1] if first & 0x20 else 0
    return Rtp(
        second & 127, bool(second & 128), seq, timestamp, ssrc, extensions, data[at : len(data) - padding], padding
    )


def parse_rtcp(data: bytes) -> list[tuple[int, int, bytes]]:
    """(packet type, count or format, body after the header) of each packet of a compound."""
    found = []
    while data:
        first, kind, words = struct.unpack_from("!BBH", data)
        assert first >> 6 == 2
        size = 4 + 4 * words
        found.append((kind, first & 31, data[4:size]))
        data = data[size:]
    return found


def nack(sender: int, media: int, *seqs: int) -> bytes:
    fci = b"".join(struct.pack("!HH", seq, 0) for seq in seqs)
    return struct.pack("!BBHII", 0x81, 205, 2 + len(seqs), sender, media) + fci


def pli(sender: int, media: int) -> bytes:
    return struct.pack("!BBHII", 0x81, 206, 2, sender, media)


def sender_report(ssrc: int, ntp: int, timestamp: int, packets: int = 1, octets: int = 1) -> bytes:
    return struct.pack("!BBHIQIII", 0x80, 200, 6, ssrc, ntp, timestamp, packets, octets)


def receiver_report(sender: int, about: int, *, lost: int = 0, last_sr: int = 0, delay: int = 0) -> bytes:
    return struct.pack("!BBHIIIIIII", 0x81, 201, 7, sender, about, lost << 24, 100, 0, last_sr, delay)


@dataclass
class End:
    """One remote of the plane, with its own SRTP sessions."""

    plane: Plane
    address: Address
    profile: SrtpProfile | None
    handle: Handle = 0
    socket: int = 0
    rtp: list[Rtp] = field(default_factory=list)
    rtcp: list[tuple[int, int, bytes]] = field(default_factory=list)
    datagrams: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.handle = self.plane.add_transport(srtp=self.profile is not None)
        self.plane.admit(self.handle, self.socket, self.address)
        self.plane.set_remote(self.handle, self.socket, self.address)
        if self.profile is not None:
            self.set_keys()

    def set_keys(self) -> None:
        assert self.profile is not None
        size = PROFILES[self.profile]
        seed = self.address[2].to_bytes(2, "big")
        to_us, from_us = (seed + b"\x01" * size)[:size], (seed + b"\x02" * size)[:size]
        self.plane.set_keys(self.handle, self.profile, send_key=from_us, recv_key=to_us)
        policy = pylibsrtp.Policy
        self.tx = pylibsrtp.Session(policy(to_us, policy.SSRC_ANY_OUTBOUND, srtp_profile=int(self.profile)))
        self.rx = pylibsrtp.Session(policy(from_us, policy.SSRC_ANY_INBOUND, srtp_profile=int(self.profile)))

    def protect(self, packet: bytes) -> bytes:
        if self.profile is None:
            return packet
        return self.tx.protect_rtcp(packet) if 192 <= packet[1] <= 223 else self.tx.protect(packet)

    def send(self, now: int, *packets: bytes) -> None:
        self.plane.ingest([(self.socket, self.address, self.protect(packet)) for packet in packets], now)

    def take(self, data: bytes) -> None:
        self.datagrams.append(data)
        if 192 <= data[1] <= 223:
            self.rtcp.extend(parse_rtcp(self.rx.unprotect_rtcp(data) if self.profile is not None else data))
        else:
            self.rtp.append(parse_rtp(self.rx.unprotect(data) if self.profile is not None else data))

    def took_rtcp(self, kind: int, form: int | None = None) -> list[bytes]:
        return [body for found, count, body in self.rtcp if found == kind and form in (None, count)]


class World:
    """A plane without a lane, its ends, and one clock."""

    def __init__(self, **options: int) -> None:
        self.plane = Plane(**{"seed": 1, "max_transports": 64, "max_streams": 256, **options})
        self.ends: dict[Address, End] = {}
        self.now = 1_000 * MS

    def end(self, port: int, profile: SrtpProfile | None = SrtpProfile.AEAD_AES_128_GCM, protocol: str = "udp") -> End:
        address = (protocol, "127.0.0.1", port)
        self.ends[address] = End(self.plane, address, profile)
        return self.ends[address]

    def drain(self) -> None:
        while (sent := self.plane.poll_transmit()) is not None:
            _, address, data = sent
            self.ends[address].take(data)

    def send(self, end: End, *packets: bytes) -> None:
        end.send(self.now, *packets)
        self.drain()

    def advance(self, ms: float) -> None:
        """Let time pass, playing every timeout on the way."""
        end = self.now + int(ms * MS)
        while (due := self.plane.next_timeout()) is not None and due <= end:
            self.now = max(self.now, due)
            self.plane.handle_timeout(self.now)
            self.drain()
        self.now = end

    def events(self) -> Iterator[object]:
        while (event := self.plane.poll_event()) is not None:
            yield event

    def video(self, end: End, ssrc: int = 0x1000, **changes: object) -> Handle:
        values: dict[str, object] = {
            "kind": "video",
            "codecs": (VP8,),
            "encodings": (EncodingParams(ssrc=ssrc, rtx_ssrc=ssrc + 1),),
            "cname": "publisher",
        }
        return self.plane.add_producer(end.handle, ProducerParams(**{**values, **changes}))  # type: ignore[arg-type]

    def watch(self, end: End, producer: Handle, ssrc: int = 0x2000, **changes: object) -> Handle:
        values: dict[str, object] = {
            "ssrc": ssrc,
            "rtx_ssrc": ssrc + 1,
            "payload_types": VP8_MAPPING,
            "cname": "publisher",
        }
        params = ConsumerParams(**{**values, **changes})  # type: ignore[arg-type]
        return self.plane.add_consumer(end.handle, producer, params, self.now)
