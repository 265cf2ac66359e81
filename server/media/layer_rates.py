"""What can be sent of a video producer, and what each choice costs. Pure: rates in, options out.

What flows is measured by the plane. What does not flow now, because nobody watches it and dynacast has switched it off,
costs what it cost when it last flowed, or what its sender said it may cost, or what such layers usually cost; so it
can be chosen again. An encoding that is asked for and does not come is no choice: its sender can't afford it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rtpfwd.events import LayerRate
from server.policy.protocols import LayerOption
from server.rtc.ortc import ProducerType
from server.rtc.parameters import RtpEncodingParameters
from server.rtc.scalability import ScalabilityMode, parse_scalability_mode

MEASURE_NS = 250_000_000  # between two looks at the plane's figures
RISE_NS, FALL_NS = 1_000_000_000, 5_000_000_000  # how fast a measured rate is followed up and down
SETTLED_NS = 3_000_000_000  # after an encoding began: what was not heard of it by then, it doesn't have
LEAST_OF_SCREEN = 0.5  # of what its sender said it may cost
MOST_OVER = 1.1  # times what its sender said it may cost: encoders overshoot, but not for long
AUDIO_PACKETS = 50.0  # a second
GRACE_NS = 5_000_000_000  # for an encoding that is asked for to begin
GUESSED_BPS = (150_000, 500_000, 1_500_000, 3_000_000)  # of simulcast encodings of which nothing is known
GUESSED_SIMPLE_BPS = 1_000_000
GUESSED_FPS = 30.0
CAMERA_WIDTH, SCREEN_WIDTH = 1280, 1920  # pixels, of sources that don't say
_PACKET_OVERHEAD = 44 * 8  # bits: IPv4 and UDP headers, and what SRTP adds
_PAYLOAD = 1150 * 8  # bits of a full packet
# What of an encoding's rate is in temporal layers 0 to n, by how many it has: libwebrtc's division.
_SHARES: dict[int, tuple[float, ...]] = {1: (1.0,), 2: (0.6, 1.0), 3: (0.4, 0.6, 1.0), 4: (0.25, 0.4, 0.6, 1.0)}


def on_wire(bps: float, frames_per_second: float) -> int:
    """What a stream of so many RTP bytes takes on the path, with every packet's headers."""
    packets = max(frames_per_second, bps / _PAYLOAD) if bps else 0.0
    return round(bps + packets * _PACKET_OVERHEAD)


@dataclass(slots=True)
class Measured:
    """One layer by itself."""

    bps: float
    frames_per_second: float


