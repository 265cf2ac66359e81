"""The commands `micro`, `control`, `join` and `memory` of `sightline bench`: options, tables, JSON."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bench.conditions import conditions
from bench.control import HOLDS, ControlSettings, figures_of, measure_control, states
from bench.join import FIGURES as JOIN_FIGURES
from bench.join import JoinSettings, measure_join
from bench.measurement import PROFILES, Run, pinned
from bench.memory import FIGURES as MEMORY_FIGURES
from bench.memory import MemorySettings, Shape, measure_memory
from bench.micro import able_backends, measure_cells, open_cells
from bench.options import Pins, cpu_sets, output_file
from bench.report import Figure, as_json, print_report, write_json
from bench.running import run_bench, shown_progress
from rtpfwd.srtp import backends


def json_option(command: Callable[..., None]) -> Callable[..., None]:
    """--json FILE."""
    return click.option(
        "--json",
        "json_file",
        type=click.Path(dir_okay=False, path_type=Path),
        callback=output_file,
        help="Also write a report here.",
    )(command)


def tell(
    bench: str,
    title: str,
    figures: Sequence[Figure],
    runs: Sequence[Run],
    given: Mapping[str, object],
    *,
    json_file: Path | None,
    started: datetime,
    surroundings: Mapping[str, str],
    console: Console,
    **more: Any,
) -> None:
    """The table, and the JSON if it was asked for."""
    print_report(console, title, surroundings, runs, figures)
    if json_file is not None:
        write_json(json_file, as_json(bench, given, surroundings, runs, started=started, **more))


@click.command()
@click.option("--repeat", default=5, show_default=True, type=click.IntRange(1, 1000), help="Turns over all stages.")
@click.option("--effort", default=200, show_default=True, type=click.IntRange(1, 100_000), help="Rounds of each stage.")
@click.option("--only", default="", help="Only figures whose key begins so, such as protect_gcm.")
@click.option("--cpu", type=click.IntRange(0), help="Stay on this CPU.")
@click.option("--seed", default=1, show_default=True, type=int, help="Of keys.")
@json_option
def micro(*, repeat: int, effort: int, only: str, cpu: int | None, seed: int, json_file: Path | None) -> None:
    """Nanoseconds per packet of every stage of the plane, and of what this machine could do at best.

    \b
    Examples:
      sightline bench micro
      sightline bench micro --only egress --repeat 9 --json micro.json
    """
    if cpu is not None and cpu not in os.sched_getaffinity(0):
        raise click.BadParameter(f"this process may not use CPU {cpu}", param_hint="--cpu")
    console, started = Console(), datetime.now(UTC)
    with pinned(() if cpu is None else (cpu,)), open_cells(seed) as cells, shown_progress(console) as progress:
        chosen = [cell for cell in cells if cell.figure.key.startswith(only)]
        if not chosen:
            raise click.BadParameter(f"no figure begins with {only!r}", param_hint="--only")
        runs = measure_cells(chosen, repeat, effort, progress)
    tiers = {f"{one.profile.name} {one.name}": one.tier or "" for name in able_backends() for one in backends(name)}
    surroundings = {
        **conditions(),
        "time": "CPU time of the measuring thread",
        "srtp": ", ".join(f"{name} {tier}".strip() for name, tier in tiers.items()),
        "load_average": f"{runs[0].load_average:.1f}",
    }
    given = {"repeat": repeat, "effort": effort, "only": only, "cpu": cpu, "seed": seed}
    title = "time per packet of each stage"
    figures = [cell.figure for cell in chosen]
    tell(
        "micro",
        title,
        figures,
        runs,
        given,
        json_file=json_file,
        started=started,
        surroundings=surroundings,
        console=console,
    )


def _node_options(command: Callable[..., None]) -> Callable[..., None]:
    """Those of the benches that start a node."""
    options = (
        click.option(
            "--profile", default="gcm", show_default=True, type=click.Choice(sorted(PROFILES)), help="Of SRTP."
        ),
        click.option("--repeat", default=1, show_default=True, type=click.IntRange(1, 1000), help="Runs, each afresh."),
        click.option("--pin", metavar="CPU,CPU", callback=cpu_sets, help="CPUs of the server, and of the generator."),
        click.option("--seed", default=1, show_default=True, type=int, help="Of everything random in the generator."),
        json_option,
    )
    return functools.reduce(lambda inner, option: option(inner), reversed(options), command)


def _surroundings(runs: Sequence[Run], pin: Pins) -> dict[str, str]:
    server, generator = pin
    pinned_to = f"server on {server}, generator on {generator}" if server else "none"
    loads = [run.load_average for run in runs]
    return {
        **conditions(),
        "server": "; ".join(dict.fromkeys(f"{run.server} ({run.tuning})" for run in runs)),
        "pinning": pinned_to,
        "load_average": f"{min(loads):.1f} … {max(loads):.1f}",
    }


@click.command()
@click.option("--sessions", default=200, show_default=True, type=click.IntRange(1, 100_000), help="In each state.")
@click.option(
    "--consumers",
    multiple=True,
    default=(100, 1000),
    show_default=True,
    type=click.IntRange(1, 4000),
    help="A state with so many; repeatable.",
)
@click.option(
    "--rate",
    default=100_000,
    show_default=True,
    type=click.IntRange(0, 1_000_000),
    help="Packets/s forwarded in the last state; 0: no such state.",
)
@click.option("--viewers", default=50, show_default=True, type=click.IntRange(1, 1000), help="In that state.")
@_node_options
def control(
    *,
    sessions: int,
    consumers: tuple[int, ...],
    rate: int,
    viewers: int,
    profile: str,
    repeat: int,
    pin: Pins,
    seed: int,
    json_file: Path | None,
) -> None:
    """How long each command of a media node takes, measured inside it, in several states.

    \b
    Examples:
      sightline bench control
      sightline bench control --consumers 1000 --rate 0 --repeat 5 --json control.json
    """
    console, started = Console(), datetime.now(UTC)
    settings = ControlSettings(sessions, repeat, profile, seed, *pin, viewers=viewers)
    chosen = states(consumers, rate)
    runs = run_bench(lambda progress: measure_control(settings, chosen, progress), console)
    surroundings = _surroundings(runs, pin)
    for state in chosen:
        print_report(console, f"time of a command, node {state.title}", {}, runs, figures_of(state))
    given: dict[str, object] = {"sessions": sessions, "consumers": list(consumers), "rate": rate, "viewers": viewers}
    given |= {"profile": profile, "repeat": repeat, "seed": seed, "pin": [list(side) for side in pin]}
    tell(
        "control",
        "commands of one plane, 1,000 consumers",
        HOLDS,
        runs,
        given,
        json_file=json_file,
        started=started,
        surroundings=surroundings,
        console=console,
    )


@click.command()
@click.option("--newcomers", default=500, show_default=True, type=click.IntRange(1, 4000), help="Peers that join.")
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(0.1, 600), help="In which they come.")
@click.option("--viewers", default=20, show_default=True, type=click.IntRange(1, 1000), help="Of the call judged.")
@click.option("--calm", default=10.0, show_default=True, type=click.FloatRange(0.5, 600), help="Seconds before.")
@click.option("--handshakes", default=200, show_default=True, type=click.IntRange(1, 100_000), help="In memory.")
@_node_options
def join(
    *,
    newcomers: int,
    seconds: float,
    viewers: int,
    calm: float,
    handshakes: int,
    profile: str,
    repeat: int,
    pin: Pins,
    seed: int,
    json_file: Path | None,
) -> None:
    """DTLS handshakes per core, and the delay of a call while a crowd joins.

    \b
    Examples:
      sightline bench join
      sightline bench join --newcomers 100 --seconds 2 --json join.json
    """
    console, started = Console(), datetime.now(UTC)
    settings = JoinSettings(newcomers, seconds, viewers, calm, handshakes, profile, repeat, seed, *pin)
    runs = run_bench(lambda progress: measure_join(settings, progress), console)
    given: dict[str, object] = {
        "newcomers": newcomers,
        "seconds": seconds,
        "viewers": viewers,
        "calm": calm,
        "handshakes": handshakes,
    }
    given |= {"profile": profile, "repeat": repeat, "seed": seed, "pin": [list(side) for side in pin]}
    tell(
        "join",
        f"{newcomers} newcomers within {seconds:g} s beside a call of 1 to {viewers}",
        JOIN_FIGURES,
        runs,
        given,
        json_file=json_file,
        started=started,
        surroundings=_surroundings(runs, pin),
        console=console,
    )


@click.command()
@click.option("--consumers", default=1000, show_default=True, type=click.IntRange(2, 4000), help="To add.")
@click.option(
    "--shape",
    default="viewers",
    show_default=True,
    type=click.Choice(["viewers", "transports", "consumers"]),
    help="Connected viewers; the same unconnected; or over few transports.",
)
@click.option(
    "--minutes",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 600),
    help="Watch it so long while media flows (viewers only).",
)
@click.option(
    "--adaptation",
    default="off",
    show_default=True,
    type=click.Choice(["on", "off"]),
    help="Whether viewers get what their path carries, as `sightline run` does it.",
)
@_node_options
def memory(
    *,
    consumers: int,
    shape: Shape,
    minutes: float,
    adaptation: str,
    profile: str,
    repeat: int,
    pin: Pins,
    seed: int,
    json_file: Path | None,
) -> None:
    """Bytes of a transport, a producer and a consumer, and whether they grow.

    \b
    Examples:
      sightline bench memory
      sightline bench memory --shape consumers
      sightline bench memory --adaptation on
      sightline bench memory --consumers 200 --minutes 60 --json memory.json
    """
    if minutes and shape != "viewers":
        raise click.UsageError("--minutes needs media, and so --shape viewers")
    console, started = Console(), datetime.now(UTC)
    settings = MemorySettings(shape, consumers, minutes, profile, repeat, seed, *pin, adaptation=adaptation == "on")
    runs = run_bench(lambda progress: measure_memory(settings, progress), console)
    given: dict[str, object] = {
        "consumers": consumers,
        "shape": shape,
        "minutes": minutes,
        "adaptation": adaptation,
        "profile": profile,
        "repeat": repeat,
    }
    given |= {"seed": seed, "pin": [list(side) for side in pin]}
    tell(
        "memory",
        f"memory of a node with {consumers} consumers ({shape})",
        MEMORY_FIGURES,
        runs,
        given,
        json_file=json_file,
        started=started,
        surroundings=_surroundings(runs, pin),
        console=console,
    )
