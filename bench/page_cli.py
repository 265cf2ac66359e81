"""`sightline bench page`: one page with plots of several reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from bench.options import html_file
from bench.report import SCHEMA
from bench.running import write_page


@click.command()
@click.argument("reports", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--html",
    "html",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    callback=html_file,
    help="The page to write.",
)
def page(*, reports: tuple[Path, ...], html: Path) -> None:
    """Draw the JSON reports of earlier benches on one page, knee curves over each other.

    \b
    Example:
      sightline bench page one-lane.json two-lanes.json --html knees.html
    """
    write_page(html, [{"file": path.name, **read_report(path)} for path in reports])


def read_report(path: Path) -> dict[str, Any]:
    """Refuses, in one line, what no bench of this version has written."""
    try:
        report = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{path}: no JSON report: {error}") from None
    if not isinstance(report, dict) or report.get("schema") != SCHEMA:
        raise click.ClickException(f"{path}: no report of schema {SCHEMA}; run the bench again with --json")
    return report
