"""A seeded mutator of datagrams, and how long to use it. SIGHTLINE_FUZZ_SECONDS gives each target more (default 2)."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Sequence

_BOUNDARIES = (0, 1, 3, 4, 19, 20, 0x7F, 0x80, 0xFE, 0xFF)


def fuzz_seconds() -> float:
    """For how long one target runs."""
    return float(os.environ.get("SIGHTLINE_FUZZ_SECONDS", "2"))


def mutated(corpus: Sequence[bytes], seed: int, at_least: int = 2000) -> Iterator[bytes]:
    """Damaged members of `corpus`, the same in every run: at least so many, and more until the time is up."""
    rng = random.Random(seed)
    ends = time.monotonic() + fuzz_seconds()
    for count in range(1 << 62):
        if count >= at_least and time.monotonic() >= ends:
            return
        data = bytearray(rng.choice(corpus))
        for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
            _damage(data, corpus, rng)
        yield bytes(data)


def _damage(data: bytearray, corpus: Sequence[bytes], rng: random.Random) -> None:
    kind = rng.randrange(7)
    at = rng.randrange(len(data)) if data else 0
    if kind == 0 and data:
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1 and data:
        data[at] = rng.choice(_BOUNDARIES)
    elif kind == 2:
        del data[at : at + rng.randrange(1, 40)]
    elif kind == 3:
        data[at:at] = rng.randbytes(rng.randrange(1, 40))
    elif kind == 4:
        del data[at:]
    elif kind == 5:
        other = rng.choice(corpus)
        start = rng.randrange(len(other))
        data[at:] = other[start:]
    elif len(data) >= 2:
        at = rng.randrange(len(data) - 1)
        data[at : at + 2] = rng.choice((0, 1, len(data), 0x7FFF, 0xFFFF)).to_bytes(2, "big")