class RateBook:
    """The rates of one producer, now and as far as they are remembered."""

    def __init__(
        self, kind: ProducerType, encodings: Sequence[RtpEncodingParameters], now: int, *, screen: bool = False
    ) -> None:
        self._simulcast = kind == "simulcast"
        self._encodings = tuple(encodings)
        self._modes = [parse_scalability_mode(encoding.scalability_mode) for encoding in encodings]
        self._layered = kind != "simple"
        self._screen = screen
        self._width = SCREEN_WIDTH if screen else CAMERA_WIDTH
        self._known: dict[tuple[int, int], Measured] = {}
        self._flowing: set[int] = set()  # spatial layers
        self._began: dict[int, int] = {}  # by spatial layer: when it was first heard
        self._wanted_since: list[int | None] = [now] * len(self._encodings)  # None: not wanted
        self._absent: set[int] = set()  # encodings that were asked for and did not come
        self._measured_at: int | None = None
        self._offered: tuple[LayerOption, ...] = ()
        self._moved = True  # since `offered` looked
        self.version = 0  # of what `offered` answers

    @property
    def spatial_layers(self) -> int:
        """How many there can be."""
        return len(self._encodings) if self._simulcast else max(mode.spatial_layers for mode in self._modes)

    @property
    def temporal_layers(self) -> int:
        """How many there can be, of the encoding that has most."""
        heard = max((temporal for _, temporal in self._known), default=0) + 1
        return max(heard, *(mode.temporal_layers for mode in self._modes))

    @property
    def flowing(self) -> frozenset[int]:
        """The spatial layers that were heard lately."""
        return frozenset(self._flowing)

    def want(self, wanted: Sequence[bool], now: int) -> None:
        """What the sender is asked for from now on, by encoding."""
        self._moved = True
        for index, each in enumerate(wanted):
            if not each:
                self._wanted_since[index] = None
                self._absent.discard(index)
            elif self._wanted_since[index] is None:
                self._wanted_since[index] = now

    def stale(self, now: int) -> bool:
        """Whether it is time to measure again."""
        return self._measured_at is None or now - self._measured_at >= MEASURE_NS

    def flowing_bps(self) -> int:
        """What is heard now, on the wire; of audio, whose packets are frames."""
        return sum(on_wire(self._known[layer].bps, AUDIO_PACKETS) for layer in self._known if layer[0] in self._flowing)

    def measure(self, rates: Iterable[LayerRate], now: int) -> None:
        """What the plane hears now. Layers that the payload doesn't name count as the lowest."""
        self._moved = True
        elapsed = now - self._measured_at if self._measured_at is not None else 0
        rise, fall = (1 - math.exp(-elapsed / tau) for tau in (RISE_NS, FALL_NS))
        self._measured_at = now
        self._flowing.clear()
        for rate in rates:
            layer = (max(rate.spatial, 0), max(rate.temporal, 0))
            if rate.bps > 0:
                self._flowing.add(layer[0])
                self._began.setdefault(layer[0], now)
                self._known[layer] = self._learned(layer, rate, rise, fall)
        if self._simulcast:
            for index, since in enumerate(self._wanted_since):
                if index in self._flowing:
                    self._absent.discard(index)
                elif since is not None and now - since >= GRACE_NS:
                    self._absent.add(index)

    def _learned(self, layer: tuple[int, int], rate: LayerRate, rise: float, fall: float) -> Measured:
        """A stream begins with a keyframe, which says little of its rate: what it may cost is believed first. And what
        it cost a moment ago it may cost again, a screen above all: it is dear when something moves on it."""
        known, stated = self._known.get(layer), self._stated(*layer)
        before = known.bps if known is not None else stated
        if before is None:
            return Measured(rate.bps, rate.frames_per_second)
        weight = rise if rate.bps > before else fall
        bps = before + weight * (rate.bps - before)
        if stated is not None:
            bps = min(max(bps, LEAST_OF_SCREEN * stated if self._screen else 0.0), MOST_OVER * stated)
        frames = known.frames_per_second if known is not None else rate.frames_per_second
        return Measured(bps, frames + rise * (rate.frames_per_second - frames))

    def _stated(self, spatial: int, temporal: int) -> float | None:
        """What a layer by itself may cost as its sender says; None: it doesn't."""
        if not self._simulcast or spatial >= len(self._encodings):
            return None
        whole = self._encodings[spatial].max_bitrate
        shares = _SHARES.get(max(self._modes[spatial].temporal_layers, temporal + 1))
        if whole is None or shares is None:
            return None
        return whole * (shares[temporal] - (shares[temporal - 1] if temporal else 0.0))

    def offered(self) -> tuple[LayerOption, ...]:
        """The options, the same ones until something about them has changed that matters: a layer that came or went, or
        a rate that moved by more than a twelfth. Only the first call after a measurement costs much."""
        if not self._moved:
            return self._offered
        self._moved = False
        options = self.options()
        same = [option[:2] for option in options] == [option[:2] for option in self._offered]
        if not same or any(
            abs(new.bps - old.bps) > old.bps / 12 for new, old in zip(options, self._offered, strict=True)
        ):
            self._offered = options
            self.version += 1
        return self._offered

    def options(self) -> tuple[LayerOption, ...]:
        """From the smallest; one at least. `bps` is on the wire, with everything below that is needed."""
        if not self._layered:
            return (self._whole(),)
        found: list[LayerOption] = []
        for spatial in range(self.spatial_layers):
            if self._simulcast and spatial in self._absent and len(self._absent) < self.spatial_layers:
                continue
            found += self._of_spatial(spatial)
        return tuple(found) or (self._whole(),)

    def _whole(self) -> LayerOption:
        bps = sum(layer.bps for layer in self._known.values())
        frames = max((layer.frames_per_second for layer in self._known.values()), default=GUESSED_FPS)
        stated = self._encodings[0].max_bitrate if self._encodings else None
        return LayerOption(0, 0, on_wire(bps or stated or GUESSED_SIMPLE_BPS, frames), 0, frames)

    def _of_spatial(self, spatial: int) -> list[LayerOption]:
        mode = self._modes[spatial if self._simulcast else 0]
        layers = sorted(temporal for s, temporal in self._known if s == spatial)
        if not layers:
            return self._guessed(spatial, mode)
        found = []
        began = self._began.get(spatial)
        if self._measured_at is not None and began is not None and self._measured_at - began < SETTLED_NS:
            # Not all of its layers were heard yet; what was says too little to choose by.
            guessed = self._guessed(spatial, mode)
            if len(guessed) > max(layers) + 1:
                return guessed
        alone = self._simulcast or mode.simulcast or mode.key  # layers below are not needed, or in keyframes only
        for temporal in range(max(layers) + 1):
            bps, frames = 0.0, 0.0
            for (s, t), layer in self._known.items():
                if t <= temporal and (s == spatial or (s < spatial and not alone)):
                    bps += layer.bps
                    frames += layer.frames_per_second if s == spatial else 0.0
            if bps:
                found.append(LayerOption(spatial, temporal, on_wire(bps, frames), self._width_of(spatial), frames))
        return found

    def _guessed(self, spatial: int, mode: ScalabilityMode) -> list[LayerOption]:
        stated = self._encodings[spatial if self._simulcast else 0].max_bitrate
        if self._simulcast:
            bps = stated or GUESSED_BPS[min(spatial, len(GUESSED_BPS) - 1)]
        else:
            whole = stated or GUESSED_BPS[min(self.spatial_layers - 1, len(GUESSED_BPS) - 1)]
            bps = round(whole / 3 ** (self.spatial_layers - 1 - spatial))
        shares = _SHARES.get(mode.temporal_layers, _SHARES[1])
        found = []
        for temporal, share in enumerate(shares):
            frames = GUESSED_FPS / 2 ** (len(shares) - 1 - temporal)
            width = self._width_of(spatial)
            found.append(LayerOption(spatial, temporal, on_wire(bps * share, frames), width, frames))
        return found

    def _width_of(self, spatial: int) -> int:
        """By the stated scale; spatial layers within a stream are half, or two thirds, of the one above."""
        if self._simulcast:
            stated = [encoding.scale_resolution_down_by for encoding in self._encodings]
            scale = stated[spatial]
            if scale is None:
                # Browsers halve at each step when nothing is stated; some stated and some not is no such case.
                scale = 1.0 if any(stated) else 2.0 ** (self.spatial_layers - 1 - spatial)
            return round(self._width / scale)
        step = 1.5 if self._modes[0].half_steps else 2.0
        return round(self._width / step ** (self.spatial_layers - 1 - spatial))
