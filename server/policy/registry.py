"""Which policies there are, by role and name: ours, and those that installed packages bring.

A package brings policies with an entry point of group `sightline.policies`. It names a function of one module,
`def register(registry)`, which calls `registry.add(role, name, factory)` for each. docs/policies.md shows one.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from server.errors import LocalError
from server.policy.congestion.fixed import Fixed
from server.policy.congestion.nada import Nada
from server.policy.congestion.native import Native
from server.policy.congestion.remb import Remb
from server.policy.layers.fair import Fair
from server.policy.layers.marginal import Marginal
from server.policy.layers.priority import Priority
from server.policy.layers.speaker_first import SpeakerFirst
from server.policy.speakers.dominant import Dominant
from server.policy.speakers.loudest import Loudest

GROUP = "sightline.policies"
Factory = Callable[..., object]


class Role(enum.StrEnum):
    """What a policy decides."""

    CONGESTION = "congestion"  # CongestionController, one for each transport
    LAYERS = "layers"  # LayerAllocator, one for each transport
    SPEAKERS = "speakers"  # SpeakerDetector, one for each router


DEFAULTS: Mapping[Role, str] = {Role.CONGESTION: "gcc", Role.LAYERS: "speaker_first", Role.SPEAKERS: "dominant"}
METHODS: Mapping[Role, tuple[str, ...]] = {
    Role.CONGESTION: ("on_feedback", "on_report", "on_remb", "on_tick", "estimate", "explain"),
    Role.LAYERS: ("allocate",),
    Role.SPEAKERS: ("on_levels", "forget", "speakers"),
}


class UnknownPolicy(LocalError):
    """There is no policy of that role and name."""


class PolicyRefused(LocalError):
    """A policy can't be added, or can't be made with these settings."""


@dataclass(frozen=True, slots=True)
class BrokenEntryPoint:
    """A package whose policies could not be had. The node runs without them."""

    entry_point: str
    problem: str


class Registry:
    """Policies by role and name."""

    def __init__(self) -> None:
        self._factories: dict[Role, dict[str, Factory]] = {role: {} for role in Role}
        # What each takes. To find it out costs 0.1 ms and three classes, and every viewer has policies made.
        self._signatures: dict[tuple[Role, str], inspect.Signature] = {}

    def add(self, role: Role | str, name: str, factory: Factory) -> None:
        """`factory(**settings)` makes one policy object. A name is given once."""
        known = self._factories[_role(role)]
        if not name or not name.isprintable() or len(name) > 64:
            raise PolicyRefused(f"a policy's name has 1 to 64 printable characters, not {name[:80]!r}")
        if not callable(factory):
            raise PolicyRefused(f"{role} policy {name!r}: give a class or a function that makes one, not {factory!r}")
        if name in known:
            raise PolicyRefused(f"there is a {role} policy {name!r} already: choose another name")
        known[name] = factory

    def names(self, role: Role | str) -> list[str]:
        """All of a role, the default first."""
        role = _role(role)
        return sorted(self._factories[role], key=lambda name: (name != DEFAULTS[role], name))

    def is_native(self, role: Role | str, name: str) -> bool:
        """Whether the plane itself plays it (`native = True` on its class): ask the plane then."""
        return bool(getattr(self._factory(_role(role), name), "native", False))

    def create(self, role: Role | str, name: str, **settings: Any) -> Any:
        """One new policy object. UnknownPolicy: no such name. PolicyRefused: not with these settings."""
        role = _role(role)
        factory = self._factory(role, name)
        signature = self._signatures.get((role, name))
        if signature is None:
            signature = self._signatures[role, name] = inspect.signature(factory)
        try:
            signature.bind(**settings)
        except TypeError as wrong:
            takes = ", ".join(signature.parameters) or "no settings"
            raise PolicyRefused(f"{role} policy {name!r}: {wrong}; it takes {takes}") from None
        try:
            policy = factory(**settings)
        except Exception as wrong:
            raise PolicyRefused(f"{role} policy {name!r} can't be made: {type(wrong).__name__}: {wrong}") from wrong
        missing = [method for method in METHODS[role] if not callable(getattr(policy, method, None))]
        if missing:
            raise PolicyRefused(f"{role} policy {name!r} has no {', '.join(missing)}: see server/policy/protocols.py")
        return policy

    def _factory(self, role: Role, name: str) -> Factory:
        try:
            return self._factories[role][name]
        except KeyError:
            raise UnknownPolicy(
                f"there is no {role} policy {name[:80]!r}; there are: {', '.join(self.names(role))}"
            ) from None


def standard_registry(outside: Iterable[EntryPoint] | None = None) -> tuple[Registry, list[BrokenEntryPoint]]:
    """Ours, and what `outside` brings (None: every installed package's). Whoever fails to register is told of."""
    registry = Registry()
    _add_ours(registry)
    broken = []
    for entry_point in entry_points(group=GROUP) if outside is None else outside:
        try:
            entry_point.load()(registry)
        except Exception as why:  # code of strangers: whatever it raises, the node goes on without it
            broken.append(BrokenEntryPoint(entry_point.name, f"{type(why).__name__}: {why}"))
    return registry, broken


def _add_ours(registry: Registry) -> None:
    registry.add(Role.CONGESTION, "gcc", Native)
    registry.add(Role.CONGESTION, "nada", Nada)
    registry.add(Role.CONGESTION, "remb", Remb)
    registry.add(Role.CONGESTION, "fixed", Fixed)
    registry.add(Role.LAYERS, "speaker_first", SpeakerFirst)
    registry.add(Role.LAYERS, "fair", Fair)
    registry.add(Role.LAYERS, "priority", Priority)
    registry.add(Role.LAYERS, "marginal", Marginal)
    registry.add(Role.SPEAKERS, "dominant", Dominant)
    registry.add(Role.SPEAKERS, "loudest", Loudest)


def _role(role: Role | str) -> Role:
    try:
        return Role(role)
    except ValueError:
        raise UnknownPolicy(f"there is no policy role {str(role)[:80]!r}; there are: {', '.join(Role)}") from None
