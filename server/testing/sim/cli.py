"""`sightline sim`: calls over bad links in virtual time, what their viewers saw, and policies side by side."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from server.errors import LocalError
from server.io.clock import monotonic_ns
from server.policy.registry import Registry, Role, standard_registry
from server.testing.sim import scenario as scenarios
from server.testing.sim.call import Call, Policies
from server.testing.sim.results import Figures, figures_of, to_json
from server.testing.sim.show import save_plot, show

_FILE_WIDTH = 140  # columns when nobody tells


@click.command()
@click.argument("scenario")
@click.option("--cc", default="", metavar="NAME", help="Congestion controller. Default: the node's.")
@click.option("--layers", default="", metavar="NAME", help="Layer allocator.")
@click.option("--speakers", default="", metavar="NAME", help="Speaker detector.")
@click.option("--compare", default="", metavar="A,B", help="Run once with each of these policies, side by side.")
@click.option("--seed", default=1, show_default=True, help="Of everything random.")
@click.option("--duration", type=click.FloatRange(1, 3600), help="Seconds. Default: the scenario's.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures here.")
@click.option("--plot", "plot_file", type=click.Path(path_type=Path, dir_okay=False), help="Write a picture here.")
def sim(
    scenario: str,
    cc: str,
    layers: str,
    speakers: str,
    compare: str,
    seed: int,
    duration: float | None,
    json_file: Path | None,
    plot_file: Path | None,
) -> None:
    """Simulate a call in virtual time and print what its viewers saw.

    SCENARIO is a name from `sightline sim list`, or a TOML file (docs/simulator.md). The same scenario, policies and
    seed give the same JSON file, byte for byte.

    \b
    Examples:
      sightline sim step_down --seed 7 --json out.json
      sightline sim lte --compare gcc,nada --plot lte.png
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=_FILE_WIDTH)
    if scenario == "list":
        console.print(_listing())
        return
    try:
        chosen = scenarios.load(scenario)
        registry, broken = standard_registry()
        for package in broken:
            console.print(f"left out: {package.entry_point}: {package.problem}")
        runs = []
        for label, policies in _variants(registry, _policies(registry, cc, layers, speakers), compare):
            runs.append((label, _run(console, chosen, policies, seed, duration, label)))
        show(console, runs)
        if json_file is not None:
            json_file.write_text(to_json(runs[0][1] if len(runs) == 1 else [figures for _, figures in runs]))
        if plot_file is not None:
            save_plot(plot_file, runs)
    except LocalError as refused:
        raise click.ClickException(str(refused)) from None


def _run(
    console: Console,
    scenario: scenarios.Scenario,
    policies: Policies,
    seed: int,
    duration: float | None,
    label: str,
) -> Figures:
    call = Call(scenario, seed=seed, policies=policies)
    seconds = duration or scenario.duration_s
    started = monotonic_ns()
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(f"{scenario.title} {label}".rstrip(), total=seconds)
        call.run(seconds, progress=lambda at: progress.update(task, completed=at))
    took = (monotonic_ns() - started) / 1e9
    console.print(
        f"{scenario.title} {label}: {seconds:g} s in {took:.1f} s ({seconds / took:.0f} times real time), seed {seed}"
    )
    return figures_of(call, seed=seed)


def _variants(registry: Registry, base: Policies, compare: str) -> list[tuple[str, Policies]]:
    """What to run: once, or once with each name of `compare` in the role that knows it. Raises LocalError."""
    if not compare:
        return [("", base)]
    variants = []
    for name in compare.split(","):
        role = next((role for role in Role if name in registry.names(role)), None)
        if role is None:
            known = ", ".join(name for role in Role for name in registry.names(role))
            raise LocalError(f"--compare: there is no policy {name[:80]!r}; there are: {known}")
        variants.append(
            (
                name,
                Policies(
                    name if role is Role.CONGESTION else base.congestion,
                    name if role is Role.LAYERS else base.layers,
                    name if role is Role.SPEAKERS else base.speakers,
                ),
            )
        )
    return variants


def _policies(registry: Registry, congestion: str, layers: str, speakers: str) -> Policies:
    """The named ones, and the defaults of the roles that were not named. Raises UnknownPolicy."""
    base = Policies()
    chosen = Policies(congestion or base.congestion, layers or base.layers, speakers or base.speakers)
    registry.is_native(Role.CONGESTION, chosen.congestion)  # raises for a name that nobody has
    registry.is_native(Role.LAYERS, chosen.layers)
    registry.is_native(Role.SPEAKERS, chosen.speakers)
    return chosen


def _listing() -> Table:
    table = Table("scenario", "seconds", "what happens")
    for name in scenarios.names():
        scenario = scenarios.load(name)
        table.add_row(name, f"{scenario.duration_s:g}", scenario.about)
    return table
