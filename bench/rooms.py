"""`sightline bench rooms`: many rooms of N people who all send and all watch one another."""

from __future__ import annotations

import click

from bench.fanout import report_load
from bench.generator import Source, SyntheticSource
from bench.measurement import Load
from bench.options import MediaOptions, media_options

VOICE = SyntheticSource(packets=1, size=100, fps=50)  # as many packets as a voice of 40 kbit/s in frames of 20 ms


@click.command()
@click.option("--rooms", default=2, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@click.option("--people", default=4, show_default=True, type=click.IntRange(2, 500), help="In each room.")
@click.option("--audio", is_flag=True, help="Each sends 50 small packets a second as well.")
@media_options
def rooms(*, rooms: int, people: int, audio: bool, options: MediaOptions) -> None:
    """Rooms of N x N: everybody sends, and receives everybody else.

    Each person has one transport per source and one to watch all the others, as browsers do. Exit codes as of fanout.

    \b
    Examples:
      sightline bench rooms
      sightline bench rooms --rooms 10 --people 6 --packets 4 --audio --json rooms.json
    """
    sources: tuple[Source, ...] = (options.source, VOICE) if audio else (options.source,)
    load = Load(rooms, people, None, sources)
    title = f"{rooms} room(s) of {people} x {people}: {options.source_title}{' and a voice' if audio else ''} each"
    report_load("rooms", title, load, options)
