"""Policies by role and name, ours and those of other packages."""

from __future__ import annotations

import gc
import sys
import types
from importlib.metadata import EntryPoint

import pytest

from server.policy.congestion.fixed import Fixed
from server.policy.guarded import GuardedController
from server.policy.protocols import CongestionController, LayerAllocator, SpeakerDetector
from server.policy.registry import (
    DEFAULTS,
    GROUP,
    METHODS,
    PolicyRefused,
    Registry,
    Role,
    UnknownPolicy,
    standard_registry,
)

OURS = {
    Role.CONGESTION: ["gcc", "fixed", "nada", "remb"],
    Role.LAYERS: ["speaker_first", "fair", "marginal", "priority"],
    Role.SPEAKERS: ["dominant", "loudest"],
}


@pytest.fixture
def registry():
    made, broken = standard_registry([])
    assert broken == []
    return made


@pytest.mark.parametrize("role", list(Role))
def test_making_one_leaves_no_garbage(registry, role):
    for name in registry.names(role):
        registry.create(role, name)
    gc.collect()
    gc.disable()
    try:
        made = [registry.create(role, name) for name in registry.names(role) for _ in range(3)]
        assert (len(made) > 3, gc.collect()) == (True, 0)
    finally:
        gc.enable()


@pytest.mark.parametrize("role", list(Role))
def test_ours_are_there_the_default_first_and_can_be_made(registry, role):
    assert registry.names(role) == OURS[role]
    assert registry.names(role)[0] == DEFAULTS[role]
    for name in registry.names(role):
        assert registry.create(role, name) is not registry.create(role, name)


def test_only_gcc_is_the_planes_own(registry):
    assert [name for name in registry.names(Role.CONGESTION) if registry.is_native(Role.CONGESTION, name)] == ["gcc"]


def test_settings_reach_the_policy(registry):
    assert registry.create("congestion", "fixed", bps=42_000).estimate() == 42_000


@pytest.mark.parametrize(
    ("role", "name", "settings", "error", "message"),
    [
        ("congestion", "bbr", {}, UnknownPolicy, "no congestion policy 'bbr'; there are: gcc, fixed, nada, remb"),
        ("colour", "red", {}, UnknownPolicy, "no policy role 'colour'; there are: congestion, layers, speakers"),
        ("congestion", "fixed", {"rate": 1}, PolicyRefused, "unexpected keyword argument 'rate'; it takes bps"),
        ("layers", "fair", {"rate": 1}, PolicyRefused, "it takes no settings"),
        ("congestion", "fixed", {"bps": -1}, PolicyRefused, "ValueError: bps must be positive, not -1"),
        ("congestion", "fixed", {"bps": "x"}, PolicyRefused, "TypeError"),
    ],
)
def test_a_refusal_says_what_there_is(registry, role, name, settings, error, message):
    with pytest.raises(error, match=message):
        registry.create(role, name, **settings)


def test_a_policy_without_the_methods_of_its_role_is_refused(registry):
    registry.add("layers", "constant", Fixed)
    with pytest.raises(PolicyRefused, match="has no allocate"):
        registry.create("layers", "constant")


@pytest.mark.parametrize(
    ("name", "factory", "message"),
    [
        ("fair", Fixed, "already"),
        ("", Fixed, "1 to 64"),
        ("a\n", Fixed, "1 to 64"),
        ("new", 5, "a class or a function"),
    ],
)
def test_what_can_not_be_added(registry, name, factory, message):
    with pytest.raises(PolicyRefused, match=message):
        registry.add(Role.LAYERS, name, factory)


def test_the_methods_checked_are_those_of_the_protocols():
    for role, protocol in zip(Role, (CongestionController, LayerAllocator, SpeakerDetector), strict=True):
        assert set(METHODS[role]) == {name for name in vars(protocol) if not name.startswith("_")}


def test_a_guarded_controller_plays_the_role_too(registry):
    assert all(callable(getattr(GuardedController, name)) for name in METHODS[Role.CONGESTION])


@pytest.fixture
def package(monkeypatch):
    """A module as an installed package would bring it."""
    module = types.ModuleType("some_research")

    def register(registry: Registry) -> None:
        registry.add("congestion", "cautious", lambda share=0.5: Fixed(int(1_000_000 * share)))

    module.register = register
    module.not_a_function = 5
    monkeypatch.setitem(sys.modules, "some_research", module)
    return module


def entry(value: str) -> EntryPoint:
    return EntryPoint("research", value, GROUP)


def test_a_package_brings_policies(package):
    registry, broken = standard_registry([entry("some_research:register")])
    assert broken == []
    assert registry.names("congestion") == ["gcc", "cautious", "fixed", "nada", "remb"]
    assert registry.create("congestion", "cautious", share=0.25).estimate() == 250_000


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("no_such_module:register", "ModuleNotFoundError"),
        ("some_research:nothing", "AttributeError"),
        ("some_research:not_a_function", "TypeError"),
    ],
)
def test_a_package_that_fails_costs_only_itself(package, value, problem):
    registry, broken = standard_registry([entry(value), entry("some_research:register")])
    assert [(each.entry_point, each.problem.partition(":")[0]) for each in broken] == [("research", problem)]
    assert "cautious" in registry.names("congestion")
    assert registry.names("layers") == OURS[Role.LAYERS]


def test_a_package_can_not_take_our_names(package, monkeypatch):
    monkeypatch.setattr(package, "register", lambda registry: registry.add("layers", "fair", Fixed))
    registry, broken = standard_registry([entry("some_research:register")])
    assert "already" in broken[0].problem
    assert registry.create("layers", "fair").allocate is not None


def test_what_is_installed_here_registers():
    assert standard_registry()[1] == []
