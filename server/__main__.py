"""The command line, and the composition root: the one file that knows both the media node and the front."""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import trio
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from ops.logging import configure_logging
from server import __version__
from server.config import LEAST_BPS, MAX_LANES, MOST_BPS, MOST_PLAYOUT_DELAY_MS, SRTP_BACKENDS, MediaConfig
from server.errors import LocalError
from server.media.adaptation_settings import AdaptationSettings
from signaling.config import IceServer, SignalingConfig
from signaling.errors import SignalingError

# A packaged install carries the built web client inside; a checkout builds it into web/out.
WEB_ROOTS = (
    Path(__file__).parent.parent / "signaling" / "web_client",
    Path(__file__).parent.parent / "web" / "out",
)


def option(name: str, **settings: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A click option whose environment variable is SIGHTLINE_ and its name, shown in --help with its default."""
    settings.setdefault("show_default", True)
    return click.option(f"--{name}", envvar=f"SIGHTLINE_{name.replace('-', '_').upper()}", show_envvar=True, **settings)


def adaptation_options(command: Callable[..., None]) -> Callable[..., None]:
    """How viewers' streams are fitted to their paths; docs/media-node.md, docs/policies.md."""
    standard = AdaptationSettings()
    rate = click.IntRange(LEAST_BPS, MOST_BPS)
    options = (
        option(
            "adaptation",
            default="on",
            type=click.Choice(["on", "off"]),
            help="Fit what each viewer is sent to its network; off: forward everything.",
        ),
        option(
            "start-bitrate",
            default=standard.start_bps,
            type=rate,
            help="Bit/s that a viewer's network is taken to carry until it is measured.",
        ),
        option("min-bitrate", default=standard.min_bps, type=rate, help="Bit/s, the least that is estimated."),
        option("max-bitrate", default=standard.max_bps, type=rate, help="Bit/s, the most that a viewer is sent."),
        option("congestion-controller", default=standard.congestion_controller, help="Policy that estimates networks."),
        option("layer-allocator", default=standard.layer_allocator, help="Policy that divides a viewer's bandwidth."),
        option("speaker-detector", default=standard.speaker_detector, help="Policy that tells who speaks."),
        option(
            "audio-forwarding",
            default=standard.audio_forwarding,
            type=click.IntRange(0),
            help="How many microphones of a call are heard at once, those that speak; 0: all.",
        ),
        option(
            "most-playout-delay",
            default=standard.most_playout_delay_ms,
            type=click.IntRange(0, MOST_PLAYOUT_DELAY_MS),
            help="Milliseconds that viewers on lossy networks keep pictures back at most, for repairs; 0: never.",
        ),
    )
    for each in reversed(options):
        command = each(command)
    return command


class Commands(click.Group):
    """`bench` and `sim` are imported only when they are asked for: the server needs none of what they need."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), "bench", "sim"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "bench":
            from bench.cli import bench

            return bench
        if cmd_name == "sim":
            from server.testing.sim.cli import sim

            return sim
        return super().get_command(ctx, cmd_name)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="sightline")
def cli() -> None:
    """Sightline: video calls through its own SFU.

    `sightline up` starts everything one machine needs, in one process. Every option is also an environment
    variable; the option wins.
    """


@cli.command()
@option("host", default="127.0.0.1", help="Address of the web page and the signaling. 0.0.0.0 or :: for every one.")
@option("port", default=3000, type=click.IntRange(0, 65535), help="Its port; 0 takes any free one.")
@option("media-host", default="", help="Address that media sockets listen on. Default: every IPv4 and IPv6 address.")
@option("media-port", default=40000, type=click.IntRange(0, 65535), help="UDP and TCP port of media; 0: any free.")
@option(
    "lanes",
    default=0,
    type=click.IntRange(0, MAX_LANES),
    help="Forwarding threads; lane n takes the media port plus n. 0: one for each CPU.",
)
@option(
    "lane-cpus",
    default="",
    metavar="CPU,CPU",
    help="CPUs that the forwarding threads stay on, one for each lane. Default: wherever the kernel puts them.",
)
@option(
    "coalesce-us", default=0, type=click.IntRange(0, 200), help="How long an idle lane waits for the rest of a burst."
)
@option(
    "announce",
    multiple=True,
    metavar="IP",
    help="Address that callers reach this host at, when it is behind NAT. May be repeated. Default: the interfaces'.",
)
@option("ice-server", multiple=True, metavar="URL", help="STUN or TURN server told to callers. May be repeated.")
@option(
    "allow-origin",
    multiple=True,
    metavar="ORIGIN",
    help="Another site whose pages may call through this server, as http://localhost:3001. May be repeated.",
)
@option(
    "srtp-backend",
    default="auto",
    type=click.Choice(SRTP_BACKENDS),
    help="What encrypts media: our own code for this CPU (native), libsrtp, or the faster one that works here (auto).",
)
@adaptation_options
@option("data-dir", default="data", type=click.Path(path_type=Path), help="Where the database and tokens live.")
@option("database-url", default="", show_default=False, help="SQLAlchemy URL instead of a file in the data directory.")
@option("web-root", default=None, type=click.Path(path_type=Path), help="A built web client other than our own.")
@option("log-dir", default=None, type=click.Path(path_type=Path), help="Also write JSON log lines to files here.")
@option("log-level", default="info", type=click.Choice(["debug", "info", "warning", "error"]), help="Least to log.")
def up(**options: Any) -> None:
    """Start everything on one machine: web page, signaling and media node in one process.

    Secrets come from the environment only: SIGHTLINE_AUTH_SECRET (join tokens are then required),
    SIGHTLINE_ADMIN_TOKEN (REST administration; otherwise one is generated into the data directory),
    SIGHTLINE_TURN_USERNAME and SIGHTLINE_TURN_CREDENTIAL (for --ice-server turn:…).

    \b
    Examples:
      sightline up                                           a call on this machine: http://localhost:3000
      sightline up --host 0.0.0.0 --announce 203.0.113.7     for others, behind a proxy that speaks HTTPS
    """
    refusal: Exception | None = None
    try:
        media, front = _configs(options)
        configure_logging(level=options["log_level"], directory=options["log_dir"])
        trio.run(_serve, media, front)
    except* (LocalError, SignalingError) as refused:
        refusal = _first(refused)  # raising in here would wrap the exit in a group
    if refusal is not None:
        print(f"sightline: {_in_options(str(refusal))}", file=sys.stderr)
        raise SystemExit(2)


def _configs(options: dict[str, Any]) -> tuple[MediaConfig, SignalingConfig]:
    media = MediaConfig(
        listen_host=options["media_host"],
        media_port=options["media_port"],
        lanes=options["lanes"],
        lane_cpus=_numbers("--lane-cpus", options["lane_cpus"]),
        coalesce_us=options["coalesce_us"],
        announced=tuple(options["announce"]),
        srtp_backend=options["srtp_backend"],
        adaptation=AdaptationSettings(
            on=options["adaptation"] == "on",
            start_bps=options["start_bitrate"],
            min_bps=options["min_bitrate"],
            max_bps=options["max_bitrate"],
            congestion_controller=options["congestion_controller"],
            layer_allocator=options["layer_allocator"],
            speaker_detector=options["speaker_detector"],
            audio_forwarding=options["audio_forwarding"],
            most_playout_delay_ms=options["most_playout_delay"],
        ),
    )
    username, credential = (
        os.environ.get("SIGHTLINE_TURN_USERNAME", ""),
        os.environ.get("SIGHTLINE_TURN_CREDENTIAL", ""),
    )
    front = SignalingConfig(
        host=options["host"],
        port=options["port"],
        data_dir=options["data_dir"],
        database_url=options["database_url"],
        web_root=_web_root(options["web_root"]),
        auth_secret=os.environ.get("SIGHTLINE_AUTH_SECRET", ""),
        admin_token=os.environ.get("SIGHTLINE_ADMIN_TOKEN", ""),
        ice_servers=tuple(
            IceServer((url,), username, credential) if url.startswith("turn") else IceServer((url,))
            for url in options["ice_server"]
        ),
        allowed_origins=tuple(options["allow_origin"]),
    )
    return media, front


def _numbers(name: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise LocalError(f"{name}: {text!r} is not a list of numbers; write it as 0,1") from None


def _in_options(message: str) -> str:
    """A refusal of a configuration, with its fields under the names that the command line gives them."""
    options = ("listen_host", "--media-host"), ("media_port", "--media-port"), ("announced", "--announce")
    rates = tuple((f"{name}_bitrate", f"--{name}-bitrate") for name in ("start", "min", "max"))
    for name, shown in (*options, *rates, ("lane_cpus", "--lane-cpus"), ("srtp_backend", "--srtp-backend")):
        message = message.replace(name, shown)
    return message


def _web_root(chosen: Path | None) -> Path:
    for root in (chosen,) if chosen else WEB_ROOTS:
        if (root / "index.html").is_file():
            return root
    if chosen:
        raise LocalError(f"--web-root: {chosen} holds no index.html; name the folder of a built web client")
    raise LocalError("the web client is not built: run `make web`, or name one with --web-root")


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    found: Exception | BaseExceptionGroup[Exception] = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


async def _serve(media: MediaConfig, front: SignalingConfig) -> None:
    """Run until SIGINT or SIGTERM; then tell the calls, stop the front, and last the media node."""
    from server.io.priority import yield_to_lanes
    from server.node import serve_node
    from signaling.server import serve_signaling

    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as node_nursery:
            node = await node_nursery.start(serve_node, media)
            registry.register(node.collector)
            async with trio.open_nursery() as front_nursery:
                address = await front_nursery.start(
                    functools.partial(serve_signaling, front, node.media_node, registry=registry)
                )
                yield_to_lanes()
                _announce(address, node.ports, node.addresses)
                async for _ in signals:
                    break
                print("Stopping: callers are told …", file=sys.stderr)
                signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C ends it the hard way
                front_nursery.cancel_scope.cancel()
            node_nursery.cancel_scope.cancel()


def _announce(address: tuple[str, int], ports: tuple[int, ...], addresses: tuple[str, ...]) -> None:
    host, port = address
    shown = "localhost" if host in ("127.0.0.1", "::1", "0.0.0.0", "::") else host
    media = ", ".join(str(port) for port in ports)
    print(f"Sightline {__version__} is ready: open http://{shown}:{port}", file=sys.stderr)
    print(f"  media: UDP and TCP port {media} at {', '.join(addresses)}", file=sys.stderr)
    print("  stop:  Ctrl-C", file=sys.stderr, flush=True)


@cli.command()
@option("port", default=3000, type=click.IntRange(1, 65535), help="The HTTP port to look at.")
@option("media-port", default=40000, type=click.IntRange(1, 65535), help="The media port to look at.")
@option("data-dir", default="data", type=click.Path(path_type=Path), help="The data directory to look at.")
@option("srtp-backend", default="auto", type=click.Choice(SRTP_BACKENDS), help="The SRTP backend to look at.")
def doctor(port: int, media_port: int, data_dir: Path, srtp_backend: str) -> None:
    """Look at this machine: ports, kernel features, crypto, limits, clock. Exit code 1 when calls would not work."""
    from server.doctor import examine, report

    logging.disable()
    web = next((root for root in WEB_ROOTS if (root / "index.html").is_file()), None)
    findings = examine(port=port, media_port=media_port, data_dir=data_dir, web_root=web, srtp_backend=srtp_backend)
    raise SystemExit(report(findings))


def main() -> None:
    """Run the command line. Whatever is refused gets one line and exit code 2."""
    try:
        cli(prog_name="sightline", standalone_mode=False)
    except click.ClickException as refused:
        context = getattr(refused, "ctx", None)
        hint = f" ({context.command_path} --help says more)" if context else ""
        print(f"sightline: {refused.format_message()}{hint}", file=sys.stderr)
        raise SystemExit(2) from None
    except click.Abort:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
