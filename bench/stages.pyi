"""The typed face of the stages' timers. Every figure is CPU time of the calling thread in ns for each packet."""

from rtpfwd.params import Address
from rtpfwd.plane import Plane
from rtpfwd.selector import Selector
from rtpfwd.srtp import SrtpPolicy

class PacketStages:
    """64 packets of one stream. Each method goes over them `rounds` times."""

    def __init__(
        self,
        packets: list[bytes],
        *,
        codec: int,
        selector: Selector,
        extensions: list[tuple[int, int, int]],
        streams: int,
    ) -> None:
        """`extensions`: (ExtKind, incoming id, outgoing id). `streams`: how many the look-up table holds."""

    def nothing(self, rounds: int) -> float:
        """The loop alone, which `receive`, `keep`, `select`, `rewrite` and `note_sent` contain."""

    def parse(self, rounds: int) -> float: ...
    def find(self, rounds: int) -> float:
        """The stream by its SSRC."""

    def receive(self, rounds: int) -> float:
        """Into the received stream: numbers, duplicates, jitter, rate."""

    def describe(self, rounds: int) -> float: ...
    def keep(self, rounds: int) -> float:
        """Into the history; once per packet however many viewers there are."""

    def select(self, rounds: int) -> float: ...
    def rewrite(self, rounds: int) -> float: ...
    def header(self, rounds: int) -> float: ...
    def note_sent(self, rounds: int) -> float:
        """Into the sent stream, for retransmission."""

def copy(size: int, rounds: int) -> float:
    """So many bytes from one of 64 packets to one of 1,024 places, 64 times a round."""

class CryptoStage:
    """Keys of 50 viewers, each of whom gets ten packets in a row."""

    def __init__(self, policies: list[SrtpPolicy], inbound: SrtpPolicy) -> None: ...
    def protect(self, size: int, batch: int, packets: int) -> float:
        """Payloads of `size` bytes behind 20 bytes of header, `batch` in a call; one payload for many viewers."""

    def unprotect(self, size: int, packets: int) -> float: ...

def loopback(
    sender: int, receiver: int, size: int, segments: int, messages: int, rounds: int
) -> tuple[float, float, int, int]:
    """sendmmsg of so many messages of so many segments (UDP_SEGMENT when above 1), then recvmmsg of all of them.

    Answers ns for each datagram sent (the kernel's receiving half included) and received, and how many those were.
    """

class PlaneStage:
    """A plane with one publisher, in the place of its lane."""

    sent: int  # datagrams
    received: int  # by the receivers

    def __init__(
        self,
        plane: Plane,
        policy: SrtpPolicy | None,
        head: bytes,
        source: Address,
        socket: int,
        receivers: list[int],
    ) -> None:
        """`policy`: the publisher's, None in the clear. `head`: header and first payload bytes of each packet.

        `socket` sends, -1: nothing leaves. `receivers`: sockets that are emptied between the timed parts.
        """

    def forward(self, burst: int, size: int, rounds: int) -> tuple[float, int, int, int]:
        """One burst after the other through the plane. Answers ns for each forwarded packet and how many those were,
        then datagrams and messages sent since this was made."""

class LockProbe:
    """A thread that wants the plane's lock all the time, as a busy lane does."""

    def __init__(self, plane: Plane) -> None: ...
    def run(self) -> None:
        """Until stop(); in a thread of its own, without the GIL."""

    def stop(self) -> None: ...
    def take(self) -> tuple[int, int, int]:
        """Since the last call: the longest wait in ns, waits over 50 µs, times that it took the lock."""
