"""The options that benches with media share, and what they mean."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import click

from bench.errors import BenchError
from bench.generator import Source, SyntheticSource, TraceSource
from bench.measurement import PROFILES, MeasureSettings
from bench.trace import load_trace, shipped

INVALID_EXIT: Final = 3  # the generator, not the server, was the limit
Pins: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]  # the CPUs of the server, those of the generator


@dataclass(frozen=True, slots=True)
class MediaOptions:
    """What was asked for. `given` has the options as the JSON report shows them."""

    settings: MeasureSettings
    source: Source
    lanes: int
    node_options: dict[str, str]  # fields of the node's MediaConfig
    viewer_extensions: Literal["all", "mid"]
    json: Path | None
    html: Path | None
    given: dict[str, object]

    @property
    def source_title(self) -> str:
        """The media in words."""
        if isinstance(self.source, TraceSource):
            return f"the trace {self.source.trace.name}"
        return f"{self.source.fps} frames/s of {self.source.packets} packets of {self.source.size} bytes"


def cpu_sets(ctx: click.Context, param: click.Parameter, value: str | None) -> Pins:
    """SERVER,GENERATOR, each one CPU or several joined by +: only CPUs that this process may run on."""
    if value is None:
        return (), ()
    allowed = os.sched_getaffinity(0)
    sides = [side.split("+") for side in value.split(",")]
    if len(sides) != 2 or not all(part.isascii() and part.isdecimal() for side in sides for part in side):
        raise click.BadParameter(f"{value!r} is no pair of CPUs like 0,1; {_cpus(allowed)}", ctx, param)
    server, generator = (tuple(sorted({int(part) for part in side})) for side in sides)
    if not {*server, *generator} <= allowed:
        raise click.BadParameter(f"{value!r} names a CPU that is not to be had; {_cpus(allowed)}", ctx, param)
    return server, generator


def cpu_pair(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """The same with exactly one CPU each, as peers are pinned."""
    server, generator = cpu_sets(ctx, param, value)
    if not server:
        return None
    if len(server) != 1 or len(generator) != 1:
        raise click.BadParameter(f"{value!r}: name one CPU of the server and one of the generator", ctx, param)
    return server[0], generator[0]


def _cpus(allowed: set[int]) -> str:
    return f"this process may use {', '.join(map(str, sorted(allowed)))}"


def node_option(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE pairs. The node itself refuses names and values that it does not know."""
    if wrong := [pair for pair in value if not pair.partition("=")[0].isidentifier() or "=" not in pair]:
        raise click.BadParameter(f"{wrong[0]!r} is not like batch=64", ctx, param)
    return dict(pair.split("=", 1) for pair in value)


