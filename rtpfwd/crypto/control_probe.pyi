"""SRTCP by both SRTP backends side by side, for tests and benches. No production code imports it."""

from rtpfwd.srtp import SrtpPolicy

def compare_protect(ours: SrtpPolicy, theirs: SrtpPolicy, count: int, seed: int) -> None:
    """`count` random RTCP packets of 8 to 1400 bytes, most below 200, under six SSRCs, through both.

    AssertionError at the first that differs, or when anything was written behind a packet.
    """

def compare_unprotect(
    sending: SrtpPolicy, ours: SrtpPolicy, theirs: SrtpPolicy, count: int, seed: int
) -> dict[str, int]:
    """`count` received packets through both: new, late, repeated, too old, far ahead, damaged, without E, cut short.

    How many had which status. AssertionError at the first whose status or bytes differ, or when ours changed a packet
    that it refused.
    """

def between_fences(sending: SrtpPolicy, receiving: SrtpPolicy, reference: SrtpPolicy, largest: int) -> int:
    """Every size from 8 to `largest` bytes, with the packet against pages without access.

    How many packets. AssertionError when one differs from the reference; a read or write outside ends the process.
    """

def opens_libsrtp(sending: SrtpPolicy, receiving: SrtpPolicy) -> tuple[bool, bool]:
    """Whether (the sender of RTCP, the receiver of everything) have a session of libsrtp."""

def last_packets(policy: SrtpPolicy, packet: bytes, index: int, count: int) -> list[bytes | None]:
    """What a native sender that has used `index` under the packet's SSRC makes of it, `count` times. None: failed."""

def cycles(
    sending: list[SrtpPolicy], receiving: list[SrtpPolicy], size: int, rounds: int, wash: int
) -> tuple[list[float], list[float]]:
    """Time stamp counter cycles per packet of `size` <= 1400 bytes, by round: (protect, unprotect).

    Each round is one packet for each of the policies in turn, and before it `wash` bytes of other memory are written:
    more than the caches hold makes all of them cold.
    """
