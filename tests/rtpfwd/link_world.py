"""Several linked planes without lanes, their ends, and one clock."""

from __future__ import annotations

from collections.abc import Sequence

from rtpfwd.params import Handle
from rtpfwd.plane import Plane, link_planes
from tests.rtpfwd.plane_world import MS, End, World


class LinkedWorld:
    """Worlds that share a clock and whose planes are linked. Ends are addressed by port, each port once."""

    def __init__(self, planes: int = 2, **options: int) -> None:
        self.worlds = [World(**options) for _ in range(planes)]
        link_planes([world.plane for world in self.worlds])

    def __getitem__(self, index: int) -> World:
        return self.worlds[index]

    @property
    def planes(self) -> list[Plane]:
        return [world.plane for world in self.worlds]

    @property
    def now(self) -> int:
        return self.worlds[0].now

    def mirror(self, producer: Handle, *, origin: int = 0, to: int = 1) -> Handle:
        return self.worlds[to].plane.mirror_producer(self.worlds[origin].plane, producer, self.now)

    def due(self) -> int | None:
        due = [at for plane in self.planes if (at := plane.next_timeout()) is not None]
        return min(due, default=None)

    def settle(self) -> int:
        """Let every plane do what is due now, until none wants to. How many rounds that took."""
        rounds = 0
        while (due := self.due()) is not None and due <= self.now:
            assert rounds < 100, "the planes never come to rest"
            for world in self.worlds:
                world.plane.handle_timeout(self.now)
                world.drain()
            rounds += 1
        return rounds

    def send(self, end: End, *packets: bytes) -> None:
        end.send(self.now, *packets)
        for world in self.worlds:
            world.drain()
        self.settle()

    def advance(self, ms: float) -> None:
        end = self.now + int(ms * MS)
        while (due := self.due()) is not None and due <= end:
            self._at(max(self.now, due))
            self.settle()
        self._at(end)

    def _at(self, now: int) -> None:
        for world in self.worlds:
            world.now = now

    def assert_nothing_leaks(self) -> None:
        for plane in self.planes:
            figures = plane.counters()
            assert figures["buffers_free"] == figures["buffers"]


def payloads(end: End, ssrc: int = 0x2000) -> Sequence[bytes]:
    return [packet.payload for packet in end.rtp if packet.ssrc == ssrc]
