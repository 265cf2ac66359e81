"""The native backend against libsrtp on random packets, byte for byte and refusal for refusal, in every tier.

ops/sanitize.sh runs all of it but the two tests with a million packets.
"""

from __future__ import annotations

import itertools
import signal
import struct
from collections.abc import Iterator

import pytest

import rtpfwd.srtp
from rtpfwd.crypto import native, probe
from rtpfwd.params import SrtpProfile
from rtpfwd.srtp import Session, SrtpError, SrtpPolicy, backends, set_backend
from tests.rtpfwd.crypto_world import alone, each_case, each_profile, key_of, libsrtp, ours

KEYS = 8  # of a batch
QUICK, FULL = 40_000, 1_000_000


def protect(case: tuple[SrtpProfile, str], count: int, seed: int) -> dict[str, int]:
    profile, tier = case
    return probe.compare_protect(
        [ours(profile, tier, inbound=False, seed=n) for n in range(KEYS)],
        [libsrtp(profile, inbound=False, seed=n) for n in range(KEYS)],
        count,
        seed,
    )


def unprotect(case: tuple[SrtpProfile, str], count: int, seed: int) -> dict[str, int]:
    profile, tier = case
    return probe.compare_unprotect(
        libsrtp(profile, inbound=False), ours(profile, tier, inbound=True), libsrtp(profile, inbound=True), count, seed
    )


@each_case
def test_protected_packets_are_libsrtp_s(case):
    statuses = protect(case, QUICK, seed=1)
    assert statuses["ok"] > QUICK * 0.9
    assert statuses["replay"] > 100  # numbers that were used already: refused by both


@each_case
def test_received_packets_are_taken_and_refused_as_by_libsrtp(case):
    statuses = unprotect(case, QUICK, seed=2)
    assert all(statuses[name] > QUICK * 0.01 for name in ("ok", "auth", "replay", "failed")), statuses


@pytest.mark.slow
@each_case
def test_a_million_protected_packets_are_libsrtp_s(case):
    assert protect(case, FULL, seed=3)["ok"] > FULL * 0.9


@pytest.mark.slow
@each_case
def test_a_million_received_packets_are_taken_and_refused_as_by_libsrtp(case):
    assert unprotect(case, FULL, seed=4)["ok"] > FULL * 0.5


@each_profile
def test_the_comparison_can_fail(profile):
    """Of libsrtp with itself under two keys, as no CPU lacks that."""
    one, other = libsrtp(profile, inbound=False, seed=1), libsrtp(profile, inbound=False, seed=2)
    with pytest.raises(AssertionError, match="packet 0 of seed 1"):
        probe.compare_protect([one], [other], 100, 1)
    with pytest.raises(AssertionError, match="expected auth"):
        probe.compare_unprotect(
            one, libsrtp(profile, inbound=True, seed=1), libsrtp(profile, inbound=True, seed=2), 100, 1
        )


# Numbers sent before, and how far from the last of them the next one is: the edges of the window and of the roll-over
# estimate, at the start of a stream and later.
BEFORE = [
    [start, *more]
    for start, more in itertools.product(
        (0, 1, 1024, 32767, 32768, 32769, 65000), ([], [32767], [32768], [32769], [33000, 65000, 1000], [65535, 0])
    )
]
STEPS = sorted(base + near for base in (-1024, 0, 32768, 65536 - 1024) for near in (-2, -1, 0, 1, 2))


def protected(session: Session, sequence: int) -> bytes | str:
    packet = struct.pack("!BBHII", 0x80, 96, sequence & 0xFFFF, 0, 1) + b"payload"
    try:
        return session.protect(packet)
    except SrtpError as refused:
        return refused.reason


@each_profile
def test_the_edges_of_window_and_roll_over_are_libsrtp_s(profile):
    tier = native.best_tier(profile)
    if tier is None:
        pytest.skip("this CPU has no tier")
    policies = libsrtp(profile, inbound=False), ours(profile, tier, inbound=False)
    for before, step in itertools.product(BEFORE, STEPS):
        numbers = [*before, before[-1] + step, before[-1] + step + 1, before[-1]]
        theirs, mine = (
            [protected(session, number) for number in numbers] for session in (Session(policy) for policy in policies)
        )
        assert mine == theirs, numbers


@each_case
def test_nothing_is_read_or_written_outside_of_the_buffers(case):
    profile, tier = case
    policies = f"ours(p, {tier!r}, inbound=False), ours(p, {tier!r}, inbound=True), libsrtp(p, inbound=False)"
    assert alone(f"p = SrtpProfile({int(profile)}); assert probe.between_fences({policies}, 1500) == 3002") == 0


def test_the_fences_hold():
    assert alone("probe.step_over()") in (-signal.SIGSEGV, -signal.SIGABRT)  # the latter under AddressSanitizer


@pytest.fixture
def default_backend() -> Iterator[None]:
    yield
    set_backend("auto")


@pytest.mark.usefixtures("default_backend")
@each_profile
def test_the_process_wide_choice_is_what_policies_get(profile):
    set_backend("libsrtp")
    assert SrtpPolicy(profile, key_of(profile, 0), inbound=True).backend == "libsrtp"
    assert {(backend.name, backend.tier, backend.why) for backend in backends()} == {("libsrtp", None, "chosen")}
    set_backend("auto")
    chosen = SrtpPolicy(profile, key_of(profile, 0), inbound=True).backend
    assert chosen == ("native" if native.best_tier(profile) else "libsrtp")
    assert [backend.name for backend in backends() if backend.profile == profile] == [chosen]


@pytest.mark.usefixtures("default_backend")
def test_an_unknown_backend_changes_nothing():
    set_backend("libsrtp")
    with pytest.raises(ValueError, match="'rot13'; choose one of auto, native, libsrtp"):
        set_backend("rot13")
    assert {backend.name for backend in backends()} == {"libsrtp"}


@pytest.mark.usefixtures("default_backend")
@each_profile
def test_on_a_cpu_without_the_instructions_auto_is_libsrtp_and_native_is_refused(profile, monkeypatch):
    monkeypatch.setattr(rtpfwd.srtp, "best_tier", lambda _: None)  # no such CPU is at hand
    with pytest.raises(ValueError, match=r"needs a CPU with the AES, PCLMULQDQ, SSE4\.1.* instructions"):
        set_backend("native")
    assert SrtpPolicy(profile, key_of(profile, 0), inbound=True).backend == "libsrtp"
    assert all(backend.name == "libsrtp" and "lacks" in backend.why for backend in backends())
    with pytest.raises(ValueError, match="choose auto or libsrtp"):
        SrtpPolicy(profile, key_of(profile, 0), inbound=True, backend="native")


@each_profile
def test_a_tier_that_is_not_there_is_refused(profile):
    with pytest.raises(ValueError, match="only the native"):
        SrtpPolicy(profile, key_of(profile, 0), inbound=True, backend="libsrtp", tier="aesni")
    if native.best_tier(profile):
        with pytest.raises(ValueError, match="no SRTP tier 'abacus'"):
            SrtpPolicy(profile, key_of(profile, 0), inbound=True, backend="native", tier="abacus")
