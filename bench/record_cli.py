"""`sightline bench record`: the command around record.py."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import trio
from rich.console import Console

from bench.errors import BenchError
from bench.record import MIME_TYPES, RecordSettings
from bench.record import record as record_trace
from bench.trace import SUFFIX, load_trace, save_trace, shipped
from bench.trace_summary import print_traces

_MODE = re.compile(r"[LS][1-3]T[1-3]h?(_KEY(_SHIFT)?)?")


def scalability_mode(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A mode as W3C's webrtc-svc names them."""
    if value is not None and not _MODE.fullmatch(value):
        raise click.BadParameter(f"{value!r} is no scalability mode like L3T3_KEY or L1T3", ctx, param)
    return value


@click.command()
@click.option("--codec", default="vp8", show_default=True, type=click.Choice(list(MIME_TYPES)), help="What to send.")
@click.option("--simulcast", metavar="N", default=1, type=click.IntRange(1, 3), help="Encodings, each half as wide.")
@click.option("--svc", metavar="MODE", callback=scalability_mode, help="A scalability mode, such as L3T3_KEY.")
@click.option("--width", default=1280, show_default=True, type=click.IntRange(64, 3840), help="Pixels.")
@click.option("--height", default=720, show_default=True, type=click.IntRange(64, 2160), help="Pixels.")
@click.option("--fps", default=30, show_default=True, type=click.IntRange(1, 60), help="Frames per second.")
@click.option(
    "--max-bitrate", type=click.IntRange(6, 100_000), help="kbit/s of the highest encoding. [default: 1800, Opus 32]"
)
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(0.5, 3600), help="To record.")
@click.option(
    "--settle", default=40.0, show_default=True, type=click.FloatRange(1, 600), help="Seconds at most before."
)
@click.option("--name", default="", help="Of the trace. [default: says what it is]")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help=f"[default: NAME{SUFFIX}]")
@click.option(
    "--browser", default="chromium", show_default=True, help='A Chromium, or "none" to open the page yourself.'
)
@click.option("--list", "listed", is_flag=True, help="Say what the traces contain (the shipped ones, or FILES).")
@click.argument("files", nargs=-1)
def record(
    *, out: Path | None, listed: bool, files: tuple[str, ...], max_bitrate: int | None, **options: str | float
) -> None:
    """Record what a real Chromium publishes, as a trace that every media bench plays.

    The page makes its own picture and voice; a real media node on 127.0.0.1 receives them. bench/TRACES.md tells more.

    \b
    Examples:
      sightline bench record --codec vp8 --simulcast 3 --out talk.pcapng.gz
      sightline bench record --codec vp9 --svc L3T3_KEY
      sightline bench record --codec opus --seconds 30
      sightline bench record --list
    """
    console = Console()
    if listed:
        _list(console, files)
        return
    if files:
        raise click.UsageError(f"{files[0]}: only --list takes files; name what to write with --out")
    settings = RecordSettings(
        **options,  # type: ignore[arg-type]  # the options have the names and types of the fields
        max_bitrate=max_bitrate and max_bitrate * 1000,
    )
    path = out or Path(f"{settings.trace_name}{SUFFIX}")
    if not path.absolute().parent.is_dir():
        raise click.BadParameter(f"{path.parent} is no directory", param_hint="--out")
    refusal: click.ClickException | click.Abort | None = None  # raising one below would wrap it in a group
    try:
        with _progress(console) as say:
            trace = trio.run(record_trace, settings, say)
        save_trace(path, trace)
    except* BenchError as refused:
        refusal = click.ClickException(str(_first(refused)))
    except* KeyboardInterrupt:
        refusal = click.Abort()
    if refusal is not None:
        raise refusal
    print_traces(console, [trace])
    console.print(f"written: {path}, {path.stat().st_size / 1024:.0f} KiB", highlight=False)


def _list(console: Console, files: tuple[str, ...]) -> None:
    try:
        print_traces(console, [load_trace(name) for name in files or shipped()])
    except BenchError as refused:
        raise click.ClickException(str(refused)) from refused


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[str], None]]:
    """One line that changes on a terminal; elsewhere a line for each change of stage."""
    if console.is_terminal:
        with console.status("starting") as status:
            yield lambda text: console.print(text) if text.startswith("open http") else status.update(text)
        return
    stages: list[str] = []

    def say(text: str) -> None:
        stage = text.partition(":")[0]
        if stage not in stages:
            stages.append(stage)
            console.print(text, highlight=False, soft_wrap=True)

    yield say


def _first(group: BaseExceptionGroup[BenchError]) -> BenchError:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, BenchError)
    return found
