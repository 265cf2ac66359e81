"""The typed face of the load."""

from array import array
from typing import TypedDict

from rtpfwd.srtp import SrtpPolicy

class SourceCounts(TypedDict):
    """What one publisher did. `latest` is ns, since the last play began; `sent` counts media packets by SSRC."""

    playing: bool
    frames: int
    late_frames: int
    latest: int
    refused: int
    key_frame_requests: int
    nacked: int
    resent: int
    sent: dict[int, int]

class Load:
    """All remote ends, played by one native thread, which is whoever calls `run`."""

    def __init__(self, capacity: int, *, nacks: bool, seed: int) -> None:
        """For at most `capacity` remote ends at a time."""

    @property
    def handoff_fd(self) -> int:
        """An eventfd: readable when `poll` has something. Clear it by reading 8 bytes."""

    @property
    def overflows(self) -> int:
        """Datagrams for Python for which there was no room."""

    def add(self, fd: int) -> int:
        """Receive from a bound, connected, non-blocking UDP socket (borrowed). Answers the remote end's number."""

    def activate(
        self,
        number: int,
        inbound: SrtpPolicy,
        outbound: SrtpPolicy,
        own_ssrc: int,
        *,
        request: bytes,
        remote_password: bytes,
        own_password: bytes,
        server_address: int,
        server_port: int,
    ) -> None:
        """ICE and DTLS are done: from here on consent checks, answers to the server's checks, and reports are native.

        `request` is a check as the server accepts it, ending with MESSAGE-INTEGRITY and FINGERPRINT; the server's
        IPv4 address is a number.
        """

    def watch(self, number: int, streams: list[tuple[int, int, int, bool, bool, bool, int]], transport_id: int) -> None:
        """What this end will receive: (ssrc, RTX ssrc or 0, clock rate, video, nack, in place, bytes of payload from
        which on there is a stamp); `transport_id` of the transport-wide sequence number extension, or 0. Once."""

    def started(self, number: int) -> None:
        """The server forwards to this end from now on: ask for key frames."""

    def publish(
        self,
        number: int,
        sents: list[tuple[int, int, int, int, bool, int, int, int]],
        steps: list[tuple[int, int, int, int, int, int, int, int, int, int, int, bool, int]],
        data: bytes,
        *,
        duration: int,
        frame: int,
        transport_seq: int,
    ) -> None:
        """What this end will send when played: (ssrc, RTX ssrc or 0, RTX payload type, clock rate, video, first
        sequence number, first timestamp, packets per loop), and the fields of bench/playout.pxd's Step. Times are ns.
        Once."""

    def play(self, number: int, start: int, duration: int) -> None:
        """Send what is due from `start` (monotonic ns) until `duration` later."""

    def check_now(self, number: int) -> None:
        """Let the next consent check be due at once."""

    def source(self, number: int) -> SourceCounts:
        """ValueError when this end publishes nothing."""

    def streams(self, number: int) -> list[dict[str, int]]:
        """Of each stream watched: ssrc, packets, bytes, late, duplicates, repaired, verified, rejected, gaps."""

    def counts(self) -> dict[str, int]:
        """Totals over all ends, also those removed; the names are explained in bench/load.pyx and generator.py."""

    def remove(self, number: int) -> None:
        """Forget a remote end; its socket may be closed afterwards. Its counts stay in the totals."""

    def poll(self) -> tuple[int, bytes] | None:
        """The next datagram for Python, with the number of its end."""

    def take_delays(self) -> array[int]:
        """Of the sampled packets since the last call: ns from stamp to receipt; at most four million are kept."""

    def run(self) -> None:
        """Play until `stop`. Holds no GIL."""

    def stop(self) -> None:
        """From any thread, also before `run`."""
