"""Keys and policies for the tests of the SRTP backends."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from rtpfwd.crypto import native
from rtpfwd.params import SrtpProfile
from rtpfwd.srtp import SrtpPolicy

LENGTHS = {SrtpProfile.AES128_CM_SHA1_80: 30, SrtpProfile.AEAD_AES_128_GCM: 28}
each_profile = pytest.mark.parametrize("profile", LENGTHS, ids=lambda profile: profile.name)

each_case = pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            (profile, tier),
            id=f"{profile.name}-{tier}",
            marks=pytest.mark.skipif(not native.has_tier(profile, tier), reason=f"this CPU has no {tier} for it"),
        )
        for profile in LENGTHS
        for tier in native.TIERS
    ],
)


def key_of(profile: SrtpProfile, seed: int) -> bytes:
    return random.Random(seed).randbytes(LENGTHS[profile])


def libsrtp(profile: SrtpProfile, *, inbound: bool, seed: int = 0) -> SrtpPolicy:
    return SrtpPolicy(profile, key_of(profile, seed), inbound=inbound, backend="libsrtp")


def ours(profile: SrtpProfile, tier: str, *, inbound: bool, seed: int = 0) -> SrtpPolicy:
    return SrtpPolicy(profile, key_of(profile, seed), inbound=inbound, backend="native", tier=tier)


def alone(statement: str) -> int:
    """Its exit code in an interpreter of its own: a wrong access ends that."""
    program = f"from rtpfwd.crypto import control_probe, probe; from tests.rtpfwd.crypto_world import *; {statement}"
    return subprocess.run([sys.executable, "-c", program], timeout=120, check=False).returncode
