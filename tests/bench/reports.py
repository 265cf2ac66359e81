"""Made-up runs and the check that every report must pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

from bench.measurement import Run
from bench.report import FIGURES

SCHEMA_FILE = Path(__file__).parents[2] / "bench" / "schema.json"
COUNTS = ("expected_packets", "received_packets", "delay_samples")


def run(*, invalid: tuple[str, ...] = (), **figures: float | None) -> Run:
    """A run in which every figure is 1 but those that are given."""
    every: dict[str, float | None] = dict.fromkeys([*(figure.key for figure in FIGURES), *COUNTS], 1.0)
    every |= {"instructions_user": None, "instructions_kernel": None, "loss": 0.0}
    counters = {"sightline_forwarded_packets_total": 900.0}
    return Run("sightline 0.1.0", "1 lane", every | figures, counters, 0.5, invalid)


def check(report: dict[str, Any]) -> None:
    """Raises what is wrong with it."""
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(report, schema, jsonschema.Draft202012Validator)
