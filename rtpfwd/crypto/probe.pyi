"""Both SRTP backends side by side, for tests and benches. No production code imports it."""

from rtpfwd.srtp import SrtpPolicy

def compare_protect(ours: list[SrtpPolicy], theirs: list[SrtpPolicy], count: int, seed: int) -> dict[str, int]:
    """About `count` random RTP packets through both, batch by batch, four SSRCs to each pair of policies.

    12 to 1500 bytes, with CSRCs and extensions; sequence numbers that run over, jump, fall back and repeat; in place
    and not. How many had which status. AssertionError at the first whose status or bytes differ, or when anything
    was written behind a packet. Policies of both lists are pairs of the same key.
    """

def compare_unprotect(
    sending: SrtpPolicy, ours: SrtpPolicy, theirs: SrtpPolicy, count: int, seed: int
) -> dict[str, int]:
    """`count` received packets through both: new, late, repeated, too old, damaged, cut short; in place and not.

    How many had which status. AssertionError at the first whose status or bytes differ, or when ours wrote anything
    for a packet that it refused.
    """

def between_fences(sending: SrtpPolicy, receiving: SrtpPolicy, reference: SrtpPolicy, largest: int) -> int:
    """Every payload size up to `largest` bytes with source, packet and output against pages without access.

    How many packets. AssertionError when one differs from the reference; a read or write outside ends the process.
    """

def step_over() -> int:
    """Read the byte behind such a fence: ends the process by SIGSEGV."""

def protect_cycles(policies: list[SrtpPolicy], size: int, per_key: int, rounds: int) -> list[float]:
    """Time stamp counter cycles per packet of `size` bytes of payload, by round; `per_key` <= 64 for each policy."""

def unprotect_cycles(sending: SrtpPolicy, receiving: SrtpPolicy, size: int, rounds: int) -> list[float]:
    """The same for receiving."""
