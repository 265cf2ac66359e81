"""A seeded network in virtual time between two DTLS endpoints: it delivers, drops, duplicates, delays and reorders."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

from server.rtc.dtls import DtlsEndpoint, DtlsEvent, DtlsState

MILLISECOND = 1_000_000
SECOND = 1_000_000_000


@dataclass(frozen=True)
class Weather:
    """Shares of datagrams, of 1; the rest is delivered after `latency_ms`."""

    drop: float = 0.1
    duplicate: float = 0.1
    delay: float = 0.1  # by up to `delay_ms` more, so that later ones overtake it
    latency_ms: int = 20
    delay_ms: int = 400


@dataclass
class TerribleNetwork:
    """Carries datagrams between `ends` until both have reported something and nothing is on its way."""

    ends: tuple[DtlsEndpoint, DtlsEndpoint]
    weather: Weather
    rng: random.Random
    now: int = 0
    events: tuple[list[DtlsEvent], list[DtlsEvent]] = field(default_factory=lambda: ([], []))
    settled_at: int | None = None  # ns; when the second end reported
    datagrams: int = 0
    _flying: list[tuple[int, int, int, bytes]] = field(default_factory=list)

    def run(self, limit_ns: int = 60 * SECOND) -> None:
        self._drain()
        while self.now < limit_ns:
            times = [self._flying[0][0]] if self._flying else []
            times += [due for end in self.ends if (due := end.next_timeout()) is not None]
            if not times:
                return
            self.now = max(self.now, min(times))
            while self._flying and self._flying[0][0] <= self.now:
                _, _, index, data = heapq.heappop(self._flying)
                if self.ends[index].state not in (DtlsState.FAILED, DtlsState.CLOSED):
                    self.ends[index].receive_untrusted(data, self.now)
                self._drain()
            for end in self.ends:
                due = end.next_timeout()
                if due is not None and due <= self.now:
                    end.handle_timeout(self.now)
            self._drain()

    def _drain(self) -> None:
        for index, end in enumerate(self.ends):
            while (data := end.poll_transmit()) is not None:
                self._send(1 - index, data)
            while (event := end.poll_event()) is not None:
                self.events[index].append(event)
        if self.settled_at is None and all(self.events):
            self.settled_at = self.now

    def _send(self, index: int, data: bytes) -> None:
        weather = self.weather
        rest = 1 - weather.drop - weather.duplicate - weather.delay
        fate = self.rng.choices(
            ("drop", "duplicate", "delay", "deliver"), (weather.drop, weather.duplicate, weather.delay, rest)
        )[0]
        for _ in range({"drop": 0, "duplicate": 2}.get(fate, 1)):
            late = self.rng.randrange(weather.delay_ms) if fate in ("delay", "duplicate") else 0
            self.datagrams += 1
            heapq.heappush(
                self._flying, (self.now + (weather.latency_ms + late) * MILLISECOND, self.datagrams, index, data)
            )
