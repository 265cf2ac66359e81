"""Our node and other servers under one load, in turns: A B A B, and what one costs in terms of the other.

Every measurement starts a fresh server. A measurement in which the generator was the limit is refused and made once
more; when it is refused again the comparison is invalid. The ratio is taken round by round, so that both of its sides
met the same weather of a shared machine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final

from bench.figures import Spread, spread, summarise
from bench.measurement import Run
from bench.report import run_json
from bench.target import Target

LOSS_LIMIT: Final = 0.001  # of the packets: a server that loses more can't keep up, and does not do equal work
ATTEMPTS: Final = 2  # at each measurement
CPU: Final = "cpu_us"
INSTRUCTIONS: Final = ("instructions_user", "instructions_kernel")

Measure = Callable[[Target], Awaitable[Run]]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Contender:
    """One server in one tuning, and how it is started."""

    label: str
    open: Callable[[], AbstractAsyncContextManager[Target]]


@dataclass(slots=True)
class Results:
    """All that was measured of one contender. `runs` has one entry per round, valid or not."""

    label: str
    name: str = ""
    version: str = ""
    tuning: str = ""
    runs: list[Run] = field(default_factory=list)
    refused: list[Run] = field(default_factory=list)  # invalid ones that were made again

    @property
    def summary(self) -> dict[str, Spread]:
        """Of the valid runs."""
        return summarise([run.figures for run in self.runs if not run.invalid])

    @property
    def keeps_up(self) -> bool:
        """Whether it delivered what it was given, in the median of its valid runs."""
        loss = self.summary.get("loss")
        return loss is None or loss.median <= LOSS_LIMIT

    @property
    def valid(self) -> bool:
        """Whether every round counts."""
        return not any(run.invalid for run in self.runs)


async def play_rounds(
    contenders: Sequence[Contender], rounds: int, measure: Measure, progress: Progress = lambda stage: None
) -> tuple[Results, ...]:
    """Measure everyone in turns, so many rounds. Raises BenchError when a server can't be started or measured."""
    results = tuple(Results(contender.label) for contender in contenders)
    for number in range(1, rounds + 1):
        for contender, result in zip(contenders, results, strict=True):
            progress(f"round {number} of {rounds}, {contender.label}")
            for attempt in range(1, ATTEMPTS + 1):
                async with contender.open() as target:
                    result.name, result.version, result.tuning = target.name, target.version, target.tuning
                    run = await measure(target)
                if not run.invalid or attempt == ATTEMPTS:
                    result.runs.append(run)
                    break
                result.refused.append(run)
                progress(f"round {number} of {rounds}, {contender.label}: invalid, once more ({run.invalid[0]})")
    return results


def ratio(ours: Results, theirs: Results, keys: Sequence[str] = (CPU,)) -> Spread | None:
    """Theirs over ours, of the sum of these figures, over the rounds in which both are valid; None without any."""
    found = []
    for mine, other in zip(ours.runs, theirs.runs, strict=True):
        if mine.invalid or other.invalid:
            continue
        below, above = _sum(mine, keys), _sum(other, keys)
        if below and above is not None:
            found.append(above / below)
    return spread(found) if found else None


def _sum(run: Run, keys: Sequence[str]) -> float | None:
    values = [run.figures.get(key) for key in keys]
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def in_json(results: Sequence[Results], *, has_default: bool) -> dict[str, Any]:
    """The part of the report that only a comparison has. The first contender is ours; bench/PEERS.md explains it."""
    ours, best, *others = results
    ratios: dict[str, Spread | None] = {
        "ratio": ratio(ours, best),
        "ratio_instructions": ratio(ours, best, INSTRUCTIONS),
    }
    if has_default:
        default = others[0] if others else best
        ratios["ratio_default"] = ratio(ours, default)
        ratios["ratio_instructions_default"] = ratio(ours, default, INSTRUCTIONS)
    return {
        **{name: None if found is None else found._asdict() for name, found in ratios.items()},
        "servers": [
            {
                "label": result.label,
                "name": result.name,
                "version": result.version,
                "tuning": result.tuning,
                "keeps_up": result.keeps_up,
                "summary": {key: value._asdict() for key, value in result.summary.items()},
                "runs": [run_json(run) for run in result.runs],
                "refused": [run_json(run) for run in result.refused],
            }
            for result in results
        ],
        "valid": all(result.valid for result in results),
    }
