"""The figures of the scenes, at the end of pytest's report."""

from __future__ import annotations

from typing import Any

import pytest

from tests.foreign.quality.__main__ import table

MEASURED = pytest.StashKey[list[dict[str, Any]]]()


@pytest.fixture
def measured(pytestconfig: pytest.Config) -> list[dict[str, Any]]:
    """Where a test puts records that are to be shown."""
    return pytestconfig.stash.setdefault(MEASURED, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    records = config.stash.get(MEASURED, [])
    if records:
        terminalreporter.section("what Chromium saw on bad links")
        terminalreporter.write_line(table(records))