def output_file(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """A file that can be written when the bench is done: better refused now than after an hour."""
    if value is not None and not value.absolute().parent.is_dir():
        raise click.BadParameter(f"{value.parent} is no directory; make it first", ctx, param)
    return value


def html_file(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """The same, and what draws the plots."""
    if value is not None and find_spec("matplotlib") is None:
        raise click.BadParameter("plots need matplotlib: pip install 'sightline[bench]'", ctx, param)
    return output_file(ctx, param, value)


REPORT_OPTIONS = (
    click.option(
        "--json",
        "json_file",
        type=click.Path(dir_okay=False, path_type=Path),
        callback=output_file,
        help="Also write a report here.",
    ),
    click.option(
        "--html",
        "html_file",
        type=click.Path(dir_okay=False, path_type=Path),
        callback=html_file,
        help="Also write a page with plots here.",
    ),
)

MEASURE_OPTIONS = (
    click.option("--duration", default=8.0, show_default=True, type=click.FloatRange(0.1, 3600), help="Seconds each."),
    click.option("--warmup", default=2.0, show_default=True, type=click.FloatRange(0, 600), help="Seconds before."),
    click.option("--profile", default="gcm", show_default=True, type=click.Choice(sorted(PROFILES)), help="Of SRTP."),
    click.option(
        "--pin",
        metavar="CPU,CPU",
        callback=cpu_sets,
        help="CPUs of the server, and of the generator; several as in 0+1,2.",
    ),
    click.option("--seed", default=1, show_default=True, type=int, help="Of everything random in the generator."),
    click.option("--repeat", default=1, show_default=True, type=click.IntRange(1, 1000), help="Runs, each afresh."),
    click.option("--no-gro", is_flag=True, help="The generator's sockets take each datagram by itself."),
    click.option("--no-nacks", is_flag=True, help="Viewers do not ask for what they miss."),
)

SOURCE_OPTIONS = (
    click.option("--packets", default=10, show_default=True, type=click.IntRange(1, 64), help="Packets per frame."),
    click.option("--size", default=1200, show_default=True, type=click.IntRange(32, 1400), help="RTP payload bytes."),
    click.option("--fps", default=30, show_default=True, type=click.IntRange(1, 1000), help="Frames per second."),
    click.option(
        "--extensions",
        default="mid",
        show_default=True,
        type=click.Choice(["mid", "webrtc"]),
        help="On every packet: MID, or what Chromium sends.",
    ),
    click.option(
        "--trace",
        metavar="NAME|FILE",
        help=f"Play a recording instead; shipped: {', '.join(shipped()) or 'none'}.",
    ),
)

NODE_OPTIONS = (
    click.option("--lanes", default=1, show_default=True, type=click.IntRange(1, 64), help="Of the node."),
    click.option("--srtp-backend", help="Of the node. [default: its own choice]"),
    click.option(
        "--node-option",
        "node_options",
        metavar="NAME=VALUE",
        multiple=True,
        callback=node_option,
        help="Any field of the node's MediaConfig.",
    ),
    click.option(
        "--viewer-extensions",
        default="all",
        show_default=True,
        type=click.Choice(["all", "mid"]),
        help="Header extensions that viewers take; mid: as when comparing.",
    ),
)


def media_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all of these. It is called with `options`, and with its own."""

    @functools.wraps(command)
    def called(**given: Any) -> None:
        ours = {name: given.pop(name) for name in _NAMES}
        command(options=read_options(ours, given), **given)

    for option in reversed((*MEASURE_OPTIONS, *SOURCE_OPTIONS, *NODE_OPTIONS, *REPORT_OPTIONS)):
        option(called)
    return called


_NAMES = (
    *("duration", "warmup", "profile", "pin", "seed", "repeat", "no_gro", "no_nacks"),
    *("packets", "size", "fps", "extensions", "trace", "json_file", "html_file"),
    *("lanes", "srtp_backend", "node_options", "viewer_extensions"),
)


def read_options(ours: dict[str, Any], own: dict[str, object]) -> MediaOptions:
    """Raises click's errors for what can't be. `own`: the command's other options, for the report."""
    server_cpus, generator_cpus = ours["pin"]
    settings = MeasureSettings(
        duration=ours["duration"],
        warmup=ours["warmup"],
        profile=ours["profile"],
        server_cpus=server_cpus,
        generator_cpus=generator_cpus,
        seed=ours["seed"],
        gro=not ours["no_gro"],
        nacks=not ours["no_nacks"],
        repeat=ours["repeat"],
    )
    shown = {name: ours[name] for name in _NAMES if name not in ("pin", "json_file", "html_file", "no_gro", "no_nacks")}
    shown |= {"gro": settings.gro, "nacks": settings.nacks}
    shown |= {"server_cpus": list(server_cpus), "generator_cpus": list(generator_cpus)}
    source = read_source(ours["trace"], ours["packets"], ours["size"], ours["fps"], ours["extensions"], ours["seed"])
    if ours["trace"] is not None:
        shown |= dict.fromkeys(("packets", "size", "fps", "extensions"))
    node_options: dict[str, str] = ours["node_options"]
    if ours["srtp_backend"] is not None:
        node_options = {**node_options, "srtp_backend": ours["srtp_backend"]}
    return MediaOptions(
        settings,
        source,
        ours["lanes"],
        node_options,
        ours["viewer_extensions"],
        ours["json_file"],
        ours["html_file"],
        {**own, **shown},
    )


def read_source(
    trace: str | None, packets: int, size: int, fps: int, extensions: Literal["mid", "webrtc"], seed: int
) -> Source:
    """The trace when one is named."""
    if trace is None:
        return SyntheticSource(packets, size, fps, extensions, seed)
    context = click.get_current_context(silent=True)
    for name in ("packets", "size", "fps", "extensions"):
        if context is not None and context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--trace and --{name} exclude each other: a trace has its own frames")
    try:
        return TraceSource(load_trace(trace), seed)
    except BenchError as refused:
        raise click.BadParameter(str(refused), param_hint="--trace") from None
