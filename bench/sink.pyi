"""The typed face of the sink."""

from array import array

from rtpfwd.srtp import SrtpPolicy

class Sink:
    """Receives for many sockets on one native thread, which is whoever calls `run`."""

    def __init__(self, capacity: int) -> None:
        """For at most `capacity` sockets."""

    @property
    def handoff_fd(self) -> int:
        """An eventfd: readable when `poll` has something. Clear it by reading 8 bytes."""

    def add_socket(self, fd: int) -> int:
        """Receive from a bound, connected, non-blocking UDP socket (borrowed). Returns its number, from 0 upwards."""

    def watch(self, number: int, ssrc: int, policy: SrtpPolicy) -> None:
        """Count this SSRC on this socket, and examine one of 16 of its packets. Once for each socket."""

    def counts(self, number: int) -> dict[str, int]:
        """Of one socket: packets (distinct), bytes (their UDP payload), duplicates, late (out of order), verified
        (sampled, authentic, in place), rejected (sampled, but not so), foreign (media of no watched SSRC), highest
        (extended sequence number, -1 before the first packet)."""

    @property
    def packets(self) -> int:
        """Distinct packets of all watched streams."""

    @property
    def overflows(self) -> int:
        """Datagrams for Python for which there was no room."""

    def poll(self) -> tuple[int, bytes] | None:
        """The next datagram that is no RTP, with the number of its socket."""

    def take_delays(self) -> array[int]:
        """Of the sampled packets since the last call: nanoseconds from stamp to receipt, of the first
        four million. Only while nothing flows."""

    def run(self) -> None:
        """Receive until `stop`. Holds no GIL."""

    def stop(self) -> None:
        """From any thread, also before `run`."""
