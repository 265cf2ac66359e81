"""Print the table of docs/simulator.md: `python -m tests.scenarios.figures`, and which goals other seeds miss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from server.testing.sim.results import figures_of
from server.testing.sim.scenario import names
from tests.scenarios import quality as q
from tests.scenarios.test_quality import GOALS

SINCE_S = 10  # the estimate is compared from then on
OMITTED = {"four_party"}  # everybody watches everybody: for speed
SEEDS = (1, 2, 3)
HEAD = "scenario | viewer | estimate / link | layers shown | fps | freezes | gap ms | queue ms | overflow | sound lost"


def mean_share(series: dict[str, list[float | None]]) -> str:
    """Of the estimate in what the link carries, or nothing where the link has no limit."""
    pairs = [
        (estimate, capacity)
        for at, estimate, capacity in zip(series["t_s"], series["estimate_kbps"], series["capacity_kbps"], strict=True)
        if at is not None and at > SINCE_S and estimate is not None and capacity is not None
    ]
    carried = sum(capacity for _, capacity in pairs)
    return f"{sum(estimate for estimate, _ in pairs) / carried:.0%}" if carried else "-"


def rows(scenario: str) -> Iterator[str]:
    """One for each picture of each viewer."""
    for name, visitor in figures_of(q.run_of(scenario), seed=q.SEED)["visitors"].items():
        sounds = [view["loss"] for view in visitor["views"].values() if "loss" in view]
        for source, view in visitor["views"].items():
            if "fps" not in view:
                continue
            yield "| " + " | ".join(cells(scenario, name, source, visitor, view, sounds)) + " |"


def cells(
    scenario: str, name: str, source: str, visitor: dict[str, Any], view: dict[str, Any], sounds: list[float]
) -> Iterator[str]:
    """Of one row."""
    link = visitor["link"]
    yield scenario
    yield f"{name} screen" if source.endswith("screen") else name
    yield mean_share(visitor["series"])
    yield " ".join(f"{layer} {share:.0%}" for layer, share in view["layers"].items())
    yield f"{view['fps']:.1f}"
    yield f"{view['freezes']} ({view['freeze_s']:.1f} s)"
    yield f"{view['longest_gap_ms']:.0f}"
    yield f"{link['queue_ms']:.0f}"
    yield f"{link['overflowed'] / max(1, link['sent']):.1%}"
    yield f"{max(sounds):.2%}" if sounds else "-"


def missed(seed: int) -> Iterator[str]:
    """The goals of `test_quality` that don't hold with another seed."""
    for scenario, viewer, name, goal in GOALS:
        call = q.run_of(scenario, seed)
        if what := goal(call, call.visitors[viewer]):
            yield f"{scenario}, {viewer}, {name}, seed {seed}: {what}"


def main() -> None:
    """To standard output."""
    print(f"| {HEAD} |")
    print("|---" * HEAD.count("|") + "|---|")
    for scenario in names():
        if scenario not in OMITTED:
            print(*rows(scenario), sep="\n")
    print()
    print(*(line for seed in SEEDS for line in missed(seed)), sep="\n")


if __name__ == "__main__":
    main()
