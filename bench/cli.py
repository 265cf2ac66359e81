"""`sightline bench`: measures a real node on this machine. One line for each bench."""

from __future__ import annotations

import click

from bench.cold_cli import control, join, memory, micro
from bench.compare_cli import compare
from bench.fanout import fanout
from bench.knee_cli import knee
from bench.page_cli import page
from bench.record_cli import record
from bench.rooms import rooms


@click.group()
def bench() -> None:
    """Measure a real media node on this machine. Prints figures and their conditions; judges nothing."""


bench.add_command(compare)
bench.add_command(fanout)
bench.add_command(rooms)
bench.add_command(knee)
bench.add_command(page)
bench.add_command(record)
bench.add_command(micro)
bench.add_command(control)
bench.add_command(join)
bench.add_command(memory)
