"""What a trace contains, stream by stream, for people and for tests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.trace import Trace, TracePacket, is_rtcp, rtp_header_length
from rtpfwd.probe import describe
from server.rtc.parameters import RtpParameters, is_rtx


@dataclass(slots=True)
class Stream:
    """One SSRC of a trace; `label` is its codec with its RID, or "RTX" with it. RTCP is a stream of its own."""

    ssrc: int | None
    label: str
    packets: int = 0
    octets: int = 0  # RTP or RTCP packets as sent in the clear, with their headers
    timestamps: set[int] = field(default_factory=set)
    keyframes: set[int] = field(default_factory=set)  # their timestamps
    layers: set[tuple[int, int]] = field(default_factory=set)  # (spatial, temporal)

    @property
    def mean_size(self) -> float:
        """Bytes."""
        return self.octets / self.packets

    @property
    def packets_per_frame(self) -> float:
        """A frame is what has one timestamp: with SVC, a picture with all its layers."""
        return self.packets / len(self.timestamps) if self.timestamps else 0.0

    def kbit_per_s(self, duration_ns: int) -> float:
        """Over the whole trace."""
        return self.octets * 8e6 / duration_ns


def streams(trace: Trace) -> list[Stream]:
    """In the order of first appearance, RTCP last."""
    found: dict[int, Stream] = {}
    rtcp = Stream(None, "RTCP")
    known = _labels(trace)
    codecs = {c.payload_type: c for _, parameters in trace.media for c in parameters.codecs}
    for packet in trace.packets:
        data = packet.data
        if is_rtcp(data):
            _count(rtcp, packet)
            continue
        ssrc = int.from_bytes(data[8:12], "big")
        stream = found.get(ssrc)
        if stream is None:
            stream = found[ssrc] = Stream(ssrc, known.get(ssrc, "?"))
        _count(stream, packet)
        codec = codecs.get(data[1] & 0x7F)
        if codec is None or is_rtx(codec):
            continue
        timestamp = int.from_bytes(data[4:8], "big")
        stream.timestamps.add(timestamp)
        header = rtp_header_length(data)
        if codec.mime_type.startswith("video/") and header is not None and not data[0] & 0x20:
            seen = describe(codec.mime_type, data[header:], marker=bool(data[1] & 0x80))
            if seen["is_keyframe"] and seen["is_frame_start"]:
                stream.keyframes.add(timestamp)
            stream.layers.add(seen["layer"])
    return [*found.values(), *([rtcp] if rtcp.packets else [])]


def print_traces(console: Console, traces: Iterable[Trace]) -> None:
    """A table for each."""
    for trace in traces:
        seconds = trace.duration_ns / 1e9
        table = Table(
            title=f"{trace.name}: {seconds:g} s, {len(trace.packets)} packets",
            title_justify="left",
            box=SIMPLE_HEAD,
            collapse_padding=True,
            pad_edge=False,
        )
        for title in ("stream", "SSRC"):
            table.add_column(title, no_wrap=True)
        for title in ("packets", "kbit/s", "mean\nbytes", "frames\n/s", "packets\n/frame", "key\nframes", "layers"):
            table.add_column(title, justify="right", no_wrap=True)
        for stream in streams(trace):
            frames = len(stream.timestamps)
            table.add_row(
                stream.label,
                "" if stream.ssrc is None else str(stream.ssrc),
                str(stream.packets),
                f"{stream.kbit_per_s(trace.duration_ns):.0f}",
                f"{stream.mean_size:.0f}",
                f"{frames / seconds:.1f}" if frames else "",
                f"{stream.packets_per_frame:.2f}" if frames else "",
                str(len(stream.keyframes) or ""),
                _layers(stream.layers),
            )
        console.print(table)
        for what, text in trace.origin:
            console.print(f"  {what}: {text}", markup=False, highlight=False, soft_wrap=True)
        console.print()


def _count(stream: Stream, packet: TracePacket) -> None:
    stream.packets += 1
    stream.octets += packet.size


def _labels(trace: Trace) -> dict[int, str]:
    labels: dict[int, str] = {}
    for _, parameters in trace.media:
        for ssrc, repair, label in _encodings(parameters):
            if ssrc is not None:
                labels[ssrc] = label
            if repair is not None:
                labels[repair] = f"{label} RTX"
    return labels


def _encodings(parameters: RtpParameters) -> Iterable[tuple[int | None, int | None, str]]:
    name = parameters.codecs[0].mime_type.partition("/")[2]
    for encoding in parameters.encodings:
        yield encoding.ssrc, encoding.rtx.ssrc if encoding.rtx else None, f"{name} {encoding.rid or ''}".strip()


def _layers(layers: set[tuple[int, int]]) -> str:
    """ "S0-2 T0-2": the spatial and temporal layers that payloads tell of; nothing where there is only one."""
    told = []
    for letter, numbers in (("S", [s for s, _ in layers if s >= 0]), ("T", [t for _, t in layers if t >= 0])):
        if numbers and min(numbers) < max(numbers):
            told.append(f"{letter}{min(numbers)}-{max(numbers)}")
    return " ".join(told)
